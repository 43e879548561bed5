"""Goal: deliver() answers for every message of a batch: written, dead letter, account, each exactly once, in that order.

Method: the real core, sink and client against the double of InfluxDB 2.9.1; Kafka is a list in memory here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from cloud.commands.redrive import way_back
from cloud.kafka.topics import DEADLETTER, LEDGER
from cloud.ledger.accounts import Books, CloudAccount
from cloud.ledger.keys import account_of
from cloud.settings import CloudSettings, InfluxSection
from cloud.sink.influx import InfluxWriter
from cloud.sink.sink import Sink, SinkStopped
from cloud.worker.ack_queue import AckQueue
from cloud.worker.core import Digest
from cloud.worker.delivery import Delivery, Outgoing, Record
from cloud.worker.letters import DeadLetter
from cloud.worker.steps.open import open_bundle
from cloud.worker.steps.validate import CatalogBook
from cloud.worker.worker import Runtime
from vantel.identity import DeliveryClass, PayloadKind, StreamKey
from vantel.intervals import IntervalSet
from vantel.topics import up

VAN = "van-1"


class Desk:
    """A Delivery on the double, with Kafka as a list."""

    def __init__(self, double: Any, bench: Any, wait_s_max: float = 0.3, known: bool = True) -> None:
        settings = InfluxSection(url=double.url, backoff_s_min=0.01, backoff_s_max=0.02)
        self.sent: list[Outgoing] = []
        self.stored_at_publish: list[int] = []
        self.double = double
        self.books, self.catalogs = Books(), CatalogBook(wait_s_max)
        if known:
            self.catalogs.learn(bench.catalog.encode())
        self.sink = Sink(InfluxWriter(settings), settings)
        self.delivery = Delivery(self.sink, self.publish, self.books, self.catalogs)

    async def publish(self, records: Sequence[Outgoing]) -> None:
        self.sent += records
        self.stored_at_publish.append(self.double.count())

    def deliver(self, *records: Record) -> None:
        asyncio.run(self.delivery.deliver(records))

    def letters(self) -> list[DeadLetter]:
        return [DeadLetter.decode(record.value) for record in self.sent if record.topic == DEADLETTER]

    def account(self, bench: Any, delivery_class: DeliveryClass = DeliveryClass.P1) -> CloudAccount:
        return self.books.clouds[StreamKey(VAN, bench.epoch, delivery_class)]


def record(bench: Any, *messages: bytes, van: str = VAN) -> Record:
    outgoing = bench.record(van, list(messages))
    return Record(outgoing.topic, outgoing.value)


@pytest.fixture
def desk(influx_double: Any, bench: Any) -> Desk:
    return Desk(influx_double, bench)


def test_points_in_the_database_equal_the_points_of_the_account(desk: Desk, bench: Any) -> None:
    messages = [bench.speeds(VAN, seq) for seq in range(10)]
    desk.deliver(record(bench, *messages[:5]), record(bench, *messages[5:]))
    account = desk.account(bench)
    assert account.stored == IntervalSet([(0, 9)])
    assert account.points == account.samples == desk.double.count() == 200
    assert [account_of(item.key.decode()) for item in desk.sent] == [account.stream.text]
    assert CloudAccount.decode(desk.sent[-1].value).points == 200


def test_the_ledger_is_published_after_the_write(desk: Desk, bench: Any) -> None:
    desk.deliver(record(bench, bench.speeds(VAN, 0)))
    assert desk.stored_at_publish == [20]


def test_nothing_goes_on_until_kafka_has_the_dead_letters(desk: Desk, bench: Any) -> None:
    async def publish(records: Sequence[Outgoing]) -> None:
        if records[0].topic == DEADLETTER:
            await asyncio.Event().wait()  # a Kafka that does not answer
        desk.sent += records

    async def take() -> None:
        desk.delivery._publish = publish
        bad = bench.message(VAN, 1, PayloadKind.BATCH, b"no batch")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(desk.delivery.take([record(bench, bench.speeds(VAN, 0), bad)]), 1.0)

    asyncio.run(take())
    assert desk.sent == [], "the ledger was published before the dead letter"


def test_a_second_delivery_changes_neither_points_nor_their_count(desk: Desk, bench: Any) -> None:
    for _ in range(3):
        desk.deliver(record(bench, bench.speeds(VAN, 0), bench.speeds(VAN, 0)))
    account = desk.account(bench)
    assert (account.points, account.duplicates, desk.double.count()) == (20, 5, 20)


def test_poison_goes_alone_and_whole_to_the_dead_letters(desk: Desk, bench: Any) -> None:
    poison = bench.speeds(VAN, 1)[:-2]
    desk.deliver(
        record(bench, bench.speeds(VAN, 0), poison, bench.speeds(VAN, 2)),
        Record("vantel.p1", b"\xff garbage"),
        Record("vantel.p1", None),
        record(bench, bench.speeds(VAN, 3), van="van-2"),
    )
    assert [(letter.reason, letter.message) for letter in desk.letters()] == [
        ("bundle", b"\xff garbage"), ("bundle", b""), ("corrupt", poison), ("van_mismatch", bench.speeds(VAN, 3)),
    ]  # fmt: skip
    assert desk.account(bench).stored == IntervalSet([(0, 0), (2, 2)])
    assert desk.double.count() == 40


def test_a_refused_line_is_a_dead_letter_and_its_envelope_counts_as_stored(desk: Desk, bench: Any) -> None:
    desk.double.always = lambda body: (
        (400, {}, "unable to parse") if b" 1700000000030000000" in body else None
    )
    desk.deliver(record(bench, bench.speeds(VAN, 0), bench.speeds(VAN, 1)))
    account = desk.account(bench)
    assert account.stored == IntervalSet([(0, 1)])
    assert (account.points, account.lines_refused, desk.double.count()) == (39, 1, 39)
    (letter,) = desk.letters()
    assert letter.reason == "line_refused"
    assert letter.message.endswith(b" 1700000000030000000")
    assert "unable to parse" in letter.detail


def test_an_envelope_of_which_no_line_is_taken_counts_as_rejected(desk: Desk, bench: Any) -> None:
    desk.double.always = lambda body: (400, {}, "no") if b" 17000000000" in body else None
    desk.deliver(record(bench, bench.speeds(VAN, 0, samples=2), bench.speeds(VAN, 1, samples=2)))
    account = desk.account(bench)
    assert (list(account.stored), list(account.rejected["line_refused"])) == ([(1, 1)], [(0, 0)])
    assert (account.points, account.lines_refused) == (2, 2)


def test_other_messages_are_stored_while_one_waits_for_its_catalog(influx_double: Any, bench: Any) -> None:
    desk = Desk(influx_double, bench, wait_s_max=0.4)
    stranger = bench.speeds(VAN, 1, catalog_hash=99)
    desk.deliver(record(bench, stranger, bench.speeds(VAN, 0)))
    assert desk.stored_at_publish[0] == 20
    assert desk.delivery.tally.waits >= 2
    (letter,) = desk.letters()
    assert (letter.reason, letter.catalog_hash, letter.message) == ("catalog_unknown", 99, stranger)
    assert desk.delivery.lettered_hashes == {99}


def test_a_catalog_that_comes_in_time_is_used(influx_double: Any, bench: Any) -> None:
    desk = Desk(influx_double, bench, wait_s_max=30.0, known=False)

    async def run() -> None:
        task = asyncio.create_task(desk.delivery.deliver([record(bench, bench.speeds(VAN, 0))]))
        await asyncio.sleep(0.3)
        assert not task.done()
        desk.delivery.learn(bench.catalog.encode())
        await task

    asyncio.run(run())
    assert desk.account(bench).points == 20
    assert desk.letters() == []


def test_a_late_catalog_is_told_once_and_stored_wins_over_rejected(influx_double: Any, bench: Any) -> None:
    desk = Desk(influx_double, bench, wait_s_max=0.0, known=False)
    told: list[int] = []
    desk.delivery.on_late_catalog = told.append
    message = bench.speeds(VAN, 0)
    desk.deliver(record(bench, message))
    assert list(desk.account(bench).rejected["catalog_unknown"]) == [(0, 0)]
    birth = bench.record(VAN, [bench.birth(VAN, 0)], DeliveryClass.P0)
    desk.deliver(Record(birth.topic, birth.value))
    desk.delivery.learn(bench.catalog.encode())
    assert told == [bench.catalog.hash]
    back = way_back(desk.letters()[0])
    assert back is not None
    desk.deliver(Record(back.topic, back.value))
    account = desk.account(bench)
    assert (list(account.stored), account.rejected_all.count(), account.points) == ([(0, 0)], 0, 20)


def test_a_database_that_refuses_us_leaves_accounts_and_letters_alone(influx_double: Any, bench: Any) -> None:
    desk = Desk(influx_double, bench)
    influx_double.token = "wanted"
    with pytest.raises(SinkStopped):
        desk.deliver(record(bench, bench.speeds(VAN, 0)))
    assert (desk.sent, desk.books.clouds) == ([], {})


def test_large_batches_are_written_in_lots(desk: Desk, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.worker.delivery.LOT_BYTES", 2000)
    desk.deliver(record(bench, *[bench.speeds(VAN, seq) for seq in range(12)]))
    assert desk.account(bench).points == desk.double.count() == 240
    assert len(desk.stored_at_publish) > 3


def test_the_way_back_of_dead_letters(bench: Any) -> None:
    message = bench.speeds(VAN, 0)
    by_topic = way_back(DeadLetter(VAN, "codec", "", message, topic="vantel.p1"))
    by_mqtt = way_back(DeadLetter(VAN, "corrupt", "", message, mqtt_topic=up(VAN, DeliveryClass.P0)))
    assert by_topic is not None
    assert by_mqtt is not None
    assert (by_topic.topic, by_mqtt.topic) == ("vantel.p1", "vantel.p0")
    opened = open_bundle(by_topic.topic, by_topic.value)
    assert isinstance(opened, list)
    assert [(item.van, item.message) for item in opened] == [(VAN, message)]
    for letter in (
        DeadLetter(VAN, "line_refused", "", b"a b=1", topic="vantel.p1"),
        DeadLetter("", "bundle", "", b"x", topic="vantel.p1"),
        DeadLetter(VAN, "topic", "", b"x", mqtt_topic="v1/0/van-1/up/p9"),
    ):
        assert way_back(letter) is None


class OneEvent:
    """A record as an adapter brings it."""

    def __init__(self, at: int, acked: list[int]) -> None:
        self.at, self.acked, self.value = at, acked, b""

    def ack(self) -> None:
        self.acked.append(self.at)


def test_events_are_acked_in_order_after_all_are_delivered_and_not_when_cancelled() -> None:
    acked: list[int] = []
    events = [OneEvent(at, acked) for at in range(5)]

    async def run() -> None:
        runtime = Runtime(CloudSettings())
        gate = asyncio.Event()

        async def wait(_: Any) -> list[Any]:
            await gate.wait()
            return []

        runtime.delivery.take = wait  # type: ignore[method-assign]
        cancelled = asyncio.create_task(runtime.handle("vantel.p1", events))
        await asyncio.sleep(0.05)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert acked == []
        task = asyncio.create_task(runtime.handle("vantel.p1", events))
        await asyncio.sleep(0.05)
        assert acked == []
        gate.set()
        await task

    asyncio.run(run())
    assert acked == [0, 1, 2, 3, 4]


def test_acks_wait_for_the_batches_before_them_and_never_pass_a_failure() -> None:
    acked: list[int] = []

    async def run() -> None:
        queue, never = AckQueue(), asyncio.Event()
        gate, failing = asyncio.Event(), asyncio.Event()

        async def fail() -> None:
            await failing.wait()
            raise RuntimeError("a bug")

        first, third = asyncio.create_task(_wait(gate)), asyncio.create_task(fail())
        await queue.add([OneEvent(0, acked)], first, never, 10)
        await queue.add([OneEvent(1, acked), OneEvent(2, acked)], None, never, 10)
        assert acked == []
        gate.set()
        await asyncio.sleep(0.01)
        assert acked == [0, 1, 2]
        await queue.add([OneEvent(3, acked)], third, never, 10)
        await queue.add([OneEvent(4, acked)], None, never, 10)
        failing.set()
        await asyncio.wait({third})
        await asyncio.sleep(0.01)
        assert isinstance(third.exception(), RuntimeError)
        assert acked == [0, 1, 2]

    asyncio.run(run())


async def _wait(gate: asyncio.Event) -> None:
    await gate.wait()


def test_at_its_bound_the_queue_of_acks_ends_the_wait_of_its_front() -> None:
    acked: list[int] = []

    async def run() -> None:
        queue, give_up = AckQueue(held_bytes_max=100), asyncio.Event()
        await queue.add([OneEvent(0, acked)], asyncio.create_task(_wait(give_up)), give_up, 60)
        assert not give_up.is_set()
        await asyncio.wait_for(queue.add([OneEvent(1, acked)], None, asyncio.Event(), 60), 5)
        assert (acked, queue.held_bytes) == ([0, 1], 0)

    asyncio.run(run())


def test_the_last_ledger_record_of_an_account_is_its_newest(influx_double: Any, bench: Any) -> None:
    desk = Desk(influx_double, bench)
    naps_s = iter([0.3, 0.0])

    async def slow_first(records: Sequence[Outgoing]) -> None:
        await asyncio.sleep(next(naps_s))
        desk.sent.extend(records)

    desk.delivery._publish = slow_first

    async def run() -> None:
        first = asyncio.create_task(desk.delivery.take([record(bench, bench.speeds(VAN, 0))]))
        await asyncio.sleep(0.1)
        await asyncio.gather(first, desk.delivery.take([record(bench, bench.speeds(VAN, 1))]))

    asyncio.run(run())
    assert CloudAccount.decode(desk.sent[-1].value).stored == IntervalSet([(0, 1)])


def test_giving_up_refuses_what_waits_at_once(influx_double: Any, bench: Any) -> None:
    desk = Desk(influx_double, bench, wait_s_max=1000.0)

    async def run() -> None:
        waiting = await desk.delivery.take([record(bench, bench.speeds(VAN, 0, catalog_hash=99))])
        assert (len(waiting), desk.letters()) == (1, [])
        give_up = asyncio.Event()
        give_up.set()
        await asyncio.wait_for(desk.delivery.outlast(waiting, give_up), 5)

    asyncio.run(run())
    assert [letter.reason for letter in desk.letters()] == ["catalog_unknown"]


def test_a_digest_of_a_retry_is_in_no_account(bench: Any) -> None:
    opened = open_bundle("vantel.p1", record(bench, bench.speeds(VAN, 0)).value)
    assert isinstance(opened, list)
    from cloud.worker.core import digest

    waiting: Digest = digest(opened[0], CatalogBook(10.0), 0.0)
    assert waiting.settled(0, 0, False) is None
    assert LEDGER != DEADLETTER
