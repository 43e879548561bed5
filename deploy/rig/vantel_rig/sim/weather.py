"""Faults drawn from the seed: which families a seed has, when each strikes, how long it lasts. And the end of them all.

Each seed takes some families only (a swarm): a run with every fault at once hides the faults that need a quiet
neighbour. Every fault ends by itself, at the latest in clear().
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from vantel_rig.sim.broker import Broker, reset
from vantel_rig.sim.cloud import Cloud
from vantel_rig.sim.influx import Influx
from vantel_rig.sim.kafka import Kafka
from vantel_rig.sim.van import SimVan
from vantel_rig.sim.van_disk import WRITES
from vantel_rig.sim.world import S, World

YEAR_NS = 365 * 86_400 * S
ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS)


class Weather:
    """Strikes until clear()."""

    def __init__(
        self,
        world: World,
        vans: list[SimVan],
        broker: Broker,
        kafka: Kafka,
        influx: Influx,
        cloud: Cloud,
        length_s: float,
    ) -> None:
        self.world, self.vans = world, vans
        self.broker, self.kafka, self.influx, self.cloud = broker, kafka, influx, cloud
        self.rng = world.stream("weather")
        self.on = True
        self._length_s = length_s
        everything: dict[str, Callable[[], None]] = {
            "agent killed": self._kill_van,
            "agent fuse": self._fuse_van,
            "disk errors": self._disk_errors,
            "disk full": self._disk_full,
            "link outage": self._link_outage,
            "slow link": self._slow_link,
            "broker restart": self._broker_restart,
            "broker moody": self._broker_moody,
            "bridge killed": self._kill_bridge,
            "bridge fuse": self._fuse_bridge,
            "worker killed": self._kill_worker,
            "worker fuse": self._fuse_worker,
            "worker stopped": self._stop_worker,
            "kafka away": self._kafka_away,
            "kafka failing": self._kafka_failing,
            "influx trouble": self._influx_trouble,
            "influx away": self._influx_away,
            "clock step": self._clock_step,
        }
        share = self.rng.choice((0.3, 0.5, 0.8))
        self.families = {name: act for name, act in everything.items() if self.rng.random() < share}
        self._every_s = {
            name: self.rng.uniform(length_s / 8, length_s / 1.5) for name in sorted(self.families)
        }

    def begin(self) -> None:
        """Standing moods of this seed, and the first strike of each family."""
        self.influx.partial = self.rng.random() < 0.5
        if self.rng.random() < 0.3:
            self.influx.picky = f"sim.Ticks={self.rng.randrange(1, 10)}"
        self.influx.small_bodies = self.rng.random() < 0.3
        for van in self.vans:
            van.cut_after_p0 = 0.05 if "agent killed" in self.families else 0.0
        for name in sorted(self.families):
            self.world.at(self.rng.expovariate(1 / self._every_s[name]), self._strike, name)

    def clear(self) -> None:
        """All faults end; everything that is down comes up."""
        self.on = False
        reset(self.broker.weather)
        self.kafka.fail = 0.0
        self.kafka.heal()
        self.influx.trouble, self.influx.away = 0.0, False
        for place in range(len(self.cloud.members)):
            self._unfuse(place)
        if self.cloud.bridge is not None:
            self.cloud.bridge.fuse = -1
        for van in self.vans:
            self._heal_disk(van)
            van.disk.fuse = -1
            van.cut_after_p0 = 0.0
            van.clock_known = True
            if not van.up:
                self.world.at(1.0, self._up_again, van)
            else:
                van.step_clock(0, known=True)

    def _strike(self, name: str) -> None:
        if not self.on:
            return
        self.world.count(name)
        self.world.note("weather", name)
        self.families[name]()
        self.world.at(self.rng.expovariate(1 / self._every_s[name]), self._strike, name)

    def _while_on(self, delay_s: float, end: Callable[[], None]) -> None:
        self.world.at(delay_s, lambda: end() if self.on else None)

    def _spell_s(self) -> float:
        """Mostly short, at times a good part of the run."""
        return min(
            self._length_s / 2,
            self.rng.choice((2.0, 5.0, 20.0, self._length_s / 4)) * self.rng.uniform(0.5, 2.0),
        )

    # vans

    def _van(self) -> SimVan:
        return self.rng.choice(self.vans)

    def _kill_van(self) -> None:
        van = self._van()
        van.kill(power=self.rng.random() < 0.5)
        self.world.at(self.rng.uniform(0.5, 20.0), self._up_again, van)

    def _up_again(self, van: SimVan) -> None:
        if not van.up:
            van.start()

    def _fuse_van(self) -> None:
        disk = self._van().disk
        disk.fuse_on = self.rng.choice(("", "", *sorted(WRITES)))
        disk.fuse = self.rng.randint(1, 6 if disk.fuse_on else self.rng.choice((20, 200)))

    def _disk_errors(self) -> None:
        van = self._van()
        van.disk.error, van.disk.error_rate = self.rng.choice(ERRORS), self.rng.choice((0.02, 0.2, 1.0))
        van.disk.short_rate = self.rng.choice((0.0, 0.3))
        self._while_on(self._spell_s(), lambda: self._heal_disk(van))

    def _disk_full(self) -> None:
        van = self._van()
        van.disk.capacity_bytes = van.disk.used_bytes() + self.rng.choice((0, 500, 5000))
        self._while_on(self._spell_s(), lambda: self._heal_disk(van))

    def _heal_disk(self, van: SimVan) -> None:
        van.disk.error_rate = van.disk.short_rate = 0.0
        van.disk.capacity_bytes = 1 << 40

    def _clock_step(self) -> None:
        van = self._van()
        if not van.clock_known:
            van.step_clock(-van.wall_offset_ns + self.rng.randrange(S), known=True)
            return
        kind = self.rng.choice(("back", "forth", "years", "unknown"))
        if kind == "unknown":
            van.step_clock(-20 * YEAR_NS, known=False)
            return
        by_s = self.rng.uniform(1, 300)
        by_ns = (
            round(by_s * S)
            if kind != "years"
            else 10 * YEAR_NS * self.rng.choice((-1, 1)) - van.wall_offset_ns
        )
        van.step_clock(-by_ns if kind == "back" else by_ns, known=True)

    # network and broker

    def _link_outage(self) -> None:
        self.broker.weather.links_up = False
        self.broker.cut_all("no coverage", bridge=False)
        self._while_on(self._spell_s(), self._links_up)

    def _links_up(self) -> None:
        self.broker.weather.links_up = True

    def _slow_link(self) -> None:
        weather = self.broker.weather
        weather.latency_s, weather.cut = self.rng.uniform(0.1, 3.0), self.rng.choice((0.0, 0.05, 0.2))
        self._while_on(self._spell_s(), self._fast_link)

    def _fast_link(self) -> None:
        self.broker.weather.latency_s, self.broker.weather.cut = 0.05, 0.0

    def _broker_restart(self) -> None:
        self.broker.stop()
        self._while_on(min(20.0, self._spell_s()), self._broker_up)

    def _broker_up(self) -> None:
        self.broker.weather.up = True

    def _broker_moody(self) -> None:
        weather = self.broker.weather
        weather.duplicate, weather.reorder_s = (
            self.rng.choice((0.0, 0.1, 0.5)),
            self.rng.choice((0.0, 1.0, 30.0)),
        )
        weather.refuse = self.rng.choice((0.0, 0.1))
        self._while_on(self._spell_s() * 2, self._broker_calm)

    def _broker_calm(self) -> None:
        weather = self.broker.weather
        weather.duplicate = weather.reorder_s = weather.refuse = 0.0

    # cloud

    def _kill_bridge(self) -> None:
        self.cloud.kill_bridge()

    def _fuse_bridge(self) -> None:
        if self.cloud.bridge is not None:
            self.cloud.bridge.fuse = self.rng.randint(1, 60)

    def _kill_worker(self) -> None:
        self.cloud.kill_worker(self.rng.randrange(len(self.cloud.members)))

    def _fuse_worker(self) -> None:
        member = self.cloud.members[self.rng.randrange(len(self.cloud.members))]
        if member is not None:
            member.process.fuse = self.rng.randint(1, 40)

    def _unfuse(self, place: int) -> None:
        member = self.cloud.members[place]
        if member is not None:
            member.process.fuse = -1
            if member.process.paused:
                member.process.resume()

    def _stop_worker(self) -> None:
        self.cloud.pause_worker(
            self.rng.randrange(len(self.cloud.members)), self.rng.choice((2.0, 9.0, 25.0))
        )

    def _kafka_away(self) -> None:
        self.kafka.stop()
        if "bridge killed" in self.families:
            self.world.at(self.rng.uniform(1.0, 30.0), self._kill_bridge)
        self._while_on(self._spell_s(), self.kafka.heal)

    def _kafka_failing(self) -> None:
        self.kafka.fail = self.rng.choice((0.02, 0.2))
        self._while_on(self._spell_s(), self._kafka_well)

    def _kafka_well(self) -> None:
        self.kafka.fail = 0.0

    def _influx_trouble(self) -> None:
        self.influx.trouble = self.rng.choice((0.1, 0.5, 0.9))
        self._while_on(self._spell_s(), self._influx_well)

    def _influx_well(self) -> None:
        self.influx.trouble = 0.0

    def _influx_away(self) -> None:
        self.influx.away = True
        self._while_on(self._spell_s(), self._influx_back)

    def _influx_back(self) -> None:
        self.influx.away = False
