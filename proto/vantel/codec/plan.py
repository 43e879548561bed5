"""What an encoder knows beforehand of the floats of each signal: the step and the offset that they are made of.

From the catalog, where a bus has raw values with a scale and an offset, or from the last call. It narrows the search and
decides nothing: what does not give every value back to the bit is searched anew, and the bytes say what they are made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from struct import pack, unpack

from vantel.codec.errors import InvalidArgumentError
from vantel.codec.stream import NO_LINE, Line


@dataclass(frozen=True)
class Plan:
    """Immutable; equal plans give equal bytes. Plan() knows nothing."""

    _lines: Mapping[int, Line] = field(default_factory=dict)

    @staticmethod
    def of_scales(scales: Mapping[int, tuple[float, float]]) -> Plan:
        """Signal id -> (scale, offset), as a catalog has them. InvalidArgumentError for a scale of 0 or what is not finite."""
        lines = {}
        for signal_id, (scale, offset) in scales.items():
            if scale == 0.0 or not isfinite(scale) or not isfinite(offset):
                raise InvalidArgumentError(f"plan: signal {signal_id} has scale {scale} and offset {offset}")
            lines[signal_id] = unpack("<qq", pack("<dd", abs(scale), offset))
        return Plan(lines)

    def line(self, signal_id: int) -> Line:
        """For the stream."""
        return self._lines.get(signal_id, NO_LINE)

    def with_lines(self, lines: Mapping[int, Line]) -> Plan:
        """This plan, with these in place of what it knew; itself where they say nothing new."""
        new = {signal_id: line for signal_id, line in lines.items() if line != self.line(signal_id)}
        return Plan({**self._lines, **new}) if new else self


NOTHING_KNOWN = Plan()
