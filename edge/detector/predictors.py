"""What a sample was expected to be: the last value, the line through two, the fast mean or, where a signal may have one, its cycle.

Each predictor has the mean size of its error, learned as slowly as the level; the best one is believed.
"""

from __future__ import annotations

import numba
from numba import types

from edge.detector.cycle import follow_cycle, next_of_cycle
from edge.detector.layout import (
    ERROR_CYCLE,
    ERROR_LAST,
    ERROR_LINE,
    ERROR_MEAN,
    MEAN_8,
    PERIOD,
    PREV,
    PREV2,
)  # fmt: skip
from edge.detector.tail import TABLE
from vantel.kernel import kernel

CLIP = 5.0
"""What is learned from one sample, in its own mean size: a fault does not become the baseline."""
YOUNG = 16.0
"""Samples that are taken as they are, before there is a scale to cut by."""
LEAST_SPREAD = 0.02
"""Of the range: where a signal seldom moves, a cut by the mean size alone lets that size die out."""
_CLEARLY = 0.8  # of the error of the best other: a cycle is new at each change of its lag, and a wrong one tells of jumps

_I, _F = numba.int64, numba.float64
_PAIR = types.UniTuple(numba.float64, 2)


@kernel(_F(_F, _F))
def cut(x, most):  # type: ignore[no-untyped-def]
    """x, at most that far from 0."""
    return min(max(x, -most), most)


@kernel(_F(TABLE, _I, _I, _F, _F, _F))
def _learn_error(levels, s, column, size, share, width):  # type: ignore[no-untyped-def]
    """Take |error| of a predictor into its mean size; returns the mean as it was."""
    mean = levels[s, column]
    if share < 1.0 / YOUNG and mean > 0.0:
        size = min(size, CLIP * max(mean, LEAST_SPREAD * width))
    levels[s, column] = mean + share * (size - mean)
    return mean


@kernel(_PAIR(TABLE, _I, _F, _F, _F, _F, _F))
def _or_of_cycle(levels, s, x, error, usual, share, width):  # type: ignore[no-untyped-def]
    """(error, its usual size) of the best other predictor, or of the cycle where that has been clearly better.

    What goes into the ring is cut by the error: one odd sample must not come back as another a period later.
    """
    of_cycle = x - next_of_cycle(levels, s) if levels[s, PERIOD] > 0.0 else error
    by_cycle = _learn_error(levels, s, ERROR_CYCLE, abs(of_cycle), share, width)
    if by_cycle < _CLEARLY * usual:
        error, usual = of_cycle, by_cycle
    follow_cycle(levels, s, x - error + cut(error, CLIP * usual) if share < 1.0 / YOUNG else x)
    return error, usual


@kernel(_PAIR(TABLE, _I, _I, _F, _F, _F, numba.boolean))
def innovation(levels, s, slow, x, share, width, may_cycle):  # type: ignore[no-untyped-def]
    """|x - prediction| of the predictor that has been best, and the usual size of its error, this sample included."""
    last, line, mean = (
        x - levels[s, PREV],
        x - (2.0 * levels[s, PREV] - levels[s, PREV2]),
        x - levels[s, MEAN_8],
    )
    by_last = _learn_error(levels, s, slow + ERROR_LAST, abs(last), share, width)
    by_line = _learn_error(levels, s, slow + ERROR_LINE, abs(line), share, width)
    by_mean = _learn_error(levels, s, slow + ERROR_MEAN, abs(mean), share, width)
    error, before = last, by_last
    if by_line < by_last and by_line < by_mean:
        error, before = line, by_line
    elif by_mean < by_last:
        error, before = mean, by_mean
    usual = min(levels[s, slow + ERROR_LAST], levels[s, slow + ERROR_LINE], levels[s, slow + ERROR_MEAN])
    if may_cycle:
        error, chosen = _or_of_cycle(levels, s, x, error, before, share, width)
        if chosen != before:
            usual = levels[s, ERROR_CYCLE]
    return abs(error), usual
