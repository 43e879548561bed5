"""Seal and open envelopes and messages: identity, version, checksum (docs/format.md, sections 2 and 3).

seal: Envelope -> bytes with a masked crc32c behind them. compose_message adds the clock stamp.
Opening anything that is not exactly what was sealed raises EnvelopeError with a one-word reason; sizes are checked
before anything is parsed.
"""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import DecodeError

from vantel.crc32c import crc32c, masked
from vantel.identity import VAN_ID, DeliveryClass, Epoch, PayloadKind, StreamKey
from vantel.telemetry.v1 import envelope_pb2

MESSAGE_BYTES_MAX = 280 * 1024
"""A message larger than this is refused unread. The batcher closes batches far below it."""


_KINDS = frozenset(PayloadKind)


class EnvelopeError(ValueError):
    """Bytes that are no valid message or envelope; reason is one word for metrics and dead letters."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Envelope:
    """A batch, event, birth or other payload with its identity. kind: a plain number when a newer release made it."""

    van: str
    epoch: Epoch
    delivery_class: DeliveryClass
    seq: int
    kind: PayloadKind | int
    payload: bytes
    catalog_hash: int = 0
    replayed: bool = False
    simulated: bool = False

    @property
    def stream(self) -> StreamKey:
        """The sequence this envelope belongs to."""
        return StreamKey(self.van, self.epoch, self.delivery_class)


@dataclass(frozen=True, slots=True)
class ClockStamp:
    """Mapping from monotonic to Unix time: t_unix_ns = t_mono_ns + offset_ns. error_ns_max 0 means unknown."""

    boot_id: bytes
    offset_ns: int
    source: int
    error_ns_max: int = 0


def seal(envelope: Envelope) -> bytes:
    """Bytes of a sealed envelope: protobuf, then 4 bytes little-endian masked crc32c of the protobuf."""
    pb = envelope_pb2.Envelope(
        van=envelope.van,
        delivery_class=int(envelope.delivery_class),  # type: ignore[arg-type]
        seq=envelope.seq,
        kind=int(envelope.kind),  # type: ignore[arg-type]
        catalog_hash=envelope.catalog_hash,
        replayed=envelope.replayed,
        simulated=envelope.simulated,
        payload=envelope.payload,
    )
    pb.epoch.counter, pb.epoch.random = envelope.epoch
    body = pb.SerializeToString()
    return body + masked(crc32c(body)).to_bytes(4, "little")


def open_envelope(sealed: bytes) -> Envelope:
    """Inverse of seal. Raises EnvelopeError: oversize, truncated, corrupt, malformed, unsupported."""
    if len(sealed) > MESSAGE_BYTES_MAX:
        raise EnvelopeError("oversize", f"{len(sealed)} bytes, at most {MESSAGE_BYTES_MAX} are allowed")
    if len(sealed) < 5:
        raise EnvelopeError("truncated", f"an envelope of {len(sealed)} bytes")
    body = sealed[:-4]
    if masked(crc32c(body)).to_bytes(4, "little") != sealed[-4:]:
        raise EnvelopeError("corrupt", "the checksum of the envelope does not fit")
    try:
        pb = envelope_pb2.Envelope.FromString(body)
    except DecodeError as cause:
        raise EnvelopeError("malformed", f"not an envelope: {cause}") from None
    try:
        delivery_class = DeliveryClass(pb.delivery_class)
    except ValueError as cause:
        raise EnvelopeError("unsupported", f"{cause}; a newer van may need a newer cloud") from None
    if not VAN_ID.fullmatch(pb.van):
        raise EnvelopeError("malformed", "the van id of the envelope is illegal")
    number = int(pb.kind)
    kind = PayloadKind(number) if number in _KINDS else number
    return Envelope(
        pb.van, Epoch(pb.epoch.counter, pb.epoch.random), delivery_class, pb.seq, kind, pb.payload,
        pb.catalog_hash, pb.replayed, pb.simulated,
    )  # fmt: skip


def compose_message(sealed: bytes, clock: ClockStamp) -> bytes:
    """MQTT payload: the sealed envelope and its clock stamp, with a masked crc32c over both behind them."""
    pb = envelope_pb2.Message(envelope=sealed)
    pb.clock.boot_id = clock.boot_id
    pb.clock.offset_ns = clock.offset_ns
    pb.clock.source = clock.source  # type: ignore[assignment]
    pb.clock.error_ns_max = clock.error_ns_max
    body = pb.SerializeToString()
    return body + masked(crc32c(body)).to_bytes(4, "little")


def restamp(message: bytes, clock: ClockStamp) -> bytes:
    """The same sealed envelope under another clock stamp. EnvelopeError as open_message."""
    return compose_message(_parse_message(message).envelope, clock)


def clock_of(message: bytes) -> ClockStamp:
    """Clock stamp of a message whose envelope stays closed. EnvelopeError as open_message."""
    return _clock_from_pb(_parse_message(message).clock)


def open_message(data: bytes) -> tuple[Envelope, ClockStamp]:
    """Inverse of compose_message, opening the envelope too. Raises EnvelopeError as open_envelope does."""
    pb = _parse_message(data)
    return open_envelope(pb.envelope), _clock_from_pb(pb.clock)


def _clock_from_pb(pb: envelope_pb2.ClockStamp) -> ClockStamp:
    return ClockStamp(pb.boot_id, pb.offset_ns, pb.source, pb.error_ns_max)


def _parse_message(data: bytes) -> envelope_pb2.Message:
    if len(data) > MESSAGE_BYTES_MAX:
        raise EnvelopeError("oversize", f"{len(data)} bytes, at most {MESSAGE_BYTES_MAX} are allowed")
    if len(data) < 5:
        raise EnvelopeError("truncated", f"a message of {len(data)} bytes")
    body = data[:-4]
    if masked(crc32c(body)).to_bytes(4, "little") != data[-4:]:
        raise EnvelopeError("corrupt", "the checksum of the message does not fit")
    try:
        return envelope_pb2.Message.FromString(body)
    except DecodeError as cause:
        raise EnvelopeError("malformed", f"not a message: {cause}") from None
