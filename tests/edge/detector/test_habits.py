"""Goal: in a stream of unknown origin a trend and a short cycle are ordinary as long as they go on, and only there.

Method: made-up streams judged with habits and without, by the evidence of one channel; the variation at a lag against numpy's.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.detector import make_stream
from edge.detector.channels import judge
from edge.detector.cycle import LAG_MAX, LAG_MIN, PAIRS, follow_cycle, variation
from edge.detector.layout import (
    ARRIVED,
    DRIFT,
    HABITS,
    JUMP,
    LEVELS_OWN,
    NOISE_DOWN,
    OUTS,
    PERIOD,
    RING_SAMPLES,
    SWEEP,
)  # fmt: skip

DAY = 24


def hourly(seed: int, n: int = 1600) -> NDArray[np.float64]:
    """A day of 24 samples that jumps from hour to hour, within a slower wave, on a trend."""
    random, t = np.random.default_rng(seed), np.arange(n)
    day, noise = random.normal(0, 7, DAY), random.normal(0, 1, n)
    return 0.05 * t + day[t % DAY] + 5 * np.sin(2 * np.pi * t / 168) + noise


def evidence(channel: int, x: NDArray[np.float64], habits: float = 1.0) -> NDArray[np.float64]:
    """-log10 p of one channel, with the scale of a stream."""
    scale, levels, out = make_stream()._scale.copy(), np.zeros((1, LEVELS_OWN)), np.zeros((1, OUTS))
    scale[0, HABITS] = habits
    found = np.empty(len(x))
    for i, value in enumerate(x.tolist()):
        judge(levels, 0, 0, True, float(i), value, scale, out)
        found[i] = out[0, channel]
    return found


@pytest.mark.parametrize("seed", range(4))
def test_points_off_a_short_cycle_on_a_trend_are_jumps(seed: int) -> None:
    x, points = hourly(seed), np.array([700, 911, 1153, 1402])
    x[points] += [8, -8, 8, -8]
    ranks = [np.argsort(np.argsort(-evidence(JUMP, x, habits)[500:]))[points - 500] for habits in (0.0, 1.0)]
    assert ranks[0].max() > 20, "else the last value is as good and this is no test"
    assert ranks[1].max() < 8, "four points, and what an odd one leaves behind"


def test_a_trend_that_goes_on_is_no_drift() -> None:
    x = 0.005 * np.arange(3000) + np.random.default_rng(1).normal(0, 1, 3000)
    assert np.mean(evidence(DRIFT, x, 0.0)[500:1500] > 2.0) > 0.5, "else this is no test"
    assert np.mean(evidence(DRIFT, x)[500:] > 2.0) < 0.02


def test_a_drift_on_a_trend_is_found() -> None:
    x = 0.002 * np.arange(4000) + np.random.default_rng(2).normal(0, 1, 4000)
    x[3000:3200] += np.linspace(0, 10, 200)
    found = evidence(DRIFT, x)
    assert found[3000:3200].max() > 5.0 > found[500:3000].max()


def test_variation_is_that_of_the_differences() -> None:
    levels, x = np.zeros((1, LEVELS_OWN)), np.random.default_rng(3).normal(50, 4, 300)
    for value in x.tolist():
        follow_cycle(levels, 0, value)
    for lag in range(LAG_MIN, LAG_MAX + 1):
        differences = x[-PAIRS:] - x[-PAIRS - lag : -lag]
        assert variation(levels, 0, lag) == pytest.approx(differences.var(), rel=1e-9)


@pytest.mark.parametrize("period", [3, 7, 24, 48])
def test_period_is_found_within_two_sweeps(period: int) -> None:
    levels = np.zeros((1, LEVELS_OWN))
    shape = np.random.default_rng(period).normal(0, 5, period)
    noise = np.random.default_rng(4).normal(0, 0.5, 400)
    for i in range(RING_SAMPLES + 2 * (LAG_MAX - LAG_MIN + 1)):
        follow_cycle(levels, 0, shape[i % period] + 0.3 * i + noise[i])
    assert levels[0, PERIOD] % period == 0 < levels[0, PERIOD]


def test_after_a_pause_the_cycle_is_looked_for_anew() -> None:
    x, stream = hourly(5, 900), make_stream()
    stream.update_many(np.arange(600.0), x[:600])
    assert stream._levels[0, PERIOD] % DAY == 0 and stream._levels[0, PERIOD] > 0
    stream.update(5000.0, x[610])
    assert stream._levels[0, PERIOD] == 0 and stream._levels[0, SWEEP] == 1


def test_without_habits_nothing_is_written_behind_the_first_mode() -> None:
    scale, levels, out = make_stream()._scale.copy(), np.zeros((1, LEVELS_OWN)), np.zeros((1, OUTS))
    scale[0, HABITS] = 0.0
    for i, value in enumerate(hourly(6, 400).tolist()):
        judge(levels, 0, 0, True, float(i), value, scale, out)
    assert not levels[0, ARRIVED:].any()


@pytest.mark.parametrize("seed", range(3))
def test_what_a_channel_tells_every_night_is_rare_no_more(seed: int) -> None:
    """Noise that is six times as large by day: half of all samples are no one in a thousand, however few nights there were."""
    t = np.arange(12_000)
    x = np.random.default_rng(seed).normal(0, 1, len(t)) * np.where(t % 1500 < 700, 1.0, 6.0)
    rare = [np.mean(evidence(NOISE_DOWN, x, habits)[7500:] > 3.0) for habits in (0.0, 1.0)]
    assert rare[0] > 0.1, "else this is no test"
    assert rare[1] == 0.0
    x[11_000:11_060] = 40.0 + np.random.default_rng(9).normal(0, 1, 60)
    assert evidence(JUMP, x)[11_000] > 5.0, "the other channels are heard as before"
