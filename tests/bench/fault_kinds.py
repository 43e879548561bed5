"""The faults of tests/bench/faults.py and the tables they are put into.

A table is float64[ticks, signals] of one recording on a grid of 10 Hz. Magnitudes are in sigma, 1.4826 times the median
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


@dataclass(frozen=True)
class Recording:
    """One recording on the grid: catalog of its signals, table, sigma of each, sets of peers by slot."""

    name: str
    catalog: Catalog
    table: Table
    sigma: NDArray[np.float64]
    peers: tuple[tuple[str, ...], ...]


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
    past = [np.median(table[max(i - RATE_HZ, 0) : max(i, 1)], axis=0) for i in range(len(table))]
    residual = np.abs(table - np.array(past))
    sigma = np.maximum(1.4826 * np.median(residual, axis=0), 0.25 * np.std(residual, axis=0) + 1e-9)
    named = tuple(name for name in RAV4 if name in {signal.name for signal in chosen})
    keep = [Signal(signal.name, 70_000 + at, unit=signal.unit) for at, signal in enumerate(chosen)]
    return Recording(name, Catalog(keep), table, sigma, (named,) if len(named) >= 2 else ())


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
    """A copy of the table with the fault in one signal from tick at."""
    random = np.random.default_rng(seed)
    table = clean.copy()
    stop = min(at + max(round(fault.for_s * RATE_HZ), 1), len(table))
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
    elif fault.kind == "gain":
        part *= m
    elif fault.kind == "noise":
        part += random.normal(0, sigma * np.sqrt(m * m - 1), len(part))
    elif fault.kind == "saturation at p90":
        np.minimum(part, np.percentile(recording.table[:, slot], 90), out=part)
    elif fault.kind == "quantisation":
        part[:] = np.round(part / (m * sigma)) * m * sigma
    elif fault.kind == "delay":
        lag = round(m * RATE_HZ)
        part[:] = clean[at - lag : stop - lag, slot]
    elif fault.kind == "swap":
        part[:] = clean[at:stop, (slot + 1) % table.shape[1]]
    return table


def is_visible(recording: Recording, clean: Table, faulty: Table, slot: int) -> bool:
    """False where the fault changes the signal by less than a sigma: undetectable by construction."""
    change = np.abs(faulty[:, slot] - clean[:, slot])
    return bool(np.isnan(change).any() or np.max(change) > recording.sigma[slot])
