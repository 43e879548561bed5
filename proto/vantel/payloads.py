"""Payloads of envelopes as plain values: Batch, Event, Birth, Health, Tombstone, Death.

Each has encode() -> bytes and a decode(bytes) that raises EnvelopeError("malformed"); generated protobuf classes
stop here, so neither the agent nor the worker ever sees one.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from vantel.envelope import EnvelopeError
from vantel.identity import DeliveryClass, Epoch
from vantel.intervals import IntervalSet
from vantel.telemetry.v1 import catalog_pb2, identity_pb2, payload_pb2

_Pb = TypeVar("_Pb", bound=Message)

REPEATED_MAX = 200_000
"""No list inside a payload may be longer; far above anything the agent makes."""

BATCH_SAMPLES_MAX = 100_000
"""A batch never holds more samples: the agent cuts it, and the cloud refuses one that does as a decompression bomb."""


class Fidelity(enum.IntEnum):
    """What the cloud keeps of a batch: rollups or every sample."""

    ROLLUP = payload_pb2.FIDELITY_ROLLUP
    FULL = payload_pb2.FIDELITY_FULL


class CoordinateSystem(enum.IntEnum):
    """Datum of the positions in a batch; NONE where it has no position."""

    NONE = payload_pb2.COORDINATE_SYSTEM_UNSPECIFIED
    WGS84 = payload_pb2.COORDINATE_SYSTEM_WGS84
    GCJ02 = payload_pb2.COORDINATE_SYSTEM_GCJ02


class Severity(enum.IntEnum):
    """How bad an event is."""

    INFO = payload_pb2.SEVERITY_INFO
    WARNING = payload_pb2.SEVERITY_WARNING
    CRITICAL = payload_pb2.SEVERITY_CRITICAL


def parse(message_type: type[_Pb], data: bytes) -> _Pb:
    """Parse protobuf bytes; EnvelopeError("malformed") for anything that is none."""
    try:
        return message_type.FromString(data)
    except DecodeError as cause:
        raise EnvelopeError("malformed", f"not a {message_type.__name__}: {cause}") from None


def ranges_to_pb(intervals: IntervalSet) -> list[identity_pb2.SeqRange]:
    """Intervals as protobuf ranges."""
    return [identity_pb2.SeqRange(first=first, last=last) for first, last in intervals]


def ranges_from_pb(ranges: object) -> IntervalSet:
    """Protobuf ranges as an interval set; EnvelopeError("malformed") for an inverted range or too many."""
    items = list(ranges)  # type: ignore[call-overload]
    if len(items) > REPEATED_MAX:
        raise EnvelopeError("malformed", f"{len(items)} ranges, at most {REPEATED_MAX} are allowed")
    try:
        return IntervalSet((item.first, item.last) for item in items)
    except ValueError as cause:
        raise EnvelopeError("malformed", str(cause)) from None


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples of one window; columns as vantel.codec wrote them. Times in monotonic ns, end exclusive."""

    start_mono_ns: int
    end_mono_ns: int
    columns: bytes
    sample_count: int
    fidelity: Fidelity = Fidelity.ROLLUP
    coordinate_system: int = 0
    shed: dict[str, int] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Payload bytes."""
        pb = payload_pb2.Batch(
            start_mono_ns=self.start_mono_ns,
            end_mono_ns=self.end_mono_ns,
            fidelity=int(self.fidelity),  # type: ignore[arg-type]
            coordinate_system=self.coordinate_system,  # type: ignore[arg-type]
            columns=self.columns,
            sample_count=self.sample_count,
        )
        for reason in sorted(self.shed):
            pb.shed.add(reason=reason, samples=self.shed[reason])
        return pb.SerializeToString()

    @classmethod
    def decode(cls, data: bytes) -> Batch:
        """Inverse of encode. An unknown fidelity is taken as ROLLUP."""
        pb = parse(payload_pb2.Batch, data)
        fidelity = Fidelity.FULL if int(pb.fidelity) == Fidelity.FULL else Fidelity.ROLLUP
        shed = {item.reason: item.samples for item in pb.shed}
        return cls(
            pb.start_mono_ns,
            pb.end_mono_ns,
            pb.columns,
            pb.sample_count,
            fidelity,
            pb.coordinate_system,
            shed,
        )


@dataclass(frozen=True, slots=True)
class Event:
    """What the detector reports: blamed signal, channel, the numbers that made it fire. t_mono_ns of the sample."""

    signal_id: int
    channel: str
    t_mono_ns: int
    value: float
    score: float
    threshold: float
    expected: float
    severity: Severity = Severity.WARNING
    injected: str = ""
    detector: str = ""

    def encode(self) -> bytes:
        """Payload bytes."""
        return payload_pb2.Event(
            signal_id=self.signal_id,
            channel=self.channel,
            t_mono_ns=self.t_mono_ns,
            value=self.value,
            score=self.score,
            threshold=self.threshold,
            expected=self.expected,
            severity=int(self.severity),  # type: ignore[arg-type]
            injected=self.injected,
            detector=self.detector,
        ).SerializeToString()

    @classmethod
    def decode(cls, data: bytes) -> Event:
        """Inverse of encode. An unknown severity is taken as WARNING."""
        pb = parse(payload_pb2.Event, data)
        severity = Severity(pb.severity) if int(pb.severity) in set(Severity) else Severity.WARNING
        return cls(
            pb.signal_id, pb.channel, pb.t_mono_ns, pb.value, pb.score, pb.threshold, pb.expected, severity,
            pb.injected, pb.detector,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Birth:
    """First envelope of an epoch: the catalog in use (bytes of a serialised Catalog) and who is speaking."""

    catalog: bytes
    catalog_hash: int
    agent_version: str
    t_mono_ns: int
    boot_id: bytes
    sources: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """Payload bytes."""
        pb = payload_birth(self)
        return pb.SerializeToString()

    @classmethod
    def decode(cls, data: bytes) -> Birth:
        """Inverse of encode; the catalog is re-serialised and still unchecked (vantel.catalog checks it)."""
        pb = parse(catalog_pb2.Birth, data)
        return cls(
            pb.catalog.SerializeToString(deterministic=True), pb.catalog_hash, pb.agent_version, pb.t_mono_ns,
            pb.boot_id, tuple(pb.sources),
        )  # fmt: skip


def payload_birth(birth: Birth) -> catalog_pb2.Birth:
    """Birth as protobuf."""
    return catalog_pb2.Birth(
        catalog=catalog_pb2.Catalog.FromString(birth.catalog),
        catalog_hash=birth.catalog_hash,
        agent_version=birth.agent_version,
        t_mono_ns=birth.t_mono_ns,
        boot_id=birth.boot_id,
        sources=birth.sources,
    )


@dataclass(frozen=True, slots=True)
class Eviction:
    """Envelopes that the spool gave up: closed interval and a one-word reason."""

    first: int
    last: int
    reason: str

    @classmethod
    def from_pb(cls, pb: payload_pb2.Eviction) -> Eviction:
        """From protobuf; EnvelopeError("malformed") for an inverted range, which no ledger could take."""
        if pb.range.last < pb.range.first:
            raise EnvelopeError("malformed", f"evicted {pb.range.first}..{pb.range.last} runs backwards")
        return cls(pb.range.first, pb.range.last, pb.reason)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """An eviction on its way to the cloud. first_unix_ns, last_unix_ns: when it is from, or wider; 0, 0: not known."""

    epoch: Epoch
    delivery_class: DeliveryClass
    eviction: Eviction
    first_unix_ns: int = 0
    last_unix_ns: int = 0

    def encode(self) -> bytes:
        """Payload bytes."""
        pb = payload_pb2.Tombstone(delivery_class=int(self.delivery_class))  # type: ignore[arg-type]
        pb.epoch.counter, pb.epoch.random = self.epoch
        pb.eviction.range.first, pb.eviction.range.last = self.eviction.first, self.eviction.last
        pb.eviction.reason = self.eviction.reason
        pb.first_unix_ns, pb.last_unix_ns = self.first_unix_ns, self.last_unix_ns
        return pb.SerializeToString()

    @classmethod
    def decode(cls, data: bytes) -> Tombstone:
        """Inverse of encode."""
        pb = parse(payload_pb2.Tombstone, data)
        eviction = Eviction.from_pb(pb.eviction)
        try:
            delivery_class = DeliveryClass(pb.delivery_class)
        except ValueError as cause:
            raise EnvelopeError("unsupported", str(cause)) from None
        epoch = Epoch(pb.epoch.counter, pb.epoch.random)
        return cls(epoch, delivery_class, eviction, pb.first_unix_ns, pb.last_unix_ns)


@dataclass(frozen=True, slots=True)
class PowerLoss:
    """What a power cut may have taken: seqs from first on that were not synced, at most so many bytes and seconds.

    after_unix_ns: end of what the envelope before them is from, 0 when it is not known.
    """

    first: int
    bytes_max: int
    seconds_max: float
    after_unix_ns: int = 0


@dataclass(frozen=True, slots=True)
class ClassAccount:
    """The van's account of one epoch and class: seqs 0..produced-1 were appended; acked; evicted; lost unsynced."""

    epoch: Epoch
    delivery_class: DeliveryClass
    produced: int
    acked: IntervalSet
    evicted: tuple[Eviction, ...] = ()
    power_loss: PowerLoss | None = None

    def to_pb(self) -> payload_pb2.ClassAccount:
        """As protobuf."""
        pb = payload_pb2.ClassAccount(
            delivery_class=int(self.delivery_class),  # type: ignore[arg-type]
            produced=self.produced,
            acked=ranges_to_pb(self.acked),
        )
        pb.epoch.counter, pb.epoch.random = self.epoch
        for eviction in self.evicted:
            item = pb.evicted.add(reason=eviction.reason)
            item.range.first, item.range.last = eviction.first, eviction.last
        if self.power_loss is not None:
            pb.power_loss.first = self.power_loss.first
            pb.power_loss.bytes_max = self.power_loss.bytes_max
            pb.power_loss.seconds_max = self.power_loss.seconds_max
            pb.power_loss.after_unix_ns = self.power_loss.after_unix_ns
        return pb

    @classmethod
    def from_pb(cls, pb: payload_pb2.ClassAccount) -> ClassAccount:
        """From protobuf; EnvelopeError for nonsense."""
        try:
            delivery_class = DeliveryClass(pb.delivery_class)
        except ValueError as cause:
            raise EnvelopeError("unsupported", str(cause)) from None
        evicted = tuple(Eviction.from_pb(item) for item in pb.evicted)
        power_loss = None
        if pb.HasField("power_loss"):
            cut = pb.power_loss
            power_loss = PowerLoss(cut.first, cut.bytes_max, cut.seconds_max, cut.after_unix_ns)
        return cls(
            Epoch(pb.epoch.counter, pb.epoch.random),
            delivery_class,
            pb.produced,
            ranges_from_pb(pb.acked),
            evicted,
            power_loss,
        )


@dataclass(frozen=True, slots=True)
class Health:
    """Regular report of the agent about itself: accounts, samples, shed samples by reason, gauges by name."""

    t_mono_ns: int
    accounts: tuple[ClassAccount, ...]
    samples_produced: int
    shed: dict[str, int]
    gauges: dict[str, float]

    def encode(self) -> bytes:
        """Payload bytes."""
        pb = payload_pb2.Health(
            t_mono_ns=self.t_mono_ns,
            accounts=[account.to_pb() for account in self.accounts],
            samples_produced=self.samples_produced,
            gauges=self.gauges,
        )
        for reason in sorted(self.shed):
            pb.shed.add(reason=reason, samples=self.shed[reason])
        return pb.SerializeToString(deterministic=True)

    @classmethod
    def decode(cls, data: bytes) -> Health:
        """Inverse of encode."""
        pb = parse(payload_pb2.Health, data)
        accounts = tuple(ClassAccount.from_pb(item) for item in pb.accounts)
        shed = {item.reason: item.samples for item in pb.shed}
        return cls(pb.t_mono_ns, accounts, pb.samples_produced, shed, dict(pb.gauges))


@dataclass(frozen=True, slots=True)
class Death:
    """A session that ended: the van's will (not graceful) or its goodbye."""

    van: str
    epoch: Epoch
    graceful: bool

    def encode(self) -> bytes:
        """Payload bytes."""
        pb = catalog_pb2.Death(van=self.van, graceful=self.graceful)
        pb.epoch_counter, pb.epoch_random = self.epoch
        return pb.SerializeToString()

    @classmethod
    def decode(cls, data: bytes) -> Death:
        """Inverse of encode."""
        pb = parse(catalog_pb2.Death, data)
        return cls(pb.van, Epoch(pb.epoch_counter, pb.epoch_random), pb.graceful)
