"""Pytest fixtures for hardware-in-the-loop rigs and for our own tests: servers, cloud side, vans, faults, events.

Installed as a pytest plugin with the extra [rig], so a rig's tests in any folder can use it:

    def test_spike_is_reported(vantel_van, vantel_events):
        van = vantel_van("van-1", [{"kind": "probe"}])
        van.inject("Vehicle.Robovan.TestBench.Probe", "spike", 50.0, at_s=5.0, mark="my-fault")
        vantel_events.expect(van, signal="Vehicle.Robovan.TestBench.Probe", channel="robust_z", timeout_s=30)

A bad link between two network namespaces (needs root, else the test is skipped with the reason):

    def test_over_a_bad_link(vantel_link):
        link = vantel_link(rate_bit_s=64_000, delay_s=1.0, loss=0.3, seed=7)
        with link.cloud():
            ...  # servers started here listen in the cloud's namespace, at link.cloud_address
        with link.van():
            ...  # what is started here (threads, processes, sockets) reaches them over the link only
        link.cut(); link.heal(); link.rebind()

Servers start once a session, on free loopback ports, and are stopped at its end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from vantel_rig.cloud_side import CloudSide
    from vantel_rig.events import Events
    from vantel_rig.link.namespaces import BadLink
    from vantel_rig.stack import Stack
    from vantel_rig.van import Van

VanFactory = Callable[..., "Van"]


@pytest.fixture(scope="session")
def vantel_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Mosquitto, Kafka and InfluxDB on free loopback ports."""
    from vantel_rig.stack import Stack

    with Stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture(scope="session")
def vantel_cloud(vantel_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudSide]:
    """Bridge and worker on that stack."""
    from vantel_rig.cloud_side import CloudSide

    side = CloudSide(vantel_stack, tmp_path_factory.mktemp("cloud"))
    try:
        yield side.start()
    finally:
        side.stop()


@pytest.fixture
def vantel_van(vantel_stack: Stack, vantel_cloud: CloudSide, tmp_path: Path) -> Iterator[VanFactory]:
    """Factory of vans: vantel_van(van_id, sources, **sections) starts one and stops it after the test."""
    del vantel_cloud  # a van of this fixture has a cloud to talk to
    from vantel_rig.van import Van

    vans: list[Van] = []

    def start(van_id: str, sources: list[dict[str, Any]], **sections: dict[str, Any]) -> Van:
        van = Van(van_id, tmp_path / van_id, vantel_stack.mqtt_port, sources, **sections)
        vans.append(van)
        van.start()
        van.wait_ready()
        return van

    try:
        yield start
    finally:
        for van in vans:
            if van.alive:
                van.stop()


@pytest.fixture
def vantel_replay(vantel_van: VanFactory) -> VanFactory:
    """Replay one recording: vantel_replay(van_id, path, dbc, speed=1.0, ..., sections={...}) starts the van."""
    from vantel_rig.drives import replay

    def start(
        van_id: str, path: Path, dbc: Any = None, sections: dict[str, Any] | None = None, **options: Any
    ) -> Van:
        return vantel_van(van_id, [replay(path, dbc, **options)], **(sections or {}))

    return start


@pytest.fixture
def vantel_events(vantel_cloud: CloudSide) -> Events:
    """Events as they stand in InfluxDB: expect one, or list them."""
    from vantel_rig.events import Events

    return Events(vantel_cloud.settings.influx)


@pytest.fixture
def vantel_link() -> Iterator[Callable[..., BadLink]]:
    """Factory of bad links: vantel_link(seed=1, **profile), the profile as in vantel_rig.link.impairment.LinkProfile."""
    from vantel_rig.link.impairment import LinkProfile
    from vantel_rig.link.namespaces import BadLink, missing

    if why := missing():
        pytest.skip(why)
    with contextlib.ExitStack() as stack:
        yield lambda seed=1, **profile: stack.enter_context(BadLink(LinkProfile(**profile), seed))
