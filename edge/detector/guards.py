"""Guards of a signal: range, rate of change, stuck and silence, as its policy sets them. What they find is told at once.
Guards that need no policy are in edge.detector.arrivals and use the same rows.

State is a struct of arrays, one row a signal: levels float64[n, LEVELS], stamps int64[n, STAMPS] (ns), both owned by
edge.detector.van and saved as they are. Nothing is allocated and the order of operations is fixed.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types

from vantel.kernel import kernel

RANGE, RATE, STUCK, TIMEOUT, PERIOD, DROPOUT, COUNTER, CLOCK_JUMP, ROBUST_Z = range(9)
CHANNELS = ("range", "rate", "stuck", "timeout", "period", "dropout", "counter", "clock", "robust_z")

POLICY_MIN, POLICY_MAX, POLICY_RATE, POLICY_STUCK_NS, POLICY_SILENCE_NS, POLICY_JUDGED = range(6)
"""Columns of the policy table, NaN where there is none; POLICY_JUDGED is 1.0 where the channels of edge.detector.channels
apply, POLICY_SILENCE_NS counts only for the slots in `silent`."""
POLICY_COLUMNS = 6

PARAM_WARMUP, PARAM_Z_MIN, PARAM_REFRACTORY_NS, PARAM_TICK_NS, PARAM_BUDGET = range(5)

(
    PREVIOUS, SCALE, RECORD, RESOLUTION, FLIPS, CHANGES, LAST_STEP, SHIFTS, JUMP_LEVEL, JUMP, JUMP_SCORE, JUMP_BAR,
    INTERVAL_NS, GAP, GAP_LONGEST, GAP_SPREAD, GAP_RECENT, PATIENCE, NAN_SHARE, NAN_SUM, NAN_EXTRA, COUNT_STEP, COUNT_LOW, COUNT_HIGH, LATE, HISTORY,
) = range(26)  # fmt: skip
LEVELS = HISTORY + 5
HISTORY_VALUES = 5

(
    SAMPLES, JUMP_AGE, T_PREVIOUS, T_RUN, T_ARRIVAL, ACTIVE, ARRIVALS, S_FIRST, S_LAST, S_LATE, LATE_RUN, COUNT_RUN,
    COUNT_WRAPS, COUNT_BITS, COUNT_NEED, T_TRIGGER,
) = range(16)  # fmt: skip
STAMPS = T_TRIGGER + len(CHANNELS)

CLOCK, TICK = range(2)
"""Entries of the stream clock: the highest stamp seen, the last tick at which silence was judged."""

OUT_SLOT, OUT_CHANNEL, OUT_T, OUT_CLOCK = range(4)
OUT_VALUE, OUT_SCORE, OUT_THRESHOLD, OUT_EXPECTED = range(4)

NEVER = np.iinfo(np.int64).min
_LARGEST = np.finfo(np.float64).max

_I, _F = numba.int64, numba.float64
TABLE_I, TABLE_F = numba.int64[:, ::1], numba.float64[:, ::1]
POLICY = types.Array(types.float64, 2, "C", readonly=True)
SLOTS = types.Array(types.int32, 1, "C", readonly=True)


@kernel(numba.boolean(TABLE_I, _I, _I, _I, numba.boolean, _I))
def transition(stamps, s, channel, t, triggered, refractory_ns):  # type: ignore[no-untyped-def]
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


@kernel(_I(TABLE_I, TABLE_F, _I, _I, _I, _I, _I, _F, _F, _F, _F))
def report(out_i, out_f, count, clock, s, channel, t, value, score, threshold, expected):  # type: ignore[no-untyped-def]
    """Write one event into the arrays of the caller; returns the new count."""
    out_i[count, OUT_SLOT] = s
    out_i[count, OUT_CHANNEL] = channel
    out_i[count, OUT_T] = t
    out_i[count, OUT_CLOCK] = clock
    out_f[count, OUT_VALUE] = min(max(value, -_LARGEST), _LARGEST)
    out_f[count, OUT_SCORE] = min(score, _LARGEST)
    out_f[count, OUT_THRESHOLD] = threshold
    out_f[count, OUT_EXPECTED] = expected
    return count + 1


@kernel(_I(_I, _I[::1], SLOTS, POLICY, TABLE_F, TABLE_I, _F[::1], TABLE_F, TABLE_I, _I))
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
        if clock[TICK] < due <= tick and transition(
            stamps, s, TIMEOUT, due, True, np.int64(params[PARAM_REFRACTORY_NS])
        ):
            value = levels[s, PREVIOUS] if stamps[s, SAMPLES] > 0 else 0.0
            count = report(
                out_i,
                out_f,
                count,
                t,
                s,
                TIMEOUT,
                due,
                value,
                (due - arrival) * 1e-9,
                silence_ns * 1e-9,
                value,
            )
    clock[TICK] = tick
    return count


@kernel(_I(_F, _I, _I, POLICY, TABLE_F, TABLE_I, _F[::1], TABLE_F, TABLE_I, _I, _I))
def watch(value, t, clock, policy, levels, stamps, params, out_f, out_i, count, s):  # type: ignore[no-untyped-def]
    """Range, rate and stuck of one finite-or-infinite value of signal s; returns the new count."""
    refractory_ns = np.int64(params[PARAM_REFRACTORY_NS])
    low, high = policy[s, POLICY_MIN], policy[s, POLICY_MAX]
    outside = value < low or value > high
    if transition(stamps, s, RANGE, t, outside, refractory_ns):
        bound = low if value < low else high
        count = report(out_i, out_f, count, clock, s, RANGE, t, value, abs(value - bound), 0.0, bound)
    if stamps[s, SAMPLES] == 0:
        stamps[s, T_RUN] = t
        return count
    previous = levels[s, PREVIOUS]
    gap_ns = t - stamps[s, T_PREVIOUS]
    rate = abs(value - previous) / (max(1.0, gap_ns, 0.5 * levels[s, INTERVAL_NS]) * 1e-9)
    if transition(stamps, s, RATE, t, rate > policy[s, POLICY_RATE], refractory_ns):
        count = report(out_i, out_f, count, clock, s, RATE, t, value, rate, policy[s, POLICY_RATE], previous)
    stuck_ns = policy[s, POLICY_STUCK_NS]
    if value != previous or gap_ns > stuck_ns:
        stamps[s, T_RUN] = t
    run_ns = t - stamps[s, T_RUN]
    if transition(stamps, s, STUCK, t, run_ns > stuck_ns, refractory_ns):
        count = report(out_i, out_f, count, clock, s, STUCK, t, value, run_ns * 1e-9, stuck_ns * 1e-9, value)
    return count
