"""./demo: the whole pipe on this machine, three vans replaying recorded drives, and the ledger at the end.

Starts servers, bridge, worker and vans as ordinary processes, shows a line of rates a second, injects a marked fault
into every van's probe signal, stops by Ctrl-C or after --seconds, lets everything drain and prints the ledger.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live

from cloud.query import InfluxQuery
from vantel_rig.cloud_side import PROGRAMS, CloudSide
from vantel_rig.drives import drive
from vantel_rig.events import Events
from vantel_rig.latency import LatencyWatch
from vantel_rig.programs import local_dir
from vantel_rig.rates import Rates
from vantel_rig.report import build_report, print_ledger
from vantel_rig.stack import Stack
from vantel_rig.van import Van

PROBE = "Vehicle.Robovan.TestBench.Probe"
MARK = "demo"
FAULT_EVERY_S = 3.0
FAULTS_MIN = 20
PROBE_RATE_HZ = 50.0
DRAIN_S_MAX = 20.0
FIRST_FAULT_S = 2.5
STARTING_S = 1.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """Options of ./demo. seconds None runs until Ctrl-C."""

    seconds: float | None = None
    vans: int = 3
    headless: bool = False
    report: Path | None = None
    speed: float = 1.0
    folder: Path | None = None


def fault_period_s(options: DemoOptions) -> float:
    """Real seconds between marked faults of one van: 3 s, or less so that there are FAULTS_MIN in all."""
    if options.seconds is None:
        return FAULT_EVERY_S
    usable_s = options.seconds - FIRST_FAULT_S - STARTING_S
    wanted = -(-FAULTS_MIN // options.vans)
    return min(FAULT_EVERY_S, usable_s / wanted)


def make_van(number: int, options: DemoOptions, folder: Path, mqtt_port: int) -> Van:
    """Van number 0, 1, ...: a recorded drive and a probe with marked spikes, all on one clock."""
    speed = options.speed
    van_id = f"van-{number + 1:03d}"
    return Van(
        van_id,
        folder / van_id,
        mqtt_port,
        [
            drive(number, speed=speed),
            {"kind": "probe", "seed": number + 1, "rate_hz": PROBE_RATE_HZ},
        ],
        faults=[
            {
                "signal": PROBE,
                "kind": "spike",
                "magnitude": 25.0,
                "at_s": FIRST_FAULT_S * speed,
                "every_s": fault_period_s(options) * speed,
                "mark": MARK,
            }
        ],
        detector={"refractory_s": 0.1},
        health={"period_s": 5.0, "status_period_s": 0.5},
    )


class Demo:
    """One run of the demo."""

    def __init__(self, options: DemoOptions) -> None:
        self._options = options
        self._console = Console(force_terminal=False if options.headless else None, soft_wrap=True)
        self._stop = threading.Event()
        self._started_s = time.monotonic()

    def run(self) -> int:
        """0 when the ledger balances and all points are there, 1 when not."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stop.set())
        folder = self._options.folder or local_dir() / "demo"
        shutil.rmtree(folder, ignore_errors=True)
        self._say("starting Mosquitto, Kafka and InfluxDB")
        with Stack(folder / "servers") as stack:
            self._say(
                f"servers are up: MQTT 127.0.0.1:{stack.mqtt_port}, Kafka {stack.kafka_bootstrap}, InfluxDB {stack.influx_url}"
            )
            cloud = CloudSide(stack, folder / "cloud")
            vans = [
                make_van(number, self._options, folder / "vans", stack.mqtt_port)
                for number in range(self._options.vans)
            ]
            try:
                return self._with_cloud(cloud, vans)
            finally:
                for van in vans:
                    if van.alive:
                        van.stop()
                cloud.stop()

    def _with_cloud(self, cloud: CloudSide, vans: list[Van]) -> int:
        cloud.provision()
        for name in PROGRAMS:
            cloud.launch(name)
        for van in vans:
            van.start()
        self._say(f"bridge, worker, page and {len(vans)} vans are starting")
        with ThreadPoolExecutor() as pool:
            list(pool.map(cloud.wait_healthy, PROGRAMS))
        self._say(f"the page: {cloud.url('web')}/ (no login; this machine only)")
        self._say(f"in a terminal: {Path(sys.executable).parent / 'vantel'} top --config {cloud.config}")
        for van in vans:
            van.wait_ready()
        events = Events(cloud.settings.influx)
        watch = LatencyWatch(events, vans, MARK)
        watch.start()
        threading.Thread(target=self._tell_first_point, args=(cloud,), daemon=True).start()
        self._say("running" + ("; Ctrl-C ends it" if self._options.seconds is None else ""))
        self._watch_rates(cloud, vans)
        self._say("stopping: sources off, waiting for spool and Kafka to drain")
        deadline = time.monotonic() + DRAIN_S_MAX
        with ThreadPoolExecutor(max_workers=max(len(vans), 1)) as pool:
            list(pool.map(lambda van: van.drain(max(deadline - time.monotonic(), 1.0)), vans))
        report = build_report(cloud, vans, max(deadline - time.monotonic(), 1.0))
        watch.stop()
        report["event_latency_ms"] = watch.summary()
        if self._options.report is not None:
            self._options.report.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        return print_ledger(self._console, report)

    def _tell_first_point(self, cloud: CloudSide) -> None:
        """One line when the first point can be read back."""
        query = InfluxQuery(cloud.settings.influx)
        while not self._stop.wait(0.2):
            try:
                if query.count_points():
                    self._say("the first point is in InfluxDB")
                    return
            except (OSError, ValueError):
                continue

    def _watch_rates(self, cloud: CloudSide, vans: list[Van]) -> None:
        """Rates of each van once a second until time is up, Ctrl-C, or a process that ended."""
        began = time.monotonic()
        rates = Rates(vans)
        live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        with live or contextlib.nullcontext():
            while not self._stop.wait(1.0):
                lines = rates.lines()
                if live is not None:
                    live.update(Group(*lines), refresh=True)
                else:
                    for line in lines:
                        self._say(line.plain)
                ended = [van.id for van in vans if not van.alive]
                ended += [name for name in PROGRAMS if not cloud.process(name).running]
                if ended:
                    self._say(f"ended too early: {', '.join(ended)}; logs in {cloud.folder.parent}")
                    return
                if self._options.seconds is not None and time.monotonic() - began >= self._options.seconds:
                    return

    def _say(self, text: str) -> None:
        self._console.print(
            f"[{time.monotonic() - self._started_s:6.1f} s] {text}", markup=False, highlight=False
        )
