"""The local stack: Mosquitto, Kafka and InfluxDB (behind nginx) on free loopback ports, without Docker or services.

From a data folder (by default `.local/run/<pid>/`, removed after a good end) to running servers and their addresses.
All start at once and are waited for by their own protocols; a server that is not ready in time raises `ProcessError`
with the tail of its log. A clash of ports is tried again with others, three times. Everything started here ends with
us, also when we are killed.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Protocol

from vantel_rig.process import Process, ProcessError
from vantel_rig.programs import local_dir
from vantel_rig.servers.influxdb import InfluxDB
from vantel_rig.servers.kafka import Kafka
from vantel_rig.servers.mosquitto import Mosquitto
from vantel_rig.servers.nginx import Nginx

START_TRIES_MAX = 3
_count = itertools.count()


class Server(Protocol):
    """What the stack needs of each of its servers."""

    name: str
    ready_s_max: float
    port: int

    def configure(self) -> Process: ...  # noqa: D102
    def ready(self) -> bool: ...  # noqa: D102
    def clashed(self, log: str) -> bool: ...  # noqa: D102


class Stack:
    """The servers of one run. A context manager: `with Stack() as stack: ...`."""

    def __init__(self, data_dir: Path | None = None, persistence: bool = False) -> None:
        """`persistence` is Mosquitto's: whether its sessions outlive a restart."""
        self._own_dir = data_dir is None
        self.data_dir = (data_dir or _default_dir()).resolve()
        self._mosquitto = Mosquitto(self.data_dir / "mosquitto", persistence)
        self._kafka = Kafka(self.data_dir / "kafka")
        self._influxdb = InfluxDB(self.data_dir / "influxdb")
        self._processes: dict[str, Process] = {}
        self._servers: dict[str, Server] = {s.name: s for s in (self._kafka, self._influxdb, self._mosquitto)}

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is None and self._own_dir:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    @property
    def mqtt_port(self) -> int:
        """Mosquitto's port on 127.0.0.1."""
        return self._mosquitto.port

    @property
    def kafka_bootstrap(self) -> str:
        """Kafka's address, as `host:port`."""
        return f"127.0.0.1:{self._kafka.port}"

    @property
    def influx_url(self) -> str:
        """InfluxDB with /api/v2/write, /query and /ping (through nginx)."""
        return f"http://127.0.0.1:{self._servers['nginx'].port}"

    @property
    def influx_direct_url(self) -> str:
        """InfluxDB itself, with /write, /query and /ping."""
        return f"http://127.0.0.1:{self._influxdb.port}"

    @property
    def names(self) -> list[str]:
        """The servers' names, as the other methods take them."""
        return list(self._servers)

    def start(self) -> None:
        """Starts all servers at once and returns when all are ready; on failure nothing is left running."""
        _remove_dead_runs(local_dir() / "run")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        try:
            for name in ("kafka", "influxdb", "mosquitto"):
                self._launch(self._servers[name])
            # nginx needs InfluxDB's port, which only configure() knows, but not InfluxDB itself.
            self._servers["nginx"] = Nginx(self.data_dir / "nginx", self._influxdb.port)
            self._launch(self._servers["nginx"])
            for name in ("mosquitto", "influxdb", "nginx", "kafka"):
                self._settle(self._servers[name])
        except BaseException:
            self.stop()
            raise

    def _launch(self, server: Server) -> None:
        process = server.configure()
        process.start()
        self._processes[server.name] = process

    def _settle(self, server: Server) -> None:
        """Waits until the server is ready; takes new ports when its own were taken in the meantime."""
        for _ in range(START_TRIES_MAX - 1):
            process = self._processes[server.name]
            try:
                process.wait_ready(server.ready, server.ready_s_max)
                return
            except ProcessError:
                if process.running or not server.clashed(process.log_since_start()):
                    raise
            self._launch(server)
            if server is self._influxdb:
                self._servers["nginx"] = Nginx(self.data_dir / "nginx", self._influxdb.port)
                self._processes["nginx"].stop()
                self._launch(self._servers["nginx"])
        self._processes[server.name].wait_ready(server.ready, server.ready_s_max)

    def stop(self) -> None:
        """Ends all servers that run; safe to call twice."""
        running = [process for process in self._processes.values() if process.running]
        for process in running:
            # Nothing of a stack is read after its end, so nobody waits for Kafka's orderly shutdown.
            process.kill() if process.name == "kafka" else process.stop(timeout_s=5.0)

    def restart(self, name: str, kill: bool = False) -> None:
        """Ends one server (by SIGKILL when `kill`) and starts it on the same port with the same data."""
        process = self._process(name)
        process.kill() if kill else process.stop(timeout_s=20.0)
        self.start_again(name)

    def start_again(self, name: str) -> None:
        """Starts a server that was killed or stopped, on the same port, and waits until it is ready."""
        process, server = self._process(name), self._servers[name]
        give_up_s = time.monotonic() + server.ready_s_max
        while True:
            process.start()
            try:
                process.wait_ready(server.ready, server.ready_s_max)
                return
            except ProcessError:
                # The port is ours by configuration: a socket left of the old process is only waited for.
                if (
                    process.running
                    or not server.clashed(process.log_since_start())
                    or time.monotonic() > give_up_s
                ):
                    raise
                time.sleep(0.2)

    def halt(self, name: str) -> None:
        """Ends one server in order and leaves it down; `start_again` brings it back."""
        self._process(name).stop(timeout_s=20.0)

    def kill(self, name: str) -> None:
        """SIGKILL to one server; `start_again` brings it back."""
        self._process(name).kill()

    def pause(self, name: str) -> None:
        """SIGSTOP to one server: connections stay open and nothing answers."""
        self._process(name).pause()

    def resume(self, name: str) -> None:
        """SIGCONT to one server."""
        self._process(name).resume()

    def logs(self, name: str) -> str:
        """The end of one server's log."""
        return self._process(name).log_since_start()

    def pid(self, name: str) -> int:
        """The process id of one server."""
        return self._process(name).pid

    def _process(self, name: str) -> Process:
        if name not in self._processes:
            raise ProcessError(
                f"find server {name}: the stack has {', '.join(self._processes) or 'not been started'}"
            )
        return self._processes[name]


def _default_dir() -> Path:
    number = next(_count)
    return local_dir() / "run" / (f"{os.getpid()}.{number}" if number else str(os.getpid()))


def _remove_dead_runs(folder: Path) -> None:
    """Removes the data of runs whose process is gone, so that killed runs do not fill the disk."""
    for run in folder.glob("[0-9]*"):
        if not Path("/proc", run.name.partition(".")[0]).exists():
            shutil.rmtree(run, ignore_errors=True)
