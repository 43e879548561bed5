"""The road of the synthetic van: a closed route with corners that bend in and out again, and how fast it may be driven.

Metres along the route in, poses and speeds out; pure. Axes as ISO 8855: yaw and curvature positive to the left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

COMFORT_MPS2 = 1.5
CORNER_MPS2_MAX = 2.0
EASE_S = 2.0
"""Time constant with which braking fades out before a halt or a corner."""
PIECES = 2048
_EARTH_RADIUS_M = 6_378_137.0


def approach_mps(target_mps: float, distance_m: float) -> float:
    """Speed from which braking gently and ever more softly ends at target_mps after distance_m."""
    ease = COMFORT_MPS2 * EASE_S
    return math.hypot(target_mps, math.sqrt(ease**2 + 2 * COMFORT_MPS2 * max(0.0, distance_m)) - ease)


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the van is on its route: metres east and north of the origin, heading clockwise from north, 1/m to the left."""

    east_m: float
    north_m: float
    heading_degrees: float
    curvature_per_m: float


class Corner:
    """A turn of 90 degrees to the left. Curvature is a squared sine: it and its slope are 0 at both ends, 1/radius in the middle."""

    def __init__(self, radius_m: float) -> None:
        self._peak = 1.0 / radius_m
        self.length_m = math.pi * radius_m
        self._piece_m = self.length_m / PIECES
        along, aside = [0.0], [0.0]
        for at in range(PIECES):
            turned = self.turned((at + 0.5) * self._piece_m)
            along.append(along[-1] + math.cos(turned) * self._piece_m)
            aside.append(aside[-1] + math.sin(turned) * self._piece_m)
        self._along, self._aside = along, aside

    def curvature(self, into_m: float) -> float:
        """1/m after so many metres."""
        return self._peak * math.sin(math.pi * into_m / self.length_m) ** 2

    def turned(self, into_m: float) -> float:
        """Radians turned after so many metres: the integral of the curvature."""
        wave = 2 * math.pi / self.length_m
        return self._peak / 2 * (into_m - math.sin(wave * into_m) / wave)

    def moved(self, into_m: float) -> tuple[float, float]:
        """Metres ahead and to the left of where the corner began."""
        piece = min(int(into_m / self._piece_m), PIECES - 1)
        part = into_m / self._piece_m - piece
        along, aside = self._along, self._aside
        return (
            along[piece] + part * (along[piece + 1] - along[piece]),
            aside[piece] + part * (aside[piece + 1] - aside[piece]),
        )


@lru_cache(maxsize=8)
def corner_of(radius_m: float) -> Corner:
    """The corner of a radius, made once."""
    return Corner(radius_m)


@dataclass(frozen=True, slots=True)
class Route:
    """A closed route, driven with turns to the left: a rectangle with round corners, beginning at its depot."""

    long_m: float = 420.0
    short_m: float = 260.0
    radius_m: float = 12.0
    """Of the tightest place of a corner."""
    latitude: float = 48.1375
    longitude: float = 11.5755

    @property
    def lap_m(self) -> float:
        """Length of one lap."""
        return 2 * (self.long_m + self.short_m) + 4 * corner_of(self.radius_m).length_m

    def _leg(self, s_m: float) -> tuple[int, float, float]:
        """(side 0 to 3, metres into the side and its corner, length of the straight part)."""
        into = s_m % self.lap_m
        for side in range(4):
            straight = self.long_m if side % 2 == 0 else self.short_m
            length = straight + corner_of(self.radius_m).length_m
            if into < length or side == 3:
                return side, into, straight
            into -= length
        raise AssertionError("a lap has four sides")

    def pose(self, s_m: float) -> Pose:
        """Pose after s_m from the depot. Side 0 runs east."""
        side, into, straight = self._leg(s_m)
        corner = corner_of(self.radius_m)
        bent_m = min(max(0.0, into - straight), corner.length_m)
        along, aside = corner.moved(bent_m)
        _, width = corner.moved(corner.length_m)
        east = north = 0.0
        for done in range(side):
            whole = (self.long_m if done % 2 == 0 else self.short_m) + width
            east, north = _moved(east, north, done, whole, width)
        east, north = _moved(east, north, side, min(into, straight) + along, aside)
        heading = (90.0 - 90.0 * side - math.degrees(corner.turned(bent_m))) % 360.0
        return Pose(east, north, heading, corner.curvature(bent_m))

    def speed_mps_max(self, s_m: float) -> float:
        """Speed at which the van gets around a corner, and before it the one from which it still brakes gently."""
        _, into, straight = self._leg(s_m)
        return approach_mps(math.sqrt(CORNER_MPS2_MAX * self.radius_m), straight - into)

    def position(self, pose: Pose) -> tuple[float, float]:
        """Latitude and longitude of a pose in degrees (WGS84), on the plane that touches the origin."""
        latitude = self.latitude + math.degrees(pose.north_m / _EARTH_RADIUS_M)
        circle_m = _EARTH_RADIUS_M * math.cos(math.radians(self.latitude))
        return latitude, self.longitude + math.degrees(pose.east_m / circle_m)


def _moved(east: float, north: float, side: int, along: float, aside: float) -> tuple[float, float]:
    """A point along (ahead) and aside (to the left) of a side that begins at east, north."""
    ahead_east, ahead_north = ((1, 0), (0, 1), (-1, 0), (0, -1))[side]
    return (
        east + along * ahead_east - aside * ahead_north,
        north + along * ahead_north + aside * ahead_east,
    )
