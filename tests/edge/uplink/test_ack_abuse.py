"""Goal: no ack, however wrong, frees an envelope that the cloud cannot have.

Method: the real spool and uplink on the real Mosquitto; a bridge that acks what was never sent, what never was, other
epochs, absurd ranges, other vans, garbage, and old acks again and again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.settings import MqttSection, SpoolSection
from edge.spool import Spool
from edge.spool.index import Entry
from edge.uplink.sent_books import SentBooks
from edge.uplink.thread import Uplink
from tests.edge.uplink.mqtt_rig import EPOCH, FAST, VAN, Bridge, Broker, Rig, until
from vantel.acks import Ack
from vantel.envelope import ClockStamp
from vantel.identity import DeliveryClass, Epoch, PayloadKind
from vantel.intervals import IntervalSet

P0, P1, P2 = DeliveryClass
FAR = (1 << 63) - 1
CLOCK = ClockStamp(bytes(16), 0, 1)


def entry(seq: int, epoch: Epoch = EPOCH, delivery_class: DeliveryClass = P1) -> Entry:
    return Entry(seq, (epoch, delivery_class), seq, 10, 0.0)


def test_only_what_was_sent_can_be_acked_in_this_epoch() -> None:
    books = SentBooks(EPOCH)
    for seq in (0, 1, 2, 7):
        books.sent(entry(seq))
    other = Epoch(EPOCH.counter - 1, 9)
    books.sent(entry(5, other))
    kept, unsent = books.believable(
        {
            (EPOCH, P1): IntervalSet([(0, FAR)]),
            (EPOCH, P2): IntervalSet([(0, 3)]),
            (other, P1): IntervalSet([(0, 9)]),
        }
    )
    assert kept == {(EPOCH, P1): IntervalSet([(0, 2), (7, 7)]), (other, P1): IntervalSet([(0, 9)])}
    assert unsent == FAR + 1 - 4 + 4


def test_sent_books_stay_small_when_live_data_overtakes_the_backlog() -> None:
    books, rng = SentBooks(EPOCH), random.Random(1)
    order = list(range(5000))
    rng.shuffle(order)
    for seq in order:
        books.sent(entry(seq))
    assert len(books._sent[P1]) == 1


@pytest.mark.servers
def test_wrong_acks_free_nothing_and_right_ones_still_count(
    broker: Broker, start: Callable[..., Rig], bridge: Callable[[], Bridge]
) -> None:
    broker.start()
    cloud = bridge()
    cloud.acking = False
    rig = start(
        broker.port,
        FAST.model_copy(update={"inflight_max": 2, "resend_after_s": 60, "resend_after_s_max": 60}),
    )
    rig.start()
    until(lambda: rig.uplink.connected, "connected")
    rig.add(P1, 3)
    until(lambda: len(cloud.names()) == 3, "three are sent")
    replay = Ack(VAN, {(EPOCH, P1): IntervalSet([(0, 0)])}).encode()
    abuse = [
        Ack(VAN, {(EPOCH, P0): IntervalSet([(0, FAR)])}),  # nothing of P0 was ever made
        Ack(VAN, {(EPOCH, P1): IntervalSet([(3, FAR)])}),
        Ack(VAN, {(Epoch(99, 1), P1): IntervalSet([(0, FAR)])}),
        Ack(VAN, {(Epoch(EPOCH.counter, 999), P1): IntervalSet([(0, 2)])}),
        Ack(VAN, {(EPOCH, P1): IntervalSet((n, n) for n in range(1001, 12_001, 2))}),
        Ack("van-2", {(EPOCH, P1): IntervalSet([(0, 2)])}),
    ]
    for ack in abuse:
        cloud.down("ack", ack.encode())
    for garbage in (b"", b"\xff" * 200, b"\x0a\x05van-1" + b"\x12" * 99, bytes(100_000)):
        cloud.down("ack", garbage)
    for _ in range(50):
        cloud.down("ack", replay)
    until(
        lambda: rig["acks"] + rig["acks_bad"] + rig["acks_foreign"] >= 50 + len(abuse) + 4,
        f"all came {rig.uplink.counters()}",
    )
    assert rig.outbox.settled == {(P1, 0)}
    assert rig["acked"] == 1 and rig["acks_unsent"] > 0 and rig["acks_foreign"] >= 1 and rig["acks_bad"] >= 2
    assert rig["connects"] == 1
    rig.add(P1, 4)
    until(lambda: len(cloud.names()) >= 7, "it goes on sending")
    cloud.ack(P1, *range(7))
    until(lambda: rig.outbox.empty, "and a right ack still counts")


def test_the_spool_keeps_what_was_produced_and_never_sent(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path, VAN, SpoolSection())
    uplink = Uplink(
        VAN, spool.epoch, MqttSection(), FAST, spool, on_rebirth=lambda _: None, on_command=lambda _: None
    )
    for delivery_class in DeliveryClass:
        for _ in range(5):
            spool.append(delivery_class, PayloadKind.BATCH, b"x" * 100, CLOCK)
    everything = {(spool.epoch, c): IntervalSet([(0, FAR)]) for c in DeliveryClass}
    uplink._acked(Ack(VAN, everything).encode())
    assert {c: n for c, (n, _) in spool.backlog().items()} == dict.fromkeys(DeliveryClass, 5)
    assert uplink.counters()["acks_unsent"] > 0
    spool.close()
