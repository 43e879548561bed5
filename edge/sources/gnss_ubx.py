"""UBX frames of u-blox receivers to reports: NAV-PVT (position, velocity, time), NAV-DOP and NAV-SAT.

Layouts: u-blox 7 to F9 interface descriptions, sections UBX-NAV-PVT (84 bytes before protocol version 15, then 92, which
end with the heading), UBX-NAV-DOP and UBX-NAV-SAT. A position counts only with gnssFixOK; a time may set a clock only when date and
time are valid and fully resolved, that is, when the receiver knows the leap seconds.
"""

from __future__ import annotations

import calendar
import struct

from edge.sources.gnss_report import GROUND_BASED, NO_FIX, SATELLITE_BASED, THREE_D, TWO_D, Report

NAV_PVT, NAV_DOP, NAV_SAT = (1, 0x07), (1, 0x04), (1, 0x35)
_PVT = struct.Struct("<IHBBBBBBIiBBBBiiiiIIiiiiiIIHH4x")
_PVT_HEADING = struct.Struct("<i4x")
_DOP = struct.Struct("<I7H")
_SAT = struct.Struct("<IBB")
TIME_RESOLVED = 0b111
FIX_OK, DIFFERENTIAL, HEADING_VALID = 1, 2, 1 << 5
POSITION_INVALID = 1
"""Bit of flags3."""
DIMENSIONS = {2: TWO_D, 3: THREE_D, 4: THREE_D}
"""By fixType; dead reckoning alone and time alone are no fix in VSS."""


class UbxReader:
    """State of one receiver: the moment of the last NAV-PVT, for the frames that name none. has_fixes: one has come."""

    def __init__(self) -> None:
        self._t_unix_ns: int | None = None
        self.has_fixes = False

    def read(self, kind: tuple[int, int], payload: bytes) -> Report | None:
        """Report of a frame; None for a frame that is not read. struct.error or ValueError for one of a wrong shape."""
        if kind == NAV_PVT:
            return self._pvt(payload)
        if kind == NAV_DOP:
            _, _, pdop, _, _, hdop, _, _ = _DOP.unpack(payload)
            return Report({"pdop": pdop * 0.01, "hdop": hdop * 0.01}, self._t_unix_ns)
        if kind == NAV_SAT:
            _, _, satellites = _SAT.unpack_from(payload)
            return Report({"satellites_visible": float(satellites)}, self._t_unix_ns)
        return None

    def _pvt(self, payload: bytes) -> Report:
        (_, year, month, day, hour, minute, second, valid, _, nano, fix, flags, _, used, lon, lat, height, _, h_acc,
         v_acc, north, east, down, speed, course, _, _, _, flags3) = _PVT.unpack(payload[: _PVT.size])  # fmt: skip
        rest = payload[_PVT.size :]
        (heading,) = _PVT_HEADING.unpack(rest) if rest else (None,)
        self.has_fixes = True
        t_ns = None
        if valid & 0b11 == 0b11:
            t_ns = _unix_ns(year, month, day, hour, minute, second) + nano
        self._t_unix_ns = t_ns
        fixed = bool(flags & FIX_OK)
        values = {"satellites_used": float(used), "fix_type": float(_fix_type(fix, flags))}
        if fixed and not (rest and flags3 & POSITION_INVALID):  # reserved in the short form
            values |= {
                "latitude": lat * 1e-7,
                "longitude": lon * 1e-7,
                "altitude": height * 1e-3,
                "horizontal_accuracy": h_acc * 1e-3,
                "vertical_accuracy": v_acc * 1e-3,
            }
        if fixed:
            values |= {
                "velocity_north": north * 1e-3,
                "velocity_east": east * 1e-3,
                "velocity_down": down * 1e-3,
                "speed": speed * 1e-3,
                "course": course * 1e-5 % 360.0,
            }
            if heading is not None and flags & HEADING_VALID:
                values["heading"] = heading * 1e-5 % 360.0
        trusted = fixed and valid & TIME_RESOLVED == TIME_RESOLVED
        return Report(values, t_ns, t_ns if trusted else None)


def _fix_type(fix: int, flags: int) -> int:
    base = DIMENSIONS.get(fix)
    if base is None or not flags & FIX_OK:
        return NO_FIX
    if flags >> 6:  # carrier phases are resolved against a base station
        return base + GROUND_BASED
    return base + (SATELLITE_BASED if flags & DIFFERENTIAL else 0)


def _unix_ns(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
    if not (1980 <= year <= 2115 and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]):
        raise ValueError(f"no such day: {day}.{month}.{year}")
    if hour > 23 or minute > 59 or second > 60:
        raise ValueError(f"no such time: {hour}:{minute}:{second}")
    return calendar.timegm((year, month, day, hour, minute, second)) * 10**9
