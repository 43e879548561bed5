"""Goal: a misspelt signal in the settings is told by `vantel-edge check`, with its key and the nearest name; a right one is not.

Method: the command itself, on settings with a probe.
"""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from edge.__main__ import app

PROBE = "Vehicle.Robovan.TestBench.Probe"
SETTINGS = """
[van]
id = "van-1"
state_dir = "{state}"
[[sources]]
kind = "probe"
[detector]
peers = [["{first}", "{second}"]]
muted = {{"{muted}" = {{reason = "workshop"}}}}
[[sampler.rules]]
signals = ["{pattern}"]
period_s_min = 1.0
"""


def said(tmp_path: Path, first: str, second: str, muted: str, pattern: str) -> list[str]:
    path = tmp_path / "edge.toml"
    path.write_text(
        SETTINGS.format(state=tmp_path / "state", first=first, second=second, muted=muted, pattern=pattern)
    )
    done = CliRunner().invoke(app, ["check", "--config", str(path)])
    assert done.exit_code == 0, done.output
    return [line for line in done.output.splitlines() if line.startswith("note: ")]


def test_names_that_fit_no_signal_are_told_with_the_nearest(tmp_path: Path) -> None:
    lines = said(tmp_path, PROBE, "Vehicle.Robovan.TestBench.Prob", "Vehicle.Sped", "vehicle.*")
    assert len(lines) == 3
    assert lines[0] == (
        f"note: detector.peers names Vehicle.Robovan.TestBench.Prob, which no source here gives; did you mean {PROBE}?"
    )
    assert lines[1].startswith("note: detector.muted names Vehicle.Sped, which no source here gives")
    assert lines[2].startswith("note: sampler.rules[0] names vehicle.*, which no source here gives")


def test_names_that_fit_are_not_told(tmp_path: Path) -> None:
    assert said(tmp_path, PROBE, PROBE.lower(), PROBE.upper(), "Vehicle.Robovan.*") == []
