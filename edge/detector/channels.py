"""The channels of one signal: one sample in, -log10 p out. Causal, O(1), nothing allocated, no training.

Every statistic is in the unit of the signal and finds its own scale in its tail (edge.detector.tail), so that there is no
constant to fit to a signal. What each channel sees and misses: docs/detection.md.
"""

from __future__ import annotations

import math

import numba

from edge.detector.cycle import forget_cycle
from edge.detector.layout import (
    BEYOND,
    CUSUM_DOWN,
    CUSUM_UP,
    DRIFT,
    ERROR_LAST,
    ERROR_MEAN,
    FUSED,
    HABITS,
    HIGHEST,
    INTERVAL,
    JUMP,
    LAG,
    LASTS,
    LEVEL,
    LOUDEST,
    LOWEST,
    MAY_REST,
    MEAN_8,
    MEAN_64,
    MEMORY,
    MODE_COLUMNS,
    NOISE_DOWN,
    NOISE_UP,
    ODDNESS,
    OFF,
    OUTS,
    PREV,
    PREV2,
    ROUGH,
    RUN,
    SEEN,
    SHAPE,
    SHIFT,
    SLOW,
    SLOW_COLUMNS,
    SPREAD,
    STEP,
    STRIDE,
    STUCK,
    T_PREV,
    TOKEN_N,
    TOKEN_SUM,
    TOKENS,
    VALUE,
    N,
)  # fmt: skip
from edge.detector.predictors import CLIP, LEAST_SPREAD, YOUNG, cut, innovation
from edge.detector.shape import WINDOWS_MIN, discord, remember
from edge.detector.tail import ORDINARY, TABLE, as_often_as_told, rarities, rarity
from vantel.kernel import kernel

VALUE_MAX = 1e100
"""Values are cut to this, so that no sum or square overflows."""
_TREND = 8.0  # a trend is what has gone on for an eighth of the memory
_GAP = 10.0  # a pause of so many mean intervals starts the differences anew
_CUSUM_SLACK = 0.5  # in spreads: shifts of less than twice this are no drift
_CUSUM_MAX = 1e4
_CUSUM_BACK = 31.0 / 32.0  # a side fades by a thirty-second a sample once the fast mean is on the other side
_AGREEMENT = 0.25  # of the evidence of further channels, for they are not independent
_AGREEMENT_BAR = 2.0
_TRUST = 10.0
_RARE = 3.0  # -log10 p from which the loudest channel is looked at by itself
_HELD = 0.75  # of a run that is left after a change: values that are held for many samples each add up
_ALONE = 0.7  # log10 of 5: level, noise, runs, drift and shape differ, what is within each goes together
_NEW = 256.0  # samples after which half of the evidence counts: a new stream shows much for the first time

_RANDOM = 0.3  # of the range: a third is the mean distance of two uniform values, noise has a fifth at most

_I, _F = numba.int64, numba.float64


@kernel(_F(TABLE, _I, _I, _F, _F))
def _beyond(levels, s, slow, x, n):  # type: ignore[no-untyped-def]
    """How far x lies outside all that was seen; widens the range, after the first samples by at most its own width."""
    low, high = levels[s, slow + LOWEST], levels[s, slow + HIGHEST]
    if n == 0.0:
        levels[s, slow + LOWEST] = x
        levels[s, slow + HIGHEST] = x
        return 0.0
    room = high - low if n >= YOUNG and high > low else 2.0 * VALUE_MAX
    if x > high:
        levels[s, slow + HIGHEST] = high + min(x - high, room)
        return x - high
    if x < low:
        levels[s, slow + LOWEST] = low - min(low - x, room)
        return low - x
    return 0.0


@kernel(_F(TABLE, _I, _I, _F, _F, _F))
def _slow_baseline(levels, s, slow, x, share, width):  # type: ignore[no-untyped-def]
    """Slow mean and mean deviation, learned from cut residuals; returns the residual before learning."""
    residual = x - levels[s, slow + LEVEL]
    spread = levels[s, slow + SPREAD]
    part = residual
    if share < 1.0 / YOUNG:
        part = cut(residual, CLIP * max(spread, LEAST_SPREAD * width))
    levels[s, slow + LEVEL] += share * part
    levels[s, slow + SPREAD] = spread + share * (abs(part) - spread)
    return residual


@kernel(_F(TABLE, _I, _F, _F, _F))
def _beyond_trend(levels, s, residual, most, share):  # type: ignore[no-untyped-def]
    """What of a residual exceeds that of the trend that has been going on: the level lags behind a trend, always by as much.

    As LEVEL would be double exponential smoothing (Brown, 1956), but nothing is added on the other side: what has come back to the level is back.
    """
    lag = levels[s, LAG]
    levels[s, LAG] = lag + min(_TREND * share, 1.0) * (cut(residual, most) - lag)
    return residual - min(max(residual, min(lag, 0.0)), max(lag, 0.0))


@kernel(_F(TABLE, _I, _F, _F, _F, _F, numba.boolean))
def _cusum(levels, s, residual, spread, level, step_max, one_side):  # type: ignore[no-untyped-def]
    """Two-sided CUSUM of the residual in spreads (Page, 1954), with cut steps. A side forgets within some samples when the
    fast mean is on the other side of the level: what has come back drifts no more, however far it was. With one_side it
    is silent at once, which ends an alarm with the drift, but makes the weakest drifts, that cross the level, weaker."""
    back, side = (CUSUM_UP, CUSUM_DOWN) if levels[s, MEAN_8] < level else (CUSUM_DOWN, CUSUM_UP)
    levels[s, back] *= _CUSUM_BACK
    z = cut(residual / spread, step_max) if spread > 0.0 else 0.0
    levels[s, CUSUM_UP] = min(max(levels[s, CUSUM_UP] + z - _CUSUM_SLACK, 0.0), _CUSUM_MAX)
    levels[s, CUSUM_DOWN] = min(max(levels[s, CUSUM_DOWN] - z - _CUSUM_SLACK, 0.0), _CUSUM_MAX)
    return levels[s, side] if one_side else max(levels[s, CUSUM_UP], levels[s, CUSUM_DOWN])


@kernel(numba.void(TABLE, _I, _F, _F))
def _fast_means(levels, s, x, share_min):  # type: ignore[no-untyped-def]
    """Means over about 8 and 64 samples; share_min is 1/n while fewer are known."""
    levels[s, MEAN_8] += max(share_min, 1.0 / 8.0) * (x - levels[s, MEAN_8])
    levels[s, MEAN_64] += max(share_min, 1.0 / 64.0) * (x - levels[s, MEAN_64])


@kernel(_F(TABLE, _I, _I, _F, _F))
def _shape(levels, s, tails, x, stride):  # type: ignore[no-untyped-def]
    """-log10 p of the shape of late, which holds until the next token. A token is the mean of stride samples."""
    levels[s, TOKEN_SUM] += x
    levels[s, TOKEN_N] += 1.0
    if levels[s, TOKEN_N] >= stride:
        remember(levels, s, levels[s, TOKEN_SUM] / levels[s, TOKEN_N])
        levels[s, TOKEN_SUM] = 0.0
        levels[s, TOKEN_N] = 0.0
        known = levels[s, TOKENS] - WINDOWS_MIN
        if known >= 0.0:
            levels[s, ODDNESS] = rarity(levels, s, tails + SHAPE, discord(levels, s), known, 0.0, 0.0)
    return levels[s, ODDNESS]


@kernel(numba.boolean(TABLE, _I, _F))
def _resumes(levels, s, t_s):  # type: ignore[no-untyped-def]
    """Follow the stamps; True for the first sample and after a pause: there is none before it to differ from."""
    seen = levels[s, SEEN]
    step = t_s - levels[s, T_PREV]
    interval = levels[s, INTERVAL]
    levels[s, SEEN] = seen + 1.0
    if not (abs(t_s) <= 1e15):
        return False
    levels[s, T_PREV] = t_s
    if seen == 0.0:
        return True
    if not (step > 0.0):
        return False
    paused = seen > YOUNG and step > _GAP * interval
    share = max(1.0 / seen, 0.02)
    levels[s, INTERVAL] = interval + share * (
        (min(step, 2.0 * interval) if seen > YOUNG else step) - interval
    )
    return paused


@kernel(_I(TABLE, _I, TABLE, _I, _F))
def _together(out, s, levels, tails, n):  # type: ignore[no-untyped-def]
    """The loudest channel; out[s, FUSED] gets the evidence of all, itself set against this signal's own past.

    A fast channel speaks above its bar only, the shape always: between loud moments its is the only rank there is. What
    both show adds up as far as it is ordinary; beyond, and for further channels, a quarter counts: they see one event.
    Alarms count clusters, not samples: a channel by itself is rarer by what its clusters usually last.
    """
    fast = 0
    for c in range(SHAPE):
        if out[s, c] > out[s, fast]:
            fast = c
    total = max(out[s, fast] - ORDINARY, 0.0)
    smaller = min(total, out[s, SHAPE])
    total = max(total, out[s, SHAPE]) + min(smaller, _AGREEMENT_BAR)
    total += _AGREEMENT * max(smaller - _AGREEMENT_BAR, 0.0)
    for c in range(SHAPE):
        if c != fast and out[s, c] > _AGREEMENT_BAR:
            total += _AGREEMENT * (out[s, c] - _AGREEMENT_BAR)
    x = rarity(levels, s, tails + FUSED, total, n, 1.0, _TRUST)
    known = n / (n + _NEW)
    out[s, FUSED] = x * known
    alone = 0.0
    if out[s, fast] > _RARE:  # else it is no alarm either way, and logarithms are dear
        for c in range(SHAPE):
            if out[s, c] > _RARE:
                alone = max(alone, out[s, c] + math.log10(max(levels[s, tails + LASTS + c], 1.0)))
    out[s, LOUDEST] = max(x, alone - _ALONE) * known
    return SHAPE if out[s, SHAPE] > out[s, fast] else fast


@kernel(numba.void(TABLE, _I, _I, _F, _F, _F, _F, TABLE))
def _of_the_moment(levels, s, slow, x, n, width, usual, out):  # type: ignore[no-untyped-def]
    """Statistics of shifts, noise up and down, stuck; the innovation in out[s, JUMP] becomes one in units of the noise of
    now and always. width is that of the range seen before, usual the size of the usual one."""
    level = levels[s, slow + LEVEL]
    seen = levels[s, SEEN]
    held = level + cut(x - level, 2.0 * width) if n >= YOUNG and width > 0.0 else x
    _fast_means(levels, s, held, 1.0 / seen)
    tiny = 1e-3 * usual + 1e-9 * abs(x) + 1e-300
    error = out[s, JUMP]
    out[s, JUMP] = error / (usual + levels[s, ROUGH] + tiny)
    size = min(error, 2.0 * CLIP * usual)
    levels[s, ROUGH] += max(1.0 / seen, 1.0 / 16.0) * (size - levels[s, ROUGH])
    levels[s, RUN] = levels[s, RUN] + 1.0 if x == levels[s, PREV] else _HELD * levels[s, RUN]
    out[s, SHIFT] = abs(levels[s, MEAN_8] - levels[s, MEAN_64])
    out[s, NOISE_UP] = levels[s, ROUGH] / (usual + tiny)
    out[s, NOISE_DOWN] = usual / (levels[s, ROUGH] + tiny)
    out[s, STUCK] = levels[s, RUN]


@kernel(numba.boolean(TABLE, _I, _I))
def is_random(levels, s, mode):  # type: ignore[no-untyped-def]
    """True for a signal whose samples are as far apart as uniform random ones, a third of its range: a checksum, a signature.
    What it shows says nothing."""
    slow = SLOW + mode * MODE_COLUMNS
    width = levels[s, slow + HIGHEST] - levels[s, slow + LOWEST]
    return levels[s, slow + N] > _NEW and levels[s, slow + ERROR_LAST] > _RANDOM * width


@kernel(_I(TABLE, _I, _I, numba.boolean, _F, _F, TABLE, TABLE))
def judge(levels, s, mode, moving, t_s, value, scale, out):  # type: ignore[no-untyped-def]
    """Judge one sample of signal s in a mode; returns the channel that speaks loudest.

    levels float64[signals, LEVELS], moving: the vehicle is known to move, t_s seconds, value finite or not. scale
    float64[signals, SCALES] as edge.detector.layout has it. out float64[signals, OUTS] gets -log10 p of every channel,
    in FUSED and LOUDEST of all together. A NaN is no sample: all 0. Infinities count as VALUE_MAX.
    """
    for c in range(OUTS):
        out[s, c] = 0.0
    if math.isnan(value):
        return 0
    x = cut(value, VALUE_MAX)
    slow = SLOW + mode * MODE_COLUMNS
    tails = slow + SLOW_COLUMNS
    n = levels[s, slow + N]
    levels[s, slow + N] = n + 1.0
    share = max(1.0 / (n + 1.0), 1.0 / scale[s, MEMORY])
    habits = scale[s, HABITS] == 1.0
    if _resumes(levels, s, t_s):
        levels[s, PREV] = x
        levels[s, PREV2] = x
        levels[s, RUN] = 0.0
        if habits:
            forget_cycle(levels, s)
    width = levels[s, slow + HIGHEST] - levels[s, slow + LOWEST]
    out[s, JUMP], usual = innovation(levels, s, slow, x, share, width, habits)
    out[s, BEYOND] = _beyond(levels, s, slow, x, n)
    smooth = scale[s, MAY_REST] == 1.0 and levels[s, slow + ERROR_MEAN] >= levels[s, slow + ERROR_LAST]
    _of_the_moment(levels, s, slow, x, n, width, usual, out)
    if smooth and not moving:  # a vehicle at rest looks like this
        levels[s, RUN] = 0.0
        out[s, STUCK] = 0.0
    spread = levels[s, slow + SPREAD]
    residual = _slow_baseline(levels, s, slow, x, share, width)
    out[s, VALUE] = abs(residual)
    if habits:
        most = CLIP * max(spread, LEAST_SPREAD * width)
        residual = _beyond_trend(levels, s, residual, most, share)
    out[s, DRIFT] = _cusum(levels, s, residual, spread, x - residual, scale[s, STEP], habits)
    rarities(levels, s, tails, n, spread, width, out)
    if habits:
        as_often_as_told(levels, s, n, out)
    if smooth:
        out[s, NOISE_DOWN] = 0.0
    out[s, SHAPE] = _shape(levels, s, tails, x, scale[s, STRIDE])
    off = _I(scale[s, OFF])
    if off != 0:
        for c in range(FUSED):
            if (off >> c) & 1:
                out[s, c] = 0.0
    levels[s, PREV2] = levels[s, PREV]
    levels[s, PREV] = x
    return _together(out, s, levels, tails, n)
