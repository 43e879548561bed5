"""A seeded model of a delivery van: stops, doors, autonomy, remote assistance, battery, sensors, position (WGS84).

From seed and rate to samples under VSS and overlay names; everything it emits is marked simulated. The model is a
pure function of seed and number of steps. Speeds in km/h, positions in degrees, times in s. States go out on change
and every second, motion at each step.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Sequence

import numpy as np

from edge.clock import VanClock
from edge.model import Emit, SampleBlock
from edge.settings import SyntheticSource as SyntheticSection
from edge.sources.pacing import due_times
from vantel.catalog import Signal, builtin

MOTION = ("Vehicle.Speed", "Vehicle.CurrentLocation.Latitude", "Vehicle.CurrentLocation.Longitude",
          "Vehicle.CurrentLocation.Heading")  # fmt: skip
GAUGES = ("Vehicle.Powertrain.TractionBattery.StateOfCharge.Current", "Vehicle.Powertrain.TractionBattery.CurrentVoltage",
          "Vehicle.Robovan.Lidar.Front.FrameRate", "Vehicle.Robovan.Camera.Front.FrameRate")  # fmt: skip
STATES = ("Vehicle.ADAS.ActiveAutonomyLevel", "Vehicle.Robovan.RemoteAssistance.State",
          "Vehicle.Robovan.Cargo.Door.Left.IsOpen", "Vehicle.Robovan.Cargo.Door.Right.IsOpen",
          "Vehicle.Robovan.Lidar.Front.State", "Vehicle.Robovan.Camera.Front.State")  # fmt: skip

_TRACK_CENTER = (48.1375, 11.5755)
_TRACK_RADIUS_M = 400.0
_EARTH_RADIUS_M = 6_378_137.0
_ACCELERATION_KMH_S = 5.0


class VanModel:
    """The van. step() advances it; motion, gauges and states are its outputs, in the order of the tuples above."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._left_s = 5.0
        self._phase = "stopped"
        self._speed = self._target = 0.0
        self._angle = self._random.uniform(0.0, 2 * math.pi)
        self._soc = self._random.uniform(60.0, 95.0)
        self._door: str | None = None
        self._assisted_s = 0.0
        self._dirty_s = 0.0

    def step(self, dt_s: float) -> None:
        """Advance by dt_s."""
        self._left_s -= dt_s
        self._assisted_s = max(0.0, self._assisted_s - dt_s)
        self._dirty_s = max(0.0, self._dirty_s - dt_s)
        if self._left_s <= 0:
            self._next_phase()
        change = self._target - self._speed
        self._speed += math.copysign(min(abs(change), _ACCELERATION_KMH_S * dt_s), change)
        distance_m = self._speed / 3.6 * dt_s
        self._angle += distance_m / _TRACK_RADIUS_M
        self._soc = max(5.0, self._soc - distance_m * 2e-4 - dt_s * 5e-4)
        if self._soc <= 5.0:
            self._soc = 95.0

    def _next_phase(self) -> None:
        """driving -> braking -> stopped -> door open -> stopped -> driving."""
        draw = self._random
        if self._phase == "driving":
            self._phase, self._target, self._left_s = "braking", 0.0, self._speed / _ACCELERATION_KMH_S + 1.0
        elif self._phase == "braking":
            self._phase, self._left_s = "stopped", 3.0
            self._door = draw.choice(("left", "right", None))
        elif self._phase == "stopped" and self._door is not None:
            self._phase, self._left_s = "open", draw.uniform(4.0, 12.0)
        elif self._phase == "open":
            self._phase, self._door, self._left_s = "stopped", None, 3.0
        else:
            self._phase, self._target, self._left_s = (
                "driving",
                draw.uniform(15.0, 45.0),
                draw.uniform(15.0, 60.0),
            )
            if draw.random() < 0.25:
                self._assisted_s = draw.uniform(5.0, 15.0)
            if draw.random() < 0.15:
                self._dirty_s = draw.uniform(5.0, 20.0)

    def motion(self) -> tuple[float, ...]:
        """Values of MOTION."""
        north_m, east_m = _TRACK_RADIUS_M * math.sin(self._angle), _TRACK_RADIUS_M * math.cos(self._angle)
        latitude = _TRACK_CENTER[0] + math.degrees(north_m / _EARTH_RADIUS_M)
        longitude = _TRACK_CENTER[1] + math.degrees(
            east_m / (_EARTH_RADIUS_M * math.cos(math.radians(_TRACK_CENTER[0])))
        )
        return self._speed, latitude, longitude, math.degrees(-self._angle) % 360.0

    def gauges(self) -> tuple[float, ...]:
        """Values of GAUGES."""
        noise = self._random.gauss
        voltage = 340.0 + 0.6 * self._soc - 0.2 * self._speed + noise(0.0, 0.3)
        return self._soc, voltage, 10.0 + noise(0.0, 0.05), 30.0 + noise(0.0, 0.1)

    def states(self) -> tuple[str | bool, ...]:
        """Values of STATES."""
        return (
            "SAE_4" if self._phase in ("driving", "braking") else "SAE_0",
            "ASSISTING" if self._assisted_s > 0 else "IDLE",
            self._phase == "open" and self._door == "left",
            self._phase == "open" and self._door == "right",
            "DEGRADED" if self._dirty_s > 0 else "OK",
            "OK",
        )


class SyntheticSource:
    """One [[sources]] of kind synthetic."""

    replayed = False
    simulated = True

    def __init__(self, settings: SyntheticSection, clock: VanClock) -> None:
        self.name = settings.name
        self.counters: dict[str, int] = {"samples_emitted": 0}
        self._clock = clock
        self._rate_hz = settings.rate_hz
        self._model = VanModel(settings.seed)
        self._names = (*MOTION, *GAUGES, *STATES)
        self._labels = [builtin().by_name(name).labels for name in self._names]
        self._last: dict[int, float] = {}
        self._steps = 0

    def signals(self) -> Sequence[Signal]:
        """Signals of the model."""
        known = builtin()
        return [
            Signal(name=name, unit=known.by_name(name).unit, type=known.by_name(name).type,
                   labels=self._labels[at], group=known.by_name(name).group, simulated=True)
            for at, name in enumerate(self._names)
        ]  # fmt: skip

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Emit on the van's clock until stop."""
        for times in due_times(self._clock, round(1e9 / self._rate_hz), stop):
            samples = [(slot, t, value) for t in times.tolist() for slot, value in self.step()]
            slots, stamps, values = zip(*samples, strict=True)
            emit(
                SampleBlock(
                    np.array(slots, dtype=np.int32), np.array(stamps, dtype=np.int64), np.array(values)
                )
            )
            self.counters["samples_emitted"] += len(samples)

    def step(self) -> list[tuple[int, float]]:
        """(slot, value) of one step: motion always, the rest every second, states also when they change."""
        self._model.step(1.0 / self._rate_hz)
        whole_second = self._steps % max(1, round(self._rate_hz)) == 0
        self._steps += 1
        out = list(enumerate(self._model.motion()))
        if whole_second:
            out += list(enumerate(self._model.gauges(), start=len(MOTION)))
        for slot, state in enumerate(self._model.states(), start=len(MOTION) + len(GAUGES)):
            value = float(state) if isinstance(state, bool) else float(self._labels[slot].index(state))
            if whole_second or self._last.get(slot) != value:
                out.append((slot, value))
            self._last[slot] = value
        return out
