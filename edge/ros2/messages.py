"""ROS 2 messages to readings: diagnostic_msgs/DiagnosticArray and nav_msgs/Odometry. Pure; imports nothing of ROS.

A message is any object with the fields of the message definition, as rclpy gives them and as a test can make them. Names are
parts of signal names, units those of the message definitions (REP 103: metres, radians, seconds). Stamps are ROS time, which is
Unix time unless the nodes run on simulated time; a stamp of zero means that there is none. Fields that are not there or
no numbers give no reading.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LEVELS = ("OK", "WARN", "ERROR", "STALE")
"""Levels 0 to 3 of diagnostic_msgs/DiagnosticStatus."""
NAME_CHARS_MAX = 100
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of a message. t_unix_ns 0: the message has no stamp. text: of a string, then value is not used."""

    name: str
    value: float
    t_unix_ns: int
    unit: str = ""
    kind: str = "float64"
    labels: tuple[str, ...] = ()
    text: str | None = None


def part_of_name(text: str) -> str:
    """text as one part of a signal name: letters, digits and _."""
    return _NOT_IN_NAMES.sub("_", text).strip("_")[:NAME_CHARS_MAX] or "unnamed"


def stamp_ns(message: Any) -> int:
    """Header stamp in ns; 0 when there is none."""
    stamp = getattr(getattr(message, "header", None), "stamp", None)
    try:
        return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)  # type: ignore[union-attr]
    except (AttributeError, TypeError, ValueError):
        return 0


def diagnostic_readings(
    message: Any, topic: str = "diagnostics", *, values: bool = True
) -> Iterator[Reading]:
    """Of each status: its level as a state, its message as text, and, with values, every key with a number."""
    t_ns = stamp_ns(message)
    for status in getattr(message, "status", ()):
        name = f"{topic}.{part_of_name(str(getattr(status, 'name', '')))}"
        level = level_of(getattr(status, "level", None))
        if level is not None:
            yield Reading(f"{name}.level", float(level), t_ns, kind="enum", labels=LEVELS)
        text = str(getattr(status, "message", ""))
        yield Reading(f"{name}.message", 0.0, t_ns, kind="string", text=text)
        for pair in getattr(status, "values", ()) if values else ():
            number = number_of(getattr(pair, "value", None))
            if number is not None:
                yield Reading(f"{name}.{part_of_name(str(getattr(pair, 'key', '')))}", number, t_ns)


def level_of(level: Any) -> int | None:
    """Level 0 to 3; rclpy gives the byte of the message as bytes of length 1."""
    try:
        number = level[0] if isinstance(level, bytes | bytearray) else int(level)
    except (TypeError, ValueError, IndexError):
        return None
    return number if 0 <= number < len(LEVELS) else None


def number_of(text: Any) -> float | None:
    """The finite number that a value is, or None: values of diagnostics are text."""
    try:
        number = float(text)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def odometry_readings(message: Any, topic: str = "odometry") -> Iterator[Reading]:
    """Position, yaw, speed and turn rate, and the standard deviation of the position."""
    t_ns = stamp_ns(message)
    fields = {
        "position.x": (("pose", "pose", "position", "x"), "m"),
        "position.y": (("pose", "pose", "position", "y"), "m"),
        "position.z": (("pose", "pose", "position", "z"), "m"),
        "velocity.x": (("twist", "twist", "linear", "x"), "m/s"),
        "velocity.y": (("twist", "twist", "linear", "y"), "m/s"),
        "yaw_rate": (("twist", "twist", "angular", "z"), "rad/s"),
    }
    for name, (path, unit) in fields.items():
        number = number_of(_at(message, path))
        if number is not None:
            yield Reading(f"{topic}.{name}", number, t_ns, unit)
    yaw = yaw_rad(_at(message, ("pose", "pose", "orientation")))
    if yaw is not None:
        yield Reading(f"{topic}.yaw", yaw, t_ns, "rad")
    deviation = _position_deviation_m(_at(message, ("pose", "covariance")))
    if deviation is not None:
        yield Reading(f"{topic}.position.deviation", deviation, t_ns, "m")


def yaw_rad(quaternion: Any) -> float | None:
    """Rotation about the z axis, -pi to pi; None for what is no rotation, such as the all-zero default of the message."""
    parts = [number_of(getattr(quaternion, axis, None)) for axis in "xyzw"]
    if any(part is None for part in parts):
        return None
    x, y, z, w = (float(part or 0.0) for part in parts)
    if not 0.5 < x * x + y * y + z * z + w * w < 2.0:
        return None
    return math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))


def _position_deviation_m(covariance: Any) -> float | None:
    """Root of the summed variances of x and y; None where the covariance is unknown (zeros, by convention)."""
    try:
        variance = float(covariance[0]) + float(covariance[7])
    except (TypeError, ValueError, IndexError):
        return None
    return math.sqrt(variance) if math.isfinite(variance) and variance > 0 else None


def _at(message: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        message = getattr(message, name, None)
    return message
