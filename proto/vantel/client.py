"""Send samples of your own process to the agent of the van. One file, standard library only: copy it if you like.

    from vantel.client import Client
    with Client("/run/vantel/samples.sock", "planner", [("path_cost", "", "float64"), ("Vehicle.Speed", "m/s", "float64")]) as van:
        van.send({"path_cost": 4.2, "Vehicle.Speed": 7.5})

A declared name of the built-in catalog keeps that name, and its values are converted to the catalog's unit; any other
gets the name of the source in front. send() blocks while the agent takes no more (back-pressure); with timeout_s it
raises TimeoutError instead. A message that was begun is finished or the connection closed: the stream never gets out of
step. A lost connection raises ConnectionError; connect again. Wire format: docs/own-signals.md.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

TYPES = {"float64": 1, "float32": 2, "int64": 3, "uint64": 4, "bool": 5, "enum": 6, "string": 7}
MESSAGE_BYTES_MAX = 1024 * 1024
SAMPLES_PER_MESSAGE_MAX = 10_000
Sample = tuple[str, float, int]
"""(name, value, ns of CLOCK_MONOTONIC)"""


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field of protobuf."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode()) if text else b""


def _framed(message: bytes) -> bytes:
    if len(message) > MESSAGE_BYTES_MAX:
        raise ValueError(f"a message of {len(message)} bytes, at most {MESSAGE_BYTES_MAX}: send less at once")
    return len(message).to_bytes(4, "little") + message


class Client:
    """A connection to the agent. signals: (name, unit, type) or (name, unit, type, group, labels)."""

    def __init__(
        self, path: str, name: str, signals: Iterable[tuple[Any, ...]], timeout_s: float | None = 10.0
    ) -> None:
        """Connects and declares. PermissionError when refused, with the agent's reason; OSError when nobody listens."""
        self._place: dict[str, int] = {}
        entries = b""
        for place, signal in enumerate(signals):
            given, unit, kind = signal[:3]
            group, labels = signal[3:] or ("", ())
            self._place[given] = place
            entry = _text(1, given) + _text(2, unit) + b"\x18" + _varint(TYPES[kind])
            entry += _text(4, group) + b"".join(_field(5, label.encode()) for label in labels)
            entries += _field(2, entry)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(path)
            with contextlib.suppress(
                BrokenPipeError, ConnectionResetError
            ):  # refused at once: the answer says why
                self._socket.sendall(_framed(_field(1, _text(1, name) + entries)))
            self.waiting = self._answer()
        except BaseException:
            self._socket.close()
            raise

    def send(self, values: Mapping[str, float], t_mono_ns: int | None = None) -> None:
        """One sample of each; all at t_mono_ns, or now."""
        t_ns = time.monotonic_ns() if t_mono_ns is None else t_mono_ns
        self.send_many([(name, value, t_ns) for name, value in values.items()])

    def send_many(self, samples: Sequence[Sample], texts: Sequence[str] = ()) -> None:
        """Samples in one message for each SAMPLES_PER_MESSAGE_MAX; the value of a string signal is a place in texts."""
        for first in range(0, len(samples), SAMPLES_PER_MESSAGE_MAX):
            part = samples[first : first + SAMPLES_PER_MESSAGE_MAX]
            n = len(part)
            self.send_columns(
                struct.pack(f"<{n}I", *[self._place[name] for name, _, _ in part]),
                struct.pack(f"<{n}q", *[t_ns for _, _, t_ns in part]),
                struct.pack(f"<{n}d", *[value for _, value, _ in part]),
                texts,
            )

    def send_columns(self, signal: bytes, t_mono_ns: bytes, value: bytes, texts: Sequence[str] = ()) -> None:
        """The columns themselves, little-endian uint32, int64, float64, as numpy's tobytes() gives them."""
        body = _field(1, signal) + _field(2, t_mono_ns) + _field(3, value)
        self._write(_field(2, body + b"".join(_field(4, text.encode()) for text in texts)))

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, message: bytes) -> None:
        try:
            self._socket.sendall(_framed(message))
        except OSError:
            self._socket.close()  # a part of the message may be on its way
            raise

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            if not more:
                raise ConnectionError("the agent closed the connection")
            data += more
        return data

    def _answer(self) -> int:
        """Signals that wait for a start of the agent; PermissionError when it refused."""
        message = self._read(int.from_bytes(self._read(4), "little"))
        if message[:1] == b"\x0a":
            at, length, shift = 1, 0, 0
            while True:
                length |= (message[at] & 0x7F) << shift
                shift, at = shift + 7, at + 1
                if message[at - 1] < 0x80:
                    break
            raise PermissionError(message[at : at + length].decode("utf-8", "replace"))
        waiting, shift = 0, 0
        for byte in message[1:]:
            waiting |= (byte & 0x7F) << shift
            shift += 7
        return waiting
