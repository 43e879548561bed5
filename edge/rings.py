"""The recent past of every signal, so that a trigger can look back.

SampleBlocks in, windows (t int64 monotonic ns, value float64) of one signal out. One ring for each class of rate: a
fast signal cannot push the past of a slow one out. A sample goes into the ring of the rate its signal has at that time;
a window is gathered from all rings. Bounded in seconds of stream time (what is older is not given) and in bytes: address
space is reserved at construction, a ring grows into its part only while its oldest sample is younger than the bound in
seconds (the slow one always: captures ask it for the state before them), and a full one loses its oldest samples, counted
in overwritten_early when they were younger. Never fails on data.
"""

from __future__ import annotations

import contextlib
import mmap
from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from edge.model import SampleBlock
from edge.settings import RingSection
from vantel.array_table import ArrayTable, vector
from vantel.kernel import kernel

SLOW_INTERVAL_NS = 400_000_000
"""Signals with a mean interval above this (below 2.5 Hz) are slow."""
MEDIUM_INTERVAL_NS = 40_000_000
"""Between this and the one above (2.5 to 25 Hz) they are medium, below it fast."""
FAST, MEDIUM, SLOW = range(3)
SHARES = (0.625, 0.25, 0.125)
"""Shares of the memory, by class."""
ROW_BYTES = 18
_ROWS_MIN = 16
_ROWS_FIRST = 4096
"""A ring begins with so many, and doubles."""
_NEVER = np.iinfo(np.int64).min
# arrays of the table of _push
_SLOTS, _STAMPS, _VALUES, _FIRST, _SIZE, _WRITTEN, _LAST_T, _LAST_VALUE, _INTERVAL, _EDGES = range(10)


@numba.njit(inline="always")
def _reverse(rows, first, end):  # type: ignore[no-untyped-def]
    """Rows [first, end) of an array the other way round."""
    while first < end - 1:
        end -= 1
        rows[first], rows[end] = rows[end], rows[first]
        first += 1


@numba.njit(inline="always")
def _unroll(rows, first, row, end):  # type: ignore[no-untyped-def]
    """Turn [first, end) so that row comes first: three reversals, for there is no memory to spare."""
    _reverse(rows, first, row)
    _reverse(rows, row, end)
    _reverse(rows, first, end)


@kernel(
    numba.int64(
        types.Array(types.int32, 1, "C", readonly=True),
        types.Array(types.int64, 1, "C", readonly=True),
        types.Array(types.float64, 1, "C", readonly=True),
        numba.int64[:, ::1],
        numba.int64,
    )
)
def _push(slot, t, value, table, keep_ns):  # type: ignore[no-untyped-def]
    """Append samples slot int32[n], t int64[n] ns, value float64[n] to the rings of their rate; returns how many
    samples younger than keep_ns were overwritten.

    table: of ring_slot, ring_t, ring_value (the memory of all rings, one after the other; ring c has rows first[c] to
    first[c + 1] and goes round in the first size[c] of them), first, size, written (written[c] counts the rows written since
    the ring grew to this size, and those it had then), last_t, last_value, interval (mean, ns; all three by signal), edges
    int64[2]: least and highest t of all samples so far. Negative slots are skipped.
    """
    ring_slot, ring_t, ring_value = (
        vector(table, _SLOTS, np.uint16),
        vector(table, _STAMPS, np.int64),
        vector(table, _VALUES, np.float64),
    )
    first, size, written = (
        vector(table, _FIRST, np.int64),
        vector(table, _SIZE, np.int64),
        vector(table, _WRITTEN, np.int64),
    )
    last_t, last_value = vector(table, _LAST_T, np.int64), vector(table, _LAST_VALUE, np.float64)
    interval, edges = vector(table, _INTERVAL, np.float64), vector(table, _EDGES, np.int64)
    early = 0
    for i in range(slot.shape[0]):
        s = slot[i]
        edges[0], edges[1] = min(edges[0], t[i]), max(edges[1], t[i])
        if s < 0 or s >= last_t.shape[0]:
            continue
        if last_t[s] != _NEVER:
            gap = np.float64(t[i] - last_t[s])
            interval[s] = gap if interval[s] == 0.0 else interval[s] + 0.1 * (gap - interval[s])
        last_t[s] = t[i]
        last_value[s] = value[i]
        ring = FAST
        if interval[s] == 0.0 or interval[s] > SLOW_INTERVAL_NS:
            ring = SLOW
        elif interval[s] > MEDIUM_INTERVAL_NS:
            ring = MEDIUM
        row = first[ring] + written[ring] % size[ring]
        if written[ring] >= size[ring]:
            is_young = t[i] - ring_t[row] < keep_ns
            end = first[ring] + size[ring]
            if (is_young or ring == SLOW) and end < first[ring + 1]:
                _unroll(ring_slot, first[ring], row, end)
                _unroll(ring_t, first[ring], row, end)
                _unroll(ring_value, first[ring], row, end)
                row, written[ring] = end, size[ring]
                size[ring] = min(2 * size[ring], first[ring + 1] - first[ring])
            elif is_young:
                early += 1
        ring_slot[row] = s
        ring_t[row] = t[i]
        ring_value[row] = value[i]
        written[ring] += 1
    return early


class Rings:
    """The rings of one stream; used by one thread."""

    NEVER = int(_NEVER)

    def __init__(self, n_signals: int, settings: RingSection) -> None:
        rows = [max(_ROWS_MIN, int(settings.bytes_max * share) // ROW_BYTES) for share in SHARES]
        self._first = np.array([0, *np.cumsum(rows)], np.int64)
        total = int(self._first[-1])
        self._size = np.minimum(rows, _ROWS_FIRST).astype(np.int64)
        self._slot: NDArray[np.uint16] = _reserved(
            total, np.uint16
        )  # a catalog of 256 KiB has some 3,000 signals
        self._t: NDArray[np.int64] = _reserved(total, np.int64)
        self._value: NDArray[np.float64] = _reserved(total, np.float64)
        self._written = np.zeros(len(rows), np.int64)
        self._last_t = np.full(n_signals, _NEVER, np.int64)
        self._last_value = np.zeros(n_signals, np.float64)
        self._interval = np.zeros(n_signals, np.float64)
        self._keep_ns = round(settings.seconds * 1e9)
        self._edges = np.array([np.iinfo(np.int64).max, _NEVER], np.int64)
        self._table = ArrayTable(
            self._slot, self._t, self._value, self._first, self._size, self._written, self._last_t, self._last_value,
            self._interval, self._edges,
        )  # fmt: skip
        self.overwritten_early = 0

    @property
    def bytes_held(self) -> int:
        """Address space of the rings, fixed; memory is what was written of it."""
        return self._slot.nbytes + self._t.nbytes + self._value.nbytes

    def push(self, block: SampleBlock) -> None:
        """Append a block."""
        self.overwritten_early += _push(
            block.slot, block.t_mono_ns, block.value, self._table.rows, self._keep_ns
        )

    def whole_since(self) -> int:
        """Time of the stream from which on every sample is still held; int64's largest before the first sample."""
        begun_ns, newest_ns = self._edges.tolist()
        since = int(max(begun_ns, newest_ns - self._keep_ns))
        for first, size, written in zip(self._first[:-1], self._size, self._written, strict=True):
            if written >= size:
                since = max(since, int(self._t[first + written % size]))
        return since

    def window(self, slot: int, t0_ns: int, t1_ns: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Samples of a signal with t0_ns <= t < t1_ns that are still held, by time."""
        t0_ns = max(t0_ns, int(self._edges[1]) - self._keep_ns)
        stamps, values = [], []
        for first, size, written in zip(self._first[:-1], self._size, self._written, strict=True):
            rows = slice(int(first), int(first + min(written, size)))
            t = self._t[rows]
            found = np.flatnonzero((self._slot[rows] == slot) & (t >= t0_ns) & (t < t1_ns))
            stamps.append(t[found])
            values.append(self._value[rows][found])
        t_found, v_found = np.concatenate(stamps), np.concatenate(values)
        order = np.argsort(t_found, kind="stable")
        return t_found[order], v_found[order]

    def rows(
        self,
    ) -> tuple[
        NDArray[np.uint16],
        NDArray[np.int64],
        NDArray[np.float64],
        NDArray[np.int64],
        NDArray[np.int64],
        NDArray[np.int64],
    ]:
        """The memory itself, to read only: slot, t, value, first row of each ring (one more than rings), rows in which it
        goes round, rows written."""
        return self._slot, self._t, self._value, self._first, self._size, self._written

    def newest(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Copies of time and value of every signal's newest sample; NEVER is the time before the first."""
        return self._last_t.copy(), self._last_value.copy()

    def last(self, slot: int) -> tuple[int, float] | None:
        """The newest sample of a signal, however old; None before its first."""
        if self._last_t[slot] == _NEVER:
            return None
        return int(self._last_t[slot]), float(self._last_value[slot])


def _reserved(rows: int, dtype: type[np.generic]) -> NDArray[Any]:
    """Zeros that are no memory before they are written, page by page: NumPy would ask for huge pages of 2 MiB."""
    size = rows * np.dtype(dtype).itemsize
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(AttributeError, OSError):  # a kernel without them
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype)
