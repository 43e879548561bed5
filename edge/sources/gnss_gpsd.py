"""Lines of gpsd's JSON protocol to reports: TPV (time, position, velocity) and SKY (satellites, dilution of precision).

gpsd_json(5). gpsd may send several TPV of one epoch, each with more in it: a quantity counts once an epoch. Time is believed
only with a fix and, where gpsd tells leap seconds, only when it knows them. `alt` is deprecated and not read. eph and epv have no defined
confidence; they are passed on as accuracies. A line of another class is counted by class.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from edge.sources.decimal_time import parse_ns
from edge.sources.gnss_report import GROUND_BASED, NO_FIX, SATELLITE_BASED, THREE_D, TWO_D, Report

LINE_BYTES_MAX = 64 * 1024
"""gpsd's own limit of an answer is below 20 KiB."""
WATCH = b'?WATCH={"enable":true,"json":true}\n'
TPV_KEYS = {
    "lat": "latitude", "lon": "longitude", "altHAE": "altitude", "eph": "horizontal_accuracy", "epv": "vertical_accuracy",
    "speed": "speed", "track": "course", "velN": "velocity_north", "velE": "velocity_east", "velD": "velocity_down",
    "dgpsAge": "differential_age",
}  # fmt: skip
STATUS_DGPS, STATUS_RTK = 2, (3, 4)
STATUS_NO_FIX = (5, 8)
"""Dead reckoning alone, simulator."""
JAM_MAX = 255.0
LEAP_S_MIN = 18
"""GPS minus UTC since 2017; a receiver that says less has not yet heard of it."""


class GpsdReader:
    """State of one connection: a line that is not complete yet, and what the epoch has said already."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._rest = b""
        self._epoch: str | None = None
        self._told: set[str] = set()
        self._t_unix_ns: int | None = None

    def feed(self, data: bytes) -> list[Report]:
        """Reports of the lines that data completes; what is no line of gpsd is counted."""
        *lines, rest = (self._rest + data).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            self.counts["line_too_long"] += 1
            rest = b""
        self._rest = rest
        found = []
        for line in lines:
            if not line.strip():
                continue
            try:
                report = self.read(line)
            except (ValueError, TypeError, RecursionError):
                self.counts["line_damaged"] += 1
                continue
            if report is not None:
                found.append(report)
        return found

    def read(self, line: bytes) -> Report | None:
        """Report of one line. ValueError, TypeError or RecursionError for one that is none."""
        said = json.loads(line)
        if not isinstance(said, dict) or not isinstance(said.get("class"), str):
            raise ValueError("no object with a class")
        if said["class"] == "TPV":
            self.counts["TPV"] += 1
            return self._tpv(said)
        if said["class"] == "SKY":
            self.counts["SKY"] += 1
            return Report(self._new(_sky(said)), self._t_unix_ns)
        self.counts["error" if said["class"] == "ERROR" else "class_not_read"] += 1
        return None

    def _tpv(self, said: Mapping[str, Any]) -> Report:
        mode = said.get("mode", 0)
        time = said.get("time")
        if not isinstance(mode, int) or not isinstance(time, str | None):
            raise ValueError("no mode or no time")
        if time != self._epoch or time is None:
            self._epoch, self._told = time, set()
        t_ns = parse_ns(time, "s") if time is not None and mode >= 2 else None
        self._t_unix_ns = t_ns
        if mode < 2:
            return Report(self._new({"fix_type": float(NO_FIX)}) if mode == 1 else {})
        values = {key: _number(said[name]) for name, key in TPV_KEYS.items() if name in said}
        values["fix_type"] = float(_fix_type(mode, said.get("status")))
        if isinstance(jam := said.get("jam"), int) and jam >= 0:
            values["jamming"] = jam / JAM_MAX
        leap_s = said.get("leapseconds")
        leap_known = leap_s is None or (isinstance(leap_s, int) and leap_s >= LEAP_S_MIN)
        if not leap_known:
            self.counts["leap_seconds_unknown"] += 1
        first = "fix_type" not in self._told
        return Report(self._new(values), t_ns, t_ns if first and leap_known else None)

    def _new(self, values: dict[str, float]) -> dict[str, float]:
        """What this epoch has not said yet."""
        new = {key: value for key, value in values.items() if key not in self._told}
        self._told.update(new)
        return new


def _sky(said: Mapping[str, Any]) -> dict[str, float]:
    values = {key: _number(said[key]) for key in ("hdop", "pdop") if key in said}
    satellites = said.get("satellites")
    if "nSat" in said:
        values["satellites_visible"] = _number(said["nSat"])
    elif isinstance(satellites, list):
        values["satellites_visible"] = float(len(satellites))
    if "uSat" in said:
        values["satellites_used"] = _number(said["uSat"])
    elif isinstance(satellites, list):
        values["satellites_used"] = float(
            sum(isinstance(s, dict) and s.get("used") is True for s in satellites)
        )
    return values


def _fix_type(mode: int, status: object) -> int:
    if status in STATUS_NO_FIX:
        return NO_FIX
    base = TWO_D if mode == 2 else THREE_D
    if status in STATUS_RTK:
        return base + GROUND_BASED
    return base + (SATELLITE_BASED if status == STATUS_DGPS else 0)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        raise ValueError(f"{value!r} is no number")
    return float(value)
