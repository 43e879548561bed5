"""The loop over the samples of a van: guards, channels, peers and alarms in one call a block.

All state is in arrays of the caller (edge.detector.van); nothing is allocated, the order of operations is fixed.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numba import types

from edge.detector import guards
from edge.detector.arrivals import arrive, is_counter, pass_time
from edge.detector.channels import VALUE_MAX, is_random, judge
from edge.detector.guards import (
    CLOCK,
    HISTORY,
    HISTORY_VALUES,
    INTERVAL_NS,
    PARAM_BUDGET,
    PARAM_REFRACTORY_NS,
    POLICY,
    POLICY_JUDGED,
    PREVIOUS,
    SAMPLES,
    SLOTS,
    T_ARRIVAL,
    T_PREVIOUS,
    TABLE_I,
    TIMEOUT,
    report,
    transition,
    watch,
)  # fmt: skip
from edge.detector.layout import CHANNELS as STATISTICAL
from edge.detector.layout import FUSED, INTERVAL, LEVEL, LOUDEST, MODE_COLUMNS, PREV, SLOW
from edge.detector.motion import MODE, MOVING, follow_mode, motion
from edge.detector.robust_z import robust_z
from edge.detector.sets import BLAMED, SET_TABLE, evaluate, take
from edge.detector.tail import TABLE
from vantel.kernel import kernel

_GUARDS = len(guards.CHANNELS)
_OWN = _GUARDS
_PEERS = _OWN + len(STATISTICAL)
_Q = _PEERS + len(STATISTICAL)
CHANNELS = (*guards.CHANNELS, *STATISTICAL, *(f"peer_{name}" for name in STATISTICAL), "q")
"""Names of all channels, in the order of their numbers in what step() writes. peer_: of the residual against peers;
q: what the component model of a set leaves."""

HITS, ALARM_ACTIVE, T_ALARM, T_TOLD, AGAIN, ALARM_COLUMNS = range(6)
"""Columns of the alarms of a row. AGAIN is how much more it takes at T_TOLD to be told once more, in thousandths."""
_DAY_S = 28_800.0  # a van-day is eight hours of driving
_LAST_MASK = 15  # k of n: two of the last four samples
_SURE = 2.0  # or one sample a hundred times rarer than the threshold
_LEAST = 4.0  # below this no budget of use is met, so the threshold is not even computed
_AGAIN = 1.0  # one incident is many times the share of a row, so its p was too small; fades in a van-day
_AGAIN_MAX = 8.0
OUT_COLUMNS = 4
FINDINGS_A_SAMPLE = 32

_I, _F = numba.int64, numba.float64
_READ_I = types.Array(types.int64, 1, "C", readonly=True)
_READ_F = types.Array(types.float64, 1, "C", readonly=True)


def is_statistical(channel: int) -> bool:
    """True for a channel that gives a probability, not a rule."""
    return channel >= _GUARDS


@kernel(_F(_F, _I, _I, TABLE, TABLE_I, _F[::1]))
def _alarm(x, row, t, levels, alarms, params):  # type: ignore[no-untyped-def]
    """The threshold when the row has just become odd, else 0: the budget of incidents over the samples of a van-day, and
    ten times less for what was told of this row lately."""
    if x < _LEAST and alarms[row, HITS] == 0 and alarms[row, ALARM_ACTIVE] == 0:
        return 0.0
    samples = _DAY_S / max(levels[row, INTERVAL], 1e-6)
    again = 1e-3 * alarms[row, AGAIN] * math.exp(-_F(max(t - alarms[row, T_TOLD], 0)) / (1e9 * _DAY_S))
    usual = max(math.log10(samples / params[PARAM_BUDGET]), _LEAST)
    threshold = usual + again
    alarms[row, HITS] = ((alarms[row, HITS] << 1) | (1 if x >= usual else 0)) & _LAST_MASK
    hits, fresh = alarms[row, HITS], alarms[row, ALARM_ACTIVE] == 0
    if ((hits & (hits - 1)) != 0 or x >= usual + _SURE) and (x >= threshold or not fresh):
        alarms[row, ALARM_ACTIVE] = 1
        alarms[row, T_ALARM] = t
        if not fresh:
            return 0.0
        alarms[row, T_TOLD] = t
        alarms[row, AGAIN] = _I(1e3 * min(again + _AGAIN, _AGAIN_MAX))
        return threshold
    if alarms[row, ALARM_ACTIVE] == 1 and t - alarms[row, T_ALARM] >= _I(params[PARAM_REFRACTORY_NS]):
        alarms[row, ALARM_ACTIVE] = 0
    return 0.0


@kernel(_I(TABLE, _I))
def _loudest(out, row):  # type: ignore[no-untyped-def]
    best = 0
    for c in range(FUSED):
        if out[row, c] > out[row, best]:
            best = c
    return best


@kernel(
    _I(
        _I, _I, _F, _I[::1], _F[::1], SET_TABLE, SLOTS, SLOTS, TABLE, TABLE, TABLE, TABLE_I, TABLE, TABLE,
        TABLE_I, _I,
    ))  # fmt: skip
def _peers(  # type: ignore[no-untyped-def]
    s,
    t,
    value,
    clock,
    params,
    members,
    sizes,
    rows,
    state,
    levels,
    scale,
    alarms,
    out,
    out_f,
    out_i,
    count,
):
    """Hand a sample to the sets of its signal; report what has become odd in those that are complete."""
    for k in range(sizes.shape[0]):
        size = sizes[k]
        belongs = False
        for j in range(size):
            belongs = belongs or members[k, j] == s
        if not belongs or not take(state, members, k, s, value):
            continue
        row = _I(rows[k])
        odd = evaluate(state, k, size, row, levels, clock[MODE], t * 1e-9, scale, out)
        for j in range(size + 2):
            if j == size:
                continue  # T² says that the van does something seldom but consistent: no fault
            x = out[row + j, LOUDEST if j < size else FUSED] if odd > 0.0 else 0.0
            threshold = _alarm(x, row + j, t, levels, alarms, params)
            if threshold == 0.0:
                continue
            member = j if j < size else _I(state[k, BLAMED])
            blamed = _I(members[k, member])
            channel = _PEERS + _loudest(out, row + j) if j < size else _Q
            shown = levels[blamed, PREV]
            expected = shown - levels[row + j, PREV] if j < size else shown
            count = report(
                out_i, out_f, count, clock[CLOCK], blamed, channel, t, shown, x, threshold, expected
            )
    return count


@kernel(
    _I(
        SLOTS, _READ_I, _READ_F, _I, _I[::1], SLOTS, POLICY, TABLE, TABLE_I, _F[::1], SET_TABLE, SLOTS, SLOTS, TABLE,
        TABLE, TABLE, TABLE_I, SLOTS, TABLE, TABLE, TABLE_I, _I[::1],
    ))  # fmt: skip
def step(  # type: ignore[no-untyped-def]
    slot, t, value, first, clock, silent, policy, guard_levels, stamps, params, members, sizes, rows, state, levels,
    scale, alarms, modes, out, out_f, out_i, written,
):  # fmt: skip
    """Judge samples first.. of a block; returns the index of the first sample not yet judged (n: all are).

    slot int32[n] (negative: no sample any more), t int64[n] ns, value float64[n]. The tables are those of
    edge.detector.van; out_f float64[k, 4], out_i int64[k, OUT_COLUMNS] and written int64[1] are the caller's. Stops early
    when fewer rows are free than one sample may need.
    """
    count = written[0]
    n = slot.shape[0]
    room = out_i.shape[0] - silent.shape[0] - stamps.shape[0] - FINDINGS_A_SAMPLE
    i = first
    while i < n and count <= room:
        s, x, now = _I(slot[i]), value[i], t[i]
        i += 1
        if s < 0 or s >= stamps.shape[0]:
            continue
        before = clock[CLOCK]
        if now > before:
            count = pass_time(now, clock, silent, policy, guard_levels, stamps, params, out_f, out_i, count)
        count = arrive(x, now, before, clock, guard_levels, stamps, params, out_f, out_i, count, s)
        stamps[s, T_ARRIVAL] = clock[CLOCK]
        transition(stamps, s, TIMEOUT, now, False, _I(params[PARAM_REFRACTORY_NS]))
        if np.isnan(x):
            continue
        count = watch(x, now, clock[CLOCK], policy, guard_levels, stamps, params, out_f, out_i, count, s)
        if np.isinf(x):
            continue
        samples = stamps[s, SAMPLES]
        judged = policy[s, POLICY_JUDGED] == 1.0 and not is_counter(stamps, s)
        says_nothing = judged and is_random(levels, s, clock[MODE])
        if judged and not says_nothing and samples >= HISTORY_VALUES:
            count = robust_z(x, now, clock[CLOCK], guard_levels, stamps, params, out_f, out_i, count, s)
        if samples > 0:
            gap_ns = np.float64(now - stamps[s, T_PREVIOUS])
            guard_levels[s, INTERVAL_NS] += max(0.05, 1.0 / samples) * (gap_ns - guard_levels[s, INTERVAL_NS])
        guard_levels[s, PREVIOUS] = x
        guard_levels[s, HISTORY + samples % HISTORY_VALUES] = x
        stamps[s, T_PREVIOUS] = now
        stamps[s, SAMPLES] = samples + 1
        follow_mode(s, now, x, clock, modes)
        if not judged:
            continue
        expected = levels[s, SLOW + clock[MODE] * MODE_COLUMNS + LEVEL]
        channel = judge(levels, s, clock[MODE], motion(now, clock) == MOVING, now * 1e-9, x, scale, out)
        score = 0.0 if says_nothing else out[s, LOUDEST]
        threshold = _alarm(score, s, now, levels, alarms, params)
        if threshold > 0.0:
            count = report(
                out_i, out_f, count, clock[CLOCK], s, _OWN + channel, now, x, score, threshold, expected
            )
        x = min(max(x, -VALUE_MAX), VALUE_MAX)
        count = _peers(
            s, now, x, clock, params, members, sizes, rows, state, levels, scale, alarms, out, out_f, out_i,
            count,
        )  # fmt: skip
    written[0] = count
    return i
