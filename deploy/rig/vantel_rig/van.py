"""A van of the rig: settings, an ordinary `vantel-edge run` process, and what a test bench does to it.

Each van owns a folder (settings, state, log, faults file); nothing it does reaches beyond that folder and loopback.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from edge.spool import Spool, SpoolReport
from edge.status.file import STATUS_FILE, StatusError, read_status
from vantel_rig.process import Process

STOP_S_MAX = 30.0


class Van:
    """One van; start, stop, kill and restart it, inject faults, read its status and its spool."""

    def __init__(
        self,
        van_id: str,
        folder: Path,
        mqtt_port: int,
        sources: Sequence[Mapping[str, Any]],
        **sections: Any,
    ) -> None:
        """sources: the [[sources]] of the settings; sections: further sections such as batch={"fidelity": "full"}."""
        self.id = van_id
        self.folder = folder
        self._settings: dict[str, Any] = {
            "van": {"id": van_id, "state_dir": str(folder / "state")},
            "mqtt": {"host": "127.0.0.1", "port": mqtt_port, **sections.pop("mqtt", {})},
            "sources": [dict(source) for source in sources],
            "faults_file": str(folder / "faults.jsonl"),
            "clock": {"p0_wait_s": 0, "wait_s": 0},  # a rig without network time is no reason to wait
            **sections,
        }
        self._process: Process | None = None
        self._status_of_before = 0

    @property
    def config(self) -> Path:
        """Settings file of the van."""
        return self.folder / "edge.toml"

    @property
    def log_path(self) -> Path:
        """Everything the agent said on standard output and error, over all its starts."""
        return self.folder / "edge.log"

    def start(
        self, program: Sequence[str] = (sys.executable, "-m", "edge"), env: Mapping[str, str] | None = None
    ) -> Van:
        """Write the settings and start the agent. program: what runs as the agent; env: laid over ours."""
        (self.folder / "state").mkdir(parents=True, exist_ok=True)
        self.config.write_text(tomli_w.dumps(self._settings), encoding="utf-8")
        argv = [*program, "run", "--config", str(self.config)]
        self._status_of_before = self._status_written()
        self._process = Process(f"van {self.id}", argv, env, self.log_path)
        self._process.start()
        return self

    def stop(self) -> int | None:
        """SIGTERM; the agent seals and leaves. Returns its exit code."""
        return self.process.stop(STOP_S_MAX)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def restart(self) -> None:
        """Start again after kill or stop, with the same settings and state."""
        self.start()

    def drain(self, timeout_s: float) -> bool:
        """Stop collecting, wait until the cloud has everything; False when that took longer than timeout_s."""
        self.process.send_signal(signal.SIGUSR1)
        return self.wait_exit(timeout_s)

    def wait_exit(self, timeout_s: float) -> bool:
        """Wait until the agent has left by itself."""
        return self.process.wait(timeout_s) is not None

    @property
    def alive(self) -> bool:
        """The agent's process runs."""
        return self._process is not None and self._process.running

    def inject(
        self,
        signal_name: str,
        kind: str,
        magnitude: float = 0.0,
        *,
        at_s: float = 0.0,
        for_s: float = 0.0,
        every_s: float = 0.0,
        mark: str = "rig",
    ) -> None:
        """Put a fault into a signal from its next sample on (plus at_s); see [[faults]] of the agent's settings."""
        fault = {
            "signal": signal_name,
            "kind": kind,
            "magnitude": magnitude,
            "at_s": at_s,
            "for_s": for_s,
            "every_s": every_s,
            "mark": mark,
        }
        with (self.folder / "faults.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(fault) + "\n")

    def status(self) -> dict[str, Any]:
        """What the agent last said about itself; empty before its first word."""
        try:
            return read_status(self.folder / "state")
        except StatusError:
            return {}

    def _status_written(self) -> int:
        """When the status file was written, ns of the disk's clock; 0 for none."""
        try:
            return (self.folder / "state" / STATUS_FILE).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    @property
    def ready(self) -> bool:
        """The agent has said something since its last start; what an earlier one left on the disk does not count."""
        return self._status_written() not in (0, self._status_of_before)

    def wait_ready(self, timeout_s: float = 180.0) -> dict[str, Any]:
        """Wait for the first status of the running agent."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.ready and (status := self.status()):
                return status
            if not self.alive:
                raise RuntimeError(f"van {self.id} ended before it was ready; last words:\n{self.tail()}")
            time.sleep(0.05)
        raise TimeoutError(f"van {self.id} not ready after {timeout_s:.0f} s; last words:\n{self.tail()}")

    def spool(self) -> SpoolReport:
        """The van's end of the ledger, read from its disk."""
        return Spool.inspect(self.folder / "state" / "spool")

    def tail(self, lines: int = 20) -> str:
        """Last lines of the log."""
        if not self.log_path.exists():
            return "(no log)"
        return "\n".join(self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    @property
    def process(self) -> Process:
        """The agent's process; RuntimeError before the first start."""
        if self._process is None:
            raise RuntimeError(f"van {self.id} was never started")
        return self._process
