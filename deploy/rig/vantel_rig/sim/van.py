"""A simulated van: the real spool on a simulated disk, the real uplink on simulated links, and what drives them.

The agent's threads are turned into calls of the world: produce (batches, events, reports), maintain, turn of the
uplink. Each runs on the van's own clocks. A van remembers what append() returned for, as truth for the checks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from edge.clock.boot import boot_bytes
from edge.settings import MqttSection, SpoolSection, UplinkSection
from edge.spool import Spool
from edge.uplink.link_errors import LinkError
from edge.uplink.thread import Uplink
from vantel.catalog import Catalog
from vantel.envelope import ClockStamp
from vantel.identity import DeliveryClass, Epoch, PayloadKind
from vantel.payloads import Birth, Health
from vantel_rig.sim.broker import Broker, VanLink
from vantel_rig.sim.load import Recipe, Truth, catalog_of
from vantel_rig.sim.processes import VirtualTime
from vantel_rig.sim.van_disk import VanDisk
from vantel_rig.sim.world import START_NS, Killed, S, World

ROOT = Path("/state/spool")
MAINTAIN_S = 2.0
HEALTH_S = 20.0
IDLE_TURN_S = 5.0
SYSTEM_RESTART_S = 1.0
P0, P1, P2 = DeliveryClass.P0, DeliveryClass.P1, DeliveryClass.P2
NTP, NONE = 3, 1
Stream = tuple[Epoch, DeliveryClass]


class SimVan:
    """See the module. truths: all that append() returned for, by stream and seq; maybe: appends that were cut short."""

    def __init__(
        self,
        world: World,
        van: str,
        broker: Broker,
        time: VirtualTime,
        period_s: float,
        spool: dict[str, Any],
    ) -> None:
        self.world, self.id, self.broker, self._time = world, van, broker, time
        self.rng = world.stream(f"van {van}")
        self.disk = VanDisk(world.stream(f"disk {van}"), spool.pop("capacity_bytes", 1 << 40))
        self.settings = SpoolSection.model_construct(**spool)
        self.uplink_settings = UplinkSection(
            backoff_s_min=0.5, backoff_s_max=20.0, resend_after_s=10.0, resend_after_s_max=120.0,
            stable_after_s=10.0, stalled_after_s=120.0, live_age_s_max=30.0,
        )  # fmt: skip
        self.period_s, self._health_s = period_s, max(HEALTH_S, period_s)
        self.truths: dict[Stream, dict[int, Truth]] = {}
        self.maybe: dict[tuple[Stream, int], Truth] = {}
        self.epochs: list[Epoch] = []
        self.told: dict[bytes, set[int]] = {}
        self.cuts: dict[Epoch, float] = {}
        self.clock_known, self.wall_offset_ns = True, self.rng.randrange(S)
        self.producing = self.reporting = True
        self.cut_after_p0 = 0.0
        self.up = False
        self.life = 0
        self._booted_ns = START_NS - self.rng.randrange(3600) * S
        self._position = 0
        self.catalogs: dict[int, Catalog] = {}  # as edge.births keeps them, on the disk

    # life and death

    def start(self) -> None:
        """The agent starts: recovery, a new epoch, a birth."""
        self.life += 1
        self.up = True
        self.link: VanLink | None = None
        self._turn_due_ns = 0
        self._wanted: list[int] = []
        with self._alive():
            self.spool = Spool.open(ROOT, self.id, self.settings, self.disk)
            self.epochs.append(self.spool.epoch)
            self._catalog = catalog_of(self.id, self.life)
            if self.spool.epoch.counter:  # else the disk cannot be written, and keeps no catalog either
                self.catalogs[self._catalog.hash] = self._catalog
            self._tell_clock()
            self.uplink = Uplink(
                self.id, self.spool.epoch, MqttSection(), self.uplink_settings, self.spool,
                on_rebirth=self._rebirth, on_command=lambda _: None, rng=Random(self.rng.random()),
            )  # fmt: skip
            if self.rng.random() < 0.7:
                self._birth(self._catalog)
            else:  # a full queue or a slow disk can put it behind the first batches
                self._later(self.rng.uniform(1.0, 15.0), self._late_birth)
            self.world.note(self.id, f"epoch {self.spool.epoch.text}")
        self._later(self.rng.uniform(0, self.period_s), self._produce)
        self._later(MAINTAIN_S, self._maintain)
        self._later(self._health_s, self._health)
        self._later(0.0, self._connect)

    def kill(self, power: bool) -> None:
        """SIGKILL or a power cut; the agent is down until start()."""
        if not self.up:
            return
        self.up = False
        self.life += 1
        if self.link is not None:
            self.link.cut("the agent is gone")
        for truth in self._shaky():
            truth.fragile = True
        if power:
            if self.epochs:
                self.cuts[self.epochs[-1]] = self.world.now_s
            self.disk = self.disk.power_cut(self.world.stream(f"cut {self.id} {self.life}"))  # type: ignore[assignment]
            self._booted_ns = self.world.now_ns
        else:
            self.disk = self.disk.killed()  # type: ignore[assignment]
        self.world.note(self.id, "power cut" if power else "killed")

    def _shaky(self) -> list[Truth]:
        """Envelopes that are only in memory: the disk failed, and the agent said so."""
        spool = getattr(self, "spool", None)
        if spool is None or not spool.degraded:
            return []
        return [
            truth
            for stream, items in self.truths.items()
            if stream[0] == spool.epoch
            for truth in items.values()
        ]

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        """On the clocks of this machine; a fuse of the disk that burns through kills the agent here."""
        time = self._time
        time.unix_offset_ns, time.mono_offset_ns = self.wall_offset_ns, -self._booted_ns + 60 * S
        try:
            yield
        except Killed as cause:
            self.world.count("agent killed at a disk call")
            power = self.world.stream(f"fuse {self.id} {self.life}").random() < 0.5
            self.world.note(self.id, f"dies at {cause}")
            self.kill(power)
            self.world.at(SYSTEM_RESTART_S, self._revive, self.life)
        finally:
            time.unix_offset_ns = time.mono_offset_ns = 0

    def _revive(self, life: int) -> None:
        if life == self.life and not self.up:
            self.start()

    def _later(self, delay_s: float, call: Any) -> None:
        self.world.at(delay_s, self._if_alive, self.life, call)

    def _if_alive(self, life: int, call: Any) -> None:
        if self.up and life == self.life:
            with self._alive():
                call()

    # clocks

    def _mono_ns(self) -> int:
        return self._time.monotonic_ns()

    def _stamp(self) -> ClockStamp:
        offset_ns = self._time.time_ns() - self._mono_ns()
        return ClockStamp(boot_bytes(self.disk.boot_id()), offset_ns, NTP if self.clock_known else NONE, 1000)

    def step_clock(self, by_ns: int, known: bool) -> None:
        """The wall clock jumps, or becomes known; the batch is cut, so the next append has the new mapping."""
        self.wall_offset_ns += by_ns
        self.clock_known = known
        if self.up:
            self._later(0.0, self._tell_clock)

    def _tell_clock(self) -> None:
        stamp = self._stamp()
        self.told.setdefault(stamp.boot_id, set()).add(stamp.offset_ns)
        waiting = frozenset() if self.clock_known else frozenset({P1, P2})
        self.spool.tell_clock(stamp, self.clock_known, waiting)

    # production

    def _append(self, delivery_class: DeliveryClass, kind: PayloadKind, payload: bytes, truth: Truth) -> None:
        stream = (self.spool.epoch, delivery_class)
        stamp = self._stamp()
        self.told.setdefault(stamp.boot_id, set()).add(stamp.offset_ns)
        seq = next(a.produced for a in self.spool.accounts() if (a.epoch, a.delivery_class) == stream)
        self.maybe[stream, seq] = truth
        given = self.spool.append(
            delivery_class, kind, payload, stamp, catalog_hash=self._catalog.hash if kind is not PayloadKind.HEALTH else 0,
            position=self._position,
        )  # fmt: skip
        assert given == seq, "append gave another seq than the account said"
        del self.maybe[stream, seq]
        truth.durable = delivery_class is P0 and not self.spool.degraded
        self.truths.setdefault(stream, {})[seq] = truth
        self.spool.maintain()  # as the spool thread does behind each append
        self._later(
            MAINTAIN_S, self._upkeep
        )  # what is left unsynced is synced a group later, whether anything comes or not
        self._wake()
        if delivery_class is P0 and self.rng.random() < self.cut_after_p0:
            self.world.count("power cut after a P0 append")
            self.world.at(self.rng.uniform(0.0, 1.0), self._cut, self.life)

    def _cut(self, life: int) -> None:
        if self.up and life == self.life:
            self.kill(power=True)
            self.world.at(SYSTEM_RESTART_S, self._revive, self.life)

    def _produce(self) -> None:
        if not self.producing:
            return
        self._later(self.period_s, self._produce)
        now_ns, rng = self._mono_ns(), self.rng
        start_ns = now_ns - round(self.period_s * S)
        self._position += 1
        recipe = Recipe(rng.getrandbits(64), "batch", start_ns, now_ns, rng.randint(2, 6), rng.random() < 0.3)
        if rng.random() < 0.02:
            self._append(
                P1, PayloadKind.BATCH, rng.randbytes(40), Truth(self.world.now_s, "nonsense", bad=True)
            )
        else:
            self._make(P1, recipe)
        if rng.random() < 0.2:
            self._make(P0, Recipe(rng.getrandbits(64), "event", now_ns - rng.randrange(S), now_ns))
        if rng.random() < 0.2:
            self._make(P2, Recipe(rng.getrandbits(64), "bulk", start_ns, now_ns, 40, True))

    def _make(self, delivery_class: DeliveryClass, recipe: Recipe) -> None:
        payload = recipe.payload(self._catalog)
        kind = PayloadKind.EVENT if recipe.kind == "event" else PayloadKind.BATCH
        self._append(
            delivery_class, kind, payload, Truth(self.world.now_s, recipe.kind, recipe, self._catalog)
        )

    def _birth(self, catalog: Catalog) -> None:
        payload = Birth(
            catalog.encode(), catalog.hash, "sim", self._mono_ns(), self._stamp().boot_id
        ).encode()
        self._append(P0, PayloadKind.BIRTH, payload, Truth(self.world.now_s, "birth"))

    def _late_birth(self) -> None:
        self._birth(self._catalog)

    def _rebirth(self, hashes: Sequence[int]) -> None:
        self._wanted = sorted({*self._wanted, *hashes})

    def _health(self) -> None:
        if self.reporting:
            self._later(self._health_s, self._health)
            payload = Health(self._mono_ns(), self.spool.accounts(), 0, {}, {}).encode()
            self._append(P1, PayloadKind.HEALTH, payload, Truth(self.world.now_s, "health"))

    def _maintain(self) -> None:
        self._later(max(MAINTAIN_S, self.period_s / 2), self._maintain)
        self._upkeep()

    def _upkeep(self) -> None:
        wanted, self._wanted = self._wanted, []
        for catalog_hash in wanted:
            if catalog_hash == self._catalog.hash:
                self._birth(self._catalog)
            elif (catalog := self.catalogs.get(catalog_hash)) is not None:
                self._birth(catalog)
        self.spool.maintain()
        self._wake()

    # uplink

    def _connect(self) -> None:
        link = VanLink(self.broker, self.id, self._wake)
        try:
            link.open(lambda: False)
        except LinkError:
            self._later(self.uplink.part(link), self._connect)  # type: ignore[arg-type]
            return
        self.link = link
        self.uplink.welcome(link)  # type: ignore[arg-type]
        self._wake()

    def _wake(self) -> None:
        """A turn of the uplink is due now."""
        if self.up and self._turn_due_ns != self.world.now_ns:
            self._turn_due_ns = self.world.now_ns
            self._later(0.0, self._turn)

    def _turn(self) -> None:
        link = self.link
        if link is None:
            return
        if link.up and self.uplink.turn(link):  # type: ignore[arg-type]
            due_ns = self.world.now_ns
            self._idle_from_ns = due_ns
            self.world.at(max(IDLE_TURN_S, self.period_s / 4), self._idle, self.life, due_ns)
            return
        self.link = None
        self._later(self.uplink.part(link), self._connect)  # type: ignore[arg-type]

    def _idle(self, life: int, since_ns: int) -> None:
        """Nothing woke the uplink for a while: look at resends and pauses that have come due."""
        if life == self.life and since_ns == self._idle_from_ns:
            self._wake()
