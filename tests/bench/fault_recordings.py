"""What the recorded drives do not hold, for the faults of batteries, temperatures and buses.

Board temperatures: ten recorded minutes of an Orin at 1 Hz. Bus load: frames in the second before, counted in the RAV4
log. Cells: the recorded electric car tells each cell only every few seconds in steps of 20 mV, in which 10 mV cannot be
seen, so the pack is SYNTHETIC: 16 cells of one current, which follows the power of the recorded RAV4, with resistances and
levels of their own and 1 mV of noise and resolution.
"""

from __future__ import annotations

import gzip

import numpy as np

from tests.bench.fault_kinds import RATE_HZ, Fault, Recording, Table, _samples, sigma_of
from vantel.catalog import Catalog, Signal
from vantel_rig.drives import DATA

CELL_FAULTS = tuple(Fault("cell mV", size, 60) for size in (-10, -30, -100))
THERMAL_FAULTS = tuple(Fault("thermal K/min", size, 600) for size in (0.5, 2, 5))
BUS_FAULTS = tuple(Fault("bus load x", size, 60) for size in (1.2, 1.5))
FIRST_ID = 70_000
CELLS = 16
SET = 8


def _recording(
    name: str, names: list[str], table: Table, peers: int, rate_hz: int, faults: tuple[Fault, ...]
) -> Recording:
    """A recording whose signals are in sets of so many peers (0: none)."""
    catalog = Catalog([Signal(local, FIRST_ID + at) for at, local in enumerate(names)])
    sets = tuple(tuple(names[k : k + peers]) for k in range(0, len(names), peers)) if peers else ()
    return Recording(name, catalog, table, sigma_of(table, rate_hz), sets, rate_hz, faults)


def board() -> Recording:
    """Temperatures of the recorded Orin."""
    catalog, slot, t, value = _samples(1)
    names = [s.name for s in catalog.signals if ".Temperature." in s.name and "Board" in s.name]
    columns, chosen = [], []
    for name in names:
        mine = slot == [signal.name for signal in catalog.signals].index(name)
        if np.ptp(value[mine]) > 0:
            chosen.append(name)
            columns.append(value[mine][np.argsort(t[mine], kind="stable")])
    n = min(len(column) for column in columns)
    table = np.column_stack([column[:n] for column in columns])
    return _recording("Orin temperatures, 1 Hz", chosen, table, SET, 1, THERMAL_FAULTS)


def bus() -> Recording:
    """Frames in the second before, of both buses of the RAV4, every 0.1 s."""
    times: dict[str, list[float]] = {}
    with gzip.open(DATA / "can" / "rav4_2016" / "rav4_can.log.gz", "rt", encoding="ascii") as lines:
        for line in lines:
            stamp, channel, _ = line.split(" ", 2)
            times.setdefault(channel, []).append(float(stamp[1:-1]))
    stamps = {channel: np.sort(found) for channel, found in times.items()}
    first, last = max(s[0] for s in stamps.values()) + 1, min(s[-1] for s in stamps.values())
    grid = np.arange(first, last, 1 / RATE_HZ)
    columns = [np.searchsorted(s, grid) - np.searchsorted(s, grid - 1.0) for s in stamps.values()]
    names = [f"{channel}.Bus.FrameRate" for channel in stamps]
    return _recording("RAV4 bus load", names, np.column_stack(columns).astype(float), 0, RATE_HZ, BUS_FAULTS)


def cells(drive: Recording) -> Recording:
    """A SYNTHETIC pack under the load of a recorded drive that has Vehicle.Speed."""
    names = [signal.name for signal in drive.catalog.signals]
    speed = drive.table[:, names.index("Vehicle.Speed")] / 3.6
    smooth = np.convolve(speed, np.ones(RATE_HZ) / RATE_HZ, "valid")
    current = 2000.0 * smooth * np.gradient(smooth, 1 / RATE_HZ) / 350.0 + 0.3 * smooth
    random = np.random.default_rng(1)
    resistance = 1e-3 * random.normal(1.0, 0.05, CELLS)
    level = 3.9 + random.normal(0.0, 0.003, CELLS)
    table = level - np.outer(current, resistance) + random.normal(0.0, 1e-3, (len(current), CELLS))
    table = np.round(table, 3)
    return _recording(
        "SYNTHETIC cells", [f"Pack.Cell{k + 1}" for k in range(CELLS)], table, SET, RATE_HZ, CELL_FAULTS
    )
