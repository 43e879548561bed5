"""What a GNSS receiver says, whatever its protocol: a report in units of the catalog, checked value by value.

Parsers make Reports, whose keys are those of SIGNALS; checked() leaves out what no receiver on Earth can mean and counts it
(odd_<key>). Positions are at the antenna, in the receiver's datum (WGS84), altitude above the ellipsoid.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from vantel.catalog import SignalType

LOCATION = "Vehicle.CurrentLocation."
RECEIVER = "Vehicle.Robovan.GNSS."
FIX_TYPE = f"{LOCATION}GNSSReceiver.FixType"
NO_FIX, TWO_D, THREE_D = 0, 1, 5
"""Labels of VSS FixType; one more for satellite-based augmentation, two more for ground-based (DGNSS, RTK)."""
SATELLITE_BASED, GROUND_BASED = 1, 2


@dataclass(frozen=True, slots=True)
class Quantity:
    """One thing a receiver tells: its name below the source when it is not the main one, catalog name, unit, range."""

    local: str
    name: str
    unit: str
    min: float
    max: float
    kind: SignalType = SignalType.FLOAT64


SIGNALS: Mapping[str, Quantity] = {
    "latitude": Quantity("Latitude", f"{LOCATION}Latitude", "degrees", -90.0, 90.0),
    "longitude": Quantity("Longitude", f"{LOCATION}Longitude", "degrees", -180.0, 180.0),
    "altitude": Quantity("Altitude", f"{LOCATION}Altitude", "m", -1000.0, 20_000.0),
    "heading": Quantity("Heading", f"{LOCATION}Heading", "degrees", 0.0, 360.0),
    "horizontal_accuracy": Quantity("HorizontalAccuracy", f"{LOCATION}HorizontalAccuracy", "m", 0.0, 1e5),
    "vertical_accuracy": Quantity("VerticalAccuracy", f"{LOCATION}VerticalAccuracy", "m", 0.0, 1e5),
    "fix_type": Quantity("FixType", FIX_TYPE, "", 0.0, 8.0, SignalType.UINT64),
    "satellites_used": Quantity(
        "SatellitesUsed", f"{RECEIVER}SatellitesUsed", "", 0.0, 200.0, SignalType.UINT64
    ),
    "satellites_visible": Quantity(
        "SatellitesVisible", f"{RECEIVER}SatellitesVisible", "", 0.0, 400.0, SignalType.UINT64
    ),
    "speed": Quantity("Speed", f"{RECEIVER}Speed", "m/s", 0.0, 150.0),
    "course": Quantity("Course", f"{RECEIVER}Course", "degrees", 0.0, 360.0),
    "hdop": Quantity("HDOP", f"{RECEIVER}HDOP", "", 0.0, 100.0),
    "pdop": Quantity("PDOP", f"{RECEIVER}PDOP", "", 0.0, 100.0),
    "differential_age": Quantity("DifferentialAge", f"{RECEIVER}DifferentialAge", "s", 0.0, 86_400.0),
    "jamming": Quantity("JammingIndicator", f"{RECEIVER}JammingIndicator", "ratio", 0.0, 1.0),
    "velocity_north": Quantity("Velocity.North", f"{RECEIVER}Velocity.North", "m/s", -150.0, 150.0),
    "velocity_east": Quantity("Velocity.East", f"{RECEIVER}Velocity.East", "m/s", -150.0, 150.0),
    "velocity_down": Quantity("Velocity.Down", f"{RECEIVER}Velocity.Down", "m/s", -150.0, 150.0),
}
"""By the key that parsers use."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one message said. t_unix_ns: the moment it is about, as the receiver believes. clock_unix_ns: the same where
    the message names a full time that the receiver vouches for, so that a clock may be set by it."""

    values: dict[str, float] = field(default_factory=dict)
    t_unix_ns: int | None = None
    clock_unix_ns: int | None = None


def checked(values: Mapping[str, float], counts: Counter[str]) -> dict[str, float]:
    """The values that can be meant. A position is whole or absent; latitude and longitude both exactly 0 are none."""
    good: dict[str, float] = {}
    for key, value in values.items():
        quantity = SIGNALS[key]
        if math.isfinite(value) and quantity.min <= value <= quantity.max:
            good[key] = value
        else:
            counts[f"odd_{key}"] += 1
    position = [key for key in ("latitude", "longitude") if key in good]
    if len(position) == 1:
        del good[position[0]]
    elif position and good["latitude"] == 0.0 == good["longitude"]:
        del good["latitude"], good["longitude"]
        counts["odd_null_island"] += 1
    return good
