"""The machine the agent runs on: processor, memory, disk, load, uptime, temperatures, network, the agent itself.

From psutil and Linux sysfs to samples under overlay names (bytes, percent, Celsius, Hz, s), once a period. A probe that
is absent or unreadable at the start gives no signal; one that fails later is counted (probe_<name>_failed) and gives no
sample. Never raises for a missing probe.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import psutil
import structlog

from edge.clock import VanClock
from edge.model import Emit, SampleBlock
from edge.settings import SystemSource as SystemSection
from edge.sources.chunks import legal_group, legal_name
from edge.sources.pacing import due_times
from edge.sources.tegrastats import BOARD, board_names
from vantel.catalog import Signal, builtin

HEALTH = "Vehicle.ControlUnit.Central.Health.Resources.Utilization."
AGENT = "Vehicle.Robovan.Agent."
STATE_DIR = Path("/var/lib/vantel")
THERMAL = Path("/sys/class/thermal")
CORES_MAX = 64
_ZONE_TAIL = re.compile(r"[-_]?therm(al)?$", re.IGNORECASE)
_log = structlog.get_logger("system")

Readings = Mapping[str, float]
Probe = Callable[[], Readings]
PROBE_ERRORS = (OSError, ValueError, AttributeError, KeyError, IndexError, psutil.Error)
"""What a missing file, a kernel without the counter or a driver that answers nonsense raises."""


class SystemSource:
    """One [[sources]] of kind system."""

    replayed = False
    simulated = False

    def __init__(
        self, settings: SystemSection, clock: VanClock, probes: Mapping[str, Probe] | None = None
    ) -> None:
        self.name = settings.name
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._period_ns = round(settings.period_s * 1e9)
        self._probes = dict(default_probes(settings.name) if probes is None else probes)
        found = list(self._read())
        self._slot = {name: slot for slot, (name, _) in enumerate(found)}

    @property
    def counters(self) -> dict[str, int]:
        """Samples and failed probes."""
        return dict(self.counts)

    def signals(self) -> Sequence[Signal]:
        """Signals of the probes that answered at the start."""
        known = builtin()
        return [
            known_signal(name) if name in known else Signal(name=name, group=legal_group(self.name))
            for name in self._slot
        ]

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Emit once a period until stop."""
        for times in due_times(self._clock, self._period_ns, stop):
            found = [(self._slot[name], value) for name, value in self._read() if name in self._slot]
            if found:
                slots, values = zip(*found, strict=True)
                at = np.full(len(found), times[-1], dtype=np.int64)
                emit(SampleBlock(np.array(slots, dtype=np.int32), at, np.array(values, dtype=np.float64)))
                self.counts["samples_emitted"] += len(found)

    def _read(self) -> list[tuple[str, float]]:
        """Every probe once; a name given twice keeps its first value."""
        found: dict[str, float] = {}
        for name, probe in self._probes.items():
            try:
                readings = probe()
            except PROBE_ERRORS as cause:
                if not self.counts[f"probe_{name}_failed"]:
                    _log.warning("probe failed", probe=name, cause=str(cause))
                self.counts[f"probe_{name}_failed"] += 1
                continue
            for signal, value in readings.items():
                found.setdefault(signal, float(value))
        return list(found.items())


def known_signal(name: str) -> Signal:
    """Declaration of a signal of the built-in catalog."""
    signal = builtin().by_name(name)
    return Signal(name=name, unit=signal.unit, type=signal.type, group=signal.group)


def default_probes(source: str) -> dict[str, Probe]:
    """The probes of a Linux machine, by name."""
    process = psutil.Process(os.getpid())
    return {
        "cpu": _cpu,
        "cores": _cores,
        "frequency": _frequencies,
        "memory": _memory,
        "swap": _swap,
        "disk": _disk,
        "load": _load,
        "uptime": lambda: {f"{BOARD}Uptime": time.time() - psutil.boot_time()},
        "processes": lambda: {f"{BOARD}ProcessCount": len(psutil.pids())},
        "thermal": lambda: thermal_zones(THERMAL, source),
        "network": _network,
        "agent": lambda: {
            f"{AGENT}CPU": process.cpu_percent(),
            f"{AGENT}Memory": process.memory_info().rss,
            f"{AGENT}Threads": process.num_threads(),
        },
    }


def _cpu() -> Readings:
    return {f"{HEALTH}CPU": psutil.cpu_percent()}


def _cores() -> Readings:
    loads = psutil.cpu_percent(percpu=True)[:CORES_MAX]
    names = [f"{BOARD}CPU{at}.Utilization" for at in range(len(loads))]
    return {name: load for name, load in zip(names, loads, strict=True) if name in builtin()}


def _frequencies() -> Readings:
    clocks = psutil.cpu_freq(percpu=True)[:CORES_MAX]
    names = [f"{BOARD}CPU{at}.Frequency" for at in range(len(clocks))]
    return {name: one.current * 1e6 for name, one in zip(names, clocks, strict=True) if name in builtin()}


def _memory() -> Readings:
    memory = psutil.virtual_memory()
    return {
        f"{HEALTH}Memory": memory.percent,
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


def _load() -> Readings:
    one, five, fifteen = os.getloadavg()
    return {f"{BOARD}Load1": one, f"{BOARD}Load5": five, f"{BOARD}Load15": fifteen}


def _network() -> Readings:
    """Sums over all interfaces but loopback, since boot."""
    counters = [one for name, one in psutil.net_io_counters(pernic=True).items() if name != "lo"]
    return {
        f"{BOARD}Network.BytesReceived": sum(one.bytes_recv for one in counters),
        f"{BOARD}Network.BytesSent": sum(one.bytes_sent for one in counters),
        f"{BOARD}Network.PacketsReceived": sum(one.packets_recv for one in counters),
        f"{BOARD}Network.PacketsSent": sum(one.packets_sent for one in counters),
        f"{BOARD}Network.ErrorsReceived": sum(one.errin for one in counters),
        f"{BOARD}Network.DropsReceived": sum(one.dropin for one in counters),
    }


def thermal_zones(folder: Path, source: str) -> dict[str, float]:
    """Celsius by zone type (Board.Temperature.<type> where the overlay has it); unreadable zones are left out."""
    found: dict[str, float] = {}
    for zone in sorted(folder.glob("thermal_zone*"), key=lambda path: (len(path.name), path.name)):
        try:
            kind = _ZONE_TAIL.sub("", (zone / "type").read_text().strip())
            celsius = int((zone / "temp").read_text()) / 1000.0
        except (OSError, ValueError):
            continue
        if celsius <= -256.0:
            continue
        name = board_names().get(
            f"{BOARD}Temperature.{kind}".lower(), f"{source}.temperature.{legal_name(kind)}"
        )
        unique, number = name, 2
        while unique in found:
            unique, number = f"{name}_{number}", number + 1
        found[unique] = celsius
    return found
