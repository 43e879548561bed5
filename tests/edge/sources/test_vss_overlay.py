"""The overlay that maps bus signals to catalog names.

Goal: values arrive under the catalog's names, scaled; every mistake is told with file, line and fix.
Method: overlays written here, over the recorded GNSS bus.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.settings import SignalMap
from edge.sources.errors import RecordingError
from edge.sources.vss_overlay import load_overlay

GOOD = """# overlay of the test
Vehicle:
  type: branch
Vehicle.Speed:
  type: sensor
  datatype: float
  dbc: {signal: can2.gnss_speed.Speed, scale: 3.6}
Vehicle.CurrentLocation.Altitude:
  type: sensor
  datatype: double
  dbc:
    signal: gnss_altitude.Altitude
    offset: 10
"""


def replay(data: Path, overlay: Path, **more: Any) -> list[dict[str, Any]]:
    folder = data / "can" / "ev6_uds_2023"
    return [
        {
            "path": folder / "ev6_uds_gnss.log.gz",
            "dbc": {"can2": folder / "gnss.dbc"},
            "overlay": overlay,
            **more,
        }
    ]


def test_values_arrive_under_the_names_of_the_catalog(
    data: Path, tmp_path: Path, play: Callable[..., Any]
) -> None:
    overlay = tmp_path / "van.vspec"
    overlay.write_text(GOOD)
    mapped = play(replay(data, overlay))
    plain = play(replay(data, None))  # type: ignore[arg-type]
    speed = [(t, v * 3.6 + 0.0) for t, v in plain.of("can2.gnss_speed.Speed")]
    assert speed
    assert mapped.of("Vehicle.Speed") == speed
    height = [(t, v * 1.0 + 10.0) for t, v in plain.of("can2.gnss_altitude.Altitude")]
    assert mapped.of("Vehicle.CurrentLocation.Altitude") == height
    signal = next(s for s in mapped.source.signals() if s.name == "Vehicle.Speed")
    raw = next(s for s in plain.source.signals() if s.name == "can2.gnss_speed.Speed")
    assert (signal.scale, signal.offset) == (raw.scale * 3.6, raw.offset * 3.6)


def test_a_unit_stands_for_scale_and_offset(tmp_path: Path) -> None:
    overlay = tmp_path / "van.vspec"
    overlay.write_text(GOOD.replace("scale: 3.6}", "unit: m/s}"))
    by_unit = load_overlay(overlay)[0]
    overlay.write_text(GOOD)
    for name, target in load_overlay(overlay)[0].items():
        assert (by_unit[name].scale, by_unit[name].offset) == (target.scale, target.offset)
    kelvin = SignalMap(signal="Vehicle.Powertrain.ElectricMotor.Temperature", unit="K")
    assert (kelvin.scale, kelvin.offset) == (1.0, -273.15)
    assert SignalMap.model_validate(kelvin.model_dump()) == kelvin
    millivolts = SignalMap(signal="Vehicle.LowVoltageBattery.CurrentVoltage", unit="mV")
    assert (millivolts.scale, millivolts.offset) == (0.001, 0.0)


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("Vehicle.Speed:", "Vehicle.Sped:", 4, "did you mean Vehicle.Speed"),
        ("scale: 3.6}", "scale: fast}", 7, "scale is no number"),
        ("scale: 3.6}", "transform: {math: x}}", 7, "scale: and offset:"),
        ("    offset: 10", "    ofset: 10", 13, "unknown key ofset"),
        ("    signal: gnss_altitude.Altitude\n", "", 12, "names no signal"),
        ("gnss_altitude.Altitude", "can2.gnss_speed.Speed", 12, "in line 7 already"),
        ("scale: 3.6}", "unit: Celsius}", 7, "Celsius cannot become km/h"),
        ("scale: 3.6}", "unit: m/s, scale: 2}", 7, "not both"),
        ("dbc: {signal", "dbc: [signal", 7, "not YAML"),
        ("  dbc: {signal", "\tdbc: {signal", 7, "not YAML: .*t' that cannot start"),
        ("Vehicle.CurrentLocation.Altitude", "Vehicle.Speed", 8, "Vehicle.Speed stands in line 4 already"),
        ("scale: 3.6}", "scale: 3.6, scale: 1}", 7, "scale stands in line 7 already"),
        ("scale: 3.6}", "scale: nan}", 7, "scale is no number"),
        ("scale: 3.6}", "scale: 0}", 7, "scale 0"),
        ("scale: 3.6}", "unit: [m]}", 7, "unit is a list"),
        ("scale: 3.6}", "? [a] : 1}", 7, "a key is a list"),
        ("datatype: float", "datatype: flaot", 6, "unknown datatype 'flaot'; known are"),
        ("datatype: float", "unit: m/s", 6, "unit m/s; the catalog has km/h"),
        ("datatype: float", "unit: furlong", 6, "furlong"),
        ("datatype: float", "max: 1\n  min: 2", 7, "min 2 is above max 1"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, old: str, new: str, line: int, told: str) -> None:
    path = tmp_path / "van.vspec"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(RecordingError, match=told) as caught:
        load_overlay(path)
    assert f"van.vspec, line {line}:" in str(caught.value)


def test_a_signal_that_the_dbc_does_not_have_is_told_where_the_overlay_names_it(
    data: Path, tmp_path: Path, play: Callable[..., Any]
) -> None:
    overlay = tmp_path / "van.vspec"
    overlay.write_text(GOOD.replace("gnss_altitude.Altitude", "gnss_altitude.Altitud"))
    with pytest.raises(RecordingError, match=r"van\.vspec, line 12: .*did you mean"):
        play(replay(data, overlay))
    overlay.write_text(GOOD)
    with pytest.raises(RecordingError, match="in one place"):
        play(replay(data, overlay, map={"can2.gnss_speed.Speed": "Vehicle.Speed"}))
    with pytest.raises(RecordingError, match="cannot read it"):
        play(replay(data, tmp_path / "none.vspec"))
