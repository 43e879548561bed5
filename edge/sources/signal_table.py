"""The signals of a live source: names to slots, readings of one moment to a block.

A name of the built-in catalog keeps its unit, type and labels; any other becomes a local signal of the source's group.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from edge.model import SampleBlock
from edge.sources.chunks import legal_group, legal_name
from vantel.catalog import Signal, SignalType, builtin


class SignalTable:
    """Slots in the order of declaration; a name declared twice has one slot."""

    def __init__(self, source: str) -> None:
        self._group = legal_group(source)
        self._slots: dict[str, int] = {}
        self.signals: list[Signal] = []

    def add(
        self,
        name: str,
        *,
        unit: str = "",
        kind: SignalType = SignalType.FLOAT64,
        labels: tuple[str, ...] = (),
    ) -> int:
        """Declare a signal; unit, kind and labels count only for a local one. Returns the slot."""
        name = legal_name(name)
        if name not in self._slots:
            self._slots[name] = len(self.signals)
            if name in builtin():
                self.signals.append(replace(builtin().by_name(name), id=0))
            else:
                self.signals.append(Signal(name=name, unit=unit, type=kind, group=self._group, labels=labels))
        return self._slots[name]


def block_at(t_mono_ns: int, readings: Iterable[tuple[int, float]]) -> SampleBlock:
    """Readings (slot, value) of one moment as a block; empty for none."""
    found = list(readings)
    return SampleBlock(
        np.array([slot for slot, _ in found], dtype=np.int32),
        np.full(len(found), t_mono_ns, dtype=np.int64),
        np.array([value for _, value in found], dtype=np.float64),
    )
