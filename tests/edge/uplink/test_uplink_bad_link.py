"""Goal: over a slow, late, lossy link nothing is lost and P0 goes first; a silent cut is noticed and survived.

Method: the real uplink and the real Mosquitto in two network namespaces, joined by the rig's seeded bad link. The long
form, at 64 kbit/s, 2 s and 30 %, is tests/bench/link.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.settings import MqttSection, UplinkSection
from tests.edge.uplink.mqtt_rig import Bridge, Broker, Rig, until
from vantel.identity import DeliveryClass
from vantel_rig.link.impairment import Impairment, LinkProfile
from vantel_rig.link.namespaces import CLOUD_ADDRESS, BadLink, missing

P0, P1, P2 = DeliveryClass
PATIENT = UplinkSection(inflight_max=4, backoff_s_min=0.1, backoff_s_max=0.5, resend_after_s=20)


def test_impairment_is_a_function_of_its_seed() -> None:
    profile = LinkProfile(loss=0.3, duplicate=0.1, reorder=0.2)
    first, again, other = (Impairment(profile, seed) for seed in (1, 1, 2))
    ways = [[way.departures_s(n * 0.5, 1000) for n in range(2000)] for way in (first, again, other)]
    assert ways[0] == ways[1] != ways[2]
    assert 0.25 < first.lost / 2000 < 0.35
    assert 0.05 < sum(len(out) == 2 for out in ways[0]) / first.carried < 0.15


def test_impairment_holds_rate_delay_queue_and_outage() -> None:
    way = Impairment(LinkProfile(8000, 1.0, 0.0, queue_bytes_max=3000, outages_s=((10.0, 11.0),)), 0)
    assert [way.departures_s(0.0, 1000) for _ in range(4)] == [(2.0,), (3.0,), (4.0,), ()]
    assert (way.carried, way.dropped) == (3, 1)
    assert way.departures_s(10.5, 1000) == () and way.lost == 1
    assert way.departures_s(20.0, 1000) == (22.0,)


def test_a_share_above_one_is_refused() -> None:
    with pytest.raises(ValueError, match="shares"):
        LinkProfile(loss=1.5)


@pytest.fixture(scope="module")
def bad_link() -> Iterator[BadLink]:
    """256 kbit/s, 200 ms there and back, 5 % lost, 2 % doubled, 5 % out of order."""
    if why := missing():
        pytest.skip(why)
    profile = LinkProfile(256_000, 0.1, 0.05, duplicate=0.02, reorder=0.05)
    with BadLink(profile, seed=5) as link:
        yield link


@pytest.mark.servers
def test_nothing_is_lost_p0_goes_first_and_a_silent_cut_is_noticed(bad_link: BadLink, tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    with bad_link.cloud():
        broker.start(replace=("127.0.0.1", "0.0.0.0"))  # noqa: S104  (a namespace that only this test can reach)
        cloud = Bridge(broker.port)
    mqtt = MqttSection(host=CLOUD_ADDRESS, port=broker.port, plaintext="anywhere", keepalive_s=5)
    rig = Rig(mqtt, PATIENT)
    try:
        with bad_link.van():
            rig.start()
        until(lambda: rig.uplink.connected, "connected")
        rig.add(P1, 60, size=2000, t_mono_s=time.monotonic() - 1000)
        until(lambda: len(cloud.names()) > 5, "the backlog flows")
        rig.add(P0)
        until(lambda: "p0/0" in cloud.names(), "P0 is there")
        names = cloud.names()
        assert len(set(names[: names.index("p0/0")])) < 40, "P0 waited for the backlog"
        bad_link.cut()
        until(lambda: not rig.uplink.connected, "the cut is noticed")
        bad_link.heal()
        until(lambda: rig.outbox.empty, "all acked", 240)
        assert set(cloud.names()) == {"p0/0", *(f"p1/{n}" for n in range(60))}
        assert rig["reconnects"] >= 1
    finally:
        bad_link.heal()
        rig.stop()
        cloud.stop()
        broker.stop()
