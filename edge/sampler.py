"""Which samples go into batches: less often, only on change, but never silent for long.

SampleBlock -> SampleBlock in which thinned samples have slot THINNED; times in ns of the stream, deadbands in the unit
of the signal. Stands between detector and batcher, so rings and detector always see every sample. Without rules nothing
is thinned. Pure: depends on the samples alone, not on how they are cut into blocks; never fails on data.

A sample is kept when it is the first of its signal, when the last kept one is silence_s_max old, when a keyframe is due
(the first sample of every signal after each multiple of keyframe_s in Unix time, so that the state of the van can be
rebuilt from one batch after any outage), or when it differs from the last kept one by more than the deadband and that
one is period_s_min old. A value that becomes NaN, or stops being it, has changed.
"""

from __future__ import annotations

import fnmatch
from dataclasses import replace

import numba
import numpy as np
from numba import types

from edge.model import SampleBlock
from edge.settings import SamplerSection
from vantel.catalog import Catalog
from vantel.kernel import kernel

THINNED = -1
NEVER = np.iinfo(np.int64).min
_PERIOD, _SILENCE = range(2)


@kernel(
    numba.int64(
        types.Array(types.int32, 1, "C", readonly=True),
        types.Array(types.int64, 1, "C", readonly=True),
        types.Array(types.float64, 1, "C", readonly=True),
        numba.boolean[::1],
        numba.int64[:, ::1],
        numba.float64[::1],
        numba.int64,
        numba.int64,
        numba.boolean,
        numba.int64[::1],
        numba.float64[::1],
        numba.int32[::1],
    )
)
def thin(slot, t, value, ruled, times, deadband, keyframe, offset, all_kept, last_t, last_value, out):  # type: ignore[no-untyped-def]
    """slot int32[n], t int64[n] ns, value float64[n] -> out int32[n], THINNED where a sample is left out; returns how many.

    By signal: ruled, times (least period and most silence in ns, 0 for none), deadband (negative: every value differs),
    last_t and last_value of the last kept sample. keyframe ns (0: none) at multiples of t + offset. all_kept: rules rest.
    """
    thinned = 0
    for i in range(slot.shape[0]):
        s = slot[i]
        out[i] = s
        if s < 0 or s >= ruled.shape[0] or not ruled[s]:
            continue
        kept = all_kept or last_t[s] == NEVER
        if not kept:
            age = t[i] - last_t[s]
            step = abs(value[i] - last_value[s])
            changed = deadband[s] < 0.0 or step > deadband[s] or np.isnan(value[i]) != np.isnan(last_value[s])
            kept = (
                (changed and age >= times[s, _PERIOD])
                or (times[s, _SILENCE] > 0 and age >= times[s, _SILENCE])
                or (keyframe > 0 and (t[i] + offset) // keyframe != (last_t[s] + offset) // keyframe)
            )
        if kept:
            last_t[s], last_value[s] = t[i], value[i]
        else:
            out[i] = THINNED
            thinned += 1
    return thinned


class Sampler:
    """The last kept sample of every signal. One per stream, used by one thread."""

    def __init__(self, catalog: Catalog, settings: SamplerSection, offset_ns: int) -> None:
        """offset_ns: from the stream's time to Unix time."""
        signals = len(catalog)
        self.samples_thinned = 0
        self._offset_ns = offset_ns
        self._keyframe_ns = round(settings.keyframe_s * 1e9)
        self._ruled = np.zeros(signals, np.bool_)
        self._times = np.zeros((signals, 2), np.int64)
        self._deadband = np.full(signals, -1.0)
        self._last_t = np.full(signals, NEVER, np.int64)
        self._last_value = np.zeros(signals, np.float64)
        for row, signal in enumerate(catalog.signals):
            for rule in settings.rules:
                if any(fnmatch.fnmatchcase(signal.name, pattern) for pattern in rule.signals):
                    self._ruled[row] = True
                    self._times[row] = round(rule.period_s_min * 1e9), round(rule.silence_s_max * 1e9)
                    self._deadband[row] = -1.0 if rule.deadband is None else rule.deadband
                    break
        self._idle = not self._ruled.any()

    def apply(self, block: SampleBlock, all_kept: bool = False) -> SampleBlock:
        """The block without what the rules leave out; the same object when nothing is. all_kept: somebody watches."""
        if self._idle or not len(block):
            return block
        out = np.empty(len(block), np.int32)
        thinned = thin(
            np.ascontiguousarray(block.slot, np.int32), np.ascontiguousarray(block.t_mono_ns, np.int64),
            np.ascontiguousarray(block.value, np.float64), self._ruled, self._times, self._deadband,
            self._keyframe_ns, self._offset_ns, all_kept, self._last_t, self._last_value, out,
        )  # fmt: skip
        if not thinned:
            return block
        self.samples_thinned += thinned
        return replace(block, slot=out)
