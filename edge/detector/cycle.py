"""A short cycle that a signal repeats: at which lag it is most like itself of late, and what it says is next.

The last samples stand in a ring. At each sample one lag is looked at: how much the differences at that lag vary over
the newest samples, whatever the level does. At the end of a sweep over all lags the best one is the period, of two nearly as good ones
the shorter. The prediction is the sample one period ago plus the mean change of late against it. Whether that is any
better than the last value is another question (edge.detector.predictors).
"""

from __future__ import annotations

import numba

from edge.detector.layout import CHANGE, LEAST, PERIOD, RING, RING_SAMPLES, SWEEP, SWEEP_PERIOD
from edge.detector.tail import TABLE
from vantel.kernel import kernel

LAG_MIN, LAG_MAX = 3, 48
"""Up to a day of half hours. Longer cycles are smooth from sample to sample; their shape is edge.detector.shape's."""
PAIRS = RING_SAMPLES - LAG_MAX
_END = RING + RING_SAMPLES
_LATE = 8  # samples over which the change against the period before is averaged
_SHORTER = 0.9  # what a longer lag must leave of the variance of a shorter one

_I, _F = numba.int64, numba.float64


@kernel(_F(TABLE, _I, _I))
def variation(levels, s, lag):  # type: ignore[no-untyped-def]
    """Variance of the differences at a lag, over the newest PAIRS samples."""
    even, odd, even_2, odd_2 = 0.0, 0.0, 0.0, 0.0
    for j in range(_END - PAIRS, _END, 2):
        d = levels[s, j] - levels[s, j - lag]
        e = levels[s, j + 1] - levels[s, j + 1 - lag]
        even += d
        odd += e
        even_2 += d * d
        odd_2 += e * e
    mean = (even + odd) / PAIRS
    return max((even_2 + odd_2) / PAIRS - mean * mean, 0.0)


@kernel(numba.void(TABLE, _I))
def _look(levels, s):  # type: ignore[no-untyped-def]
    """Look at the next lag of the sweep; at its end the best one is the period."""
    lag = _I(levels[s, SWEEP]) - RING_SAMPLES + LAG_MIN
    varies = variation(levels, s, lag)
    if lag == LAG_MIN or varies < _SHORTER * levels[s, LEAST]:
        levels[s, LEAST] = varies
        levels[s, SWEEP_PERIOD] = lag
    levels[s, SWEEP] += 1.0
    if lag < LAG_MAX:
        return
    levels[s, SWEEP] = RING_SAMPLES
    if levels[s, SWEEP_PERIOD] != levels[s, PERIOD]:
        levels[s, PERIOD] = levels[s, SWEEP_PERIOD]
        period, change = _I(levels[s, PERIOD]), 0.0
        for j in range(_END - _LATE, _END):
            change += levels[s, j] - levels[s, j - period]
        levels[s, CHANGE] = change / _LATE


@kernel(_F(TABLE, _I))
def next_of_cycle(levels, s):  # type: ignore[no-untyped-def]
    """What the cycle says is next; only with a PERIOD."""
    return levels[s, _END - _I(levels[s, PERIOD])] + levels[s, CHANGE]


@kernel(numba.void(TABLE, _I, _F))
def follow_cycle(levels, s, x):  # type: ignore[no-untyped-def]
    """Take a sample into the ring. SWEEP counts until it is full, and then goes from lag to lag."""
    if levels[s, PERIOD] > 0.0:
        before = levels[s, _END - _I(levels[s, PERIOD])]
        levels[s, CHANGE] += (x - before - levels[s, CHANGE]) / _LATE
    for j in range(RING, _END - 1):
        levels[s, j] = levels[s, j + 1]
    levels[s, _END - 1] = x
    if levels[s, SWEEP] < RING_SAMPLES:
        levels[s, SWEEP] += 1.0
    else:
        _look(levels, s)


@kernel(numba.void(TABLE, _I))
def forget_cycle(levels, s):  # type: ignore[no-untyped-def]
    """After a pause nobody knows where in its cycle a signal is."""
    levels[s, PERIOD] = 0.0
    levels[s, SWEEP] = 0.0
