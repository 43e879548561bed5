"""The synthetic van.

Goal: signals that fit together as those of one van do, the same for the same seed; each fault shows what its name says, and
nothing contradicts anything without a fault.
Method: an hour and more of samples without a clock; relations between signals are checked on what was emitted, not on
the state of the model.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby
from typing import Any, get_args

import numpy as np
import pytest

from edge.clock import VanClock
from edge.model import TextTable
from edge.settings import SyntheticSource
from edge.settings.sources import SyntheticFault
from edge.sources import build
from edge.sources.synthetic import NAMES, SyntheticVan, blocks
from edge.sources.synthetic_faults import FAULTS
from tests.edge.sources.test_live_sources import collect, flat
from vantel.catalog import SignalType, builtin

LEFT_OPEN, RIGHT_OPEN = (f"Vehicle.Robovan.Cargo.Door.{side}.IsOpen" for side in ("Left", "Right"))
SPEED, LEVEL, MODE = "Vehicle.Speed", "Vehicle.ADAS.ActiveAutonomyLevel", "Vehicle.Robovan.Drive.Mode"
STOPPED, ASSISTANCE = "Vehicle.Robovan.EmergencyStop.IsActive", "Vehicle.Robovan.RemoteAssistance.State"
LONGITUDINAL, BATTERY = "Vehicle.Acceleration.Longitudinal", "Vehicle.Powertrain.TractionBattery."
BOARD = "Vehicle.ControlUnit.Central.Health.Resources."


def section(**keys: Any) -> SyntheticSource:
    return SyntheticSource.model_validate({"kind": "synthetic"} | keys)


class Course:
    """What was emitted, by name; at() holds the last value, sampled every 100 ms."""

    def __init__(self, seconds: float, **keys: Any) -> None:
        settings = section(**keys)
        names = [signal.name for signal in SyntheticVan(settings).signals]
        every = list(blocks(settings, seconds))
        slot = np.concatenate([block.slot for block in every])
        t, value = (np.concatenate([getattr(b, part) for b in every]) for part in ("t_mono_ns", "value"))
        self.t_ns = np.arange(0, round(seconds * 1e9), 100_000_000)
        self.samples = {name: (t[slot == at], value[slot == at]) for at, name in enumerate(names)}

    def at(self, name: str) -> np.ndarray:
        t, value = self.samples[name]
        return value[np.searchsorted(t, self.t_ns, side="right") - 1]

    def labels(self, name: str) -> np.ndarray:
        return np.array(builtin().by_name(name).labels, object)[self.at(name).astype(int)]


@lru_cache(maxsize=4)
def hour(seed: int) -> Course:
    return Course(3600.0, seed=seed)


SEEDS = pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.once) for seed in (2, 3))])


def test_the_seed_decides_everything() -> None:
    def stream(seed: int, **keys: Any) -> list[tuple[list[int], list[float]]]:
        return [(b.slot.tolist(), b.value.tolist()) for b in blocks(section(seed=seed, **keys), 300)]

    assert stream(5) == stream(5)
    assert stream(5, faults_per_hour=60) == stream(5, faults_per_hour=60)
    assert stream(5) != stream(6)


def test_every_signal_is_of_the_catalog_marked_and_plausible() -> None:
    course, model = hour(1), SyntheticVan(section())
    assert [signal.name for signal in model.signals] == list(NAMES)
    for signal in model.signals:
        base = builtin().by_name(signal.name)
        assert signal.simulated
        assert (signal.unit, signal.type, signal.labels) == (base.unit, base.type, base.labels)
        value = course.samples[signal.name][1]
        low, high = base.policy.min, base.policy.max
        assert value.size
        assert low is None or value.min() >= low, signal.name
        assert high is None or value.max() <= high, signal.name
        if signal.type not in (SignalType.FLOAT64, SignalType.FLOAT32):
            assert (value == np.rint(value)).all()
            assert value.max() < len(signal.labels) or not signal.labels


@SEEDS
def test_doors_open_only_at_rest(seed: int) -> None:
    course = hour(seed)
    is_open = (course.at(LEFT_OPEN) > 0) | (course.at(RIGHT_OPEN) > 0)
    assert is_open.sum() > 300
    assert course.at(SPEED)[is_open].max() == 0.0
    for side in ("Left", "Right"):
        door = f"Vehicle.Robovan.Cargo.Door.{side}."
        assert not ((course.at(door + "IsOpen") > 0) & (course.at(door + "IsLocked") > 0)).any()


@SEEDS
def test_motion_is_one_motion(seed: int) -> None:
    course = hour(seed)
    speed = course.at(SPEED) / 3.6
    acceleration = course.at(LONGITUDINAL)
    assert np.abs(np.diff(speed) / 0.1 - acceleration[1:]).max() < 0.15
    assert acceleration.max() < 1.5
    assert acceleration.min() > -3.3
    # noise of 0.02 on each of two samples; a step of acceleration would be 12 m/s^3 and more
    assert np.abs(np.diff(acceleration) / 0.1).max() < 3.0
    lateral = course.at("Vehicle.Acceleration.Lateral")
    assert lateral.max() > 1.0
    assert np.abs(np.diff(lateral) / 0.1).max() < 3.0
    yaw = np.radians(course.at("Vehicle.AngularVelocity.Yaw"))
    assert np.abs(speed * yaw - course.at("Vehicle.Acceleration.Lateral")).max() < 0.15
    latitude, longitude = (course.at(f"Vehicle.CurrentLocation.{axis}") for axis in ("Latitude", "Longitude"))
    north = np.radians(np.diff(latitude)) * 6_378_137.0
    east = np.radians(np.diff(longitude)) * 6_378_137.0 * np.cos(np.radians(latitude[:-1]))
    assert np.abs(np.hypot(north, east) / 0.1 - (speed[1:] + speed[:-1]) / 2).max() < 0.25
    course_over_ground = np.degrees(np.arctan2(east, north)) % 360.0
    heading = course.at("Vehicle.CurrentLocation.Heading")[1:]
    off = (course_over_ground - heading + 180.0) % 360.0 - 180.0
    assert np.abs(off[np.hypot(north, east) > 0.2]).max() < 5.0
    wheels = [course.at(f"Vehicle.Chassis.Axle.Row1.Wheel.{side}.Speed") for side in ("Left", "Right")]
    assert np.abs(sum(wheels) / 2 - speed * 3.6).max() < 1e-9
    assert ((wheels[1] - wheels[0])[yaw > 0.1] > 0).all()


@SEEDS
def test_charge_follows_current_and_heat_follows_load(seed: int) -> None:
    course = hour(seed)
    charge, current = course.at(BATTERY + "StateOfCharge.Current"), course.at(BATTERY + "CurrentCurrent")
    expected = np.cumsum(current) * 0.1 / 3600 / 57.0 * 100
    assert np.abs((charge - charge[0]) - (expected - expected[0])).max() < 0.35
    moving = course.at(SPEED) > 0
    assert current[moving].mean() < -3.0
    volts, power = course.at(BATTERY + "CurrentVoltage"), course.at(BATTERY + "CurrentPower")
    whole = slice(0, None, 10)
    assert np.abs(volts[whole] * current[whole] - power[whole]).max() < 150.0
    highest, lowest = (course.at(f"{BATTERY}Temperature.{which}") for which in ("Max", "Min"))
    assert (highest > lowest).all()
    board = course.at(BOARD + "Temperature")
    parked = course.labels(MODE) == "PARKED"
    assert board[~parked].mean() > board[parked].mean() + 0.5


@SEEDS
def test_a_round_goes_from_the_depot_over_its_stops_and_back(seed: int) -> None:
    course = hour(seed)
    states = [state for state, _ in groupby(course.labels("Vehicle.Robovan.Delivery.State"))]
    text = " ".join(states)
    assert "LOADING IDLE EN_ROUTE ARRIVED HANDING_OVER EN_ROUTE" in text
    assert "HANDING_OVER RETURNING LOADING" in text
    level, mode = course.labels(LEVEL), course.labels(MODE)
    assert set(level[mode == "AUTONOMOUS"]) <= {"SAE_4", "SAE_4_DISENGAGING"}
    assert (level[course.at(SPEED) > 0] == "SAE_4").all()
    assert (course.at(SPEED)[mode == "PARKED"] == 0).all()
    assert set(course.labels(ASSISTANCE)) == {"IDLE", "REQUESTED", "CONNECTING", "ASSISTING", "ENDED"}
    assert (mode[course.labels(ASSISTANCE) == "ASSISTING"] == "REMOTE_ASSISTED").all()
    assert not course.at(STOPPED).any()
    assert set(course.labels("Vehicle.Robovan.MinimalRisk.State")) == {"INACTIVE"}
    weight = course.at("Vehicle.Robovan.Cargo.Weight")
    loading = course.labels("Vehicle.Robovan.Delivery.State") == "LOADING"
    assert (np.diff(weight)[~loading[1:]] <= 0).all()


def with_fault(kind: str, for_s: float = 12.0, **keys: Any) -> Course:
    return Course(400.0, seed=4, faults=[{"kind": kind, "at_s": 60.0, "for_s": for_s} | keys])


def test_a_door_opens_while_moving_for_its_time() -> None:
    course = with_fault("door_open_while_moving")
    wrong = (course.at(LEFT_OPEN) > 0) & (course.at(SPEED) > 0)
    assert 30 < wrong.sum() <= 121
    assert course.t_ns[wrong][0] >= 60e9


def test_autonomy_is_lost_while_driving() -> None:
    course = with_fault("autonomy_lost")
    level, speed = course.labels(LEVEL), course.at(SPEED)
    left = np.flatnonzero((level[1:] == "SAE_4_DISENGAGING") & (level[:-1] == "SAE_4") & (speed[1:] > 10))
    assert len(left) == 1
    after = level[left[0] + 1 :]
    assert [state for state, _ in groupby(after)][:3] == ["SAE_4_DISENGAGING", "SAE_0", "SAE_4"]
    assert course.at("Vehicle.Robovan.Drive.DisengagementCount")[-1] == 1


def test_a_collision_stops_the_van_at_once() -> None:
    course = with_fault("collision")
    acceleration = course.at(LONGITUDINAL)
    assert acceleration.min() < -20.0
    assert 1 <= (acceleration < -8.0).sum() <= 6
    assert np.abs(np.diff(course.at(SPEED) / 3.6) / 0.1 - acceleration[1:]).max() < 0.15
    pressed = course.at("Vehicle.Robovan.Bumper.Front.IsPressed") > 0
    assert set(course.labels("Vehicle.Robovan.EmergencyStop.Source")[pressed]) == {"BUMPER"}


def test_over_temperature_shows_in_battery_motor_and_board() -> None:
    course, sane = with_fault("over_temperature", 90.0), Course(400.0, seed=4)
    for name, more in ((BATTERY + "Temperature.Max", 30.0), (BOARD + "Temperature", 50.0)):
        assert course.at(name).max() > sane.at(name).max() + more, name
    assert course.at(BOARD + "Temperature").max() > 95.0
    assert (course.at(SPEED) == sane.at(SPEED)).all()


def test_a_remote_session_is_asked_for_and_moves_the_van_slowly() -> None:
    course, sane = with_fault("remote_session", 20.0), Course(400.0, seed=4)
    before = sum(state == "ASSISTING" for state, _ in groupby(sane.labels(ASSISTANCE)))
    during = course.labels(ASSISTANCE) == "ASSISTING"
    states = [state for state, _ in groupby(course.labels(ASSISTANCE))]
    assert states.count("ASSISTING") >= max(1, before)
    assert "UNCERTAIN_SCENE" in course.labels("Vehicle.Robovan.RemoteAssistance.Reason")
    assert 0 < course.at(SPEED)[during].max() < 10.0


@pytest.mark.parametrize("rate_hz", [1.0, 10.0, 200.0])
def test_an_emergency_stop_brakes_hard_and_holds(rate_hz: float) -> None:
    course = with_fault("emergency_stop") if rate_hz == 10 else Course(
        400.0, seed=4, rate_hz=rate_hz, faults=[{"kind": "emergency_stop", "at_s": 60.0, "for_s": 12.0}]
    )  # fmt: skip
    active = course.at(STOPPED) > 0
    assert course.at("Vehicle.Robovan.EmergencyStop.Count")[-1] == 1
    assert course.at(LONGITUDINAL)[active].min() < (-3.0 if rate_hz == 1 else -5.5)
    rest = course.at(SPEED)[active] == 0
    assert 11.0 <= rest.sum() * 0.1 <= 13.5
    assert set(course.labels(MODE)[active]) == {"EMERGENCY_STOP"}
    assert course.at(SPEED)[np.flatnonzero(active)[-1] :].max() > 10.0


def test_a_minimal_risk_stop_has_a_cause_and_an_end() -> None:
    course = with_fault("minimal_risk_stop")
    states = [state for state, _ in groupby(course.labels("Vehicle.Robovan.MinimalRisk.State"))]
    assert states == ["INACTIVE", "REQUESTED", "EXECUTING", "STOPPED", "INACTIVE"]
    blocked = course.labels("Vehicle.Robovan.Lidar.Front.State") == "BLOCKED"
    assert (course.labels("Vehicle.Robovan.MinimalRisk.State")[blocked] != "INACTIVE").all()
    assert course.at("Vehicle.Robovan.Lidar.Front.PointCount")[np.flatnonzero(blocked)[-1] - 1] == 0
    assert course.at(LONGITUDINAL)[blocked].min() > -3.3


def test_a_dirty_lidar_sees_less() -> None:
    course = with_fault("lidar_dirty", 20.0)
    dirty = course.labels("Vehicle.Robovan.Lidar.Front.State") == "DEGRADED"
    rate = course.at("Vehicle.Robovan.Lidar.Front.FrameRate")
    assert 190 <= dirty.sum() <= 210
    assert np.median(rate[dirty]) < np.median(rate[~dirty]) - 1.0


def test_a_fault_comes_again_and_drawn_faults_come_by_the_seed() -> None:
    again = with_fault("emergency_stop", 2.0, every_s=60.0)
    assert 3 <= again.at("Vehicle.Robovan.EmergencyStop.Count")[-1] <= 6
    van = SyntheticVan(section(seed=9, faults_per_hour=120))
    for _ in range(36_000):
        van.step()
    begun = [name for name, _ in van.faults.begun]
    assert len(begun) > 40
    assert set(begun) == set(FAULTS)


def test_settings_know_the_faults_by_name() -> None:
    assert set(get_args(SyntheticFault.model_fields["kind"].annotation)) == set(FAULTS)


def test_some_signals_only() -> None:
    van = SyntheticVan(section(signals=["Vehicle.Speed", "Vehicle.Robovan.Cargo.*"]))
    names = [signal.name for signal in van.signals]
    assert SPEED in names
    assert LEVEL not in names
    assert {slot for _ in range(100) for slot, _ in van.step()} == set(range(len(names)))


def test_the_source_runs_on_the_vans_clock() -> None:
    source = build(section(rate_hz=50), VanClock(20.0), TextTable(), 0)
    slot, times, _ = flat(collect(source, 1_000))
    speed = times[slot == 0]
    assert set(np.diff(speed).tolist()) == {20_000_000}
    assert (np.diff(times) >= 0).all()
