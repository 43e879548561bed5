"""The faults of tests/bench/faults.py and the tables they are put into.

A table is float64[ticks, signals] of one recording on a grid, of 10 Hz unless the recording says otherwise; others than
the drives are in tests/bench/fault_recordings.py. Magnitudes are in sigma, 1.4826 times the median
absolute residual of the signal against its own median of the second before. A ramp has a residual, too, so sigma is larger, and recall better, than with a centred median.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.clock import VanClock
from edge.model import SampleBlock, TextTable
from edge.ordering import Ordering
from edge.settings import ReplaySource as ReplaySection
from edge.sources.replay import ReplaySource
from vantel.catalog import Catalog, Signal, assemble
from vantel_rig.drives import drive

RATE_HZ = 10
Table = NDArray[np.float64]
ARRIVALS = ("lost id", "period x", "clock")
"""Faults in how samples come; all others are in what they say."""


@dataclass(frozen=True)
class Recording:
    """One recording on the grid: catalog of its signals, table, sigma of each, sets of peers by slot."""

    name: str
    catalog: Catalog
    table: Table
    sigma: NDArray[np.float64]
    peers: tuple[tuple[str, ...], ...]
    rate_hz: int = RATE_HZ
    faults: tuple[Fault, ...] = ()

    @property
    def tick_ns(self) -> int:
        """Time of a row."""
        return 1_000_000_000 // self.rate_hz

    def together(self, slot: int, fault: Fault) -> list[int]:
        """Slots that a fault in slot strikes: of a message, of a source (its clock), else the signal alone."""
        names = [signal.name for signal in self.catalog.signals]
        if fault.kind not in ARRIVALS:
            return [slot]
        name = names[slot]
        of = name.split(".")[0] if fault.kind == "clock" else name.rsplit(".", 1)[0]
        return [at for at, other in enumerate(names) if other == name or other.startswith(of + ".")]


@dataclass(frozen=True)
class Fault:
    """kind, magnitude in its unit, seconds it lasts; hard: must be found within ten samples."""

    kind: str
    magnitude: float
    for_s: float
    hard: bool = False

    @property
    def name(self) -> str:
        return f"{self.kind} {self.magnitude:g}" if self.magnitude else f"{self.kind} {self.for_s:g} s"


FAULTS = (
    *(Fault("stuck", 0, seconds) for seconds in (1, 10, 60)),
    *(Fault("dropout to 0", 0, seconds, True) for seconds in (0.5, 5)),
    *(Fault("dropout to NaN", 0, seconds, True) for seconds in (0.5, 5)),
    *(Fault("spike", size, 0.2, True) for size in (8, 16, 50)),
    *(Fault("bias", size, 60) for size in (2, 4, 8, 16)),
    *(Fault("drift", size, 60) for size in (4, 8)),
    *(Fault("gain", size, 60) for size in (0.9, 1.1, 1.5)),
    *(Fault("noise", size, 60) for size in (2, 4, 10)),
    Fault("saturation at p90", 0, 60),
    Fault("quantisation", 8, 60),
    *(Fault("delay", seconds, 60) for seconds in (0.5, 2)),
    Fault("swap", 0, 60),
    Fault("rate /", 10, 60),
    Fault("lost id", 0, 10, True),
    Fault("period x", 2, 60),
    *(Fault("clock", seconds, 60) for seconds in (-60, -1, -0.1, 0.1, 1, 60)),
)

RAV4 = (
    "can0.WHEEL_SPEEDS.WHEEL_SPEED_FL", "can0.WHEEL_SPEEDS.WHEEL_SPEED_FR", "can0.WHEEL_SPEEDS.WHEEL_SPEED_RL",
    "can0.WHEEL_SPEEDS.WHEEL_SPEED_RR", "Vehicle.Speed",
)  # fmt: skip
WANTED = (
    "acc",
    "gyro",
    "speed",
    "steer",
    "rpm",
    "altitude",
    "yaw",
    "angle",
    "rate",
    "temp",
    "lat",
    "lon",
    "wheel",
)


def _samples(number: int) -> tuple[Catalog, NDArray[np.int64], NDArray[np.int64], Table]:
    section = ReplaySection.model_validate(drive(number, time="original", speed=0.0, loop=False))
    source = ReplaySource(section, VanClock(), TextTable())
    catalog = assemble(source.signals())
    slots = {signal.name: slot for slot, signal in enumerate(catalog.signals)}
    rows = np.array([slots[signal.name] for signal in source.signals()], np.int32)
    ordering, blocks = Ordering(len(catalog)), []

    def take(block: SampleBlock) -> None:
        blocks.append(ordering.apply(replace(block, slot=rows[block.slot])))

    source.run(take, threading.Event())
    return (
        catalog,
        np.concatenate([block.slot for block in blocks]).astype(np.int64),
        np.concatenate([block.t_mono_ns for block in blocks]),
        np.concatenate([block.value for block in blocks]),
    )


def record(number: int, name: str) -> Recording:
    """Signals of a shipped drive that move, are sampled at 4 Hz or more and are no flags, on the grid."""
    catalog, slot, t, value = _samples(number)
    grid = np.arange(t.min(), t.max(), 1_000_000_000 // RATE_HZ)
    chosen, columns = [], []
    for at, signal in enumerate(catalog.signals):
        mine = (slot == at) & np.isfinite(value)
        if mine.sum() < 0.4 * len(grid) or "TRACK" in signal.name or "CHECKSUM" in signal.name.upper():
            continue
        if not any(word in signal.name.lower() for word in WANTED) or len(np.unique(value[mine])) < 20:
            continue
        index = np.clip(np.searchsorted(t[mine], grid, "right") - 1, 0, None)
        chosen.append(signal)
        columns.append(value[mine][index])
    table = np.column_stack(columns)
    sigma = sigma_of(table, RATE_HZ)
    named = tuple(name for name in RAV4 if name in {signal.name for signal in chosen})
    keep = [Signal(signal.name, 70_000 + at, unit=signal.unit) for at, signal in enumerate(chosen)]
    return Recording(name, Catalog(keep), table, sigma, (named,) if len(named) >= 2 else (), faults=FAULTS)


def sigma_of(table: Table, rate_hz: int) -> NDArray[np.float64]:
    """Sigma of each signal, at least a quarter of the deviation of its residual."""
    past = [np.median(table[max(i - rate_hz, 0) : max(i, 1)], axis=0) for i in range(len(table))]
    residual = np.abs(table - np.array(past))
    return np.maximum(1.4826 * np.median(residual, axis=0), 0.25 * np.std(residual, axis=0) + 1e-9)


def wander(recording: Recording, ticks: int, random: np.random.Generator, at: int = 0) -> tuple[Table, int]:
    """A longer stream from row at on, and the row where it ends: the recording played forth and back between random turning points, so that there is no seam."""
    n = len(recording.table)
    path: list[int] = []
    while len(path) < ticks:
        goal = int(random.integers(n))
        path += range(at, goal, 1 if goal > at else -1)
        at = goal
    return recording.table[path[:ticks]], path[ticks - 1]


def inject(recording: Recording, clean: Table, fault: Fault, slot: int, at: int, seed: int) -> Table:
    """A copy of the table with the fault in one signal from tick at; those of ARRIVALS are put in by samples()."""
    random = np.random.default_rng(seed)
    table = clean.copy()
    stop = min(at + max(round(fault.for_s * recording.rate_hz), 1), len(table))
    part, sigma, m = table[at:stop, slot], recording.sigma[slot], fault.magnitude
    if fault.kind == "stuck":
        part[:] = part[0]
    elif fault.kind == "dropout to 0":
        part[:] = 0.0
    elif fault.kind == "dropout to NaN":
        part[:] = np.nan
    elif fault.kind == "rate /":
        part[:] = np.repeat(part[:: round(m)], round(m))[: len(part)]
    elif fault.kind in ("spike", "bias"):
        part += random.choice([-1, 1]) * m * sigma
    elif fault.kind == "drift":
        part += random.choice([-1, 1]) * np.linspace(0, m * sigma, len(part))
    elif fault.kind in ("gain", "bus load x"):
        part *= m
    elif fault.kind == "cell mV":
        part += m * 1e-3
    elif fault.kind == "thermal K/min":
        part += m / 60.0 * np.arange(len(part)) / recording.rate_hz
    elif fault.kind == "noise":
        part += random.normal(0, sigma * np.sqrt(m * m - 1), len(part))
    elif fault.kind == "saturation at p90":
        np.minimum(part, np.percentile(recording.table[:, slot], 90), out=part)
    elif fault.kind == "quantisation":
        part[:] = np.round(part / (m * sigma)) * m * sigma
    elif fault.kind == "delay":
        lag = round(m * recording.rate_hz)
        part[:] = clean[at - lag : stop - lag, slot]
    elif fault.kind == "swap":
        part[:] = clean[at:stop, (slot + 1) % table.shape[1]]
    return table


def samples(recording: Recording, table: Table, first: int, fault: Fault, slot: int, at: int) -> SampleBlock:
    """The rows of a table as the agent gets them, with stamps from tick first on, through its ordering; one of ARRIVALS from
    row at on."""
    n, width = table.shape
    t = np.repeat((first + np.arange(n, dtype=np.int64)) * recording.tick_ns, width).reshape(n, width)
    slots = np.tile(np.arange(width, dtype=np.int32), (n, 1))
    rows = slice(at, at + round(fault.for_s * recording.rate_hz))
    for struck in recording.together(slot, fault):
        if fault.kind == "lost id":
            slots[rows, struck] = -1
        elif fault.kind == "period x":
            slots[rows, struck][np.arange(len(slots[rows])) % round(fault.magnitude) != 0] = -1
        elif fault.kind == "clock":
            t[rows, struck] += round(fault.magnitude * 1e9)
    return Ordering(width).apply(SampleBlock(slots.ravel(), t.ravel(), table.ravel()))
