"""Goal: what the broker tells at CONNACK is honoured, and what it refuses is sent again.

Method: the real Mosquitto where it can be made to tell it (keep-alive, maximum packet size, Receive Maximum). Refusing
PUBACKs come in test_mqtt_delivery.py, sizes in test_mqtt_downlink.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from edge.settings import MqttSection
from edge.uplink.mqtt import Link, Waker
from tests.edge.uplink.mqtt_rig import EPOCH, FAST, VAN, Bridge, Broker, Rig, until
from vantel.identity import DeliveryClass

P0, P1, P2 = DeliveryClass
pytestmark = pytest.mark.servers


def test_the_servers_keep_alive_counts_and_not_ours(broker: Broker) -> None:
    """Without it the broker, which waits for 1.5 keep-alives, ends an idle connection."""
    told_s = 10  # the least that Mosquitto may tell
    broker.start([f"max_keepalive {told_s}"])
    waker = Waker()
    link = Link(VAN, EPOCH, MqttSection(port=broker.port, keepalive_s=600), 8, waker)
    try:
        link.open(lambda: False)
        assert link.keepalive_s == told_s
        idle_until_s = time.monotonic() + 1.5 * told_s + 4
        while time.monotonic() < idle_until_s and link.up:
            link.step(0.2)
        assert link.up, link.end
        link.leave()
    finally:
        link.close()
        waker.close()


def test_the_brokers_receive_maximum_is_the_window(
    broker: Broker, start: Callable[..., Rig], bridge: Callable[[], Bridge]
) -> None:
    broker.start(["max_inflight_messages 3"])
    cloud = bridge()
    rig = start(broker.port, FAST.model_copy(update={"inflight_max": 50})).start()
    rig.add(P1, 300)
    until(lambda: rig["connected"], "connected")
    assert rig.uplink._schedule.window == 3
    until(lambda: rig.outbox.empty, "all acked")
    assert set(cloud.names()) == {f"p1/{n}" for n in range(300)}
    assert rig["reconnects"] == 0
