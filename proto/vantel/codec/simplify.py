"""Lines for slow signals: which samples to keep so that every other one lies near the line between its neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray


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
        # what lies between the anchor and i may be left out only if the line between them is good for all of it
        slope = (v[i] - v[anchor]) / np.float64(t[i] - t[anchor])
        if not low <= slope <= high and anchor < i - 1:
            anchor = i - 1
            kept[anchor] = True
            count += 1
            low, high = -np.inf, np.inf
        if not np.isfinite(v[i]) or not np.isfinite(v[anchor]):
            # no line reaches it: it stands, and begins anew
            anchor = i
            kept[anchor] = True
            count += 1
            low, high = -np.inf, np.inf
            continue
        span = np.float64(t[i] - t[anchor])
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
