"""Faults put into signals on purpose, for rigs and the demo, marked wherever they show.

SampleBlock -> SampleBlock, on stream time alone: the same samples with the same faults give the same result, however
they are cut into blocks. An altered sample carries QUALITY_INJECTED. A sample that a dropout takes away keeps its place
in the block with slot -1, so that positions of a replay stay right; every later stage passes over negative slots.
mark_at tells which mark belongs to an event. A fault in an unknown signal is refused (FaultError, naming the nearest).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.model import SampleBlock
from edge.settings import FaultSection
from vantel.catalog import Catalog, CatalogError, SignalType
from vantel.columns import QUALITY_INJECTED

FAULTS_MAX = 1000
OCCURRENCES_MAX = 4096
"""Occurrences remembered for mark_at, the oldest forgotten first."""
MARK_TAIL_NS = 4_000_000_000
"""An event this long after the end of a fault still bears its mark: detectors look at the return, too."""
GONE = -1
"""Slot of a sample that a dropout took away."""
_FLOATS = {SignalType.FLOAT64, SignalType.FLOAT32}


class FaultError(ValueError):
    """A fault that cannot be injected; the text says why and what would do."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One time that a fault struck: from its first altered sample to its planned end."""

    slot: int
    first_ns: int
    end_ns: int
    number: int
    mark: str


class _Fault:
    """One fault and where it stands."""

    def __init__(self, section: FaultSection, slot: int, whole: bool, number: int) -> None:
        self.slot = slot
        self._section = section
        self._whole = whole
        self._number = number
        self._at_ns, self._for_ns = round(section.at_s * 1e9), round(section.for_s * 1e9)
        self._every_ns = round(section.every_s * 1e9)
        self._start_ns: int | None = None
        self._repeat = -1
        self._held = 0.0
        self._before = np.nan
        self.removes = section.kind == "dropout"
        self.finished = False

    def strike(
        self, t: NDArray[np.int64], value: NDArray[np.float64], occurrences: deque[Occurrence]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Which of the samples of the signal it alters, and the values afterwards."""
        if self._start_ns is None:
            self._start_ns = int(t[0])
        age = t - self._start_ns - self._at_ns
        every_ns = self._every_ns
        repeat = np.where(age < 0, -1, age // every_ns if every_ns else 0)
        phase = age - repeat * every_ns if every_ns else age
        highest = np.maximum(np.maximum.accumulate(repeat), self._repeat)
        fresh = repeat > np.concatenate(([self._repeat], highest[:-1]))
        hit = fresh if not self._for_ns else (age >= 0) & (phase < self._for_ns)
        out = self._altered(t, value, phase, fresh, hit)
        for index in np.flatnonzero(fresh).tolist():
            first_ns = int(t[index])
            end_ns = max(first_ns, first_ns - int(phase[index]) + self._for_ns)
            if hit[index]:
                occurrences.append(Occurrence(self.slot, first_ns, end_ns, self._number, self._section.mark))
        self._repeat = int(highest[-1])
        self._before = float(value[-1])
        self.finished = not every_ns and int(age[-1]) >= self._for_ns and self._repeat >= 0
        return hit, out

    def _altered(
        self,
        t: NDArray[np.int64],
        value: NDArray[np.float64],
        phase: NDArray[np.int64],
        fresh: NDArray[np.bool_],
        hit: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Values with the fault in those hit."""
        out: NDArray[np.float64] = value.copy()
        kind, magnitude = self._section.kind, self._section.magnitude
        if kind in ("spike", "bias"):
            out[hit] += magnitude
        elif kind == "drift":
            out[hit] += magnitude * (phase[hit] * 1e-9)
        elif kind == "noise":
            out[hit] += magnitude * normal_of(t[hit], self._number)
        elif kind == "stuck":
            before = np.concatenate(([self._before], value[:-1]))
            for index in np.flatnonzero(hit).tolist():
                if fresh[index]:
                    self._held = float(value[index] if np.isnan(before[index]) else before[index])
                out[index] = self._held
        if self._whole:
            out[hit] = np.rint(out[hit])
        return out


def normal_of(t: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """Noise with mean 0 and standard deviation 1 that depends on stamp and seed alone: sums of 12 uniform numbers.

    The generator is SplitMix64 (Steele, Lea, Flood 2014), keyed by the stamp.
    """
    offset = np.uint64(seed * 0xD1342543DE82EF95 % 2**64)
    state = t.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + offset
    total: NDArray[np.float64] = np.zeros(t.shape, np.float64)
    for _ in range(12):
        state = state + np.uint64(0x9E3779B97F4A7C15)
        mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
        total += (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    total -= 6.0
    return total


class FaultInjector:
    """All faults of one stream; used by one thread."""

    def __init__(self, faults: list[FaultSection], catalog: Catalog) -> None:
        self._slots = {signal.name: slot for slot, signal in enumerate(catalog.signals)}
        self._catalog = catalog
        self._faults: list[_Fault] = []
        self._occurrences: deque[Occurrence] = deque(maxlen=OCCURRENCES_MAX)
        self._added = 0
        self.samples_dropped = 0
        for fault in faults:
            self.add(fault)

    def add(self, fault: FaultSection) -> None:
        """Add a fault; its time counts from the next sample of its signal. FaultError: unknown signal, too many."""
        try:
            signal = self._catalog.by_name(fault.signal)
        except CatalogError as cause:
            raise FaultError(f"fault {fault.kind!r} with mark {fault.mark!r}: {cause}") from None
        if len(self._faults) >= FAULTS_MAX:
            raise FaultError(
                f"fault {fault.kind!r} in {fault.signal}: {FAULTS_MAX} faults are active already"
            )
        self._added += 1
        whole = signal.type not in _FLOATS
        self._faults.append(_Fault(fault, self._slots[signal.name], whole, self._added))

    def apply(self, block: SampleBlock) -> SampleBlock:
        """Return the block with all faults in it; the same object when none strikes."""
        if not self._faults or not len(block):
            return block
        slot, value = block.slot, block.value
        marked = np.zeros(len(block), np.bool_)
        gone = np.zeros(len(block), np.bool_)
        for fault in self._faults:
            rows = np.flatnonzero(block.slot == fault.slot)
            if not len(rows):
                continue
            hit, after = fault.strike(block.t_mono_ns[rows], value[rows], self._occurrences)
            if not hit.any():
                continue
            if fault.removes:
                gone[rows[hit]] = True
                continue
            value = value.copy() if value is block.value else value
            value[rows] = after
            marked[rows[hit]] = True
        self._faults = [fault for fault in self._faults if not fault.finished]
        if not (marked.any() or gone.any()):
            return block
        if gone.any():
            slot = np.where(gone, np.int32(GONE), slot).astype(np.int32)
            self.samples_dropped += int(gone.sum())
        quality = block.quality
        if marked.any():
            good = np.zeros(len(block), np.uint8) if quality is None else quality
            quality = np.where(marked, np.uint8(QUALITY_INJECTED), good).astype(np.uint8)
        return replace(block, slot=slot, value=value, quality=quality)

    def mark_at(self, slot: int, t_mono_ns: int) -> str:
        """Mark of the fault that struck a signal last, up to this time and not long ago; empty when there was none."""
        struck = [
            seen
            for seen in self._occurrences
            if seen.slot == slot and seen.first_ns <= t_mono_ns <= seen.end_ns + MARK_TAIL_NS
        ]
        return max(struck, key=lambda seen: (seen.first_ns, seen.number)).mark if struck else ""
