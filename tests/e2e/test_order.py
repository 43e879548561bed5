"""Commands about captures, as an operator gives them.

Goal: a range out of rings and disk becomes captures with an account of what is missing; one is held, released and sent
again, which does not change its clip; diagnostics come and are read; each command is in the van's audit record; what a
van does not have is refused with a reason.
Method: a real van, broker, bridge, Kafka and worker; the command line; the van's clips and audit file.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.capture import clip_file
from edge.capture.clips import read_holds
from vantel.campaign.signature import new_key
from vantel.captures import CaptureState
from vantel_rig.cloud_side import CloudSide
from vantel_rig.pytest_plugin import VanFactory
from vantel_rig.report import join_ledger

pytestmark = [pytest.mark.servers, pytest.mark.e2e]


def order(cloud: CloudSide, *words: str, command: str = "order") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "cloud", command, *words, "--config", str(cloud.config)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_a_range_is_fetched_held_released_and_sent_again(
    vantel_cloud: CloudSide, vantel_van: VanFactory
) -> None:
    van = vantel_van(
        "order-1", [{"kind": "synthetic", "rate_hz": 20}], ring={"seconds": 20}, batch={"window_s": 1.0}
    )
    began = time.time()
    time.sleep(6.0)
    start = time.time() - 4.0
    code, words = order(
        vantel_cloud,
        "range",
        van.id,
        "--start",
        f"{start:.3f}",
        "--seconds",
        "3",
        "--signal",
        "Vehicle.Speed",
    )
    assert code == 0, words
    folder = van.folder / "state" / "captures"
    until_s = time.monotonic() + 240
    while not [
        p
        for p in folder.glob("*.clip")
        if (s := clip_file.summary_of(p)) and s.state is CaptureState.COMPLETE
    ]:
        assert time.monotonic() < until_s, van.tail()
        time.sleep(0.2)
    path = next(folder.glob("*.clip"))
    summary = clip_file.summary_of(path)
    assert summary is not None
    assert summary.samples >= 59
    assert order(vantel_cloud, "hold", van.id, path.stem)[0] == 0
    assert path.stem in read_holds(folder)
    assert order(vantel_cloud, "release", van.id, path.stem)[0] == 0
    size = path.stat().st_size
    code, words = order(vantel_cloud, "fetch", van.id, path.stem)
    assert code == 0
    assert "sent again" in words
    assert path.stat().st_size == size
    code, words = order(vantel_cloud, "fetch", van.id, "0" * 16)
    assert code == 1
    assert "no capture" in words
    code, words = order(vantel_cloud, "range", van.id, "--start", "1000", "--seconds", "3")
    assert code == 1
    assert "nothing of that time is there" in words
    assert "1970-01-01T00:16:40.000Z to 1970-01-01T00:16:43.000Z unknown" in words
    time.sleep(max(0.0, began + 24.0 - time.time()))
    code, words = order(
        vantel_cloud, "range", van.id, "--start", "26s", "--seconds", "25", "--signal", "Vehicle.*"
    )
    assert code == 0, words
    assert "from the disk" in words
    assert "from the rings" in words
    from_disk = clip_file.summary_of(folder / f"{words.split('capture ')[1][:16]}.clip")
    assert from_disk is not None
    assert from_disk.samples > 0
    code, words = order(vantel_cloud, "diagnostics", van.id)
    assert code == 0
    code, words = order(vantel_cloud, "list", "--van", van.id, "--json", command="diagnostics")
    until_s = time.monotonic() + 60
    while not (rows := json.loads(words)):
        assert time.monotonic() < until_s, van.tail()
        code, words = order(vantel_cloud, "list", "--van", van.id, "--json", command="diagnostics")
    code, words = order(vantel_cloud, "show", van.id, rows[0]["command"], command="diagnostics")
    assert code == 0, words
    assert json.loads(words)["status"]["van"] == van.id
    code, words = order(vantel_cloud, "show", van.id, "f" * 16, command="diagnostics")
    assert code == 65
    assert f"no bundle of {van.id} for command ffffffffffffffff" in words
    asked = [
        json.loads(line)["asked"]
        for line in (van.folder / "state" / "commands.jsonl").read_text().splitlines()
    ]
    assert [text.split("(")[0] for text in asked][:4] == [
        "FetchRange",
        "HoldCapture",
        "HoldCapture",
        "FetchCapture",
    ]
    assert van.drain(240), van.tail()
    vantel_cloud.wait_drained(240)
    sheet = join_ledger(vantel_cloud.settings, [van.folder / "state"], van.id)["ledger"]
    assert sheet["residual"] == 0
    assert sheet["produced"] == sheet["stored"]


def test_a_campaign_that_nobody_has_is_told_and_not_passed_over(
    vantel_cloud: CloudSide, tmp_path: Path
) -> None:
    private, _ = new_key()
    key = tmp_path / "operator.key"
    key.write_bytes(private)
    code, words = order(vantel_cloud, "status", "no-such-campaign", command="campaign")
    assert (code, "no van shall have a campaign 'no-such-campaign'" in words) == (65, True), words
    code, words = order(vantel_cloud, "revoke", "no-such-campaign", "--key", str(key), command="campaign")
    assert (code, "no van shall have a campaign 'no-such-campaign'" in words) == (65, True), words
