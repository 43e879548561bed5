"""Goal: topics are created once and right, a compacted topic is read wholly and goes on being read through a Kafka that
goes away, and a producer can be given up while Kafka is silent.

Method: the real Kafka of the local stack; what it holds is read back with an admin client or a plain consumer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.kafka import clients as kafka
from cloud.kafka import compacted, topics
from cloud.kafka.clients import KafkaUnavailable
from cloud.kafka.compacted import CompactedTopic
from cloud.kafka.provision import provision_topics, topic_config
from cloud.settings import CloudSettings, KafkaSection
from vantel_rig.ports import HeldPort
from vantel_rig.stack import Stack

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="module")
def settings(stack: Stack) -> CloudSettings:
    return CloudSettings(kafka=KafkaSection(bootstrap=stack.kafka_bootstrap, partitions=3))


def test_provision_creates_each_topic_once(settings: CloudSettings) -> None:
    async def body() -> None:
        names = [topic.name for topic in topics.TOPICS]
        assert await provision_topics(settings) == names
        assert await provision_topics(settings) == []
        for topic in topics.TOPICS:
            parts = await kafka.partitions_of(settings.kafka, topic.name)
            assert len(parts) == (1 if topic.compacted else 3)

    asyncio.run(body())


def test_topic_config_keeps_a_majority_and_compacts_only_what_is_state() -> None:
    section = KafkaSection(replication=3, retention_h=2)
    for topic in topics.TOPICS:
        config = topic_config(topic, section)
        assert config["min.insync.replicas"] == "2"
        assert config["cleanup.policy"] == ("compact" if topic.compacted else "delete")
        assert config.get("retention.ms") == (None if topic.compacted else "7200000")
    assert topic_config(topics.TOPICS[0], KafkaSection())["min.insync.replicas"] == "1"


def test_a_missing_topic_or_server_is_named(settings: CloudSettings) -> None:
    async def body() -> None:
        with pytest.raises(KafkaUnavailable, match=r"vantel.nothing does not exist.*provision"):
            await kafka.partitions_of(settings.kafka, "vantel.nothing")
        held = HeldPort()
        held.release()
        nobody = KafkaSection(bootstrap=f"127.0.0.1:{held.port}")
        with pytest.raises(KafkaUnavailable, match=f"127.0.0.1:{held.port}.*is it up"):
            await kafka.open_producer(nobody, "test")

    asyncio.run(body())


def test_compacted_topic_is_read_whole_then_followed_through_a_restart(
    settings: CloudSettings, stack: Stack
) -> None:
    async def body() -> None:
        await provision_topics(settings)
        producer = await kafka.open_producer(settings.kafka, "test")
        seen: list[tuple[str, bytes | None]] = []
        reader = CompactedTopic(settings.kafka, topics.LEDGER, lambda key, value: seen.append((key, value)))
        stop = asyncio.Event()
        try:
            sent: list[tuple[str, bytes | None]] = [(f"k{i}", b"v%d" % i) for i in range(1200)]
            sent.append(("k3", None))
            for key, value in sent:
                await producer.send(topics.LEDGER, value, key.encode())
            await producer.flush()
            assert await reader.catch_up() == len(sent)
            assert seen == sent
            assert await reader.catch_up() == 0
            tail = asyncio.create_task(reader.tail(stop))
            await producer.send_and_wait(topics.LEDGER, b"live", b"a")
            await until(lambda: seen[-1] == ("a", b"live"))
            await asyncio.to_thread(stack.restart, "kafka", True)
            await producer.send_and_wait(topics.LEDGER, b"after", b"b")
            await until(lambda: seen[-1] == ("b", b"after"), 40)
            assert seen == [*sent, ("a", b"live"), ("b", b"after")]
            stop.set()
            await asyncio.wait_for(tail, 60)
        finally:
            await kafka.abandon(producer)
            await reader.close()

    asyncio.run(body())


def test_the_reader_outlives_a_silence_that_ends_its_consumer(
    settings: CloudSettings, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compacted, "PROBE_PERIOD_S", 0.1)
    monkeypatch.setattr(kafka, "REQUEST_S_MAX", 1.0)

    async def body() -> None:
        await provision_topics(settings)
        seen: list[tuple[str, bytes | None]] = []
        reader = CompactedTopic(settings.kafka, topics.LAST, lambda key, value: seen.append((key, value)))
        stop = asyncio.Event()
        await reader.catch_up()
        tail = asyncio.create_task(reader.tail(stop))
        first = reader._consumer
        stack.pause("kafka")
        try:
            await until(lambda: reader._consumer is not first)
        finally:
            stack.resume("kafka")
        producer = await kafka.open_producer(settings.kafka, "test")
        await producer.send_and_wait(topics.LAST, b"after", b"silence")
        await until(lambda: seen == [("silence", b"after")])
        stop.set()
        await asyncio.wait_for(tail, 60)
        await kafka.abandon(producer)
        await reader.close()

    asyncio.run(body())


def test_a_producer_is_given_up_while_kafka_is_silent(settings: CloudSettings, stack: Stack) -> None:
    async def body() -> None:
        await provision_topics(settings)
        producer = await kafka.open_producer(settings.kafka, "test")
        await producer.send_and_wait(topics.LEDGER, b"first", b"c")
        stack.pause("kafka")
        try:
            pending = await producer.send(topics.LEDGER, b"second", b"c")
            await asyncio.sleep(0.3)
            await asyncio.wait_for(kafka.abandon(producer), 60)  # its own stop() would wait for ever
            with pytest.raises(kafka.KafkaError):
                await asyncio.wait_for(pending, 60)
        finally:
            stack.resume("kafka")
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert left == []

    asyncio.run(body())


async def until(true: object, timeout_s: float = 120.0) -> None:
    give_up_s = time.monotonic() + timeout_s
    while not true():  # type: ignore[operator]
        assert time.monotonic() < give_up_s, "did not become true in time"
        await asyncio.sleep(0.02)


def test_bootstrap_is_checked() -> None:
    with pytest.raises(Exception, match="host:port"):
        kafka.hosts_of("kafka-1,kafka-2:9092")
    assert kafka.hosts_of("a:1,[::1]:2") == ["a", "[::1]"]
    with pytest.raises(Exception, match="plaintext outside loopback is refused"):
        kafka.client_arguments(KafkaSection(bootstrap="kafka.example.org:9092"))
    with pytest.raises(Exception, match=r"kafka\.username"):
        kafka.client_arguments(KafkaSection(security="sasl_ssl"))
    with pytest.raises(Exception, match=r"ca_file .*nothing"):
        kafka.client_arguments(KafkaSection(security="ssl", ca_file=Path("nothing.pem")))
