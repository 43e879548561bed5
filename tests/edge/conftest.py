"""Fixtures of the link tests: a running broker, a factory of uplinks, a factory of bridges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.settings import MqttSection, UplinkSection
from tests.edge.uplink.mqtt_rig import FAST, Bridge, Broker, Rig


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "mosquitto")
    try:
        yield broker
    finally:
        broker.stop()


@pytest.fixture
def start() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(port: int, settings: UplinkSection = FAST, **keys: object) -> Rig:
        mqtt = {k: keys.pop(k) for k in list(keys) if k in MqttSection.model_fields}
        rig = Rig(MqttSection(port=port, **mqtt), settings, **keys)  # type: ignore[arg-type]
        rigs.append(rig)
        return rig

    yield make
    for rig in rigs:
        if rig.thread.is_alive():
            rig.stop()


@pytest.fixture
def bridge(broker: Broker) -> Iterator[Callable[[], Bridge]]:
    bridges: list[Bridge] = []

    def make() -> Bridge:
        bridges.append(Bridge(broker.port))
        return bridges[-1]

    yield make
    for item in bridges:
        item.stop()
