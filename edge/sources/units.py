"""Services of the van under systemd as a source: states, restarts, watchdogs, and a tree of their health.

One [[sources]] of kind units. systemd is asked over D-Bus once a period; while it cannot be, every level is STALE. A level that
changes to WARN or worse becomes an event at once (edge.health_events). Reads only; starts and stops nothing.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Sequence

import structlog

from edge.clock import VanClock
from edge.health_events import LEVELS
from edge.model import Emit
from edge.settings import UnitsSource as UnitsSection
from edge.sources.dbus_link import DbusLink
from edge.sources.signal_table import SignalTable, block_at
from edge.sources.unit_health import STATES, UnitLevels, UnitState, tree
from vantel.catalog import Signal, SignalType

SYSTEMD, ROOT = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
STOP_POLL_S = 0.1
_log = structlog.get_logger("units")


class UnitsSource:
    """All units of one section."""

    replayed = False
    simulated = False

    def __init__(self, section: UnitsSection, clock: VanClock) -> None:
        self.name = section.name
        self.counts: Counter[str] = Counter()
        self._section = section
        self._clock = clock
        self._units = section.all_units
        self._levels = UnitLevels(section.hold_s)
        self._table = SignalTable(section.name)
        enum = SignalType.ENUM
        self._slots = {
            unit: (
                self._table.add(f"{self.name}.{unit}.Level", kind=enum, labels=LEVELS),
                self._table.add(f"{self.name}.{unit}.State", kind=enum, labels=STATES),
                self._table.add(f"{self.name}.{unit}.Restarts", kind=SignalType.UINT64),
                self._table.add(f"{self.name}.{unit}.IsWatchdogTriggered", kind=SignalType.BOOL),
            )
            for unit in self._units
        }
        names = {"": "Health"} | {group: f"Health.{group}" for group in section.groups}
        self._nodes = {
            node: self._table.add(f"{self.name}.{name}", kind=enum, labels=LEVELS)
            for node, name in names.items()
        }

    @property
    def counters(self) -> dict[str, int]:
        """Samples, and how often systemd could not be asked."""
        return dict(self.counts)

    def signals(self) -> Sequence[Signal]:
        """Four of each unit, one of each group, and the root."""
        return self._table.signals

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Ask until stop."""
        asyncio.run(self._run(emit, stop))

    async def _run(self, emit: Emit, stop: threading.Event) -> None:
        link = DbusLink(self._section.bus)
        told = ""
        due_s = time.monotonic()
        while not stop.is_set():
            states: dict[str, UnitState] = {}
            try:
                await link.open()
                states = await self._ask(link)
                told = ""
            except OSError as cause:
                self.counts["bus_failed"] += 1
                if str(cause) != told:
                    told = str(cause)
                    _log.error("systemd cannot be asked", source=self.name, cause=told)
                link.close()
            self._emit(states, emit)
            due_s = max(due_s + self._section.period_s, time.monotonic())
            while not stop.is_set() and time.monotonic() < due_s:
                await asyncio.sleep(min(STOP_POLL_S, self._section.period_s))
        link.close()

    async def _ask(self, link: DbusLink) -> dict[str, UnitState]:
        """State of every unit. OSError when systemd does not answer."""
        (rows,) = await link.call(
            SYSTEMD, ROOT, f"{SYSTEMD}.Manager", "ListUnitsByNames", "as", (list(self._units),)
        )
        states: dict[str, UnitState] = {}
        for row in rows:
            name, load, active, path = row[0], row[2], row[3], row[6]
            if name not in self._slots or not isinstance(active, str):
                self.counts["answer_odd"] += 1
                continue
            more: dict[str, object] = {}
            if name.endswith(".service") and load == "loaded":
                for key, what in (("restarts", "NRestarts"), ("result", "Result"), ("kind", "Type")):
                    more[key] = await link.property(SYSTEMD, path, f"{SYSTEMD}.Service", what)
            states[name] = UnitState(load, active, **more)  # type: ignore[arg-type]
        return states

    def _emit(self, states: dict[str, UnitState], emit: Emit) -> None:
        now_ns = self._clock.mono_ns()
        levels = {unit: self._levels.level(unit, states.get(unit), now_ns / 1e9) for unit in self._units}
        readings: list[tuple[int, float]] = []
        for unit, (level, state, restarts, watchdog) in self._slots.items():
            readings.append((level, float(levels[unit])))
            if unit in states:
                readings.append((state, float(states[unit].code)))
                readings.append((restarts, float(states[unit].restarts)))
                readings.append((watchdog, float(states[unit].watchdog)))
        nodes = tree(levels, self._section.groups)
        readings += [(self._nodes[node], float(level)) for node, level in nodes.items()]
        emit(block_at(now_ns, readings))
        self.counts["samples_emitted"] += len(readings)
