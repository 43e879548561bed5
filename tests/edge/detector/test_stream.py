"""Goal: make_stream() is causal, the same in blocks and one by one, never harmed by any input, quiet on clean streams, and
loud at faults it can see.

Method: properties over hostile numbers; clean and faulty made-up streams, several seeds, with margins; a count of the
bytes allocated after warm-up.
"""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.detector import DetectorStateError, make_stream
from edge.detector.layout import (
    CUSUM_UP,
    DRIFT,
    ERROR_LAST,
    FUSED,
    JUMP,
    LEVELS,
    OFF,
    PAST_TOKENS,
    RATE,
    SHAPE,
    SLOW,
    STATE_BYTES,
    TAILS,
)
from edge.detector.shape import WINDOW, WINDOWS_MIN, discord, remember
from edge.detector.stream import worth
from edge.detector.tail import ORDINARY

HOSTILE = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, 1.0, -1.0, 1e308, -1e308, 5e-324, -5e-324, 1e-310, math.inf, -math.inf, math.nan]),
)


def evidence(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores -> -log10 p."""
    return score / (1.0 - score)


def scored(values: NDArray[np.float64], rate_hz: float | None = None) -> NDArray[np.float64]:
    step_s = 300.0 if rate_hz is None else 1.0 / rate_hz
    return evidence(make_stream(rate_hz).update_many(np.arange(len(values)) * step_s, values))


def daily(seed: int, n: int = 4000) -> NDArray[np.float64]:
    """Fourteen days of five-minute samples with a daily rhythm."""
    t = np.arange(n) * 2 * np.pi / 288
    return 50 + 10 * np.sin(t) + 3 * np.sin(2 * t + 1) + np.random.default_rng(seed).normal(0, 1, n)


# The same, however it is cut


@given(st.lists(st.tuples(HOSTILE, HOSTILE), max_size=120), st.integers(0, 120), st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_blocks_and_prefixes_give_the_same_bits_as_one_by_one(
    rows: list[tuple[float, float]], edge: int, seed: int
) -> None:
    noise = np.random.default_rng(seed).normal(0, 1, 150)
    t = np.concatenate([np.arange(150.0), [row[0] for row in rows]])
    x = np.concatenate([noise, [row[1] for row in rows]])
    single, whole, parts = make_stream(), make_stream(), make_stream()
    one_by_one = np.array([single.update(a, b) for a, b in zip(t.tolist(), x.tolist(), strict=True)])
    assert whole.update_many(t, x).tobytes() == one_by_one.tobytes()
    at = min(100 + edge, len(x))
    cut = np.concatenate([parts.update_many(t[:at], x[:at]), parts.update_many(t[at:], x[at:])])
    assert cut.tobytes() == one_by_one.tobytes()
    assert make_stream().update_many(t[:at], x[:at]).tobytes() == one_by_one[:at].tobytes()
    assert single.state() == whole.state() == parts.state()


def test_a_restored_stream_goes_on_as_if_nothing_had_been() -> None:
    x = daily(1)
    running, restarted = make_stream(), make_stream()
    running.update_many(np.arange(2000.0), x[:2000])
    restarted.restore(running.state())
    rest = np.arange(2000.0, 4000.0)
    assert restarted.update_many(rest, x[2000:]).tobytes() == running.update_many(rest, x[2000:]).tobytes()


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing() -> None:
    stream = make_stream()
    stream.update_many(np.arange(100.0), daily(2, 100))
    before = stream.state()
    for data in (b"", before[:-1], before + b"x", make_stream(100.0).state(), b"XXXX" + before[4:]):
        with pytest.raises(DetectorStateError, match="restore detector state"):
            stream.restore(data)
    assert stream.state() == before


def test_the_state_of_a_signal_is_small_and_nothing_is_allocated() -> None:
    assert STATE_BYTES <= 4096
    stream = make_stream()
    t, x, scores = np.arange(4000.0), daily(3), np.empty(4000)
    stream._judge(t, x, scores)
    tracemalloc.start()
    stream._judge(t, x, scores)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2000, "only the small objects of the call itself"


# Hostile input


@given(st.lists(st.tuples(HOSTILE, HOSTILE), max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_input_gives_scores_in_range_and_a_finite_state(rows: list[tuple[float, float]]) -> None:
    stream = make_stream()
    for t, x in rows:
        score = stream.update(t, x)
        assert 0.0 <= score < 1.0
    assert np.isfinite(stream._levels).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324])
def test_after_bad_numbers_in_a_row_the_stream_still_works(bad: float) -> None:
    x = daily(4, 6000)
    x[2000:2005] = bad
    x[5500:] += 60.0
    with np.errstate(over="ignore"):
        x = np.asarray(x)
    score = scored(x)
    assert np.isfinite(score).all()


@pytest.mark.parametrize("value", [0.0, 7.0, 1e308, 5e-324])
def test_a_constant_is_quiet_for_ever(value: float) -> None:
    assert scored(np.full(20_000, value)).max() < 3.0


def test_odd_stamps_do_no_harm() -> None:
    x = daily(5)
    expected = make_stream().update_many(np.arange(4000) * 300.0, x)
    back = np.arange(4000) * 300.0
    back[1000:] -= 1e6
    day = np.arange(4000) * 300.0
    day[2000:] += 3 * 86_400.0
    for t in (back, day, np.zeros(4000), np.full(4000, math.nan)):
        assert evidence(make_stream().update_many(t, x)).max() < evidence(expected).max() + 2.0


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="3 times for 2 values"):
        make_stream().update_many([1, 2, 3], [1, 2])


# Quiet and loud


def clean_streams(seed: int) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    n = 6000
    noise = rng.normal(0, 1, n)
    walk = np.cumsum(rng.normal(0, 0.3, n))
    return {
        "noise": noise,
        "daily": daily(seed, n),
        "random walk": walk,
        "square": np.where((np.arange(n) % 144) < 72, 20.0, 80.0) + 0.5 * noise,
        "rounded": np.round(2 * np.sin(np.arange(n) / 46) + 0.6 * noise),
        "counter": np.arange(n) % 16.0,
        "ramp": np.arange(n) % 500.0,
        "two states": np.cumsum(rng.random(n) < 0.02) % 2.0,
        "large offset": 1e9 + noise,
    }


@pytest.mark.parametrize("name", sorted(clean_streams(0)))
def test_clean_streams_are_quiet_also_while_warming_up(name: str) -> None:
    """What is seldom on average: a tenth of the promised rate must be kept within a factor of ten."""
    scores = np.concatenate([scored(clean_streams(seed)[name]) for seed in range(5)])
    assert (scores > 4.0).mean() < 1e-3
    early = np.concatenate([scored(clean_streams(seed)[name])[:300] for seed in range(5)])
    assert early.max() < 5.0


@pytest.mark.parametrize("rate_hz", [None, 10.0, 100.0])
@pytest.mark.parametrize("fault", ["spike", "shift", "noise", "stuck", "dropout"])
def test_plain_faults_are_seen_at_once_and_rank_above_all_else(fault: str, rate_hz: float | None) -> None:
    for seed in range(5):
        x = daily(seed)
        rng = np.random.default_rng(100 + seed)
        at = 3000
        if fault == "spike":
            x[at] += 20.0
        elif fault == "shift":
            x[at:] += 15.0
        elif fault == "noise":
            x[at : at + 100] += rng.normal(0, 6.0, 100)
        elif fault == "stuck":
            x[at : at + 60] = x[at]
        else:
            x[at : at + 20] = 0.0
        score = scored(x, rate_hz)
        within = score[at : at + 60].max()
        assert within > 3.5
        assert within > np.delete(score, np.arange(at, at + 400)).max()


# Shapes


def test_the_discord_is_the_distance_to_the_nearest_earlier_window() -> None:
    """Against a plain search, from the first distance to long after the memory is full."""
    tokens, levels = np.random.default_rng(3).normal(5, 2, 3 * PAST_TOKENS), np.zeros((1, LEVELS))
    for known in range(1, len(tokens) + 1):
        remember(levels, 0, tokens[known - 1])
        if known < WINDOWS_MIN:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(tokens[:known][-PAST_TOKENS:], WINDOW)
        distances = np.sqrt(((windows[:-WINDOW] - windows[-1]) ** 2).sum(axis=1))
        assert discord(levels, 0) == pytest.approx(distances.min(), rel=1e-12)


def cycles(seed: int, odd: str) -> NDArray[np.float64]:
    """A cycle of 120 samples with a steep and a gentle side, of which one, from 3,000 on, is run backwards or is halved."""
    turn = np.arange(4000) * 2 * np.pi / 120
    x = 10 * np.sin(turn) + 5 * np.sin(2 * turn)
    part = x[3000:3120]
    part[:] = part[::-1].copy() if odd == "reversed" else 0.5 * part
    return x + np.random.default_rng(seed).normal(0, 1, 4000)


@pytest.mark.parametrize("odd", ["reversed", "half"])
def test_an_odd_cycle_of_ordinary_values_ranks_above_the_ordinary_ones(odd: str) -> None:
    """By the shape: without it, the cycle is like any other."""
    ranks = []
    for off in (0, 1 << SHAPE):
        for seed in range(4):
            stream = make_stream()
            stream._scale[0, OFF] = off
            score = stream.update_many(np.arange(4000) * 1.0, cycles(seed, odd))
            within, before = score[3030:3150], score[1000:3000]
            ranks.append((before[:, None] < within).mean() + 0.5 * (before[:, None] == within).mean())
    assert min(ranks[:4]) > 0.75
    assert np.mean(ranks[4:]) < np.mean(ranks[:4]) - 0.1


@pytest.mark.parametrize("rest", [40, 20_000])
def test_a_signal_that_rested_first_is_judged_by_how_it_moves(rest: int) -> None:
    """A rest gives every statistic a bar of 0 or nearly so; it must not stay the measure of what comes after."""
    random = np.random.default_rng(2)
    x = np.concatenate([np.zeros(rest), random.normal(0, 1, 6000)])
    x[-100] += 30.0
    stream = make_stream()
    stream.update_many(np.arange(len(x) - 99) * 1.0, x[:-99])
    assert stream._out[0, JUMP] > 2.5
    assert max(stream._levels[0, TAILS + RATE + JUMP], 0.0) < 0.5


def test_more_of_the_same_is_told_less_but_never_below_the_ordinary() -> None:
    x = np.random.default_rng(1).normal(0, 1, 2000)
    x[1500:1600] += 6.0
    stream, less = make_stream(), 0
    for t, value in enumerate(x.tolist()):
        told = evidence(np.array([stream.update(float(t), value)]))[0]
        raw, most = stream._out[0, FUSED], 0.3 * ORDINARY  # what the samples before may add at most
        assert min(raw, ORDINARY) - 1e-9 <= told <= raw + most + 1e-9
        less += told < raw - 0.1
    assert less > 20


def test_the_return_of_a_level_is_no_second_incident_but_a_later_fault_is() -> None:
    """Up for 60 samples and back: the way back is less than the way there. As much down 400 samples later is told in full."""
    told, raw = [], []
    for seed in range(6):
        x = np.random.default_rng(seed).normal(0, 1, 4000)
        x[3000:3060] += 5.0
        x[3460:3520] -= 5.0
        stream, before = make_stream(), []
        score = stream.update_many(np.arange(3460) * 1.0, x[:3460])
        for t in range(3460, 3480):
            score = np.append(score, stream.update(float(t), float(x[t])))
            before.append(stream._out[0, FUSED])
        e = evidence(score)
        told.append((e[3000:3020].max(), e[3060:3120].max(), e[3460:].max()))
        raw.append(max(before))
    there, back, later = np.median(told, axis=0)
    assert back < 0.8 * there
    assert later >= 0.95 * np.median(raw)


def test_a_level_that_came_back_drifts_no_more() -> None:
    """By its slack alone the sum would take as long to go as it took to come, and speak all the while."""
    x = np.random.default_rng(4).normal(0, 1, 4000)
    x[3000:3100] += 5.0
    stream, spoke = make_stream(), []
    stream.update_many(np.arange(3100) * 1.0, x[:3100])
    assert stream._out[0, DRIFT] > 5.0
    assert stream._levels[0, CUSUM_UP] > 50.0
    for t in range(3100, 3160):
        stream.update(float(t), float(x[t]))
        spoke.append(stream._out[0, DRIFT])
    assert max(spoke[24:]) < 6.0
    assert stream._levels[0, CUSUM_UP] < 5.0


def test_what_is_a_little_odd_counts_more_when_it_lasts() -> None:
    levels = np.zeros((1, LEVELS))
    first = worth(levels, 0, 1.5, 0.0, 0.99)
    for _ in range(60):
        last = worth(levels, 0, 1.5, 0.0, 0.99)
    assert first == 1.5
    assert last == pytest.approx(1.3 * 1.5, rel=0.05)
    worth(levels, 0, 20.0, 0.0, 0.99)
    assert worth(levels, 0, 0.0, 0.0, 0.99) < 0.3 * ORDINARY  # one peak is not smeared over what follows


def test_a_signal_that_seldom_moves_is_no_louder_for_it() -> None:
    """Steps of one size at one sample of 25: their usual size must not die out between them."""
    random = np.random.default_rng(8)
    steps = np.where(np.arange(30_000) % 25 == 0, random.choice([-1.0, 1.0], 30_000), 0.0)
    x = np.cumsum(steps) % 20
    stream = make_stream()
    stream.update_many(np.arange(30_000) * 1.0, x)
    assert stream._levels[0, SLOW + ERROR_LAST] > 0.01
