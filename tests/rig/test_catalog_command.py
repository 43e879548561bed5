"""vantel catalog.

Goal: list, show, diff and lint say what is in a catalog, with exit codes that mean something; docs/signals.md is the catalog's.
Method: the command in this process on the built-in catalog, on a file as agents keep them, and on edge settings.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from vantel.catalog import Catalog, Policy, Signal, SignalType, assemble, builtin
from vantel_rig.__main__ import app
from vantel_rig.catalog_lint import lint
from vantel_rig.signals_page import signals_page

ROOT = Path(__file__).parents[2]
SETTINGS = '[van]\nid = "van-1"\n[[sources]]\nkind = "synthetic"\nsignals = ["Vehicle.Speed", "*.Lidar.*"]\n'


def run(*arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, ["catalog", *arguments])
    assert done.exit_code == code, done.output
    return done


def as_json(*arguments: str, code: int = 0) -> Any:
    return json.loads(run(*arguments, "--json", code=code).stdout)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    catalog = assemble(
        [Signal("Vehicle.Speed", scale=0.1), Signal("can0.A.Gear", type=SignalType.ENUM, labels=("P",))]
    )
    path = tmp_path / "0123.catalog"
    path.write_bytes(catalog.encode())
    return path


def test_the_page_of_signals_is_made_from_the_catalog() -> None:
    committed = (ROOT / "docs" / "signals.md").read_text(encoding="utf-8")
    assert committed == signals_page(), "run: python -m vantel_rig.signals_page > docs/signals.md"
    assert all(f"| {signal.id} | `{signal.name}` |" in committed for signal in builtin())


def test_list_finds_by_name_group_and_unit(kept: Path) -> None:
    assert len(as_json("list")) == len(builtin())
    found = as_json("list", "*lidar.front*", "--unit", "Hz")
    assert [one["name"] for one in found] == ["Vehicle.Robovan.Lidar.Front.FrameRate"]
    assert {one["group"] for one in as_json("list", "--group", "body")} == {"body"}
    assert [one["name"] for one in as_json("list", "--catalog", str(kept))] == [
        "Vehicle.Speed",
        "can0.A.Gear",
    ]
    assert "Vehicle.Robovan.Lidar.Front.Contamination" in run("list", "*Lidar.Front.C*").stdout.replace(
        "\n", ""
    )
    run("list", "*NoSuchThing*", code=1)


def test_show_tells_all_and_names_the_nearest() -> None:
    speed, by_id = as_json("show", "Vehicle.Speed", str(builtin().by_name("Vehicle.Speed").id))
    assert speed == by_id
    assert (speed["unit"], speed["policy"]["max"]) == ("km/h", 200.0)
    assert speed["description"].startswith("Vehicle speed.")
    assert "did you mean Vehicle.Speed?" in run("show", "Vehicle.Sped", code=1).stderr


def test_diff_tells_what_changed(kept: Path, tmp_path: Path) -> None:
    assert as_json("diff", "builtin", "builtin") == []
    changed = tmp_path / "changed.catalog"
    signals = [
        replace(s, scale=1.0) if s.name == "Vehicle.Speed" else s for s in Catalog.decode(kept.read_bytes())
    ]
    changed.write_bytes(assemble([signals[0], Signal("new")]).encode())
    found = {
        (one["name"], one["what"]): (one["before"], one["after"])
        for one in as_json("diff", str(kept), str(changed), code=1)
    }
    assert found[("Vehicle.Speed", "scale")] == (0.1, 1.0)
    assert ("can0.A.Gear", "removed") in found
    assert ("new", "added") in found
    assert len(found) == 3


def test_a_catalog_comes_from_edge_settings_too(tmp_path: Path) -> None:
    (tmp_path / "edge.toml").write_text(SETTINGS)
    found = as_json("list", "--catalog", str(tmp_path / "edge.toml"))
    assert "Vehicle.Speed" in [one["name"] for one in found]
    assert all(one["simulated"] for one in found)


def test_what_is_no_catalog_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.catalog").write_bytes(b"hello")
    assert "x.catalog" in run("list", "--catalog", str(tmp_path / "x.catalog"), code=65).stderr
    run("list", "--catalog", str(tmp_path / "none.catalog"), code=65)
    (tmp_path / "edge.toml").write_text("[van]\n")
    assert "van.id" in run("lint", "--catalog", str(tmp_path / "edge.toml"), code=65).stderr


def test_the_built_in_catalog_has_no_error() -> None:
    assert [one for one in as_json("lint") if one["level"] == "error"] == []


LOCAL = 70_000


@pytest.mark.parametrize(
    ("signal", "level", "rule"),
    [
        (Signal("can0.A.Speed", LOCAL, unit="kph"), "warning", "unit-spelling"),
        (Signal("can0.A.Speed", LOCAL, unit="furlong"), "warning", "unit-unknown"),
        (Signal("Vehicle.Robovan.X.Speed", 9, unit="furlong"), "error", "unit-unknown"),
        (Signal("can0.A.On", LOCAL, unit="V", type=SignalType.BOOL), "error", "unit-of-state"),
        (Signal("can0.A.Gear", LOCAL, type=SignalType.ENUM), "warning", "enum-without-labels"),
        (Signal("can0.A.Gear", LOCAL, type=SignalType.ENUM, labels=("P", "P")), "error", "label-twice"),
        (Signal("can0.A.On", LOCAL, type=SignalType.BOOL, policy=Policy(max=1.0)), "error", "range-of-state"),
        (Signal("Vehicle.Robovan.X.Open", 9, type=SignalType.BOOL), "error", "boolean-name"),
        (Signal("Vehicle.Robovan.x.IsOpen", 9, type=SignalType.BOOL), "error", "name-style"),
        (Signal("Vehicle.Robovan.X.Level", 9, unit="percent"), "warning", "no-range"),
        (Signal("can0.A.TraveledDistance", LOCAL, unit="km"), "warning", "built-in-name"),
    ],
)  # fmt: skip
def test_lint_finds(signal: Signal, level: str, rule: str) -> None:
    assert (level, rule) in {(one.level, one.rule) for one in lint(Catalog([signal]))}
