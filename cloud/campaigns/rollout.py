"""Campaigns to the vans and their answers back: Kafka for the record of both, MQTT (retained) for the way down. Rim.

KafkaUnavailable, ConnectionRefused, RolloutError when a server does not answer; the text says what to do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from cloud.bridge.happenings import Connected, Disconnected, Happening, Published
from cloud.campaigns.desired import SET, Desired
from cloud.kafka.compacted import CompactedTopic
from cloud.kafka.publish import Publisher
from cloud.kafka.topics import CAMPAIGN, LAST
from cloud.mqtt import MqttLink
from cloud.settings import CloudSettings
from cloud.worker.delivery import Outgoing
from vantel import topics
from vantel.campaign.document import CampaignSet
from vantel.campaign.signature import sign
from vantel.captures import CampaignState

CLIENT_ID = "vantel-campaign"
"""The name that the broker's access list knows (deploy/broker/acl)."""
CONNECT_S_MAX = 15.0
TAKEN_S_MAX = 60.0
LEAVE_S_MAX = 2.0
IN_FLIGHT_MAX = 100


class RolloutError(RuntimeError):
    """The broker does not take the campaigns; the text says why."""


class Fleet:
    """An open connection to both ends: use as an async context manager."""

    def __init__(self, settings: CloudSettings) -> None:
        self._settings = settings
        self.desired = Desired()
        self._campaign = CompactedTopic(settings.kafka, CAMPAIGN, self.desired.take)
        self._last = CompactedTopic(settings.kafka, LAST, lambda key, _: self.desired.vans.add(key))
        self._publisher = Publisher(settings.kafka, "campaign")
        mqtt = settings.mqtt.model_copy(update={"client_id": CLIENT_ID, "session_expiry_s": 0})
        self._link = MqttLink(mqtt, [], [], self._happened)
        self._linked = False
        self._connection = -1
        self._problem = "no connection to the broker"
        self._open: set[int] = set()
        self._refused: dict[int, str] = {}
        self._stop = asyncio.Event()
        self._tail: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> Fleet:
        await self._campaign.catch_up()
        await self._last.catch_up()
        self._tail = asyncio.create_task(self._campaign.tail(self._stop))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        if self._tail is not None:
            await self._tail
        if self._linked:
            await self._link.stop(LEAVE_S_MAX)
        for closing in (self._publisher.close(), self._campaign.close(), self._last.close()):
            await closing

    async def send(self, sets: Sequence[CampaignSet], private_pem: bytes) -> None:
        """Sign, record and publish; returns when the broker has all of them."""
        signed = [(item.van, sign(item.encode(), private_pem)) for item in sets]
        await self._publisher.publish(
            [Outgoing(CAMPAIGN, f"{SET}|{van}".encode(), data) for van, data in signed]
        )
        for van, data in signed:
            self.desired.take(f"{SET}|{van}", data)
        if not self._linked:
            self._linked = True
            self._link.start()
        await self._until(lambda: self._connection >= 0, CONNECT_S_MAX)
        for at, (van, data) in enumerate(signed, start=1):
            await self._until(lambda: len(self._open) < IN_FLIGHT_MAX, TAKEN_S_MAX)
            self._open.add(at)
            self._link.publish(self._connection, topics.down(van, "campaign"), data, at, retain=True)
        await self._until(lambda: not self._open, TAKEN_S_MAX)
        if self._refused:
            at, why = next(iter(self._refused.items()))
            raise RolloutError(
                f"the broker refused the set of {signed[at - 1][0]}: {why}; see its access list"
            )

    def states(self, vans: Sequence[str], name: str) -> dict[str, CampaignState | str | None]:
        """What the vans say about a campaign; a text where one refused the whole set."""
        return {van: self.desired.refusal(van) or self.desired.state(van, name) for van in vans}

    async def _until(self, done: Any, seconds: float) -> None:
        give_up_s = time.monotonic() + seconds
        while not done():
            if time.monotonic() > give_up_s:
                raise RolloutError(f"the broker does not take the campaigns: {self._problem}")
            await asyncio.sleep(0.02)

    def _happened(self, lot: list[Happening]) -> None:
        for item in lot:
            if isinstance(item, Connected):
                self._connection, self._problem = item.connection, "no answer"
            elif isinstance(item, Published):
                self._open.discard(item.tag)
                if item.failed and "No matching subscribers" not in item.failed:
                    self._refused[item.tag] = item.failed
            elif isinstance(item, Disconnected):
                self._connection, self._problem = -1, item.why
                self._link.release()
