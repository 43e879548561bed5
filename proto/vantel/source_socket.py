"""Messages of the local socket on which other processes of the van send samples to the agent.

bytes of a stream -> Frames -> Declaration or Samples; Answer -> bytes. Each message stands behind its length (uint32,
little-endian), at most MESSAGE_BYTES_MAX. Whatever is no message raises SourceMessageError, with the reason in one word.
Layout: telemetry/v1/source.proto, docs/own-signals.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from vantel.catalog import Signal, SignalType
from vantel.telemetry.v1 import source_pb2

MESSAGE_BYTES_MAX = 1024 * 1024
SIGNALS_MAX = 2000
"""Signals in one declaration."""
CLIENT_CHARS_MAX = 64
LENGTH_BYTES = 4


class SourceMessageError(ValueError):
    """Bytes that are no message of a client. reason: one word for counters."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Declaration:
    """Signals of a client, by their place. id, scale, offset and policy are not theirs to give."""

    client: str
    signals: tuple[Signal, ...]


@dataclass(frozen=True, slots=True)
class Samples:
    """signal: uint32[n], place in the declaration. t_mono_ns: int64[n] or None. value: float64[n]. Views of the message."""

    signal: NDArray[np.uint32]
    t_mono_ns: NDArray[np.int64] | None
    value: NDArray[np.float64]
    texts: tuple[str, ...] = ()


class Frames:
    """Cuts a stream into messages. Holds at most one incomplete message."""

    def __init__(self, message_bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self._bytes_max = message_bytes_max
        self._rest = bytearray()

    @property
    def incomplete_bytes(self) -> int:
        """Bytes of a message that has not come whole."""
        return len(self._rest)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that are whole now; SourceMessageError for a length out of bounds, after which nothing follows."""
        self._rest += data
        at = 0
        while len(self._rest) - at >= LENGTH_BYTES:
            length = int.from_bytes(self._rest[at : at + LENGTH_BYTES], "little")
            if length > self._bytes_max:
                raise SourceMessageError(
                    "message_too_large", f"a message of {length} bytes, at most {self._bytes_max} are allowed"
                )
            end = at + LENGTH_BYTES + length
            if len(self._rest) < end:
                break
            yield bytes(self._rest[at + LENGTH_BYTES : end])
            at = end
        del self._rest[:at]


def framed(message: bytes) -> bytes:
    """A message behind its length."""
    return len(message).to_bytes(LENGTH_BYTES, "little") + message


def decode_client(message: bytes) -> Declaration | Samples:
    """A message of a client; SourceMessageError for anything else."""
    try:
        pb = source_pb2.ClientMessage.FromString(message)
    except DecodeError:
        raise SourceMessageError("garbage", f"{len(message)} bytes are no ClientMessage") from None
    kind = pb.WhichOneof("kind")
    if kind == "declaration":
        return _declaration(pb.declaration)
    if kind == "samples":
        return _samples(pb.samples)
    raise SourceMessageError("garbage", "a message without declaration and samples")


def _declaration(pb: source_pb2.Declaration) -> Declaration:
    if len(pb.signals) > SIGNALS_MAX:
        raise SourceMessageError(
            "too_many_signals", f"{len(pb.signals)} signals, at most {SIGNALS_MAX} are allowed"
        )
    return Declaration(pb.client[:CLIENT_CHARS_MAX], tuple(_signal(entry) for entry in pb.signals))


def _signal(entry: source_pb2.DeclaredSignal) -> Signal:
    try:
        kind = SignalType(entry.type) if entry.type else SignalType.FLOAT64
    except ValueError:
        raise SourceMessageError("unknown_type", f"signal {entry.name!r}: type {entry.type}") from None
    return Signal(name=entry.name, unit=entry.unit, type=kind, group=entry.group, labels=tuple(entry.labels))


def _samples(pb: source_pb2.Samples) -> Samples:
    n = len(pb.value) // 8
    if len(pb.value) != 8 * n or len(pb.signal) != 4 * n or len(pb.t_mono_ns) not in {0, 8 * n}:
        raise SourceMessageError(
            "uneven_columns",
            f"{len(pb.signal)} bytes of signals, {len(pb.t_mono_ns)} of times, {len(pb.value)} of values",
        )
    return Samples(
        np.frombuffer(pb.signal, "<u4"),
        np.frombuffer(pb.t_mono_ns, "<i8") if pb.t_mono_ns else None,
        np.frombuffer(pb.value, "<f8"),
        tuple(pb.texts),
    )


def encode_answer(refusal: str = "", waiting: int = 0) -> bytes:
    """An answer to a client, without its length."""
    return source_pb2.Answer(refusal=refusal, waiting=waiting).SerializeToString()


def encode_declaration(declaration: Declaration) -> bytes:
    """Inverse of decode_client."""
    pb = source_pb2.ClientMessage()
    pb.declaration.client = declaration.client
    for signal in declaration.signals:
        pb.declaration.signals.add(
            name=signal.name,
            unit=signal.unit,
            type=int(signal.type),
            group=signal.group,
            labels=signal.labels,
        )
    return pb.SerializeToString()


def encode_samples(samples: Samples) -> bytes:
    """Inverse of decode_client."""
    pb = source_pb2.ClientMessage()
    pb.samples.signal = samples.signal.astype("<u4").tobytes()
    pb.samples.t_mono_ns = b"" if samples.t_mono_ns is None else samples.t_mono_ns.astype("<i8").tobytes()
    pb.samples.value = samples.value.astype("<f8").tobytes()
    pb.samples.texts.extend(samples.texts)
    return pb.SerializeToString()
