"""A mobile modem as a source: ModemManager over D-Bus, counters of its interface, round trip to the broker.

One [[sources]] of kind modem. The three parts do without one another: what does not answer is counted and gives no sample. The round trip
is the time of a TCP handshake with the address of the settings, which needs no privilege and costs some 200 bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import structlog

from edge.clock import VanClock
from edge.model import Emit, TextTable
from edge.settings import ModemSource as ModemSection
from edge.settings.address import host_and_port
from edge.sources.board_files import BoardFiles
from edge.sources.dbus_link import DbusLink
from edge.sources.modem_manager import LOCATION, ROOT, SERVICE, SIGNAL, cell_id, modem_paths, readings
from edge.sources.signal_table import SignalTable, block_at
from vantel.catalog import Signal, builtin

MANAGED = ("RSRP", "RSRQ", "SINR", "RSSI", "CellId", "Operator", "Technology", "IsConnected", "IsRoaming")
COUNTERS = {"BytesSent": "tx_bytes", "BytesReceived": "rx_bytes"}
ROUND_TRIP_S_MAX = 10.0
STOP_POLL_S = 0.1
_log = structlog.get_logger("modem")


class ModemSource:
    """One modem."""

    replayed = False
    simulated = False

    def __init__(self, section: ModemSection, clock: VanClock, texts: TextTable) -> None:
        self.name = section.name
        self.counts: Counter[str] = Counter()
        self._section = section
        self._clock = clock
        self._texts = texts
        self._files = BoardFiles(section.root, self.counts)
        self._table = SignalTable(section.name)
        wanted = [
            *MANAGED,
            *(COUNTERS if section.interface else ()),
            *(("RTT",) if section.round_trip_to else ()),
        ]
        self._slots = {
            what: self._table.add(f"Vehicle.Robovan.Modem{section.modem}.{what}") for what in wanted
        }
        self._signal_rate_set = ""
        self._told = ""

    @property
    def counters(self) -> dict[str, int]:
        """Samples, and what did not answer."""
        return dict(self.counts)

    def signals(self) -> Sequence[Signal]:
        """What ModemManager may tell, and what the settings ask for."""
        return self._table.signals

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Ask until stop."""
        asyncio.run(self._run(emit, stop))

    async def _run(self, emit: Emit, stop: threading.Event) -> None:
        """The round trip may take seconds on a bad link: it has a task of its own."""
        tasks = [asyncio.create_task(self._follow(emit))]
        if self._section.round_trip_to:
            tasks.append(asyncio.create_task(self._measure(emit)))
        try:
            while not stop.is_set():
                for task in tasks:
                    if task.done():
                        task.result()  # an unexpected error: the agent starts the source again
                await asyncio.sleep(STOP_POLL_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, emit: Emit) -> None:
        link = DbusLink(self._section.bus)
        try:
            while True:
                found: dict[str, float | str] = self._interface()
                try:
                    await link.open()
                    found |= await self._ask(link)
                    self._told = ""
                except OSError as cause:
                    self.counts["bus_failed"] += 1
                    self._tell(str(cause))
                    link.close()
                self._emit(found, emit)
                await asyncio.sleep(self._section.period_s)
        finally:
            link.close()

    async def _ask(self, link: DbusLink) -> dict[str, float | str]:
        """What ModemManager says of the modem. OSError when it does not answer or has no such modem."""
        (objects,) = await link.call(SERVICE, ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
        paths = modem_paths(objects)
        if len(paths) < self._section.modem:
            raise OSError(f"ModemManager knows {len(paths)} modems, not number {self._section.modem}")
        path = paths[self._section.modem - 1]
        await self._want_signal(link, path, objects[path])
        try:
            found = readings(objects[path])
        except (TypeError, ValueError):
            self.counts["answer_odd"] += 1
            found = {}
        with contextlib.suppress(OSError):  # location of the cell may be switched off: no cell then
            (location,) = await link.call(SERVICE, path, LOCATION, "GetLocation")
            try:
                cell = cell_id(location)
            except (TypeError, ValueError):
                self.counts["answer_odd"] += 1
                cell = None
            if cell is not None:
                found["CellId"] = cell
        return found

    async def _want_signal(self, link: DbusLink, path: str, interfaces: dict[str, Any]) -> None:
        """ModemManager asks the modem for levels only when told how often; needs its permission, once a modem."""
        if path == self._signal_rate_set or interfaces.get(SIGNAL, {}).get("Rate", 1):
            return
        self._signal_rate_set = path
        try:
            seconds = max(1, round(self._section.period_s))
            await link.call(SERVICE, path, SIGNAL, "Setup", "u", (seconds,))
        except OSError as cause:
            self.counts["signal_setup_refused"] += 1
            _log.warning(
                "no levels of the modem", source=self.name, cause=str(cause), fix="docs/sources.md, Modem"
            )

    async def _measure(self, emit: Emit) -> None:
        where = host_and_port(self._section.round_trip_to)
        assert where is not None
        while True:
            began_s = time.monotonic()
            try:
                _, writer = await asyncio.wait_for(asyncio.open_connection(*where), ROUND_TRIP_S_MAX)
                elapsed_ms = (time.monotonic() - began_s) * 1000.0
                writer.close()
                self._emit({"RTT": elapsed_ms}, emit)
            except (OSError, asyncio.TimeoutError):
                self.counts["round_trip_failed"] += 1
            await asyncio.sleep(self._section.round_trip_period_s)

    def _interface(self) -> dict[str, float | str]:
        if not self._section.interface:
            return {}
        folder = f"sys/class/net/{self._section.interface}/statistics"
        numbers = {
            what: self._files.number(f"{folder}/{file}", 0, 1 << 62) for what, file in COUNTERS.items()
        }
        return {what: number for what, number in numbers.items() if number is not None}

    def _emit(self, found: dict[str, float | str], emit: Emit) -> None:
        pairs = []
        for what, value in found.items():
            if isinstance(value, str):
                pairs.append((self._slots[what], float(self._texts.code(value))))
                continue
            policy = builtin().by_name(self._table.signals[self._slots[what]].name).policy
            low, high = policy.min, policy.max
            if (
                not math.isfinite(value)
                or (low is not None and value < low)
                or (high is not None and value > high)
            ):
                self.counts[f"odd_{what}"] += 1
                continue
            pairs.append((self._slots[what], value))
        if pairs:
            emit(block_at(self._clock.mono_ns(), pairs))
            self.counts["samples_emitted"] += len(pairs)

    def _tell(self, cause: str) -> None:
        if cause != self._told:
            self._told = cause
            _log.error("ModemManager cannot be asked", source=self.name, cause=cause)
