"""The ledger's records: the cloud's account of a stream, the van's account of itself. Pure values that merge.

An envelope is counted once: stored wins over rejected, whatever came first; a further delivery is a duplicate. Merging
the records of an account, one for each writer (cloud/ledger/keys.py), gives the same intervals in any order. Counters of a
merge are the larger of both. Sequence numbers are intervals, times Unix ns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cloud.ledger.keys import VAN, account_of
from cloud.ledger.times import EVICTED, REJECTED, STORED, StreamTimes
from vantel.envelope import EnvelopeError
from vantel.identity import VAN_ID, DeliveryClass, Epoch, StreamKey
from vantel.intervals import IntervalSet
from vantel.payloads import (
    ClassAccount,
    Eviction,
    PowerLoss,
    Tombstone,
    parse,
    ranges_from_pb,
    ranges_to_pb,
)
from vantel.telemetry.v1 import account_pb2
from vantel.window import Window

VAN_EPOCHS_MAX = 64
"""Epochs of which the counts of samples are kept; beyond it the oldest that shed nothing go."""
VAN_STREAMS_MAX = 192
"""Streams kept in the account of one van; beyond it the oldest go of which the cloud has every envelope."""
KEPT_FACTOR_MAX = 5
"""So many times as much is kept at most where something was lost or waits; then the oldest of that go, too."""
_COUNTERS = ("points", "samples", "duplicates", "lines_refused", "values_unrepresentable")


@dataclass(frozen=True, slots=True)
class Settled:
    """How one delivery of an envelope ended. rejected: the reason, empty when it was stored.

    window: when it is from, None when it does not say; shed: reasons for which samples were dropped since the one before.
    """

    stream: StreamKey
    seq: int
    rejected: str = ""
    points: int = 0
    samples: int = 0
    lines_refused: int = 0
    values_unrepresentable: int = 0
    window: Window | None = None
    shed: tuple[str, ...] = ()


@dataclass(slots=True)
class CloudAccount:
    """What the cloud did with the envelopes of one (van, epoch, class)."""

    stream: StreamKey
    stored: IntervalSet = field(default_factory=IntervalSet)
    rejected: dict[str, IntervalSet] = field(default_factory=dict)
    points: int = 0
    samples: int = 0
    duplicates: int = 0
    lines_refused: int = 0
    values_unrepresentable: int = 0
    times: StreamTimes = field(default_factory=StreamTimes)

    def settle(self, one: Settled) -> bool:
        """Count one delivery; False when the envelope was stored before, so that only duplicates grew."""
        if one.seq in self.stored:
            self.duplicates += 1
            return False
        for intervals in self.rejected.values():
            intervals.remove(one.seq)
        if one.rejected:
            self.rejected.setdefault(one.rejected, IntervalSet()).add(one.seq)
        else:
            self.stored.add(one.seq)
            self.points += one.points
            self.samples += one.samples
            self.values_unrepresentable += one.values_unrepresentable
        self.lines_refused += one.lines_refused
        if one.window is not None:
            self.times.note((one.seq, one.seq), one.window, REJECTED if one.rejected else STORED, one.shed)
        return True

    def merge(self, other: CloudAccount) -> None:
        """Take in another record of the same stream."""
        self.stored.update(other.stored)
        for reason, intervals in other.rejected.items():
            self.rejected.setdefault(reason, IntervalSet()).update(intervals)
        taken = self.stored.copy()
        for reason in sorted(self.rejected):
            self.rejected[reason] = self.rejected[reason].difference(taken)
            taken.update(self.rejected[reason])
        for name in _COUNTERS:
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        self.times.merge(other.times)

    @property
    def rejected_all(self) -> IntervalSet:
        """Rejected for any reason."""
        result = IntervalSet()
        for intervals in self.rejected.values():
            result.update(intervals)
        return result

    def encode(self) -> bytes:
        """Value of the ledger record."""
        pb = account_pb2.CloudAccount(
            van=self.stream.van,
            delivery_class=int(self.stream.delivery_class),  # type: ignore[arg-type]
            stored=ranges_to_pb(self.stored),
            **{name: getattr(self, name) for name in _COUNTERS},
        )
        pb.epoch.counter, pb.epoch.random = self.stream.epoch
        for reason in sorted(self.rejected):
            for first, last in self.rejected[reason]:
                item = pb.rejected.add(reason=reason)
                item.range.first, item.range.last = first, last
        self.times.fill(pb)
        return pb.SerializeToString()

    @classmethod
    def decode(cls, data: bytes) -> CloudAccount:
        """Inverse of encode; EnvelopeError for anything else."""
        pb = parse(account_pb2.CloudAccount, data)
        if not VAN_ID.fullmatch(pb.van) or int(pb.delivery_class) not in set(DeliveryClass):
            raise EnvelopeError("malformed", "a ledger record without a legal van and class")
        stream = StreamKey(pb.van, Epoch(pb.epoch.counter, pb.epoch.random), DeliveryClass(pb.delivery_class))
        account = cls(stream, ranges_from_pb(pb.stored))
        for item in pb.rejected:
            ranges = ranges_from_pb([item.range])
            account.rejected.setdefault(item.reason, IntervalSet()).update(ranges)
        for name in _COUNTERS:
            setattr(account, name, getattr(pb, name))
        account.times = StreamTimes.of(pb)
        return account


@dataclass(frozen=True, slots=True)
class EpochSamples:
    """What one start of an agent says of its samples: taken from the sources, dropped before sealing by reason."""

    produced: int = 0
    shed: Mapping[str, int] = field(default_factory=dict)

    def merged(self, other: EpochSamples) -> EpochSamples:
        """Of two reports the larger counts: they only grow."""
        reasons = sorted({*self.shed, *other.shed})
        shed = {reason: max(self.shed.get(reason, 0), other.shed.get(reason, 0)) for reason in reasons}
        return EpochSamples(max(self.produced, other.produced), shed)


@dataclass(slots=True)
class VanAccount:
    """What a van last said about its streams; grows with every report, whatever order they come in."""

    van: str
    t_unix_ns: int = 0
    streams: dict[tuple[Epoch, DeliveryClass], ClassAccount] = field(default_factory=dict)
    samples: dict[Epoch, EpochSamples] = field(default_factory=dict)

    def merge(self, other: VanAccount) -> None:
        """Take in another report of the same van."""
        self.t_unix_ns = max(self.t_unix_ns, other.t_unix_ns)
        for key, theirs in other.streams.items():
            mine = self.streams.get(key)
            self.streams[key] = theirs if mine is None else merge_class_accounts(mine, theirs)
        for epoch, counts in other.samples.items():
            self.samples[epoch] = self.samples.get(epoch, EpochSamples()).merged(counts)

    def forget(self, clouds: Mapping[StreamKey, CloudAccount]) -> None:
        """Keep the bounds. A stream goes without a trace on the sheet: its envelopes are all in the account of the cloud.

        What was lost or is on its way is known from here only, and must not go because an agent starts often; nor may a
        new epoch because its number is small: the counter begins anew where a state folder was wiped.
        """
        surplus = len(self.streams) - VAN_STREAMS_MAX
        for key in sorted(self.streams) if surplus > 0 else ():
            if surplus <= 0:
                break
            beyond = len(self.streams) > VAN_STREAMS_MAX * KEPT_FACTOR_MAX
            if beyond or _has_all(clouds.get(StreamKey(self.van, *key)), self.streams[key]):
                del self.streams[key]
                surplus -= 1
        quiet = [epoch for epoch in sorted(self.samples) if not any(self.samples[epoch].shed.values())]
        for epoch in quiet[: max(0, len(self.samples) - VAN_EPOCHS_MAX)]:
            del self.samples[epoch]
        for epoch in sorted(self.samples)[: -VAN_EPOCHS_MAX * KEPT_FACTOR_MAX]:
            del self.samples[epoch]

    def encode(self) -> bytes:
        """Value of the ledger record."""
        pb = account_pb2.VanAccount(
            van=self.van,
            t_unix_ns=self.t_unix_ns,
            accounts=[self.streams[key].to_pb() for key in sorted(self.streams)],
        )
        for epoch in sorted(self.samples):
            item = pb.samples.add(samples_produced=self.samples[epoch].produced)
            item.epoch.counter, item.epoch.random = epoch
            for reason, samples in sorted(self.samples[epoch].shed.items()):
                item.shed.add(reason=reason, samples=samples)
        return pb.SerializeToString()

    @classmethod
    def decode(cls, data: bytes) -> VanAccount:
        """Inverse of encode; EnvelopeError for anything else."""
        pb = parse(account_pb2.VanAccount, data)
        if not VAN_ID.fullmatch(pb.van):
            raise EnvelopeError("malformed", "a ledger record without a legal van")
        accounts = [ClassAccount.from_pb(item) for item in pb.accounts]
        samples = {
            Epoch(item.epoch.counter, item.epoch.random): EpochSamples(
                item.samples_produced, {shed.reason: shed.samples for shed in item.shed}
            )
            for item in pb.samples
        }
        return cls(pb.van, pb.t_unix_ns, {(a.epoch, a.delivery_class): a for a in accounts}, samples)


def _has_all(cloud: CloudAccount | None, account: ClassAccount) -> bool:
    """Whether the cloud has an outcome for everything that the van, or the cloud itself, knows of a stream."""
    if cloud is None:
        return not account.produced
    settled = cloud.rejected_all
    settled.update(cloud.stored)
    highest = max(account.produced - 1, *(last for _, last in settled), -1)
    return settled.count() == highest + 1


def merge_class_accounts(mine: ClassAccount, theirs: ClassAccount) -> ClassAccount:
    """Union of two reports on one stream; what was acked is not evicted."""
    acked = mine.acked.copy()
    acked.update(theirs.acked)
    by_reason: dict[str, IntervalSet] = {}
    for eviction in (*mine.evicted, *theirs.evicted):
        by_reason.setdefault(eviction.reason, IntervalSet()).add(eviction.first, eviction.last)
    evicted: list[Eviction] = []
    taken = acked.copy()
    for reason in sorted(by_reason):
        left = by_reason[reason].difference(taken)
        taken.update(left)
        evicted += [Eviction(first, last, reason) for first, last in left]
    produced = max(mine.produced, theirs.produced)
    cut = _merge_power_losses(mine.power_loss, theirs.power_loss)
    return ClassAccount(mine.epoch, mine.delivery_class, produced, acked, tuple(evicted), cut)


def _merge_power_losses(mine: PowerLoss | None, theirs: PowerLoss | None) -> PowerLoss | None:
    """The wider of two bounds on one cut: an epoch ends with at most one."""
    if mine is None or theirs is None:
        return mine or theirs
    return PowerLoss(
        min(mine.first, theirs.first),
        max(mine.bytes_max, theirs.bytes_max),
        max(mine.seconds_max, theirs.seconds_max),
        max(mine.after_unix_ns, theirs.after_unix_ns),
    )


def van_account_of(van: str, t_unix_ns: int, tombstone: Tombstone) -> VanAccount:
    """A tombstone as a report: the evicted envelopes were produced."""
    account = ClassAccount(
        tombstone.epoch,
        tombstone.delivery_class,
        tombstone.eviction.last + 1,
        IntervalSet(),
        (tombstone.eviction,),
    )
    return VanAccount(van, t_unix_ns, {(tombstone.epoch, tombstone.delivery_class): account})


class Books:
    """All accounts that this process knows; single-threaded. Its size is that of the compacted ledger topic."""

    def __init__(self) -> None:
        self.clouds: dict[StreamKey, CloudAccount] = {}
        self.vans: dict[str, VanAccount] = {}

    def absorb(self, key: str, value: bytes) -> bool:
        """Merge a record of the ledger topic; False when it is none."""
        try:
            if account_of(key).endswith(f"|{VAN}"):
                self.report(VanAccount.decode(value))
            else:
                account = CloudAccount.decode(value)
                mine = self.clouds.setdefault(account.stream, account)
                if mine is not account:
                    mine.merge(account)
        except EnvelopeError:
            return False
        return True

    def settle(self, one: Settled) -> bool:
        """Count one delivery; False for a duplicate of a stored envelope."""
        account = self.clouds.get(one.stream)
        if account is None:
            account = self.clouds[one.stream] = CloudAccount(one.stream)
        return account.settle(one)

    def report(self, report: VanAccount) -> None:
        """Take in what a van says."""
        mine = self.vans.setdefault(report.van, VanAccount(report.van))
        mine.merge(report)
        mine.forget(self.clouds)

    def note_gone(self, van: str, tombstone: Tombstone) -> StreamKey | None:
        """Remember when evicted envelopes are from; the account that has changed, None when the tombstone does not say."""
        if not 0 < tombstone.first_unix_ns <= tombstone.last_unix_ns:
            return None
        stream = StreamKey(van, tombstone.epoch, tombstone.delivery_class)
        account = self.clouds.setdefault(stream, CloudAccount(stream))
        gone = tombstone.eviction
        window = Window(tombstone.first_unix_ns, tombstone.last_unix_ns)
        account.times.note((gone.first, gone.last), window, EVICTED)
        return stream

    def is_settled_beyond(self, reason: str, stream: StreamKey, seq: int) -> bool:
        """Whether an envelope was stored, or rejected for another reason than this one."""
        account = self.clouds.get(stream)
        if account is None:
            return False
        others = (seqs for other, seqs in account.rejected.items() if other != reason)
        return seq in account.stored or any(seq in seqs for seqs in others)
