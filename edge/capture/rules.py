"""What of each signal goes into a capture: which signals, how often, on which change, with which error. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

import numpy as np

from edge.capture.gather import Rows
from edge.sampler import NEVER, THINNED, thin
from vantel import codec
from vantel.campaign.document import Collected
from vantel.catalog import Catalog, SignalType


class Rules:
    """By row of the catalog; the finest of all rules that fit a signal. State: the last sample kept of each."""

    def __init__(self, catalog: Catalog, collected: Sequence[Collected]) -> None:
        n = len(catalog)
        self.wanted = np.zeros(n, np.bool_)
        self._times = np.zeros((n, 2), np.int64)
        self._deadband = np.zeros(n)
        self._error = np.zeros(n)
        self._last_t = np.full(n, NEVER, np.int64)
        self._last_value = np.zeros(n)
        numbers = (SignalType.FLOAT64, SignalType.FLOAT32)
        for row, signal in enumerate(catalog.signals):
            fitting = [item for item in collected if fnmatch.fnmatchcase(signal.name, item.name)]
            if fitting:
                self.wanted[row] = True
                self._times[row] = [round(min(item.period_s_min for item in fitting) * 1e9),
                                    round(min(item.silence_s_max for item in fitting) * 1e9)]  # fmt: skip
                self._deadband[row] = min(item.deadband for item in fitting)
                if signal.type in numbers:
                    self._error[row] = min(item.error_bound for item in fitting)
        self._settle()

    def _settle(self) -> None:
        # deadband 0 means every sample here: below 0 for the kernel
        self._kernel_deadband = np.where(self._deadband > 0, self._deadband, -1.0)
        self._ruled = self.wanted & ((self._times[:, 0] > 0) | (self._deadband > 0))

    def merge(self, other: Rules) -> None:
        """Take the rules of a capture that this one swallows: signals that both want by the finer rule."""
        both, new = self.wanted & other.wanted, other.wanted & ~self.wanted
        for mine, theirs in (
            (self._times, other._times),
            (self._deadband, other._deadband),
            (self._error, other._error),
        ):
            mine[both] = np.minimum(mine[both], theirs[both])
            mine[new] = theirs[new]
        self.wanted |= other.wanted
        self._settle()

    def apply(self, rows: Rows) -> Rows:
        """The samples that are kept, with values to the bound of their error."""
        slot, t, value = rows
        if self._ruled.any() and len(slot):
            out = np.empty(len(slot), np.int32)
            thin(np.ascontiguousarray(slot), np.ascontiguousarray(t), np.ascontiguousarray(value), self._ruled,
                 self._times, self._kernel_deadband, 0, 0, False, self._last_t, self._last_value, out)  # fmt: skip
            kept = out != THINNED
            slot, t, value = slot[kept], t[kept], value[kept]
        if self._error.any():
            value = codec.within(value, self._error[slot])
        return slot, t, value
