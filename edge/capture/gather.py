"""What the rings hold of some signals in some time, in one walk over their newest rows. Pure."""

from __future__ import annotations

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from edge.rings import Rings
from vantel.kernel import kernel

LATE_NS = 2_000_000_000
"""Rows of a ring are in the order in which they came: a walk goes on for so long behind the first row that is too old."""
NOT_WANTED = np.iinfo(np.int64).max
Rows = tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]


@kernel(
    numba.int64(
        numba.uint16[::1], numba.int64[::1], numba.float64[::1], numba.int64[::1], numba.int64[::1],
        numba.int64[::1], types.Array(types.int64, 1, "C", readonly=True), numba.int64, numba.int64,
        numba.int32[::1], numba.int64[::1], numba.float64[::1],
    ))  # fmt: skip
def _gather(slot, t, value, first, sizes, written, since, oldest, until, out_slot, out_t, out_value):  # type: ignore[no-untyped-def]
    """Rows with since[slot] <= t < until into out_*, newest first; how many there are, also when out_* is too small."""
    found = 0
    for ring in range(written.shape[0]):
        size = sizes[ring]
        for back in range(min(size, written[ring])):
            row = first[ring] + (written[ring] - 1 - back) % size
            if t[row] < oldest - LATE_NS:
                break
            if t[row] < until and t[row] >= since[slot[row]]:
                if found < out_t.shape[0]:
                    out_slot[found], out_t[found], out_value[found] = slot[row], t[row], value[row]
                found += 1
    return found


@kernel(
    numba.void(numba.uint16[::1], numba.int64[::1], numba.float64[::1], numba.int64[::1], numba.int64[::1],
               numba.int64[::1], numba.int64, numba.int64[::1], numba.float64[::1], numba.int64[::1]))  # fmt: skip
def _last_before(slot, t, value, first, sizes, written, before, last_t, last_value, earlier_t):  # type: ignore[no-untyped-def]
    """The newest row of every signal before a time into last_t and last_value, where it is newer than what they hold;
    the time of the row before that into earlier_t."""
    for ring in range(written.shape[0]):
        for row in range(first[ring], first[ring] + min(written[ring], sizes[ring])):
            s = slot[row]
            if t[row] >= before:
                continue
            if t[row] > last_t[s]:
                earlier_t[s] = last_t[s]
                last_t[s], last_value[s] = t[row], value[row]
            elif t[row] < last_t[s]:
                earlier_t[s] = max(earlier_t[s], t[row])


def gather(rings: Rings, since_ns: NDArray[np.int64], until_ns: int) -> Rows:
    """(slot, t, value) of rows with since_ns[slot] <= t < until_ns, by time. NOT_WANTED leaves a signal out."""
    slot, t, value, first, sizes, written = rings.rows()
    oldest = int(since_ns.min(initial=NOT_WANTED))
    if oldest >= until_ns:
        return np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0)
    room = 4096
    while True:
        out = np.empty(room, np.int32), np.empty(room, np.int64), np.empty(room)
        found = _gather(slot, t, value, first, sizes, written, since_ns, oldest, until_ns, *out)
        if found <= room:
            break
        room = found
    # from the newest back: turned round first, so that rows of one stamp keep the order in which they came
    order = np.argsort(out[1][:found][::-1], kind="stable")
    return out[0][:found][::-1][order], out[1][:found][::-1][order], out[2][:found][::-1][order]


def last_before(
    rings: Rings, before_ns: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Time and value of the last sample of every signal before a time, and the time of the one before it.

    Rings.NEVER where there is none.
    """
    newest_t, newest_value = rings.newest()
    last_t = np.where(newest_t < before_ns, newest_t, Rings.NEVER)
    last_value = np.where(newest_t < before_ns, newest_value, 0.0)
    earlier_t = np.full(len(last_t), Rings.NEVER, np.int64)
    _last_before(*rings.rows(), before_ns, last_t, last_value, earlier_t)
    return last_t, last_value, earlier_t
