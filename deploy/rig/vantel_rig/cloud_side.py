"""The cloud side of the rig: bridge, worker and page as ordinary processes on the servers of a Stack."""

from __future__ import annotations

import asyncio
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from cloud.commands.redrive import letters
from cloud.kafka.provision import provision_topics
from cloud.ledger.sheet import lag
from cloud.query import InfluxQuery
from cloud.settings import CloudSettings, load
from cloud.worker.letters import DeadLetter
from vantel_rig.ports import HeldPort
from vantel_rig.process import Process
from vantel_rig.stack import Stack

READY_S_MAX = 180.0
STOP_S_MAX = 30.0
POLL_S = 0.2
PROGRAMS = ("bridge", "worker", "web")


class CloudSide:
    """Bridge, worker and page with one settings file; start, kill and restart each by name."""

    def __init__(self, stack: Stack, folder: Path, **sections: Mapping[str, Any]) -> None:
        """sections: sections of the cloud settings that differ from the rig's, such as worker={...}."""
        self.folder = folder
        self._held = {name: HeldPort() for name in PROGRAMS}
        self._ports = {name: held.port for name, held in self._held.items()}
        tree: dict[str, dict[str, Any]] = {
            "mqtt": {"host": "127.0.0.1", "port": stack.mqtt_port},
            "kafka": {"bootstrap": stack.kafka_bootstrap},
            "influx": {"url": stack.influx_url},
            "http": {f"{name}_port": self._ports[name] for name in ("bridge", "worker")},
            "web": {"port": self._ports["web"]},
            "log": {"format": "text"},
        }
        for name, section in sections.items():
            tree.setdefault(name, {}).update(section)
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "cloud.toml"
        self.config.write_text(tomli_w.dumps(tree), encoding="utf-8")
        self.settings: CloudSettings = load(self.config)
        self._processes: dict[str, Process] = {}

    def start(self) -> CloudSide:
        """Create the topics, start all programs and wait until they are healthy."""
        self.provision()
        for name in PROGRAMS:
            self.launch(name)
        for name in PROGRAMS:
            self.wait_healthy(name)
        return self

    def provision(self) -> None:
        """Create the Kafka topics and the database."""
        asyncio.run(provision_topics(self.settings))
        InfluxQuery(self.settings.influx).ensure_database()

    def wait_drained(self, timeout_s: float) -> None:
        """Wait until the worker has committed everything that is in Kafka; TimeoutError when it has not in time."""
        deadline = time.monotonic() + timeout_s
        while (behind := asyncio.run(lag(self.settings))) > 0:
            if time.monotonic() >= deadline:
                raise TimeoutError(
                    f"{behind} records not committed after {timeout_s:.0f} s:\n{self.tail('worker')}"
                )
            time.sleep(POLL_S)

    def dead_letters(self) -> list[DeadLetter]:
        """All dead letters."""

        async def read() -> list[DeadLetter]:
            return [letter async for letter in letters(self.settings.kafka)]

        return asyncio.run(read())

    def launch(
        self,
        name: str,
        program: Sequence[str] = (sys.executable, "-m", "cloud"),
        env: Mapping[str, str] | None = None,
    ) -> Process:
        """Start bridge, worker or page without waiting. program: what runs as it; env: laid over ours."""
        argv = [*program, name, "--config", str(self.config)]
        process = Process(name, argv, env, self.folder / f"{name}.log")
        self._held[name].release()
        process.start()
        self._processes[name] = process
        return process

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self._processes[name].kill()

    def restart(self, name: str) -> None:
        """Start again after a kill and wait until it is healthy."""
        self.launch(name)
        self.wait_healthy(name)

    def wait_healthy(self, name: str, timeout_s: float = READY_S_MAX) -> None:
        """Wait for /healthz to say 200."""
        deadline = time.monotonic() + timeout_s
        last = "no answer"
        while time.monotonic() < deadline:
            if not self._processes[name].running:
                raise RuntimeError(f"{name} ended before it was healthy; last words:\n{self.tail(name)}")
            try:
                with urllib.request.urlopen(f"{self.url(name)}/healthz", timeout=2):  # noqa: S310 - loopback
                    return
            except OSError as cause:
                last = str(cause)
            time.sleep(0.1)
        raise TimeoutError(
            f"{name} not healthy after {timeout_s:.0f} s ({last}); last words:\n{self.tail(name)}"
        )

    def url(self, name: str) -> str:
        """Base address of the health pages of bridge or worker, or of the page."""
        return f"http://127.0.0.1:{self._ports[name]}"

    def metrics(self, name: str) -> str:
        """Prometheus text of bridge or worker."""
        with urllib.request.urlopen(f"{self.url(name)}/metrics", timeout=5) as answer:  # noqa: S310 - loopback
            return str(answer.read().decode())

    def process(self, name: str) -> Process:
        """The process of bridge or worker."""
        return self._processes[name]

    def stop(self) -> None:
        """SIGTERM to all, bridge first."""
        for name in PROGRAMS:
            if name in self._processes:
                self._processes[name].stop(STOP_S_MAX)

    def tail(self, name: str, lines: int = 20) -> str:
        """Last lines of a log."""
        path = self.folder / f"{name}.log"
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
