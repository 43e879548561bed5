"""Goal: a late record of a worker that lost its partition takes nothing out of the ledger, whoever dies then; and the ledger
does not grow with every worker that ever wrote.

Method: the compacted topic is a dict here, read by the real reader; hypothesis lets workers take over, write late and die.
The whole way is simulated (tests/rig/test_sim.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cloud.ledger.keys
from cloud.ledger.accounts import Books, Settled, VanAccount
from cloud.ledger.keys import MARGIN_S, LedgerKeys, account_of, van_key
from cloud.ledger.reader import LedgerReader
from cloud.settings import InfluxSection, KafkaSection
from cloud.sink.influx import InfluxWriter
from cloud.sink.sink import Sink
from cloud.worker.delivery import Delivery, Outgoing
from cloud.worker.steps.validate import CatalogBook
from vantel.identity import DeliveryClass, Epoch, StreamKey
from vantel.intervals import IntervalSet
from vantel.payloads import ClassAccount

STREAM = StreamKey("van-1", Epoch(2, 7), DeliveryClass.P0)
HOUR_S = 3600


class Clock:
    """Time of the cloud, in Unix s."""

    now_s = 1_790_000_000.0

    def time(self) -> float:
        return self.now_s


class Topic:
    """A compacted topic: the newest record of each key, with Kafka's stamp in Unix ms."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.records: dict[str, tuple[bytes, int]] = {}

    async def publish(self, records: Sequence[Outgoing]) -> None:
        for record in records:
            key = record.key.decode()
            self.records.pop(key, None)
            if record.value is not None:
                self.records[key] = record.value, int(self.clock.time() * 1000)

    def books(self) -> Books:
        books = Books()
        for key, (value, _) in self.records.items():
            assert books.absorb(key, value)
        return books


class Worker:
    """Books, delivery and reader of one worker."""

    def __init__(self, topic: Topic) -> None:
        self.topic, self.books = topic, Books()
        sink = Sink(InfluxWriter(InfluxSection()), InfluxSection())
        self.delivery = Delivery(sink, topic.publish, self.books, CatalogBook(1.0))
        self.reader = LedgerReader(KafkaSection(), self.books, self.delivery.ledger_keys)

    def take_over(self) -> None:
        self.delivery.ledger_keys.begin()
        for key, (value, stamp) in tuple(self.topic.records.items()):
            self.reader._topic.stamp_unix_ms = stamp
            self.reader.take(key, value)

    def settle(self, *seqs: int) -> None:
        for seq in seqs:
            self.books.settle(Settled(STREAM, seq))
        asyncio.run(self.delivery.publish_accounts([STREAM], []))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(cloud.ledger.keys, "time", clock)
    return clock


def test_what_the_owner_settled_outlives_a_late_record_and_the_owner(clock: Clock) -> None:
    topic = Topic(clock)
    loser, owner = Worker(topic), Worker(topic)
    owner.take_over()
    owner.settle(1, 2, 3)
    loser.settle(0)  # it waited for the database all the time
    del owner
    assert topic.books().clouds[STREAM].stored == IntervalSet([(0, 3)])


def test_records_of_earlier_writers_go_when_they_say_no_more(clock: Clock) -> None:
    topic = Topic(clock)
    for seq in range(5):
        worker = Worker(topic)
        worker.take_over()
        worker.settle(seq)
        clock.now_s += HOUR_S
    assert topic.books().clouds[STREAM].stored == IntervalSet([(0, 4)])
    assert len(topic.records) == 1


def test_a_worker_that_does_not_know_that_it_lost_deletes_nothing_of_its_successor(clock: Clock) -> None:
    topic = Topic(clock)
    stopped, successor = Worker(topic), Worker(topic)
    stopped.delivery.ledger_keys.begin()  # and then it stands still for hours, before it has read the ledger
    clock.now_s += HOUR_S
    successor.take_over()
    successor.settle(1)
    clock.now_s += HOUR_S
    for key, (value, stamp) in tuple(topic.records.items()):
        stopped.reader._topic.stamp_unix_ms = stamp
        stopped.reader.take(key, value)
    successor.settle(2)
    stopped.settle(0)
    assert topic.books().clouds[STREAM].stored == IntervalSet([(0, 2)])


@given(
    st.lists(
        st.tuples(st.sampled_from(("take over", "settle", "late", "die", "wait")), st.integers(0, 2)),
        max_size=40,
    )
)
def test_what_was_committed_is_never_forgotten(steps: list[tuple[str, int]]) -> None:
    """Only the owner's work is committed; it has read the ledger when it took over."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cloud.ledger.keys, "time", clock)
        topic = Topic(clock)
        workers, owner, committed, seq = [Worker(topic) for _ in range(3)], -1, IntervalSet(), 0
        for step, at in steps:
            clock.now_s += 1.0
            if step == "take over":
                owner = at
                workers[at].take_over()
            elif step == "die":
                workers[at], owner = Worker(topic), -1 if owner == at else owner
            elif step == "wait":
                clock.now_s += MARGIN_S
            elif step == "late" and owner != at:
                workers[at].settle(1000 + seq)
            elif step == "settle" and owner >= 0:
                seq += 1
                workers[owner].settle(seq)
                committed.add(seq)
            known = topic.books().clouds.get(STREAM)
            assert not committed.difference(known.stored if known else IntervalSet())


def test_the_account_of_a_key() -> None:
    keys = LedgerKeys()
    for account in (STREAM.text, van_key("van-1")):
        assert account_of(keys.mine(account)) == account_of(account) == account
        first = keys.mine(account)
        keys.begin()
        assert keys.mine(account) != first


def test_a_vans_own_account_is_merged_over_all_writers(clock: Clock) -> None:
    topic = Topic(clock)
    for produced in (9, 4):
        worker = Worker(topic)
        stream = ClassAccount(STREAM.epoch, STREAM.delivery_class, produced, IntervalSet(), ())
        worker.books.report(VanAccount("van-1", produced, {(STREAM.epoch, STREAM.delivery_class): stream}))
        asyncio.run(worker.delivery.publish_accounts([], ["van-1"]))
    told = topic.books().vans["van-1"]
    assert told.streams[STREAM.epoch, STREAM.delivery_class].produced == 9


def test_garbage_in_the_topic_is_passed_over(clock: Clock) -> None:
    topic = Topic(clock)
    worker = Worker(topic)
    for key in ("nonsense", "nonsense|van", "", "|||||", STREAM.text):
        worker.reader.take(key, b"\xff\xff")
        worker.reader.take(key, None)
    worker.settle(1)
    assert list(topic.records) == [worker.delivery.ledger_keys.mine(STREAM.text)]
