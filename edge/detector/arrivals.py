"""Guards that learn how a signal comes, not what it says: silence, dropouts, counters, stamps that jump.

Nothing is trained and nothing is declared. Each guard knows one habit of a signal (its longest gap, its share of NaN, its
step, its lateness), as it has been for at least YOUNG samples and ten seconds, and what was told once needs more to be told
again, so a signal without habits falls silent by itself. State stands in the rows of edge.detector.guards and in the
stream clock; nothing is allocated.

Time counts as spent while somebody speaks or idle() says that it passes, at most CREDIT_NS at once: a hole in a recording, or
one source whose stamps leap ahead, makes nobody else silent.
"""

from __future__ import annotations

import math

import numba

from edge.detector import motion
from edge.detector.guards import (
    ACTIVE,
    ARRIVALS,
    CLOCK,
    CLOCK_JUMP,
    COUNT_BITS,
    COUNT_HIGH,
    COUNT_LOW,
    COUNT_NEED,
    COUNT_RUN,
    COUNT_STEP,
    COUNT_WRAPS,
    COUNTER,
    DROPOUT,
    GAP,
    GAP_LONGEST,
    GAP_RECENT,
    GAP_SPREAD,
    LATE,
    LATE_RUN,
    NAN_EXTRA,
    NAN_SHARE,
    NAN_SUM,
    NEVER,
    PARAM_REFRACTORY_NS,
    PATIENCE,
    PERIOD,
    POLICY,
    POLICY_SILENCE_NS,
    PREVIOUS,
    S_FIRST,
    S_LAST,
    S_LATE,
    SAMPLES,
    SLOTS,
    T_ARRIVAL,
    T_PREVIOUS,
    TABLE_F,
    TABLE_I,
    TICK,
    TIMEOUT,
    advance,
    report,
    transition,
)  # fmt: skip
from edge.detector.missing import SETTLED, learn_missing
from vantel.kernel import kernel

SPENT, S_ONSET, ONSET_SPAN, LEAPER, LEAP, S_LEAP, S_TOLD, T_DROPOUT, S_SLOWER, CLOCKS = range(
    motion.CLOCKS, motion.CLOCKS + 10
)
"""Entries of the stream clock beyond those of the guards and the motion: time spent (ns); time spent at
the last arrival of the signal last told silent, and the longest gap of that one; the signal whose stamp leapt ahead last, by
how much and when; when a clock was told last; the stamp at which a dropout was told last; time spent when a period was told last."""

YOUNG = 64
_YOUNG_NS = 10_000_000_000
CREDIT_NS = 250_000_000
_SILENCE_MIN_NS = 500_000_000.0  # a thread or a bus may pause so long on a busy machine
_GAPS = 3.0  # of n exponential gaps the next is three times the longest with a chance of n**-3
_REGULAR = 30.0  # longest gap over the mean one: beyond it a signal comes in bursts; silence says nothing
_FADE = 0.9998  # of what was longest, per arrival
_PATIENCE = 4.0  # what was told silent and came back must be silent so many times longer
_PATIENCE_MAX = 1e6
_EASE = 0.999
_MEMORY = 1000.0
_SLOWER = 1.6  # of the mean period, over sixteen gaps
_GAP_CUT = 4.0  # in periods: single frames that were lost make no period
_EVEN = 0.25  # mean distance of a gap from the period, in periods: beyond it there is none
_SETTLED = 256
_NAN_BAR = 16.0  # a random share would reach it once in e**16 samples
_COUNTED = 64
_COUNTED_MAX = 65_536
_WRAPS = 3
_RECENT = 0xFFFF
_LATE_MIN_NS = 80_000_000.0
_LATE_SAMPLES = (
    8  # all of them late: what comes in parts is late by the length of a part, but its last sample is not
)
_LATE_SHARE = 0.02  # lateness is learned slowly: stamps that fall behind more and more are no habit
_PERSIST_NS = 1_000_000_000  # a thread that was held up catches up sooner
_EXCUSED_NS = 1e11  # after a jump was told the lateness of that signal is unknown; fades like all of it

_I, _F = numba.int64, numba.float64


@kernel(numba.boolean(TABLE_I, _I))
def _is_young(stamps, s):  # type: ignore[no-untyped-def]
    """True while signal s has not come often and long enough to have a habit."""
    return stamps[s, ARRIVALS] < YOUNG or stamps[s, S_LAST] - stamps[s, S_FIRST] < _YOUNG_NS


@kernel(_F(TABLE_F, TABLE_I, _I))
def _silence_ns(levels, stamps, s):  # type: ignore[no-untyped-def]
    """How long signal s usually stays away at most (ns of time spent); infinite while it has shown no habit."""
    longest = levels[s, GAP_LONGEST]
    if _is_young(stamps, s) or longest > max(_REGULAR * levels[s, GAP], _SILENCE_MIN_NS):
        return math.inf
    return max(_SILENCE_MIN_NS, _GAPS * longest)


@kernel(_I(_I, _I[::1], SLOTS, POLICY, TABLE_F, TABLE_I, _F[::1], TABLE_F, TABLE_I, _I))
def pass_time(t, clock, silent, policy, levels, stamps, params, out_f, out_i, count):  # type: ignore[no-untyped-def]
    """Move the stream clock to t (ns) and judge silence at the ticks passed: that of policies, then that of habits.

    What was last heard at one moment, or was due when the one last told was, is one loss: its first signal is told. While
    the van stands nothing is told, for whoever switches it off silences all; a signal that is still away when it moves is.
    Writes at most len(silent) + signals events; returns the new count.
    """
    before, tick = clock[CLOCK], clock[TICK]
    count = advance(t, clock, silent, policy, levels, stamps, params, out_f, out_i, count)
    if before != NEVER and t > before:
        clock[SPENT] += min(max(t - before, 0), CREDIT_NS)  # 0 where int64 wraps
    if clock[TICK] == tick or motion.motion(t, clock) == motion.STANDING:
        return count
    spent = clock[SPENT]
    for s in range(stamps.shape[0]):
        silence_ns = spent - stamps[s, S_LAST]
        if silence_ns <= _SILENCE_MIN_NS or stamps[s, T_ARRIVAL] == NEVER:
            continue
        if stamps[s, ACTIVE] & (_I(1) << TIMEOUT) or not math.isnan(policy[s, POLICY_SILENCE_NS]):
            continue
        limit_ns = _silence_ns(levels, stamps, s) * (1.0 + levels[s, PATIENCE])
        if silence_ns <= limit_ns:
            continue
        transition(stamps, s, TIMEOUT, clock[TICK], True, _I(params[PARAM_REFRACTORY_NS]))
        longest = _I(levels[s, GAP_LONGEST])
        if abs(stamps[s, S_LAST] - clock[S_ONSET]) <= longest + clock[ONSET_SPAN]:
            continue
        clock[S_ONSET] = stamps[s, S_LAST]
        clock[ONSET_SPAN] = longest
        value = levels[s, PREVIOUS] if stamps[s, SAMPLES] > 0 else 0.0
        count = report(
            out_i, out_f, count, t, s, TIMEOUT, clock[TICK], value, silence_ns * 1e-9, limit_ns * 1e-9, value
        )
    return count


@kernel(numba.boolean(_F, TABLE_F, TABLE_I, _I))
def _learn_gap(gap, levels, stamps, s):  # type: ignore[no-untyped-def]
    """Signal s has come after gap ns: a habit, unless it was told or is beyond what was usual. True while an even period
    has become longer."""
    if gap > _SILENCE_MIN_NS and gap > _silence_ns(levels, stamps, s):
        if stamps[s, ACTIVE] & (_I(1) << TIMEOUT):
            levels[s, PATIENCE] = min(_PATIENCE * (1.0 + levels[s, PATIENCE]) - 1.0, _PATIENCE_MAX)
        return False
    n, period = stamps[s, ARRIVALS], levels[s, GAP]
    share = 1.0 / min(_F(n), _MEMORY)
    levels[s, PATIENCE] *= _EASE
    levels[s, GAP_LONGEST] = max(_FADE * levels[s, GAP_LONGEST], gap)
    cut = min(gap, _GAP_CUT * period)
    recent = levels[s, GAP_RECENT] + (cut - levels[s, GAP_RECENT]) / min(_F(n), 16.0)
    even = n > _SETTLED and levels[s, GAP_SPREAD] < _EVEN * period
    levels[s, GAP_RECENT] = recent
    levels[s, GAP_SPREAD] += (abs(cut - period) - levels[s, GAP_SPREAD]) * share
    levels[s, GAP] += (gap - period) * share
    return even and recent > _SLOWER * period


@kernel(_I(numba.boolean, _I, _I[::1], TABLE_F, TABLE_I, _F[::1], TABLE_F, TABLE_I, _I, _I))
def _slower(is_slower, t, clock, levels, stamps, params, out_f, out_i, count, s):  # type: ignore[no-untyped-def]
    """Tell that a signal comes less often than it did. What slows down with it, a message or a bus, is not told again."""
    refractory_ns = _I(params[PARAM_REFRACTORY_NS])
    if not transition(stamps, s, PERIOD, t, is_slower, refractory_ns):
        return count
    period, recent = levels[s, GAP], levels[s, GAP_RECENT]
    told = clock[S_SLOWER]
    if told > 0 and clock[SPENT] - told < _I(32.0 * recent):
        return count
    clock[S_SLOWER] = clock[SPENT]
    return report(
        out_i, out_f, count, clock[CLOCK], s, PERIOD, t, levels[s, PREVIOUS], recent * 1e-9, _SLOWER * period * 1e-9,
        period * 1e-9,
    )  # fmt: skip


@kernel(_I(_F, _I, _I[::1], TABLE_F, TABLE_I, _F[::1], TABLE_F, TABLE_I, _I, _I))
def _dropout(x, t, clock, levels, stamps, params, out_f, out_i, count, s):  # type: ignore[no-untyped-def]
    """A share of NaN that is new; one event for all fields of a message."""
    n, bar = _F(stamps[s, ARRIVALS]), _NAN_BAR * (1.0 + levels[s, NAN_EXTRA])
    share, total = learn_missing(math.isnan(x), n, levels[s, NAN_SHARE], levels[s, NAN_SUM], bar)
    levels[s, NAN_SHARE] = share
    levels[s, NAN_SUM] = total
    if n < SETTLED:
        return count
    levels[s, NAN_EXTRA] *= _EASE
    goes_on = total > 0.0 and stamps[s, ACTIVE] & (_I(1) << DROPOUT) != 0
    if transition(stamps, s, DROPOUT, t, total >= bar or goes_on, _I(params[PARAM_REFRACTORY_NS])):
        levels[s, NAN_EXTRA] = min(2.0 * levels[s, NAN_EXTRA] + 1.0, 1e3)
        if clock[T_DROPOUT] == t:
            return count  # another field of the same message
        clock[T_DROPOUT] = t
        value = levels[s, PREVIOUS]
        log10 = math.log(10.0)
        count = report(
            out_i, out_f, count, clock[CLOCK], s, DROPOUT, t, value, total / log10, bar / log10, value
        )
    return count


@kernel(numba.boolean(TABLE_I, _I))
def is_counter(stamps, s):  # type: ignore[no-untyped-def]
    """True while signal s goes on by one step and wraps, and has for long enough not to do so by chance."""
    return stamps[s, COUNT_WRAPS] >= _WRAPS and stamps[s, COUNT_RUN] >= max(_COUNTED, stamps[s, COUNT_NEED])


@kernel(_I(_F, _I, _I, TABLE_F, TABLE_I, _F[::1], TABLE_F, TABLE_I, _I, _I))
def _count_on(x, t, clock, levels, stamps, params, out_f, out_i, count, s):  # type: ignore[no-untyped-def]
    """A signal that goes on by one step and wraps is a counter: two errors within sixteen samples are told.

    x finite, after at least one other. It is a counter after 64 steps in a row and three wraps; each time its errors
    were told it must count four times as long before it is one again.
    """
    previous, step = levels[s, PREVIOUS], levels[s, COUNT_STEP]
    d = x - previous
    wrapped = previous == levels[s, COUNT_HIGH] and x == levels[s, COUNT_LOW] and stamps[s, COUNT_WRAPS] > 0
    good = wrapped or (d == step and step != 0.0)
    run = stamps[s, COUNT_RUN]
    if not good and stamps[s, COUNT_WRAPS] == 0 and run > 0 and d * step < 0.0:
        levels[s, COUNT_LOW], levels[s, COUNT_HIGH] = x, previous
        wrapped = good = True
    if good:
        stamps[s, COUNT_RUN] = run + 1
        stamps[s, COUNT_WRAPS] += 1 if wrapped else 0
        stamps[s, COUNT_BITS] = (stamps[s, COUNT_BITS] << 1) & _RECENT
        return count
    if is_counter(stamps, s):
        bits = ((stamps[s, COUNT_BITS] << 1) | 1) & _RECENT
        stamps[s, COUNT_BITS] = bits
        if bits & (bits - 1) == 0:
            return count
        stamps[s, COUNT_NEED] = min(4 * max(_COUNTED, stamps[s, COUNT_NEED]), _COUNTED_MAX)
        if transition(stamps, s, COUNTER, t, True, _I(params[PARAM_REFRACTORY_NS])):
            expected = levels[s, COUNT_LOW] if previous == levels[s, COUNT_HIGH] else previous + step
            count = report(out_i, out_f, count, clock, s, COUNTER, t, x, 2.0, 2.0, expected)
    stamps[s, COUNT_RUN] = stamps[s, COUNT_WRAPS] = stamps[s, COUNT_BITS] = 0
    levels[s, COUNT_STEP] = d
    return count


@kernel(_I(_I, _I, TABLE_F, TABLE_I, _I))
def _leap(t, before, levels, stamps, s):  # type: ignore[no-untyped-def]
    """How far (ns) stamp t of signal s is ahead of the stream, or, where its gaps are even, of its own period; 0 where it
    is not. before is the clock as it was."""
    if before == NEVER or t <= before:
        return 0
    if t - before > CREDIT_NS:
        return t - before
    if stamps[s, SAMPLES] < _SETTLED or levels[s, GAP_SPREAD] > _EVEN * levels[s, GAP]:
        return 0
    leap = t - stamps[s, T_PREVIOUS] - _I(levels[s, GAP])
    return leap if leap > _LATE_MIN_NS else 0


@kernel(_I(_I, _I[::1], TABLE_F, TABLE_I, _F[::1], TABLE_F, TABLE_I, _I, _I))
def _lateness(t, clock, levels, stamps, params, out_f, out_i, count, s):  # type: ignore[no-untyped-def]
    """Stamps that have fallen behind those of the others and stay there: this signal's clock went back, or, where
    another signal's stamp has just leapt ahead by as much, that one's went forth. The event has the time of the stream,
    for the stamp is what is wrong."""
    spent = clock[SPENT]
    late = _F(clock[CLOCK] - t)
    usual = levels[s, LATE]
    if _is_young(stamps, s):
        levels[s, LATE] = max(usual, late)
        return count
    limit = max(_LATE_MIN_NS, _GAPS * usual)
    if late <= limit:
        stamps[s, S_LATE] = stamps[s, LATE_RUN] = 0
        levels[s, LATE] = usual + _LATE_SHARE * (late - usual) if late > usual else usual * _FADE
        if levels[s, LATE] < 1.0:
            levels[s, LATE] = 0.0
        return count
    if stamps[s, S_LATE] == 0:
        stamps[s, S_LATE] = spent + 1
    began = stamps[s, S_LATE]
    stamps[s, LATE_RUN] += 1
    if spent - began < _PERSIST_NS or stamps[s, LATE_RUN] < _LATE_SAMPLES:
        return count
    levels[s, LATE] = _EXCUSED_NS
    stamps[s, S_LATE] = stamps[s, LATE_RUN] = 0
    if clock[S_TOLD] >= began:
        return count  # of the same source, or behind the same leap
    clock[S_TOLD] = spent
    leaper = clock[LEAPER]
    if leaper != s and clock[LEAP] >= late - limit and began - 2 * _PERSIST_NS < clock[S_LEAP] <= began:
        jump = clock[LEAP] * 1e-9
    else:
        leaper, jump = s, -late * 1e-9
    now = clock[CLOCK]
    transition(stamps, leaper, CLOCK_JUMP, now, True, _I(params[PARAM_REFRACTORY_NS]))
    return report(out_i, out_f, count, now, leaper, CLOCK_JUMP, now, jump, abs(jump), limit * 1e-9, 0.0)


@kernel(_I(_F, _I, _I, _I[::1], TABLE_F, TABLE_I, _F[::1], TABLE_F, TABLE_I, _I, _I))
def arrive(x, t, before, clock, levels, stamps, params, out_f, out_i, count, s):  # type: ignore[no-untyped-def]
    """Judge how sample x (any value) of signal s has come, after pass_time(t); before is the clock as it was until then.
    Returns the new count; at most four events."""
    leap = _leap(t, before, levels, stamps, s)
    if leap > 0:
        clock[LEAPER] = s
        clock[LEAP] = leap
        clock[S_LEAP] = clock[SPENT]
    if stamps[s, ARRIVALS] == 0:
        stamps[s, S_FIRST] = clock[SPENT]
    else:
        slower = _learn_gap(_F(clock[SPENT] - stamps[s, S_LAST]), levels, stamps, s)
        slower = slower and motion.motion(t, clock) != motion.STANDING
        if slower or stamps[s, ACTIVE] & (_I(1) << PERIOD):
            count = _slower(slower, t, clock, levels, stamps, params, out_f, out_i, count, s)
    stamps[s, S_LAST] = clock[SPENT]
    stamps[s, ARRIVALS] += 1
    if levels[s, NAN_SHARE] > 0.0 or math.isnan(x):
        count = _dropout(x, t, clock, levels, stamps, params, out_f, out_i, count, s)
    if levels[s, LATE] > 0.0 or t < clock[CLOCK]:
        count = _lateness(t, clock, levels, stamps, params, out_f, out_i, count, s)
    if stamps[s, SAMPLES] > 0 and math.isfinite(x):
        step = x - levels[s, PREVIOUS]
        if stamps[s, COUNT_RUN] > 0 or step == levels[s, COUNT_STEP]:
            count = _count_on(x, t, clock[CLOCK], levels, stamps, params, out_f, out_i, count, s)
        else:
            levels[s, COUNT_STEP] = step
    return count
