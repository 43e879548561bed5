"""Goal: a late record of a worker that lost its partition takes nothing out of the compacted ledger.

Method: the topic is a list here, read by the real watch in its order; the whole way is simulated (tests/rig/test_sim.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from cloud.ledger.accounts import Books, CloudAccount, Settled, VanAccount, van_key
from cloud.ledger.watch import LedgerWatch
from cloud.settings import InfluxSection, KafkaSection
from cloud.sink.influx import InfluxWriter
from cloud.sink.sink import Sink
from cloud.worker.delivery import Delivery, Outgoing
from cloud.worker.steps.validate import CatalogBook
from vantel.identity import DeliveryClass, Epoch, StreamKey
from vantel.intervals import IntervalSet
from vantel.payloads import ClassAccount

STREAM = StreamKey("van-1", Epoch(2, 7), DeliveryClass.P0)
KEY = STREAM.text


class Worker:
    """Books, delivery and watch of one worker."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.books = Books()
        sink = Sink(InfluxWriter(InfluxSection()), InfluxSection())
        self.delivery = Delivery(sink, self.publish, self.books, CatalogBook(1.0))
        self.watch = LedgerWatch(KafkaSection(), self.books, self.delivery)

    async def publish(self, records: Sequence[Outgoing]) -> None:
        self.sent += records

    def settle(self, *seqs: int) -> bytes:
        for seq in seqs:
            self.books.settle(Settled(STREAM, seq))
        asyncio.run(self.delivery.publish_accounts([STREAM], []))
        return self.sent[-1].value or b""


def test_a_late_record_that_says_less_is_answered_with_all_that_is_known() -> None:
    owner, zombie = Worker(), Worker()
    late = zombie.settle(0)
    mine = owner.settle(1, 2, 3)
    owner.watch.take(KEY, mine)
    asyncio.run(owner.watch.repair())
    assert owner.watch.repaired == 0, "its own record is no shortfall"
    owner.watch.take(KEY, late)
    asyncio.run(owner.watch.repair())
    assert CloudAccount.decode(owner.sent[-1].value or b"").stored == IntervalSet([(0, 3)])
    owner.watch.take(KEY, owner.sent[-1].value)
    zombie.watch.take(KEY, owner.sent[-1].value)
    for worker in (owner, zombie):
        sent = len(worker.sent)
        asyncio.run(worker.watch.repair())
        assert len(worker.sent) == sent, "both know the same: nobody writes any more"


def test_a_record_on_its_way_is_no_shortfall() -> None:
    worker = Worker()
    first = worker.settle(0)
    second = worker.settle(1)
    worker.watch.take(KEY, first)
    worker.watch.take(KEY, second)
    asyncio.run(worker.watch.repair())
    assert worker.watch.repaired == 0


def test_a_vans_own_account_is_watched_too() -> None:
    def account(produced: int) -> VanAccount:
        stream = ClassAccount(STREAM.epoch, STREAM.delivery_class, produced, IntervalSet(), ())
        return VanAccount("van-1", produced, {(STREAM.epoch, STREAM.delivery_class): stream})

    worker = Worker()
    worker.books.report(account(9))
    worker.watch.take(van_key("van-1"), account(4).encode())
    asyncio.run(worker.watch.repair())
    told = VanAccount.decode(worker.sent[-1].value or b"")
    assert told.streams[STREAM.epoch, STREAM.delivery_class].produced == 9


def test_garbage_in_the_topic_is_passed_over() -> None:
    worker = Worker()
    worker.watch.take("nonsense", b"\xff\xff")
    worker.watch.take("nonsense|van", b"\xff\xff")
    worker.watch.take(KEY, None)
    asyncio.run(worker.watch.repair())
    assert worker.sent == []
