"""A range asked for again by an operator.

Goal: `vantel-cloud resend` has the van send envelopes again that the cloud has acked, byte by byte; they count as
duplicates and change no point; what the van does not have is told; a van that is not there is an error with its reason.
Method: a real van, broker, bridge, Kafka and worker; the command as an operator types it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from cloud.query import InfluxQuery
from vantel.identity import DeliveryClass
from vantel_rig.cloud_side import CloudSide
from vantel_rig.pytest_plugin import VanFactory
from vantel_rig.report import join_ledger

pytestmark = [pytest.mark.servers, pytest.mark.e2e]


def resend(
    cloud: CloudSide, van: str, epoch: str, first: int, last: int, timeout_s: int = 180
) -> tuple[int, str]:
    """Exit code and words of the command."""
    done = subprocess.run(
        [
            sys.executable, "-m", "cloud", "resend", "--config", str(cloud.config), "--van", van, "--epoch", epoch,
            "--class", "p1", "--first", str(first), "--last", str(last), "--timeout-s", str(timeout_s), "--json",
        ],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_a_range_comes_again_and_changes_nothing(vantel_cloud: CloudSide, vantel_van: VanFactory) -> None:
    van = vantel_van("resend-1", [{"kind": "synthetic"}], batch={"window_s": 0.5, "window_live_s": 0.5})

    def acked() -> int:
        return sum(a.acked.count() for a in van.spool().accounts if a.delivery_class is DeliveryClass.P1)

    until_s = time.monotonic() + 240
    while acked() < 5:
        assert time.monotonic() < until_s, van.tail()
        time.sleep(0.2)
    epoch = van.spool().epoch.text
    code, words = resend(vantel_cloud, van.id, epoch, 0, 4)
    assert code == 0, words
    assert json.loads(words) == {"van": van.id, "status": "done", "detail": "5 sent again"}
    code, words = resend(vantel_cloud, van.id, epoch, 900_000, 900_001)
    assert code == 1
    assert "2 never (900000-900001)" in json.loads(words)["detail"]
    assert van.drain(240), van.tail()
    vantel_cloud.wait_drained(240)
    sheet = join_ledger(vantel_cloud.settings, [van.folder / "state"], van.id)["ledger"]
    assert sheet["duplicates"] >= 5
    assert sheet["residual"] == 0
    assert sheet["produced"] == sheet["stored"]
    found = InfluxQuery(vantel_cloud.settings.influx).count_points_by_van(van.id)
    assert found[van.id] == sheet["points"]


def test_a_van_that_is_not_there_and_words_that_mean_nothing(vantel_cloud: CloudSide) -> None:
    code, words = resend(vantel_cloud, "nobody", "1-abcdef01", 0, 1, timeout_s=3)
    assert code == 65
    assert "nobody gave no result in 3 s" in words
    code, words = resend(vantel_cloud, "nobody", "first", 0, 1)
    assert code == 65
    assert "'first' is no epoch" in words
    assert "vantel ledger" in words
