"""Wiring of the bridge: deliveries -> intake -> bundles -> Kafka -> PUBACK and durable ack. All state in one event loop.

A message is acknowledged to the broker, in order of receipt, and to its van, coalesced, once Kafka has everything that
came of it with acks=all. With Kafka away nothing is acknowledged, and the receive maximum bounds what is held. Failures
of Kafka and of the broker are waited out; any other exception is a bug and ends the process, which loses nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from cloud.bridge.ack_sender import AckSender
from cloud.bridge.bundling import Bundle, Bundler, Lane
from cloud.bridge.happenings import Connected, Delivery, Disconnected, Happening, Published, Subscribed
from cloud.bridge.intake import Forward, Presence, Refuse, judge
from cloud.bridge.metrics import BridgeMetrics
from cloud.bridge.puback_order import PubackOrder
from cloud.bridge.sender import KafkaSender, Record
from cloud.certificates import CertificateMetrics
from cloud.http import Health, StatusServer
from cloud.kafka import clients as kafka
from cloud.kafka.clients import RECORD_BYTES_MAX, KafkaUnavailable
from cloud.kafka.compacted import CompactedTopic, pause
from cloud.kafka.topics import BY_CLASS, CATALOG, DEADLETTER, LAST
from cloud.log import Seldom
from cloud.mqtt import MqttLink, receive_maximum_of
from cloud.settings import CloudSettings
from vantel import topics
from vantel.identity import StreamKey
from vantel.telemetry.v1 import account_pb2
from vantel.topics import SHARD_COUNT, parse_shards

KAFKA_SILENCE_S_MAX = 30.0
KAFKA_RETRY_S = 2.0
DRAIN_S_MAX = 3.0
LEAVE_S_MAX = 1.0

_log = structlog.get_logger("bridge")


@dataclass(eq=False, slots=True)
class Ticket:
    """One MQTT message on its way. records_left: Kafka records that must be durable before it is acknowledged."""

    connection: int
    mid: int
    stream: StreamKey | None = None
    seq: int = 0
    records_left: int = 1


class Bridge:
    """One bridge process; run() once."""

    def __init__(self, settings: CloudSettings) -> None:
        """Checks what the settings make impossible; ConnectionRefused before anything is opened."""
        section = settings.bridge
        kafka.client_arguments(settings.kafka)
        mine = parse_shards(section.shards)
        filters, foreign = _filters(mine)
        self._settings = settings
        self._metrics = BridgeMetrics()
        certificates = CertificateMetrics({"mqtt": settings.mqtt, "kafka": settings.kafka})
        self._metrics.registry.register(certificates)
        self._link = MqttLink(settings.mqtt, filters, foreign, self._guarded(self._happened))
        self._sender = KafkaSender(settings.kafka, self._metrics)
        self._catalogs = CompactedTopic(settings.kafka, CATALOG, self._catalog_seen)
        bytes_max = min(section.bundle_bytes_max, RECORD_BYTES_MAX * 9 // 10)
        self._bundler: Bundler[Ticket] = Bundler(
            section.bundle_window_s, section.bundle_messages_max, bytes_max
        )
        self._acks = AckSender(section, self._link, self._metrics)
        self._order = PubackOrder()
        self._receive_maximum = receive_maximum_of(settings.mqtt)
        self._seldom = Seldom()
        self._connected = self._subscribed = False
        self._mqtt_problem = "not connected yet"
        self._kafka_problem = "not reached yet"
        self._messages_open = 0
        self._draining = False
        self._crashed: asyncio.Future[None] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Until stop; then flush, acknowledge what is durable, leave."""
        self._crashed = asyncio.get_running_loop().create_future()
        http = self._settings.http
        server = StatusServer(
            http.host, http.bridge_port, "http.bridge_port", self.health, self._metrics.registry
        )
        await server.start()
        tasks: list[asyncio.Task[None]] = []
        try:
            if not await self._kafka_ready(stop):
                return
            tasks = [
                asyncio.create_task(self._sender.run(), name="sender"),
                asyncio.create_task(self._catalogs.tail(stop), name="catalogs"),
                asyncio.create_task(self._acks.run(), name="acks"),
                asyncio.create_task(self._acks.ask_for_catalogs(), name="rebirths"),
            ]
            self._link.start()
            stopped = asyncio.create_task(stop.wait())
            watched: list[asyncio.Future[Any]] = [*tasks, stopped, self._crashed]
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            for ended in done:
                ended.result()
            await self._drain()
        finally:
            await self._link.stop(LEAVE_S_MAX)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=LEAVE_S_MAX)
            await self._catalogs.close()
            await server.close()
            _log.info("bridge ended", records_unanswered=len(self._sender))

    def health(self) -> Health:
        """What is wrong now."""
        problems = []
        if not self._subscribed:
            problems.append(f"mqtt: {self._mqtt_problem}")
        answered_s = max(self._sender.answered_mono_s, self._catalogs.answered_mono_s)
        silence_s = time.monotonic() - answered_s
        if self._kafka_problem:
            problems.append(f"kafka: {self._kafka_problem}")
        elif silence_s > KAFKA_SILENCE_S_MAX:
            problems.append(f"kafka: no answer for {silence_s:.0f} s")
        if self._sender.oldest_s() > KAFKA_SILENCE_S_MAX:
            cause = self._sender.problem or "no answer"
            problems.append(f"kafka: a record waits for {self._sender.oldest_s():.0f} s: {cause}")
        details = {
            "unacked_messages": len(self._order),
            "in_flight_records": len(self._sender),
            "vans_with_acks_due": len(self._acks.book.dirty()),
            "catalogs_wanted": len(self._acks.wanted),
        }
        return Health(tuple(problems), details)

    async def _kafka_ready(self, stop: asyncio.Event) -> bool:
        """Wait for Kafka, its topics and all known catalogs; False when stopped meanwhile."""
        while not stop.is_set():
            ready = asyncio.create_task(self._look_at_kafka())
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait([ready, stopped], return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if not ready.done():
                ready.cancel()
                await asyncio.wait([ready], timeout=LEAVE_S_MAX)
                return False
            try:
                ready.result()
            except (KafkaUnavailable, kafka.KafkaError, OSError) as cause:
                self._kafka_problem = str(cause)
                held = self._seldom.allow(f"kafka {cause}")
                if held is not None:
                    _log.warning("waiting for Kafka", cause=str(cause), held=held)
                await pause(stop, random.uniform(0.1, KAFKA_RETRY_S))
            else:
                self._kafka_problem = ""
                return True
        return False

    async def _look_at_kafka(self) -> None:
        for topic in (*BY_CLASS.values(), DEADLETTER, LAST):
            await kafka.partitions_of(self._settings.kafka, topic)
        await self._catalogs.catch_up()

    def _guarded(self, act: Callable[[list[Happening]], None]) -> Callable[[list[Happening]], None]:
        """A callback whose exception ends the bridge instead of vanishing in the event loop."""

        def guarded(lot: list[Happening]) -> None:
            try:
                act(lot)
            except Exception as cause:
                if self._crashed is not None and not self._crashed.done():
                    self._crashed.set_exception(cause)

        return guarded

    def _happened(self, lot: list[Happening]) -> None:
        """What came from the broker, in order."""
        for item in lot:
            if isinstance(item, Delivery):
                if not self._draining:
                    self._deliver(item)
            elif isinstance(item, Published):
                self._acks.published(item)
            elif isinstance(item, Connected):
                self._connected = True
                self._order.connected(item.connection)
                self._acks.connected(item)
                self._metrics.connections.inc()
                self._mqtt_problem = "not subscribed yet"
                _log.info("MQTT connected", session_present=item.session_present)
            elif isinstance(item, Subscribed):
                self._subscribed = True
                self._metrics.connected.set(1)
                self._acks.subscribed()
            elif isinstance(item, Disconnected):
                self._disconnected(item)
        self._metrics.unacked.set(len(self._order))

    def _disconnected(self, item: Disconnected) -> None:
        self._connected = self._subscribed = False
        self._mqtt_problem = item.why
        self._order.connected(-1)
        self._acks.disconnected()
        self._metrics.connected.set(0)
        self._release()

    def _release(self) -> None:
        """Let the link connect again once Kafka has all that the last connection brought: that bounds what is held."""
        if not self._connected and self._messages_open == 0:
            self._link.release()

    def _deliver(self, delivery: Delivery) -> None:
        if delivery.mid == 0 and self._messages_open >= self._receive_maximum:
            self._metrics.dropped_qos0.inc()
            return
        self._messages_open += 1
        self._metrics.received_bytes.inc(len(delivery.payload))
        if delivery.mid:
            self._order.receive(delivery.connection, delivery.mid)
        ticket = Ticket(delivery.connection, delivery.mid)
        try:
            verdict = judge(delivery.topic, delivery.payload)
        except (
            Exception
        ) as cause:  # our bug on their bytes: kept whole for us to look at, instead of a crash for ever
            _log.exception("message not understood", topic=delivery.topic)
            verdict = Refuse("not_understood", f"{type(cause).__name__}: {cause}")
        if isinstance(verdict, Forward):
            self._metrics.messages.labels(verdict.lane.label).inc()
            self._forward(delivery, verdict, ticket)
        elif isinstance(verdict, Presence):
            self._metrics.messages.labels("death").inc()
            self._submit(LAST, f"{verdict.van}|presence", delivery.payload, [ticket])
        else:
            self._metrics.messages.labels("refused").inc()
            self._refuse(delivery, verdict, ticket)

    def _forward(self, delivery: Delivery, item: Forward, ticket: Ticket) -> None:
        ticket.stream, ticket.seq = item.stream, item.seq
        now_s = time.monotonic()
        born = item.born
        wanted = self._acks.wanted
        if born is not None and not wanted.is_known(born.hash):
            ticket.records_left += 1
            wanted.coming(born.hash)
            self._submit(CATALOG, f"{born.hash:016x}", born.encode(), [ticket])
            _log.info("new catalog", van=item.stream.van, catalog=f"{born.hash:016x}", signals=len(born))
        elif born is None:
            wanted.named(item.stream.van, item.catalog_hash, now_s)
        lane = Lane(item.shard, item.lane)
        fresh = self._bundler.next_due_s() is None
        closed = self._bundler.add(
            lane, item.stream.van, delivery.payload, delivery.received_unix_ns, ticket, now_s
        )
        for bundle in closed:
            self._ship(bundle)
        if fresh:
            self._arm_window()

    def _refuse(self, delivery: Delivery, item: Refuse, ticket: Ticket) -> None:
        self._metrics.dead_letters.labels(item.reason).inc()
        held = self._seldom.allow(f"{item.reason} {item.van}")
        if held is not None:
            _log.warning(
                "message refused", reason=item.reason, detail=item.detail, van=item.van, topic=delivery.topic, held=held
            )  # fmt: skip
        letter = account_pb2.DeadLetter(
            van=item.van,
            reason=item.reason,
            detail=item.detail,
            message=delivery.payload,
            received_unix_ns=delivery.received_unix_ns,
            refused_unix_ns=time.time_ns(),
            mqtt_topic=delivery.topic,
        )
        self._submit(DEADLETTER, item.van, letter.SerializeToString(), [ticket])

    def _arm_window(self) -> None:
        due_s = self._bundler.next_due_s()
        if due_s is not None:
            wait_s = max(0.0, due_s - time.monotonic())
            asyncio.get_running_loop().call_later(wait_s, self._guarded(self._window_ended), [])

    def _window_ended(self, _: list[Happening]) -> None:
        for bundle in self._bundler.due(time.monotonic()):
            self._ship(bundle)
        self._arm_window()

    def _ship(self, bundle: Bundle[Ticket]) -> None:
        label = bundle.lane.delivery_class.label
        self._metrics.bundles.labels(label).inc()
        self._metrics.bundle_messages.observe(len(bundle.messages))
        self._submit(
            BY_CLASS[bundle.lane.delivery_class], str(bundle.lane.shard), bundle.encode(), bundle.tickets
        )

    def _submit(self, topic: str, key: str, value: bytes, tickets: list[Ticket]) -> None:
        self._sender.submit(Record(topic, key.encode(), value, lambda: self._durable(tickets)))

    def _durable(self, tickets: list[Ticket]) -> None:
        """Kafka has a record: acknowledge the messages that wait for nothing else."""
        for ticket in tickets:
            ticket.records_left -= 1
            if ticket.records_left:
                continue
            self._messages_open -= 1
            if ticket.stream is not None:
                self._acks.durable(ticket.stream, ticket.seq)
            if ticket.mid:
                for mid in self._order.finish(ticket.connection, ticket.mid):
                    self._link.puback(ticket.connection, mid)
        self._metrics.unacked.set(len(self._order))
        self._release()

    def _catalog_seen(self, key: str, value: bytes | None) -> None:
        try:
            catalog_hash = int(key, 16)
        except ValueError:
            _log.warning("record of the catalog topic has no hash as key, left out", key=key[:64])
            return
        if value is not None:
            self._acks.wanted.known(catalog_hash)

    async def _drain(self) -> None:
        """The way out: nothing new is taken, what was taken gets its chance to become durable and acknowledged."""
        self._draining = True
        for bundle in self._bundler.flush():
            self._ship(bundle)
        give_up_s = time.monotonic() + DRAIN_S_MAX
        while len(self._sender) and time.monotonic() < give_up_s:
            await asyncio.sleep(0.01)
        await self._acks.last_words(LEAVE_S_MAX / 2)


def _filters(mine: tuple[int, ...]) -> tuple[list[str], list[str]]:
    """Subscriptions for our shards, and those that an earlier run with other settings may have left in the session."""
    everything = "v1/+/+/up/+"
    if len(mine) == SHARD_COUNT:
        return [everything], [topics.up_filter(shard) for shard in range(SHARD_COUNT)]
    foreign = [topics.up_filter(shard) for shard in range(SHARD_COUNT) if shard not in mine]
    return [topics.up_filter(shard) for shard in mine], [everything, *foreign]
