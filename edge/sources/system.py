"""The machine the agent runs on: processor, memory, disk, network, temperatures, power, clocks, fans, the agent itself.

From psutil and the kernel's files (board_*.py) to samples, once a period. Every probe is optional and bounded in time: what is absent at the
start gives no signal; what fails, blocks or reads oddly later is counted and gives no sample. With a root other than / the files of
another board are read below it, and psutil, which knows only this machine, is left out. Never raises for a missing probe.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from edge.clock import VanClock
from edge.model import Emit, TextTable
from edge.settings import SystemSource as SystemSection
from edge.sources.board_clocks import clocks, power_mode
from edge.sources.board_files import BoardFiles
from edge.sources.board_lifetime import boot_reason, disk_wear
from edge.sources.board_names import BOARD, RESOURCES, unit_of
from edge.sources.board_network import interfaces
from edge.sources.board_power import power, supplies
from edge.sources.board_thermal import fans, temperatures, throttling
from edge.sources.pacing import due_times
from edge.sources.probing import Probe, ProbeRunner, Readings
from edge.sources.signal_table import SignalTable, block_at
from vantel.catalog import Signal, SignalType, builtin

UTILIZATION = f"{RESOURCES}Utilization."
AGENT = "Vehicle.Robovan.Agent."
STATE_DIR = Path("/var/lib/vantel")
CORES_MAX = 64


class SystemSource:
    """One [[sources]] of kind system."""

    replayed = False
    simulated = False

    def __init__(
        self,
        settings: SystemSection,
        clock: VanClock,
        texts: TextTable,
        probes: Mapping[str, Probe] | None = None,
    ) -> None:
        self.name = settings.name
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._texts = texts
        self._period_ns = round(settings.period_s * 1e9)
        if probes is None:
            probes = board_probes(BoardFiles(settings.root, self.counts), settings.name)
            if settings.root == Path("/"):
                probes = machine_probes() | probes
        self._runner = ProbeRunner(probes, settings.probe_s_max, self.counts)
        self._table = SignalTable(settings.name)
        self._slot = {name: self._declare(name, value) for name, value in self._runner.read().items()}
        self.notes = [
            f"source {settings.name}: probe {name} blocks; it is left out" for name in self._runner.blocked
        ]

    @property
    def counters(self) -> dict[str, int]:
        """Samples, failed and blocked probes, files that are not what they should be."""
        return dict(self.counts)

    def signals(self) -> Sequence[Signal]:
        """Signals of the probes that answered at the start."""
        return self._table.signals

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Emit once a period until stop."""
        for times in due_times(self._clock, self._period_ns, stop):
            found = self._runner.read()
            readings = [
                (self._slot[name], self._texts.code(value) if isinstance(value, str) else float(value))
                for name, value in found.items()
                if name in self._slot and (isinstance(value, str) or math.isfinite(value))
            ]
            if readings:
                emit(block_at(int(times[-1]), readings))
                self.counts["samples_emitted"] += len(readings)
        self._runner.close()

    def _declare(self, name: str, value: float | str) -> int:
        kind = SignalType.STRING if isinstance(value, str) else SignalType.FLOAT64
        return self._table.add(name, unit=unit_of(name), kind=kind)


def board_probes(files: BoardFiles, source: str) -> dict[str, Probe]:
    """The probes that read files of the kernel, by name."""
    return {
        "temperatures": lambda: temperatures(files, source),
        "throttling": lambda: throttling(files, source),
        "fans": lambda: fans(files, source),
        "power": lambda: power(files, source),
        "supplies": lambda: supplies(files, source),
        "clocks": lambda: clocks(files, source),
        "power_mode": lambda: power_mode(files),
        "disk_wear": lambda: disk_wear(files),
        "interfaces": lambda: interfaces(files, source),
        "boot_reason": lambda: boot_reason(files),
    }


def machine_probes() -> dict[str, Probe]:
    """The probes of psutil, by name."""
    process = psutil.Process(os.getpid())
    disk_rate, network_rate = Rate(), Rate()
    return {
        "cpu": lambda: {f"{UTILIZATION}CPU": psutil.cpu_percent()},
        "cores": _cores,
        "memory": _memory,
        "swap": _swap,
        "disk": _disk,
        "disk_rate": lambda: _disk_rates(disk_rate),
        "load": _load,
        "uptime": lambda: {f"{BOARD}Uptime": time.clock_gettime(time.CLOCK_BOOTTIME)},
        "processes": lambda: {f"{BOARD}ProcessCount": len(psutil.pids())},
        "network": lambda: _network(network_rate),
        "agent": lambda: {
            f"{AGENT}CPU": process.cpu_percent(),
            f"{AGENT}Memory": process.memory_info().rss,
            f"{AGENT}Threads": process.num_threads(),
        },
    }


class Rate:
    """Differences of counters a second; NaN for the first reading, and after a counter that went back."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._last_s = math.nan
        self._last: tuple[float, ...] = ()

    def of(self, *counters: float) -> list[float]:
        """A rate for each counter."""
        now_s = self._now_s()
        elapsed_s, last = now_s - self._last_s, self._last
        self._last_s, self._last = now_s, counters
        if not last or not elapsed_s > 0:
            return [math.nan] * len(counters)
        rates = [(new - old) / elapsed_s for new, old in zip(counters, last, strict=True)]
        return [rate if rate >= 0 else math.nan for rate in rates]


def _cores() -> Readings:
    loads = psutil.cpu_percent(percpu=True)[:CORES_MAX]
    names = [f"{BOARD}CPU{at}.Utilization" for at in range(len(loads))]
    return {name: load for name, load in zip(names, loads, strict=True) if name in builtin()}


def _memory() -> Readings:
    memory = psutil.virtual_memory()
    return {
        f"{UTILIZATION}Memory": memory.percent,
        f"{BOARD}Memory.Used": memory.used,
        f"{BOARD}Memory.Total": memory.total,
        f"{BOARD}Memory.Utilization": memory.percent,
    }


def _swap() -> Readings:
    swap = psutil.swap_memory()
    return {
        f"{BOARD}Swap.Used": swap.used,
        f"{BOARD}Swap.Total": swap.total,
        f"{BOARD}Swap.Utilization": swap.percent,
    }


def _disk() -> Readings:
    """Disk of the state directory where a van has it, else of the root."""
    usage = psutil.disk_usage(str(STATE_DIR if STATE_DIR.is_dir() else Path("/")))
    return {
        f"{BOARD}Disk.Used": usage.used,
        f"{BOARD}Disk.Free": usage.free,
        f"{BOARD}Disk.Total": usage.total,
        f"{BOARD}Disk.Utilization": usage.percent,
    }


def _disk_rates(rate: Rate) -> Readings:
    """All disks together; nothing on a machine that shows none."""
    counters = psutil.disk_io_counters()
    if counters is None:
        return {}
    read, written = rate.of(counters.read_bytes, counters.write_bytes)
    return {f"{BOARD}Disk.ReadRate": read, f"{BOARD}Disk.WriteRate": written}


def _load() -> Readings:
    one, five, fifteen = os.getloadavg()
    return {f"{BOARD}Load1": one, f"{BOARD}Load5": five, f"{BOARD}Load15": fifteen}


def _network(rate: Rate) -> Readings:
    """Sums over all interfaces but loopback, since boot."""
    counters = [one for name, one in psutil.net_io_counters(pernic=True).items() if name != "lo"]
    received, sent = sum(one.bytes_recv for one in counters), sum(one.bytes_sent for one in counters)
    receive_rate, send_rate = rate.of(received, sent)
    return {
        f"{BOARD}Network.BytesReceived": received,
        f"{BOARD}Network.BytesSent": sent,
        f"{BOARD}Network.ReceiveRate": receive_rate,
        f"{BOARD}Network.SendRate": send_rate,
        f"{BOARD}Network.PacketsReceived": sum(one.packets_recv for one in counters),
        f"{BOARD}Network.PacketsSent": sum(one.packets_sent for one in counters),
        f"{BOARD}Network.ErrorsReceived": sum(one.errin for one in counters),
        f"{BOARD}Network.DropsReceived": sum(one.dropin for one in counters),
    }
