"""The simulated cloud: real bridge and real worker core as processes in virtual time, started again when they die.

The bridge runs as it is. The worker is Delivery, Sink, Books, AckQueue, CompactedTopic and LateCatalogs as they are; what
a stream framework does (partitions of a group, batches of one topic, commits of what was acked) is done by Group here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition  # type: ignore[import-untyped]

from cloud.bridge.bridge import Bridge
from cloud.kafka.clients import KafkaUnavailable
from cloud.kafka.compacted import CompactedTopic
from cloud.kafka.publish import Publisher
from cloud.kafka.topics import BY_CLASS, CATALOG
from cloud.ledger.accounts import Books
from cloud.ledger.reader import LedgerReader
from cloud.settings import CloudSettings
from cloud.sink.sink import Sink
from cloud.worker.ack_queue import AckQueue
from cloud.worker.delivery import Delivery, Record
from cloud.worker.late_catalogs import LateCatalogs
from cloud.worker.steps.validate import CatalogBook
from vantel_rig.sim.broker import Broker
from vantel_rig.sim.influx import Influx
from vantel_rig.sim.kafka import Kafka
from vantel_rig.sim.processes import ProcessLoop
from vantel_rig.sim.world import Killed, World

SESSION_S = 6.0
RESTART_S = 1.0
COMMIT_S = 1.0
TAKE_MAX = 64


@dataclass(eq=False)
class Member:
    """One worker in the group. places: next offset to read; acked: next offset to commit."""

    process: ProcessLoop
    generation: int = -1
    places: dict[TopicPartition, int] = field(default_factory=dict)
    acked: dict[TopicPartition, int] = field(default_factory=dict)


class Group:
    """The consumer group: who owns which partition, and which commits count."""

    def __init__(self, world: World, kafka: Kafka) -> None:
        self.world, self.kafka = world, kafka
        self.generation = 0
        self.members: list[Member] = []
        self._partitions = sorted(tp for tp in kafka.logs if tp.topic in BY_CLASS.values())

    def join(self, member: Member) -> None:
        """Become a member; all get new partitions."""
        if member not in self.members:
            self.members.append(member)
            self._rebalance("join")

    def look(self, member: Member) -> None:
        """A session time-out later: a member that is dead or stopped loses its partitions."""
        if member in self.members and (member.process.dead or member.process.paused):
            self.members.remove(member)
            self._rebalance("session timed out")

    def _rebalance(self, why: str) -> None:
        self.generation += 1
        self.world.count("rebalance")
        self.world.note("group", f"generation {self.generation}: {why}")
        self.kafka.wake()

    def enter(self, member: Member) -> None:
        """Learn the partitions of the present generation; reading goes on at what is committed."""
        if member not in self.members:
            self.join(member)
        rank, count = self.members.index(member), len(self.members)
        mine = [tp for number, tp in enumerate(self._partitions) if number % count == rank]
        member.generation = self.generation
        member.places = {tp: self.kafka.committed.get(tp, 0) for tp in mine}
        member.acked = {}

    def is_current(self, member: Member) -> bool:
        """Whether what the member knows of its partitions is true."""
        return member in self.members and member.generation == self.generation

    def take(self, member: Member, topic: str) -> list[tuple[TopicPartition, Any]]:
        """The next records of one topic."""
        found: list[tuple[TopicPartition, Any]] = []
        if not self.kafka.up:
            return found
        for tp in sorted(member.places):
            if tp.topic == topic:
                lot = self.kafka.logs[tp][member.places[tp] : member.places[tp] + TAKE_MAX - len(found)]
                member.places[tp] += len(lot)
                found += [(tp, record) for record in lot]
        return found

    def commit(self, member: Member) -> None:
        """Commit what is acked; a zombie's commit is refused."""
        member.process.step("commit")
        if not self.kafka.up:
            return
        if not self.is_current(member):
            self.world.count("commit of a zombie refused")
            return
        for tp, offset in sorted(member.acked.items()):
            if offset > self.kafka.committed.get(tp, 0):
                self.kafka.committed[tp] = offset
                self.world.note("group", f"commit {tp.topic}/{tp.partition} {offset}")


@dataclass(slots=True)
class _Token:
    """Stands for the event of a framework: ack() makes its offset committable in its own generation."""

    member: Member
    generation: int
    tp: TopicPartition
    offset: int

    def ack(self) -> None:
        if self.generation == self.member.generation:
            self.member.acked[self.tp] = max(self.member.acked.get(self.tp, 0), self.offset + 1)


class Worker:
    """The program of one worker process; construct it inside the process."""

    def __init__(self, settings: CloudSettings, influx: Influx, group: Group, member: Member) -> None:
        self._group, self._member = group, member
        books = Books()
        self._publisher = Publisher(settings.kafka, "worker")
        self._delivery = Delivery(
            Sink(influx, settings.influx), self._publisher.publish, books,
            CatalogBook(settings.worker.catalog_wait_s_max),
        )  # fmt: skip
        self._late = LateCatalogs(settings.kafka, self._publisher, self._delivery, books)
        self._ledger = LedgerReader(settings.kafka, books, self._delivery.ledger_keys)
        self._catalog = CompactedTopic(
            settings.kafka, CATALOG, lambda _, value: self._delivery.learn(value or b"") and None
        )
        self._entering = asyncio.Lock()

    async def run(self) -> None:
        """Until something fails."""
        while True:
            try:
                await self._publisher.open()
                await self._catalog.catch_up()
                break
            except KafkaUnavailable:
                await self._publisher.close()
                await asyncio.sleep(RESTART_S)
        stop = asyncio.Event()
        work = [self._agent(topic) for topic in BY_CLASS.values()]
        work += [self._commit(), self._catalog.tail(stop), self._late.run(stop)]
        done, _ = await asyncio.wait(
            [asyncio.create_task(item) for item in work], return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            task.result()

    async def _enter(self) -> None:
        """Partitions may have changed hands: what others wrote into the ledger is read before the next batch."""
        async with self._entering:
            while not self._group.is_current(self._member):
                self._group.enter(self._member)
                self._delivery.ledger_keys.begin()
                try:
                    await self._ledger.catch_up()
                except KafkaUnavailable:
                    self._member.generation = -1
                    await asyncio.sleep(RESTART_S)

    async def _agent(self, topic: str) -> None:
        """Batches of one topic, acked in order."""
        queue = AckQueue()
        while True:
            await self._enter()
            generation = self._member.generation
            events = self._group.take(self._member, topic)
            if not events:
                await asyncio.wait([self._group.kafka.waiter([topic])], timeout=5.0)
                continue
            waiting = await self._delivery.take([Record(topic, record.value) for _, record in events])
            give_up = asyncio.Event()
            rest = asyncio.create_task(self._delivery.outlast(waiting, give_up)) if waiting else None
            tokens = [_Token(self._member, generation, tp, record.offset) for tp, record in events]
            await queue.add(tokens, rest, give_up, sum(len(record.value or b"") for _, record in events))

    async def _commit(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_S)
            self._group.commit(self._member)


class Cloud:
    """Starts and restarts bridge and workers; crashes: what a program died of by itself, which it never should."""

    def __init__(
        self,
        world: World,
        settings: CloudSettings,
        broker: Broker,
        kafka: Kafka,
        influx: Influx,
        workers: int,
    ) -> None:
        self.world, self.settings = world, settings
        self.broker, self.kafka, self.influx = broker, kafka, influx
        self.group = Group(world, kafka)
        self.bridge: ProcessLoop | None = None
        self.members: list[Member | None] = [None] * workers
        self.crashes: list[str] = []
        self.restarts = True

    def start(self) -> None:
        """All of it."""
        self.start_bridge()
        for place in range(len(self.members)):
            self.start_worker(place)

    def start_bridge(self) -> None:
        """The bridge as it is."""
        if self.bridge is not None and not self.bridge.dead:
            return
        process = self._process("bridge", self._bridge_ended)
        self.bridge = process

        async def program() -> None:
            await Bridge(self.settings).run(asyncio.Event())

        process.start(program())

    def start_worker(self, place: int) -> None:
        """The worker's core on the simulated group."""
        old = self.members[place]
        if old is not None and not old.process.dead:
            return
        process = self._process(f"worker-{place}", lambda cause: self._worker_ended(place, cause))
        member = self.members[place] = Member(process)

        async def program() -> None:
            await Worker(self.settings, self.influx, self.group, member).run()

        process.start(program())

    def kill_bridge(self) -> None:
        """SIGKILL."""
        if self.bridge is not None and not self.bridge.dead:
            self.world.note("bridge", "killed")
            self.bridge.kill()
            self._bridge_ended(Killed("at random"))

    def kill_worker(self, place: int) -> None:
        """SIGKILL."""
        member = self.members[place]
        if member is not None and not member.process.dead:
            self.world.note(member.process.name, "killed")
            member.process.kill()
            self._worker_ended(place, Killed("at random"))

    def pause_worker(self, place: int, for_s: float) -> None:
        """SIGSTOP, and SIGCONT later: longer than the session it comes back as a zombie."""
        member = self.members[place]
        if member is None or member.process.dead or member.process.paused:
            return
        member.process.pause()
        self.world.at(SESSION_S, self.group.look, member)
        self.world.at(for_s, member.process.resume)

    def end(self) -> None:
        """The run is over: no process takes another step."""
        for process in [self.bridge, *(member.process for member in self.members if member is not None)]:
            if process is not None:
                process.kill()

    def _process(self, name: str, ended: Callable[[BaseException | None], None]) -> ProcessLoop:
        return ProcessLoop(self.world, name, ended)

    def _bridge_ended(self, cause: BaseException | None) -> None:
        self.broker.bridge_died()
        self._note_end("bridge", cause)
        self.world.at(RESTART_S, self.start_bridge)

    def _worker_ended(self, place: int, cause: BaseException | None) -> None:
        member = self.members[place]
        if member is not None:
            self.world.at(SESSION_S, self.group.look, member)
        self._note_end(f"worker-{place}", cause)
        self.world.at(RESTART_S, self.start_worker, place)

    def _note_end(self, name: str, cause: BaseException | None) -> None:
        if not isinstance(cause, Killed):
            self.crashes.append(f"{name} ended by itself: {type(cause).__name__}: {cause}")
