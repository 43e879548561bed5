"""The doors of the product, replaced for the time of a run: time, chance, MQTT, Kafka clients, HTTP, logs.

Outside libraries enter through one file a side (docs/architecture.md), so there are few: these names, and `time` in
every module of the product that has imported it. Everything else runs as it is. The old doors are back at the end.
"""

from __future__ import annotations

import contextlib
import random
import sys
import time as real_time
from collections.abc import Iterator
from typing import Any

import structlog

import cloud.bridge.ack_sender
import cloud.bridge.bridge
import cloud.kafka.clients
import cloud.ledger.keys
import edge.uplink.thread
import vantel.identity
from vantel_rig.sim.broker import BridgeLink, Broker
from vantel_rig.sim.kafka import Admin, Consumer, Kafka, Producer
from vantel_rig.sim.processes import VirtualTime
from vantel_rig.sim.world import World

ASK_PERIOD_S = 2.0
"""The bridge looks so often for catalogs to ask for; its own 0.25 s would be most of the events of a run."""
LEDGER_MARGIN_S = 5.0
"""Clocks of the cloud are true here, and a run lasts minutes: ledger records of earlier writers go within it."""
SILENT = 50


class _Secrets:
    def __init__(self, world: World, name: str = "secrets") -> None:
        self._rng = world.stream(name)

    def randbits(self, bits: int) -> int:
        return self._rng.getrandbits(bits)


class _Waker:
    """The world wakes the uplink."""

    def wake(self) -> None: ...
    def clear(self) -> None: ...
    def close(self) -> None: ...


class _NoServer:
    """Health pages are not simulated."""

    def __init__(self, *_: Any) -> None:
        return

    async def start(self) -> None: ...
    async def close(self) -> None: ...


def _product_modules() -> Iterator[Any]:
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] in ("edge", "cloud", "vantel") and module is not None:
            yield module


@contextlib.contextmanager
def replaced(world: World, time: VirtualTime, broker: Broker, kafka: Kafka) -> Iterator[None]:
    """Within this block the product lives in the world."""

    def link(_mqtt: Any, _filters: Any, _foreign: Any, take: Any) -> BridgeLink:
        return BridgeLink(broker, take)

    for client in (Producer, Consumer, Admin):
        client.kafka = kafka
    changes: list[tuple[Any, str, Any]] = [
        (module, "time", time) for module in _product_modules() if getattr(module, "time", None) is real_time
    ]
    changes += [
        (vantel.identity, "secrets", _Secrets(world)),
        (edge.uplink.thread, "Waker", _Waker),
        (cloud.bridge.bridge, "MqttLink", link),
        (cloud.bridge.bridge, "StatusServer", _NoServer),
        (cloud.bridge.ack_sender, "ASK_PERIOD_S", ASK_PERIOD_S),
        (cloud.ledger.keys, "MARGIN_S", LEDGER_MARGIN_S),
        (cloud.ledger.keys, "secrets", _Secrets(world, "ledger keys")),
        (cloud.kafka.clients, "AIOKafkaProducer", Producer),
        (cloud.kafka.clients, "AIOKafkaConsumer", Consumer),
        (cloud.kafka.clients, "AIOKafkaAdminClient", Admin),
    ]
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    logs = structlog.get_config()
    chance = random.getstate()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(SILENT), cache_logger_on_first_use=False
    )
    random.seed(world.seed)
    for owner, name, value in changes:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in kept:
            setattr(owner, name, value)
        random.setstate(chance)
        structlog.configure(**logs)
