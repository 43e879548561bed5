"""A schedule with its outbox and a clock of its own, for the tests of what is sent next."""

from __future__ import annotations

from random import Random

from edge.settings import UplinkSection
from edge.spool.index import Entry
from edge.uplink.lanes import Choice, Schedule
from tests.edge.uplink.memory_outbox import MemoryOutbox
from vantel.acks import Ack
from vantel.identity import DeliveryClass, Epoch
from vantel.intervals import IntervalSet

P0, P1, P2 = DeliveryClass


EPOCH = Epoch(1, 2)
SETTINGS = UplinkSection(inflight_max=4, resend_after_s=30, resend_after_s_max=100, live_age_s_max=30)


class Bench:
    """A schedule, its outbox, a clock, and a broker that takes what it is given."""

    def __init__(self, settings: UplinkSection = SETTINGS, seed: int = 0) -> None:
        self.outbox = MemoryOutbox("van-1", EPOCH)
        self.schedule = Schedule(self.outbox, settings, Random(seed))
        self.now_s = 1000.0
        self.mid = 0
        self.open: dict[int, Entry] = {}

    def add(self, delivery_class: DeliveryClass, count: int = 1, age_s: float = 0.0) -> None:
        for _ in range(count):
            self.outbox.append(delivery_class, t_mono_s=self.now_s - age_s)

    def connect(self, receive_max: int = 65_535, session_present: bool = True) -> None:
        self.schedule.connected(receive_max, session_present, self.now_s)

    def send(self) -> Entry | None:
        choice = self.schedule.choose(self.now_s)
        return None if choice is None else self.hand_over(choice)

    def hand_over(self, choice: Choice) -> Entry:
        self.mid += 1
        self.schedule.sent(choice, self.mid)
        self.open[self.mid] = choice.entry
        return choice.entry

    def send_all(self) -> list[str]:
        """Send and PUBACK until nothing goes; what went, as p0/seq."""
        went = []
        while (entry := self.send()) is not None:
            went.append(name(entry))
            self.puback()
        return went

    def puback(self, mid: int | None = None) -> None:
        mid = min(self.open) if mid is None else mid
        del self.open[mid]
        assert self.schedule.confirmed(mid, self.now_s)

    def refuse(self, mid: int | None = None) -> None:
        mid = min(self.open) if mid is None else mid
        del self.open[mid]
        assert self.schedule.refused(mid, self.now_s)

    def drop(self) -> None:
        self.open.clear()
        self.schedule.disconnected(self.now_s)

    def ack(self, delivery_class: DeliveryClass, *seqs: int) -> None:
        ack = Ack("van-1", {(EPOCH, delivery_class): IntervalSet((s, s) for s in seqs)})
        self.outbox.ack(ack)
        self.schedule.acked(ack.durable)


def name(entry: Entry) -> str:
    return f"{entry.stream[1].label}/{entry.seq}"
