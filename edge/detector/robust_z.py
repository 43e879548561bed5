"""Spikes that no signal makes by itself, known after a few seconds: robust z against the median of five.

The tails of edge.detector.tail need some hundred samples before they may speak; a spike of many sigmas in steady noise,
or one that returns within three samples, needs none of that. Shares the rows of edge.detector.guards.
"""

from __future__ import annotations

import numba

from edge.detector.guards import (
    CHANGES,
    FLIPS,
    HISTORY,
    HISTORY_VALUES,
    JUMP,
    JUMP_AGE,
    JUMP_BAR,
    JUMP_LEVEL,
    JUMP_SCORE,
    LAST_STEP,
    PARAM_REFRACTORY_NS,
    PARAM_WARMUP,
    PARAM_Z_MIN,
    PREVIOUS,
    RECORD,
    RESOLUTION,
    ROBUST_Z,
    SAMPLES,
    SCALE,
    SHIFTS,
    TABLE_F,
    TABLE_I,
    report,
    transition,
)  # fmt: skip
from vantel.kernel import kernel

# Constants of robust_z. They were chosen once, on one recorded minute, so as to be quiet there, and are not settings:
# tuning them by signal is what robust_z_min is not for.
_SIGMA_OF_MAD = 1.4826
_SCALE_STEP_MIN = 0.02  # relative step of the streaming median of |residual|
_RECORD_FACTOR = 4.0  # a spike must exceed the largest ordinary residual of late by this factor
_RECORD_DECAY = 0.9998  # per sample
_SHIFT_DECAY = 0.9995  # per sample
_SHIFT_BAR_MAX = 2.0  # signals that shift raise their own bar, by no more than this
_SHIFTS_MAX = 8.0  # a signal that shifted more often of late is no steady one, however noisy
_SMOOTHING = 0.01  # of the shares of flips and changes
_FLIPS_MIN = 0.45  # white noise flips its direction at two samples of three
_CHANGES_MIN = 0.8
_RETURN_SHARE = 0.25  # back at the old level: within this share of the jump
_RETURN_SAMPLES_MAX = 5  # later than this, a jump is a shift of level
_SPIKE_SAMPLES_MAX = 3
_RELATIVE_FLOOR = 1e-6

_I, _F = numba.int64, numba.float64


@kernel(_F(TABLE_F, _I))
def _median_of_five(levels, s):  # type: ignore[no-untyped-def]
    """Median of the last five values of signal s."""
    a, b, c = levels[s, HISTORY], levels[s, HISTORY + 1], levels[s, HISTORY + 2]
    d, e = levels[s, HISTORY + 3], levels[s, HISTORY + 4]
    low = max(min(a, b), min(c, d))
    high = min(max(a, b), max(c, d))
    return max(min(low, high), min(max(low, high), e))


@kernel(numba.void(_F, _F, _I, TABLE_F, _I))
def _learn(value, size, samples, levels, s):  # type: ignore[no-untyped-def]
    """Take value and the size of its residual into scale, flips and changes of signal s.

    Only the sign of (size - scale) counts, so that no fault, however large, drags the scale with it; a value that
    does not change teaches nothing about noise.
    """
    step = value - levels[s, PREVIOUS]
    share = max(_SMOOTHING, 1.0 / samples)
    if step != 0.0 or size > 0.0:
        eta = max(_SCALE_STEP_MIN, 2.0 / samples)
        if levels[s, SCALE] == 0.0:
            levels[s, SCALE] = size
        elif size > levels[s, SCALE]:
            levels[s, SCALE] *= 1.0 + eta
        elif size < levels[s, SCALE]:
            levels[s, SCALE] *= 1.0 - eta
    if abs(step) > 1e-9 * abs(value):
        levels[s, RESOLUTION] = min(levels[s, RESOLUTION], abs(step))
    if step != 0.0:
        flipped = 1.0 if (step > 0.0) != (levels[s, LAST_STEP] > 0.0) else 0.0
        levels[s, FLIPS] += share * (flipped - levels[s, FLIPS])
        levels[s, LAST_STEP] = step
    levels[s, CHANGES] += share * ((1.0 if step != 0.0 else 0.0) - levels[s, CHANGES])


@kernel(numba.boolean(TABLE_F, _I))
def _is_noisy(levels, s):  # type: ignore[no-untyped-def]
    """True for a signal that goes up and down all the time, as noise does and a vehicle does not."""
    return levels[s, FLIPS] > _FLIPS_MIN and levels[s, CHANGES] > _CHANGES_MIN


@kernel(_I(_F, numba.boolean, TABLE_F, TABLE_I, _I))
def _follow_jump(value, warm, levels, stamps, s):  # type: ignore[no-untyped-def]
    """Watch the samples after a jump of signal s. 1: it was a spike that is to be reported now, else 0.

    A jump that stays is a shift of level: it raises the bar for later ones.
    """
    if stamps[s, JUMP_AGE] == 0:
        return 0
    if abs(value - levels[s, JUMP_LEVEL]) < _RETURN_SHARE * abs(levels[s, JUMP]):
        age, stamps[s, JUMP_AGE] = stamps[s, JUMP_AGE], 0
        return 1 if warm and age <= _SPIKE_SAMPLES_MAX and levels[s, JUMP_SCORE] > 0.0 else 0
    stamps[s, JUMP_AGE] += 1
    if stamps[s, JUMP_AGE] > _RETURN_SAMPLES_MAX:
        stamps[s, JUMP_AGE] = 0
        levels[s, SHIFTS] += 1.0
        if levels[s, SHIFTS] > _SHIFTS_MAX or not _is_noisy(levels, s):
            levels[s, RECORD] = max(levels[s, RECORD], 0.5 * abs(levels[s, JUMP]))
    return 0


@kernel(_I(_F, _I, _I, TABLE_F, TABLE_I, _F[::1], TABLE_F, TABLE_I, _I, _I))
def robust_z(value, t, clock, levels, stamps, params, out_f, out_i, count, s):  # type: ignore[no-untyped-def]
    """Judge a value against the median of the five before it, in streaming MADs; returns the new count."""
    samples = stamps[s, SAMPLES]
    expected = _median_of_five(levels, s)
    residual = value - expected
    size = abs(residual)
    warm = samples > params[PARAM_WARMUP]
    returned = _follow_jump(value, warm, levels, stamps, s)
    levels[s, SHIFTS] *= _SHIFT_DECAY
    sigma = max(_SIGMA_OF_MAD * levels[s, SCALE], _RELATIVE_FLOOR * abs(expected))
    sigma = max(sigma, levels[s, RESOLUTION])  # infinite as long as the signal has never changed
    least = params[PARAM_Z_MIN] * sigma
    record = max(least, _RECORD_FACTOR * levels[s, RECORD])
    highest = least * min(1.0 + 0.5 * levels[s, SHIFTS], _SHIFT_BAR_MAX)
    steady = _is_noisy(levels, s) and levels[s, SHIFTS] < _SHIFTS_MAX
    bar = max(highest, record) if steady else record
    jumped = size > bar and sigma > 0.0 and samples >= HISTORY_VALUES
    at_once = jumped and warm and steady
    if jumped and stamps[s, JUMP_AGE] == 0:
        stamps[s, JUMP_AGE] = 1
        levels[s, JUMP_LEVEL] = expected
        levels[s, JUMP] = residual
        levels[s, JUMP_SCORE] = 0.0 if at_once else size / sigma
        levels[s, JUMP_BAR] = bar / sigma
    triggered = at_once or returned == 1
    if transition(stamps, s, ROBUST_Z, t, triggered, _I(params[PARAM_REFRACTORY_NS])):
        if at_once:
            count = report(
                out_i, out_f, count, clock, s, ROBUST_Z, t, value, size / sigma, bar / sigma, expected
            )
        else:
            level = levels[s, JUMP_LEVEL]
            count = report(
                out_i, out_f, count, clock, s, ROBUST_Z, t, level + levels[s, JUMP], levels[s, JUMP_SCORE],
                levels[s, JUMP_BAR], level,
            )  # fmt: skip
    if not jumped:
        levels[s, RECORD] = max(levels[s, RECORD] * _RECORD_DECAY, size)
    _learn(value, size, samples, levels, s)
    return count
