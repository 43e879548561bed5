"""Goal: the statistical channels of the agent find what no guard can, blame the culprit, speak once for one incident, and
keep to the budget.

Method: made-up signals and wheels with one fault each, several seeds; the same without the fault must be quiet.
"""

from __future__ import annotations

from datetime import datetime, timezone

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.detector import Detector
from edge.detector.layout import SEEN
from edge.detector.motion import CLOCKS, MOVING, STANDING, UNKNOWN, follow_mode, mode_slots, motion
from edge.model import SampleBlock
from edge.settings import DetectorSection
from vantel.catalog import Catalog, Signal

S = 1_000_000_000
MS = 1_000_000
ID = 70_000
SETTINGS = DetectorSection()


def one_signal() -> Catalog:
    return Catalog([Signal("Test.A", ID)])


def block_of(t: object, value: object, slot: object = None) -> SampleBlock:
    stamps = np.asarray(t, np.int64)
    slots = np.zeros(len(stamps), np.int32) if slot is None else np.asarray(slot, np.int32)
    return SampleBlock(slots, stamps, np.asarray(value, np.float64))


def probe(
    seed: int, seconds: float = 120.0, rate_hz: float = 20.0
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    n = round(seconds * rate_hz)
    rng = np.random.default_rng(seed)
    jitter = rng.integers(0, 2 * MS, n)
    return (np.arange(n) * (S / rate_hz)).astype(np.int64) + jitter, 20.0 + rng.normal(0.0, 0.1, n)


def spiky(seed: int, size: float) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Ten minutes at 20 Hz with three spikes, after five minutes."""
    t, value = probe(seed, seconds=600)
    at = np.array([6500, 8500, 10_500])
    value[at] += size
    return t, value, t[at]


def test_a_shift_is_told_with_the_threshold_of_the_budget() -> None:
    """Steady noise at 20 Hz that shifts by 4 sigma after five minutes."""
    t, value = probe(3, seconds=400)
    value[6000:] += 0.4
    thresholds = []
    for budget in (0.1, 10.0):
        events = Detector(one_signal(), DetectorSection(incidents_per_day_max=budget)).step(
            block_of(t, value)
        )
        first = next(event for event in events if event.channel != "robust_z")
        assert t[6000] <= first.t_mono_ns <= t[6020]
        assert first.score >= first.threshold
        thresholds.append(first.threshold)
    assert thresholds[0] == pytest.approx(thresholds[1] + 2.0, abs=0.01)


def test_a_row_that_was_told_must_be_ten_times_rarer_to_be_told_again() -> None:
    """Steady noise with a step up for ten seconds, three times."""
    t, value = probe(3, seconds=700)
    for at in (6000, 8000, 10_000):
        value[at : at + 200] += 0.6
    events = Detector(one_signal(), DetectorSection(robust_z_min=1e9)).step(block_of(t, value))
    thresholds = [event.threshold for event in events if event.t_mono_ns >= t[6000]]
    assert len(thresholds) >= 3
    assert min(np.diff(thresholds)) > 0.9


@pytest.mark.parametrize("kind", ["checksum", "counter"])
def test_checksums_and_counters_get_no_statistics(kind: str) -> None:
    """A byte that is held for ten seconds, under a budget that would report any noise in its place."""
    n = 8000
    value = np.random.default_rng(1).integers(0, 256, n) if kind == "checksum" else np.arange(n) % 16
    value = value.astype(float)
    if kind == "checksum":
        value[6000:6100] = value[6000]
    section = DetectorSection(incidents_per_day_max=1000.0)
    detector = Detector(one_signal(), section)
    assert detector.step(block_of(np.arange(n) * 50 * MS, value)) == []
    if kind == "counter":
        assert detector._levels[0, SEEN] < 100


def test_whether_the_van_moves_is_known_for_five_seconds_but_a_van_that_stood_stands() -> None:
    slots, clock = mode_slots([Signal("Vehicle.Speed", ID, unit="km/h")]), np.zeros(CLOCKS, np.int64)
    assert motion(0, clock) == UNKNOWN
    follow_mode(0, S, 30.0, clock, slots)
    assert [motion(t * S, clock) for t in (1, 5, 6)] == [MOVING, MOVING, UNKNOWN]
    follow_mode(0, 7 * S, 0.0, clock, slots)
    assert motion(1000 * S, clock) == STANDING


def test_noise_that_ends_is_stuck_but_a_smooth_signal_may_rest() -> None:
    rng = np.random.default_rng(6)
    n = np.arange(8000)
    noise = np.where(n < 7000, rng.normal(0.0, 1.0, 8000), 0.0)
    (event,) = Detector(one_signal(), SETTINGS).step(block_of(n * 50 * MS, noise))
    assert (event.channel, 7000 * 50 * MS <= event.t_mono_ns < 7030 * 50 * MS) == ("noise_down", True)
    speed = np.where(n < 7000, np.round(np.clip(30 * np.sin(n / 300), 0, 25), 2), 0.0)
    assert Detector(one_signal(), SETTINGS).step(block_of(n * 50 * MS, speed)) == []


@pytest.mark.parametrize("name", ["Vehicle.Speed", "Can.Gnss.Speed", "Can.Fan.Speed"])
@pytest.mark.parametrize("stands", [True, False])
def test_a_smooth_signal_that_is_held_is_stuck_only_while_the_van_is_known_to_move(
    name: str, stands: bool
) -> None:
    """A speed and a pressure at 10 Hz; at last the pressure is held, with or without the van. A fan is no speed."""
    n = np.arange(6000)
    random = np.random.default_rng(2)
    speed = 12 + 4 * np.sin(n / 90) + random.normal(0, 0.05, 6000)
    pressure = np.round(50 + np.cumsum(random.normal(0, 1, 6000)), 1)
    pressure[5000:] = pressure[5000]
    if stands:
        speed[5000:] = 0.0
    unit = "rpm" if "Fan" in name else "m/s"
    catalog = Catalog([Signal(name, ID, unit=unit), Signal("Test.Pressure", ID + 1)])
    detector = Detector(catalog, DetectorSection(incidents_per_day_max=10.0))
    events = detector.step(as_block(np.column_stack([speed, pressure])))
    stuck = [event for event in events if event.signal_id == ID + 1]
    assert [event.channel for event in stuck] == ([] if stands or unit == "rpm" else ["stuck"])


def test_a_mute_ends_and_the_signal_has_been_learned_meanwhile() -> None:
    until = datetime(2026, 1, 1, tzinfo=timezone.utc)
    muted = DetectorSection.model_validate({"muted": {"Test.A": {"reason": "workshop", "until": until}}})
    t, value, at = spiky(5, 5.0)
    offset_ns = round(until.timestamp()) * S - int(at[1]) - 1
    detector = Detector(one_signal(), muted, offset_ns)
    assert [event.t_mono_ns for event in detector.step(block_of(t, value))] == [at[2]]


WHEELS = Catalog(
    [Signal(f"Test.WheelSpeed.{place}", ID + k) for k, place in enumerate(("FL", "FR", "RL", "RR"))]
)


def wheels(seed: int, n: int = 6000) -> NDArray[np.float64]:
    """Four wheels at 10 Hz, each with its own radius and noise."""
    rng = np.random.default_rng(seed)
    speed = 20 + 5 * np.sin(np.arange(n) / 300) + np.cumsum(rng.normal(0, 0.02, n))
    return speed[:, None] * np.array([1, 1.003, 0.997, 1.001]) + rng.normal(0, 0.03, (n, 4))


def as_block(table: NDArray[np.float64]) -> SampleBlock:
    n, width = table.shape
    return block_of(np.repeat(np.arange(n) * 100 * MS, width), table.ravel(), np.tile(np.arange(width), n))


@pytest.mark.parametrize(
    ("fault", "within_s"), [("drift", 25.0), ("bias", 3.0), ("gain", 1.0), ("stuck", 5.0)]
)
def test_peers_find_what_one_signal_alone_cannot_show_and_blame_the_culprit(
    fault: str, within_s: float
) -> None:
    """Drift to 8 sigma of the wheel's own noise in a minute; bias of 4 sigma; gain of 5 %."""
    for seed in range(5):
        table = wheels(seed)
        bad = table[4000:, seed % 4]
        if fault == "drift":
            bad += np.minimum(np.arange(2000) * 0.24 / 600, 0.24)
        elif fault == "bias":
            bad += 0.12
        elif fault == "gain":
            bad *= 1.05
        else:
            bad[:] = bad[0]
        events = Detector(WHEELS, SETTINGS).step(as_block(table))
        assert events, f"seed {seed}: nothing"
        first = events[0]
        assert first.signal_id == ID + seed % 4
        assert 400.0 <= first.t_mono_ns / S <= 400.0 + within_s
        assert Detector(WHEELS, SETTINGS).step(as_block(wheels(seed))) == []


def test_what_fires_together_is_one_incident() -> None:
    table = wheels(7)
    table[4000:4003] += 30.0
    events = Detector(WHEELS, SETTINGS).step(as_block(table))
    assert len(events) == 1
