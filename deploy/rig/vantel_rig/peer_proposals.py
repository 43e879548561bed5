"""Which signals of recordings move together, so that a detector may hold one against the others: proposals with evidence.

Samples of a replay -> the last value of each signal in each half second -> sets of 2 to 8 signals. Two signals are taken
for peers where their values correlate by R_VALUE and their changes over two seconds by R_CHANGE, in each half of the drive
by itself: levels that drift the same way once do not pass the second, a single manoeuvre does not pass both halves.
Counters and checksums are no quantity and left out by name. A proposal is for a person to judge, who knows what the signals
are.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.detector.peers import declared
from edge.detector.sets import MEMBERS_MAX
from edge.model import SampleBlock
from edge.settings import RecordingSection
from vantel.catalog import Catalog, SignalType
from vantel_rig.offline import replaying

CELL_NS = 500_000_000
CELLS_MAX = 20_000
"""Of the first 2.8 hours; what lies beyond is left out."""
CELLS_MIN = 60
CHANGE_CELLS = 4
R_VALUE, R_CHANGE = 0.95, 0.85
MOVES_MIN = 0.1
"""Share of changes that are none of 0: what rests has shown nothing."""
_CLIP = 4.0
_PROTECTION = re.compile(r"counter|checksum|crc|alive", re.IGNORECASE)
_NUMBERS = {SignalType.FLOAT64, SignalType.FLOAT32, SignalType.INT64, SignalType.UINT64}
Table = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Proposal:
    """Signals of one set; r_value and r_change are the least correlations of any two of them in either half, rest what the
    others leave unexplained of the worst member: robust deviation of the residual over that of its changes."""

    names: tuple[str, ...]
    r_value: float
    r_change: float
    rest: float
    seconds: float
    known: bool

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "signals": list(self.names),
            "r_value_min": round(self.r_value, 4),
            "r_change_min": round(self.r_change, 4),
            "residual_to_change": round(self.rest, 3),
            "seconds": self.seconds,
            "known": self.known,
        }


def propose(recordings: Sequence[RecordingSection]) -> list[Proposal]:
    """Sets of signals that move together, the clearest first. RecordingError, a ValueError, for files that are none."""
    with replaying(recordings) as (source, catalog, rows, _, _):
        cells: list[NDArray[np.int64]] = []
        values: list[Table] = []

        def keep(block: SampleBlock) -> None:
            if len(block):
                key = (block.t_mono_ns // CELL_NS) * len(catalog) + rows[block.slot]
                last = len(key) - 1 - np.unique(key[::-1], return_index=True)[1]
                cells.append(key[last])
                values.append(block.value[last])

        source.run(keep, threading.Event())
    if not cells:
        return []
    return proposals(catalog, _table(np.concatenate(cells), np.concatenate(values), len(catalog)))


def _table(key: NDArray[np.int64], value: Table, width: int) -> Table:
    """float64[cells, width], a gap holding the value before it, NaN before the first."""
    cell = key // width - key.min() // width
    inside = cell < CELLS_MAX
    table = np.full((int(cell[inside].max()) + 1, width), np.nan)
    table[cell[inside], (key % width)[inside]] = value[inside]
    have = np.where(np.isfinite(table), np.arange(len(table))[:, None], 0)
    np.maximum.accumulate(have, axis=0, out=have)
    return np.take_along_axis(table, have, axis=0)


def proposals(catalog: Catalog, table: Table) -> list[Proposal]:
    """Sets of the signals of a catalog from float64[cells, signals], one row a half second."""
    halves = [part for part in np.array_split(table, 2) if len(part) >= CELLS_MIN // 2]
    if len(halves) < 2:
        return []
    number = np.array([s.type in _NUMBERS and not _PROTECTION.search(s.name) for s in catalog.signals])
    usable = np.flatnonzero(number & np.all([_moves(half) for half in halves], axis=0))
    if len(usable) < 2:
        return []
    parts = [half[:, usable] for half in halves]
    by_value = np.min([_correlation(part) for part in parts], axis=0)
    by_change = np.min([_correlation(_changes(part)) for part in parts], axis=0)
    known = {tuple(sorted(members)) for members in declared(catalog, [])}
    found = []
    for members in _sets(by_value, by_change):
        slots = usable[members]
        pick = np.ix_(members, members)
        found.append(
            Proposal(
                tuple(catalog.signals[slot].name for slot in slots),
                float(by_value[pick].min()),
                float(by_change[pick].min()),
                _rest(table[:, slots]),
                len(table) * CELL_NS / 1e9,
                any(set(slots.tolist()) <= set(of) for of in known),
            )
        )
    return sorted(found, key=lambda proposal: (proposal.known, proposal.rest))


def _changes(table: Table) -> Table:
    return table[CHANGE_CELLS:] - table[:-CHANGE_CELLS]


def _moves(table: Table) -> NDArray[np.bool_]:
    """Signals that were there from early on and change often enough."""
    changes = _changes(table)
    share = np.mean(np.nan_to_num(changes) != 0.0, axis=0)
    return np.asarray((np.isnan(table).mean(axis=0) < 0.1) & (share >= MOVES_MIN))


def _correlation(table: Table) -> Table:
    """Correlation of any two columns, outliers cut at four deviations."""
    centred = table - np.nanmedian(table, axis=0)
    with np.errstate(invalid="ignore", over="ignore"):
        spread = np.nanstd(centred, axis=0)
        scaled = np.clip(centred / np.where(spread > 0.0, spread, np.inf), -_CLIP, _CLIP)
    scaled = np.nan_to_num(scaled - np.nanmean(scaled, axis=0))
    length = np.sqrt(np.sum(scaled**2, axis=0))
    scaled /= np.where(length > 0.0, length, np.inf)
    return np.asarray(scaled.T @ scaled)


def _sets(by_value: Table, by_change: Table) -> list[list[int]]:
    """Complete linkage, the most alike first: a signal joins a set only if it is a peer of all in it."""
    fits = (by_value >= R_VALUE) & (by_change >= R_CHANGE)
    first, second = np.nonzero(np.triu(fits, 1))
    order = np.argsort(-by_change[first, second], kind="stable")
    of: dict[int, list[int]] = {}
    for a, b in zip(first[order].tolist(), second[order].tolist(), strict=True):
        one, two = of.setdefault(a, [a]), of.setdefault(b, [b])
        if one is two or len(one) + len(two) > MEMBERS_MAX or not fits[np.ix_(one, two)].all():
            continue
        one += two
        of.update(dict.fromkeys(two, one))
    return [sorted(members) for members in {id(m): m for m in of.values()}.values() if len(members) > 1]


def _rest(table: Table) -> float:
    """The worst member's robust deviation against the line through the median of the others, over that of its changes."""
    worst = 0.0
    for at in range(table.shape[1]):
        others = np.delete(table, at, axis=1)
        scaled = np.nanmedian(others / np.maximum(np.nanmean(np.abs(others), axis=0), 1e-12), axis=1)
        good = np.isfinite(scaled) & np.isfinite(table[:, at])
        line = np.polynomial.Polynomial.fit(scaled[good], table[good, at], 1)
        residual = np.median(np.abs(table[good, at] - line(scaled[good])))
        change = np.median(np.abs(_changes(table[good, at][:, None])))
        worst = max(worst, float(residual / change) if change > 0.0 else float("inf"))
    return worst


def pasted(found: Sequence[Proposal]) -> str:
    """The new sets as text for the settings of a van."""
    lines = ["[detector]", "peers = ["]
    for item in found:
        if not item.known:
            names = ", ".join(f'"{name}"' for name in item.names)
            lines.append(
                f"  [{names}],  # changes correlate by {item.r_change:.2f} or more in {item.seconds:.0f} s"
            )
    return "\n".join([*lines, "]"])
