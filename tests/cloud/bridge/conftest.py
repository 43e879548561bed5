"""Goal: what the tests of the bridge share: the servers, the bridge as a process, a van's end of MQTT, Kafka read back.

Method: everything is real; the van here is a bare MQTT client, so that it can also say what no agent would.
"""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cloud.kafka import clients as kafka
from cloud.settings import KafkaSection
from vantel import topics
from vantel.acks import Ack
from vantel.envelope import ClockStamp, Envelope, compose_message, seal
from vantel.identity import DeliveryClass, Epoch, PayloadKind
from vantel.telemetry.v1 import account_pb2, envelope_pb2
from vantel_rig.cloud_side import CloudSide
from vantel_rig.stack import Stack

EPOCH = Epoch(7, 0xABCDEF01)
WAIT_S_MAX = 120.0


class BareVan:
    """A van's end of MQTT: sends what it is told, keeps the acks it gets."""

    def __init__(self, van: str, port: int) -> None:
        self.van = van
        self.acks: queue.Queue[Ack] = queue.Queue()
        self.told: list[Ack] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=van, protocol=mqtt.MQTTv5)
        self._ready: queue.Queue[int] = queue.Queue()
        self._client.on_connect = lambda client, *_: client.subscribe(topics.down(van, "ack"), qos=1)
        self._client.on_subscribe = lambda *_: self._ready.put(1)
        self._client.on_message = lambda _c, _d, message: self.acks.put(Ack.decode(message.payload))
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 600
        self._client.connect("127.0.0.1", port, properties=properties, clean_start=False)
        self._client.loop_start()
        self._ready.get(timeout=WAIT_S_MAX)

    def message(self, seq: int, delivery_class: DeliveryClass = DeliveryClass.P1, **fields: Any) -> bytes:
        """A sealed message of this van."""
        values = {"kind": PayloadKind.BATCH, "payload": b"payload %d" % seq, "van": self.van, **fields}
        envelope = Envelope(epoch=EPOCH, delivery_class=delivery_class, seq=seq, **values)
        return compose_message(seal(envelope), ClockStamp(bytes(16), 0, 2))

    def send(self, payload: bytes, topic: str = "", qos: int = 1) -> None:
        """Publish and wait for the broker's PUBACK."""
        self._client.publish(
            topic or topics.up(self.van, DeliveryClass.P1), payload, qos=qos
        ).wait_for_publish(WAIT_S_MAX)

    def send_all(self, payloads: list[bytes], delivery_class: DeliveryClass = DeliveryClass.P1) -> None:
        """Publish many, then wait for all PUBACKs."""
        infos = [
            self._client.publish(topics.up(self.van, delivery_class), payload, qos=1) for payload in payloads
        ]
        for info in infos:
            info.wait_for_publish(WAIT_S_MAX)

    def wait_acked(self, delivery_class: DeliveryClass, count: int, timeout_s: float = WAIT_S_MAX) -> None:
        """Wait until acks cover sequence numbers 0 to count - 1."""
        self.wait_ack(lambda ack: _covered(ack, delivery_class, count), timeout_s)

    def wait_ack(self, good: Callable[[Ack], bool], timeout_s: float = WAIT_S_MAX) -> Ack:
        """Wait for an ack of a kind."""
        give_up_s = time.monotonic() + timeout_s
        while (left_s := give_up_s - time.monotonic()) > 0:
            try:
                ack = self.acks.get(timeout=left_s)
            except queue.Empty:
                break
            self.told.append(ack)
            if good(ack):
                return ack
        raise AssertionError(f"no such ack within {timeout_s} s; acks: {self.told}")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def _covered(ack: Ack, delivery_class: DeliveryClass, count: int) -> bool:
    intervals = ack.durable.get((EPOCH, delivery_class))
    return intervals is not None and list(intervals)[:1] == [(0, count - 1)]


class KafkaBack:
    """What Kafka holds, read back from the beginning."""

    def __init__(self, bootstrap: str) -> None:
        self._section = KafkaSection(bootstrap=bootstrap)

    def records(self, topic: str) -> list[Any]:
        async def body() -> list[Any]:
            partitions = await kafka.partitions_of(self._section, topic)
            consumer = await kafka.open_consumer(self._section, "test")
            try:
                consumer.assign(partitions)
                await consumer.seek_to_beginning(*partitions)
                ends = await kafka.end_offsets(consumer, partitions)
                found: list[Any] = []
                while any([await consumer.position(part) < end for part, end in ends.items()]):
                    for lot in (await consumer.getmany(timeout_ms=500)).values():
                        found.extend(lot)
                return found
            finally:
                await consumer.stop()

        return asyncio.run(body())

    def bundles(self, topic: str, van: str) -> list[tuple[bytes, envelope_pb2.Bundle]]:
        """(record key, bundle) with the messages of one van only."""
        found = []
        for record in self.records(topic):
            bundle = envelope_pb2.Bundle.FromString(record.value)
            if any(item.van == van for item in bundle.messages):
                found.append((record.key, bundle))
        return found

    def messages(self, topic: str, van: str) -> list[bytes]:
        """Messages of one van, in order."""
        return [
            item.message
            for _, bundle in self.bundles(topic, van)
            for item in bundle.messages
            if item.van == van
        ]

    def letters(self, mqtt_topic: str) -> list[account_pb2.DeadLetter]:
        """Dead letters that came on one MQTT topic."""
        found = [
            account_pb2.DeadLetter.FromString(record.value) for record in self.records("vantel.deadletter")
        ]
        return [letter for letter in found if letter.mqtt_topic == mqtt_topic]


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="package")
def side(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudSide]:
    """The bridge as a process; rebirths are asked for every second."""
    cloud = CloudSide(
        stack,
        tmp_path_factory.mktemp("cloud"),
        bridge={"rebirth_period_s": 1.0, "ack_s_max": 3.0},
        mqtt={"receive_maximum": 100, "backoff_s_max": 2.0},
    )
    cloud.provision()
    cloud.launch("bridge")
    cloud.wait_healthy("bridge")
    try:
        yield cloud
    finally:
        cloud.stop()


@pytest.fixture
def kafka_back(stack: Stack) -> KafkaBack:
    return KafkaBack(stack.kafka_bootstrap)


@pytest.fixture
def new_van(stack: Stack, side: CloudSide) -> Iterator[Callable[[str], BareVan]]:
    vans: list[BareVan] = []

    def make(name: str) -> BareVan:
        vans.append(BareVan(name, stack.mqtt_port))
        return vans[-1]

    yield make
    for van in vans:
        van.close()
