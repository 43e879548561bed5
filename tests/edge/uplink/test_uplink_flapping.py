"""Goal: a link that comes and goes, and a NAT that forgets, cost nothing but time.

Method: the real uplink and the real Mosquitto over the rig's bad link, by the fixture that rig users have.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.settings import MqttSection, UplinkSection
from tests.edge.uplink.mqtt_rig import Bridge, Broker, Rig, until
from vantel.identity import DeliveryClass
from vantel_rig.link.namespaces import BadLink

P0, P1, P2 = DeliveryClass
pytestmark = pytest.mark.servers
PATIENT = UplinkSection(inflight_max=4, backoff_s_min=0.1, backoff_s_max=0.5, resend_after_s=20)


@contextmanager
def over(link: BadLink, folder: Path, settings: UplinkSection) -> Iterator[tuple[Rig, Bridge]]:
    """An uplink on the van, broker and bridge in the cloud."""
    broker = Broker(folder)
    with link.cloud():
        broker.start(replace=("127.0.0.1", "0.0.0.0"))  # noqa: S104  (a namespace that only this test can reach)
        cloud = Bridge(broker.port)
    mqtt = MqttSection(host=link.cloud_address, port=broker.port, plaintext="anywhere", keepalive_s=5)
    rig = Rig(mqtt, settings)
    with link.van():
        rig.start()
    try:
        until(lambda: rig.uplink.connected, "connected")
        yield rig, cloud
    finally:
        rig.stop()
        cloud.stop()
        broker.stop()


def test_a_link_that_is_up_five_seconds_and_down_three(
    vantel_link: Callable[..., BadLink], tmp_path: Path
) -> None:
    down = tuple((at, at + 3.0) for at in range(5, 605, 8))
    link = vantel_link(seed=3, rate_bit_s=128_000, delay_s=0.1, loss=0.01, outages_s=down)
    with over(link, tmp_path, PATIENT) as (rig, cloud):
        rig.add(P1, 60, size=2000, t_mono_s=time.monotonic() - 1000)
        for number in range(3):
            rig.add(P0)
            until(lambda n=number: f"p0/{n}" in cloud.names(), "P0 is there")
            time.sleep(2.5)
        until(lambda: rig.outbox.empty, "all acked", 280)
        assert set(cloud.names()) == {*(f"p0/{n}" for n in range(3)), *(f"p1/{n}" for n in range(60))}
        assert link.up.lost > 0


def test_a_nat_that_forgets_the_connection_is_noticed_and_a_new_one_made(
    vantel_link: Callable[..., BadLink], tmp_path: Path
) -> None:
    link = vantel_link(seed=4, rate_bit_s=1e6, delay_s=0.02, loss=0.0)
    with over(link, tmp_path, PATIENT) as (rig, cloud):
        rig.add(P1, 5)
        until(lambda: rig.outbox.empty, "all acked")
        link.rebind()
        rig.add(P0)
        rig.add(P1, 5)
        until(lambda: rig.outbox.empty, "a new connection carried it")
        assert rig["reconnects"] == 1
        assert set(cloud.names()) == {"p0/0", *(f"p1/{n}" for n in range(10))}
