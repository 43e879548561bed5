"""Physics of the synthetic van: a mass on a closed route, its battery, and what gets warm.

Van.advance(dt) moves one state in s, m, m/s, W, V, A and Celsius, so that what is emitted fits together: acceleration is the
change of speed and changes by at most so much a second, position follows the route, current is power over voltage, charge is
the integral of current, and temperatures follow losses. Who drives (edge.sources.synthetic_round, edge.sources.synthetic_faults) sets the wishes.
Axes as ISO 8855: x forward, y to the left, yaw positive to the left. Figures are of a 1.2 t delivery van, none in particular.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from edge.sources.synthetic_route import Pose, Route, approach_mps

SUBSTEP_S_MAX = 0.05
GRAVITY_MPS2 = 9.81
EMPTY_KG, ROLLING, DRAG_N_PER_MPS2 = 1200.0, 0.012, 1.1
BRAKE_MPS2_MAX, ACCELERATION_MPS2_MAX = 3.0, 1.2
JERK_MPS3_MAX = 1.5
FORESIGHT_S = 0.6
"""Acceleration aims at the speed that is wished where the van will be so much later."""
CREEP_MPS = 0.02
"""Slower than this with nothing more to drive is at rest."""
WHEELBASE_M, TRACK_M = 2.2, 1.3
CAPACITY_AH, CELLS = 57.0, 96
PACK_OHM = 0.08
CHARGE_A, CHARGE_A_PER_S, CHARGE_UNTIL_PERCENT = 150.0, 20.0, 90.0
"""A charger raises and lowers its current by so much in a second, it does not switch it."""
AMBIENT_CELSIUS = 18.0
BOARD_CELSIUS_MAX = 120.0
"""Where the board switches itself off; the model only stops warming."""


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
    pose: Pose = field(default_factory=lambda: Pose(0.0, 0.0, 90.0, 0.0))
    """Of s_m."""
    speed_mps: float = 0.0
    pull_mps2: float = 0.0
    """Acceleration of this moment; acceleration_mps2 is the mean over the last step."""
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
    charger_a: float = 0.0
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
        self.pose = self.route.pose(self.s_m)
        self.t_s += dt_s

    def _move(self, dt_s: float) -> None:
        before = self.speed_mps
        pull = self._pull_mps2(dt_s)
        self.speed_mps = max(0.0, before + pull * dt_s)
        self.pull_mps2 = pull if self.speed_mps > 0 else 0.0
        self.s_m += (before + self.speed_mps) / 2 * dt_s
        self.lidar_dirt_percent = min(100.0, self.lidar_dirt_percent + self.speed_mps * dt_s * 2e-3)
        acceleration = (self.speed_mps - before) / dt_s
        force = self.mass_kg * acceleration + DRAG_N_PER_MPS2 * self.speed_mps**2
        if self.speed_mps > 0:
            force += self.mass_kg * GRAVITY_MPS2 * ROLLING
        # what the motor gives costs a tenth more; of what braking gives back 60 % arrives, at most 15 kW
        power = force * self.speed_mps
        self.traction_w = power / 0.9 if power >= 0 else max(power * 0.6, -15_000.0)

    def _pull_mps2(self, dt_s: float) -> float:
        """Acceleration of the next dt_s: an ordered brake acts at once, all else with limited jerk."""
        if self.brake_mps2 > 0:
            return -self.brake_mps2
        there_m = self.s_m + self.speed_mps * FORESIGHT_S
        to_halt = approach_mps(0.0, self.halt_at_m - there_m)
        wished = min(self.limit_mps, self.route.speed_mps_max(there_m), to_halt)
        if wished < CREEP_MPS and self.speed_mps < CREEP_MPS:
            return -self.speed_mps / dt_s
        aim = (wished - self.speed_mps) / FORESIGHT_S
        aim = min(max(aim, -BRAKE_MPS2_MAX), ACCELERATION_MPS2_MAX)
        change = JERK_MPS3_MAX * dt_s
        return min(max(aim, self.pull_mps2 - change), self.pull_mps2 + change)

    def _draw_power(self, dt_s: float) -> None:
        board_w = 60.0 + (90.0 if self.autonomy.startswith("SAE_4") else 0.0) + self.board_load_w
        self.board_w += (board_w - self.board_w) * dt_s / 4.0
        open_circuit = CELLS * (3.3 + 0.0085 * self.charge_percent)
        wished = CHARGE_A if self.charging and self.charge_percent < CHARGE_UNTIL_PERCENT else 0.0
        change = CHARGE_A_PER_S * dt_s
        self.charger_a += min(max(wished - self.charger_a, -change), change)
        self.current = self.charger_a - (self.traction_w + self.board_w + 300.0) / self.voltage
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
