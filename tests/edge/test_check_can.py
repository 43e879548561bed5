"""Mistakes in a DBC, an overlay, a file of answers, and in what the settings say of a bus.

Goal: `vantel-edge check` tells each with file and line where it stands, and what to do.
Method: one good set of files with one mistake at a time, given to the check itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.clock import VanClock
from edge.model import TextTable
from edge.settings import CanSource as CanSection
from edge.sources.can_bus import CanBus
from edge.sources.errors import RecordingError

DBC = """VERSION ""
BU_: A
BO_ 291 Wheel: 8 A
 SG_ Speed : 7|16@0+ (0.01,-3) [0|0] "km/h" A
 SG_ Angle : 16|12@1- (0.1,0) [0|0] "deg" A
"""
ANSWERS = """[[answers]]
name = "Engine"
response = 0x7E8
pid = 0x0C
  [[answers.signals]]
  name = "Speed"
  byte = 0
  bytes = 2
"""
OVERLAY = """Vehicle.Speed:
  type: sensor
  datatype: float
  dbc: {signal: Wheel.Speed, scale: 3.6}
"""
TWICE = OVERLAY + OVERLAY.replace("Vehicle.Speed", "Vehicle.Chassis.Axle.Row1.Wheel.Left.Speed")


def notes(
    tmp_path: Path, dbc: str = DBC, answers: str = ANSWERS, overlay: str = OVERLAY, **more: object
) -> list[str]:
    """What the check says of files that can be used. Raises RecordingError for others."""
    for name, text in (("van.dbc", dbc), ("a.toml", answers), ("o.vspec", overlay)):
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    section = CanSection.model_validate({
        "kind": "can", "name": "can0", "interface": "virtual", "channel": "check", "dbc": tmp_path / "van.dbc",
        "answers": tmp_path / "a.toml", "overlay": tmp_path / "o.vspec", **more,
    })  # fmt: skip
    return CanBus(section, VanClock(), TextTable()).notes


def test_good_files_are_fine(tmp_path: Path) -> None:
    assert notes(tmp_path) == []


@pytest.mark.parametrize(("files", "told"), [
    ({"dbc": DBC[:-30]}, "van.dbc, line 5: .*breaks off.*copy"),
    ({"dbc": DBC.replace("@1-", "@3-")}, "van.dbc, line 5: .*byte order '3'; write @1"),
    ({"dbc": ""}, "van.dbc, line 1: .*repair it"),
    ({"dbc": "\0\1PNG"}, "van.dbc, line 1: .*repair it"),
    ({"dbc": DBC.replace("291", "99999999999")}, "van.dbc, line 3: .*11 bits.*repair it"),
    ({"dbc": DBC.replace("0.01", "abc")}, "van.dbc, line 4: .*repair it"),
    ({"overlay": OVERLAY.replace("3.6}", "3.6")}, "o.vspec, line 5: not YAML"),
    ({"overlay": OVERLAY.replace("Speed:", "Spede:")}, "o.vspec, line 1: .*did you mean Vehicle.Speed"),
    ({"overlay": OVERLAY.replace("Wheel.Speed", "Wheel.Sped")}, "o.vspec, line 4: .*did you mean Wheel.Speed"),
    ({"overlay": OVERLAY.replace("3.6", "fast")}, "o.vspec, line 4: .*no number; write"),
    ({"overlay": OVERLAY.replace("scale", "scael")}, "o.vspec, line 4: .*unknown key scael; known are"),
    ({"overlay": TWICE}, "o.vspec, line 8: .*in line 4 already; remove"),
    ({"answers": ANSWERS.replace("= 0x0C", "0x0C")}, "a.toml, line 4: not TOML"),
    ({"answers": ANSWERS.replace("bytes", "byts")}, "a.toml, line 5: .*byts: unknown key, did you mean bytes"),
    ({"answers": ANSWERS.replace("pid = 0x0C\n", "")}, "a.toml, line 1: .*give did ="),
    ({"answers": ANSWERS + ANSWERS}, "a.toml, line 9: .*described twice; remove"),
    ({"answers": ANSWERS.replace("byte = 0", "byte = 5000")}, "a.toml, line 5: .*byte: .*less than"),
    ({"answers": ANSWERS + '  [[answers.signals]]\n  name = "Speed"\n  byte = 2\n'}, "line 1: .*two signals are called Speed"),
    ({"map": {"Wheel.Spd": "Vehicle.Speed"}, "overlay": "{}\n"}, "did you mean Wheel.Speed"),
])  # fmt: skip
def test_what_cannot_be_used_is_refused_with_its_line(
    tmp_path: Path, files: dict[str, str], told: str
) -> None:
    with pytest.raises(RecordingError, match=told):
        notes(tmp_path, **files)


@pytest.mark.parametrize(("given", "told"), [
    ({"dbc": DBC.replace("16|12", "8|12")}, "van.dbc, line 3: .*overlapping.*; correct"),
    ({"dbc": DBC.replace("16|12", "60|12")}, "van.dbc, line 3: .*does not fit.*; correct"),
    ({"dbc": DBC.replace("0.01", "0")}, "van.dbc, line 4: signal Speed has scale 0"),
    ({"dbc": DBC + 'BO_ 291 Wheel: 8 A\n SG_ Speed : 0|8@1+ (1,0) [0|0] "" A\n'}, "van.dbc, line 6: .*first in line 3.*remove"),
    ({"answers": ""}, "a.toml: it describes no answer; begin one"),
    ({"signals": ["Whel.*", "Wheel.Speed"]}, "'Whel.*' fits no .*did you mean Wheel"),
    ({"poll": {"requests": [{"pid": 0x0C}, {"pid": 0x0D}]}}, r"request 2 \(01 0d\)"),
])  # fmt: skip
def test_what_is_odd_is_noted(tmp_path: Path, given: dict[str, object], told: str) -> None:
    import re

    found = notes(tmp_path, **given)  # type: ignore[arg-type]
    assert any(re.search(told, note) for note in found), found
