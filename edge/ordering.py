"""Make the stamps of each signal strictly ascending, moving as few as possible.

SampleBlock -> SampleBlock, times in monotonic ns. A stamp that is not after the last one of its signal becomes that one
plus 1 ns, so that two samples never share (signal, time) on the way to the store. A step back of more than
STEP_BACK_NS is counted as a clock jump and follows the same rule: live clocks are monotonic, so only a bad recording
gets here, and order is kept. Stamps of different signals are not compared. Never fails; depends on the samples alone,
not on how they are cut into blocks.
"""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
from numba import types

from edge.model import SampleBlock
from vantel.kernel import kernel

STEP_BACK_NS = 1_000_000_000
_NEVER = np.iinfo(np.int64).min


@kernel(
    numba.int64(
        types.Array(types.int32, 1, "C", readonly=True),
        types.Array(types.int64, 1, "C", readonly=True),
        numba.int64[::1],
        numba.int64[::1],
        numba.int64[::1],
        numba.int64[::1],
    )
)
def _order(slot, t, last_in, last_out, out, counts):  # type: ignore[no-untyped-def]
    """slot int32[n], t int64[n] ns -> out int64[n] ns; returns how many stamps it moved. last_in, last_out int64[signals]: carried from block to block.

    counts int64[2], added to: stamps moved, clock jumps. A slot outside of the signals passes through untouched.
    """
    before = counts[0]
    for i in range(slot.shape[0]):
        s = slot[i]
        stamp = t[i]
        out[i] = stamp
        if s < 0 or s >= last_out.shape[0]:
            continue
        if last_in[s] != _NEVER and last_in[s] - stamp > STEP_BACK_NS:
            counts[1] += 1
        last_in[s] = stamp
        if last_out[s] != _NEVER and stamp <= last_out[s]:
            out[i] = last_out[s] + 1
            counts[0] += 1
        last_out[s] = out[i]
    return counts[0] - before


class Ordering:
    """The last stamp of every signal. One per stream, used by one thread."""

    def __init__(self, n_signals: int) -> None:
        self._last_in = np.full(n_signals, _NEVER, np.int64)
        self._last_out = np.full(n_signals, _NEVER, np.int64)
        self._counts = np.zeros(2, np.int64)

    @property
    def stamps_moved(self) -> int:
        """Samples whose stamp was moved so far."""
        return int(self._counts[0])

    @property
    def clock_jumps(self) -> int:
        """Steps back of more than a second within a signal so far."""
        return int(self._counts[1])

    def apply(self, block: SampleBlock) -> SampleBlock:
        """Return the block with strictly ascending stamps per signal; the same object when nothing had to move."""
        stamps = block.t_mono_ns
        out = np.empty(len(stamps), np.int64)
        moved = _order(block.slot, stamps, self._last_in, self._last_out, out, self._counts)
        return replace(block, t_mono_ns=out) if moved else block
