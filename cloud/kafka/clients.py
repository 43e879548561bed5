"""Construction of Kafka clients for bridge, worker and tools. The only file that imports aiokafka.

KafkaSection -> started producers, consumers and admin clients: TLS, SASL, acks=all, idempotence, no auto-commit.
Settings that cannot work raise ConnectionRefused before any packet; a Kafka that does not answer, or lacks a topic,
raises KafkaUnavailable, which callers meet with a wait and another try. Durations in names are seconds.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable
from typing import Any, TypeVar

from aiokafka import (  # type: ignore[import-untyped]
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRebalanceListener,
    TopicPartition,
)
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]
from aiokafka.conn import create_conn  # type: ignore[import-untyped]
from aiokafka.errors import (  # type: ignore[import-untyped]
    KafkaError,
    KafkaTimeoutError,
    SaslAuthenticationFailed,
    TopicAlreadyExistsError,
    UnsupportedSaslMechanismError,
    for_code,
)

from cloud.connection import ConnectionRefused, password_of, refuse_plaintext, tls_of_files
from cloud.settings import KafkaSection

__all__ = [
    "RECORD_BYTES_MAX",
    "AIOKafkaAdminClient",
    "AIOKafkaConsumer",
    "AIOKafkaProducer",
    "ConsumerRebalanceListener",
    "KafkaError",
    "KafkaTimeoutError",
    "KafkaUnavailable",
    "NewTopic",
    "TopicAlreadyExistsError",
    "TopicPartition",
    "abandon",
    "answered",
    "bounds_of",
    "client_arguments",
    "end_offsets",
    "end_quietly",
    "error_of_code",
    "login_problem",
    "open_admin",
    "open_consumer",
    "open_group_consumer",
    "open_producer",
    "partitions_of",
    "ssl_of",
]

RECORD_BYTES_MAX = 1_000_000
"""Largest record that we produce: Kafka's own default bound is 1,048,588 bytes with its overhead."""
REQUEST_S_MAX = 10.0
START_S_MAX = 15.0
CLOSE_S_MAX = 3.0
HEARTBEATS_A_SESSION = 4
"""Heartbeats of a member within the time after which it counts as gone."""
_BATCH_BYTES_MAX = 512 * 1024

T = TypeVar("T")
error_of_code = for_code


class KafkaUnavailable(Exception):  # noqa: N818 - a state of the world, not a mistake
    """Kafka does not answer or is not set up; the text says what was tried and what to look at."""


def hosts_of(bootstrap: str) -> list[str]:
    """Host names in a bootstrap list such as "a:9092,[::1]:9092"; ConnectionRefused for a part that is none."""
    hosts = []
    for part in bootstrap.split(","):
        host, colon, port = part.strip().rpartition(":")
        if not host or not colon or not port.isdigit():
            raise ConnectionRefused(f"kafka.bootstrap: {part.strip()!r} is not host:port; give host:port,...")
        hosts.append(host)
    return hosts


def ssl_of(kafka: KafkaSection) -> ssl.SSLContext | None:
    """TLS context of the section, None for plaintext; refuses plaintext outside loopback."""
    hosts = hosts_of(kafka.bootstrap)
    if kafka.security == "plaintext":
        fix = 'set kafka.security to "ssl" or "sasl_ssl"'
        refuse_plaintext("kafka", hosts, kafka.plaintext, fix)
        return None
    return tls_of_files("kafka", kafka)


def client_arguments(kafka: KafkaSection) -> dict[str, Any]:
    """Arguments that every aiokafka client takes: where, TLS, SASL, request time limit."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap,
        "security_protocol": kafka.security.upper(),
        "ssl_context": ssl_of(kafka),
        "request_timeout_ms": int(REQUEST_S_MAX * 1000),
    }
    if kafka.security == "sasl_ssl":
        password = password_of("kafka", kafka)
        if kafka.username is None or password is None:
            raise ConnectionRefused(
                "kafka.security is sasl_ssl, but kafka.username or kafka.password_file is missing; set both"
            )
        arguments |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.username,
            "sasl_plain_password": password,
        }
    return arguments


async def _started(client: Any, kafka: KafkaSection, close: str) -> None:
    """Start a client within a bound; on failure close it again and say what was tried."""
    try:
        await asyncio.wait_for(client.start(), START_S_MAX)
    except (KafkaError, OSError, asyncio.TimeoutError) as cause:
        await end_quietly(getattr(client, close)())
        said = str(cause) or f"no answer within {START_S_MAX:.0f} s"
        raise KafkaUnavailable(
            f"connect Kafka at {kafka.bootstrap}: {said}; is it up, and are kafka.bootstrap and kafka.security right?"
        ) from cause
    except BaseException:
        await end_quietly(getattr(client, close)())
        raise


async def login_problem(kafka: KafkaSection) -> str:
    """Why the first bootstrap server that takes a TLS connection refuses name and password; "" when it takes them.

    Clients that start only say that no server could be reached.
    """
    arguments = client_arguments(kafka)
    del arguments["bootstrap_servers"]
    for part in kafka.bootstrap.split(","):
        host, _, port = part.strip().rpartition(":")
        try:
            link = await asyncio.wait_for(create_conn(host.strip("[]"), int(port), **arguments), START_S_MAX)
        except UnsupportedSaslMechanismError as cause:
            return f"{part.strip()}: {cause}; set kafka.sasl_mechanism to one that it takes"
        except SaslAuthenticationFailed as cause:
            return (
                f"{part.strip()}: {kafka.username} refused for {kafka.sasl_mechanism} ({cause}); check kafka.username, the "
                "password in kafka.password_file, and that the user exists for this mechanism"
            )
        except (KafkaError, OSError, asyncio.TimeoutError):
            continue
        link.close()
        return ""
    return ""


async def end_quietly(closing: Awaitable[Any]) -> None:
    """Wait for an end that may fail or hang: what it would tell is that Kafka is away, which is known here."""
    await asyncio.wait({asyncio.ensure_future(_returned(closing))}, timeout=CLOSE_S_MAX)


async def _returned(closing: Awaitable[Any]) -> BaseException | None:
    try:
        await closing
    except (KafkaError, OSError, asyncio.TimeoutError) as cause:
        return cause
    return None


async def open_producer(kafka: KafkaSection, name: str) -> AIOKafkaProducer:
    """A started producer: acks=all and idempotent, so batches are retried in order for ever and never doubled."""
    producer = AIOKafkaProducer(
        client_id=f"vantel-{name}",
        acks="all",
        enable_idempotence=True,
        max_batch_size=_BATCH_BYTES_MAX,
        max_request_size=RECORD_BYTES_MAX + 48_000,
        **client_arguments(kafka),
    )
    await _started(producer, kafka, "stop")
    return producer


async def abandon(producer: AIOKafkaProducer) -> None:
    """End a producer without waiting for what it still holds: those sends fail and are the caller's to repeat.

    Its own stop() waits for ever while Kafka is away, because idempotent batches never expire.
    """
    producer._message_accumulator.fail_all(KafkaError("the producer was given up"))
    await end_quietly(producer.client.close())
    await end_quietly(producer.stop())


async def open_consumer(kafka: KafkaSection, name: str, group: str | None = None) -> AIOKafkaConsumer:
    """A started consumer without topics: assign() partitions. It never commits by itself."""
    consumer = AIOKafkaConsumer(
        client_id=f"vantel-{name}",
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **client_arguments(kafka),
    )
    await _started(consumer, kafka, "stop")
    return consumer


async def open_group_consumer(
    kafka: KafkaSection, name: str, topics: list[str], listener: ConsumerRebalanceListener
) -> AIOKafkaConsumer:
    """A started member of the group, subscribed to topics; commit() is the caller's. An outage of what comes after is
    waited out, not a reason to rebalance: only a lost session is.
    """
    consumer = AIOKafkaConsumer(
        client_id=f"vantel-{name}",
        group_id=kafka.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=int(kafka.session_timeout_s * 1000),
        heartbeat_interval_ms=int(kafka.session_timeout_s * 1000 / HEARTBEATS_A_SESSION),
        max_poll_interval_ms=86_400_000,
        **client_arguments(kafka),
    )
    consumer.subscribe(topics, listener=listener)
    await _started(consumer, kafka, "stop")
    return consumer


async def open_admin(kafka: KafkaSection) -> AIOKafkaAdminClient:
    """A started admin client; close() it."""
    admin = AIOKafkaAdminClient(client_id="vantel-admin", **client_arguments(kafka))
    await _started(admin, kafka, "close")
    return admin


async def answered(asking: Awaitable[T], what: str) -> T:
    """Wait for an answer of Kafka within the request time; KafkaUnavailable otherwise."""
    try:
        return await asyncio.wait_for(asking, REQUEST_S_MAX)
    except (KafkaError, OSError, asyncio.TimeoutError) as cause:
        said = str(cause) or f"no answer within {REQUEST_S_MAX:.0f} s"
        raise KafkaUnavailable(f"{what}: {said}; is Kafka up?") from cause


async def partitions_of(kafka: KafkaSection, topic: str) -> list[TopicPartition]:
    """The partitions of a topic, asked of Kafka afresh; KafkaUnavailable when there is no such topic."""
    admin = await open_admin(kafka)
    try:
        described = await answered(admin.describe_topics([topic]), f"describe topic {topic}")
    finally:
        await end_quietly(admin.close())
    numbers = sorted(part["partition"] for item in described for part in item["partitions"])
    if not numbers:
        raise KafkaUnavailable(
            f"topic {topic} does not exist at {kafka.bootstrap}; run vantel-cloud provision"
        )
    return [TopicPartition(topic, number) for number in numbers]


async def end_offsets(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition]
) -> dict[TopicPartition, int]:
    """Next offset of each partition, asked of Kafka now; KafkaUnavailable when it does not answer."""
    ends = await answered(consumer.end_offsets(partitions), "ask for end offsets")
    return {partition: int(ends[partition]) for partition in partitions}


async def bounds_of(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition]
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """First and next offset of each partition; KafkaUnavailable when it does not answer."""
    starts = await answered(consumer.beginning_offsets(partitions), "ask for first offsets")
    return {tp: int(starts[tp]) for tp in partitions}, await end_offsets(consumer, partitions)
