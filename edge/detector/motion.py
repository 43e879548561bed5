"""Does the van move, and in which mode is it? What its speed says, in one place for guards and channels."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from edge.detector.guards import SLOTS
from vantel.catalog import Signal
from vantel.kernel import kernel

MODE, T_MOVED, MOTION, CLOCKS = range(2, 6)
"""Entries of the stream clock beyond those of the guards: operating mode, when the van last moved (ns), UNKNOWN, MOVING or STANDING."""
UNKNOWN, MOVING, STANDING = range(3)
SPEED, CHARGING = range(2)
"""Entries of the mode slots: -1 where the van has no such signal."""
_DRIVING, _PARKED, _CHARGING = range(3)
_SPEEDS = ("km/h", "m/s")
_MOVES = 0.5  # in the unit of that speed: below it a wheel sensor shows nothing
_STALE_NS = 5_000_000_000  # what an older speed says is not known
_PARKED_AFTER_NS = 10_000_000_000  # shorter stops belong to driving

_I, _F = numba.int64, numba.float64


def mode_slots(signals: Sequence[Signal]) -> NDArray[np.int32]:
    """Slots of the signals that tell the operating mode: Vehicle.Speed or another speed over ground, and charging."""
    slots = {signal.name.lower(): slot for slot, signal in enumerate(signals)}
    speeds = [
        slot
        for name, slot in slots.items()
        if name.split(".")[-1] == "speed" and signals[slot].unit in _SPEEDS
    ]
    speed = slots.get("vehicle.speed", speeds[0] if speeds else -1)
    charging = slots.get("vehicle.powertrain.tractionbattery.charging.ischarging", -1)
    return np.array([speed, charging], np.int32)


@kernel(numba.void(_I, _I, _F, _I[::1], SLOTS))
def follow_mode(s, t, value, clock, modes):  # type: ignore[no-untyped-def]
    """Driving until the van has stood for a while; charging as long as it says so."""
    if s == modes[SPEED]:
        clock[MOTION] = MOVING if abs(value) > _MOVES else STANDING
        if clock[MOTION] == MOVING:
            clock[T_MOVED] = t
            clock[MODE] = _DRIVING
        elif clock[MODE] == _DRIVING and t - clock[T_MOVED] > _PARKED_AFTER_NS:
            clock[MODE] = _PARKED
    elif s == modes[CHARGING]:
        if value > 0.5:
            clock[MODE] = _CHARGING
        elif clock[MODE] == _CHARGING:
            clock[MODE] = _PARKED


@kernel(_I(_I, _I[::1]))
def motion(now, clock):  # type: ignore[no-untyped-def]
    """UNKNOWN, MOVING or STANDING at now (ns). That it moves is known for some seconds only; a van that stood when its speed
    went silent was switched off, and stands."""
    if clock[MOTION] == MOVING and now - clock[T_MOVED] >= _STALE_NS:
        return UNKNOWN
    return clock[MOTION]
