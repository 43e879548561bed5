"""Messages of the local socket.

Goal: what is written is read, however the stream is cut; anything else ends as SourceMessageError; the client that others copy
speaks the same bytes as protobuf does.
Method: round trips, every prefix, arbitrary bytes; the Python client against a listening socket.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vantel.catalog import Signal, SignalType
from vantel.client import Client
from vantel.source_socket import (
    MESSAGE_BYTES_MAX,
    Declaration,
    Frames,
    Samples,
    SourceMessageError,
    decode_client,
    encode_answer,
    encode_declaration,
    encode_samples,
    framed,
)

DECLARATION = Declaration(
    "planner",
    (Signal("a"), Signal("b", unit="m/s", type=SignalType.ENUM, group="g", labels=("x", "", "y" * 200))),
)
SAMPLES = Samples(
    np.array([0, 1, 1], np.uint32), np.array([1, 2, -3], np.int64), np.array([0.5, np.nan, -0.0]), ("t", "")
)


def same(read: object, samples: Samples) -> None:
    assert isinstance(read, Samples)
    assert read.signal.tolist() == samples.signal.tolist()
    assert (read.t_mono_ns is None) == (samples.t_mono_ns is None)
    assert read.t_mono_ns is None or samples.t_mono_ns is None or (read.t_mono_ns == samples.t_mono_ns).all()
    assert read.value.tobytes() == samples.value.tobytes()
    assert read.texts == samples.texts


def test_what_is_written_is_read() -> None:
    assert decode_client(encode_declaration(DECLARATION)) == DECLARATION
    same(decode_client(encode_samples(SAMPLES)), SAMPLES)
    unstamped = Samples(SAMPLES.signal, None, SAMPLES.value)
    same(decode_client(encode_samples(unstamped)), unstamped)


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 50))
def test_a_stream_is_cut_into_its_messages(messages: list[bytes], size: int) -> None:
    stream = b"".join(map(framed, messages))
    frames = Frames()
    found = [m for at in range(0, len(stream), size) for m in frames.feed(stream[at : at + size])]
    assert found == messages
    assert frames.incomplete_bytes == 0


def test_a_length_out_of_bounds_is_refused_before_it_is_held() -> None:
    with pytest.raises(SourceMessageError, match="at most") as caught:
        list(Frames().feed((MESSAGE_BYTES_MAX + 1).to_bytes(4, "little")))
    assert caught.value.reason == "message_too_large"


@pytest.mark.parametrize("message", [encode_declaration(DECLARATION), encode_samples(SAMPLES)])
def test_a_part_of_a_message_is_a_message_or_an_error(message: bytes) -> None:
    for size in range(len(message)):
        with contextlib.suppress(SourceMessageError):
            decode_client(message[:size])


@given(st.binary(max_size=200))
def test_arbitrary_bytes_end_as_a_message_or_as_an_error(data: bytes) -> None:
    with contextlib.suppress(SourceMessageError):
        for message in Frames().feed(data):
            decode_client(message)


def spoken(folder: Path, answer: bytes, *, send: bool = False) -> tuple[bytes, BaseException | int]:
    """What the Python client writes to a socket that gives an answer, and what it makes of it."""
    path = folder / "s"
    path.unlink(missing_ok=True)
    heard = bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            link, _ = listener.accept()
            with link:
                heard.extend(link.recv(65_536))
                link.sendall(answer)
                while more := link.recv(65_536):
                    heard.extend(more)

        thread = threading.Thread(target=serve)
        thread.start()
        outcome: BaseException | int
        try:
            signals = [(s.name, s.unit, s.type.name.lower(), s.group, s.labels) for s in DECLARATION.signals]
            with Client(str(path), DECLARATION.client, signals) as client:
                outcome = client.waiting
                if send:
                    client.send_many([("a", 0.5, 1), ("b", np.nan, 2), ("b", -0.0, -3)], SAMPLES.texts)
        except (OSError, ValueError) as cause:
            outcome = cause
        thread.join(10)
    return bytes(heard), outcome


def test_the_client_speaks_protobuf(tmp_path: Path) -> None:
    heard, waiting = spoken(tmp_path, framed(encode_answer(waiting=300)), send=True)
    assert waiting == 300
    first, second = Frames().feed(heard)
    assert decode_client(first) == DECLARATION
    same(decode_client(second), SAMPLES)


def test_the_client_tells_a_refusal_and_a_lost_connection(tmp_path: Path) -> None:
    _, refused = spoken(tmp_path, framed(encode_answer("no: " + "x" * 300)))
    assert isinstance(refused, PermissionError)
    assert str(refused) == "no: " + "x" * 300
    assert spoken(tmp_path, framed(b""))[1] == 0
