"""How far the worker's group is behind, and a watchdog that ends a process which no longer moves.

Committed, first and end offsets of the class topics, asked of Kafka beside the adapter's own consumer -> lag by
partition, time of the last commit progress. A committed offset outside the log counts for what it is: below it, Kafka's
retention took records that nobody had read; above it, Kafka was restored from an older copy, or cut. The watchdog thread leaves the process when there is lag but neither a commit nor an honest
wait (for the database, for a catalog) for stalled_after_s, or when the event loop itself is stuck. Monotonic seconds.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import structlog

from cloud.kafka.clients import (
    AIOKafkaConsumer,
    KafkaError,
    KafkaUnavailable,
    TopicPartition,
    answered,
    bounds_of,
    open_consumer,
    partitions_of,
)
from cloud.kafka.topics import BY_CLASS
from cloud.log import Seldom
from cloud.settings import KafkaSection
from vantel.identity import DeliveryClass

POLL_S = 1.0
WATCH_S = 0.25
KAFKA_AWAY_S = 15.0
EXIT_STALLED = 75
_log = structlog.get_logger("lag")


class Progress:
    """Signs of life; written by the event loop, read by the watchdog thread."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self.lag: dict[TopicPartition, int] = {}
        self.committed: dict[TopicPartition, int] = {}
        self.beyond: dict[TopicPartition, int] = {}
        """Committed offsets that lie above the end of their partition, though it has records."""
        self.sound_s = now_s()
        self.mine: frozenset[TopicPartition] = frozenset()
        self.moved_s = now_s()
        self.beat_s = now_s()
        self.answered_s = float("-inf")

    def observe(
        self,
        committed: dict[TopicPartition, int],
        starts: dict[TopicPartition, int],
        ends: dict[TopicPartition, int],
    ) -> None:
        """Take what Kafka says now. A group that never committed has 0.

        Above the end there is no telling how far the group is: such a partition has no lag here, and is in beyond.
        """
        now_s = self._now_s()
        lag = {tp: max(end - max(committed.get(tp, 0), starts[tp]), 0) for tp, end in ends.items()}
        self.beyond = {
            tp: committed[tp] for tp, end in ends.items() if starts[tp] < end < committed.get(tp, 0)
        }
        if not any(tp in self.mine for tp in self.beyond):
            self.sound_s = now_s
        behind = any(count for tp, count in lag.items() if tp in self.mine)
        was_away = now_s - self.answered_s > KAFKA_AWAY_S
        if was_away or not behind or any(committed[tp] > self.committed.get(tp, 0) for tp in committed):
            self.moved_s = now_s
        self.lag, self.committed, self.answered_s = lag, dict(committed), now_s

    def stalled(self, stalled_after_s: float, waited_s: float) -> str:
        """What has stood still for too long; empty when nothing. waited_s: time of the last honest wait."""
        now_s = self._now_s()
        if now_s - self.beat_s > stalled_after_s:
            return f"the event loop has not turned for {now_s - self.beat_s:.0f} s"
        if now_s - self.answered_s > KAFKA_AWAY_S:
            return ""  # nobody can commit to a Kafka that is away
        still_s = now_s - max(self.moved_s, waited_s)
        behind = sum(count for tp, count in self.lag.items() if tp in self.mine)
        if behind and still_s > stalled_after_s:
            return f"{behind} records behind and no commit for {still_s:.0f} s"
        if now_s - max(self.sound_s, waited_s) > stalled_after_s:
            return f"committed offsets lie above the end of {len(self.beyond)} partitions; a start reads them anew"
        return ""


class LagWatch:
    """Keeps Progress up to date; run() in a task of the worker's loop."""

    def __init__(self, kafka: KafkaSection, progress: Progress) -> None:
        self._kafka, self._progress = kafka, progress
        self._consumer: AIOKafkaConsumer | None = None
        self._partitions: list[TopicPartition] = []
        self._seldom = Seldom()

    async def run(self) -> None:
        """Until cancelled. Kafka may be away: then the figures are old, which answered_s tells."""
        try:
            while True:
                try:
                    await self._look()
                except (KafkaError, KafkaUnavailable, OSError) as cause:
                    if self._seldom.allow("lag") is not None:
                        _log.warning("cannot ask Kafka for offsets, trying again", cause=str(cause))
                    await self._close()
                await asyncio.sleep(POLL_S)
        finally:
            await self._close()

    async def _look(self) -> None:
        if self._consumer is None:
            self._partitions = await class_partitions(self._kafka)
            self._consumer = await open_consumer(self._kafka, "worker-lag", self._kafka.group)
            self._consumer.assign(self._partitions)
        # committed first: what is committed, and even produced, between two questions must not look like beyond the end
        committed = await committed_of(self._consumer, self._partitions)
        starts, ends = await bounds_of(self._consumer, self._partitions)
        self._progress.observe(committed, starts, ends)

    async def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await asyncio.wait({asyncio.ensure_future(consumer.stop())}, timeout=1.0)


async def committed_of(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition]
) -> dict[TopicPartition, int]:
    """Committed offset of each partition, 0 where there is none; the consumer has the group."""
    asked = [answered(consumer.committed(tp), "ask for committed offsets") for tp in partitions]
    return {tp: offset or 0 for tp, offset in zip(partitions, await asyncio.gather(*asked), strict=True)}


def reading_from(
    committed: dict[TopicPartition, int], starts: dict[TopicPartition, int], ends: dict[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Where a group goes on: at what it committed, or at the first record that is there when that is outside the log."""
    return {
        tp: committed[tp] if starts[tp] <= committed[tp] <= end else starts[tp] for tp, end in ends.items()
    }


async def class_partitions(kafka: KafkaSection) -> list[TopicPartition]:
    """The partitions of all class topics; KafkaUnavailable when there is no such topic."""
    parts = await asyncio.gather(*(partitions_of(kafka, topic) for topic in BY_CLASS.values()))
    return [tp for part in parts for tp in part]


class Standing(NamedTuple):
    """Of the workers' group in each partition of the class topics: committed offset, the log's bounds, where it goes on."""

    committed: dict[TopicPartition, int]
    starts: dict[TopicPartition, int]
    ends: dict[TopicPartition, int]
    places: dict[TopicPartition, int]


@asynccontextmanager
async def group_standing(
    kafka: KafkaSection, client: str
) -> AsyncIterator[tuple[AIOKafkaConsumer, Standing]]:
    """A consumer with all class partitions, and how the workers' group stands. KafkaUnavailable when Kafka does not answer."""
    partitions = await class_partitions(kafka)
    consumer = await open_consumer(kafka, client, kafka.group)
    try:
        consumer.assign(partitions)
        committed = await committed_of(consumer, partitions)
        starts, ends = await bounds_of(consumer, partitions)
        yield consumer, Standing(committed, starts, ends, reading_from(committed, starts, ends))
    finally:
        await consumer.stop()


class Unread(NamedTuple):
    """Records of P1, where the reports of vans are, that the workers have not committed, and since when: all that Kafka
    had before since_unix_s is told."""

    records: int
    since_unix_s: float


async def unread(kafka: KafkaSection, client: str) -> Unread:
    """How far back in time the workers are. KafkaUnavailable when Kafka does not answer."""
    async with group_standing(kafka, client) as (consumer, standing):
        p1 = [tp for tp in standing.ends if tp.topic == BY_CLASS[DeliveryClass.P1]]
        places = {tp: standing.places[tp] for tp in p1 if standing.places[tp] < standing.ends[tp]}
        since_s = time.time()
        if places:
            consumer.assign(list(places))
        for tp, place in places.items():
            consumer.seek(tp, place)
            record = await answered(consumer.getone(tp), "read the oldest record that is not committed")
            since_s = min(since_s, record.timestamp / 1e3)
        return Unread(sum(standing.ends[tp] - place for tp, place in places.items()), since_s)


def start_watchdog(
    progress: Progress, stalled_after_s: float, waited_s: Callable[[], float]
) -> threading.Event:
    """A daemon thread that ends the process with EXIT_STALLED; set the event returned to call it off."""
    off = threading.Event()

    def watch() -> None:
        while not off.wait(WATCH_S):
            reason = progress.stalled(stalled_after_s, waited_s())
            if reason:
                _log.error(
                    "stalled, leaving so that a fresh process goes on from the last commit", cause=reason
                )
                os._exit(EXIT_STALLED)

    threading.Thread(target=watch, name="watchdog", daemon=True).start()
    return off


async def beat(progress: Progress) -> None:
    """Show that the loop turns; run in a task."""
    while True:
        progress.beat_s = time.monotonic()
        await asyncio.sleep(WATCH_S)
