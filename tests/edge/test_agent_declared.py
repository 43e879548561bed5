"""The agent and the socket of other processes, as processes.

Goal: signals that are declared for the first time are collected after the agent started anew by itself, once, in the same
process; the client only has to connect again, and nothing that was spooled is lost.
Method: the agent runs with the socket as its only source, so that its first catalog is empty; the example client talks to it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.edge.test_agent_process import NO_BROKER_PORT, samples_of
from vantel.catalog import Catalog
from vantel_rig.van import Van

EXAMPLE = Path(__file__).parents[2] / "deploy" / "clients" / "example.py"
SIGNALS = {"stack.path_cost", "Vehicle.Robovan.Drive.SpeedTarget"}


@pytest.mark.once
def test_new_signals_come_with_a_start_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "s"
    source = {"kind": "socket", "path": str(path), "declarations": str(tmp_path / "state" / "declared.json")}
    van = Van("declared-1", tmp_path, NO_BROKER_PORT, [source], batch={"window_s": 1.0, "window_live_s": 1.0})
    van.start()
    van.wait_ready()
    pid = van.process.pid
    client = subprocess.Popen([sys.executable, str(EXAMPLE), str(path)], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 120
        while van.status()["samples_produced"] < 20 or van.status()["signals"] != len(SIGNALS):
            assert time.monotonic() < end, van.tail()
            assert client.poll() is None
            time.sleep(0.1)
        assert van.process.pid == pid
        assert str(van.status()["epoch"]).startswith("2-")
    finally:
        client.terminate()
        client.wait(20)
    assert van.stop() == 0, van.tail()
    names = {}
    for kept in (tmp_path / "state" / "catalogs").glob("*.catalog"):
        names.update({signal.id: signal.name for signal in Catalog.decode(kept.read_bytes())})
    found = samples_of(van)
    assert {names[signal_id] for signal_id in found} == SIGNALS
    speeds = next(column for signal_id, column in found.items() if names[signal_id].startswith("Vehicle"))
    assert len(speeds) >= 10
    assert np.isfinite([len(column) for column in found.values()]).all()
