"""NMEA 0183 sentences to reports: RMC, GGA, GSA, GST, GSV, HDT and ZDA of any talker.

Every quantity has one sentence that it is taken from, so that an epoch gives it once: position, speed, course and time from
RMC; altitude, satellites, HDOP and age of corrections from GGA; PDOP and fix type from GSA; accuracies (one standard
deviation) from GST; heading from HDT. Sentences that say the same again (GLL, VTG, GNS) are not read. Field order: NMEA
0183 and the u-blox interface descriptions. A sentence with a field that is none raises ValueError or IndexError.
"""

from __future__ import annotations

import calendar
import math
import re

from edge.sources.gnss_report import GROUND_BASED, NO_FIX, SATELLITE_BASED, THREE_D, TWO_D, Report

KNOT_MPS = 1852.0 / 3600.0
DAY_NS = 86_400 * 10**9
YEAR_MAX = 2115
SBAS_STATIONS = frozenset({0, *range(33, 65), *range(120, 159)})
"""Station ids that stand for a satellite of an augmentation system: none, PRN minus 87, or PRN."""
FIXED_BY_GROUND = (4, 5)
"""GGA quality: RTK fixed, RTK float."""
WITHOUT_SATELLITES = (6, 7, 8)
"""GGA quality: dead reckoning, entered by hand, simulator; none of them is a fix in VSS."""
DIFFERENTIAL = 2
_DECIMAL = re.compile(r"-?\d{1,12}(?:\.\d{0,12})?")
_TIME = re.compile(r"(\d\d)(\d\d)(\d\d)(?:\.(\d{0,9}))?")
_DATE = re.compile(r"(\d\d)(\d\d)(\d\d)")


class NmeaReader:
    """State of one receiver: date, quality of the fix, satellites in view by talker."""

    def __init__(self) -> None:
        self._day_ns: int | None = None
        self._t_unix_ns: int | None = None
        self._quality = 0
        self._satellites = 0
        self._station = ""
        self._gga_since_gsa = 0
        self._fix_told = True
        self._in_view: dict[str, int] = {}

    def read(self, body: str) -> Report | None:
        """Report of a sentence (without "$" and checksum); None for one that says nothing new."""
        fields = body.split(",")
        talker, kind = fields[0][:2], fields[0][2:]
        if talker.startswith("P"):
            return None
        if kind == "GSV":
            self._in_view[talker] = max(self._in_view.get(talker, 0), int(fields[3] or 0))
            return None
        reader = getattr(self, f"_{kind.lower()}", None) if kind in _KINDS else None
        return None if reader is None else reader(fields)

    def _rmc(self, fields: list[str]) -> Report:
        valid = fields[2] == "A"
        if fields[9] and fields[1]:
            self._day_ns = _midnight_ns(*_date(fields[9]))
        t_ns = self._moment(fields[1])
        if not valid:
            return Report({}, t_ns)
        values = {
            "latitude": _angle(fields[3], fields[4], "NS"),
            "longitude": _angle(fields[5], fields[6], "EW"),
            "speed": _number(fields[7], KNOT_MPS),
            "course": _number(fields[8]),
        }
        return Report(_given(values), t_ns, t_ns if fields[9] else None)

    def _gga(self, fields: list[str]) -> Report:
        self._quality = int(fields[6] or 0)
        self._satellites = int(fields[7] or 0)
        self._station = fields[14] if len(fields) > 14 else ""
        above_sea, separation = _number(fields[9]), _number(fields[11])
        values = {"satellites_used": float(self._satellites), "hdop": _number(fields[8])}
        if self._in_view:
            values["satellites_visible"] = float(sum(self._in_view.values()))
            self._in_view.clear()
        if self._quality:
            values["differential_age"] = _number(fields[13])
            if above_sea is not None and separation is not None:
                values["altitude"] = above_sea + separation
        self._fix_told = False
        self._gga_since_gsa += 1
        if self._gga_since_gsa > 1:
            # a receiver without GSA: the satellites tell the dimension, four are needed for a height
            values["fix_type"] = float(self._fix_type(3 if self._satellites >= 4 else 2))
        return Report(_given(values), self._moment(fields[1]))

    def _gsa(self, fields: list[str]) -> Report | None:
        """The first GSA of an epoch; receivers of several systems send one for each of them."""
        self._gga_since_gsa = 0
        if self._fix_told:
            return None
        self._fix_told = True
        fix_type = self._fix_type(int(fields[2] or 1))
        return Report(_given({"fix_type": float(fix_type), "pdop": _number(fields[15])}), self._t_unix_ns)

    def _gst(self, fields: list[str]) -> Report:
        north, east = _number(fields[6]), _number(fields[7])
        values = {
            "horizontal_accuracy": None if north is None or east is None else math.hypot(north, east),
            "vertical_accuracy": _number(fields[8]),
        }
        return Report(_given(values), self._moment(fields[1]))

    def _hdt(self, fields: list[str]) -> Report:
        return Report(_given({"heading": _number(fields[1])}), self._t_unix_ns)

    def _zda(self, fields: list[str]) -> Report | None:
        if not all(fields[1:5]):
            return None
        self._day_ns = _midnight_ns(int(fields[4]), int(fields[3]), int(fields[2]))
        return Report({}, self._moment(fields[1]))

    def _fix_type(self, dimensions: int) -> int:
        if not self._quality or self._quality in WITHOUT_SATELLITES or dimensions < 2:
            return NO_FIX
        base = TWO_D if dimensions == 2 else THREE_D
        if self._quality in FIXED_BY_GROUND:
            return base + GROUND_BASED
        if self._quality == DIFFERENTIAL:
            station = self._station
            by_satellite = not station.isdecimal() or int(station) in SBAS_STATIONS
            return base + (SATELLITE_BASED if by_satellite else GROUND_BASED)
        return base

    def _moment(self, text: str) -> int | None:
        """Unix ns of a time of day; the date is that of the last sentence with one, or of the day after at midnight."""
        if not text:
            return None
        match = _TIME.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no time of day")
        hour, minute, second = (int(part) for part in match.groups()[:3])
        # 60 is a leap second; it has the Unix time of the second after it
        if hour > 23 or minute > 59 or second > 60:
            raise ValueError(f"{text!r} is no time of day")
        if self._day_ns is None:
            return None
        fraction_ns = int((match.group(4) or "").ljust(9, "0"))
        t_ns = self._day_ns + (hour * 3600 + minute * 60 + second) * 10**9 + fraction_ns
        if self._t_unix_ns is not None and -DAY_NS <= t_ns - self._t_unix_ns < -DAY_NS // 2:
            t_ns += DAY_NS
        self._t_unix_ns = t_ns
        return t_ns


_KINDS = frozenset({"RMC", "GGA", "GSA", "GST", "HDT", "ZDA"})


def _number(text: str, factor: float = 1.0) -> float | None:
    if not text:
        return None
    if _DECIMAL.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no number")
    return float(text) * factor


def _angle(text: str, side: str, sides: str) -> float | None:
    """Degrees from (d)ddmm.mmmm and the letter of the hemisphere."""
    if not text:
        return None
    if _DECIMAL.fullmatch(text) is None or side not in sides or len(side) != 1:
        raise ValueError(f"{text!r} {side!r} is no angle")
    whole, _, fraction = text.partition(".")
    minutes = float(f"{whole[-2:]}.{fraction or 0}")
    if minutes >= 60.0 or len(whole) < 3:
        raise ValueError(f"{text!r} is no angle")
    degrees = int(whole[:-2]) + minutes / 60.0
    return -degrees if side == sides[1] else degrees


def _date(text: str) -> tuple[int, int, int]:
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no date")
    day, month, year = (int(part) for part in match.groups())
    # two digits: 80 to 99 are of the last century (NMEA 0183 is of 1983, GPS time begins in 1980)
    return (2000 if year < 80 else 1900) + year, month, day


def _midnight_ns(year: int, month: int, day: int) -> int:
    if not (
        1980 <= year <= YEAR_MAX and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]
    ):
        raise ValueError(f"no such day: {day}.{month}.{year}")
    return calendar.timegm((year, month, day, 0, 0, 0)) * 10**9


def _given(values: dict[str, float | None]) -> dict[str, float]:
    return {key: value for key, value in values.items() if value is not None}
