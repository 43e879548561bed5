"""What ModemManager says of a modem, to readings in the units of the catalog. Pure.

D-Bus reference of ModemManager 1.x: interfaces Modem, Modem.Modem3gpp, Modem.Signal, Modem.Location. Numbers of equipment and
subscriber are not read. A quantity that the modem does not tell is absent; one that cannot be meant is counted by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SERVICE, ROOT = "org.freedesktop.ModemManager1", "/org/freedesktop/ModemManager1"
MODEM = f"{SERVICE}.Modem"
SIGNAL, LOCATION, GPP = f"{MODEM}.Signal", f"{MODEM}.Location", f"{MODEM}.Modem3gpp"
TECHNOLOGIES = ("UNKNOWN", "NONE", "GSM", "UMTS", "LTE", "NR_NSA", "NR_SA")
"""Labels of Technology in the catalog."""
_GSM, _UMTS, _LTE, _NR = 0b11110, 0b11_1110_0000, 1 << 14, 1 << 15
"""Bits of MMModemAccessTechnology."""
CONNECTED = 11
"""MM_MODEM_STATE_CONNECTED."""
HOME, ROAMING = 1, 5
"""MMModem3gppRegistrationState."""
CELL = 1
"""MM_MODEM_LOCATION_SOURCE_3GPP_LAC_CI: "MCC,MNC,LAC,CI,TAC", the last three in hexadecimal."""
LEVELS = {"rsrp": "RSRP", "rsrq": "RSRQ", "snr": "SINR", "rssi": "RSSI"}
_HEX = re.compile(r"[0-9a-fA-F]{1,16}")

Objects = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Of GetManagedObjects: path to interface to property to value."""


def modem_paths(objects: Objects) -> list[str]:
    """Paths of the modems, in the order of their numbers."""
    paths = [path for path, interfaces in objects.items() if MODEM in interfaces]
    return sorted(paths, key=lambda path: (len(path), path))


def readings(interfaces: Mapping[str, Mapping[str, Any]]) -> dict[str, float | str]:
    """By the last part of the catalog name. TypeError or ValueError for properties of another shape."""
    modem, gpp, signal = interfaces.get(MODEM, {}), interfaces.get(GPP, {}), interfaces.get(SIGNAL, {})
    found: dict[str, float | str] = {}
    if "AccessTechnologies" in modem:
        found["Technology"] = float(TECHNOLOGIES.index(_technology(int(modem["AccessTechnologies"]))))
    if "State" in modem:
        found["IsConnected"] = float(int(modem["State"]) == CONNECTED)
    registration = gpp.get("RegistrationState")
    if registration in (HOME, ROAMING):
        found["IsRoaming"] = float(registration == ROAMING)
    if gpp.get("OperatorName"):
        found["Operator"] = str(gpp["OperatorName"])[:64]
    # a modem on both tells the anchor cell under Lte and the fast carrier under Nr5g: the latter carries the data
    for technology in ("Nr5g", "Lte"):
        for key, name in LEVELS.items():
            value = dict(signal.get(technology, {})).get(key)
            if value is not None:
                found.setdefault(name, float(value))
    return found


def cell_id(location: Mapping[int, Any]) -> float | None:
    """Cell identity of what GetLocation answers; None when it tells none. ValueError for one of another shape."""
    if CELL not in location:
        return None
    fields = str(location[CELL]).split(",")
    if len(fields) < 4 or _HEX.fullmatch(fields[3]) is None:
        raise ValueError("no cell in it")
    return float(int(fields[3], 16)) or None


def _technology(bits: int) -> str:
    if bits & _NR:
        return "NR_NSA" if bits & _LTE else "NR_SA"
    for mask, name in ((_LTE, "LTE"), (_UMTS, "UMTS"), (_GSM, "GSM")):
        if bits & mask:
            return name
    return "UNKNOWN" if bits else "NONE"
