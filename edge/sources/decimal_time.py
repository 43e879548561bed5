"""Times written as text to ns, exactly: no digit passes through a binary float.

From "1533226488.300593", "1.5e3", ISO 8601 or "12:34:56.7" to int ns. Text without a zone is UTC; a time of day
without a date counts from midnight. Raises ValueError for anything else.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from decimal import Decimal, DecimalException

NS_PER = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_PLAIN = re.compile(r"(-?)(\d+)(?:\.(\d+))?")
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d+))?\s*(Z|UTC|[+-]\d\d:?\d\d)?", re.IGNORECASE
)
_OF_DAY = re.compile(r"(\d{1,2}):(\d\d):(\d\d)(?:[.,](\d+))?")
_DIGITS = {"s": 9, "ms": 6, "us": 3, "ns": 0}
NS_MAX = 1 << 62


def parse_ns(text: str, unit: str) -> int:
    """ns of a time in unit; ISO 8601 and times of day carry their own unit. Digits below 1 ns are cut off."""
    text = text.strip()
    plain = _PLAIN.fullmatch(text)
    if plain:
        sign, whole, fraction = plain.groups()
        digits = _DIGITS[unit]
        ns = int(whole) * NS_PER[unit] + int((fraction or "").ljust(digits, "0")[:digits] or "0")
        return _bounded(-ns if sign else ns, text)
    if iso := _ISO.fullmatch(text):
        return _iso_ns(iso)
    if of_day := _OF_DAY.fullmatch(text):
        hours, minutes, seconds, fraction = of_day.groups()
        return (int(hours) * 3600 + int(minutes) * 60 + int(seconds)) * NS_PER["s"] + fraction_ns(fraction)
    try:
        number = Decimal(text) * NS_PER[unit]
        if not number.is_finite() or abs(number) > NS_MAX:
            raise ValueError(f"{text!r} is no time")
        return int(number)
    except DecimalException:  # 1e999999999 is a number, but not in ns
        raise ValueError(f"{text!r} is no time") from None


def fraction_ns(digits: str | None) -> int:
    """ns of the digits after the decimal point of seconds."""
    return int((digits or "").ljust(9, "0")[:9])


def _iso_ns(match: re.Match[str]) -> int:
    date, time, fraction, zone = match.groups()
    offset = "+00:00" if zone is None or zone.upper() in ("Z", "UTC") else zone
    offset = offset if ":" in offset else f"{offset[:3]}:{offset[3:]}"
    moment = datetime.fromisoformat(f"{date}T{time}{offset}")
    since = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return _bounded((since.days * 86_400 + since.seconds) * NS_PER["s"] + fraction_ns(fraction), date)


def _bounded(ns: int, text: str) -> int:
    if abs(ns) > NS_MAX:
        raise ValueError(f"{text!r} is out of range; is time_unit right?")
    return ns
