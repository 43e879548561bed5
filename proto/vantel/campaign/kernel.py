"""The kernels of the evaluator: samples in, conditions at every tick.

Truth is 1.0, 0.0 or NaN for unknown (Kleene's three values: unknown or true is true, unknown and false is false); a
signal before its first sample, and a NaN, are unknown. Windows see the samples that came within them, each once.
Layouts: INPUT_*, NODE_*, ENTRY_*, CLOCK_*. All memory is given by the caller; nothing is allocated here.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types

from vantel.kernel import NO_ALLOCATION, kernel

(CONST, SIGNAL, EVENT, NEGATIVE, ABS, ADD, SUBTRACT, MULTIPLY, DIVIDE, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL, EQUAL,
 NOT_EQUAL, NOT, AND, OR, MIN, MAX, MEAN, RATE, RISING, FALLING, CHANGED, HELD, MISSING) = range(27)  # fmt: skip
"""Operations; the order counts in the comparisons below."""
LAST, KNOWN, LOW, HIGH, SUM, T_S, INPUT_REALS = range(7)
"""By input, float64: last value; last finite one; least, greatest and sum since the last tick; time of KNOWN in s."""
T_NS, FINITE, SEEN, INPUT_WHOLES = range(4)
"""By input, int64: time of the last sample; finite samples and samples since the last tick."""
FIRST, SIZE, HEAD, COUNT, NODE_WHOLES = range(5)
"""By node, int64: its entries in the windows; oldest one and how many are in use. HELD keeps its start in HEAD."""
VALUE, MEMORY, RUNNING, FRESH, NODE_REALS = range(5)
"""By node, float64: value; value before; running sum; 1.0 when something under it got a sample in this tick."""
TICK, EVALUATED, SAMPLED, DROPPED, CLOCK_WHOLES = range(5)
"""int64: open tick; last evaluated tick; last tick with a sample; triggers that found no room."""
LEVEL, LAST_TRIGGER, REPEAT, QUIET, ROOT_WHOLES = range(5)
"""By condition, int64: last known truth (-1 before it); tick of the last trigger; ticks between triggers, see evaluator."""
NEVER = np.iinfo(np.int64).min
IDLE_TICKS = 10
"""Where nothing comes, every tenth tick is evaluated."""

_rows = types.Array(types.int32, 2, "C", readonly=True)
_reals, _wholes = numba.float64[:, ::1], numba.int64[:, ::1]


@numba.njit(nogil=True, cache=True, inline="never", **NO_ALLOCATION)
def _window(op, last_known, low, high, total, count, t_s, fresh, ticks, tick, whole, real, stamp, entry):
    """One window function: its values are those of the finite samples of the tick. entry: (value, time or count)."""
    size, first = whole[SIZE], whole[FIRST]
    head, held = whole[HEAD], whole[COUNT]
    while held > 0 and stamp[first + head] <= tick - ticks:
        if op == MEAN:
            real[RUNNING] -= entry[first + head, 0]
            real[MEMORY] -= entry[first + head, 1]
        head = (head + 1) % size
        held -= 1
    if fresh and count > 0:
        new = low if op == MIN else high if op == MAX else total if op == MEAN else last_known
        if op <= MAX:
            while held > 0:
                last = entry[first + (head + held - 1) % size, 0]
                if (op == MIN and last < new) or (op == MAX and last > new):
                    break
                held -= 1
        place = first + (head + held) % size
        stamp[place] = tick
        entry[place, 0] = new
        entry[place, 1] = np.float64(count) if op == MEAN else t_s
        held += 1
        if op == MEAN:
            real[RUNNING] += new
            real[MEMORY] += count
            if place == first + size - 1:  # once a round: what rounding left in the sum goes
                real[RUNNING] = 0.0
                for k in range(held):
                    real[RUNNING] += entry[first + (head + k) % size, 0]
    whole[HEAD], whole[COUNT] = head, held
    if held == 0:
        if op == MEAN:
            real[RUNNING] = real[MEMORY] = 0.0
        return np.nan
    if op == MEAN:
        return real[RUNNING] / real[MEMORY]
    if op <= MAX:
        return entry[first + head, 0]
    newest = first + (head + held - 1) % size
    span_s = entry[newest, 1] - entry[first + head, 1]
    if held < 2 or span_s <= 0.0:
        return np.nan
    return (entry[newest, 0] - entry[first + head, 0]) / span_s


@numba.njit(nogil=True, cache=True, inline="never", **NO_ALLOCATION)
def _logic(op, a, b):
    """Arithmetic, order and truth of two values."""
    if op == ADD:
        return a + b
    if op == SUBTRACT:
        return a - b
    if op == MULTIPLY:
        return a * b
    if op == DIVIDE:
        return np.nan if b == 0.0 else a / b
    if op == AND:
        if a == 0.0 or b == 0.0:
            return 0.0
        return np.nan if np.isnan(a) or np.isnan(b) else 1.0
    if op == OR:
        if a == 1.0 or b == 1.0:
            return 1.0
        return np.nan if np.isnan(a) or np.isnan(b) else 0.0
    if np.isnan(a) or np.isnan(b):
        return np.nan
    if op == LESS:
        return 1.0 if a < b else 0.0
    if op == LESS_EQUAL:
        return 1.0 if a <= b else 0.0
    if op == GREATER:
        return 1.0 if a > b else 0.0
    if op == GREATER_EQUAL:
        return 1.0 if a >= b else 0.0
    if op == EQUAL:
        return 1.0 if a == b else 0.0
    return 1.0 if a != b else 0.0


@numba.njit(nogil=True, cache=True, inline="never", **NO_ALLOCATION)
def _tick(tick, tick_ns, rows, constant, in_real, in_whole, whole, real, stamp, entry):
    """Values of all nodes at the end of a tick."""
    now_ns = (tick + 1) * tick_ns
    for i in range(rows.shape[0]):
        op, a, b = rows[i, 0], rows[i, 1], rows[i, 2]
        fresh = 0.0
        if op == CONST:
            value = constant[i]
        elif op == SIGNAL:
            value = in_real[a, LAST]
            fresh = 1.0 if in_whole[a, SEEN] > 0 else 0.0
        elif op == EVENT:
            fresh = value = 1.0 if in_whole[a, SEEN] > 0 else 0.0
        elif op == MISSING:
            value = 1.0 if now_ns - in_whole[a, T_NS] > constant[i] * tick_ns else 0.0
        else:
            x = real[a, VALUE]
            fresh = real[a, FRESH]
            if op == NEGATIVE:
                value = -x
            elif op == ABS:
                value = abs(x)
            elif op == NOT:
                value = 1.0 - x
            elif op <= OR:
                value = _logic(op, x, real[b, VALUE])
                fresh = max(fresh, real[b, FRESH])
            elif op <= RATE:
                if rows[a, 0] == SIGNAL:
                    s = rows[a, 1]
                    value = _window(op, in_real[s, KNOWN], in_real[s, LOW], in_real[s, HIGH], in_real[s, SUM], in_whole[s, FINITE],
                                    in_real[s, T_S], fresh > 0.0, constant[i], tick, whole[i], real[i], stamp, entry)  # fmt: skip
                else:
                    known = 1 if np.isfinite(x) else 0
                    value = _window(op, x, x, x, x, known, np.float64(now_ns) * 1e-9, fresh > 0.0, constant[i], tick,
                                    whole[i], real[i], stamp, entry)  # fmt: skip
            elif op == HELD:
                if x != 1.0:
                    whole[i, HEAD] = NEVER
                    value = x
                else:
                    if whole[i, HEAD] == NEVER:
                        whole[i, HEAD] = tick
                    value = 1.0 if tick - whole[i, HEAD] >= constant[i] else 0.0
            else:  # rising, falling, changed: against the value before, when it was last known
                before = real[i, MEMORY]
                value = 0.0
                if not np.isnan(x):
                    if not np.isnan(before) and before != x:
                        value = 1.0 if op == CHANGED or (op == RISING) == (x == 1.0) else 0.0
                    real[i, MEMORY] = x
        real[i, VALUE] = value
        real[i, FRESH] = fresh


@numba.njit(nogil=True, cache=True, inline="never", **NO_ALLOCATION)
def _roots(tick, tick_ns, roots, root, real, out, found):
    """Triggers of a tick into out (condition, end of the tick in ns); how many are in out then, -1 - that when it is full."""
    for k in range(roots.shape[0]):
        truth = real[roots[k], VALUE]
        if np.isnan(truth):
            continue
        edge = truth == 1.0 and root[k, LEVEL] == 0
        root[k, LEVEL] = 1 if truth == 1.0 else 0
        last = root[k, LAST_TRIGGER]
        age = tick - last if last != NEVER else np.iinfo(np.int64).max
        again = truth == 1.0 and root[k, REPEAT] > 0 and age >= root[k, REPEAT]
        if (edge and age >= root[k, QUIET]) or again:
            root[k, LAST_TRIGGER] = tick
            if found >= out.shape[0]:
                return -1 - found
            out[found, 0] = k
            out[found, 1] = (tick + 1) * tick_ns
            found += 1
    return found


@kernel(
    numba.int64(
        types.Array(types.int32, 1, "C", readonly=True),
        types.Array(types.int64, 1, "C", readonly=True),
        types.Array(types.float64, 1, "C", readonly=True),
        numba.int64, numba.int64, numba.int64,
        types.Array(types.int32, 1, "C", readonly=True),
        _rows, types.Array(types.float64, 1, "C", readonly=True), types.Array(types.int32, 1, "C", readonly=True),
        _reals, _wholes, _wholes, _reals, numba.int64[::1], _reals, _wholes, numba.int64[::1], _wholes,
    ))  # fmt: skip
def advance(slot, t, value, until_ns, tick_ns, gap_ticks, input_of, rows, constant, roots,
            in_real, in_whole, whole, real, stamp, entry, root, clock, out):  # fmt: skip
    """Take samples slot int32[n], t int64[n] ns, value float64[n], then go on to until_ns (NEVER: no further).

    input_of int32: input of a slot, -1 for none. A tick is evaluated once a stamp lies behind it; where nothing comes,
    every IDLE_TICKS-th, for gap_ticks at most, then none until the next sample. Returns how many triggers are in out.
    """
    found = 0
    for i in range(slot.shape[0] + 1):
        if i < slot.shape[0]:
            now = t[i] // tick_ns
        elif until_ns == NEVER:
            break
        else:
            now = until_ns // tick_ns
        if clock[TICK] == NEVER:
            clock[TICK] = now
            clock[EVALUATED] = clock[SAMPLED] = now - 1
            for s in range(in_whole.shape[0]):
                in_whole[s, T_NS] = now * tick_ns
        while now > clock[TICK]:
            if clock[SAMPLED] < clock[TICK]:
                tick = clock[EVALUATED] + IDLE_TICKS
                if tick >= now or tick - clock[SAMPLED] > gap_ticks:
                    clock[TICK] = now
                    break
                clock[TICK] = tick
            tick = clock[TICK]
            _tick(tick, tick_ns, rows, constant, in_real, in_whole, whole, real, stamp, entry)
            found = _roots(tick, tick_ns, roots, root, real, out, found)
            if found < 0:
                found = -1 - found
                clock[DROPPED] += 1
            for s in range(in_whole.shape[0]):
                in_whole[s, FINITE] = in_whole[s, SEEN] = 0
            clock[EVALUATED] = tick
            clock[TICK] = tick + 1
        if i == slot.shape[0] or slot[i] < 0:
            continue
        # also by a signal that no condition uses: the ticks must not depend on which other campaigns there are
        clock[SAMPLED] = max(clock[SAMPLED], clock[TICK])
        s = input_of[slot[i]]
        if s < 0:
            continue
        x = value[i]
        in_whole[s, SEEN] += 1
        in_whole[s, T_NS] = max(in_whole[s, T_NS], t[i])
        in_real[s, LAST] = x
        if np.isfinite(x):
            in_real[s, KNOWN] = x
            in_real[s, T_S] = np.float64(t[i]) * 1e-9
            if in_whole[s, FINITE] == 0:
                in_real[s, LOW] = in_real[s, HIGH] = x
                in_real[s, SUM] = 0.0
            in_real[s, LOW] = min(in_real[s, LOW], x)
            in_real[s, HIGH] = max(in_real[s, HIGH], x)
            in_real[s, SUM] += x
            in_whole[s, FINITE] += 1
    return found
