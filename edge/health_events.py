"""A change of a health level to warning or worse as an event, at once. Pure.

Every ENUM signal whose labels are LEVELS is a node of a tree of health, whose levels the source has worked out already.
Levels are ordered: worst-of is the largest. A level that stays, or gets better, makes no event.
"""

from __future__ import annotations

import math

from edge.model import SampleBlock
from vantel.catalog import Catalog, SignalType
from vantel.payloads import Event, Severity

LEVELS = ("OK", "WARN", "STALE", "ERROR")
"""STALE: nothing is known of it any more."""
OK, WARN, STALE, ERROR = range(len(LEVELS))
CHANNEL = "health"
NAME = "health-1"


class HealthEvents:
    """Last level of each node. Owned by one thread."""

    def __init__(self, catalog: Catalog) -> None:
        self._ids = {
            row: signal.id
            for row, signal in enumerate(catalog.signals)
            if signal.type is SignalType.ENUM and signal.labels == LEVELS
        }
        self._last = dict.fromkeys(self._ids, OK)

    def step(self, block: SampleBlock) -> list[Event]:
        """Events of the nodes that got worse in this block."""
        if not self._ids:
            return []
        events = []
        for slot, t_ns, value in zip(
            block.slot.tolist(), block.t_mono_ns.tolist(), block.value.tolist(), strict=True
        ):
            before = self._last.get(slot)
            if before is None or not math.isfinite(value):
                continue
            self._last[slot] = level = int(value)
            if level > before and level >= WARN:
                severity = Severity.CRITICAL if level >= ERROR else Severity.WARNING
                events.append(
                    Event(self._ids[slot], CHANNEL, t_ns, value, float(level), float(WARN), float(before), severity,
                          detector=NAME)
                )  # fmt: skip
        return events
