"""Goal: the sender delivers every record in order, also when its producer fails for good or Kafka goes away.

Method: the real Kafka; a producer is made to fail by skipping sequence numbers, which the broker refuses.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from cloud.bridge.metrics import BridgeMetrics
from cloud.bridge.sender import KafkaSender, Record
from cloud.kafka import clients as kafka
from cloud.kafka.clients import TopicPartition
from cloud.kafka.provision import provision_topics
from cloud.settings import CloudSettings, KafkaSection
from vantel_rig.cloud_side import CloudSide
from vantel_rig.stack import Stack

pytestmark = pytest.mark.servers
TOPIC = "vantel.p2"


@pytest.fixture
def producers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The producers that the sender opens, newest last."""
    opened: list[Any] = []
    real = kafka.open_producer

    async def opening(section: KafkaSection, name: str) -> Any:
        opened.append(await real(section, name))
        return opened[-1]

    monkeypatch.setattr(kafka, "open_producer", opening)
    return opened


async def until(true: Any, timeout_s: float = 120.0) -> None:
    give_up_s = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < give_up_s, "did not become true in time"
        await asyncio.sleep(0.02)


def first_seen(values: list[bytes], prefix: bytes) -> list[bytes]:
    """Values with a prefix without repetitions, in order of first appearance."""
    return list(dict.fromkeys(value for value in values if value.startswith(prefix)))


def test_a_failed_producer_is_replaced_and_nothing_is_lost(
    side: CloudSide, stack: Stack, kafka_back: Any, producers: list[Any]
) -> None:
    section = side.settings.kafka

    async def body() -> None:
        await provision_topics(CloudSettings(kafka=section))
        sender = KafkaSender(section, BridgeMetrics())
        done: list[int] = []

        def submit(first: int, last: int) -> None:
            for number in range(first, last):
                sender.submit(Record(TOPIC, b"5", b"fail-%03d" % number, lambda n=number: done.append(n)))

        running = asyncio.create_task(sender.run())
        submit(0, 20)
        await until(lambda: len(done) == 20)
        for partition in range(section.partitions):
            producers[0]._txn_manager.increment_sequence_number(TopicPartition(TOPIC, partition), 3)
        submit(20, 60)
        await until(lambda: len(done) == 60)
        assert done == list(range(60))
        assert len(producers) == 2
        assert len(sender) == 0
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(body())
    values = [record.value for record in kafka_back.records(TOPIC)]
    assert first_seen(values, b"fail-") == [b"fail-%03d" % number for number in range(60)]


def test_records_wait_while_kafka_is_away_and_leave_in_order(
    side: CloudSide, stack: Stack, kafka_back: Any, producers: list[Any]
) -> None:
    async def body() -> None:
        sender = KafkaSender(side.settings.kafka, BridgeMetrics())
        done: list[int] = []
        running = asyncio.create_task(sender.run())
        await until(lambda: bool(producers))
        await asyncio.to_thread(stack.kill, "kafka")
        for number in range(200):
            value = b"away-%03d" % number + bytes(20_000)
            sender.submit(Record(TOPIC, b"5", value, lambda n=number: done.append(n)))
        await asyncio.sleep(1.0)
        assert done == []
        assert sender.oldest_s() > 0.5
        await asyncio.to_thread(stack.start_again, "kafka")
        await until(lambda: len(done) == 200, 60)
        assert done == list(range(200))
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(body())
    values = [record.value[:8] for record in kafka_back.records(TOPIC)]
    assert first_seen(values, b"away-") == [b"away-%03d" % number for number in range(200)]


def test_a_bug_in_a_callback_ends_the_sender(side: CloudSide) -> None:
    def bug() -> None:
        raise ZeroDivisionError

    async def body() -> None:
        sender = KafkaSender(side.settings.kafka, BridgeMetrics())
        sender.submit(Record(TOPIC, b"5", b"bug", bug))
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(sender.run(), 20)

    asyncio.run(body())
