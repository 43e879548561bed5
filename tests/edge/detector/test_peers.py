"""Goal: signals that belong together are found in catalog, settings, names and recordings, and no others.

Method: catalogs with such names; made-up drives in which some signals follow one cause; the recorded RAV4 minute, where
wheels and receiver are known to show one speed; the command on a small CSV drive.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import structlog
from typer.testing import CliRunner

from edge.detector.peers import declared
from edge.detector.sets import MEMBERS_MAX
from edge.settings import DetectorSection, RecordingSection
from edge.settings.tree import tomllib
from vantel.catalog import Catalog, Signal, builtin, builtin_peers
from vantel_rig.__main__ import app
from vantel_rig.drives import DRIVES
from vantel_rig.peer_proposals import CELL_NS, pasted, proposals, propose

ID = 70_000
SECONDS = 240


def catalog_of(*names: str) -> Catalog:
    return Catalog([Signal(name, ID + k) for k, name in enumerate(names)])


def names_of(catalog: Catalog, peers: list[list[str]]) -> list[set[str]]:
    return [{catalog.signals[slot].name for slot in members} for members in declared(catalog, peers)]


def test_sets_of_the_builtin_catalog_have_2_to_8_of_its_signals() -> None:
    for names in builtin_peers():
        assert 2 <= len(set(names)) == len(names) <= MEMBERS_MAX
        assert all(name in builtin() for name in names)


def test_a_van_with_wheels_and_a_receiver_has_both_sets_without_a_word_in_its_settings() -> None:
    wheels = [f"Vehicle.Chassis.Axle.Row{r}.Wheel.{side}.Speed" for r in (1, 2) for side in ("Left", "Right")]
    speeds = ["Vehicle.Robovan.GNSS.Speed", *wheels]
    catalog = catalog_of(*speeds)
    assert names_of(catalog, []) == [set(speeds), set(wheels)]


def test_settings_come_first_and_what_a_van_lacks_is_left_out() -> None:
    catalog = catalog_of("Vehicle.Speed", "Vehicle.Robovan.GNSS.Speed", "Own.A", "Own.B")
    mine = ["own.a", "Vehicle.Speed", "vehicle.robovan.gnss.speed", "Own.Nowhere"]
    assert names_of(catalog, [mine]) == [{"Own.A", "Vehicle.Speed", "Vehicle.Robovan.GNSS.Speed"}]
    assert names_of(catalog_of("Vehicle.Speed", "Own.A"), []) == []


def drive(seed: int = 1) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    n = SECONDS * 2
    cause = np.convolve(random.normal(0, 1, n), np.ones(10), "same").cumsum()
    other = np.convolve(random.normal(0, 1, n), np.ones(10), "same").cumsum()
    once = np.where(np.arange(n) < n // 2, cause, other)
    noise = 0.05 * np.std(np.diff(cause))
    return {
        "A": cause + random.normal(0, noise, n),
        "B": 3.6 * cause + 20 + random.normal(0, noise, n),
        "C": 0.1 * cause - 5 + random.normal(0, 0.1 * noise, n),
        "Alone": other,
        "OnceAlike": once,
        "Drifts": cause + np.linspace(0.0, 20.0 * np.std(cause), n),
        "Against": -cause,
        "Ramp1": np.arange(n) * 1.0,
        "Ramp2": np.arange(n) * 2.0 + random.normal(0, 1, n),
        "Rests": np.where(np.arange(n) % 200 == 0, 1.0, 0.0),
        "ACounter": cause,
    }


def test_signals_of_one_cause_are_proposed_and_chance_company_is_not() -> None:
    columns = drive()
    found = proposals(catalog_of(*columns), np.column_stack(list(columns.values())))
    assert [item.names for item in found] == [("A", "B", "C")]
    (item,) = found
    assert item.r_change > 0.95
    assert item.rest < 0.5
    assert item.seconds == SECONDS == len(columns["A"]) * CELL_NS / 1e9


def test_text_to_paste_is_a_section_of_the_settings() -> None:
    columns = drive()
    found = proposals(catalog_of(*columns), np.column_stack(list(columns.values())))
    section = DetectorSection.model_validate(tomllib.loads(pasted(found))["detector"])
    assert section.peers == [["A", "B", "C"]]


@pytest.mark.parametrize("table", [np.zeros((0, 2)), np.zeros((500, 2)), np.full((500, 2), np.nan)])
def test_a_drive_that_shows_nothing_gives_nothing(table: np.ndarray) -> None:
    assert proposals(catalog_of("A", "B"), table) == []


def test_odd_numbers_do_no_harm() -> None:
    columns = drive()
    table = np.column_stack(list(columns.values()))
    table[::7, 0], table[5, 1], table[6, 2], table[7, 2] = np.nan, np.inf, 1e308, -1e308
    assert all(len(item.names) >= 2 for item in proposals(catalog_of(*columns), table))


def test_the_recorded_minute_has_its_wheels_and_the_receiver() -> None:
    can, _, receiver = DRIVES["rav4"]()
    can["signals"] = ["WHEEL_SPEEDS", "SPEED", "GAS_PEDAL", "STEER_ANGLE_SENSOR", "TRACK_A_0"]
    found = propose([RecordingSection.model_validate(recording) for recording in (can, receiver)])
    wheels = {f"can0.WHEEL_SPEEDS.WHEEL_SPEED_{at}" for at in ("FL", "FR", "RL", "RR")}
    assert any(wheels | {"gnss.speed_mps", "Vehicle.Speed"} <= set(item.names) for item in found)
    assert not any("COUNTER" in name or "CHECKSUM" in name for item in found for name in item.names)


@pytest.fixture
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command sets up logs that write to the output of its runner, which ends with the test."""
    errors_alone = structlog.make_filtering_bound_logger(logging.ERROR)
    monkeypatch.setattr("edge.log.configure", lambda _: structlog.configure(wrapper_class=errors_alone))
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_quiet")
def test_the_command_prints_evidence_and_text_to_paste(tmp_path: Path) -> None:
    columns = drive()
    rows = ["t," + ",".join(columns)]
    rows += [
        f"{1_700_000_000 + at / 2}," + ",".join(f"{columns[name][at]:.6f}" for name in columns)
        for at in range(SECONDS * 2)
    ]
    (tmp_path / "drive.csv").write_text("\n".join(rows))
    done = CliRunner().invoke(app, ["replay", str(tmp_path / "drive.csv"), "--peers", "--json"])
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.stdout)
    assert told["signals"] == ["drive.A", "drive.B", "drive.C"]
    assert told["r_change_min"] > 0.95
    assert CliRunner().invoke(app, ["replay", "drive.csv", "--peers", "--bytes"]).exit_code == 2
