"""The synthetic van's work: rounds from the depot over some stops and back, for ever.

A script as a generator: it sets the wishes and states of a Van and yields once a step, while the caller advances the
van. All chance comes from the generator of random numbers that is handed in. While a fault has the wheel the caller does
not go on with the script, which then continues where it was.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from edge.sources.synthetic_van import Van

CRUISE_MPS = (7.0, 12.5)
LEG_M = (180.0, 520.0)
STOPS = (3, 6)
LIGHT_CHANCE, ASSISTED_CHANCE = 0.5, 0.3
LIDAR_CLEAN_PERCENT = 3.0
CREEP_MPS = 2.2
Script = Iterator[None]


def rounds(van: Van, chance: random.Random) -> Script:
    """Delivery rounds without end."""
    while True:
        stops = chance.randint(*STOPS)
        yield from _load(van, chance, stops)
        legs = [chance.uniform(*LEG_M) for _ in range(stops)]
        start_m = van.s_m
        home_m = (int((start_m + sum(legs) + LEG_M[0]) // van.route.lap_m) + 1) * van.route.lap_m
        for index, leg in enumerate(legs, start=1):
            van.delivery = "EN_ROUTE"
            van.stop_index = index
            yield from _drive(van, chance, van.halt_at_m + leg, start_m, home_m)
            van.delivery = "ARRIVED"
            yield from wait(van, 2.0)
            yield from _hand_over(van, chance)
        van.delivery = "RETURNING"
        yield from _drive(van, chance, home_m, start_m, home_m)


def wait(van: Van, seconds: float) -> Script:
    """So long, in the van's own time."""
    until_s = van.t_s + seconds
    while van.t_s < until_s - 1e-9:
        yield


def engage(van: Van) -> None:
    """The automation drives."""
    van.autonomy, van.mode = "SAE_4", "AUTONOMOUS"


def assisted(van: Van, reason: str, asked_s: float, helped_s: float) -> Script:
    """A session of remote assistance, from the request to its end. The van moves only while it is helped."""
    limit_mps = van.limit_mps
    van.limit_mps = 0.0
    van.assistance, van.assistance_reason = "REQUESTED", reason
    since_s = van.t_s
    while van.t_s < since_s + asked_s or not van.is_standing:
        van.assistance_waiting_s = van.t_s - since_s
        yield
    van.assistance = "CONNECTING"
    yield from wait(van, 1.5)
    van.assistance, van.mode = "ASSISTING", "REMOTE_ASSISTED"
    van.limit_mps = CREEP_MPS
    yield from wait(van, helped_s)
    van.assistance, van.mode = "ENDED", "AUTONOMOUS"
    van.limit_mps = limit_mps
    yield from wait(van, 1.0)
    van.assistance, van.assistance_reason, van.assistance_waiting_s = "IDLE", "NONE", 0.0


def _load(van: Van, chance: random.Random, stops: int) -> Script:
    """In the depot: the automation lets go, the van is charged, cleaned and loaded, the doors are closed again."""
    van.stop_index, van.route_percent = 0, 0.0
    if van.autonomy == "SAE_4":
        van.autonomy = "SAE_4_DISENGAGING"
        yield from wait(van, 1.0)
    van.delivery, van.autonomy, van.mode = "LOADING", "SAE_0", "PARKED"
    van.charging = True
    van.lidar_dirt_percent = LIDAR_CLEAN_PERCENT
    yield from wait(van, 2.0)
    for door in (van.left, van.right):
        door.is_locked, door.is_open = False, True
    yield from wait(van, chance.uniform(15.0, 30.0))
    van.parcels = stops * chance.randint(3, 8)
    for door in (van.left, van.right):
        door.is_open, door.is_locked = False, True
    yield from wait(van, 2.0)
    van.charging = False
    while van.charger_a > 0:
        yield
    van.delivery = "IDLE"
    yield from wait(van, 1.0)
    engage(van)


def _drive(van: Van, chance: random.Random, to_m: float, start_m: float, home_m: float) -> Script:
    """To a place on the route, with what may come between: a red light, a scene in which the van asks for help."""
    cruise_mps = chance.uniform(*CRUISE_MPS)
    room_m = to_m - van.s_m
    halts = []
    if chance.random() < LIGHT_CHANCE:
        halts.append((van.s_m + room_m * chance.uniform(0.2, 0.5), "light"))
    if chance.random() < ASSISTED_CHANCE:
        halts.append((van.s_m + room_m * chance.uniform(0.55, 0.8), "blocked"))
    for at_m, what in [*halts, (to_m, "")]:
        van.halt_at_m, van.limit_mps = at_m, cruise_mps
        while not van.is_at_halt:
            van.route_percent = 100.0 * min(1.0, (van.s_m - start_m) / (home_m - start_m))
            yield
        if what == "light":
            yield from wait(van, chance.uniform(4.0, 15.0))
        elif what == "blocked":
            van.halt_at_m = to_m
            helped = (chance.uniform(2.0, 6.0), chance.uniform(6.0, 15.0))
            yield from assisted(van, "BLOCKED_PATH", *helped)


def _hand_over(van: Van, chance: random.Random) -> Script:
    """One door opens, parcels leave, it closes. The van stands all the while."""
    door = chance.choice((van.left, van.right))
    van.delivery = "HANDING_OVER"
    door.is_locked = False
    yield from wait(van, 1.0)
    door.is_open = True
    yield from wait(van, chance.uniform(5.0, 18.0))
    van.parcels = max(0, van.parcels - chance.randint(2, 6))
    door.is_open = False
    yield from wait(van, 1.0)
    door.is_locked = True
    yield from wait(van, 1.5)
