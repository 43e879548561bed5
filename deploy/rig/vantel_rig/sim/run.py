"""One seed, from a quiet start through the weather and the healing to the checks.

simulate(Plan) -> Outcome. The same plan gives the same trace to the bit, whatever machine and hash seed. After the
weather nothing more is produced; everything must drain within DRAIN_S_MAX and come to rest.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from cloud.settings import CloudSettings
from vantel_rig.sim.broker import Broker
from vantel_rig.sim.checks import Ends, Sightings, Violation, letters_of, violations
from vantel_rig.sim.cloud import Cloud
from vantel_rig.sim.doors import replaced
from vantel_rig.sim.influx import Influx
from vantel_rig.sim.kafka import Kafka
from vantel_rig.sim.processes import VirtualTime, bury
from vantel_rig.sim.van import SimVan
from vantel_rig.sim.weather import Weather
from vantel_rig.sim.world import World

DRAIN_S_MAX = 3600.0
SETTLE_S = 25.0
"""Longer than a health report takes: it repairs what was evicted together with its tombstone."""
GC_OBJECTS = 200_000
RECEIVE_MAXIMUM = 50
SETTINGS = CloudSettings.model_validate(
    {
        "mqtt": {"receive_maximum": RECEIVE_MAXIMUM},
        "influx": {"backoff_s_max": 5.0, "lines_max": 200},
        "worker": {"catalog_wait_s_max": 10.0},
        "bridge": {"ack_s_max": 3.0},
    }
)


@dataclass(frozen=True)
class Plan:
    """What to simulate. period_s: between two batches of a van."""

    seed: int
    hours: float = 0.08
    vans: int = 2
    period_s: float = 8.0


@dataclass
class Outcome:
    """What came of it. digest: of the whole trace; counts: faults and happenings."""

    plan: Plan
    digest: str = ""
    envelopes: int = 0
    events: int = 0
    drained_s: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    ledger: dict[str, Any] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)


def _spool_of(rng: Random) -> dict[str, Any]:
    """Small bounds, below what a user may set, so that everything rolls and fills within a short run."""
    segment = rng.choice((2048, 8192))
    return {
        "segment_bytes_max": segment, "bytes_max": rng.choice((6 * segment, 1 << 30)), "p0_reserve_bytes": 2 * segment,
        "keep_free_bytes": 0, "keep_free_files": 0, "group_s_max": 1.0, "group_bytes_max": rng.choice((1500, 1 << 18)),
        "cursor_period_s": rng.choice((0.0, 5.0)),
    }  # fmt: skip


class Simulation:
    """All parts of one run."""

    def __init__(self, plan: Plan, tell: Callable[[float], None] = lambda _: None) -> None:
        self.plan, self._told = plan, tell
        self.world = World(plan.seed)
        self.time = VirtualTime(self.world)
        rng = self.world.stream("plan")
        self.broker = Broker(self.world, RECEIVE_MAXIMUM, persistent=rng.random() < 0.5)
        self.kafka = Kafka(self.world)
        self.influx = Influx(self.world)
        self.sightings = Sightings()
        self.broker.seen = self.sightings.see
        self.cloud = Cloud(
            self.world, SETTINGS, self.broker, self.kafka, self.influx, workers=rng.choice((1, 2))
        )
        self.vans = [
            SimVan(self.world, f"van-{number}", self.broker, self.time, plan.period_s, _spool_of(rng))
            for number in range(plan.vans)
        ]
        self.length_s = plan.hours * 3600.0
        self._drained_s = 0.0
        self.weather = Weather(
            self.world, self.vans, self.broker, self.kafka, self.influx, self.cloud, self.length_s
        )

    def run(self) -> Outcome:
        """Weather, healing, checks."""
        world = self.world
        with replaced(world, self.time, self.broker, self.kafka):
            found = self._through_it_all()
            ends = Ends.read(self.vans, self.kafka, self.influx, self.sightings)
        found += [Violation("a program never ends by itself", "", "", text) for text in self.cloud.crashes]
        found += violations(ends)
        envelopes = sum(len(items) for van in self.vans for items in van.truths.values())
        world.counts["dead letters"] = len(letters_of(self.kafka))
        return Outcome(
            self.plan, world.digest, envelopes, world.events, self._drained_s, dict(sorted(world.counts.items())),
            ends.ledger().total.as_dict(), found, list(world.trace) if found else [],
        )  # fmt: skip

    def _through_it_all(self) -> list[Violation]:
        """Start, weather, healing, rest; at the end no process takes another step."""
        world = self.world
        try:
            self.cloud.start()
            for van in self.vans:
                world.at(0.2, van.start)
            world.at(2.0, self.weather.begin)
            world.run(self.length_s, self._tell)
            self.weather.clear()
            for van in self.vans:
                van.producing = False
            world.run(self.length_s + DRAIN_S_MAX, self._drained)
            self._drained_s = world.now_s - self.length_s
            found = [] if self._drained() else [self._stuck()]
            world.run(world.now_s + SETTLE_S)
            for van in self.vans:
                van.reporting = False
            world.run(world.now_s + SETTLE_S)
            return found
        finally:
            self.cloud.end()
            bury()

    def _tell(self) -> bool:
        """How far it is; never a reason to stop."""
        self._told(self.world.now_s / self.length_s)
        return False

    def _drained(self) -> bool:
        """Nothing waits anywhere."""
        return (
            self.kafka.lag() == 0
            and all(van.up for van in self.vans)
            and all(count == 0 for van in self.vans for count, _ in van.spool.backlog().values())
        )

    def _stuck(self) -> Violation:
        waiting = {
            van.id: {c.label: n for c, (n, _) in van.spool.backlog().items() if n}
            for van in self.vans
            if van.up
        }
        return Violation(
            "the backlog drains after the healing", "", "",
            f"after {DRAIN_S_MAX:.0f} s: lag {self.kafka.lag()}, spooled {waiting}",
        )  # fmt: skip


def simulate(plan: Plan, tell: Callable[[float], None] = lambda _: None) -> Outcome:
    """One run. tell: hears now and then which share of the virtual hours is over."""
    thresholds = gc.get_threshold()
    gc.set_threshold(GC_OBJECTS)  # the default looks for garbage all the time
    try:
        return Simulation(plan, tell).run()
    finally:
        gc.set_threshold(*thresholds)
