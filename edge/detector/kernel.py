"""The loop of the first detector: all signals of a block in one call, causal, O(1) memory a signal.

State is a struct of arrays, one row a signal: levels float64[n, LEVELS], stamps int64[n, STAMPS] (ns), both owned by
edge.detector and saved as they are. Nothing is allocated, no libm function is called and the order of operations is
fixed, so that results are the same to the bit on every machine and for every split into blocks. What the channels mean
stands in docs/detection.md.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types

RANGE, RATE, STUCK, TIMEOUT, ROBUST_Z = range(5)
CHANNELS = ("range", "rate", "stuck", "timeout", "robust_z")

POLICY_MIN, POLICY_MAX, POLICY_RATE, POLICY_STUCK_NS, POLICY_SILENCE_NS, POLICY_ROBUST = range(6)
"""Columns of the policy table, NaN where there is none; POLICY_ROBUST is 1.0 where robust_z applies, POLICY_SILENCE_NS
counts only for the slots in `silent`."""
POLICY_COLUMNS = 6

PARAM_WARMUP, PARAM_Z_MIN, PARAM_REFRACTORY_NS, PARAM_TICK_NS = range(4)

(
    PREVIOUS, SCALE, RECORD, RESOLUTION, FLIPS, CHANGES, LAST_STEP, SHIFTS, JUMP_LEVEL, JUMP, JUMP_SCORE, JUMP_BAR,
    INTERVAL_NS, HISTORY,
) = range(14)  # fmt: skip
LEVELS = HISTORY + 5
HISTORY_VALUES = 5

SAMPLES, JUMP_AGE, T_PREVIOUS, T_RUN, T_ARRIVAL, ACTIVE, T_TRIGGER = range(7)
STAMPS = T_TRIGGER + len(CHANNELS)

CLOCK, TICK = range(2)
"""Entries of the stream clock: the highest stamp seen, the last tick at which silence was judged."""

OUT_SLOT, OUT_CHANNEL, OUT_T = range(3)
OUT_VALUE, OUT_SCORE, OUT_THRESHOLD, OUT_EXPECTED = range(4)

NEVER = np.iinfo(np.int64).min
_LARGEST = np.finfo(np.float64).max

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
_TABLE_I, _TABLE_F = numba.int64[:, ::1], numba.float64[:, ::1]
_POLICY = types.Array(types.float64, 2, "C", readonly=True)
_SLOTS = types.Array(types.int32, 1, "C", readonly=True)


@numba.njit(numba.boolean(_TABLE_I, _I, _I, _I, numba.boolean, _I), nogil=True, cache=True)
def _transition(stamps, s, channel, t, triggered, refractory_ns):  # type: ignore[no-untyped-def]
    """Move (signal, channel) in or out of its active state; True when it has just become active."""
    bit = np.int64(1) << channel
    active = (stamps[s, ACTIVE] & bit) != 0
    if triggered:
        stamps[s, ACTIVE] |= bit
        stamps[s, T_TRIGGER + channel] = t
        return not active
    if active and t - stamps[s, T_TRIGGER + channel] >= refractory_ns:
        stamps[s, ACTIVE] &= ~bit
    return False


@numba.njit(_I(_TABLE_I, _TABLE_F, _I, _I, _I, _I, _F, _F, _F, _F), nogil=True, cache=True)
def _report(out_i, out_f, count, s, channel, t, value, score, threshold, expected):  # type: ignore[no-untyped-def]
    """Write one event into the arrays of the caller; returns the new count."""
    out_i[count, OUT_SLOT] = s
    out_i[count, OUT_CHANNEL] = channel
    out_i[count, OUT_T] = t
    out_f[count, OUT_VALUE] = min(max(value, -_LARGEST), _LARGEST)
    out_f[count, OUT_SCORE] = min(score, _LARGEST)
    out_f[count, OUT_THRESHOLD] = threshold
    out_f[count, OUT_EXPECTED] = expected
    return count + 1


@numba.njit(
    _I(_I, _I[::1], _SLOTS, _POLICY, _TABLE_F, _TABLE_I, _F[::1], _TABLE_F, _TABLE_I, _I),
    nogil=True,
    cache=True,
)
def advance(t, clock, silent, policy, levels, stamps, params, out_f, out_i, count):  # type: ignore[no-untyped-def]
    """Move the stream clock to t (ns) and judge silence at every tick passed. Writes at most len(silent) events.

    A signal is due at the first tick that is silence_ns or more after its last arrival; the event has that tick's time.
    """
    if t <= clock[CLOCK]:
        return count
    clock[CLOCK] = t
    tick_ns = np.int64(params[PARAM_TICK_NS])
    tick = t // tick_ns * tick_ns
    if clock[TICK] == NEVER:
        clock[TICK] = tick
    if tick <= clock[TICK]:
        return count
    for k in range(silent.shape[0]):
        s = silent[k]
        arrival = stamps[s, T_ARRIVAL]
        if arrival == NEVER:
            continue
        silence_ns = policy[s, POLICY_SILENCE_NS]
        due = (arrival + np.int64(silence_ns) + tick_ns - 1) // tick_ns * tick_ns
        if clock[TICK] < due <= tick and _transition(
            stamps, s, TIMEOUT, due, True, np.int64(params[PARAM_REFRACTORY_NS])
        ):
            value = levels[s, PREVIOUS] if stamps[s, SAMPLES] > 0 else 0.0
            count = _report(
                out_i, out_f, count, s, TIMEOUT, due, value, (due - arrival) * 1e-9, silence_ns * 1e-9, value
            )
    clock[TICK] = tick
    return count


@numba.njit(_F(_TABLE_F, _I), nogil=True, cache=True)
def _median_of_five(levels, s):  # type: ignore[no-untyped-def]
    """Median of the last five values of signal s."""
    a, b, c = levels[s, HISTORY], levels[s, HISTORY + 1], levels[s, HISTORY + 2]
    d, e = levels[s, HISTORY + 3], levels[s, HISTORY + 4]
    low = max(min(a, b), min(c, d))
    high = min(max(a, b), max(c, d))
    return max(min(low, high), min(max(low, high), e))


@numba.njit(numba.void(_F, _F, _I, _TABLE_F, _I), nogil=True, cache=True)
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


@numba.njit(numba.boolean(_TABLE_F, _I), nogil=True, cache=True)
def _is_noisy(levels, s):  # type: ignore[no-untyped-def]
    """True for a signal that goes up and down all the time, as noise does and a vehicle does not."""
    return levels[s, FLIPS] > _FLIPS_MIN and levels[s, CHANGES] > _CHANGES_MIN


@numba.njit(_I(_F, numba.boolean, _TABLE_F, _TABLE_I, _I), nogil=True, cache=True)
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


@numba.njit(_I(_F, _I, _TABLE_F, _TABLE_I, _F[::1], _TABLE_F, _TABLE_I, _I, _I), nogil=True, cache=True)
def _robust_z(value, t, levels, stamps, params, out_f, out_i, count, s):  # type: ignore[no-untyped-def]
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
    if _transition(stamps, s, ROBUST_Z, t, triggered, np.int64(params[PARAM_REFRACTORY_NS])):
        if at_once:
            count = _report(out_i, out_f, count, s, ROBUST_Z, t, value, size / sigma, bar / sigma, expected)
        else:
            level = levels[s, JUMP_LEVEL]
            count = _report(
                out_i, out_f, count, s, ROBUST_Z, t, level + levels[s, JUMP], levels[s, JUMP_SCORE],
                levels[s, JUMP_BAR], level,
            )  # fmt: skip
    if not jumped:
        levels[s, RECORD] = max(levels[s, RECORD] * _RECORD_DECAY, size)
    _learn(value, size, samples, levels, s)
    return count


@numba.njit(
    _I(_F, _I, _POLICY, _TABLE_F, _TABLE_I, _F[::1], _TABLE_F, _TABLE_I, _I, _I), nogil=True, cache=True
)
def _guards(value, t, policy, levels, stamps, params, out_f, out_i, count, s):  # type: ignore[no-untyped-def]
    """Range, rate and stuck of one finite-or-infinite value of signal s; returns the new count."""
    refractory_ns = np.int64(params[PARAM_REFRACTORY_NS])
    low, high = policy[s, POLICY_MIN], policy[s, POLICY_MAX]
    outside = value < low or value > high
    if _transition(stamps, s, RANGE, t, outside, refractory_ns):
        bound = low if value < low else high
        count = _report(out_i, out_f, count, s, RANGE, t, value, abs(value - bound), 0.0, bound)
    if stamps[s, SAMPLES] == 0:
        stamps[s, T_RUN] = t
        return count
    previous = levels[s, PREVIOUS]
    gap_ns = t - stamps[s, T_PREVIOUS]
    rate = abs(value - previous) / (max(1.0, gap_ns, 0.5 * levels[s, INTERVAL_NS]) * 1e-9)
    if _transition(stamps, s, RATE, t, rate > policy[s, POLICY_RATE], refractory_ns):
        count = _report(out_i, out_f, count, s, RATE, t, value, rate, policy[s, POLICY_RATE], previous)
    stuck_ns = policy[s, POLICY_STUCK_NS]
    if value != previous or gap_ns > stuck_ns:
        stamps[s, T_RUN] = t
    run_ns = t - stamps[s, T_RUN]
    if _transition(stamps, s, STUCK, t, run_ns > stuck_ns, refractory_ns):
        count = _report(out_i, out_f, count, s, STUCK, t, value, run_ns * 1e-9, stuck_ns * 1e-9, value)
    return count


@numba.njit(
    _I(
        _SLOTS, types.Array(types.int64, 1, "C", readonly=True), types.Array(types.float64, 1, "C", readonly=True), _I,
        _I[::1], _SLOTS, _POLICY, _TABLE_F, _TABLE_I, _F[::1], _TABLE_F, _TABLE_I, _I[::1],
    ),
    nogil=True, cache=True,
)  # fmt: skip
def step(slot, t, value, first, clock, silent, policy, levels, stamps, params, out_f, out_i, counts):  # type: ignore[no-untyped-def]
    """Judge samples first.. of a block; returns the index of the first sample not yet judged (n: all are).

    slot int32[n] (negative: no sample any more), t int64[n] ns, value float64[n]. policy float64[signals,
    POLICY_COLUMNS], silent int32[m] slots watched for silence, clock int64[2], levels and stamps as above. out_f
    float64[k, 4], out_i int64[k, 3] and counts int64[1] are the caller's; stops early when fewer than m + 5 rows are
    free. Muted signals have a policy of NaN throughout.
    """
    count = counts[0]
    n = slot.shape[0]
    room = out_i.shape[0] - silent.shape[0] - len(CHANNELS)
    i = first
    while i < n and count <= room:
        s = np.int64(slot[i])
        if s < 0 or s >= stamps.shape[0]:
            i += 1
            continue
        x = value[i]
        now = t[i]
        count = advance(now, clock, silent, policy, levels, stamps, params, out_f, out_i, count)
        stamps[s, T_ARRIVAL] = clock[CLOCK]
        _transition(stamps, s, TIMEOUT, now, False, np.int64(params[PARAM_REFRACTORY_NS]))
        i += 1
        if np.isnan(x):
            continue
        count = _guards(x, now, policy, levels, stamps, params, out_f, out_i, count, s)
        if np.isinf(x):
            continue
        samples = stamps[s, SAMPLES]
        if policy[s, POLICY_ROBUST] == 1.0 and samples >= HISTORY_VALUES:
            count = _robust_z(x, now, levels, stamps, params, out_f, out_i, count, s)
        if samples > 0:
            gap_ns = np.float64(now - stamps[s, T_PREVIOUS])
            share = max(0.05, 1.0 / samples)
            levels[s, INTERVAL_NS] += share * (gap_ns - levels[s, INTERVAL_NS])
        levels[s, PREVIOUS] = x
        levels[s, HISTORY + samples % HISTORY_VALUES] = x
        stamps[s, T_PREVIOUS] = now
        stamps[s, SAMPLES] = samples + 1
    counts[0] = count
    return i
