"""Names of what boards tell: those of the overlay where it has them, else `<source>.<thing>`, with the unit of the thing."""

from __future__ import annotations

from functools import lru_cache

from edge.sources.chunks import legal_name
from vantel.catalog import builtin

BOARD = "Vehicle.Robovan.Board."
RESOURCES = "Vehicle.ControlUnit.Central.Health.Resources."
UNITS = {
    "Power": "W", "Voltage": "V", "Current": "A", "CurrentWarning": "A", "CurrentCritical": "A", "Frequency": "Hz",
    "Speed": "rpm", "DutyCycle": "percent", "Utilization": "percent", "Charge": "percent",
}  # fmt: skip
"""Of a local signal, by the last part of its name. Temperatures are named by their zone."""


@lru_cache(maxsize=1)
def board_names() -> dict[str, str]:
    """Names of the overlay for boards, by their lower-case form."""
    return {signal.name.lower(): signal.name for signal in builtin() if signal.name.startswith(BOARD)}


def board_name(source: str, thing: str) -> str:
    """Name of a thing of the board, as Temperature.cpu or Rail.VDD_IN.Power."""
    known = board_names().get(f"{BOARD}{thing}".lower())
    return known or f"{legal_name(source)}.{legal_name(thing)}"


def unit_of(name: str) -> str:
    """Unit of a local signal."""
    return "Celsius" if ".Temperature." in name else UNITS.get(name.rpartition(".")[2], "")
