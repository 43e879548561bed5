"""Wiring of the page's process: topics of Kafka -> fleet, viewers -> commands by MQTT, questions -> InfluxDB.

Reads everything that the compacted topics hold before it calls itself ready, then what comes. Kafka, broker or database
away: the page stays, says what is wrong, and shows what it knew with its age. Decides nothing about data.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import structlog

from cloud.bridge.happenings import Connected, Disconnected, Happening
from cloud.kafka import clients as kafka
from cloud.kafka.clients import KafkaUnavailable
from cloud.kafka.compacted import CompactedTopic, pause
from cloud.kafka.publish import Publisher
from cloud.kafka.topics import ACKEVENTS, BY_CLASS, CATALOG, LAST, LEDGER
from cloud.log import Seldom
from cloud.mqtt import MqttLink
from cloud.query import InfluxQuery
from cloud.settings import CloudSettings
from cloud.web.events import EventBook
from cloud.web.fleet import Fleet
from cloud.web.history import History
from cloud.web.live_views import LiveViews
from cloud.web.server import Site
from cloud.worker.delivery import Outgoing
from vantel import topics
from vantel.identity import DeliveryClass

RETRY_S = 2.0
KAFKA_SILENT_S_MAX = 30.0
QUERY_S_MAX = 15.0
FORGET_MAX = 5_000
LEAVE_S_MAX = 1.0
_log = structlog.get_logger("web")


class WebProcess:
    """One process; run() once."""

    def __init__(self, settings: CloudSettings) -> None:
        """ConnectionRefused for settings that cannot work, before anything is opened."""
        self._settings = settings
        kafka.client_arguments(settings.kafka)
        web = settings.web
        self.fleet = Fleet(EventBook(web.events_max))
        self._publisher = Publisher(settings.kafka, "web")
        mqtt = settings.mqtt.model_copy(update={"client_id": web.mqtt_client_id, "session_expiry_s": 0})
        self._link = MqttLink(mqtt, [], [], self._happened)
        self._connection = -1
        self._mqtt_problem = "not connected yet"
        self._kafka_problem, self._seldom = "not reached yet", Seldom()
        self._views = LiveViews(self._send, self.fleet.results, web.live_view_s)
        history = History(InfluxQuery(settings.influx, QUERY_S_MAX).query)
        self.site = Site(web, self.fleet, self._views, history, self._acknowledge, self._problems)
        start_ms = int((time.time() - web.events_h_max * 3600.0) * 1000)
        fleet, p0 = self.fleet, BY_CLASS[DeliveryClass.P0]
        self._topics = [
            self._reader(CATALOG, fleet.take_catalog),
            self._reader(LEDGER, fleet.take_ledger),
            self._reader(ACKEVENTS, fleet.take_ack),
            self._reader(p0, lambda _, value: fleet.take_p0(p0, value), start_ms),
        ]
        self._last = CompactedTopic(
            settings.kafka, LAST, lambda key, value: fleet.take_last(key, value, self._last.stamp_unix_ms)
        )
        self._topics.append(self._last)

    def _reader(
        self, topic: str, take: Callable[[str, bytes | None], None], start_ms: int | None = None
    ) -> CompactedTopic:
        return CompactedTopic(self._settings.kafka, topic, take, start_ms)

    async def run(self, stop: asyncio.Event) -> None:
        """Until stop."""
        await self.site.start()
        self._link.start()
        tasks = [asyncio.create_task(self._renew(stop), name="live views")]
        try:
            if await self._caught_up(stop):
                self.site.ready = True
                tasks += [asyncio.create_task(topic.tail(stop), name=topic.topic) for topic in self._topics]
                await self._forget_old_acks()
                stopped = asyncio.create_task(stop.wait())
                done, _ = await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
                for ended in done:
                    ended.result()
        finally:
            self._views.end_all()
            await self.site.close()
            await self._link.stop(LEAVE_S_MAX)
            for task in tasks:
                task.cancel()
            for closing in (self._publisher.close(), *(topic.close() for topic in self._topics)):
                await asyncio.wait({asyncio.ensure_future(closing)}, timeout=LEAVE_S_MAX)

    async def _caught_up(self, stop: asyncio.Event) -> bool:
        """Read what the topics hold, waiting for Kafka as long as it takes; False when stopped meanwhile."""
        while not stop.is_set():
            try:
                for topic in self._topics:
                    await topic.catch_up()
            except (KafkaUnavailable, kafka.KafkaError, OSError) as cause:
                self._kafka_problem = str(cause)
                held = self._seldom.allow("kafka")
                if held is not None:
                    _log.warning("waiting for Kafka", cause=str(cause), held=held)
                await pause(stop, random.uniform(0.1, RETRY_S))
            else:
                self._kafka_problem = ""
                return True
        return False

    async def _forget_old_acks(self) -> None:
        """Delete acknowledgements of events that Kafka no longer holds, so that their topic stays bounded."""
        horizon_s = max(self._settings.kafka.retention_h, self._settings.web.events_h_max) * 3600.0
        old = self.fleet.events.acks_before(int((time.time() - horizon_s) * 1000), FORGET_MAX)
        await self._publisher.publish([Outgoing(ACKEVENTS, key.encode(), None) for key in old])

    async def _acknowledge(self, event_id: str, record: bytes) -> None:
        await self._publisher.publish([Outgoing(ACKEVENTS, event_id.encode(), record)])

    async def _renew(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._views.renew(time.monotonic())
            await pause(stop, 0.5)

    def _send(self, van: str, command: bytes, expiry_s: int) -> bool:
        if self._connection < 0:
            return False
        self._link.publish(self._connection, topics.down(van, "command"), command, 0, expiry_s)
        return True

    def _happened(self, lot: list[Happening]) -> None:
        for item in lot:
            if isinstance(item, Connected):
                self._connection, self._mqtt_problem = item.connection, ""
            elif isinstance(item, Disconnected):
                self._connection, self._mqtt_problem = -1, item.why
                self._link.release()

    def _problems(self) -> list[str]:
        problems = []
        if self._kafka_problem:
            problems.append(f"kafka: {self._kafka_problem}")
        else:
            silence_s = time.monotonic() - max(topic.answered_mono_s for topic in self._topics)
            if silence_s > KAFKA_SILENT_S_MAX:
                problems.append(f"kafka: no answer for {silence_s:.0f} s; what is shown is old")
        if self._mqtt_problem:
            problems.append(f"mqtt: {self._mqtt_problem}; no live views")
        return problems


async def run_web(settings: CloudSettings, stop: asyncio.Event) -> None:
    """Run the page until stop."""
    await WebProcess(settings).run(stop)
