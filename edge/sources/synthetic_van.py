"""Physics of the synthetic van: a mass on a closed route, its battery, and what gets warm.

Van.advance(dt) moves one state in s, m, m/s, W, V, A and Celsius, so that what is emitted fits together: acceleration is the
change of speed, position follows the route, current is power over voltage, charge is the integral of current, and
temperatures follow losses. Who drives (edge.sources.synthetic_round, edge.sources.synthetic_faults) sets the wishes.
Axes as ISO 8855: x forward, y to the left, yaw positive to the left. Figures are of a 1.2 t delivery van, none in particular.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

SUBSTEP_S_MAX = 0.05
GRAVITY_MPS2 = 9.81
EMPTY_KG, ROLLING, DRAG_N_PER_MPS2 = 1200.0, 0.012, 1.1
COMFORT_MPS2, BRAKE_MPS2_MAX = 1.5, 3.0
ACCELERATION_MPS2_MAX = 1.2
CORNER_MPS2_MAX = 2.0
WHEELBASE_M, TRACK_M = 2.2, 1.3
CAPACITY_AH, CELLS = 57.0, 96
PACK_OHM = 0.08
CHARGE_A, CHARGE_UNTIL_PERCENT = 150.0, 90.0
AMBIENT_CELSIUS = 18.0
BOARD_CELSIUS_MAX = 120.0
"""Where the board switches itself off; the model only stops warming."""
_EARTH_RADIUS_M = 6_378_137.0


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the van is on its route: metres east and north of the origin, heading clockwise from north, 1/m to the left."""

    east_m: float
    north_m: float
    heading_degrees: float
    curvature_per_m: float


@dataclass(frozen=True, slots=True)
class Route:
    """A closed route, driven with turns to the left: a rectangle with round corners, beginning at its depot."""

    long_m: float = 420.0
    short_m: float = 260.0
    radius_m: float = 12.0
    latitude: float = 48.1375
    longitude: float = 11.5755

    @property
    def lap_m(self) -> float:
        """Length of one lap."""
        return 2 * (self.long_m + self.short_m) + 2 * math.pi * self.radius_m

    def _leg(self, s_m: float) -> tuple[int, float, float]:
        """(side 0 to 3, metres into the side and its corner, length of the straight part)."""
        into = s_m % self.lap_m
        for side in range(4):
            straight = self.long_m if side % 2 == 0 else self.short_m
            length = straight + math.pi / 2 * self.radius_m
            if into < length or side == 3:
                return side, into, straight
            into -= length
        raise AssertionError("a lap has four sides")

    def pose(self, s_m: float) -> Pose:
        """Pose after s_m from the depot. Side 0 runs east."""
        side, into, straight = self._leg(s_m)
        radius = self.radius_m
        corner = max(0.0, into - straight) / radius
        along = min(into, straight) + radius * math.sin(corner)
        aside = radius * (1.0 - math.cos(corner))
        east = north = 0.0
        for done in range(side):
            whole = (self.long_m if done % 2 == 0 else self.short_m) + radius
            east, north = _moved(east, north, done, whole, radius)
        east, north = _moved(east, north, side, along, aside)
        heading = (90.0 - 90.0 * side - math.degrees(corner)) % 360.0
        return Pose(east, north, heading, 1.0 / radius if corner > 0 else 0.0)

    def speed_mps_max(self, s_m: float) -> float:
        """Speed from which the van still gets around the next corner, braking gently."""
        _, into, straight = self._leg(s_m)
        corner_squared = CORNER_MPS2_MAX * self.radius_m
        return math.sqrt(corner_squared + 2 * COMFORT_MPS2 * max(0.0, straight - into))

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


@dataclass(slots=True)
class Door:
    """A cargo door."""

    is_open: bool = False
    is_locked: bool = True


@dataclass(slots=True)
class Van:
    """State of the van. Wishes are set by whoever drives; all else follows in advance()."""

    route: Route = field(default_factory=Route)
    # wishes
    limit_mps: float = 0.0
    halt_at_m: float = 0.0
    brake_mps2: float = 0.0
    """Above 0: brake this hard to a stand, whatever else is wished."""
    charging: bool = False
    board_load_w: float = 0.0
    """Extra power of the computer."""
    is_cooling: bool = True
    # motion
    t_s: float = 0.0
    s_m: float = 0.0
    speed_mps: float = 0.0
    acceleration_mps2: float = 0.0
    # states
    autonomy: str = "SAE_0"
    mode: str = "PARKED"
    delivery: str = "LOADING"
    stop_index: int = 0
    route_percent: float = 0.0
    assistance: str = "IDLE"
    assistance_reason: str = "NONE"
    assistance_waiting_s: float = 0.0
    minimal_risk: str = "INACTIVE"
    minimal_risk_reason: str = "NONE"
    minimal_risk_count: int = 0
    stop_source: str = "NONE"
    stop_count: int = 0
    disengagements: int = 0
    is_bumper_pressed: bool = False
    left: Door = field(default_factory=Door)
    right: Door = field(default_factory=Door)
    parcels: int = 0
    parcel_kg: float = 6.0
    # battery and heat
    charge_percent: float = 80.0
    voltage: float = 350.0
    current: float = 0.0
    """Positive into the battery, as VSS has it."""
    traction_w: float = 0.0
    board_w: float = 60.0
    battery_celsius: float = 22.0
    battery_excess_celsius: float = 1.0
    motor_celsius: float = 30.0
    board_celsius: float = 40.0
    cargo_celsius: float = 6.0
    # perception
    lidar_dirt_percent: float = 3.0
    is_lidar_blocked: bool = False

    @property
    def is_standing(self) -> bool:
        """At rest."""
        return self.speed_mps == 0.0

    @property
    def is_at_halt(self) -> bool:
        """At rest where it was to halt."""
        return self.is_standing and self.halt_at_m - self.s_m < 1.0

    @property
    def mass_kg(self) -> float:
        """With what is loaded."""
        return EMPTY_KG + self.parcels * self.parcel_kg

    @property
    def lidar(self) -> str:
        """State of the front lidar."""
        if self.is_lidar_blocked:
            return "BLOCKED"
        return "DEGRADED" if self.lidar_dirt_percent > 50.0 else "OK"

    def advance(self, dt_s: float) -> None:
        """Move the state on by dt_s, in equal steps of at most SUBSTEP_S_MAX."""
        before = self.speed_mps
        steps = max(1, math.ceil(dt_s / SUBSTEP_S_MAX))
        for _ in range(steps):
            self._move(dt_s / steps)
            self._draw_power(dt_s / steps)
            self._warm(dt_s / steps)
        self.acceleration_mps2 = (self.speed_mps - before) / dt_s
        self.t_s += dt_s

    def _move(self, dt_s: float) -> None:
        before = self.speed_mps
        if self.brake_mps2 > 0:
            change = -self.brake_mps2 * dt_s
        else:
            room_m = max(0.0, self.halt_at_m - self.s_m)
            wished = min(
                self.limit_mps, self.route.speed_mps_max(self.s_m), math.sqrt(2 * COMFORT_MPS2 * room_m)
            )
            if room_m < 0.05:
                wished = 0.0
            change = min(max(wished - before, -BRAKE_MPS2_MAX * dt_s), ACCELERATION_MPS2_MAX * dt_s)
        self.speed_mps = max(0.0, before + change)
        self.s_m += (before + self.speed_mps) / 2 * dt_s
        self.lidar_dirt_percent = min(100.0, self.lidar_dirt_percent + self.speed_mps * dt_s * 2e-3)
        acceleration = (self.speed_mps - before) / dt_s
        force = self.mass_kg * acceleration + DRAG_N_PER_MPS2 * self.speed_mps**2
        if self.speed_mps > 0:
            force += self.mass_kg * GRAVITY_MPS2 * ROLLING
        # what the motor gives costs a tenth more; of what braking gives back 60 % arrives, at most 15 kW
        power = force * self.speed_mps
        self.traction_w = power / 0.9 if power >= 0 else max(power * 0.6, -15_000.0)

    def _draw_power(self, dt_s: float) -> None:
        board_w = 60.0 + (90.0 if self.autonomy.startswith("SAE_4") else 0.0) + self.board_load_w
        self.board_w += (board_w - self.board_w) * dt_s / 4.0
        open_circuit = CELLS * (3.3 + 0.0085 * self.charge_percent)
        if self.charging and self.charge_percent < CHARGE_UNTIL_PERCENT:
            self.current = CHARGE_A
        else:
            self.current = -(self.traction_w + self.board_w + 300.0) / self.voltage
        self.voltage = open_circuit + self.current * PACK_OHM
        charge = self.charge_percent + self.current * dt_s / 3600.0 / CAPACITY_AH * 100.0
        self.charge_percent = min(100.0, max(0.0, charge))

    def _warm(self, dt_s: float) -> None:
        """Heat capacities in J/K, losses in W, ways out in W/K."""
        cooled = 1.0 if self.is_cooling else 0.0
        loss = self.current**2 * PACK_OHM
        self.battery_celsius += dt_s * (loss - 25.0 * (self.battery_celsius - AMBIENT_CELSIUS)) / 60_000.0
        # the hottest cell: 1 K above the mean with coolant, without it up to 45 K more
        target, within_s = (1.0, 60.0) if self.is_cooling else (46.0, 30.0)
        self.battery_excess_celsius += dt_s * (target - self.battery_excess_celsius) / within_s
        motor_loss = 0.1 * abs(self.traction_w) - (8.0 + 32.0 * cooled) * (
            self.motor_celsius - AMBIENT_CELSIUS
        )
        self.motor_celsius += dt_s * motor_loss / 15_000.0
        board_loss = self.board_w - 4.0 * cooled * (self.board_celsius - AMBIENT_CELSIUS)
        self.board_celsius = min(BOARD_CELSIUS_MAX, self.board_celsius + dt_s * board_loss / 300.0)
        outside = 200.0 if self.left.is_open or self.right.is_open else 1500.0
        self.cargo_celsius += dt_s * (
            (AMBIENT_CELSIUS - self.cargo_celsius) / outside + (4.0 - self.cargo_celsius) / 300.0
        )
