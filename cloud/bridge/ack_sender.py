"""Sends durable acks and rebirth requests to the vans, from the ack book and the wanted catalogs.

durable() for what Kafka has, needs() for a catalog that an envelope names -> acks on the down topics, QoS 1, not
retained, within the broker's own window. Without a connection they wait in the book; those that were unanswered when a
connection ended are said again.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from cloud.bridge.ack_book import AckBook
from cloud.bridge.happenings import Connected, Published
from cloud.bridge.metrics import BridgeMetrics
from cloud.bridge.wanted import WantedCatalogs
from cloud.log import Seldom
from cloud.mqtt import MqttLink
from cloud.settings import BridgeSection
from vantel import topics
from vantel.identity import StreamKey

ASK_PERIOD_S = 0.25

_log = structlog.get_logger("bridge")


class AckSender:
    """Owner of the ack book; all calls in the event loop."""

    def __init__(self, section: BridgeSection, link: MqttLink, metrics: BridgeMetrics) -> None:
        # half the promise: what is due is sent a little later
        self.book = AckBook(section.ack_p0_s_max / 2, section.ack_s_max, section.ack_envelopes_max)
        self.wanted = WantedCatalogs(section.rebirth_period_s)
        self._link, self._metrics = link, metrics
        self._connection, self._window, self._subscribed = -1, 0, False
        self._unanswered: dict[int, str] = {}
        self._tag = 0
        self._wake = asyncio.Event()
        self._seldom = Seldom()

    def durable(self, stream: StreamKey, seq: int) -> None:
        """Kafka has an envelope."""
        self.book.add(stream, seq, time.monotonic())
        self._wake.set()

    def connected(self, item: Connected) -> None:
        """A new connection; acks leave when the subscriptions stand."""
        self._connection, self._window = item.connection, item.window

    def subscribed(self) -> None:
        """Acks may leave."""
        self._subscribed = True
        self._wake.set()

    def disconnected(self) -> None:
        """Acks wait; the unanswered ones are said again."""
        self._connection, self._subscribed = -1, False
        for van in self._unanswered.values():
            self.book.repeat(van, time.monotonic())
        self._unanswered.clear()

    def published(self, item: Published) -> None:
        """The broker's answer to an ack."""
        van = self._unanswered.pop(item.tag, "")
        if item.failed:
            self._metrics.acks_refused.inc()
            held = self._seldom.allow("ack refused")
            if held is not None:
                _log.error("the broker refuses an ack", van=van, cause=item.failed, held=held)
        self._wake.set()

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        while True:
            self._wake.clear()
            due_s = self.book.next_due_s()
            if due_s is None or not self._subscribed or not self._room():
                await self._wake.wait()
                continue
            wait_s = due_s - time.monotonic()
            if wait_s > 0:
                waking = asyncio.create_task(self._wake.wait())
                await asyncio.wait([waking], timeout=wait_s)
                waking.cancel()
                continue
            for van in self.book.due(time.monotonic(), self._room()):
                self._send(van)

    async def ask_for_catalogs(self) -> None:
        """Put rebirth requests into acks, until cancelled."""
        while True:
            await asyncio.sleep(ASK_PERIOD_S)
            now_s = time.monotonic()
            for van, catalog_hash in self.wanted.due(now_s):
                self.book.ask_rebirth(van, catalog_hash, now_s)
                self._metrics.rebirths.inc()
                _log.info("asking for a birth", van=van, catalog=f"{catalog_hash:016x}")
                self._wake.set()

    async def last_words(self, timeout_s: float) -> None:
        """Send what there is to say now and wait a little for the broker's answers."""
        if self._subscribed:
            for van in self.book.dirty()[: self._room()]:
                self._send(van)
        give_up_s = time.monotonic() + timeout_s
        while self._unanswered and time.monotonic() < give_up_s:
            await asyncio.sleep(0.01)

    def _room(self) -> int:
        return max(0, self._window - len(self._unanswered))

    def _send(self, van: str) -> None:
        ack = self.book.take(van)
        self._tag += 1
        self._unanswered[self._tag] = van
        self._metrics.acks.inc()
        self._link.publish(self._connection, topics.down(van, "ack"), ack.encode(), self._tag)
