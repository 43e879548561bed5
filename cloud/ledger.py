"""The ledger: both ends joined into one sheet on which every envelope stands once, or in the residual.

Reports of vans (produced, evicted, spooled), accounts of the cloud (stored, rejected) and what lies in Kafka between
committed and end -> LedgerReport. An envelope that several places know counts where it is best known: stored, then
rejected, in Kafka, spooled, evicted. The join is pure; the two readers ask Kafka. Counts in envelopes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cloud.accounts import Books, CloudAccount
from cloud.compacted import CompactedTopic
from cloud.kafka import TopicPartition, answered, end_offsets, open_consumer, partitions_of
from cloud.lag import committed_of
from cloud.outcome import Reject
from cloud.settings import CloudSettings
from cloud.steps.open import open_bundle, open_incoming
from cloud.topics import BY_CLASS, LEDGER
from vantel.identity import DeliveryClass, Epoch, StreamKey
from vantel.intervals import IntervalSet
from vantel.payloads import ClassAccount, PowerLoss

POLL_MS = 300
IDLE_POLLS_MAX = 50
SUMS = ("produced", "stored", "rejected", "evicted", "spooled", "in_kafka", "residual")


@dataclass(frozen=True, slots=True)
class VanReport:
    """The van's end: from its disk (exact), or as last reported (spooled then is what was neither acked nor evicted)."""

    accounts: tuple[ClassAccount, ...]
    spooled: Mapping[tuple[Epoch, DeliveryClass], IntervalSet]

    @classmethod
    def as_reported(cls, accounts: tuple[ClassAccount, ...]) -> VanReport:
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
        return cls(accounts, spooled)


@dataclass(slots=True)
class Row:
    """The sheet of one stream, or a sum of sheets. residual_at: the intervals that nobody can account for."""

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

    def add(self, other: Row) -> None:
        """Add another row to this one."""
        for name in (*SUMS, *COUNTERS):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for mine, theirs in (
            (self.rejected_by_reason, other.rejected_by_reason),
            (self.evicted_by_reason, other.evicted_by_reason),
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
    return ledger


def join_stream(
    account: ClassAccount | None, spooled: IntervalSet, cloud: CloudAccount | None, in_kafka: IntervalSet
) -> tuple[Row, IntervalSet]:
    """The sheet of one stream and what is missing from it."""
    row = Row()
    taken = IntervalSet()

    def take(intervals: IntervalSet) -> int:
        fresh = intervals.difference(taken)
        taken.update(fresh)
        return fresh.count()

    if cloud is not None:
        row.stored = take(cloud.stored)
        row.rejected_by_reason = {reason: take(cloud.rejected[reason]) for reason in sorted(cloud.rejected)}
        row.rejected_by_reason = {reason: count for reason, count in row.rejected_by_reason.items() if count}
        row.rejected = sum(row.rejected_by_reason.values())
        for name in COUNTERS:
            setattr(row, name, getattr(cloud, name))
    row.in_kafka = take(in_kafka)
    row.spooled = take(spooled)
    for eviction in account.evicted if account is not None else ():
        count = take(IntervalSet([(eviction.first, eviction.last)]))
        if count:
            row.evicted_by_reason[eviction.reason] = row.evicted_by_reason.get(eviction.reason, 0) + count
    if account is not None and (cut := take(lost_to_power(account, taken))):
        row.evicted_by_reason["power"] = row.evicted_by_reason.get("power", 0) + cut
    row.evicted = sum(row.evicted_by_reason.values())
    produced = taken.copy()
    if account is not None and account.produced:
        produced.add(0, account.produced - 1)
    residual = produced.difference(taken)
    row.produced, row.residual = produced.count(), residual.count()
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


async def read_cloud_accounts(settings: CloudSettings) -> dict[StreamKey, CloudAccount]:
    """The cloud's accounts alone."""
    return (await read_books(settings)).clouds


async def in_kafka(settings: CloudSettings) -> dict[StreamKey, IntervalSet]:
    """Envelopes in records that the worker's group has not committed."""
    found: dict[StreamKey, IntervalSet] = {}
    parts = await asyncio.gather(*(partitions_of(settings.kafka, name) for name in BY_CLASS.values()))
    partitions = [tp for part in parts for tp in part]
    consumer = await open_consumer(settings.kafka, "ledger-reader", settings.kafka.group)
    try:
        consumer.assign(partitions)
        committed = await committed_of(consumer, partitions)
        ends = await end_offsets(consumer, partitions)
        starts = await answered(consumer.beginning_offsets(partitions), "ask for first offsets")
        places = {tp: max(committed[tp], int(starts[tp])) for tp in partitions}
        behind = [tp for tp in partitions if places[tp] < ends[tp]]
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
                        _add_bundle(found, tp, record.value)
    finally:
        await consumer.stop()
    return found


async def lag(settings: CloudSettings) -> int:
    """Records that the worker's group has not committed, over all class topics."""
    parts = await asyncio.gather(*(partitions_of(settings.kafka, name) for name in BY_CLASS.values()))
    partitions = [tp for part in parts for tp in part]
    consumer = await open_consumer(settings.kafka, "ledger-lag", settings.kafka.group)
    try:
        consumer.assign(partitions)
        ends = await end_offsets(consumer, partitions)
        committed = await committed_of(consumer, partitions)
        return sum(max(ends[tp] - committed[tp], 0) for tp in partitions)
    finally:
        await consumer.stop()


def _add_bundle(found: dict[StreamKey, IntervalSet], tp: TopicPartition, value: bytes | None) -> None:
    """Identities of the messages of one record; what has none is in no account."""
    opened = open_bundle(tp.topic, value)
    if isinstance(opened, Reject):
        return
    for incoming in opened:
        message = open_incoming(incoming)
        if not isinstance(message, Reject) and message[0].van == incoming.van:
            found.setdefault(message[0].stream, IntervalSet()).add(message[0].seq)


async def read_ledger(settings: CloudSettings, vans: Mapping[str, VanReport] | None = None) -> LedgerReport:
    """The sheet as it is now. vans: reports read just before from the vans' disks; None: as the vans last reported.

    Read in the order in which envelopes travel (van, Kafka, cloud): what moves on meanwhile is seen twice, never missed.
    """
    kafka = await in_kafka(settings)
    books = await read_books(settings)
    reports = {
        van: VanReport.as_reported(tuple(account.streams.values())) for van, account in books.vans.items()
    }
    return join(reports | dict(vans or {}), books.clouds, kafka)
