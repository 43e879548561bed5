"""The loop over the samples of a van: guards, channels, peers and alarms in one call a block.

All state is in arrays of the caller (edge.detector.van); nothing is allocated, the order of operations is fixed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from edge.detector import arrivals, guards
from edge.detector.arrivals import STILL, arrive, pass_time
from edge.detector.channels import VALUE_MAX, judge
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
from edge.detector.layout import FUSED, INTERVAL, LEVEL, PREV, SLOW, SLOW_COLUMNS
from edge.detector.robust_z import robust_z
from edge.detector.sets import BLAMED, SET_TABLE, evaluate, take
from edge.detector.tail import TABLE
from vantel.catalog import Signal

_GUARDS = len(guards.CHANNELS)
_OWN = _GUARDS
_PEERS = _OWN + len(STATISTICAL)
_Q = _PEERS + len(STATISTICAL)
CHANNELS = (*guards.CHANNELS, *STATISTICAL, *(f"peer_{name}" for name in STATISTICAL), "q")
"""Names of all channels, in the order of their numbers in what step() writes. peer_: of the residual against peers;
q: what the component model of a set leaves."""

MODE, T_MOVED, CLOCKS = 2, 3, arrivals.CLOCKS
"""Entries of the stream clock beyond those of the guards: operating mode, when the van last moved (ns)."""
SPEED, CHARGING = range(2)
"""Entries of the mode slots: -1 where the van has no such signal."""
_DRIVING, _PARKED, _CHARGING = range(3)
_SPEEDS = ("km/h", "m/s")
_MOVES = 0.5  # in the unit of that speed: below it a wheel sensor shows nothing
_STALE_NS = 5_000_000_000  # what an older speed says is not known
_PARKED_AFTER_NS = 10_000_000_000  # shorter stops belong to driving

HITS, ALARM_ACTIVE, T_ALARM, ALARM_COLUMNS = range(4)
_DAY_S = 28_800.0  # a van-day is eight hours of driving
_LAST_MASK = 15  # k of n: two of the last four samples
_SURE = 2.0  # or one sample a hundred times rarer than the threshold
_LEAST = 4.0  # below this no budget of use is met, so the threshold is not even computed
OUT_COLUMNS = 4
FINDINGS_A_SAMPLE = 32

_I, _F = numba.int64, numba.float64
_READ_I = types.Array(types.int64, 1, "C", readonly=True)
_READ_F = types.Array(types.float64, 1, "C", readonly=True)


def is_statistical(channel: int) -> bool:
    """True for a channel that gives a probability, not a rule."""
    return channel >= _GUARDS


def mode_slots(signals: Sequence[Signal]) -> NDArray[np.int32]:
    """Slots of the signals that tell the operating mode: Vehicle.Speed or another speed over ground, and charging."""
    slots = {signal.name.lower(): slot for slot, signal in enumerate(signals)}
    speeds = [
        slot
        for name, slot in slots.items()
        if name.split(".")[-1] == "speed" and signals[slot].unit in _SPEEDS
    ]
    speed = slots.get("vehicle.speed", speeds[0] if speeds else -1)
    charging = slots.get("vehicle.powertrain.tractionbattery.charging.ischarging", -1)
    return np.array([speed, charging], np.int32)


@numba.njit(numba.void(_I, _I, _F, _I[::1], SLOTS), nogil=True, cache=True)
def _follow_mode(s, t, value, clock, modes):  # type: ignore[no-untyped-def]
    """Driving until the van has stood for a while; charging as long as it says so."""
    if s == modes[SPEED]:
        clock[STILL] = 0 if abs(value) > _MOVES else 1
        if abs(value) > _MOVES:
            clock[T_MOVED] = t
            clock[MODE] = _DRIVING
        elif clock[MODE] == _DRIVING and t - clock[T_MOVED] > _PARKED_AFTER_NS:
            clock[MODE] = _PARKED
    elif s == modes[CHARGING]:
        if value > 0.5:
            clock[MODE] = _CHARGING
        elif clock[MODE] == _CHARGING:
            clock[MODE] = _PARKED


@numba.njit(inline="always")
def _moving(now, clock, guard_levels, modes):  # type: ignore[no-untyped-def]
    """Whether the speed says, and said lately, that the van moves."""
    speed = _I(modes[SPEED])
    return speed >= 0 and abs(guard_levels[speed, PREVIOUS]) > _MOVES and now - clock[T_MOVED] < _STALE_NS


@numba.njit(_F(_F, _I, _I, TABLE, TABLE_I, _F[::1]), nogil=True, cache=True)
def _alarm(x, row, t, levels, alarms, params):  # type: ignore[no-untyped-def]
    """The threshold when the row has just become odd, else 0: the budget of incidents over the samples of a van-day."""
    if x < _LEAST and alarms[row, HITS] == 0 and alarms[row, ALARM_ACTIVE] == 0:
        return 0.0
    samples = _DAY_S / max(levels[row, INTERVAL], 1e-6)
    threshold = max(math.log10(samples / params[PARAM_BUDGET]), _LEAST)
    alarms[row, HITS] = ((alarms[row, HITS] << 1) | (1 if x >= threshold else 0)) & _LAST_MASK
    hits, odd = alarms[row, HITS], x >= threshold + _SURE
    if (hits & (hits - 1)) != 0 or odd:
        fresh = alarms[row, ALARM_ACTIVE] == 0
        alarms[row, ALARM_ACTIVE] = 1
        alarms[row, T_ALARM] = t
        return threshold if fresh else 0.0
    if alarms[row, ALARM_ACTIVE] == 1 and t - alarms[row, T_ALARM] >= _I(params[PARAM_REFRACTORY_NS]):
        alarms[row, ALARM_ACTIVE] = 0
    return 0.0


@numba.njit(_I(TABLE, _I), nogil=True, cache=True)
def _loudest(out, row):  # type: ignore[no-untyped-def]
    best = 0
    for c in range(FUSED):
        if out[row, c] > out[row, best]:
            best = c
    return best


@numba.njit(
    _I(
        _I, _I, _F, _I[::1], _F[::1], SET_TABLE, SLOTS, SLOTS, TABLE, TABLE, TABLE, TABLE_I, TABLE, TABLE,
        TABLE_I, _I,
    ),
    nogil=True, cache=True,
)  # fmt: skip
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
            x = out[row + j, FUSED] if odd > 0.0 else 0.0
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


@numba.njit(
    _I(
        SLOTS, _READ_I, _READ_F, _I, _I[::1], SLOTS, POLICY, TABLE, TABLE_I, _F[::1], SET_TABLE, SLOTS, SLOTS, TABLE,
        TABLE, TABLE, TABLE_I, SLOTS, TABLE, TABLE, TABLE_I, _I[::1],
    ),
    nogil=True, cache=True,
)  # fmt: skip
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
        if policy[s, POLICY_JUDGED] == 1.0 and samples >= HISTORY_VALUES:
            count = robust_z(x, now, clock[CLOCK], guard_levels, stamps, params, out_f, out_i, count, s)
        if samples > 0:
            gap_ns = np.float64(now - stamps[s, T_PREVIOUS])
            share = max(0.05, 1.0 / samples)
            guard_levels[s, INTERVAL_NS] += share * (gap_ns - guard_levels[s, INTERVAL_NS])
        guard_levels[s, PREVIOUS] = x
        guard_levels[s, HISTORY + samples % HISTORY_VALUES] = x
        stamps[s, T_PREVIOUS] = now
        stamps[s, SAMPLES] = samples + 1
        _follow_mode(s, now, x, clock, modes)
        if policy[s, POLICY_JUDGED] != 1.0:
            continue
        expected = levels[s, SLOW + clock[MODE] * SLOW_COLUMNS + LEVEL]
        moving = _moving(now, clock, guard_levels, modes)
        channel = judge(levels, s, clock[MODE], moving, now * 1e-9, x, scale, out)
        threshold = _alarm(out[s, FUSED], s, now, levels, alarms, params)
        if threshold > 0.0:
            score = out[s, FUSED]
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
