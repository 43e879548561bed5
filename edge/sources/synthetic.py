"""The synthetic van as a source: a seeded model of delivery rounds, for what no recording has. All of it is marked simulated.

From seed, rate and faults to samples under catalog names. The stream is a pure function of the settings and of the number
of steps: blocks() plays it without a clock. Physics are in synthetic_van, the work in synthetic_round, faults in
synthetic_faults, names and units in synthetic_signals.
"""

from __future__ import annotations

import fnmatch
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from edge.clock import VanClock
from edge.model import Emit, SampleBlock
from edge.settings import SyntheticSource as SyntheticSection
from edge.sources.pacing import due_times
from edge.sources.synthetic_faults import FaultPlan
from edge.sources.synthetic_round import rounds
from edge.sources.synthetic_route import Route
from edge.sources.synthetic_signals import GAUGES, MOTION, STATES
from edge.sources.synthetic_van import Van
from vantel.catalog import Signal, builtin

NAMES = (*MOTION, *GAUGES, *STATES)
ORIGIN = (48.1375, 11.5755)
SPREAD_DEGREES = 0.02
"""Vans of different seeds have routes of their own, so far from the origin at most."""
Sample = tuple[int, float]


class SyntheticVan:
    """The model: step() moves it on and returns what it tells. The same settings give the same samples."""

    def __init__(self, settings: SyntheticSection) -> None:
        chance = random.Random(settings.seed)
        latitude, longitude = (middle + chance.uniform(-1, 1) * SPREAD_DEGREES for middle in ORIGIN)
        self.van = Van(
            Route(latitude=latitude, longitude=longitude), charge_percent=chance.uniform(60.0, 88.0)
        )
        self.faults = FaultPlan(
            settings.faults, settings.faults_per_hour, random.Random(chance.getrandbits(64))
        )
        self._noise = random.Random(chance.getrandbits(64))
        self._round = rounds(self.van, chance)
        self._dt_s = 1.0 / settings.rate_hz
        self._steps_a_second = max(1, round(settings.rate_hz))
        self._steps = 0
        chosen = [name for name in NAMES if any(fnmatch.fnmatchcase(name, one) for one in settings.signals)]
        self.signals = tuple(_declared(name) for name in chosen)
        slot = {name: at for at, name in enumerate(chosen)}
        self._motion = [(slot[name], read) for name, read in MOTION.items() if name in slot]
        self._gauges = [(slot[name], read) for name, read in GAUGES.items() if name in slot]
        self._states = [(slot[name], read) for name, read in STATES.items() if name in slot]
        self._codes = [{label: float(at) for at, label in enumerate(one.labels)} for one in self.signals]
        self._last: dict[int, float] = {}

    def step(self) -> list[Sample]:
        """(slot, value) of one step: motion always, the rest every second, states also when they change."""
        if not self.faults.step(self.van):
            next(self._round)
        self.van.advance(self._dt_s)
        whole_second = self._steps % self._steps_a_second == 0
        self._steps += 1
        out = [(slot, read(self.van, self._noise)) for slot, read in self._motion]
        if whole_second:
            out += [(slot, read(self.van, self._noise)) for slot, read in self._gauges]
        for slot, state in self._states:
            told = state(self.van)
            value = self._codes[slot][told] if isinstance(told, str) else float(told)
            if whole_second or self._last.get(slot) != value:
                out.append((slot, value))
            self._last[slot] = value
        return out


def _declared(name: str) -> Signal:
    known = builtin().by_name(name)
    return Signal(
        name=name, unit=known.unit, type=known.type, labels=known.labels, group=known.group, simulated=True
    )


def _block(steps: Iterator[tuple[int, list[Sample]]]) -> SampleBlock:
    """One block of some steps: (time in ns, samples) of each."""
    rows = [(slot, t_ns, value) for t_ns, samples in steps for slot, value in samples]
    slots, stamps, values = zip(*rows, strict=True) if rows else ((), (), ())
    return SampleBlock(np.array(slots, np.int32), np.array(stamps, np.int64), np.array(values, np.float64))


def blocks(settings: SyntheticSection, seconds: float, start_ns: int = 0) -> Iterator[SampleBlock]:
    """The stream of so many seconds without a clock, a block for each second; slots as SyntheticVan.signals."""
    model = SyntheticVan(settings)
    period_ns = round(1e9 / settings.rate_hz)
    a_second, steps = max(1, round(settings.rate_hz)), round(seconds * settings.rate_hz)
    for first in range(0, steps, a_second):
        numbers = range(first, min(first + a_second, steps))
        yield _block((start_ns + at * period_ns, model.step()) for at in numbers)


class SyntheticSource:
    """One [[sources]] of kind synthetic."""

    replayed = False
    simulated = True

    def __init__(self, settings: SyntheticSection, clock: VanClock) -> None:
        self.name = settings.name
        self._clock = clock
        self._period_ns = round(1e9 / settings.rate_hz)
        self._model = SyntheticVan(settings)
        self._emitted = 0

    @property
    def counters(self) -> dict[str, int]:
        """Samples emitted, and faults begun by name (of the last thousand)."""
        begun = Counter(f"fault_{name}" for name, _ in tuple(self._model.faults.begun))
        return {"samples_emitted": self._emitted, **begun}

    def signals(self) -> Sequence[Signal]:
        """Signals of the model."""
        return self._model.signals

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Emit on the van's clock until stop."""
        for times in due_times(self._clock, self._period_ns, stop):
            block = _block((t_ns, self._model.step()) for t_ns in times.tolist())
            emit(block)
            self._emitted += len(block)
