"""Power of a board, from sysfs: rails of INA3221 and INA238 monitors by label, over-current events of Jetsons, power supplies.

hwmon attributes in mV, mA and uW, power_supply in uV and uA (Documentation/hwmon/ina3221.rst, ina238.rst and
ABI/testing/sysfs-class-power of the kernel). Channels are told apart by label, never by number; NC is not connected. Events
of `soctherm_oc` on Orin: under-voltage of the input, average and instantaneous over-current (Jetson developer guide).
"""

from __future__ import annotations

from pathlib import Path

from edge.sources.board_files import BoardFiles
from edge.sources.board_names import RESOURCES, board_name
from edge.sources.chunks import legal_name

MILLIVOLTS, MILLIAMPERES, MICROWATTS = (0, 100_000), (-1_000, 1_000_000), (0, 10**9)
CHANNELS = (1, 2, 3)
WHOLE_BOARD = "VDD_IN"
"""The rail that feeds the module, where the board has it. Which sum of the others equals it on AGX is disputed: not made."""
EVENTS = {
    "oc1": "UnderVoltageEvents",
    "oc2": "AverageOverCurrentEvents",
    "oc3": "InstantaneousOverCurrentEvents",
}
COUNT_MAX = 1 << 62


def power(files: BoardFiles, source: str) -> dict[str, float]:
    """Volts, amperes and watts of each rail, its limits, and the events of all chips."""
    found: dict[str, float] = {}
    for chip in files.glob("sys/class/hwmon/hwmon*"):
        name = files.text(chip / "name")
        if name == "ina3221":
            for channel in CHANNELS:
                found |= _rail(files, source, chip, channel)
        elif name == "ina238":
            found |= _single(files, source, chip)
        elif name == "soctherm_oc":
            for event, thing in EVENTS.items():
                count = files.number(chip / f"{event}_event_cnt", 0, COUNT_MAX)
                if count is not None:
                    found[board_name(source, thing)] = count
    whole = found.get(board_name(source, f"Rail.{WHOLE_BOARD}.Power"))
    if whole is not None:
        found[f"{RESOURCES}Power"] = whole
    return found


def _rail(files: BoardFiles, source: str, chip: Path, channel: int) -> dict[str, float]:
    label = files.text(chip / f"in{channel}_label")
    if label is None or label == "NC":
        return {}
    rail = f"Rail.{legal_name(label)}"
    milli = {
        "Voltage": files.number(chip / f"in{channel}_input", *MILLIVOLTS),
        "Current": files.number(chip / f"curr{channel}_input", *MILLIAMPERES),
        "CurrentWarning": files.number(chip / f"curr{channel}_max", *MILLIAMPERES),
        "CurrentCritical": files.number(chip / f"curr{channel}_crit", *MILLIAMPERES),
    }
    found = {board_name(source, f"{rail}.{thing}"): n / 1000.0 for thing, n in milli.items() if n is not None}
    if milli["Voltage"] is not None and milli["Current"] is not None:
        found[board_name(source, f"{rail}.Power")] = milli["Voltage"] * milli["Current"] / 1e6
    alarms = [files.number(chip / f"curr{channel}_{kind}_alarm", 0, 1) for kind in ("max", "crit")]
    if known := [alarm for alarm in alarms if alarm is not None]:
        found[board_name(source, f"{rail}.IsOverCurrent")] = max(known)
    return found


def _single(files: BoardFiles, source: str, chip: Path) -> dict[str, float]:
    """A monitor of one channel; without a label it has the name of its chip."""
    labels = files.inside(chip, "in1_label")
    rail = f"Rail.{legal_name((files.text(labels[0]) if labels else None) or 'INA238')}"
    found = {}
    if (volts := files.number(chip / "in1_input", *MILLIVOLTS)) is not None:
        found[board_name(source, f"{rail}.Voltage")] = volts / 1000.0
    if (amperes := files.number(chip / "curr1_input", *MILLIAMPERES)) is not None:
        found[board_name(source, f"{rail}.Current")] = amperes / 1000.0
    if (watts := files.number(chip / "power1_input", *MICROWATTS)) is not None:
        found[board_name(source, f"{rail}.Power")] = watts / 1e6
    return found


def supplies(files: BoardFiles, source: str) -> dict[str, float]:
    """Voltage and charge of what the kernel knows as power supplies."""
    found: dict[str, float] = {}
    for supply in files.glob("sys/class/power_supply/*"):
        thing = f"PowerSupply.{legal_name(supply.name)}"
        for file, what, high, factor in (
            ("voltage_now", "Voltage", 10**9, 1e-6),
            ("current_now", "Current", 10**9, 1e-6),
            ("capacity", "Charge", 100, 1.0),
        ):
            if files.inside(supply, file):
                number = files.number(supply / file, -high, high)
                if number is not None:
                    found[board_name(source, f"{thing}.{what}")] = number * factor
    return found
