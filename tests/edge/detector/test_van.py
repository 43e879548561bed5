"""Goal: each channel fires when it should, once, at the very sample, and stays quiet on clean, odd and real signals;
results never depend on how the stream is cut into blocks.

Method: named cases for each channel on made-up signals; a property that one block equals sample by sample, to the bit;
seeded noise with spikes for recall and false alarms; the recorded minute for false alarms, where it is at hand.
"""

from __future__ import annotations

import math
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.clock import VanClock
from edge.detector import DETECTOR_NAME, Detector, DetectorStateError
from edge.model import SampleBlock, TextTable
from edge.ordering import Ordering
from edge.settings import DetectorSection
from edge.settings import ReplaySource as ReplaySection
from edge.sources.replay import ReplaySource
from vantel.catalog import Catalog, Policy, Signal, SignalType, assemble
from vantel.payloads import Event, Severity
from vantel_rig.drives import drive

S = 1_000_000_000
MS = 1_000_000
ID = 70_000
SETTINGS = DetectorSection()


def one_signal(policy: Policy | None = None, kind: SignalType = SignalType.FLOAT64) -> Catalog:
    return Catalog([Signal("Test.A", ID, type=kind, policy=policy or Policy())])


def block_of(t: object, value: object, slot: object = None) -> SampleBlock:
    stamps = np.asarray(t, np.int64)
    slots = np.zeros(len(stamps), np.int32) if slot is None else np.asarray(slot, np.int32)
    return SampleBlock(slots, stamps, np.asarray(value, np.float64))


def run(policy: Policy, rows: list[tuple[float, float]], **keys: object) -> list[tuple[str, float]]:
    """(seconds, value) of one signal -> (channel, seconds) of its events."""
    detector = Detector(one_signal(policy), DetectorSection.model_validate(keys))
    events = detector.step(block_of([round(t * S) for t, _ in rows], [v for _, v in rows]))
    return [(event.channel, event.t_mono_ns / S) for event in events]


def probe(
    seed: int, seconds: float = 120.0, rate_hz: float = 20.0
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    n = round(seconds * rate_hz)
    rng = np.random.default_rng(seed)
    jitter = rng.integers(0, 2 * MS, n)
    return (np.arange(n) * (S / rate_hz)).astype(np.int64) + jitter, 20.0 + rng.normal(0.0, 0.1, n)


# Range, rate, stuck


def test_range_fires_once_at_the_first_value_outside_and_again_after_it_came_back() -> None:
    inside, outside = [(t / 10, 5.0) for t in range(10)], [(1 + t / 10, 11.0) for t in range(10)]
    back = [(2 + t / 10, 5.0) for t in range(11)]
    assert run(Policy(min=0.0, max=10.0), [*inside, *outside, *back, (3.1, -1.0)]) == [
        ("range", 1.0),
        ("range", 3.1),
    ]


def test_a_slow_signal_that_stays_outside_is_one_event() -> None:
    assert run(Policy(max=10.0), [(float(t * 5), 11.0) for t in range(20)]) == [("range", 0.0)]


def test_the_limits_themselves_and_infinities() -> None:
    assert run(Policy(min=0.0, max=10.0), [(0, 0.0), (1, 10.0)]) == []
    detector = Detector(one_signal(Policy(max=10.0)), SETTINGS)
    (event,) = detector.step(block_of([0], [math.inf]))
    assert math.isfinite(event.value)
    assert math.isfinite(event.score)


def test_rate_counts_change_per_second_and_forgives_a_jittering_stamp() -> None:
    calm = [(t / 10, 0.5 * t) for t in range(20)]
    assert run(Policy(rate_per_s_max=8.0), calm) == []
    assert run(Policy(rate_per_s_max=4.0), calm) == [("rate", 0.1)]
    jitter = [(t / 10 - (0.099 if t == 15 else 0.0), 0.3 * t) for t in range(20)]
    assert run(Policy(rate_per_s_max=8.0), jitter) == []


def test_stuck_needs_samples_that_keep_coming() -> None:
    policy = Policy(stuck_s_max=2.0)
    assert run(policy, [(t / 10, 7.0) for t in range(40)]) == [("stuck", 2.1)]
    assert run(policy, [(t / 10, 7.0 + (t == 15)) for t in range(34)]) == []
    assert run(policy, [(0.0, 7.0), (100.0, 7.0), (101.0, 7.0)]) == []


# Timeout


def two_signals(silence_s: float) -> Catalog:
    return Catalog([Signal("Test.A", ID, policy=Policy(silence_s_max=silence_s)), Signal("Test.B", ID + 1)])


def test_timeout_goes_by_the_stream_time_of_other_signals() -> None:
    detector = Detector(two_signals(1.0), SETTINGS)
    assert detector.step(block_of([0, 20 * MS], [1.0, 2.0], [0, 1])) == []
    assert detector.step(block_of([990 * MS], [2.0], [1])) == []
    (event,) = detector.step(block_of([1234 * MS], [2.0], [1]))
    assert (event.channel, event.signal_id, event.t_mono_ns) == ("timeout", ID, S)
    assert (event.value, event.threshold) == (1.0, 1.0)
    assert detector.step(block_of([5 * S], [2.0], [1])) == [], "one silence is one event"
    assert detector.step(block_of([6 * S], [1.0], [0])) == []
    assert [event.t_mono_ns for event in detector.step(block_of([9 * S], [2.0], [1]))] == [7 * S]


def test_a_signal_alone_is_found_silent_when_it_returns_or_when_idle() -> None:
    detector = Detector(one_signal(Policy(silence_s_max=1.0)), SETTINGS)
    detector.step(block_of([0], [1.0]))
    assert [event.channel for event in detector.step(block_of([10 * S], [1.0]))] == ["timeout"]
    assert detector.idle(10 * S + 900 * MS) == []
    assert [event.t_mono_ns for event in detector.idle(12 * S)] == [11 * S]
    assert detector.idle(20 * S) == []


def test_a_signal_that_never_came_is_not_silent() -> None:
    detector = Detector(two_signals(1.0), SETTINGS)
    assert detector.step(block_of([0, 100 * S], [1.0, 1.0], [1, 1])) == []
    assert detector.idle(200 * S) == []


def test_many_silent_signals_fit_in_one_step() -> None:
    n = 700
    catalog = Catalog([Signal(f"Test.S{k}", ID + k, policy=Policy(silence_s_max=1.0)) for k in range(n)])
    detector = Detector(catalog, SETTINGS)
    rows = [(k, round_ * 10 * S + k) for round_ in range(4) for k in range(n)]
    events = detector.step(block_of([t for _, t in rows], [0.0] * len(rows), [k for k, _ in rows]))
    assert len(events) == 3 * n


# Robust z


@pytest.mark.parametrize("every_s", [1.5, 3.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_every_spike_of_50_sigma_fires_at_that_very_sample_and_nothing_else_does(
    every_s: float, sign: float
) -> None:
    for seed in range(10):
        t, value = probe(seed)
        spikes = np.arange(round(every_s * 20), len(value), round(every_s * 20))
        value[spikes] += sign * 5.0
        events = Detector(one_signal(), SETTINGS).step(block_of(t, value))
        expected = [index for index in spikes.tolist() if index > SETTINGS.warmup_samples]
        assert [event.t_mono_ns for event in events] == t[expected].tolist()
        assert [event.value for event in events] == value[expected].tolist()
        assert all(abs(event.expected - 20.0) < 0.5 for event in events)
        assert all(event.score > event.threshold > 0.999 * SETTINGS.robust_z_min for event in events)


def test_an_hour_of_clean_noise_is_quiet() -> None:
    t, value = probe(1, seconds=3600)
    assert Detector(one_signal(), SETTINGS).step(block_of(t, value)) == []


def test_a_level_shift_is_one_event_and_does_not_blind_the_channel() -> None:
    t, value = probe(3, seconds=60)
    value[400:440] += 5.0
    value[800] += 5.0
    events = Detector(one_signal(), SETTINGS).step(block_of(t, value))
    assert [event.t_mono_ns for event in events] == t[[400, 440, 800]].tolist()


def test_a_spike_in_a_smooth_signal_fires_when_it_has_returned() -> None:
    t = np.arange(1200) * 50 * MS
    value = np.round(50 + 20 * np.sin(np.arange(1200) / 200), 2)
    value[700] += 30.0
    (event,) = Detector(one_signal(), SETTINGS).step(block_of(t, value))
    assert event.t_mono_ns == t[701]
    assert event.value == pytest.approx(value[700])


def quiet_signals() -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(5)
    n = 2000
    ramp = np.arange(n, dtype=np.float64)
    return {
        "constant": np.full(n, 3.0),
        "constant, then a step": np.where(ramp < 1000, 3.0, 4.0),
        "first change is a blip": np.where(ramp == 1000, 1.0, 0.0),
        "first change is a blip of the last digit": np.where(ramp == 1000, 31.1, 31.0),
        "two states": (rng.random(n) < 0.02).cumsum() % 2.0,
        "few states": rng.choice([0.0, 1.0, 2.0, 7.0], n)[np.arange(n) // 37],
        "quantised noise": np.round(rng.normal(0.0, 0.6, n)),
        "counter that wraps": ramp % 16,
        "ramp that restarts": ramp % 500,
        "checksum": rng.integers(0, 256, n).astype(np.float64),
        "speed": np.round(np.clip(40 * np.sin(ramp / 300), 0, 35), 2),
        "random walk": rng.normal(0.0, 1.0, n).cumsum(),
        "not a number": np.full(n, np.nan),
        "noise with gaps": np.where(rng.random(n) < 0.3, np.nan, rng.normal(0.0, 1.0, n)),
        "large offset": 1e9 + rng.normal(0.0, 1.0, n),
    }


@pytest.mark.parametrize("name", sorted(quiet_signals()))
def test_ordinary_signals_are_quiet(name: str) -> None:
    value = quiet_signals()[name]
    assert Detector(one_signal(), SETTINGS).step(block_of(np.arange(len(value)) * 50 * MS, value)) == []


@pytest.mark.parametrize("kind", [SignalType.BOOL, SignalType.ENUM, SignalType.STRING])
def test_what_is_no_number_has_no_range_rate_or_spike(kind: SignalType) -> None:
    t, value = probe(2, seconds=20)
    value[200] += 50.0
    assert (
        Detector(one_signal(Policy(max=1.0, rate_per_s_max=1.0), kind), SETTINGS).step(block_of(t, value))
        == []
    )


# Recorded drives


@pytest.mark.parametrize(("number", "events_max"), [(0, 12), (1, 6), (2, 6)])
def test_recorded_drives_make_few_events(number: int, events_max: int) -> None:
    """The RAV4 minute (all signals of two buses, IMU, GNSS), six minutes of an EV6, ten minutes over OBD."""
    section = ReplaySection.model_validate(drive(number, time="original", speed=0.0, loop=False))
    source = ReplaySource(section, VanClock(), TextTable())
    catalog = assemble(source.signals())
    slots = {signal.name: slot for slot, signal in enumerate(catalog.signals)}
    rows = np.array([slots[signal.name] for signal in source.signals()], np.int32)
    ordering, detector = Ordering(len(catalog)), Detector(catalog, SETTINGS)
    events: list[Event] = []
    source.run(
        lambda block: events.extend(detector.step(ordering.apply(replace(block, slot=rows[block.slot])))),
        threading.Event(),
    )
    assert len(events) <= events_max, [(catalog.by_id(event.signal_id).name, event) for event in events]


# The whole


def test_muted_signals_make_no_event_and_unknown_names_do_no_harm() -> None:
    muted = DetectorSection.model_validate(
        {"muted": {"test.a": "wiring under repair", "Test.Nowhere": "typing error"}}
    )
    detector = Detector(one_signal(Policy(max=1.0, stuck_s_max=0.1, silence_s_max=0.1)), muted)
    assert detector.step(block_of(np.arange(100) * S, np.full(100, 5.0))) == []
    assert detector.idle(1000 * S) == []


def test_events_carry_detector_and_severity() -> None:
    t, value = probe(4, seconds=10)
    value[150] += 5.0
    value[180] += 200.0
    events = Detector(one_signal(Policy(max=100.0)), SETTINGS).step(block_of(t, value))
    assert [(event.channel, event.severity) for event in events] == [
        ("robust_z", Severity.INFO),
        ("range", Severity.WARNING),
        ("robust_z", Severity.INFO),
    ]
    assert {event.detector for event in events} == {DETECTOR_NAME}
    assert {event.signal_id for event in events} == {ID}


def test_samples_taken_away_are_passed_over() -> None:
    detector = Detector(one_signal(Policy(max=1.0)), SETTINGS)
    assert detector.step(block_of([0, 1], [9.0, 9.0], [-1, 7])) == []


MIXED = Catalog(
    [
        Signal("Test.A", ID, policy=Policy(min=-3.0, max=3.0, rate_per_s_max=30.0, silence_s_max=0.3)),
        Signal("Test.B", ID + 1, policy=Policy(stuck_s_max=0.2, silence_s_max=1.0)),
        Signal("Test.C", ID + 2),
    ]
)


@st.composite
def streams(draw: st.DrawFn) -> SampleBlock:
    """Noise with spikes, runs, gaps, not-a-numbers and stamps that go back, over three signals."""
    n = draw(st.integers(1, 300))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    value = rng.normal(0.0, 1.0, n)
    odd = rng.random(n)
    value[odd < 0.05] *= 100.0
    value[odd > 0.97] = rng.choice([np.nan, np.inf, -np.inf])
    value[(odd > 0.3) & (odd < 0.5)] = 0.0
    gaps = rng.integers(0, 40 * MS, n)
    gaps[odd > 0.98] = 2 * S
    gaps[odd < 0.01] = -S
    return block_of(gaps.cumsum(), value, rng.integers(0, 3, n))


def cut(block: SampleBlock, edges: list[int]) -> list[SampleBlock]:
    return [
        SampleBlock(block.slot[a:b], block.t_mono_ns[a:b], block.value[a:b])
        for a, b in zip([0, *edges], [*edges, len(block)], strict=True)
    ]


def bits(events: list[Event]) -> list[tuple[object, ...]]:
    return [
        (e.signal_id, e.channel, e.t_mono_ns, *(x.hex() for x in (e.value, e.score, e.threshold, e.expected)))
        for e in events
    ]


@given(streams(), st.lists(st.integers(0, 300), max_size=5))
@settings(max_examples=100, deadline=None)
def test_block_by_block_equals_sample_by_sample_to_the_bit(block: SampleBlock, edges: list[int]) -> None:
    quick = DetectorSection(warmup_samples=8, refractory_s=0.2, robust_z_min=4.0, incidents_per_day_max=1e6)
    whole, one_by_one, parts = (Detector(MIXED, quick) for _ in range(3))
    expected = bits(
        [event for part in cut(block, list(range(1, len(block)))) for event in one_by_one.step(part)]
    )
    assert bits(whole.step(block)) == expected
    at = sorted({min(edge, len(block)) for edge in edges})
    assert bits([event for part in cut(block, at) for event in parts.step(part)]) == expected
    assert whole.state() == one_by_one.state() == parts.state()


@given(streams(), st.integers(0, 300))
@settings(max_examples=30, deadline=None)
def test_a_restored_detector_goes_on_as_if_nothing_had_been(block: SampleBlock, edge: int) -> None:
    first, second = cut(block, [min(edge, len(block))])
    running, restarted = Detector(MIXED, SETTINGS), Detector(MIXED, SETTINGS)
    running.step(first)
    restarted.restore(running.state())
    assert bits(restarted.step(second)) == bits(running.step(second))
    assert restarted.state() == running.state()


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing() -> None:
    detector, other = Detector(MIXED, SETTINGS), Detector(one_signal(), SETTINGS)
    detector.step(block_of([0, 1], [1.0, 2.0]))
    before = detector.state()
    for data in (b"", other.state(), before[:-1], before + b"x", b"XXXX" + before[4:]):
        with pytest.raises(DetectorStateError, match="restore detector state"):
            detector.restore(data)
    assert detector.state() == before
    assert len(before) < 4400 * len(MIXED)
