"""Faults and emergencies of the synthetic van, by name, for what no recording has.

FAULTS names them. A fault is a script like the round: it sets states and wishes of the Van and yields once a step. One
that has the wheel stops the round until it ends. Each begins at its time or, if the van is not yet driving by itself,
as soon as it is; so each can be seen in the signals. Drawn faults (a rate per hour) come from the seed.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edge.settings.sources import SyntheticFault
from edge.sources.synthetic_round import Script, assisted, engage, wait
from edge.sources.synthetic_van import Van

MOVING_MPS = 4.0
"""A fault begins when the van drives at least so fast."""
BEGUN_MAX = 1000
_ENDED = object()
GENTLE_MPS2, EMERGENCY_MPS2, CRASH_MPS2 = 2.0, 6.0, 30.0


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by name: what it does, and whether it has the wheel."""

    script: Callable[[Van, float], Script]
    has_wheel: bool


def _door_open_while_moving(van: Van, seconds: float) -> Script:
    """A door opens although the van drives: the one state that contradicts the others."""
    van.left.is_locked, van.left.is_open = False, True
    yield from wait(van, seconds)
    van.left.is_open, van.left.is_locked = False, True


def _autonomy_lost(van: Van, seconds: float) -> Script:
    """The automation leaves level 4 while driving; the van rolls to a stand, after so long it is engaged again."""
    van.autonomy = "SAE_4_DISENGAGING"
    van.disengagements += 1
    yield from wait(van, 2.0)
    van.autonomy, van.mode = "SAE_0", "MANUAL"
    yield from _to_rest(van, GENTLE_MPS2)
    yield from wait(van, seconds)
    _go_on(van)


def _collision(van: Van, seconds: float) -> Script:
    """Speed goes to zero within some tenths of a second, at 30 m/s^2; the bumper stops the van."""
    van.is_bumper_pressed = True
    yield from _stopped(van, "BUMPER", CRASH_MPS2, seconds)
    van.is_bumper_pressed = False


def _over_temperature(van: Van, seconds: float) -> Script:
    """No coolant and no fan, at high load: battery, motor and board get warm; they cool down afterwards."""
    van.is_cooling, van.board_load_w = False, 150.0
    yield from wait(van, seconds)
    van.is_cooling, van.board_load_w = True, 0.0


def _remote_session(van: Van, seconds: float) -> Script:
    """The van stops and asks for help; an operator guides it for so long."""
    yield from assisted(van, "UNCERTAIN_SCENE", 3.0, seconds)


def _emergency_stop(van: Van, seconds: float) -> Script:
    """The button at the front is pressed, and released after so long at rest."""
    yield from _stopped(van, "BUTTON_FRONT", EMERGENCY_MPS2, seconds)


def _minimal_risk_stop(van: Van, seconds: float) -> Script:
    """The front lidar is blocked: the van brings itself to a stand, and goes on once the lidar sees again."""
    van.is_lidar_blocked = True
    van.minimal_risk, van.minimal_risk_reason = "REQUESTED", "SENSOR"
    van.minimal_risk_count += 1
    yield from wait(van, 0.5)
    van.minimal_risk, van.mode, van.autonomy = "EXECUTING", "MINIMAL_RISK", "SAE_4_DISENGAGING"
    yield from _to_rest(van, GENTLE_MPS2)
    van.minimal_risk, van.autonomy = "STOPPED", "SAE_0"
    yield from wait(van, seconds)
    van.is_lidar_blocked = False
    van.minimal_risk, van.minimal_risk_reason = "INACTIVE", "NONE"
    _go_on(van)


def _lidar_dirty(van: Van, seconds: float) -> Script:
    """Dirt on the front lidar: fewer points and scans, until it is wiped."""
    van.lidar_dirt_percent = 70.0
    yield from wait(van, seconds)
    van.lidar_dirt_percent = 5.0


FAULTS: dict[str, Fault] = {
    "door_open_while_moving": Fault(_door_open_while_moving, has_wheel=False),
    "autonomy_lost": Fault(_autonomy_lost, has_wheel=True),
    "collision": Fault(_collision, has_wheel=True),
    "over_temperature": Fault(_over_temperature, has_wheel=False),
    "remote_session": Fault(_remote_session, has_wheel=True),
    "emergency_stop": Fault(_emergency_stop, has_wheel=True),
    "minimal_risk_stop": Fault(_minimal_risk_stop, has_wheel=True),
    "lidar_dirty": Fault(_lidar_dirty, has_wheel=False),
}
"""Names as in the settings, SyntheticFault.kind."""


def _stopped(van: Van, source: str, brake_mps2: float, seconds: float) -> Script:
    """An emergency stop: hard braking, then so long at rest."""
    van.stop_source, van.mode, van.autonomy = source, "EMERGENCY_STOP", "SAE_0"
    van.stop_count += 1
    yield from _to_rest(van, brake_mps2)
    yield from wait(van, seconds)
    van.stop_source = "NONE"
    _go_on(van)


def _to_rest(van: Van, brake_mps2: float) -> Script:
    """To a stand; the brake then holds the van until _go_on."""
    van.brake_mps2 = brake_mps2
    while not van.is_standing:
        yield


def _go_on(van: Van) -> None:
    """The brake is released, and the automation drives again."""
    van.brake_mps2 = 0.0
    engage(van)


@dataclass(frozen=True, slots=True)
class _Due:
    """A fault that has not begun."""

    at_s: float
    section: SyntheticFault
    is_drawn: bool = False


class FaultPlan:
    """Which fault comes when. step() goes on with those that run and begins those that are due."""

    def __init__(
        self, faults: Iterable[SyntheticFault], faults_per_hour: float, chance: random.Random
    ) -> None:
        self._due = [_Due(fault.at_s, fault) for fault in faults]
        self._per_hour = faults_per_hour
        self._chance = chance
        self._running: list[tuple[SyntheticFault, Script]] = []
        self.begun: deque[tuple[str, float]] = deque(maxlen=BEGUN_MAX)
        """(name, seconds since the start) of the last BEGUN_MAX faults."""
        if faults_per_hour:
            self._draw(0.0)

    def _draw(self, now_s: float) -> None:
        kind = self._chance.choice(sorted(FAULTS))
        at_s = now_s + self._chance.expovariate(self._per_hour / 3600.0)
        section = SyntheticFault.model_validate({"kind": kind, "for_s": self._chance.uniform(5.0, 20.0)})
        self._due.append(_Due(at_s, section, is_drawn=True))

    def step(self, van: Van) -> bool:
        """Whether a fault has the wheel in this step."""
        self._begin(van)
        wheel_taken = False
        for entry in list(self._running):
            section, script = entry
            if next(script, _ENDED) is _ENDED:
                self._running.remove(entry)
            elif FAULTS[section.kind].has_wheel:
                wheel_taken = True
        return wheel_taken

    def _begin(self, van: Van) -> None:
        """Begin what is due and can be seen now: a fault that needs a moving van waits until it moves."""
        if van.mode != "AUTONOMOUS" or van.speed_mps < MOVING_MPS:
            return
        for due in [due for due in self._due if due.at_s <= van.t_s]:
            kinds = {section.kind for section, _ in self._running}
            fault = FAULTS[due.section.kind]
            if due.section.kind in kinds or (
                fault.has_wheel and any(FAULTS[kind].has_wheel for kind in kinds)
            ):
                continue
            self._due.remove(due)
            self._running.append((due.section, fault.script(van, due.section.for_s)))
            self.begun.append((due.section.kind, van.t_s))
            if due.section.every_s:
                self._due.append(_Due(due.at_s + due.section.every_s, due.section))
            elif due.is_drawn:
                self._draw(van.t_s)
