"""Goal: what stays away, turns NaN, miscounts or has a wrong clock is told once, under the right name and in time, and what
has no habit is left in peace.

Method: made-up sources with known faults, given to the detector in the order of arrival, behind the agent's own ordering of
stamps; one stream with all faults for cuts and restores.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.detector import Detector
from edge.model import SampleBlock
from edge.ordering import Ordering
from edge.settings import DetectorSection
from vantel.catalog import Catalog, Signal
from vantel.payloads import Event

S = 1_000_000_000
ID = 70_000
QUIET = DetectorSection(incidents_per_day_max=1e-40, robust_z_min=1e9)
"""No statistics: only guards speak."""


class Source:
    """Signals that come together every period_s for a while; value and claimed stamp may differ from the truth."""

    def __init__(self, slots: list[int], period_s: float, seconds: float, seed: int = 0) -> None:
        self.slots = slots
        n = round(seconds / period_s)
        random = np.random.default_rng([seed, *slots])
        self.true_s = np.arange(n) * period_s + random.uniform(0, 0.1 * period_s, n)
        self.claimed_s = self.true_s.copy()
        self.value = random.normal(10.0, 1.0, (n, len(slots)))
        self.keep = np.ones(n, np.bool_)

    def between(self, first_s: float, last_s: float) -> NDArray[np.bool_]:
        return (self.true_s >= first_s) & (self.true_s < last_s)


def stream(*sources: Source) -> SampleBlock:
    rows = [
        (float(source.true_s[i]), slot, float(source.claimed_s[i]), float(source.value[i, j]))
        for source in sources
        for i in np.flatnonzero(source.keep)
        for j, slot in enumerate(source.slots)
    ]
    rows.sort(key=lambda row: row[:2])
    slot = np.array([row[1] for row in rows], np.int32)
    t = np.round(np.array([row[2] for row in rows]) * 1e9).astype(np.int64) + 100 * S
    block = SampleBlock(slot, t, np.array([row[3] for row in rows]))
    return Ordering(int(slot.max()) + 1).apply(block)


def detector_of(n: int, *names: str) -> Detector:
    named = [*names, *(f"Test.S{k}" for k in range(len(names), n))]
    return Detector(Catalog([Signal(name, ID + k) for k, name in enumerate(named)]), QUIET)


def told(events: list[Event]) -> list[tuple[str, int, float]]:
    return [(e.channel, e.signal_id - ID, round(e.t_mono_ns / S - 100.0, 3)) for e in events]


# Silence


def test_a_message_that_stays_away_is_told_once_by_its_first_signal() -> None:
    lost, other, slow = Source([0, 1, 2], 0.1, 60), Source([3], 0.02, 60), Source([4], 1.0, 60)
    lost.keep &= ~lost.between(30, 45)
    ((channel, slot, at_s),) = told(detector_of(5).step(stream(lost, other, slow)))
    assert (channel, slot) == ("timeout", 0)
    assert 30.3 < at_s < 30.7


def test_the_limit_is_three_of_the_longest_gaps() -> None:
    lost, other = Source([0], 2.0, 400), Source([1], 0.1, 400)
    lost.keep &= ~lost.between(300, 320)
    (event,) = detector_of(2).step(stream(lost, other))
    assert 5.9 < event.threshold < 6.7
    assert event.score > event.threshold


def test_a_bus_that_goes_silent_is_one_event() -> None:
    sources = [Source([k], period, 40) for k, period in enumerate((0.01, 0.05, 0.2, 1.0))]
    detector = detector_of(4)
    events = detector.step(stream(*sources))
    for tick in range(1, 200):
        events += detector.idle((140 * 10 + tick) * S // 10)
    ((channel, slot, _),) = told(events)
    assert (channel, slot) == ("timeout", 0)


def test_a_hole_in_a_recording_is_nobodys_silence() -> None:
    sources = [Source([k], 0.1, 60) for k in range(3)]
    for source in sources:
        source.claimed_s[source.true_s > 30] += 3600
    assert told(detector_of(3).step(stream(*sources))) == []


@pytest.mark.parametrize("kind", ["burst", "random"])
def test_what_has_no_period_is_left_in_peace(kind: str) -> None:
    random, other = np.random.default_rng(3), Source([1], 0.2, 4000)
    odd = Source([0], 1.0, 4000)
    if kind == "random":
        odd.true_s = np.cumsum(random.exponential(1.0, len(odd.true_s)))
    else:
        starts = np.append(np.arange(39) * 20.0, 3000.0)  # the last after a much longer silence
        odd.true_s = np.repeat(starts, 100) + np.tile(np.arange(100) * 0.05, 40)
    odd.claimed_s = odd.true_s
    other.keep = other.true_s < odd.true_s[-1]
    assert told(detector_of(2).step(stream(odd, other))) == []


def test_what_was_told_and_came_back_must_be_silent_longer() -> None:
    lost, other = Source([0], 0.1, 80), Source([1], 0.1, 80)
    for first in (30, 34, 38, 42):
        lost.keep &= ~lost.between(first, first + 1)
    lost.keep &= ~lost.between(60, 75)
    assert [at_s for _, _, at_s in told(detector_of(2).step(stream(lost, other)))] == [
        pytest.approx(30.5, abs=0.1),
        pytest.approx(61.3, abs=0.6),
    ]


def test_a_van_that_was_switched_off_is_not_told_and_what_is_still_away_when_it_drives_is() -> None:
    speed, lost, other = Source([0], 0.1, 60), Source([1], 0.1, 60), Source([2], 0.1, 60)
    speed.value[speed.between(20, 50)] = 0.0
    lost.keep &= ~lost.between(30, 99)
    other.keep &= ~other.between(31, 49)
    ((channel, slot, at_s),) = told(detector_of(3, "Vehicle.Speed").step(stream(speed, lost, other)))
    assert (channel, slot) == ("timeout", 1)
    assert 50.0 <= at_s < 50.3


def test_a_message_that_comes_half_as_often_is_told_once_and_lost_frames_are_not() -> None:
    half, lossy, other = Source([0, 1], 0.1, 90), Source([2], 0.05, 90), Source([3], 0.02, 90)
    half.keep &= ~half.between(60, 99) | (np.arange(len(half.keep)) % 2 == 0)
    lossy.keep &= np.random.default_rng(5).random(len(lossy.keep)) > 0.05
    ((channel, slot, at_s),) = told(detector_of(4).step(stream(half, lossy, other)))
    assert (channel, slot) == ("period", 0)
    assert 61.5 < at_s < 64.0


# Dropout


def test_values_that_turn_nan_are_told_within_ten_samples_and_once_a_message() -> None:
    for share in (0.0, 0.02):
        gnss = Source([0, 1, 2], 0.1, 120)
        gnss.value[np.random.default_rng(1).random(len(gnss.value)) < share] = np.nan
        gnss.value[gnss.between(100, 105)] = np.nan
        ((channel, slot, at_s),) = told(detector_of(3).step(stream(gnss)))
        assert (channel, slot) == ("dropout", 0)
        assert 100.1 < at_s < 101.0


def test_a_share_of_nan_that_is_new_is_told_and_an_old_one_is_not() -> None:
    rare, often = Source([0], 0.1, 300), Source([1], 0.1, 300)
    random = np.random.default_rng(4)
    for source, share in ((rare, 0.1), (often, 0.5)):
        source.value[random.random(len(source.value)) < share] = np.nan
    later = rare.between(200, 300)
    rare.value[later & (random.random(len(later)) < 0.5)] = np.nan
    ((channel, slot, at_s),) = told(detector_of(2).step(stream(rare, often)))
    assert (channel, slot) == ("dropout", 0)
    assert 200.0 < at_s < 206.0


# Counter


def counting(seconds: float, modulus: int, step: int = 1) -> Source:
    source = Source([0], 0.02, seconds)
    source.value[:, 0] = np.arange(len(source.value)) * step % modulus
    return source


@pytest.mark.parametrize(("modulus", "step"), [(16, 1), (15, 1), (256, 1), (4, 1), (64, 2)])
def test_a_counter_that_is_frozen_or_loses_frames_is_told(modulus: int, step: int) -> None:
    frozen, losing = counting(60, modulus, step), counting(60, modulus, step)
    frozen.value[2000:2010] = frozen.value[2000]
    losing.keep[[2000, 2009]] = False
    for source in (frozen, losing):
        ((channel, _, at_s),) = told(detector_of(1).step(stream(source)))
        assert channel == "counter"
        assert 40.0 < at_s < 40.3


def test_one_lost_frame_and_signals_that_only_look_like_counters_are_quiet() -> None:
    one = counting(60, 16)
    one.keep[2000] = False
    seconds = counting(600, 60)
    seconds.value[:, 0] = np.floor(seconds.true_s) % 60
    ramp = counting(60, 10**9)
    ramp.value[2000:2010] = 0.0
    for source in (one, seconds, ramp):
        assert told(detector_of(1).step(stream(source))) == []


# Clock


@pytest.mark.parametrize("jump_s", [-60.0, -1.0, -0.15, 1.0, 60.0])
def test_a_source_whose_clock_jumps_is_told_and_nobody_else(jump_s: float) -> None:
    wrong, others = Source([3, 4], 0.1, 120), [Source([k], 0.05 * (k + 1), 120) for k in range(3)]
    wrong.claimed_s[wrong.between(60, 999)] += jump_s
    events = detector_of(5).step(stream(wrong, *others))
    ((channel, slot, _),) = told(events)
    assert (channel, slot) == ("clock", 3)
    assert abs(events[0].value) <= abs(jump_s) + 0.2
    assert events[0].value * jump_s > 0


def test_a_source_that_was_held_up_or_is_always_late_is_quiet() -> None:
    held, late, other = Source([0], 0.1, 60), Source([1], 1.0, 60), Source([2], 0.02, 60)
    stuck = held.between(40, 40.4)
    held.true_s[stuck] = 40.4 + np.arange(stuck.sum()) * 1e-4
    late.claimed_s -= 0.6
    assert told(detector_of(3).step(stream(held, late, other))) == []


# The whole


def troubled() -> SampleBlock:
    lost, gone = Source([0, 1], 0.05, 40), Source([2], 0.1, 40)
    wrong, counter = Source([3], 0.1, 40), Source([4], 0.04, 40)
    lost.keep &= ~lost.between(20, 25)
    gone.value[gone.between(22, 26)] = np.nan
    wrong.claimed_s[wrong.between(28, 99)] += 5.0
    counter.value[:, 0] = np.arange(len(counter.value)) % 16
    counter.value[700:720, 0] = 3.0
    return stream(lost, gone, wrong, counter)


def test_cuts_and_a_restored_state_change_nothing() -> None:
    block = troubled()
    whole = detector_of(5)
    expected = whole.step(block)
    assert {channel for channel, _, _ in told(expected)} == {"timeout", "dropout", "clock", "counter"}
    random = np.random.default_rng(9)
    for cuts in (len(block) - 1, 7, 40):
        edges = [0, *sorted(random.choice(np.arange(1, len(block)), cuts, replace=False)), len(block)]
        parts, events = detector_of(5), []
        for first, last in itertools.pairwise(edges):
            part = SampleBlock(block.slot[first:last], block.t_mono_ns[first:last], block.value[first:last])
            if cuts < 10:
                state, parts = parts.state(), detector_of(5)
                parts.restore(state)
            events += parts.step(part)
        assert events == expected
        assert parts.state() == whole.state()


def test_stamps_from_end_to_end_harm_nothing() -> None:
    ends = np.array([-(2**63) + 1, 2**63 - 1, 0, -(2**62), 2**62] * 400, np.int64)
    detector = detector_of(2)
    value = np.resize([1.0, np.nan, np.inf, 1e308, 5e-324, -1e308, 0.0], len(ends))
    slot = np.resize([0, 1, 1], len(ends)).astype(np.int32)
    for event in detector.step(SampleBlock(slot, ends, value)):
        assert np.isfinite([event.value, event.score, event.threshold, event.expected]).all()
