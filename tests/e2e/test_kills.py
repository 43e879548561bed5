"""Kills in the middle of a drive.

Goal: SIGKILL of agent, bridge and worker and a restart of Mosquitto without persistence, each once in the middle of a
run with time original, end in the same signal and event points as an undisturbed run, with residual 0.
Method: the same drive twice under two van ids; all points of both are read back and compared.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from cloud.query import InfluxQuery
from vantel_rig.cloud_side import CloudSide
from vantel_rig.drives import drive
from vantel_rig.pytest_plugin import VanFactory
from vantel_rig.report import join_ledger
from vantel_rig.stack import Stack

pytestmark = [pytest.mark.servers, pytest.mark.e2e]

FAST = {"backoff_s_min": 0.2, "backoff_s_max": 1.0, "resend_after_s": 2.0, "stable_after_s": 1.0}
SPEED = 4.0


def source() -> dict[str, Any]:
    return {**drive(0, time="original", speed=SPEED, loop=False), "at_end": "exit"}


def faults() -> list[dict[str, Any]]:
    return [
        {
            "signal": "imu.ax_fwd_mps2",
            "kind": "spike",
            "magnitude": 400.0,
            "at_s": 5.0,
            "every_s": 5.0,
            "mark": "kill",
        }
    ]


def points(cloud: CloudSide, van: str) -> dict[tuple[str, str, int, str], Any]:
    query = InfluxQuery(cloud.settings.influx)
    found: dict[tuple[str, str, int, str], Any] = {}
    for measurement in ("telemetry", "events"):
        for part in query.query(f'SELECT * FROM "{measurement}" WHERE van = \'{van}\' GROUP BY "group"'):
            for row in part.rows():
                for name, value in row.items():
                    if name not in {"time", "van"} and value is not None:
                        found[(measurement, part.tags["group"], int(row["time"]), name)] = value
    return found


@pytest.mark.timeout(600)
def test_kills_leave_no_mark(
    vantel_stack: Stack, vantel_cloud: CloudSide, vantel_van: VanFactory, tmp_path: Path
) -> None:
    calm = vantel_van("kill-calm", [source()], faults=faults(), uplink=FAST)
    assert calm.wait_exit(120), calm.tail()

    rough = vantel_van("kill-rough", [source()], faults=faults(), uplink=FAST)
    time.sleep(3.0)
    rough.kill()
    rough.restart()
    time.sleep(2.0)
    vantel_cloud.kill("bridge")
    time.sleep(0.5)
    vantel_cloud.restart("bridge")
    time.sleep(1.0)
    vantel_cloud.kill("worker")
    time.sleep(0.5)
    vantel_cloud.restart("worker")
    vantel_stack.restart("mosquitto")
    assert rough.alive, f"the drive was over before the last fault:\n{rough.tail()}"
    assert rough.wait_exit(180), rough.tail()
    vantel_cloud.wait_drained(60)

    undisturbed, disturbed = points(vantel_cloud, "kill-calm"), points(vantel_cloud, "kill-rough")
    assert any(measurement == "events" for measurement, *_ in undisturbed)
    assert len(undisturbed) > 10_000
    assert disturbed == undisturbed
    for van in (calm, rough):
        report = join_ledger(vantel_cloud.settings, [van.folder / "state"], van.id)
        assert report["ledger"]["residual"] == 0, report
        assert report["ledger"]["stored"] == report["ledger"]["produced"] > 0
