"""The worker on a plain Kafka consumer, without Faust: worker.adapter = "aiokafka".

One consumer, one task a topic: records of a topic -> Runtime.handle -> acks -> a commit every commit_interval_s of what
is acked, partition by partition, and never of a partition that was given away: each assignment has a number, and acks
of an older one are dropped (its records come again, which changes nothing). Kafka away is waited out; any other error
ends the process as everywhere in the worker.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from cloud.kafka.clients import (
    AIOKafkaConsumer,
    ConsumerRebalanceListener,
    KafkaError,
    KafkaUnavailable,
    TopicPartition,
    end_quietly,
    open_group_consumer,
)
from cloud.kafka.topics import BY_CLASS
from cloud.log import Seldom
from cloud.settings import CloudSettings
from cloud.worker.worker import Runtime

RETRY_S = 1.0
UNASSIGNED_S = 0.05
IDLE_MS = 200
_log = structlog.get_logger("worker")


class Acked:
    """Next offset to commit of each partition that is ours. Pure."""

    def __init__(self) -> None:
        self.assignment = 0
        self._offsets: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}

    def reassigned(self) -> None:
        """Partitions changed hands: what is acked of the assignment before counts no longer."""
        self.assignment += 1
        self._offsets, self._committed = {}, {}

    def ack(self, assignment: int, partition: TopicPartition, offset: int) -> None:
        """A record is dealt with; in order within its partition."""
        if assignment == self.assignment:
            self._offsets[partition] = offset + 1

    def due(self) -> dict[TopicPartition, int]:
        """What to commit."""
        return {tp: offset for tp, offset in self._offsets.items() if self._committed.get(tp) != offset}

    def committed(self, assignment: int, offsets: dict[TopicPartition, int]) -> None:
        """Kafka has taken them."""
        if assignment == self.assignment:
            self._committed.update(offsets)


@dataclass(frozen=True, slots=True)
class TakenRecord:
    """An event for Runtime.handle."""

    acked: Acked
    assignment: int
    partition: TopicPartition
    offset: int
    value: bytes | None

    def ack(self) -> None:
        """Its offset may be committed."""
        self.acked.ack(self.assignment, self.partition, self.offset)


class _Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]
    """Commits before partitions go, starts anew when they have come."""

    def __init__(self, adapter: ConsumerAdapter) -> None:
        self._adapter = adapter

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        if list(revoked):
            await self._adapter.commit()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._adapter.assigned(set(assigned))


class ConsumerAdapter:
    """One consumer of the group."""

    def __init__(self, settings: CloudSettings, runtime: Runtime) -> None:
        self._settings, self._runtime = settings, runtime
        self._acked = Acked()
        self._consumer: AIOKafkaConsumer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._committing = asyncio.Lock()
        self._seldom = Seldom()
        self.crash_reason: BaseException | None = None

    async def start(self) -> None:
        """Join the group; waits until Kafka is there, or the worker is stopped."""
        topics = sorted(BY_CLASS.values())
        while self._consumer is None:
            if self._runtime.stop.is_set():
                return
            try:
                self._consumer = await open_group_consumer(
                    self._settings.kafka, "worker", topics, _Rebalance(self)
                )
            except KafkaUnavailable as cause:
                held = self._seldom.allow("kafka")
                if held is not None:
                    _log.warning("waiting for Kafka", cause=str(cause), held=held)
                await asyncio.sleep(RETRY_S)
        loops = [self._work(topic) for topic in BY_CLASS.values()] + [self._commit_now_and_then()]
        self._tasks = [asyncio.create_task(self._runtime.or_leave(loop)) for loop in loops]

    async def wait_until_stopped(self) -> object:
        """Returns when a task has ended, which none does by itself."""
        if not self._tasks:
            return None
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        self.crash_reason = next((task.exception() for task in done if not task.cancelled()), None)
        return self.crash_reason

    async def stop(self) -> None:
        """Commit what is acked, and leave the group."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._consumer is not None:
            await end_quietly(self.commit())
            await end_quietly(self._consumer.stop())

    def assigned(self, partitions: set[TopicPartition]) -> None:
        """Partitions have come."""
        self._acked.reassigned()
        self._runtime.assigned(partitions)

    async def commit(self) -> None:
        """Commit what is acked; what cannot be committed now is tried again, or comes again."""
        async with self._committing:
            assignment, offsets = self._acked.assignment, self._acked.due()
            if not offsets or self._consumer is None:
                return
            try:
                await self._consumer.commit(offsets)
            except (KafkaError, OSError) as cause:
                if self._seldom.allow("commit") is not None:
                    _log.warning("cannot commit, trying again", cause=str(cause))
                return
            self._acked.committed(assignment, offsets)

    async def _work(self, topic: str) -> None:
        """Batches of one topic, one after another."""
        worker = self._settings.worker
        consumer = self._consumer
        assert consumer is not None
        astray: set[TopicPartition] = set()
        while True:
            assignment = self._acked.assignment
            mine = [tp for tp in consumer.assignment() if tp.topic == topic]
            astray.intersection_update(mine)
            if not mine:
                await asyncio.sleep(UNASSIGNED_S)
                continue
            try:
                if astray:
                    await consumer.seek_to_committed(*astray)
                    astray.clear()
                lots = await consumer.getmany(*mine, timeout_ms=IDLE_MS, max_records=worker.take_max)
            except (KafkaError, OSError) as cause:
                if self._seldom.allow(topic) is not None:
                    _log.warning("cannot read, trying again", topic=topic, cause=str(cause))
                await asyncio.sleep(RETRY_S)
                continue
            if assignment != self._acked.assignment:
                astray.update(
                    lots
                )  # of the old assignment or of the new: nobody can tell, so they come again
                continue
            events = [
                TakenRecord(self._acked, assignment, tp, record.offset, record.value)
                for tp, records in lots.items()
                for record in records
            ]
            if events:
                await self._runtime.handle(topic, events)

    async def _commit_now_and_then(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(self._settings.worker.commit_interval_s)
                await self.commit()
