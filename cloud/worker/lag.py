"""How far the worker's group is behind, and a watchdog that ends a process which no longer moves.

Committed and end offsets of the class topics, asked of Kafka beside Faust's own consumer -> lag by partition, time of
the last commit progress. The watchdog thread leaves the process when there is lag but neither a commit nor an honest
wait (for the database, for a catalog) for stalled_after_s, or when the event loop itself is stuck. Monotonic seconds.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable

import structlog

from cloud.kafka.clients import (
    AIOKafkaConsumer,
    KafkaError,
    KafkaUnavailable,
    TopicPartition,
    answered,
    end_offsets,
    open_consumer,
    partitions_of,
)
from cloud.kafka.topics import BY_CLASS
from cloud.log import Seldom
from cloud.settings import KafkaSection

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
        self.mine: frozenset[TopicPartition] = frozenset()
        self.moved_s = now_s()
        self.beat_s = now_s()
        self.answered_s = float("-inf")

    def observe(self, committed: dict[TopicPartition, int], ends: dict[TopicPartition, int]) -> None:
        """Take what Kafka says now. A group that never committed has 0."""
        now_s = self._now_s()
        lag = {tp: max(end - committed.get(tp, 0), 0) for tp, end in ends.items()}
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
            found = [await partitions_of(self._kafka, topic) for topic in BY_CLASS.values()]
            self._partitions = [tp for part in found for tp in part]
            self._consumer = await open_consumer(self._kafka, "worker-lag", self._kafka.group)
            self._consumer.assign(self._partitions)
        # ends first: a commit between the two questions must not make a lag below zero look like none
        ends = await end_offsets(self._consumer, self._partitions)
        self._progress.observe(await committed_of(self._consumer, self._partitions), ends)

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
