"""Reader of a compacted Kafka topic: all of it first, then what comes.

Topic -> take(key, value or None for a deleted key, record) for every record in offset order. catch_up() returns when
everything that was in the topic at its call has been taken; tail() goes on until it is told to stop and outlives a
Kafka that goes away: the place is kept here, not in Kafka, so that nothing is skipped and little is read twice.
"""

from __future__ import annotations

import asyncio
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
    end_quietly,
    open_consumer,
    partitions_of,
)
from cloud.log import Seldom
from cloud.settings import KafkaSection

Take = Callable[[str, "bytes | None"], None]

POLL_S = 0.5
RETRY_S = 1.0
PROBE_PERIOD_S = 5.0
STUCK_S_MAX = 15.0
"""A consumer that is behind for so long without a record is built anew: after a broker restart one can stop for good."""
RECORDS_MAX = 500

_log = structlog.get_logger("compacted")


class CompactedTopic:
    """One reader of one topic. Use: await catch_up(); then await tail(stop) in a task; at the end await close()."""

    def __init__(self, kafka: KafkaSection, topic: str, take: Take, start_unix_ms: int | None = None) -> None:
        """take must not raise: it gets the key as text (undecodable bytes replaced) and the value, None for deleted.

        start_unix_ms: begin with the first record that Kafka has stamped with this time or a later one.
        """
        self.topic = topic
        self.stamp_unix_ms = 0
        """Kafka's stamp of the record that is being taken."""
        self._start_unix_ms = start_unix_ms
        self.answered_mono_s = float("-inf")
        self._kafka = kafka
        self._take = take
        self._next: dict[TopicPartition, int] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._seldom = Seldom()

    async def catch_up(self) -> int:
        """Read up to the present end; how many records. KafkaUnavailable when Kafka or the topic is not there."""
        consumer = await self._open()
        ends = await end_offsets(consumer, list(self._next))
        taken = 0
        last_s = time.monotonic()
        while any(self._next[partition] < end for partition, end in ends.items()):
            count = await self._read(consumer)
            taken += count
            if count:
                last_s = time.monotonic()
            elif time.monotonic() - last_s > STUCK_S_MAX:
                await self.close()
                raise KafkaUnavailable(
                    f"read topic {self.topic}: nothing for {STUCK_S_MAX:.0f} s; is Kafka up?"
                )
            else:
                # compaction may have removed the records before the end: the consumer's place is what counts then
                for partition in ends:
                    place = await answered(consumer.position(partition), "ask for the place")
                    self._next[partition] = max(self._next[partition], place)
        self.answered_mono_s = time.monotonic()
        return taken

    async def tail(self, stop: asyncio.Event) -> None:
        """Take what comes until stop; problems are logged and met with a new consumer at the same place."""
        probed_s = moved_s = time.monotonic()
        while not stop.is_set():
            try:
                consumer = await self._open()
                if await self._read(consumer):
                    moved_s = time.monotonic()
                if time.monotonic() - probed_s >= PROBE_PERIOD_S:
                    probed_s = time.monotonic()
                    if not await self._behind(consumer):
                        moved_s = time.monotonic()
                    elif time.monotonic() - moved_s > STUCK_S_MAX:
                        moved_s = time.monotonic()
                        raise KafkaUnavailable(f"read topic {self.topic}: behind, and nothing comes")
            except (KafkaUnavailable, KafkaError, OSError) as cause:
                held = self._seldom.allow("tail")
                if held is not None:
                    _log.warning(
                        "cannot read topic, trying again", topic=self.topic, cause=str(cause), held=held
                    )
                await self.close()
                await pause(stop, RETRY_S)

    async def close(self) -> None:
        """Close the consumer; the place is kept, a later call goes on from it."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await end_quietly(consumer.stop())

    async def _open(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            partitions = await partitions_of(self._kafka, self.topic)
            consumer = await open_consumer(self._kafka, f"{self.topic}-reader")
            consumer.assign(partitions)
            for partition, first in (await self._first_places(consumer, partitions)).items():
                consumer.seek(partition, self._next.setdefault(partition, first))
            self._consumer = consumer
        return self._consumer

    async def _first_places(
        self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Where to begin; a partition without a record that young begins at its end."""
        if self._start_unix_ms is None or self._next:
            return dict.fromkeys(partitions, 0)
        asking = consumer.offsets_for_times(dict.fromkeys(partitions, self._start_unix_ms))
        found = await answered(asking, f"ask topic {self.topic} for the records since a time")
        ends = await end_offsets(consumer, partitions)
        return {tp: ends[tp] if found[tp] is None else int(found[tp].offset) for tp in partitions}

    async def _read(self, consumer: AIOKafkaConsumer) -> int:
        """Take one lot; how many records."""
        lots = await consumer.getmany(timeout_ms=int(POLL_S * 1000), max_records=RECORDS_MAX)
        count = 0
        for partition, records in lots.items():
            for record in records:
                self.stamp_unix_ms = int(record.timestamp)
                self._take((record.key or b"").decode(errors="replace"), record.value)
                self._next[partition] = record.offset + 1
                count += 1
        if count:
            self.answered_mono_s = time.monotonic()
        return count

    async def _behind(self, consumer: AIOKafkaConsumer) -> bool:
        """Whether there are records that were not taken; also the proof that Kafka answers."""
        ends = await end_offsets(consumer, list(self._next))
        self.answered_mono_s = time.monotonic()
        places = {
            partition: await answered(consumer.position(partition), "ask for the place") for partition in ends
        }
        return any(places[partition] < end for partition, end in ends.items())


async def pause(stop: asyncio.Event, duration_s: float) -> None:
    """Sleep, but not longer than until stop."""
    try:
        await asyncio.wait_for(stop.wait(), duration_s)
    except asyncio.TimeoutError:
        return
