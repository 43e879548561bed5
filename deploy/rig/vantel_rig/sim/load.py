"""What a simulated van produces, and, beside it, what the database must hold of it: an oracle without product code.

A batch of a few columns (floats with NaN among them, a counter, a state, a flag), made by the real codec, with the
field texts that are to come out. The oracle repeats the rules of docs/architecture.md in the slowest way there is.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np

from vantel.catalog import Catalog, Signal, SignalType, assemble
from vantel.codec import encode
from vantel.columns import Column
from vantel.payloads import Batch, Event, Fidelity

MS = 1_000_000
GEARS = ("P", "R", "N", "D")
RELEASES = 6


def catalog_of(van: str, release: int) -> Catalog:
    """Releases of an agent differ in the group of one signal, hence in the hash; so do vans."""
    return assemble(
        [
            Signal("sim.Speed", group="drive", unit="km/h"),
            Signal("sim.Gear", group="drive", type=SignalType.ENUM, labels=GEARS),
            Signal("sim.Door", group="body", type=SignalType.BOOL),
            Signal(
                "sim.Ticks",
                group=f"ticks_{release % RELEASES}_{van.rpartition('-')[2]}",
                type=SignalType.UINT64,
            ),
        ]
    )


Expected = tuple[str, int, str, str]
"""Measurement and group, monotonic ns, field, text of the value."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make one payload and its expected fields, now and again at the end: kept instead of them."""

    seed: int
    kind: str
    start_ns: int
    end_ns: int
    samples: int = 0
    full: bool = False

    def payload(self, catalog: Catalog) -> bytes:
        """The same each time."""
        rng = random.Random(self.seed)
        if self.kind == "event":
            return event(rng, catalog, self.start_ns)[0]
        columns, _ = content(rng, catalog, self.start_ns, self.end_ns, self.samples, self.full)
        fidelity = Fidelity.FULL if self.full else Fidelity.ROLLUP
        return Batch(self.start_ns, self.end_ns, encode(columns), 4 * self.samples, fidelity).encode()

    def expected(self, catalog: Catalog) -> list[Expected]:
        """What the database must hold of it."""
        rng = random.Random(self.seed)
        if self.kind == "event":
            return event(rng, catalog, self.start_ns)[1]
        return content(rng, catalog, self.start_ns, self.end_ns, self.samples, self.full)[1]


@dataclass(slots=True)
class Truth:
    """One envelope as it was promised. durable: it must survive everything; fragile: the disk failed, and the agent
    said so; bad: nonsense that must be rejected."""

    t_s: float
    kind: str
    recipe: Recipe | None = None
    catalog: Catalog | None = None
    durable: bool = False
    fragile: bool = False
    bad: bool = False

    @property
    def expected(self) -> list[Expected]:
        """The fields it stands for."""
        return [] if self.recipe is None or self.catalog is None else self.recipe.expected(self.catalog)


def content(
    rng: random.Random, catalog: Catalog, start_ns: int, end_ns: int, samples: int, full: bool
) -> tuple[list[Column], list[Expected]]:
    """Columns of one window, and its expected fields."""
    columns: list[Column] = []
    expected: list[Expected] = []
    for name, group in (
        ("sim.Speed", "drive"),
        ("sim.Gear", "drive"),
        ("sim.Door", "body"),
        ("sim.Ticks", ""),
    ):
        signal = catalog.by_name(name)
        times = sorted(rng.sample(range(start_ns, end_ns), samples))
        series = f"telemetry,group={group or signal.group}"
        if name == "sim.Speed":
            floats = [math.nan if rng.random() < 0.1 else round(rng.uniform(0, 90), 3) for _ in times]
            values = np.array(floats, dtype=np.float64)
            expected += _numbers(series, name, times, floats, full)
        elif name == "sim.Ticks":
            ticks = [rng.randrange(1 << 40) for _ in times]
            values = np.array(ticks, dtype=np.uint64)
            expected += _numbers(series, name, times, [float(tick) for tick in ticks], full)
        elif name == "sim.Gear":
            codes = [rng.randrange(4) for _ in times]
            values = np.array(codes, dtype=np.uint16)
            expected += _states(series, name, times, [f'"{GEARS[code]}"' for code in codes], full)
        else:
            flags = [rng.random() < 0.5 for _ in times]
            values = np.array(flags, dtype=np.bool_)
            expected += _states(series, name, times, ["true" if flag else "false" for flag in flags], full)
        columns.append(Column(signal.id, np.array(times, dtype=np.int64), values))
    return columns, expected


def event(rng: random.Random, catalog: Catalog, t_ns: int) -> tuple[bytes, list[Expected]]:
    """Payload of one event, and two of its fields. The oracle knows its time to the microsecond."""
    value = round(rng.uniform(100, 900), 6)
    made = Event(catalog.by_name("sim.Speed").id, "range", t_ns, value, 3.0, 2.0, 1.0)
    series = "events,group=drive"
    return made.encode(), [(series, t_ns, "value", repr(value)), (series, t_ns, "channel", '"range"')]


def _numbers(series: str, name: str, times: list[int], values: list[float], full: bool) -> list[Expected]:
    good = [(t_ns, value) for t_ns, value in zip(times, values, strict=True) if not math.isnan(value)]
    if full:
        return [(series, t_ns, name, repr(value)) for t_ns, value in good]
    if not good:
        return []
    at = good[-1][0]
    only = [value for _, value in good]
    return [
        (series, at, name, repr(only[-1])),
        (series, at, f"{name}.min", repr(min(only))),
        (series, at, f"{name}.max", repr(max(only))),
    ]


def _states(series: str, name: str, times: list[int], texts: list[str], full: bool) -> list[Expected]:
    found: list[Expected] = []
    last = ""
    for t_ns, text in zip(times, texts, strict=True):
        if full or text != last:
            found.append((series, t_ns, name, text))
        last = text
    return found
