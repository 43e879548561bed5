"""vantel replay --bytes: what each signal of a drive costs.

Goal: the sum over the signals is what is really sent, a noisy signal costs more than a quiet one, and the command tells it.
Method: a CSV drive with a constant, a counter, noise and a text; payload bytes counted apart from the command's own code.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import can
import numpy as np
import pytest

RAV4 = Path(__file__).parents[1] / "data" / "can" / "rav4_2016"
DBC = RAV4 / "toyota_new_mc_pt_generated.dbc"


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


@pytest.mark.once
def test_a_csv_of_python_can_is_a_can_log_and_names_are_whole(tmp_path: Path) -> None:
    """A narrow screen breaks names, for they are copied from it; it never cuts them."""
    with can.Logger(tmp_path / "drive.csv") as logger:
        for message in itertools.islice(can.LogReader(RAV4 / "rav4_can.log.gz"), 500):
            message.channel = 0
            logger(message)
    done = replay(str(tmp_path / "drive.csv"), "--dbc", str(DBC), "--bytes")
    assert done.returncode == 0, done.stderr
    cells = [line.split("│")[1].strip() for line in done.stdout.splitlines() if line.startswith("│")]
    assert "can0.SPEED.SPEED" in "".join(cells)
    assert "…" not in "".join(cells)


@pytest.mark.once
def test_settings_of_an_agent_give_its_recordings(tmp_path: Path) -> None:
    """Time columns, maps and names of each recording stand there, and no option could say to which they belong."""
    (tmp_path / "drive.csv").write_text(
        "speed,ms\n" + "".join(f"{10 + at % 7},{1_760_000_000_000 + at * 100}\n" for at in range(100))
    )
    (tmp_path / "edge.toml").write_text(
        f"""[van]
id = "van-1"
[[sources]]
kind = "replay"
  [[sources.recordings]]
  path = "{tmp_path}/drive.csv"
  time_column = "ms"
  time_unit = "ms"
  map = {{ speed = "Vehicle.Speed" }}
"""
    )
    done = replay(str(tmp_path / "edge.toml"), "--bytes", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert list(told["signals"]) == ["Vehicle.Speed"]
    assert told["seconds"] == 9.9
    refused = replay(str(tmp_path / "edge.toml"), "--bytes", "--map", "speed=Vehicle.Speed")
    assert refused.returncode == 65
    assert "set them in this file" in refused.stderr


@pytest.mark.once
@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--bytes", "--fidelity", "all"], 65, "batch.fidelity: Input should be 'rollup' or 'full'\n"),
        (["--bytes", "--map", "speed"], 65, "--map speed: give LOCAL=CATALOG"),
        (["--peers", "--plot", "p.svg"], 2, "--plot shows triggers"),
        (["--campaign", "nowhere.toml"], 65, "nowhere.toml"),
        (["--campaign", "c.toml", "--plot", "nowhere/p.svg"], 65, "nowhere/p.svg"),
        (["--campaign", "wrong.toml"], 65, "wrong.toml: malformed"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(tmp_path: Path, words: list[str], code: int, told: str) -> None:
    drive(tmp_path / "drive.csv")
    (tmp_path / "wrong.toml").write_text("nme = 1\n")
    (tmp_path / "c.toml").write_text(
        'name = "x"\nversion = 1\ncondition = "drive.noise > 1"\nsignals = ["drive.noise"]\n'
        "before_s = 1\nafter_s = 1\nbytes_per_day_max = 1_000_000_000\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "vantel_rig", "replay", "drive.csv", *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
