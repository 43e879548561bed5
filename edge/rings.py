"""The recent past of every signal, so that a trigger can look back.

SampleBlocks in, windows (t int64 monotonic ns, value float64) of one signal out. One ring for each class of rate: a
fast signal cannot push the past of a slow one out. A sample goes into the ring of the rate its signal has at that time;
a window is gathered from all rings. Bounded in seconds of stream time (what is older is not given) and in bytes: all
memory is taken at construction, and a full ring loses its oldest samples, counted in overwritten_early when they were
younger than the bound. Never fails on data.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from edge.model import SampleBlock
from edge.settings import RingSection

SLOW_INTERVAL_NS = 400_000_000
"""Signals with a mean interval above this (below 2.5 Hz) are slow."""
MEDIUM_INTERVAL_NS = 40_000_000
"""Between this and the one above (2.5 to 25 Hz) they are medium, below it fast."""
FAST, MEDIUM, SLOW = range(3)
SHARES = (0.625, 0.25, 0.125)
"""Shares of the memory, by class."""
ROW_BYTES = 20
_ROWS_MIN = 16
_NEVER = np.iinfo(np.int64).min


@numba.njit(
    numba.int64(
        types.Array(types.int32, 1, "C", readonly=True),
        types.Array(types.int64, 1, "C", readonly=True),
        types.Array(types.float64, 1, "C", readonly=True),
        numba.int32[::1],
        numba.int64[::1],
        numba.float64[::1],
        numba.int64[::1],
        numba.int64[::1],
        numba.int64[::1],
        numba.float64[::1],
        numba.float64[::1],
        numba.int64,
    ),
    nogil=True,
    cache=True,
)
def _push(  # type: ignore[no-untyped-def]
    slot, t, value, ring_slot, ring_t, ring_value, first, written, last_t, last_value, interval, keep_ns
):
    """Append samples slot int32[n], t int64[n] ns, value float64[n] to the rings of their rate; returns how many
    samples younger than keep_ns were overwritten.

    ring_*: the memory of all rings, one after the other; ring c is rows first[c] to first[c + 1], written[c] counts the
    rows ever written to it. last_t, last_value, interval (mean, ns): by signal. Negative slots are skipped.
    """
    early = 0
    for i in range(slot.shape[0]):
        s = slot[i]
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
        size = first[ring + 1] - first[ring]
        row = first[ring] + written[ring] % size
        if written[ring] >= size and t[i] - ring_t[row] < keep_ns:
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
        self._slot = np.empty(total, np.int32)
        self._t = np.empty(total, np.int64)
        self._value = np.empty(total, np.float64)
        self._written = np.zeros(len(rows), np.int64)
        self._last_t = np.full(n_signals, _NEVER, np.int64)
        self._last_value = np.zeros(n_signals, np.float64)
        self._interval = np.zeros(n_signals, np.float64)
        self._keep_ns = round(settings.seconds * 1e9)
        self._newest_ns = int(_NEVER)
        self._begun_ns = int(np.iinfo(np.int64).max)
        self.overwritten_early = 0

    @property
    def bytes_held(self) -> int:
        """Memory of the rings, fixed."""
        return self._slot.nbytes + self._t.nbytes + self._value.nbytes

    def push(self, block: SampleBlock) -> None:
        """Append a block."""
        if not len(block):
            return
        stamps = np.ascontiguousarray(block.t_mono_ns, np.int64)
        self.overwritten_early += _push(
            np.ascontiguousarray(block.slot, np.int32), stamps, np.ascontiguousarray(block.value, np.float64),
            self._slot, self._t, self._value, self._first, self._written, self._last_t, self._last_value,
            self._interval, self._keep_ns,
        )  # fmt: skip
        self._newest_ns = max(self._newest_ns, int(stamps.max()))
        self._begun_ns = min(self._begun_ns, int(stamps.min()))

    def whole_since(self) -> int:
        """Time of the stream from which on every sample is still held; int64's largest before the first sample."""
        since = max(self._begun_ns, self._newest_ns - self._keep_ns)
        for first, last, written in zip(self._first[:-1], self._first[1:], self._written, strict=True):
            if written >= last - first:
                since = max(since, int(self._t[first + written % (last - first)]))
        return since

    def window(self, slot: int, t0_ns: int, t1_ns: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Samples of a signal with t0_ns <= t < t1_ns that are still held, by time."""
        t0_ns = max(t0_ns, self._newest_ns - self._keep_ns)
        stamps, values = [], []
        for first, last, written in zip(self._first[:-1], self._first[1:], self._written, strict=True):
            rows = slice(int(first), int(first + min(written, last - first)))
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
        NDArray[np.int32], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]
    ]:
        """The memory itself, to read only: slot, t, value, first row of each ring (one more than rings), rows written."""
        return self._slot, self._t, self._value, self._first, self._written

    def newest(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Copies of time and value of every signal's newest sample; NEVER is the time before the first."""
        return self._last_t.copy(), self._last_value.copy()

    def last(self, slot: int) -> tuple[int, float] | None:
        """The newest sample of a signal, however old; None before its first."""
        if self._last_t[slot] == _NEVER:
            return None
        return int(self._last_t[slot]), float(self._last_value[slot])
