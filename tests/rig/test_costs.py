"""vantel replay --bytes: what each signal of a drive costs.

Goal: the sum over the signals is what is really sent, a noisy signal costs more than a quiet one, and the command tells it.
Method: a CSV drive with a constant, a counter, noise and a text; payload bytes counted apart from the command's own code.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


def drive(path: Path) -> None:
    noise = np.random.default_rng(2).normal(size=3000)
    rows = [f"{1_700_000_000 + k / 100:.2f},7.5,{k % 16},{noise[k]:.17g}" for k in range(3000)]
    path.write_text("t_unix_s,still,counter,noise\n" + "\n".join(rows) + "\n")


def replay(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vantel_rig", "replay", *words],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def test_what_each_signal_costs(tmp_path: Path) -> None:
    drive(tmp_path / "drive.csv")
    done = replay(str(tmp_path / "drive.csv"), "--bytes", "--json", "--budget-mb", "100")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    signals = told["signals"]
    still, counter, noise = (
        next(row for name, row in signals.items() if name.endswith(word))
        for word in ("still", "counter", "noise")
    )
    assert still["samples"] == counter["samples"] == noise["samples"] == 3000
    assert still["bits_a_sample"] < 1
    assert 45 < noise["bits_a_sample"] < 66
    assert next(iter(signals)).endswith("noise")
    assert abs(sum(row["bytes"] for row in signals.values()) - told["bytes"]) < 1
    assert abs(noise["share_of_day"] - noise["bytes_a_day"] / 100e6) < 1e-4
    assert 29 < told["seconds"] < 31
    assert told["messages"] >= 3


@pytest.mark.once
def test_the_table_for_people_and_wrong_usage(tmp_path: Path) -> None:
    drive(tmp_path / "drive.csv")
    done = replay(str(tmp_path / "drive.csv"), "--bytes")
    assert done.returncode == 0
    assert "noise" in done.stdout
    assert "█" in done.stdout
    assert replay(str(tmp_path / "drive.csv")).returncode == 2
    assert replay(str(tmp_path / "missing.csv"), "--bytes").returncode == 65
