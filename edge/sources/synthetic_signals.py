"""What the synthetic van tells of itself: catalog name, how often, and the value as a function of the van's state.

MOTION goes out at each step, GAUGES once a second, STATES once a second and when they change. Values are in the units of
the built-in catalog; a state is a label, a truth value or a count. Noise, where a real sensor has some, comes from the
generator that is handed in.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from edge.sources.synthetic_van import CELLS, TRACK_M, WHEELBASE_M, Van

Reading = Callable[[Van, random.Random], float]
State = Callable[[Van], str | bool | int]

_BATTERY = "Vehicle.Powertrain.TractionBattery."
_ROBOVAN = "Vehicle.Robovan."
_LIDAR, _CAMERA = _ROBOVAN + "Lidar.Front.", _ROBOVAN + "Camera.Front."
_WHEEL = "Vehicle.Chassis.Axle.Row{}.Wheel.{}.Speed"


def _wheel_kmh(van: Van, side: int) -> float:
    """Speed of a wheel; side 1 is left, -1 right: the inner wheel of a turn is slower."""
    curvature = van.pose.curvature_per_m
    return van.speed_mps * 3.6 * (1.0 - side * curvature * TRACK_M / 2)


def _yaw_degrees_per_s(van: Van) -> float:
    return math.degrees(van.speed_mps * van.pose.curvature_per_m)


def _latitude(van: Van, _: random.Random) -> float:
    return van.route.position(van.pose)[0]


def _longitude(van: Van, _: random.Random) -> float:
    return van.route.position(van.pose)[1]


def _point_count(van: Van, chance: random.Random) -> float:
    if van.is_lidar_blocked:
        return 0.0
    return float(round(60_000 * (1.0 - van.lidar_dirt_percent / 150.0) + chance.gauss(0.0, 300.0)))


def _lidar_rate_hz(van: Van, chance: random.Random) -> float:
    if van.is_lidar_blocked:
        return 0.0
    return (10.0 if van.lidar == "OK" else 8.0) + chance.gauss(0.0, 0.05)


def _video_latency_ms(van: Van, chance: random.Random) -> float:
    return abs(chance.gauss(140.0, 25.0)) if van.assistance == "ASSISTING" else 0.0


MOTION: dict[str, Reading] = {
    "Vehicle.Speed": lambda van, _: van.speed_mps * 3.6,
    "Vehicle.CurrentLocation.Latitude": _latitude,
    "Vehicle.CurrentLocation.Longitude": _longitude,
    "Vehicle.CurrentLocation.Heading": lambda van, _: van.pose.heading_degrees,
    "Vehicle.Acceleration.Longitudinal": lambda van, c: van.acceleration_mps2 + c.gauss(0.0, 0.02),
    "Vehicle.Acceleration.Lateral": lambda van, c: (
        van.speed_mps**2 * van.pose.curvature_per_m + c.gauss(0.0, 0.02)
    ),
    "Vehicle.AngularVelocity.Yaw": lambda van, c: _yaw_degrees_per_s(van) + c.gauss(0.0, 0.02),
    "Vehicle.MotionManagement.Steering.Axle.Row1.SteerAngle": lambda van, _: math.degrees(
        math.atan(WHEELBASE_M * van.pose.curvature_per_m)
    ),
    _WHEEL.format(1, "Left"): lambda van, _: _wheel_kmh(van, 1),
    _WHEEL.format(1, "Right"): lambda van, _: _wheel_kmh(van, -1),
    _WHEEL.format(2, "Left"): lambda van, _: _wheel_kmh(van, 1),
    _WHEEL.format(2, "Right"): lambda van, _: _wheel_kmh(van, -1),
    _ROBOVAN + "Drive.SpeedTarget": lambda van, _: 0.0 if van.brake_mps2 else van.limit_mps * 3.6,
    _BATTERY + "CurrentVoltage": lambda van, c: van.voltage + c.gauss(0.0, 0.05),
    _BATTERY + "CurrentCurrent": lambda van, c: van.current + c.gauss(0.0, 0.05),
}

GAUGES: dict[str, Reading] = {
    "Vehicle.TraveledDistance": lambda van, _: van.s_m,
    _BATTERY + "StateOfCharge.Current": lambda van, _: van.charge_percent,
    _BATTERY + "CurrentPower": lambda van, _: van.voltage * van.current,
    _BATTERY + "Temperature.Average": lambda van, c: van.battery_celsius + c.gauss(0.0, 0.02),
    _BATTERY + "Temperature.Max": lambda van, c: (
        van.battery_celsius + van.battery_excess_celsius + c.gauss(0.0, 0.02)
    ),
    _BATTERY + "Temperature.Min": lambda van, c: van.battery_celsius - 1.0 + c.gauss(0.0, 0.02),
    _BATTERY + "CellVoltage.Max": lambda van, c: van.voltage / CELLS + 0.01 + c.gauss(0.0, 0.0005),
    _BATTERY + "CellVoltage.Min": lambda van, c: van.voltage / CELLS - 0.01 + c.gauss(0.0, 0.0005),
    "Vehicle.Powertrain.ElectricMotor.Temperature": lambda van, c: van.motor_celsius + c.gauss(0.0, 0.1),
    "Vehicle.ControlUnit.Central.Health.Resources.Temperature": lambda van, c: (
        van.board_celsius + c.gauss(0.0, 0.1)
    ),
    "Vehicle.ControlUnit.Central.Health.Resources.Power": lambda van, c: van.board_w + c.gauss(0.0, 0.5),
    "Vehicle.LowVoltageBattery.CurrentVoltage": lambda _, c: 13.6 + c.gauss(0.0, 0.01),
    _LIDAR + "FrameRate": _lidar_rate_hz,
    _LIDAR + "PointCount": _point_count,
    _LIDAR + "Contamination": lambda van, _: van.lidar_dirt_percent,
    _LIDAR + "Temperature": lambda van, c: van.board_celsius * 0.3 + 25.0 + c.gauss(0.0, 0.1),
    _CAMERA + "FrameRate": lambda _, c: 30.0 + c.gauss(0.0, 0.1),
    _ROBOVAN + "Localization.PositionError": lambda van, c: abs(
        c.gauss(0.5 if van.is_lidar_blocked else 0.08, 0.01)
    ),
    _ROBOVAN + "RemoteAssistance.VideoLatency": _video_latency_ms,
    _ROBOVAN + "RemoteAssistance.WaitTime": lambda van, _: van.assistance_waiting_s,
    _ROBOVAN + "Drive.RouteProgress": lambda van, _: van.route_percent,
    _ROBOVAN + "Cargo.Weight": lambda van, _: van.parcels * van.parcel_kg,
    _ROBOVAN + "Cargo.Temperature": lambda van, c: van.cargo_celsius + c.gauss(0.0, 0.02),
}

STATES: dict[str, State] = {
    "Vehicle.ADAS.ActiveAutonomyLevel": lambda van: van.autonomy,
    _ROBOVAN + "Drive.Mode": lambda van: van.mode,
    _ROBOVAN + "Drive.DisengagementCount": lambda van: van.disengagements,
    _ROBOVAN + "Delivery.State": lambda van: van.delivery,
    _ROBOVAN + "Delivery.StopIndex": lambda van: van.stop_index,
    _ROBOVAN + "Cargo.ParcelCount": lambda van: van.parcels,
    _ROBOVAN + "Cargo.Door.Left.IsOpen": lambda van: van.left.is_open,
    _ROBOVAN + "Cargo.Door.Left.IsLocked": lambda van: van.left.is_locked,
    _ROBOVAN + "Cargo.Door.Right.IsOpen": lambda van: van.right.is_open,
    _ROBOVAN + "Cargo.Door.Right.IsLocked": lambda van: van.right.is_locked,
    _ROBOVAN + "RemoteAssistance.State": lambda van: van.assistance,
    _ROBOVAN + "RemoteAssistance.Reason": lambda van: van.assistance_reason,
    _ROBOVAN + "MinimalRisk.State": lambda van: van.minimal_risk,
    _ROBOVAN + "MinimalRisk.Reason": lambda van: van.minimal_risk_reason,
    _ROBOVAN + "MinimalRisk.Count": lambda van: van.minimal_risk_count,
    _ROBOVAN + "EmergencyStop.IsActive": lambda van: van.stop_source != "NONE",
    _ROBOVAN + "EmergencyStop.Source": lambda van: van.stop_source,
    _ROBOVAN + "EmergencyStop.Count": lambda van: van.stop_count,
    _ROBOVAN + "Bumper.Front.IsPressed": lambda van: van.is_bumper_pressed,
    _ROBOVAN + "Localization.State": lambda van: "DEGRADED" if van.is_lidar_blocked else "OK",
    _BATTERY + "Charging.IsCharging": lambda van: van.current > 0 and van.charging,
    _LIDAR + "State": lambda van: van.lidar,
    _CAMERA + "State": lambda _: "OK",
}
