"""Back-test of campaigns.

Goal: `vantel replay` says which captures there would be, with their bytes and CPU a day, and rejects what a van rejects.
Method: a recorded CSV drive and the command; that a live van makes the same captures is shown in tests/e2e/test_campaign.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.test_campaign import CAMPAIGN, SPIKE_S, START_NS, recording


def replay(folder: Path, text: str, *words: str) -> tuple[int, str]:
    (folder / "campaign.toml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "vantel_rig", "replay", str(folder / "drive.csv"), "--campaign", str(folder / "campaign.toml"),
         "--start-unix-s", str(START_NS / 1e9), *words],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_the_captures_of_a_recording_with_bytes_and_cpu_a_day(tmp_path: Path) -> None:
    recording(tmp_path / "drive.csv")
    roomy = CAMPAIGN.replace("10_000_000", "100_000_000")  # a spike each 40 s is a lot for a day
    code, words = replay(tmp_path, roomy, "--json", "--plot", str(tmp_path / "plot.svg"))
    assert code == 0, words
    told = json.loads(words)
    assert [round(item["at_s"], 2) for item in told["captures"]] == [SPIKE_S + 0.01]
    assert told["captures"][0]["samples"] == 2 * 1500 + 2  # and two last values
    assert told["campaigns"]["spike"]["captures"] == 1
    assert told["bytes_a_day"] > 0
    assert told["cpu_s_a_day"] > 0
    assert "<rect" in (tmp_path / "plot.svg").read_text()


@pytest.mark.once
def test_what_a_van_would_reject_is_rejected_with_its_place(tmp_path: Path) -> None:
    recording(tmp_path / "drive.csv")
    code, words = replay(tmp_path, CAMPAIGN.replace("drive.a > 100", "drive.a > 100 and drive.c > 1"))
    assert code == 1
    assert "rejected at character 18: unknown_signal" in words
    code, words = replay(tmp_path, CAMPAIGN.replace("after_s = 5", "after_s = -5"))
    assert code == 65
    assert "after_s" in words


@pytest.mark.once
def test_a_budget_that_does_not_hold_is_told_by_the_exit_code(tmp_path: Path) -> None:
    recording(tmp_path / "drive.csv")
    code, words = replay(tmp_path, CAMPAIGN.replace("10_000_000", "10_000"))
    assert code == 1, words
