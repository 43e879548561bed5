"""A simulated Kafka behind the three classes of aiokafka that cloud.kafka.clients uses.

Fair faults: Kafka is away for a while (sends wait, questions fail); the answer to a send is lost or is an error although
the record was or was not taken, so that the sender repeats it with a new producer; a record of a killed process arrives
afterwards; a member of the group that does not answer loses its partitions and comes back as a zombie whose commits are
refused. Unfair, and never done: a record with acks=all is lost or changed, the order within one producer and partition
is broken, a committed offset goes back, the newest record of a key of a compacted topic is removed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, NamedTuple

from aiokafka import TopicPartition  # type: ignore[import-untyped]
from aiokafka.errors import KafkaConnectionError, KafkaError  # type: ignore[import-untyped]

from cloud.kafka.topics import BY_CLASS, TOPICS
from vantel.crc32c import crc32c
from vantel_rig.sim.processes import ProcessLoop, current
from vantel_rig.sim.world import EPOCH_UNIX_NS, START_NS, World

PARTITIONS = 2
POLL_S_MAX = 20.0
"""A poll without news lasts so long here, whatever the caller asked for: it only saves events."""
LATENCY_S = 0.01


class Stored(NamedTuple):
    """A record of a partition."""

    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int = 0


class Kafka:
    """Topics, offsets of the one group, and the state of the weather."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.stream("kafka")
        self.up = True
        self.fail = 0.0
        self.fenced = 0.0
        self.logs: dict[TopicPartition, list[Stored | None]] = {}
        """None: removed by compaction, which here follows at once."""
        self._newest: dict[tuple[TopicPartition, bytes | None], int] = {}
        self._compacted = {topic.name for topic in TOPICS if topic.compacted}
        for topic in TOPICS:
            for number in range(1 if topic.compacted else PARTITIONS):
                self.logs[TopicPartition(topic.name, number)] = []
        self.committed: dict[TopicPartition, int] = {}
        self._held: list[tuple[Any, ...]] = []
        self._waiting: list[tuple[frozenset[str], asyncio.Future[None]]] = []

    def partition_of(self, topic: str, key: bytes) -> TopicPartition:
        """Where a key goes."""
        return TopicPartition(topic, 0 if topic in self._compacted else crc32c(key) % PARTITIONS)

    def lag(self) -> int:
        """Records of the class topics that the group has not committed."""
        return sum(
            len(log) - self.committed.get(tp, 0)
            for tp, log in self.logs.items()
            if tp.topic in BY_CLASS.values()
        )

    def arrive(
        self, producer: Producer, tp: TopicPartition, key: bytes, value: bytes | None, answer: Any
    ) -> None:
        """A record reaches Kafka, if Kafka is there; till then it waits in the memory of its process."""
        if not self.up:
            self._held.append((producer, tp, key, value, answer))
            return
        fate = self.rng.random()
        if fate < self.fail:
            taken = self.rng.random() < 0.5
            self.world.count("produce failed after it was taken" if taken else "produce failed")
            if taken:
                self._append(tp, key, value)
            self.world.at(LATENCY_S, producer.settle, answer, KafkaError("the answer was lost"), None)
            return
        stored = self._append(tp, key, value)
        self.world.at(LATENCY_S, producer.settle, answer, None, stored)

    def _append(self, tp: TopicPartition, key: bytes, value: bytes | None) -> Stored:
        log = self.logs[tp]
        stored = Stored(key, value, len(log), (EPOCH_UNIX_NS + self.world.now_ns - START_NS) // 1_000_000)
        log.append(stored)
        if tp.topic in self._compacted:
            older = self._newest.get((tp, key))
            if older is not None:
                log[older] = None
            self._newest[tp, key] = stored.offset
        self.world.note("kafka", f"{tp.topic}/{tp.partition} {stored.offset} {crc32c(value or b''):08x}")
        self.wake(tp.topic)
        return stored

    def wake(self, topic: str = "") -> None:
        """Pollers of a topic, or all, look again."""
        waiting, self._waiting = self._waiting, []
        for topics, future in waiting:
            if topic and topic not in topics:
                self._waiting.append((topics, future))
            elif not future.done():
                future.set_result(None)

    def waiter(self, topics: Iterable[str]) -> asyncio.Future[None]:
        """Done when one of these topics has news, or Kafka or the group has."""
        future: asyncio.Future[None] = current().create_future()
        self._waiting.append((frozenset(topics), future))
        return future

    def stop(self) -> None:
        """Kafka goes away."""
        self.up = False

    def heal(self) -> None:
        """Kafka is back; what waited arrives."""
        self.up = True
        held, self._held = self._held, []
        for item in held:
            if not item[0].process.dead:
                self.world.at(LATENCY_S, self.arrive, *item)
        self.wake()


class _Accumulator:
    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def fail_all(self, cause: Exception) -> None:
        for answer in self._producer.pending:
            if not answer.done():
                answer.set_exception(cause)
        self._producer.pending.clear()


class _Client:
    async def close(self) -> None:
        return


class Producer:
    """Stands for AIOKafkaProducer."""

    kafka: Kafka

    def __init__(self, **_: Any) -> None:
        self.process: ProcessLoop = current()
        self.pending: dict[asyncio.Future[Any], None] = {}
        self._message_accumulator = _Accumulator(self)
        self.client = _Client()
        self._last_ns: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        """KafkaError when Kafka is away."""
        await asyncio.sleep(LATENCY_S)
        if not self.kafka.up:
            raise KafkaConnectionError("no broker answers")

    async def stop(self) -> None:
        """Nothing is left to send."""

    async def send(
        self, topic: str, value: bytes | None = None, key: bytes | None = None
    ) -> asyncio.Future[Any]:
        """The future is Kafka's answer."""
        self.process.step(f"send {topic}")
        kafka = self.kafka
        tp = kafka.partition_of(topic, key or b"")
        answer: asyncio.Future[Any] = self.process.create_future()
        self.pending[answer] = None
        world = kafka.world
        due_ns = max(
            self._last_ns.get(tp, 0) + 1, world.now_ns + round(LATENCY_S * 1e9 * kafka.rng.uniform(0.5, 2))
        )
        self._last_ns[tp] = due_ns
        world.at((due_ns - world.now_ns) / 1e9, kafka.arrive, self, tp, key, value, answer)
        return answer

    def settle(self, answer: asyncio.Future[Any], failure: Exception | None, stored: Stored | None) -> None:
        """Kafka's answer reaches the process, if it is still there to hear it."""
        self.pending.pop(answer, None)
        if self.process.dead or answer.done():
            return
        answer.set_exception(failure) if failure is not None else answer.set_result(stored)


class Consumer:
    """Stands for AIOKafkaConsumer without a group protocol: partitions are assigned by hand."""

    kafka: Kafka

    def __init__(self, **_: Any) -> None:
        self._places: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        """KafkaError when Kafka is away."""
        await asyncio.sleep(LATENCY_S)
        self._ask()

    async def stop(self) -> None:
        """Gone."""

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Read these."""
        self._places = {tp: self._places.get(tp, 0) for tp in partitions}

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Go on from there."""
        self._places[tp] = offset

    async def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        """Start over."""
        for tp in partitions:
            self._places[tp] = 0

    async def position(self, tp: TopicPartition) -> int:
        """Next offset."""
        return self._places[tp]

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Asked of Kafka."""
        await asyncio.sleep(LATENCY_S)
        self._ask()
        return {tp: len(self.kafka.logs[tp]) for tp in partitions}

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Nothing is ever deleted here."""
        return dict.fromkeys(partitions, 0)

    async def committed(self, tp: TopicPartition) -> int | None:
        """Of the one group."""
        self._ask()
        return self.kafka.committed.get(tp)

    async def getmany(
        self, *_: Any, timeout_ms: int = 0, max_records: int = 500
    ) -> dict[TopicPartition, list[Stored]]:
        """What there is, or what comes."""
        lots = self._lots(max_records)
        if not lots and timeout_ms:
            waiter = self.kafka.waiter(tp.topic for tp in self._places)
            await asyncio.wait([waiter], timeout=max(POLL_S_MAX, timeout_ms / 1000))
            lots = self._lots(max_records)
        return lots

    def _lots(self, max_records: int) -> dict[TopicPartition, list[Stored]]:
        if not self.kafka.up:
            return {}
        lots = {}
        for tp in self._places:
            log, found = self.kafka.logs[tp], []
            while self._places[tp] < len(log) and len(found) < max_records:
                record = log[self._places[tp]]
                self._places[tp] += 1
                if record is not None:
                    found.append(record)
            if found:
                lots[tp] = found
        return lots

    def _ask(self) -> None:
        if not self.kafka.up:
            raise KafkaConnectionError("no broker answers")


class Admin:
    """Stands for AIOKafkaAdminClient."""

    kafka: Kafka

    def __init__(self, **_: Any) -> None:
        return

    async def start(self) -> None:
        """KafkaError when Kafka is away."""
        if not self.kafka.up:
            raise KafkaConnectionError("no broker answers")

    async def close(self) -> None:
        """Gone."""

    async def describe_topics(self, topics: list[str]) -> list[dict[str, Any]]:
        """Partitions of topics."""
        return [
            {"partitions": [{"partition": tp.partition} for tp in self.kafka.logs if tp.topic == name]}
            for name in topics
        ]
