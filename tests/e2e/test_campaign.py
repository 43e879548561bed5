"""A campaign pushed to a van that runs.

Goal: it takes effect within 5 s; its capture is whole (every sample from 10 s before to 5 s after, checked against the
recording) although the link is cut and the agent killed in the middle of it; the ledger balances.
Method: a van replays a CSV recording at its own pace; the operator's command; the broker stopped and the agent killed
while the capture is open; the body read from the van's clip and the points from InfluxDB.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge.capture import clip_file
from edge.settings import RecordingSection
from vantel import codec
from vantel.campaign.signature import new_key
from vantel.campaign.text import campaign_of
from vantel.captures import CapturePart, CaptureState
from vantel.identity import PayloadKind
from vantel_rig.backtest import back_test
from vantel_rig.cloud_side import CloudSide
from vantel_rig.pytest_plugin import VanFactory
from vantel_rig.report import join_ledger
from vantel_rig.stack import Stack

pytestmark = [pytest.mark.servers, pytest.mark.e2e]
START_NS = 1_700_000_000_000_000_000
SPIKE_S = 60  # a busy machine must have pushed the campaign by then; a quiet one needs three seconds
CAMPAIGN = """
name = "spike"
version = 1
condition = "drive.a > 100"
signals = ["drive.*"]
before_s = 10
after_s = 5
bytes_per_day_max = 10_000_000
"""


def recording(path: Path) -> dict[str, list[tuple[int, float]]]:
    """100 Hz with one spike, until 20 s after it; written as CSV, returned as samples by name."""
    rng = np.random.default_rng(1)
    lines, samples = ["t,a,b"], {"drive.a": [], "drive.b": []}
    for at in range((SPIKE_S + 20) * 100):
        t_s = at / 100
        a = 200.0 if SPIKE_S <= t_s < SPIKE_S + 0.5 else round(float(rng.normal()), 3)
        b = round(float(rng.normal()), 3)
        lines.append(f"{t_s:.2f},{a},{b}")
        samples["drive.a"].append((START_NS + at * 10_000_000, a))
        samples["drive.b"].append((START_NS + at * 10_000_000, b))
    path.write_text("\n".join(lines) + "\n")
    return samples


def push(cloud: CloudSide, key: Path, campaign: Path, *words: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "cloud", "campaign", "push", str(campaign), "--key", str(key), "--config", str(cloud.config), *words, "--json"],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_pushed_campaign_takes_effect_and_its_capture_survives_a_cut_and_a_kill(
    vantel_stack: Stack, vantel_cloud: CloudSide, vantel_van: VanFactory, tmp_path: Path
) -> None:
    private, public = new_key()
    (tmp_path / "operator.key").write_bytes(private)
    (tmp_path / "operator.pub").write_bytes(public)
    (tmp_path / "spike.toml").write_text(CAMPAIGN)
    samples = recording(tmp_path / "drive.csv")
    source = {
        "kind": "replay", "time": "original", "speed": 1.0,
        "recordings": [{"path": str(tmp_path / "drive.csv"), "name": "drive", "start_unix_s": START_NS / 1e9}],
    }  # fmt: skip
    began_s = time.monotonic()
    van = vantel_van("campaign-1", [source], campaign={"keys_file": str(tmp_path / "operator.pub")})
    start_s = time.monotonic() - began_s  # a busy machine shows here too
    told = push(
        vantel_cloud, tmp_path / "operator.key", tmp_path / "spike.toml", "--van", van.id, "--wait-s", "120"
    )
    assert told["vans"] == {van.id: "active"}, van.tail()
    assert float(str(told["answered_s"])) < 5.0 + start_s
    clips = van.folder / "state" / "captures"
    until_s = time.monotonic() + 240
    while not list(clips.glob("*.clip")):  # the capture has opened
        assert time.monotonic() < until_s, van.tail()
        time.sleep(0.1)
    vantel_stack.halt("mosquitto")
    time.sleep(1.0)
    van.kill()
    vantel_stack.start_again("mosquitto")
    van.restart()
    path = next(iter(clips.glob("*.clip")))
    until_s = time.monotonic() + 240
    while (summary := clip_file.summary_of(path)) is None or summary.state is CaptureState.OPEN:
        assert time.monotonic() < until_s, van.tail()
        time.sleep(0.2)
    assert summary.state is CaptureState.COMPLETE
    trigger_ns = START_NS + SPIKE_S * 10**9 + 10_000_000
    assert summary.start_mono_ns == trigger_ns - 10 * 10**9
    assert summary.end_mono_ns == trigger_ns + 5 * 10**9
    wanted = {
        name: [(t, v) for t, v in values if summary.start_mono_ns <= t < summary.end_mono_ns] for name, values in samples.items()
    }  # fmt: skip
    parts = [CapturePart.decode(p) for kind, p in clip_file.read(path) if kind == PayloadKind.CAPTURE_PART]
    by_id: dict[int, list[tuple[int, float]]] = {}
    for part in parts:
        for column in [] if part.last_values else codec.decode(part.batch.columns):
            by_id.setdefault(column.signal_id, []).extend(
                zip(column.t_ns.tolist(), column.values.tolist(), strict=True)
            )
    body = sorted(by_id.values())
    assert body == sorted(wanted.values())
    section = RecordingSection(path=tmp_path / "drive.csv", name="drive", start_unix_s=START_NS / 1e9)
    tried = back_test([section], [campaign_of(CAMPAIGN)]).captures
    assert [
        (c.capture_id, c.triggers, c.start_mono_ns, c.end_mono_ns, c.samples, c.body_bytes) for c in tried
    ] == [
        (
            summary.capture_id,
            summary.triggers,
            summary.start_mono_ns,
            summary.end_mono_ns,
            summary.samples,
            summary.body_bytes,
        )
    ]
    assert van.drain(240), van.tail()
    vantel_cloud.wait_drained(240)
    sheet = join_ledger(vantel_cloud.settings, [van.folder / "state"], van.id)["ledger"]
    assert sheet["residual"] == 0
    assert sheet["produced"] == sheet["stored"]


@pytest.mark.timeout(300)
def test_bodies_wait_on_the_van_while_its_link_is_metered(
    vantel_cloud: CloudSide, vantel_van: VanFactory, tmp_path: Path
) -> None:
    private, public = new_key()
    key, file = tmp_path / "operator.key", tmp_path / "home.toml"
    key.write_bytes(private)
    (tmp_path / "operator.pub").write_bytes(public)
    file.write_text(
        'name = "home"\nversion = 1\nsignals = ["Vehicle.Speed"]\nrepeat = true\nnetwork = "unmetered"\n'
        "before_s = 1\nafter_s = 1\nquiet_s = 5\nbytes_per_day_max = 10_000_000\n"
    )
    van = vantel_van(
        "campaign-2", [{"kind": "synthetic", "rate_hz": 20}], campaign={"keys_file": str(tmp_path / "operator.pub")},
        uplink={"p2_metered_day_bytes_max": 10_000_000},
    )  # fmt: skip
    metered, folder = van.folder / "state" / "metered", van.folder / "state" / "captures"
    metered.touch()
    push(vantel_cloud, key, file, "--van", van.id, "--wait-s", "30")

    def status() -> dict[str, object]:
        words = [sys.executable, "-m", "cloud", "campaign", "status", "home", "--config", str(vantel_cloud.config), "--json"]  # fmt: skip
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        return json.loads(done.stdout)[0]

    until_s = time.monotonic() + 90
    while not status()["bodies_waiting"]:
        assert time.monotonic() < until_s, van.tail()
    assert van.status()["spool"]["p2"]["envelopes"] == 0
    assert van.status()["captures"]["waiting_for_unmetered_link"] >= 1
    waiting = [p for p in folder.glob("*.clip") if (s := clip_file.summary_of(p)) and s.body_waits]
    metered.unlink()
    until_s = time.monotonic() + 60
    while any((s := clip_file.summary_of(path)) is None or s.body_waits for path in waiting):
        assert time.monotonic() < until_s, van.tail()
        time.sleep(0.2)
    assert van.drain(120), van.tail()
    vantel_cloud.wait_drained(60)
    sheet = join_ledger(vantel_cloud.settings, [van.folder / "state"], van.id)["ledger"]
    assert sheet["residual"] == 0
    assert sheet["produced"] == sheet["stored"]
