"""systemd units as a source, and the tree of their health.

Goal: states, restarts and watchdogs are those of systemd; levels follow the rules; a change to warning or error is an event of
class P0 at once; a bus that is away makes everything STALE and nothing else.
Method: a real D-Bus daemon with a stand-in for systemd; the whole agent, and the pure parts by themselves.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dbus_fast import Message, Variant

from edge.births import catalog_of
from edge.clock import VanClock
from edge.health_events import ERROR, OK, STALE, WARN, HealthEvents
from edge.model import SampleBlock, TextTable
from edge.settings import EdgeSettings
from edge.sources import build
from edge.sources.unit_health import UnitLevels, UnitState, tree
from tests.edge.sources.bus_rig import BusRig
from tests.edge.sources.test_gnss import by_name, wait_until
from tests.edge.test_agent_process import NO_BROKER_PORT, spooled
from vantel.identity import PayloadKind
from vantel.payloads import Event, Severity
from vantel_rig.van import Van

PLANNER, LIDAR, SETUP = "planner.service", "lidar@front.service", "setup.service"


class Systemd:
    """Answers as systemd does, from a table that the test changes."""

    def __init__(self) -> None:
        self.units = {
            PLANNER: ["loaded", "active", 0, "success", "simple"],
            LIDAR: ["loaded", "active", 2, "success", "notify"],
            SETUP: ["loaded", "inactive", 0, "success", "oneshot"],
        }
        self.silent = False
        self.garbage = False

    def answer(self, message: Message) -> Message | None:
        if self.silent:
            return None
        if message.member == "ListUnitsByNames":
            rows = []
            for at, name in enumerate(message.body[0]):
                load, active, *_ = self.units.get(name, ["not-found", "inactive", 0, "success", ""])
                rows.append(
                    [
                        name if not self.garbage else "x.service",
                        name,
                        load,
                        active,
                        "sub",
                        "",
                        f"/unit/u{list(self.units).index(name) if name in self.units else 99}",
                        at,
                        "",
                        "/",
                    ]
                )
            return Message.new_method_return(message, "a(ssssssouso)", [rows])
        if message.member == "Get":
            unit = list(self.units.values())[int(message.path.rpartition("u")[2])]
            value = {
                "NRestarts": Variant("u", unit[2]),
                "Result": Variant("s", unit[3]),
                "Type": Variant("s", unit[4]),
            }[message.body[1]]
            return Message.new_method_return(message, "v", [value])
        return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", "no")


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[BusRig]:
    rig = BusRig(tmp_path / "bus")
    yield rig
    rig.stop()


def events_of(van: Van, source: dict) -> list[tuple[str, float, Severity]]:
    settings = EdgeSettings.model_validate({"van": {"id": van.id}, "sources": [source]})
    catalog, _ = catalog_of([build(section, VanClock(), TextTable(), 0) for section in settings.sources])
    names = {signal.id: signal.name for signal in catalog.signals}
    found = [Event.decode(payload) for _, kind, payload in spooled(van) if kind is PayloadKind.EVENT]
    return [
        (names[event.signal_id], event.value, event.severity) for event in found if event.channel == "health"
    ]


def test_units_go_through_the_whole_agent(bus: BusRig, tmp_path: Path) -> None:
    systemd = Systemd()
    bus.serve("org.freedesktop.systemd1", systemd.answer)
    source = {"kind": "units", "bus": bus.address, "period_s": 0.2, "hold_s": 1.0,
              "units": [PLANNER, SETUP], "groups": {"perception": [LIDAR]}}  # fmt: skip
    van = Van("units-1", tmp_path, NO_BROKER_PORT, [source])
    van.start()
    van.wait_ready()

    def emitted() -> int:
        return int(van.status()["sources"]["units"].get("samples_emitted", 0))

    wait_until(lambda: emitted() > 50, lambda: None)
    assert van.status()["events_produced"] == 0, "all is well"
    systemd.units[LIDAR][2] = 3  # a restart
    wait_until(lambda: van.status()["events_produced"] == 3, lambda: None)
    time.sleep(1.5)
    systemd.units[PLANNER][1:4] = ["failed", 0, "watchdog"]
    wait_until(lambda: van.status()["events_produced"] == 5, lambda: None)
    systemd.garbage = True
    wait_until(lambda: van.status()["sources"]["units"].get("answer_odd", 0) > 3, lambda: None)
    systemd.garbage, systemd.silent = False, True
    wait_until(lambda: van.status()["sources"]["units"].get("bus_failed", 0) > 1, lambda: None)
    systemd.silent = False
    systemd.units[PLANNER][1:4] = ["active", 0, "success"]
    before = emitted()
    wait_until(lambda: emitted() > before + 100, lambda: None)
    assert van.stop() == 0, van.tail()
    found = by_name(van, [source])
    assert found[f"units.{LIDAR}.Restarts"][0] == 2
    assert found[f"units.{LIDAR}.Restarts"][-1] == 3
    assert set(found[f"units.{SETUP}.Level"]) == {OK, STALE}
    assert {ERROR, STALE, OK} <= set(found["units.Health"])
    assert ERROR not in found["units.Health.perception"]
    assert WARN in found["units.Health.perception"]
    assert found["units.Health"][-1] == OK
    assert 1.0 in found[f"units.{PLANNER}.IsWatchdogTriggered"]
    assert set(found[f"units.{PLANNER}.State"]) == {3.0, 6.0}
    told = events_of(van, source)
    assert set(told[:3]) == {
        (f"units.{LIDAR}.Level", float(WARN), Severity.WARNING),
        ("units.Health.perception", float(WARN), Severity.WARNING),
        ("units.Health", float(WARN), Severity.WARNING),
    }
    assert set(told[3:5]) == {
        (f"units.{PLANNER}.Level", float(ERROR), Severity.CRITICAL),
        ("units.Health", float(ERROR), Severity.CRITICAL),
    }


def test_without_a_bus_everything_is_stale_and_the_rest_goes_on(tmp_path: Path) -> None:
    source = {"kind": "units", "bus": f"unix:path={tmp_path}/none", "period_s": 0.2, "units": [PLANNER]}
    other = {"kind": "probe", "rate_hz": 50.0}
    van = Van("units-2", tmp_path, NO_BROKER_PORT, [source, other])
    van.start()
    van.wait_ready()
    wait_until(lambda: van.status()["sources"]["units"].get("bus_failed", 0) > 3, lambda: None)
    assert van.status()["sources"]["probe"]["samples_emitted"] > 10
    assert van.stop() == 0, van.tail()
    found = by_name(van, [source, other])
    assert set(found["units.Health"]) == {STALE}
    assert f"units.{PLANNER}.State" not in found, "nothing is made up"


def test_levels_follow_the_states() -> None:
    levels = UnitLevels(60.0)
    for state, wanted in (
        (UnitState("loaded", "active"), OK),
        (UnitState("loaded", "failed"), ERROR),
        (UnitState("not-found", "inactive"), ERROR),
        (UnitState("loaded", "inactive"), ERROR),
        (UnitState("loaded", "inactive", kind="oneshot"), OK),
        (UnitState("loaded", "inactive", result="exit-code", kind="oneshot"), ERROR),
        (UnitState("loaded", "activating"), WARN),
        (UnitState("loaded", "something new"), WARN),
        (None, STALE),
    ):
        assert levels.level("a", state, 0.0) == wanted, state
    steps = [(0, 0.0), (1, 1.0), (1, 60.0), (1, 61.5), (0, 62.0)]
    assert [levels.level("b", UnitState("loaded", "active", restarts), t) for restarts, t in steps] == [
        OK,
        WARN,
        WARN,
        OK,
        OK,
    ]
    assert tree({"a": OK, "b": ERROR, "c": WARN}, {"x": ["a", "c"], "y": []}) == {
        "": ERROR,
        "x": WARN,
        "y": OK,
    }


def test_an_event_for_each_change_to_worse_and_no_other() -> None:
    settings = EdgeSettings.model_validate(
        {"van": {"id": "v"}, "sources": [{"kind": "units", "units": [PLANNER]}]}
    )
    catalog, _ = catalog_of([build(section, VanClock(), TextTable(), 0) for section in settings.sources])
    row = [signal.name for signal in catalog.signals].index("units.Health")
    course = [OK, WARN, WARN, ERROR, ERROR, WARN, OK, STALE, float("nan"), ERROR]
    stream = HealthEvents(catalog)
    events = [
        event
        for at, level in enumerate(course)
        for event in stream.step(
            SampleBlock(np.array([row], np.int32), np.array([at]), np.array([float(level)]))
        )
    ]
    assert [(event.t_mono_ns, event.value, event.expected) for event in events] == [
        (1, WARN, OK), (3, ERROR, WARN), (7, STALE, OK), (9, ERROR, STALE),
    ]  # fmt: skip
