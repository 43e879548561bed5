"""Tries each connection of the settings and says what is wrong and how to mend it: MQTT, Kafka, InfluxDB.

Settings -> Trial for each connection: what worked, what is wrong. Nothing is stored anywhere: MQTT connects,
subscribes to one shard and writes an ack to a van that there is not; Kafka is asked for its topics; InfluxDB gets a body
without points (the right to write is judged before it is read) and is asked for its measurements. All three at once,
each within TRIAL_S_MAX. A broker that names clients by their certificate ends the connection of a running bridge with
this certificate for a moment; the bridge comes back and nothing is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cloud.bridge.happenings import Connected, Disconnected, Happening, Published, Subscribed
from cloud.connection import ConnectionRefused, tls_problem
from cloud.kafka.clients import (
    KafkaUnavailable,
    answered,
    end_quietly,
    hosts_of,
    login_problem,
    open_admin,
    ssl_of,
)
from cloud.kafka.provision import partitions_wanted
from cloud.kafka.topics import TOPICS
from cloud.mqtt import MqttLink
from cloud.query import InfluxQuery, QueryError
from cloud.settings import CloudSettings, InfluxSection, KafkaSection
from cloud.sink.influx import InfluxWriter
from cloud.sink.sink import stop_text
from vantel import topics
from vantel.topics import parse_shards

TRIAL_S_MAX = 30.0
STEP_S_MAX = 12.0
PROBE_S_MAX = 3.0
REFUSAL_S_MAX = 1.0
NOBODY = "vantel-check"
"""A van id that no van has: an ack to it reaches nobody."""
EMPTY_BODY = b"# vantel-cloud check"


@dataclass(slots=True)
class Trial:
    """One connection tried. problems: cause and fix, one line each; good: what worked."""

    name: str
    target: str
    good: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        """No problem was found."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "connection": self.name,
            "target": self.target,
            "fine": self.fine,
            "good": self.good,
            "problems": self.problems,
        }


async def check(settings: CloudSettings) -> list[Trial]:
    """Try all connections at once; what a trial raises becomes its problem."""
    mqtt, influx = settings.mqtt, settings.influx
    trials = (
        (Trial("mqtt", f"{mqtt.host}:{mqtt.port}"), _mqtt),
        (Trial("kafka", settings.kafka.bootstrap), _kafka),
        (Trial("influx", f"{influx.url}, bucket {influx.bucket}"), _influx),
    )
    await asyncio.gather(*(_try(trial, attempt, settings) for trial, attempt in trials))
    return [trial for trial, _ in trials]


async def _try(trial: Trial, attempt: Callable[[Trial, CloudSettings], Any], settings: CloudSettings) -> None:
    try:
        await asyncio.wait_for(attempt(trial, settings), TRIAL_S_MAX)
    except (ConnectionRefused, KafkaUnavailable) as cause:
        trial.problems.append(str(cause))
    except asyncio.TimeoutError:
        trial.problems.append(f"no answer within {TRIAL_S_MAX:.0f} s; check the network and firewalls")


async def _mqtt(trial: Trial, settings: CloudSettings) -> None:
    """Connect as the bridge does, under a client id and with a session of its own."""
    shard = parse_shards(settings.bridge.shards)[0]
    section = settings.mqtt.model_copy(
        update={"client_id": f"{settings.mqtt.client_id}-check", "session_expiry_s": 0}
    )
    happened: asyncio.Queue[Happening] = asyncio.Queue(1000)

    def take(lot: Sequence[Happening]) -> None:
        for item in lot:
            if not happened.full() and not hasattr(item, "payload"):  # messages of vans are not ours to judge
                happened.put_nowait(item)

    link = MqttLink(section, [topics.up_filter(shard)], [], take)
    link.start()
    try:
        while True:
            item = await asyncio.wait_for(happened.get(), STEP_S_MAX)
            if isinstance(item, Disconnected):
                trial.problems.append(f"connect MQTT: {item.why}")
                return
            if isinstance(item, Connected):
                trial.good.append("connected")
            elif isinstance(item, Subscribed):
                trial.good.append(f"subscribed to {topics.up_filter(shard)}")
                link.publish(item.connection, topics.down(NOBODY, "ack"), b"", 1)
            elif isinstance(item, Published):
                # 0x10, no subscribers, is a success: nobody listens there
                if item.failed:
                    trial.problems.append(f"write {topics.down(NOBODY, 'ack')}: {item.failed}")
                else:
                    trial.good.append("may write acks")
                return
    finally:
        await link.stop(2.0)


async def _kafka(trial: Trial, settings: CloudSettings) -> None:
    """Connect, and compare the topics with what provision creates."""
    try:
        admin = await open_admin(settings.kafka)
    except KafkaUnavailable as cause:
        problem = await _bootstrap_problem(settings.kafka)
        if (
            not problem
            and settings.kafka.security == "sasl_ssl"
            and (refused := await login_problem(settings.kafka))
        ):
            problem = f"log in to Kafka at {refused}"
        trial.problems.append(problem or str(cause))
        return
    trial.good.append("connected")
    try:
        described = await answered(admin.describe_topics(None), "list the topics")
    finally:
        await end_quietly(admin.close())
    there = {item["topic"]: len(item["partitions"]) for item in described}
    missing = [topic.name for topic in TOPICS if topic.name not in there]
    if missing:
        trial.problems.append(f"topics are missing: {', '.join(missing)}; run vantel-cloud provision")
    for topic in TOPICS:
        wanted = partitions_wanted(topic, settings.kafka)
        if topic.compacted and there.get(topic.name, wanted) != wanted:
            trial.problems.append(
                f"topic {topic.name} has {there[topic.name]} partitions; it is read in order and must have {wanted}: "
                "delete it while nothing runs, then run vantel-cloud provision"
            )
    if len(missing) < len(TOPICS):
        trial.good.append(f"{len(TOPICS) - len(missing)} of {len(TOPICS)} topics")


async def _bootstrap_problem(kafka: KafkaSection) -> str:
    """What a bare connection to the bootstrap servers shows; "" when one of them takes it."""
    context = ssl_of(kafka)
    found = []
    for part, host in zip(kafka.bootstrap.split(","), hosts_of(kafka.bootstrap), strict=True):
        port = int(part.strip().rpartition(":")[2])
        try:
            opening = asyncio.open_connection(
                host.strip("[]"), port, ssl=context, server_hostname=host.strip("[]") if context else None
            )
            reader, writer = await asyncio.wait_for(opening, PROBE_S_MAX)
            if context:
                await _refusal(reader)
        except ssl.SSLError as cause:
            found.append(f"{host}:{port}: {tls_problem(cause, 'kafka')}")
        except ConnectionRefusedError:
            found.append(f"{host}:{port}: nobody listens there; is Kafka up, is kafka.bootstrap right?")
        except (OSError, asyncio.TimeoutError) as cause:
            said = getattr(cause, "strerror", "") or "no answer"
            # a Kafka without TLS takes the handshake for a request of a senseless size: it waits, or hangs up
            silent = context and isinstance(cause, ConnectionError | asyncio.TimeoutError)
            fix = (
                "does the server speak TLS on this port, is kafka.security right?"
                if silent
                else "check the network"
            )
            found.append(f"{host}:{port}: {said}; {fix}")
        else:
            writer.close()
            return ""
    return "connect Kafka at " + "; ".join(found)


async def _refusal(reader: asyncio.StreamReader) -> None:
    """Wait for what TLS 1.3 tells only after the handshake: SSLError when the server does not take our certificate.

    A Kafka that takes us says nothing before it is asked.
    """
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(reader.read(1), REFUSAL_S_MAX)


async def _influx(trial: Trial, settings: CloudSettings) -> None:
    """The right to write, then the right to read."""
    influx = settings.influx
    await asyncio.to_thread(_may_write, trial, influx)
    if trial.fine:
        await asyncio.to_thread(_may_read, trial, influx)


def _may_write(trial: Trial, influx: InfluxSection) -> None:
    writer = InfluxWriter(influx)
    try:
        answer = writer.write(EMPTY_BODY)
    finally:
        writer.close()
    if answer.status in {401, 403, 404}:
        trial.problems.append(stop_text(influx, answer))
    elif answer.status == 0:
        fix = "" if answer.kind == "tls" else "; is it up, are influx.url and influx.ca_file right?"
        trial.problems.append(f"connect InfluxDB at {influx.url}: {answer.text or answer.kind}{fix}")
    elif answer.good or answer.status in {
        400,
        422,
    }:  # version 3 wants a point, but has judged the right by then
        trial.good.append("may write")
    else:
        trial.problems.append(
            f"write to {influx.url}: {answer.status} {answer.text.strip()}; look at its log"
        )


def _may_read(trial: Trial, influx: InfluxSection) -> None:
    try:
        InfluxQuery(influx, timeout_s=STEP_S_MAX).query("SHOW MEASUREMENTS LIMIT 1")
    except QueryError as cause:
        trial.problems.append(
            f"{cause}; page, dashboards and ledger read by /query: give influx.token_file a token that may read the "
            f"bucket, and map the database {influx.bucket!r} to it if the server does not by itself"
        )
    except OSError as cause:
        trial.problems.append(f"read from {influx.url}: {cause}; does a proxy in front pass /query?")
    else:
        trial.good.append("may read")
