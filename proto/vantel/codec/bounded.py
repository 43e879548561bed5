"""Values that may be off by a bound: multiples of a step that floats hold exactly, and lines for slow signals.

A step of (8 + j) / 8 * 2**k, j = 0 to 7, the largest that is at most twice the bound: its multiples are exact in float64,
so the codec finds the whole numbers again (docs/format.md, section 7.5, binary), and the bound loses at most a ninth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

MULTIPLE_MAX = 2.0**48


def step_of(error_max: NDArray[np.float64]) -> NDArray[np.float64]:
    """The step for each bound, 0.0 where there is none (0, negative, not finite or out of the range of normal floats)."""
    usable = np.isfinite(error_max) & (error_max > 2.0**-960) & (error_max < 2.0**960)
    mantissa, exponent = np.frexp(np.where(usable, 2.0 * error_max, 1.0))
    # mantissa lies within [0.5, 1): eighths of its own octave are sixteenths
    return np.where(usable, np.ldexp(np.floor(mantissa * 16.0) / 16.0, exponent), 0.0)


def within(values: NDArray[Any], error_max: float | NDArray[np.float64]) -> NDArray[Any]:
    """values float64[n] or float32[n], each moved by at most its bound, in the unit of the values, to where it costs less.

    NaN, infinities and values so large that a multiple would not be exact stay as they are, as does all with a bound of 0.
    """
    step = np.broadcast_to(step_of(np.asarray(error_max, np.float64)), values.shape)
    wide = values.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        multiple = np.rint(wide / step)
        # adding 0.0 makes one zero of the two
        near = (multiple * step + 0.0).astype(values.dtype)
        fits = (step > 0.0) & (np.abs(multiple) < MULTIPLE_MAX)
        fits &= np.abs(near.astype(np.float64) - wide) <= error_max
    return np.where(fits, near, values)


@njit(
    types.int64(types.int64[::1], types.float64[::1], types.float64, types.boolean[::1]),
    nogil=True,
    cache=True,
)
def _keep_lines(t, v, error_max, kept):
    """Mark the samples that lines need; returns how many."""
    n = t.shape[0]
    kept[:] = False
    if n == 0:
        return 0
    kept[0] = True
    count = 1
    anchor = 0
    low, high = -np.inf, np.inf
    for i in range(1, n):
        # i - 1 may be left out only if the line from the anchor to i is good for it and all before it
        span = np.float64(t[i] - t[anchor])
        slope = (v[i] - v[anchor]) / span
        good = low <= slope <= high
        if not good and i - 1 > anchor:
            anchor = i - 1
            kept[anchor] = True
            count += 1
            low, high = -np.inf, np.inf
            span = np.float64(t[i] - t[anchor])
        elif not good:
            # a neighbour that no line reaches, as a NaN is
            anchor = i
            kept[i] = True
            count += 1
            low, high = -np.inf, np.inf
            continue
        if not np.isfinite(v[i]) or not np.isfinite(v[anchor]):
            anchor = i
            if not kept[i]:
                kept[i] = True
                count += 1
            low, high = -np.inf, np.inf
            continue
        low = max(low, (v[i] - error_max - v[anchor]) / span)
        high = min(high, (v[i] + error_max - v[anchor]) / span)
    if not kept[n - 1]:
        kept[n - 1] = True
        count += 1
    return count


def lines(t_ns: NDArray[np.int64], values: NDArray[Any], error_max: float) -> NDArray[np.bool_]:
    """Which samples of a slow signal to keep, bool[n], so that the line between two kept ones is within error_max of all between.

    t_ns int64[n] ascends strictly. The swinging door of Bristol (US patent 4,669,097, 1987), with kept samples as they are;
    the first, the last and whatever is not finite, with its neighbours, are kept. The bound is meant up to the rounding
    of the line itself. ValueError for lengths that differ or a bound that is not above 0.
    """
    if len(t_ns) != len(values) or not error_max > 0.0:
        raise ValueError(f"lines: {len(t_ns)} times, {len(values)} values, error_max {error_max}")
    kept = np.empty(len(values), np.bool_)
    # a hair inside the bound: the slopes are rounded
    _keep_lines(
        np.ascontiguousarray(t_ns), np.ascontiguousarray(values, np.float64), error_max * (1 - 2.0**-20), kept
    )
    return kept
