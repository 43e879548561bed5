"""Units.

Goal: conversions between the catalog's units are right, whole, and refuse what measures different things.
Method: pint, an independent library, is the oracle for every pair that it knows; laws (there and back, transitivity) on
arbitrary values; cases from everyday life by hand.
"""

from __future__ import annotations

import math

import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vantel.catalog import builtin
from vantel.units import UnitError, canonical, conversion, known_units

PINT = {
    "inch": "inch", "kn": "knot", "mi": "mile", "g0": "standard_gravity", "mg0": "1e-3 standard_gravity", "day": "day",
    "degrees": "degree", "degrees/s": "degree/second", "mdeg/s": "1e-3 degree/second", "Nm": "newton*meter",
    "kNm": "1000 newton*meter", "l": "liter", "ml": "milliliter", "PS": "metric_horsepower", "Ohm": "ohm", "mOhm": "milliohm",
    "kOhm": "kiloohm", "MOhm": "megaohm", "G": "1e-4 tesla", "T": "tesla", "mT": "millitesla", "uT": "microtesla",
    "nT": "nanotesla", "ratio": "", "permille": "1e-3", "cpm": "1/minute", "bpm": "1/minute", "rpm": "1/minute",
    "bytes": "byte", "bytes/s": "byte/second", "Celsius": "degC", "K": "kelvin", "Fahrenheit": "degF",
    "kWh/100km": "kWh/(100 km)", "Wh/km": "Wh/km", "t": "metric_ton", "g/s": "g/s", "Hz": "1/second", "kHz": "1e3/second",
    "MHz": "1e6/second", "GHz": "1e9/second", "um": "micrometer", "ft": "foot", "lb": "pound", "psi": "psi",
}  # fmt: skip
"""Where pint spells a unit differently, or means another by the same letters (Nm is a nanometre there)."""
NOT_IN_PINT = {"mCelsius", "iso8601", "", "dB", "dBm", "l/100km", "km/l", "g/km"}
REGISTRY = pint.UnitRegistry(autoconvert_offset_to_baseunit=True)
UNITS = [unit for unit in known_units() if unit not in NOT_IN_PINT]
values = st.floats(-1e6, 1e6, allow_nan=False)


def related(unit: str) -> list[str]:
    found = []
    for other in known_units():
        try:
            conversion(unit, other)
        except UnitError:
            continue
        found.append(other)
    return found


def oracle(value: float, source: str, target: str) -> float:
    a, b = (PINT.get(unit, unit) for unit in (source, target))
    if source in {"Celsius", "K", "Fahrenheit"}:
        return float(REGISTRY.Quantity(value, a).to(b).magnitude)
    return float((value * REGISTRY.Quantity(1, REGISTRY.parse_units("")) * REGISTRY.parse_expression(a or "1")
                  / REGISTRY.parse_expression(b or "1")).to_base_units().magnitude)  # fmt: skip


@pytest.mark.parametrize("source", UNITS)
def test_every_conversion_is_that_of_pint(source: str) -> None:
    for target in related(source):
        if target in NOT_IN_PINT:
            continue
        scale, offset = conversion(source, target)
        for value in (1.0, 36.6, -40.0, 1e5):
            assert value * scale + offset == pytest.approx(
                oracle(value, source, target), rel=1e-12, abs=1e-9
            ), target


@given(st.sampled_from(sorted(set(known_units()) - {""})), st.data(), values)
def test_there_and_back_and_over_a_third(source: str, data: st.DataObject, value: float) -> None:
    family = related(source)
    middle, target = data.draw(st.sampled_from(family)), data.draw(st.sampled_from(family))

    def convert(number: float, a: str, b: str) -> float:
        scale, offset = conversion(a, b)
        return number * scale + offset

    limit = 1e-9 * max(1.0, abs(value), abs(convert(value, source, middle)))
    assert convert(convert(value, source, middle), middle, source) == pytest.approx(
        value, rel=1e-9, abs=limit
    )
    straight, round_about = (
        convert(value, source, target),
        convert(convert(value, source, middle), middle, target),
    )
    assert round_about == pytest.approx(straight, rel=1e-9, abs=1e-9 * max(1.0, abs(straight)) + 1e-6)


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (10.0, "m/s", "km/h", 36.0), (90.0, "kph", "m/s", 25.0), (0.0, "K", "Celsius", -273.15),
        (98.6, "degF", "°C", 37.0), (45_250.0, "milli-degC", "Celsius", 45.25), (3_700.0, "mV", "V", 3.7),
        (1.2, "km", "m", 1200.0), (1.0, "rad/s", "deg/s", 57.29577951308232), (1013.25, "hPa", "kPa", 101.325),
        (50.0, "%", "ratio", 0.5), (2.0, "KiB", "bytes", 2048.0), (60.0, "rpm", "Hz", 1.0),
    ],
)  # fmt: skip
def test_everyday_conversions(value: float, source: str, target: str, expected: float) -> None:
    scale, offset = conversion(source, target)
    assert math.isclose(value * scale + offset, expected, rel_tol=1e-12, abs_tol=1e-12)


def test_the_same_unit_changes_no_bit() -> None:
    for unit in known_units():
        assert conversion(unit, unit) == (1.0, 0.0)


@pytest.mark.parametrize(("source", "target"), [("m", "s"), ("Celsius", "V"), ("", "m"), ("Nm", "J"), ("dB", "dBm"), ("l/100km", "km/l")])  # fmt: skip
def test_different_quantities_are_refused(source: str, target: str) -> None:
    with pytest.raises(UnitError, match="measure different things"):
        conversion(source, target)


def test_an_unknown_unit_names_the_nearest() -> None:
    with pytest.raises(UnitError, match="did you mean Celsius"):
        canonical("Celsus")


def test_every_unit_of_the_catalog_is_known_and_canonical() -> None:
    for signal in builtin():
        assert canonical(signal.unit) == signal.unit, signal.name
