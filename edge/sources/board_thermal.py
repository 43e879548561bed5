"""Temperatures, throttling and fans of a board, from sysfs.

Zones and cooling devices: Documentation/driver-api/thermal/sysfs-api.rst of the kernel; fans: Documentation/hwmon/sysfs-interface.rst, and
`rpm` of NVIDIA's tachometer. Zones are told apart by their type, never by number. A zone whose sensor is off fails to read,
or reads -256: no signal then.
"""

from __future__ import annotations

import re

from edge.sources.board_files import BoardFiles
from edge.sources.board_names import BOARD, RESOURCES, board_name

MILLICELSIUS = (-100_000, 200_000)
PWM_MAX = 255
RPM_MAX = 30_000
FANS_MAX = 8
_ZONE_TAIL = re.compile(r"[-_]?therm(al)?$", re.IGNORECASE)
_SLOWS_DOWN = re.compile(r"cpu|gpu|devfreq|processor|emc|cv|dla", re.IGNORECASE)
"""Types of cooling devices that cool by making something slower; fans do not."""
_HOTTEST = ("tj", "x86_pkg_temp")
"""Zones that tell the temperature of the whole chip."""


def temperatures(files: BoardFiles, source: str) -> dict[str, float]:
    """Celsius by zone."""
    found: dict[str, float] = {}
    for zone in files.glob("sys/class/thermal/thermal_zone*"):
        kind = files.text(zone / "type")
        milli = files.number(zone / "temp", *MILLICELSIUS)
        if kind is None or milli is None:
            continue
        kind = _ZONE_TAIL.sub("", kind)
        name = unique(board_name(source, f"Temperature.{kind}"), found)
        found[name] = milli / 1000.0
        if kind.lower() in _HOTTEST:
            found[f"{RESOURCES}Temperature"] = milli / 1000.0
    return found


def throttling(files: BoardFiles, source: str) -> dict[str, float]:
    """Whether the kernel slows something down for heat, and how often processors of Intel did so by themselves."""
    found: dict[str, float] = {}
    states = []
    for device in files.glob("sys/class/thermal/cooling_device*"):
        kind = files.text(device / "type")
        if kind is not None and _SLOWS_DOWN.search(kind) and "fan" not in kind.lower():
            states.append(files.number(device / "cur_state", 0, 1000))
    known = [state for state in states if state is not None]
    if known:
        found[f"{BOARD}IsThrottling"] = float(any(known))
    counts = [
        files.number(path, 0, 1 << 62)
        for path in files.glob("sys/devices/system/cpu/cpu*/thermal_throttle/core_throttle_count")
    ]
    if seen := [count for count in counts if count is not None]:
        found[board_name(source, "ThrottleCount")] = sum(seen)
    return found


def fans(files: BoardFiles, source: str) -> dict[str, float]:
    """Speed and duty cycle of the fans, numbered in the order of their chips."""
    speeds: list[float] = []
    duties: list[float] = []
    for chip in files.glob("sys/class/hwmon/hwmon*"):
        inputs = [*files.inside(chip, "fan[1-8]_input"), *files.inside(chip, "rpm")]
        speeds += [n for path in inputs if (n := files.number(path, 0, RPM_MAX)) is not None]
        pwms = files.inside(chip, "pwm[1-8]")
        duties += [n for path in pwms if (n := files.number(path, 0, PWM_MAX)) is not None]
    found = {board_name(source, f"Fan{at}.Speed"): rpm for at, rpm in enumerate(speeds[:FANS_MAX], 1)}
    for at, duty in enumerate(duties[:FANS_MAX], 1):
        found[board_name(source, f"Fan{at}.DutyCycle")] = duty * 100.0 / PWM_MAX
    return found


def unique(name: str, taken: dict[str, float]) -> str:
    """The name, or with a number where another zone has it already."""
    tried, number = name, 2
    while tried in taken:
        tried, number = f"{name}_{number}", number + 1
    return tried
