"""Units as the catalog spells them, and the linear conversion between two of them.

conversion("m/s", "km/h") -> (3.6, 0.0): value in km/h = value * 3.6 + 0.0. Units of the COVESA Vehicle Signal Specification
6.0, ours (bytes, bytes/s, uT), and the spellings that buses and drivers use for them. Factors are exact by definition
(SI, inch, psi, standard gravity) and kept as fractions, so that a factor is the nearest double. UnitError for units that are
unknown or measure different things; nothing here is on the hot path: sources take scale and offset.
"""

from __future__ import annotations

import difflib
from fractions import Fraction

_PI_DEGREES = Fraction("57.295779513082320876798154814105170332405472466564")
"""180 / pi to 50 digits."""


class UnitError(ValueError):
    """Units that cannot be converted; the text says why."""


def _units(base: str, table: dict[str, str | Fraction]) -> dict[str, tuple[str, Fraction, Fraction]]:
    """Units of one quantity by the number of base units in each."""
    return {unit: (base, Fraction(factor), Fraction(0)) for unit, factor in table.items()}


_HOUR = Fraction(3600)
_UNITS: dict[str, tuple[str, Fraction, Fraction]] = {
    **_units("m", {"m": "1", "mm": "1/1000", "cm": "1/100", "um": "1/1000000", "km": "1000", "inch": "0.0254",
                   "ft": "0.3048", "mi": "1609.344"}),
    **_units("m/s", {"m/s": "1", "cm/s": "1/100", "km/h": Fraction(5, 18), "mph": "0.44704", "kn": Fraction(1852, 3600)}),
    **_units("m/s^2", {"m/s^2": "1", "cm/s^2": "1/100", "g0": "9.80665", "mg0": "0.00980665"}),
    **_units("s", {"s": "1", "ms": "1/1000", "us": "1/1000000", "ns": "1/1000000000", "min": "60", "h": "3600",
                   "day": "86400"}),
    **_units("Hz", {"Hz": "1", "kHz": "1000", "MHz": "1000000", "GHz": "1000000000", "rpm": Fraction(1, 60),
                    "cpm": Fraction(1, 60), "bpm": Fraction(1, 60)}),
    **_units("degrees", {"degrees": "1", "rad": _PI_DEGREES, "mrad": _PI_DEGREES / 1000}),
    **_units("degrees/s", {"degrees/s": "1", "rad/s": _PI_DEGREES, "mdeg/s": "1/1000"}),
    **_units("kg", {"kg": "1", "g": "1/1000", "t": "1000", "lb": "0.45359237"}),
    **_units("g/s", {"g/s": "1", "kg/h": Fraction(1000, 3600), "kg/s": "1000"}),
    **_units("m^3", {"m^3": "1", "l": "1/1000", "ml": "1/1000000", "cm^3": "1/1000000"}),
    **_units("N", {"N": "1", "kN": "1000"}),
    **_units("Nm", {"Nm": "1", "kNm": "1000"}),
    **_units("Pa", {"Pa": "1", "hPa": "100", "kPa": "1000", "mbar": "100", "bar": "100000", "MPa": "1000000",
                    "psi": Fraction("4.4482216152605") / Fraction("0.0254") ** 2}),
    **_units("W", {"W": "1", "mW": "1/1000", "kW": "1000", "PS": "735.49875"}),
    **_units("J", {"J": "1", "Wh": _HOUR, "kWh": _HOUR * 1000}),
    **_units("V", {"V": "1", "mV": "1/1000", "uV": "1/1000000", "kV": "1000"}),
    **_units("A", {"A": "1", "mA": "1/1000", "uA": "1/1000000"}),
    **_units("Ah", {"Ah": "1", "mAh": "1/1000"}),
    **_units("Ohm", {"Ohm": "1", "mOhm": "1/1000", "kOhm": "1000", "MOhm": "1000000"}),
    **_units("T", {"T": "1", "mT": "1/1000", "uT": "1/1000000", "nT": "1/1000000000", "G": "1/10000"}),
    **_units("ratio", {"ratio": "1", "percent": "1/100", "permille": "1/1000", "ppm": "1/1000000"}),
    **_units("bytes", {"bytes": "1", "kB": "1000", "MB": "1000000", "KiB": "1024", "MiB": "1048576",
                       "GiB": "1073741824"}),
    **_units("bytes/s", {"bytes/s": "1", "kB/s": "1000", "MB/s": "1000000", "KiB/s": "1024", "bit/s": "1/8",
                         "kbit/s": "125", "Mbit/s": "125000"}),
    **_units("l/100km", {"l/100km": "1"}),
    **_units("km/l", {"km/l": "1"}),
    **_units("kWh/100km", {"kWh/100km": "1", "Wh/km": "1/10"}),
    **_units("g/km", {"g/km": "1"}),
    **_units("dBm", {"dBm": "1"}),
    **_units("dB", {"dB": "1"}),
    **_units("", {"": "1"}),
    **_units("iso8601", {"iso8601": "1"}),
    "Celsius": ("Celsius", Fraction(1), Fraction(0)),
    "K": ("Celsius", Fraction(1), Fraction("-273.15")),
    "Fahrenheit": ("Celsius", Fraction(5, 9), Fraction(-160, 9)),
    "mCelsius": ("Celsius", Fraction(1, 1000), Fraction(0)),
}  # fmt: skip
"""Unit -> (quantity, factor, offset): value in the first unit of the quantity = value * factor + offset."""

_SPELLINGS = {
    "°c": "Celsius", "degc": "Celsius", "celsius": "Celsius", "c": "Celsius", "°f": "Fahrenheit", "degf": "Fahrenheit",
    "kelvin": "K", "milli-degc": "mCelsius", "mdegc": "mCelsius", "%": "percent", "pct": "percent",
    "deg": "degrees", "°": "degrees", "degree": "degrees", "deg/s": "degrees/s", "°/s": "degrees/s", "dps": "degrees/s",
    "radian": "rad", "kph": "km/h", "kmh": "km/h", "kmph": "km/h", "km/hr": "km/h", "mps": "m/s", "m/s/s": "m/s^2",
    "m/s2": "m/s^2", "m/s²": "m/s^2", "m/s^2": "m/s^2", "mi/h": "mph", "knot": "kn", "knots": "kn", "meter": "m",
    "metre": "m", "meters": "m", "metres": "m", "mile": "mi", "in": "inch", "volt": "V", "volts": "V", "ampere": "A", "amps": "A",
    "amp": "A", "watt": "W", "watts": "W", "ohm": "Ohm", "ohms": "Ohm", "kohm": "kOhm", "ω": "Ohm", "n*m": "Nm",
    "n.m": "Nm", "n·m": "Nm", "sec": "s", "second": "s", "seconds": "s", "msec": "ms", "minutes": "min", "minute": "min",
    "hour": "h", "hours": "h", "hr": "h", "1/min": "rpm", "rev/min": "rpm", "u/min": "rpm", "byte": "bytes",
    "liter": "l", "litre": "l", "liters": "l", "µs": "us", "µt": "uT", "µv": "uV", "kbps": "kbit/s", "mbps": "Mbit/s",
    "b": "bytes", "gauss": "G",
}  # fmt: skip
"""What others write, folded to lower case, and what the catalog calls it."""


def known_units() -> tuple[str, ...]:
    """Every unit that can be converted or compared."""
    return tuple(_UNITS)


def canonical(unit: str) -> str:
    """unit as the catalog spells it; UnitError, naming the nearest, when it is not known."""
    trimmed = unit.strip()
    if trimmed in _UNITS:
        return trimmed
    found = _SPELLINGS.get(trimmed.lower())
    if found is None:
        near = difflib.get_close_matches(trimmed, [*_UNITS, *_SPELLINGS], n=1)
        raise UnitError(f"unit {unit!r} is not known" + (f"; did you mean {near[0]}?" if near else ""))
    return found


def conversion(source: str, target: str) -> tuple[float, float]:
    """(scale, offset): value in target = value in source * scale + offset; UnitError for another quantity."""
    a, b = canonical(source), canonical(target)
    quantity, factor, offset = _UNITS[a]
    quantity_b, factor_b, offset_b = _UNITS[b]
    if quantity != quantity_b:
        raise UnitError(
            f"{source or 'no unit'} cannot become {target or 'no unit'}: they measure different things"
        )
    return float(factor / factor_b), float((offset - offset_b) / factor_b)
