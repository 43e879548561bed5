"""How a sensor sits in the van: its axes turned into those of the van, and gravity as the witness that this is right. Pure.

Axes of the van as in ISO 8855: X forward, Y left, Z up. A resting accelerometer measures 9.8 m/s^2 upwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

GRAVITY = 9.80665
GRAVITY_SLACK = 0.6
"""m/s^2 around gravity within which the van may be at rest or driving steadily."""
WINDOW_SAMPLES = 512
VECTORS = {
    "accel": tuple(f"Vehicle.Acceleration.{axis}" for axis in ("Longitudinal", "Lateral", "Vertical")),
    "anglvel": tuple(f"Vehicle.AngularVelocity.{axis}" for axis in ("Roll", "Pitch", "Yaw")),
}
"""Names of X, Y and Z in van axes, by the kernel's word for the quantity."""
Rotation = NDArray[np.float64]


def rotation(roll_deg: float, pitch_deg: float, yaw_deg: float) -> Rotation:
    """float64[3, 3] that turns a vector in sensor axes into van axes: first roll about X, then pitch about Y, then yaw about Z."""
    (sr, cr), (sp, cp), (sy, cy) = (
        (math.sin(math.radians(a)), math.cos(math.radians(a))) for a in (roll_deg, pitch_deg, yaw_deg)
    )
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def tilt_deg(acceleration: Sequence[float]) -> float | None:
    """Degrees between what an accelerometer measures in van axes and up; None when it is not gravity alone."""
    x, y, z = acceleration
    length = math.sqrt(x * x + y * y + z * z)
    if not abs(length - GRAVITY) <= GRAVITY_SLACK:
        return None
    return math.degrees(math.acos(max(-1.0, min(1.0, z / length))))


def doubt(where: str, off_deg: float, mounting_deg: Sequence[float]) -> str:
    """What a person is told about gravity in the wrong place."""
    return (
        f"{where}: gravity is {off_deg:.0f} degrees off with mounting_deg = {list(mounting_deg)}; "
        "on level ground that is how wrong it is"
    )


class GravityCheck:
    """Mean acceleration of WINDOW_SAMPLES at a time against up."""

    def __init__(self) -> None:
        self._sum = np.zeros(3)
        self._count = 0

    def feed(self, acceleration: NDArray[np.float64]) -> list[float]:
        """float64[n, 3] in van axes; degrees off of each window that n completes and that is gravity alone."""
        found = []
        while len(acceleration):
            part = acceleration[: WINDOW_SAMPLES - self._count]
            self._sum += part.sum(axis=0)
            self._count += len(part)
            acceleration = acceleration[len(part) :]
            if self._count == WINDOW_SAMPLES:
                off = tilt_deg((self._sum / WINDOW_SAMPLES).tolist())
                if off is not None:
                    found.append(off)
                self._sum, self._count = np.zeros(3), 0
        return found
