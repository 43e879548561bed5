"""Goal: every envelope arrives and is freed only by its durable ack, in the right order, whatever broker and van do.
Method: the real uplink and the real Mosquitto with the tiny bridge of mqtt_rig; brokers are killed, messages dropped.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from edge.settings import MqttSection, SpoolSection
from edge.spool import Spool
from edge.uplink.mqtt import publish_bytes
from edge.uplink.thread import Uplink
from tests.edge.uplink.mqtt_rig import FAST, VAN, WAIT_S, Bridge, Broker, Packets, Rig, until
from vantel import topics
from vantel.acks import Ack
from vantel.envelope import ClockStamp, open_message
from vantel.identity import DeliveryClass, Epoch, PayloadKind
from vantel.intervals import IntervalSet

P0, P1, P2 = DeliveryClass

pytestmark = pytest.mark.servers


def test_everything_arrives_once_and_is_freed(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start()
    cloud = bridge()
    patient = FAST.model_copy(update={"resend_after_s": WAIT_S, "resend_after_s_max": WAIT_S})
    rig = start(broker.port, patient).start()
    until(lambda: rig.uplink.connected, "connected")
    rig.add(P1, 200, size=2000)
    rig.add(P0, 5)
    rig.add(P2, 20, size=250_000)
    until(lambda: rig.outbox.empty, "all acked")
    assert sorted(cloud.names()) == sorted(
        [f"p1/{n}" for n in range(200)] + [f"p0/{n}" for n in range(5)] + [f"p2/{n}" for n in range(20)]
    )
    payloads = {p for leaf, p in cloud.got}
    assert payloads == set(rig.outbox.messages.values()), "bytes differ from what was spooled"
    assert (rig["messages_sent"], rig["acked"], rig["resends"]) == (225, 225, 0)
    assert rig["bytes_sent"] == sum(
        publish_bytes(topics.up(VAN, c), m) for (c, _), m in rig.outbox.messages.items()
    )
    until(lambda: rig["pubacks"] == 225 and rig["in_flight"] == 0, "all answered")
    assert rig["waiting"] == 0
    rig.stop()
    assert not rig.uplink.connected


def test_missing_durable_ack_is_sent_again(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start()
    cloud = bridge()
    cloud.acking = False
    rig = start(broker.port).start()
    rig.add(P1, 3)
    until(lambda: cloud.names().count("p1/2") >= 3, "sent three times")
    assert rig.outbox.backlog()[P1][0] == 3, "a PUBACK freed spool space"
    cloud.ack(P1, 0, 1, 2)
    until(lambda: rig.outbox.empty and not rig["in_flight"], "acked")
    sent = rig["messages_sent"]
    time.sleep(1.3)
    assert rig["messages_sent"] == sent, "sent again after the durable ack"


def test_broker_killed_without_persistence_loses_nothing(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start()
    cloud = bridge()
    rig = start(broker.port).start()
    stop = threading.Event()

    def produce() -> None:
        while not stop.wait(0.005):
            rig.add(P1, 2, size=5000)

    producer = threading.Thread(target=produce)
    producer.start()
    for _ in range(2):
        wanted = len(cloud.got) + 50
        until(lambda n=wanted: len(cloud.got) > n, "flowing")
        broker.kill()
        until(lambda: not rig.uplink.connected, "noticed")
        time.sleep(0.3)
        broker.restart()
    until(lambda: rig.uplink.connected, "connected again")
    stop.set()
    producer.join()
    until(lambda: rig.outbox.empty, "all acked")
    assert set(cloud.names()) == {f"p1/{n}" for n in range(len(rig.outbox.entries[P1]))}
    assert rig["reconnects"] == 2


def test_the_spool_itself_over_a_killed_broker_and_a_restarted_agent(
    broker: Broker, bridge: Callable[[], Bridge], tmp_path: Path
) -> None:
    """As above with the real spool: two starts of the agent, acks by (epoch, class, seq) of what was received."""
    broker.start()
    cloud = bridge()
    cloud.acking = False
    sections = SpoolSection(bytes_max=64 * 1024 * 1024, p0_reserve_bytes=0, keep_free_bytes=0)
    produced = set()
    for run in range(2):
        spool = Spool.open(tmp_path / "spool", VAN, sections)
        uplink = Uplink(
            VAN, spool.epoch, MqttSection(port=broker.port), FAST, spool, lambda _: None, lambda _: None
        )
        stop = threading.Event()
        thread = threading.Thread(target=uplink.run, args=(stop,))
        thread.start()
        for n in range(60):
            delivery_class = P0 if n % 10 == 0 else P1
            seq = spool.append(delivery_class, PayloadKind.BATCH, bytes(3000), ClockStamp(b"b" * 16, 0, 0))
            produced.add((spool.epoch, delivery_class, seq))
            uplink.wake()
            spool.maintain()
        if run == 0:
            until(lambda: len(cloud.got) > 20, "flowing")
            broker.kill()
            broker.restart()
        else:
            got: set[tuple[Epoch, DeliveryClass, int]] = set()

            def ack_all(got: set[tuple[Epoch, DeliveryClass, int]] = got, spool: Spool = spool) -> bool:
                durable: dict[tuple[Epoch, DeliveryClass], IntervalSet] = {}
                for leaf, payload in list(cloud.got):
                    if leaf != "death":
                        envelope, _ = open_message(payload)
                        got.add((envelope.epoch, envelope.delivery_class, envelope.seq))
                        stream = (envelope.epoch, envelope.delivery_class)
                        durable.setdefault(stream, IntervalSet()).add(envelope.seq)
                cloud.down("ack", Ack(VAN, durable).encode())
                time.sleep(0.1)
                return not any(n for n, _ in spool.backlog().values())

            until(ack_all, "all acked")
            assert got == produced
        stop.set()
        thread.join(5.0)
        spool.close()


def test_nobody_subscribed_is_not_delivered(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start()
    rig = start(broker.port).start()
    began_s = time.monotonic()
    with structlog.testing.capture_logs() as logs:
        rig.add(P1, 50)
        until(lambda: rig["refused"] > 10, "refused a few times")
    assert rig["pubacks"] == 0
    turns = 1 + (time.monotonic() - began_s) / FAST.resend_after_s
    assert rig["messages_sent"] <= 50 * turns, "went on at full rate although nobody listens"
    assert [log["cause"] for log in logs if log["event"] == "message refused"] == [
        "the broker did not deliver: No matching subscribers (0x10); is the bridge running?"
    ]
    cloud = bridge()
    until(lambda: rig.outbox.empty, "delivered once a bridge is there")
    assert set(cloud.names()) == {f"p1/{n}" for n in range(50)}


def test_window_is_never_exceeded(start: Callable[..., Rig]) -> None:
    """A hand-made broker that reads everything and answers no PUBLISH sees how many are sent without an answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        rig = start(listener.getsockname()[1], keepalive_s=1200).start()
        rig.add(P1, 100)
        link, _ = listener.accept()
        with link:
            packets = Packets(link)
            kind, _ = packets.next()
            assert kind == 1
            link.sendall(bytes.fromhex("2006000003210005"))  # CONNACK, Receive Maximum 5
            kind, body = packets.next()
            assert kind == 8
            link.sendall(b"\x90" + bytes([2 + 1 + 3]) + body[:2] + b"\x00\x01\x01\x01")
            mids = [packets.publish_mid() for _ in range(4)]
            assert packets.silent(0.5), "P1 took the slot that is kept for P0"
            rig.add(P0, 3)
            mids.append(packets.publish_mid())
            assert packets.silent(0.5), "more than Receive Maximum without an answer"
            assert len(set(mids)) == 5
            link.sendall(b"\x40\x02" + mids[4].to_bytes(2, "big"))
            assert packets.publish_mid(), "a PUBACK frees a slot"
            assert packets.silent(0.3)
            assert rig["in_flight"] == 5
            rig.stop_event.set()  # a broker that no longer answers must not keep the agent
            rig.thread.join(WAIT_S)
            assert not rig.thread.is_alive()
            kinds = []
            with contextlib.suppress(EOFError):
                while True:
                    kinds.append(packets.next()[0])
            assert 3 not in kinds, "not even the goodbye may pass the Receive Maximum: the will says it"
    assert rig["messages_sent"] == 6


def test_p0_overtakes_a_backlog(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start()
    cloud = bridge()
    rig = start(broker.port)
    rig.add(P1, 1500, size=10_000, t_mono_s=float("-inf"))
    rig.start()
    until(lambda: len(cloud.got) > 20, "backlog under way")
    rig.add(P0, 1)
    seen = len(cloud.got)  # counted after the append: a busy machine only makes this number larger
    until(lambda: rig.outbox.empty, "all acked")
    at = cloud.names().index("p0/0")
    assert at < seen + 200, f"P0 was number {at}, appended when {seen} had arrived: behind the backlog"
