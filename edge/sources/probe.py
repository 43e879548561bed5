"""One steady noisy signal, into which a rig injects faults: Vehicle.Robovan.TestBench.Probe.

From seed and rate to samples of CENTER plus Gaussian noise on the van's clock; the same seed gives the same values.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from edge.clock import VanClock
from edge.model import Emit, SampleBlock
from edge.settings import ProbeSource as ProbeSection
from edge.sources.pacing import due_times
from vantel.catalog import Signal

SIGNAL = "Vehicle.Robovan.TestBench.Probe"
CENTER = 20.0
NOISE = 0.05


class ProbeSource:
    """One [[sources]] of kind probe."""

    replayed = False
    simulated = True

    def __init__(self, settings: ProbeSection, clock: VanClock) -> None:
        self.name = settings.name
        self.counters: dict[str, int] = {"samples_emitted": 0}
        self._clock = clock
        self._period_ns = round(1e9 / settings.rate_hz)
        self._random = np.random.default_rng(settings.seed)

    def signals(self) -> Sequence[Signal]:
        """The one signal."""
        return [Signal(name=SIGNAL, group="testbench", simulated=True)]

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Emit at the rate of the settings until stop."""
        for times in due_times(self._clock, self._period_ns, stop):
            value = CENTER + NOISE * self._random.standard_normal(len(times))
            emit(SampleBlock(np.zeros(len(times), dtype=np.int32), times, value))
            self.counters["samples_emitted"] += len(times)
