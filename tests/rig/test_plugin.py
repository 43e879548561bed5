"""The pytest plugin, as a rig uses it from a folder of its own.

Goal: with nothing but the installed package a rig's test replays a drive, injects a fault and expects the event, and a
fault that is not reported fails the test.
Method: pytest in a process of its own, in an empty folder, on a test file as a rig would write it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DATA = Path(__file__).parents[1] / "data" / "can" / "obd_gnss_2024"

RIG_TEST = """
from pathlib import Path
import pytest

DATA = Path({data!r})

def test_a_spike_in_a_replayed_drive_is_reported(vantel_replay, vantel_events):
    van = vantel_replay(
        "rig-1", DATA / "obd_gnss_imu_10min.blf",
        [DATA / "canedge-internal-can9.dbc", DATA / "OBD-v4.4.dbc"], speed=20.0,
        sections={{"faults": [{{"signal": {signal!r}, "kind": "spike", "magnitude": 5000.0, "at_s": 60, "mark": "mine"}}]}},
    )
    event = vantel_events.expect(van, signal={signal!r}, mark="mine")
    assert event.fields["value"] > 4000

def test_a_fault_injected_while_running_is_reported(vantel_van, vantel_events):
    van = vantel_van("rig-2", [{{"kind": "probe", "rate_hz": 50.0}}])
    van.inject("Vehicle.Robovan.TestBench.Probe", "spike", 50.0, at_s=3.0, mark="my-fault")
    vantel_events.expect(van, channel="robust_z", mark="my-fault")

def test_no_fault_no_event(vantel_van, vantel_events):
    van = vantel_van("rig-3", [{{"kind": "probe"}}])
    with pytest.raises(AssertionError, match="no event"):
        vantel_events.expect(van, mark="never", timeout_s=3)
"""


@pytest.mark.servers
@pytest.mark.e2e
def test_a_rig_in_another_folder_uses_the_fixtures(tmp_path: Path) -> None:
    signal = "can9.GnssSpeed.Speed"
    (tmp_path / "test_rig.py").write_text(RIG_TEST.format(data=str(DATA), signal=signal), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, timeout=560, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "3 passed" in done.stdout
