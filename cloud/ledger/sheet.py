"""The ledger: both ends joined into one sheet on which every envelope stands once, or in the residual.

Reports of vans (produced, evicted, spooled), accounts of the cloud (stored, rejected) and what lies in Kafka between
committed and end -> LedgerReport. An envelope that several places know counts where it is best known: stored, then
rejected, in Kafka, spooled, evicted. The join is pure; the two readers ask Kafka. Counts in envelopes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from cloud.kafka.compacted import CompactedTopic
from cloud.kafka.topics import LEDGER
from cloud.ledger.accounts import Books, CloudAccount, EpochSamples
from cloud.ledger.times import NS_A_MS, UNSETTLED, SeqTimes, Timed
from cloud.settings import CloudSettings
from cloud.worker.lag import group_standing
from cloud.worker.steps.open import readable
from vantel.identity import DeliveryClass, Epoch, StreamKey
from vantel.intervals import IntervalSet
from vantel.payloads import ClassAccount, PowerLoss
from vantel.window import window_of

POLL_MS = 300
IDLE_POLLS_MAX = 50
POWER = "power"
SUMS = ("produced", "stored", "rejected", "evicted", "spooled", "in_kafka", "residual")


@dataclass(frozen=True, slots=True)
class VanReport:
    """The van's end: from its disk (exact), or as last reported (spooled then is what was neither acked nor evicted)."""

    accounts: tuple[ClassAccount, ...]
    spooled: Mapping[tuple[Epoch, DeliveryClass], IntervalSet]
    samples: Mapping[Epoch, EpochSamples] = field(default_factory=dict)

    @classmethod
    def as_reported(
        cls, accounts: tuple[ClassAccount, ...], samples: Mapping[Epoch, EpochSamples] | None = None
    ) -> VanReport:
        """From health reports alone: what the van has not said to be gone is taken as still spooled."""
        spooled = {}
        for account in accounts:
            left = IntervalSet([(0, account.produced - 1)] if account.produced else [])
            loss = account.power_loss
            if loss is not None and loss.first < account.produced:
                left.remove(loss.first, account.produced - 1)  # reported before the cut; no disk has them now
            spooled[account.epoch, account.delivery_class] = left.difference(
                account.acked, evicted_of(account)
            )
        return cls(accounts, spooled, samples or {})


@dataclass(slots=True)
class Row:
    """The sheet of one stream, or a sum of sheets, in envelopes. samples_produced, shed_by_reason: of vans, in samples."""

    produced: int = 0
    stored: int = 0
    rejected: int = 0
    evicted: int = 0
    spooled: int = 0
    in_kafka: int = 0
    residual: int = 0
    rejected_by_reason: dict[str, int] = field(default_factory=dict)
    evicted_by_reason: dict[str, int] = field(default_factory=dict)
    points: int = 0
    samples: int = 0
    duplicates: int = 0
    lines_refused: int = 0
    values_unrepresentable: int = 0
    samples_produced: int = 0
    shed_by_reason: dict[str, int] = field(default_factory=dict)

    def add(self, other: Row) -> None:
        """Add another row to this one."""
        for name in (*SUMS, *COUNTERS, "samples_produced"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for mine, theirs in (
            (self.rejected_by_reason, other.rejected_by_reason),
            (self.evicted_by_reason, other.evicted_by_reason),
            (self.shed_by_reason, other.shed_by_reason),
        ):
            for reason, count in theirs.items():
                mine[reason] = mine.get(reason, 0) + count

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


COUNTERS = ("points", "samples", "duplicates", "lines_refused", "values_unrepresentable")


@dataclass(slots=True)
class LedgerReport:
    """The joined ledger: all, by van, by (van, class), the residual intervals and the power cuts by stream.

    power_losses: what a cut may have taken at most. Those of its envelopes that are known to have existed, because the
    van or the cloud saw them or a later one, count as evicted for the reason "power".
    """

    total: Row = field(default_factory=Row)
    vans: dict[str, Row] = field(default_factory=dict)
    classes: dict[tuple[str, DeliveryClass], Row] = field(default_factory=dict)
    residual_at: dict[StreamKey, IntervalSet] = field(default_factory=dict)
    power_losses: dict[StreamKey, PowerLoss] = field(default_factory=dict)

    @property
    def balanced(self) -> bool:
        """Every envelope is accounted for."""
        return self.total.residual == 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON: ledger, vans with their classes, residual intervals, power cuts with their bounds."""
        return {
            "ledger": self.total.as_dict(),
            "vans": {
                van: {
                    **row.as_dict(),
                    "classes": {
                        c.label: part.as_dict() for (owner, c), part in self.classes.items() if owner == van
                    },
                }
                for van, row in self.vans.items()
            },
            "residual_at": {
                stream.text: [list(pair) for pair in intervals]
                for stream, intervals in self.residual_at.items()
            },
            "power_losses": {stream.text: asdict(loss) for stream, loss in self.power_losses.items()},
        }


def evicted_of(account: ClassAccount) -> IntervalSet:
    """All that a van says it evicted."""
    return IntervalSet((eviction.first, eviction.last) for eviction in account.evicted)


def lost_to_power(account: ClassAccount, seen: IntervalSet) -> IntervalSet:
    """Envelopes that a power cut took for certain: numbered at or above its first, at or below the highest ever seen.

    Not those that the bridge acknowledged: Kafka had them, so where they are missing something else went wrong.
    """
    lost = IntervalSet()
    if account.power_loss is not None:
        highest = max(account.produced - 1, *(last for _, last in seen), -1)
        if account.power_loss.first <= highest:
            lost.add(account.power_loss.first, highest)
    return lost.difference(account.acked)


def join(
    vans: Mapping[str, VanReport],
    clouds: Mapping[StreamKey, CloudAccount],
    kafka: Mapping[StreamKey, IntervalSet],
) -> LedgerReport:
    """One sheet from both ends. What the cloud has beyond the van's report was produced, too: reports are older."""
    accounts = {
        StreamKey(van, account.epoch, account.delivery_class): account
        for van, report in vans.items()
        for account in report.accounts
    }
    ledger = LedgerReport()
    for stream in sorted({*accounts, *clouds, *kafka}):
        spooled = vans[stream.van].spooled if stream.van in vans else {}
        row, residual = join_stream(
            accounts.get(stream),
            spooled.get((stream.epoch, stream.delivery_class), IntervalSet()),
            clouds.get(stream),
            kafka.get(stream, IntervalSet()),
        )
        ledger.total.add(row)
        ledger.vans.setdefault(stream.van, Row()).add(row)
        ledger.classes.setdefault((stream.van, stream.delivery_class), Row()).add(row)
        if residual:
            ledger.residual_at[stream] = residual
        account = accounts.get(stream)
        if account is not None and account.power_loss is not None:
            ledger.power_losses[stream] = account.power_loss
    for van, report in vans.items():
        for counts in report.samples.values():
            row = Row(samples_produced=counts.produced, shed_by_reason=dict(counts.shed))
            ledger.vans.setdefault(van, Row()).add(row)
            ledger.total.add(row)
    return ledger


class Place(NamedTuple):
    """Envelopes of a stream that are in one place. state: one of SUMS after produced; reason: of rejected and evicted."""

    state: str
    reason: str
    seqs: IntervalSet


def places_of(
    account: ClassAccount | None, spooled: IntervalSet, cloud: CloudAccount | None, in_kafka: IntervalSet
) -> list[Place]:
    """Where the envelopes of one stream are, each in one place only; what nobody can account for is "residual"."""
    places: list[Place] = []
    taken = IntervalSet()

    def take(state: str, reason: str, intervals: IntervalSet) -> None:
        fresh = intervals.difference(taken)
        if fresh:
            taken.update(fresh)
            places.append(Place(state, reason, fresh))

    if cloud is not None:
        take("stored", "", cloud.stored)
        for reason in sorted(cloud.rejected):
            take("rejected", reason, cloud.rejected[reason])
    take("in_kafka", "", in_kafka)
    take("spooled", "", spooled)
    if account is not None:
        for eviction in account.evicted:
            take("evicted", eviction.reason, IntervalSet([(eviction.first, eviction.last)]))
        take("evicted", POWER, lost_to_power(account, taken))
        take("residual", "", IntervalSet([(0, account.produced - 1)] if account.produced else []))
    return places


def join_stream(
    account: ClassAccount | None, spooled: IntervalSet, cloud: CloudAccount | None, in_kafka: IntervalSet
) -> tuple[Row, IntervalSet]:
    """The sheet of one stream and what is missing from it."""
    row, residual = Row(), IntervalSet()
    for place in places_of(account, spooled, cloud, in_kafka):
        count = place.seqs.count()
        row.produced += count
        setattr(row, place.state, getattr(row, place.state) + count)
        if place.reason:
            reasons = row.rejected_by_reason if place.state == "rejected" else row.evicted_by_reason
            reasons[place.reason] = reasons.get(place.reason, 0) + count
        if place.state == "residual":
            residual = place.seqs
    if cloud is not None:
        for name in COUNTERS:
            setattr(row, name, getattr(cloud, name))
    return row, residual


async def read_books(settings: CloudSettings) -> Books:
    """All accounts in the ledger topic: the cloud's and the vans' own."""
    books = Books()

    def take(key: str, value: bytes | None) -> None:
        if value is not None:
            books.absorb(key, value)

    topic = CompactedTopic(settings.kafka, LEDGER, take)
    try:
        await topic.catch_up()
    finally:
        await topic.close()
    return books


@dataclass(slots=True)
class Backlog:
    """Envelopes that lie in Kafka, and when they are from."""

    seqs: dict[StreamKey, IntervalSet] = field(default_factory=dict)
    times: dict[StreamKey, SeqTimes] = field(default_factory=dict)

    def add_bundle(self, topic: str, value: bytes | None) -> None:
        """Take the messages of one record; what has no identity is in no account."""
        for _incoming, envelope, clock in readable(topic, value):
            self.seqs.setdefault(envelope.stream, IntervalSet()).add(envelope.seq)
            window = window_of(envelope, clock)
            if window is not None:
                first_ms, last_ms = window.first_unix_ns // NS_A_MS, window.last_unix_ns // NS_A_MS
                timed = Timed(envelope.seq, envelope.seq, first_ms, last_ms, UNSETTLED)
                self.times.setdefault(envelope.stream, SeqTimes()).put(timed)


async def in_kafka(settings: CloudSettings) -> Backlog:
    """Envelopes in records that the worker's group has not committed."""
    found = Backlog()
    async with group_standing(settings.kafka, "ledger-reader") as (consumer, standing):
        ends, places = standing.ends, standing.places
        behind = [tp for tp in ends if places[tp] < ends[tp]]
        consumer.assign(behind)
        for tp in behind:
            consumer.seek(tp, places[tp])
        idle = 0
        while any(places[tp] < ends[tp] for tp in behind) and idle < IDLE_POLLS_MAX:
            lots = await consumer.getmany(timeout_ms=POLL_MS)
            idle = 0 if lots else idle + 1
            for tp, records in lots.items():
                for record in records:
                    places[tp] = record.offset + 1
                    if record.offset < ends[tp]:
                        found.add_bundle(tp.topic, record.value)
    return found


async def lag(settings: CloudSettings) -> int:
    """Records that the worker's group has not committed, over all class topics."""
    async with group_standing(settings.kafka, "ledger-lag") as (_, standing):
        return sum(standing.ends[tp] - place for tp, place in standing.places.items())


async def read_ledger(settings: CloudSettings, vans: Mapping[str, VanReport] | None = None) -> LedgerReport:
    """The sheet as it is now. vans: reports read just before from the vans' disks; None: as the vans last reported.

    Read in the order in which envelopes travel (van, Kafka, cloud): what moves on meanwhile is seen twice, never missed.
    """
    return (await read_ends(settings)).joined(vans or {})


@dataclass(frozen=True, slots=True)
class Ends:
    """All that Kafka knows: what lies in it, and the accounts of both ends as they were told."""

    backlog: Backlog
    books: Books

    def joined(self, vans: Mapping[str, VanReport]) -> LedgerReport:
        """One sheet; vans: reports that are better than what the vans themselves last told."""
        reports = {
            van: VanReport.as_reported(tuple(told.streams.values()), told.samples)
            for van, told in self.books.vans.items()
        }
        for van, report in vans.items():
            told = self.books.vans.get(van)
            reports[van] = report if told is None else replace(report, samples=told.samples)
        return join(reports, self.books.clouds, self.backlog.seqs)


async def read_ends(settings: CloudSettings) -> Ends:
    """Ask Kafka, in the order in which envelopes travel."""
    backlog = await in_kafka(settings)
    return Ends(backlog, await read_books(settings))
