"""How rare is this? A statistic of a channel -> -log10 p, by peaks over a threshold.

Siffer et al., "Anomaly Detection in Streams with Extreme Value Theory" (KDD 2017), made O(1): the threshold (BAR) follows
a high quantile, what lies above it is taken in clusters, one peak each, for samples in a row are no independent evidence;
the generalised Pareto shape comes from the first two moments of the peaks. The share of samples above the bar (RATE) is
counted, not assumed. With k peaks known the tail of an exponential is itself only known as a Pareto of shape 1/k, so
that a stream which has shown little cannot score high: this is the warm-up.
"""

from __future__ import annotations

import math

import numba
from numba import types

from edge.detector.layout import (
    AGE,
    BAR,
    BEYOND,
    CLUSTERS,
    DRIFT,
    EXCESS,
    EXCESS_2,
    LASTS,
    OFTEN,
    PEAK,
    RATE,
    SHAPE,
    STUCK,
    VALUE,
)  # fmt: skip
from vantel.kernel import kernel

_QUANTILE = (
    0.02  # share of samples that the bar aims to leave above it: enough peaks to learn from, still a tail
)
_STEP = 0.1  # relative step of the bar; the way up in one sample equals the way down in 1/_QUANTILE
_STEP_MIN = (
    0.0005  # the step shrinks with the age of a cluster: a slow fault must not lift the bar ahead of itself
)
_AGE_MAX = (
    1000.0  # samples in a row above the bar: it is no high quantile any more, what was learned was of a rest
)
_WARMUP = 32.0  # samples for which the bar is the largest statistic yet
_RATE_MEMORY = 100_000.0  # samples over which the share is counted
_CLUSTERS_MAX = 100.0  # memory of the peaks
_HYSTERESIS = 0.8  # a cluster ends below this share of the bar, so that dithering at the bar is one cluster
_CLIP = 8.0  # a peak teaches as at most so many mean excesses: a fault does not become the tail
_HUNDREDTH = 0.01  # what is told to be as rare is counted, to see whether it is
_RARE = -math.log10(_HUNDREDTH)
_DOUBT = 256.0  # samples after which half of that count is believed
_SHAPE_MAX = 0.4  # moments beyond the second do not exist above 0.5
_DECADE = 0.4343  # mean of -log10 p of a uniform p
ORDINARY = 1.7  # -log10 p at the bar; below it the tail is taken as exponential
_BAR_MIN = 1e-200  # denormal numbers are slow and say nothing
SCORE_MAX = 30.0

_I, _F = numba.int64, numba.float64
TABLE = types.float64[:, ::1]


@kernel(_F(TABLE, _I, _I, _F, _F, _F, _F))
def _surprise(levels, s, at, y, floor, rate, trusted):  # type: ignore[no-untyped-def]
    """-log10 of the chance that a sample lies y or more above the bar. Never NaN for finite arguments."""
    k = levels[s, at + CLUSTERS] + 1.0
    prior = max(levels[s, at + BAR], floor)
    mean = ((k - 1.0) * levels[s, at + EXCESS] + prior) / k
    if mean <= 0.0:
        return -math.log10(rate)
    first = levels[s, at + EXCESS]
    variance = levels[s, at + EXCESS_2] - first * first
    shape = 0.0
    if variance > first * first:
        shape = min(0.5 * (1.0 - first * first / variance), _SHAPE_MAX)
    scale = mean * (1.0 - shape)
    if (
        trusted > 0.0
    ):  # the statistic is itself a -log10 p: its mean excess is known, unless the stream shows worse
        mean = max(_DECADE, ((k - 1.0) * first + trusted * _DECADE) / (k - 1.0 + trusted))
        return min(-math.log10(rate) + y * _DECADE / mean, SCORE_MAX)
    shape += 1.0 / k
    return min(-math.log10(rate) + math.log10(1.0 + shape * y / scale) / shape, SCORE_MAX)


@kernel(numba.void(TABLE, _I, _I))
def _close(levels, s, at):  # type: ignore[no-untyped-def]
    """A cluster has ended: learn from its peak."""
    y = levels[s, at + PEAK]
    k = min(levels[s, at + CLUSTERS] + 1.0, _CLUSTERS_MAX)
    if k > 3.0 and levels[s, at + EXCESS] > 0.0:
        y = min(y, _CLIP * levels[s, at + EXCESS])
    levels[s, at + CLUSTERS] = k
    levels[s, at + EXCESS] += (y - levels[s, at + EXCESS]) / k
    levels[s, at + EXCESS_2] += (y * y - levels[s, at + EXCESS_2]) / k
    lasts = levels[s, at + LASTS]
    levels[s, at + LASTS] = lasts + (min(levels[s, at + AGE], _CLIP * max(lasts, 1.0)) - lasts) / k
    levels[s, at + PEAK] = 0.0
    levels[s, at + AGE] = 0.0


@kernel(_F(TABLE, _I, _I, _F, _F, _F, _F))
def _exceed(levels, s, at, statistic, share, floor, trusted):  # type: ignore[no-untyped-def]
    """A statistic above the bar: -log10 p, and the bar follows."""
    bar = levels[s, at + BAR]
    rate = levels[s, at + RATE]
    rate += share * (1.0 - rate)
    x = _surprise(levels, s, at, statistic - bar, floor, rate, trusted)
    levels[s, at + RATE] = rate
    levels[s, at + PEAK] = max(levels[s, at + PEAK], statistic - bar)
    age = levels[s, at + AGE] + 1.0
    levels[s, at + AGE] = age
    if bar <= _BAR_MIN:  # so far there was nothing but 0, of which no factor makes a quantile
        levels[s, at + BAR] = max(statistic, floor)
    else:
        step = _STEP if age > _AGE_MAX else max(_STEP / age, _STEP_MIN)
        levels[s, at + BAR] = max(bar, floor) * (1.0 + step)
    return x


@kernel(_F(TABLE, _I, _I, _F, _F, _F, _F))
def rarity(levels, s, at, statistic, n, floor, trusted):  # type: ignore[no-untyped-def]
    """-log10 p of one statistic (>= 0, finite, at most 1e120) and learn from it.

    levels float64[signals, LEVELS], s the row, at the first column of the tail, n how many statistics came before,
    floor the least statistic worth anything, in its own unit. trusted > 0 says that the statistic is itself a -log10 p:
    its tail is then known, with the weight of so many peaks. Below the bar the tail counts as exponential.
    """
    bar = levels[s, at + BAR]
    if n < _WARMUP:
        levels[s, at + BAR] = max(bar, statistic, floor)
        levels[s, at + RATE] = 1.0 / (n + 2.0)
        return 0.0
    share = 1.0 / min(n + 2.0, _RATE_MEMORY)
    if statistic > bar:
        return _exceed(levels, s, at, statistic, share, floor, trusted)
    levels[s, at + RATE] -= share * levels[s, at + RATE]
    levels[s, at + BAR] = bar * (1.0 - _STEP * _QUANTILE) if bar > _BAR_MIN else 0.0
    if levels[s, at + PEAK] > 0.0 and statistic <= _HYSTERESIS * bar:
        _close(levels, s, at)
    return ORDINARY * statistic / bar if bar > _BAR_MIN else 0.0


@kernel(_F(_I, _F, _F))
def _floor(channel, spread, width):  # type: ignore[no-untyped-def]
    """The least statistic worth anything: a run of one repeat, a slack of one spread, what a range is
    known to."""
    if channel in (STUCK, DRIFT):
        return 1.0
    if channel == VALUE:
        return 0.1 * spread
    return 0.05 * width if channel == BEYOND else 0.0


@kernel(numba.void(TABLE, _I, _I, _F, _F, _F, TABLE))
def rarities(levels, s, tails, n, spread, width, out):  # type: ignore[no-untyped-def]
    """rarity() of all channels that have a statistic at every sample, in one loop: out[s, channel] is it before, and
    -log10 p after."""
    share = 1.0 / min(n + 2.0, _RATE_MEMORY)
    at = tails
    for c in range(SHAPE):
        statistic = out[s, c]
        bar = levels[s, at + BAR]
        whole = (
            0.5 if c == STUCK else 0.0
        )  # runs are whole numbers: a bar on one of them is not passed by a hair
        if n < _WARMUP:
            levels[s, at + BAR] = max(bar, statistic, _floor(c, spread, width))
            levels[s, at + RATE] = 1.0 / (n + 2.0)
            out[s, c] = 0.0
        elif statistic > bar + whole and statistic >= _floor(c, spread, width):
            out[s, c] = _exceed(levels, s, at, statistic, share, _floor(c, spread, width), 0.0)
        else:
            out[s, c] = 0.0
            levels[s, at + RATE] -= share * levels[s, at + RATE]
            levels[s, at + BAR] = bar * (1.0 - _STEP * _QUANTILE) if bar > _BAR_MIN else 0.0
            if levels[s, at + PEAK] > 0.0 and statistic <= _HYSTERESIS * bar:
                _close(levels, s, at)
        at += 1


@kernel(numba.void(TABLE, _I, _F, TABLE))
def as_often_as_told(levels, s, n, out):  # type: ignore[no-untyped-def]
    """Make out[s, channel] less where the channel has told of one in a hundred more often than that, and count on.

    A tail is learned from peaks, one an excursion: where excursions are few and last for hundreds of samples, as nights
    do, it says that each sample of them is rare.
    """
    known = min(n, _RATE_MEMORY)
    if n > _RATE_MEMORY:
        for c in range(SHAPE):
            levels[s, OFTEN + c] *= 1.0 - 1.0 / _RATE_MEMORY
    for c in range(SHAPE):
        x = out[s, c]
        if x <= 0.0:
            continue
        share = (levels[s, OFTEN + c] + _HUNDREDTH * _DOUBT) / (known + _DOUBT)
        if x > _RARE:
            levels[s, OFTEN + c] += 1.0
        if share > _HUNDREDTH:
            out[s, c] = x * math.log10(share) / -_RARE
