"""Findings become incidents: what fires together is one, and the signal that stands out most is blamed.

A guard is told at once, but a robust z within hold_s of one of a peer belongs to that. Statistical findings wait hold_s for others, then the strongest of all that
fired is told. For refractory_s after the last finding of a signal, or of one in a set with it, nothing statistical is told
of these again. Times are those of the stream's clock, so that the cut into blocks does not matter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.detector import walk
from edge.detector.guards import NEVER, ROBUST_Z
from edge.settings import DetectorSection


class Finding(NamedTuple):
    """One row of what the kernel writes: a (signal, channel) that has just become odd."""

    slot: int
    channel: int
    t_ns: int
    clock_ns: int
    value: float
    score: float
    threshold: float
    expected: float


_INTEGERS = 4


class Incidents:
    """The open incidents of all signals and the findings that still wait."""

    def __init__(self, n: int, members: NDArray[np.int32], settings: DetectorSection) -> None:
        self._hold_ns = round(settings.hold_s * 1e9)
        self._refractory_ns = round(settings.refractory_s * 1e9)
        self._related = [np.array([slot]) for slot in range(n)]
        for slot in np.unique(members[members >= 0]).tolist():
            together = members[(members == slot).any(axis=1)]
            self._related[slot] = np.unique(together[together >= 0])
        self._last_ns = np.full(n, NEVER, np.int64)
        self._by = np.full(n, -1, np.int64)
        self._waiting_i = np.full(_INTEGERS, NEVER, np.int64)
        self._waiting_f = np.zeros(4)
        self._due_ns = np.full(1, NEVER, np.int64)

    def arrays(self) -> tuple[NDArray[np.int64] | NDArray[np.float64], ...]:
        """The state, to be saved as it is."""
        return self._last_ns, self._by, self._waiting_i, self._waiting_f, self._due_ns

    def forget(self) -> None:
        """Time has begun anew: no incident is open, no finding waits."""
        self._last_ns[:] = NEVER
        self._by[:] = -1
        self._due_ns[:] = NEVER

    def take(self, findings: list[Finding], clock_ns: int) -> list[Finding]:
        """Add findings in the order of their clock, up to clock_ns; return those to be told, one for each incident."""
        told: list[Finding] = []
        for finding in findings:
            told += self._release(finding.clock_ns)
            if walk.is_statistical(finding.channel):
                self._wait(finding)
            elif finding.channel == ROBUST_Z and self._of_a_peer(finding):
                self._note(finding)
            else:
                told.append(finding)
                if self._due_ns[0] != NEVER and int(self._waiting_i[0]) in self._related[finding.slot]:
                    self._due_ns[0] = NEVER
                self._note(finding)
        return told + self._release(clock_ns)

    def _wait(self, finding: Finding) -> None:
        recent = int(self._last_ns[finding.slot])
        self._note(finding)
        if recent != NEVER and finding.clock_ns - recent < self._refractory_ns and self._due_ns[0] == NEVER:
            return
        if self._due_ns[0] == NEVER:
            self._due_ns[0] = finding.clock_ns + self._hold_ns
        elif finding.score - finding.threshold <= self._waiting_f[1] - self._waiting_f[2]:
            return
        self._waiting_i[:] = finding[:_INTEGERS]
        self._waiting_f[:] = finding[_INTEGERS:]

    def _note(self, finding: Finding) -> None:
        related = self._related[finding.slot]
        self._last_ns[related] = finding.clock_ns
        self._by[related] = finding.slot

    def _of_a_peer(self, finding: Finding) -> bool:
        last_ns, by = int(self._last_ns[finding.slot]), int(self._by[finding.slot])
        return by not in (-1, finding.slot) and finding.clock_ns - last_ns < self._hold_ns

    def _release(self, clock_ns: int) -> list[Finding]:
        """What has waited long enough by clock_ns."""
        if self._due_ns[0] == NEVER or clock_ns < self._due_ns[0]:
            return []
        self._due_ns[0] = NEVER
        return [Finding(*self._waiting_i.tolist(), *self._waiting_f.tolist())]
