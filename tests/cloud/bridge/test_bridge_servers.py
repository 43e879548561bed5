"""Goal: what the bridge promises, on real servers: nothing durable is lost, nothing is acknowledged before Kafka has it,
what has no identity is kept as a dead letter, and unknown catalogs are asked for.

Method: the bridge runs as a process between Mosquitto and Kafka; bare MQTT clients play vans; Kafka is read back. Kafka
is stopped by SIGSTOP, the bridge by SIGKILL.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from cloud.kafka import topics as kafka_topics
from vantel import topics
from vantel.catalog import Catalog, Signal
from vantel.envelope import MESSAGE_BYTES_MAX
from vantel.identity import DeliveryClass, PayloadKind
from vantel.payloads import Birth, Death
from vantel_rig.cloud_side import CloudSide
from vantel_rig.stack import Stack

pytestmark = pytest.mark.servers
NewVan = Callable[[str], Any]
P0, P1, P2 = DeliveryClass.P0, DeliveryClass.P1, DeliveryClass.P2


def metric(side: CloudSide, name: str) -> float:
    """Sum of all series of a metric."""
    lines = [
        line
        for line in side.metrics("bridge").splitlines()
        if line.partition(" ")[0].partition("{")[0] == name
    ]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def wait_until(true: Callable[[], bool], timeout_s: float = 120.0) -> None:
    give_up_s = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < give_up_s, "did not become true in time"
        time.sleep(0.05)


def test_messages_arrive_whole_in_order_in_bundles_and_are_acked(new_van: NewVan, kafka_back: Any) -> None:
    van = new_van("order-1")
    for delivery_class in (P0, P1, P2):
        sent = [van.message(seq, delivery_class) for seq in range(300)]
        van.send_all(sent, delivery_class)
        van.wait_acked(delivery_class, 300)
        topic = kafka_topics.BY_CLASS[delivery_class]
        assert kafka_back.messages(topic, "order-1") == sent
        bundles = kafka_back.bundles(topic, "order-1")
        assert len(bundles) < 100
        assert all(len(bundle.messages) <= 50 for _, bundle in bundles)
        assert {key for key, _ in bundles} == {str(topics.shard_of("order-1")).encode()}


def test_ack_of_p0_is_quick_and_of_p1_coalesced(new_van: NewVan, side: CloudSide) -> None:
    van = new_van("quick-1")

    def answered_s(seq: int) -> float:
        start_s = time.monotonic()
        van.send(van.message(seq, P0), topics.up(van.van, P0))
        van.wait_acked(P0, seq + 1)
        return time.monotonic() - start_s

    # The best of some: a busy machine may delay one of them, but an ack that waits for others always takes this long.
    coalesced_s = side.settings.bridge.ack_s_max
    assert min(answered_s(seq) for seq in range(5)) < coalesced_s / 3
    for seq in range(20):
        van.send(van.message(seq))
    van.wait_acked(P1, 20)
    assert len(van.told) < 5 + 20


def test_garbage_is_a_dead_letter_with_its_reason_and_harms_nobody(
    new_van: NewVan, kafka_back: Any, side: CloudSide
) -> None:
    van = new_van("garbage-1")
    good = van.message(0)
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    shard = topics.shard_of("garbage-1")
    cases = [
        (topics.up("garbage-1", P1), b"", "truncated"),
        (topics.up("garbage-1", P1), b"\x00\xff garbage", "corrupt"),
        (topics.up("garbage-1", P1), bytes(flipped), "corrupt"),
        (topics.up("garbage-1", P1), bytes(MESSAGE_BYTES_MAX + 1), "oversize"),
        (topics.up("garbage-1", P0), van.message(0, van="another"), "van_mismatch"),
        (f"v1/{(shard + 1) % 64}/garbage-1/up/p1", good, "topic"),
        (f"v1/{shard}/garbage-1/up/p9", good, "topic"),
        (f"v1/{shard}/gar bage/up/p1", good, "topic"),
        (topics.death("garbage-1"), Death("another", (1, 2), False).encode(), "van_mismatch"),  # type: ignore[arg-type]
        (topics.death("garbage-1"), b"\xff\xff", "malformed"),
    ]
    for topic, payload, _ in cases:
        van.send(payload, topic)
    van.send(b"at most once", topics.up("garbage-1", P2), qos=0)
    van.send(van.message(0))
    van.wait_acked(P1, 1)
    wait_until(lambda: metric(side, "vantel_bridge_unacked_messages") == 0)
    for topic in {topic for topic, _, _ in cases}:
        letters = kafka_back.letters(topic)
        expected = [(payload, reason) for place, payload, reason in cases if place == topic]
        assert [(letter.message, letter.reason) for letter in letters] == expected
        assert all(
            letter.detail and letter.refused_unix_ns >= letter.received_unix_ns > 0 for letter in letters
        )
    assert [letter.message for letter in kafka_back.letters(topics.up("garbage-1", P2))] == [b"at most once"]
    assert kafka_back.messages("vantel.p1", "garbage-1") == [good]
    assert kafka_back.messages("vantel.p0", "garbage-1") == []
    assert all(set(ack.durable) <= {(ack_key[0], P1) for ack_key in ack.durable} for ack in van.told)


def test_a_class_that_is_not_the_topics_goes_to_the_worker_by_topic_and_is_acked(
    new_van: NewVan, kafka_back: Any
) -> None:
    van = new_van("class-1")
    message = van.message(0, P2)
    van.send(message, topics.up("class-1", P0))
    van.wait_acked(P2, 1)
    assert kafka_back.messages("vantel.p0", "class-1") == [message]


def test_death_reaches_the_last_topic(new_van: NewVan, kafka_back: Any) -> None:
    van = new_van("death-1")
    payload = Death("death-1", (3, 4), True).encode()  # type: ignore[arg-type]
    van.send(payload, topics.death("death-1"))
    wait_until(
        lambda: (
            [r.value for r in kafka_back.records("vantel.last") if r.key == b"death-1|presence"] == [payload]
        )
    )


def birth_of(van: Any, seq: int, catalog: Catalog, stated: int = 0) -> bytes:
    birth = Birth(catalog.encode(), stated or catalog.hash, "0.1", 0, bytes(16), ())
    return van.message(
        seq, P0, kind=PayloadKind.BIRTH, payload=birth.encode(), catalog_hash=stated or catalog.hash
    )


def test_unknown_catalog_is_asked_for_until_its_birth_and_kept(
    new_van: NewVan, kafka_back: Any, side: CloudSide
) -> None:
    van = new_van("catalog-1")
    catalog = Catalog([Signal("Bus.Catalog.One", id=70_001, group="one")])
    van.send(van.message(0, catalog_hash=catalog.hash))
    for _ in range(2):
        assert van.wait_ack(lambda ack: catalog.hash in ack.rebirth_catalog_hashes)
    van.send(birth_of(van, 0, catalog), topics.up("catalog-1", P0))
    van.wait_acked(P0, 1)
    key = f"{catalog.hash:016x}".encode()
    assert [r.value for r in kafka_back.records("vantel.catalog") if r.key == key] == [catalog.encode()]
    asked = metric(side, "vantel_bridge_rebirths_total")
    van.send(birth_of(van, 1, catalog), topics.up("catalog-1", P0))
    van.send(van.message(1, catalog_hash=catalog.hash))
    time.sleep(1.5)
    assert metric(side, "vantel_bridge_rebirths_total") == asked
    assert len([r for r in kafka_back.records("vantel.catalog") if r.key == key]) == 1
    side.kill("bridge")
    side.restart("bridge")
    van.send(van.message(2, catalog_hash=catalog.hash))
    time.sleep(1.0)
    assert metric(side, "vantel_bridge_rebirths_total") == 0


def test_a_birth_whose_hash_is_wrong_is_forwarded_but_its_catalog_not_kept(
    new_van: NewVan, kafka_back: Any
) -> None:
    van = new_van("catalog-2")
    catalog = Catalog([Signal("Bus.Catalog.Two", id=70_002, group="two")])
    message = birth_of(van, 0, catalog, stated=12345)
    van.send(message, topics.up("catalog-2", P0))
    van.wait_acked(P0, 1)
    assert kafka_back.messages("vantel.p0", "catalog-2") == [message]
    keys = {r.key for r in kafka_back.records("vantel.catalog")}
    assert not keys & {f"{12345:016x}".encode(), f"{catalog.hash:016x}".encode()}


def test_kafka_silent_withholds_pubacks_and_acks_then_all_arrives(
    new_van: NewVan, kafka_back: Any, stack: Stack, side: CloudSide
) -> None:
    van = new_van("silent-1")
    van.send(van.message(0))
    van.wait_acked(P1, 1)
    sent = [van.message(seq) for seq in range(400)]
    stack.pause("kafka")
    try:
        van.send_all(sent[1:])
        # one more than the receive maximum is read from a broker that does not keep to it
        wait_until(lambda: metric(side, "vantel_bridge_unacked_messages") >= 100)
        time.sleep(2)
        assert metric(side, "vantel_bridge_unacked_messages") <= 101
        assert van.acks.empty()
    finally:
        stack.resume("kafka")
    van.wait_acked(P1, 400)
    assert kafka_back.messages("vantel.p1", "silent-1") == sent
    assert metric(side, "vantel_bridge_producer_rebuilds_total") == 0
    wait_until(lambda: metric(side, "vantel_bridge_unacked_messages") == 0)


def test_bridge_killed_between_receipt_and_kafka_loses_nothing(
    new_van: NewVan, kafka_back: Any, stack: Stack, side: CloudSide
) -> None:
    van = new_van("killed-1")
    sent = [van.message(seq) for seq in range(300)]
    stack.pause("kafka")
    try:
        van.send_all(sent)
        wait_until(lambda: metric(side, "vantel_bridge_unacked_messages") >= 100)
        side.kill("bridge")
    finally:
        stack.resume("kafka")
    side.restart("bridge")
    van.wait_acked(P1, 300)
    assert set(kafka_back.messages("vantel.p1", "killed-1")) == set(sent)


def test_kafka_killed_in_the_middle_loses_nothing(
    new_van: NewVan, kafka_back: Any, stack: Stack, side: CloudSide
) -> None:
    van = new_van("outage-1")
    sent = [van.message(seq) for seq in range(600)]
    van.send_all(sent[:300])
    stack.kill("kafka")
    van.send_all(sent[300:])
    stack.start_again("kafka")
    van.wait_acked(P1, 600)
    assert set(kafka_back.messages("vantel.p1", "outage-1")) == set(sent)
    side.wait_healthy("bridge")


def test_broker_restarted_bridge_comes_back_by_itself(
    new_van: NewVan, kafka_back: Any, stack: Stack, side: CloudSide
) -> None:
    van = new_van("broker-1")
    van.send(van.message(0))
    van.wait_acked(P1, 1)
    stack.restart("mosquitto", kill=True)
    wait_until(lambda: metric(side, "vantel_bridge_mqtt_connected") == 1)
    wait_until(lambda: metric(side, "vantel_bridge_mqtt_connections_total") >= 2)
    side.wait_healthy("bridge")
    again = new_van("broker-2")
    again.send(again.message(0))
    again.wait_acked(P1, 1)
    assert len(kafka_back.messages("vantel.p1", "broker-2")) == 1


def test_health_says_what_is_wrong(stack: Stack, side: CloudSide) -> None:
    stack.halt("mosquitto")
    try:

        def answer() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(f"{side.url('bridge')}/healthz", timeout=60) as page:
                    return page.status, page.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()

        wait_until(lambda: answer()[0] == 503 and "nobody listens" in answer()[1])
    finally:
        stack.start_again("mosquitto")
    side.wait_healthy("bridge")


def test_sigterm_leaves_quickly_with_everything_acked(
    new_van: NewVan, kafka_back: Any, side: CloudSide
) -> None:
    van = new_van("leave-1")
    sent = [van.message(seq) for seq in range(50)]
    van.send_all(sent)
    wait_until(lambda: len(kafka_back.messages("vantel.p1", "leave-1")) == 50)
    assert side.process("bridge").stop(60.0) == 0
    van.wait_acked(P1, 50)
    side.restart("bridge")
    assert kafka_back.messages("vantel.p1", "leave-1") == sent
