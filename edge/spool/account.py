"""Account of one stream (epoch, class): what was produced, acked, evicted. Pure; seqs as intervals.

Every seq below produced is in exactly one of: acked, evicted(reason), spooled. An ack for something evicted before
(the cloud had it after all) moves it to acked: being stored is the better truth. After a power cut there may have been
more than the disk knows: power_loss says from which seq on, and how much at most. Acked ones that the cloud asked for
again wait once more; the acks of the bridge are cumulative and so may name them before they were sent again, and count
only afterwards.
"""

from __future__ import annotations

from vantel.identity import DeliveryClass, Epoch
from vantel.intervals import IntervalSet
from vantel.payloads import ClassAccount, Eviction, PowerLoss

StreamId = tuple[Epoch, DeliveryClass]


class Account:
    """Mutable account of one stream; guarded by the lock of the spool."""

    __slots__ = (
        "acked", "again", "delivery_class", "epoch", "evicted", "handed", "power_loss", "produced", "settled", "synced",
    )  # fmt: skip

    def __init__(self, epoch: Epoch, delivery_class: DeliveryClass) -> None:
        self.epoch = epoch
        self.delivery_class = delivery_class
        self.produced = 0
        self.synced = 0  # seqs below it were durable; for saying why one is missing
        self.acked = IntervalSet()
        self.evicted: dict[str, IntervalSet] = {}
        self.settled = IntervalSet()
        self.power_loss: PowerLoss | None = None
        self.again = IntervalSet()  # were acked, wait because the cloud asked for them
        self.handed = IntervalSet()  # those of again that this process has given to the uplink

    @property
    def is_settled(self) -> bool:
        """True when nothing of the stream is waiting."""
        return self.settled.count() == self.produced

    @property
    def settled_upto(self) -> int:
        """All seqs below it are acked or evicted."""
        for first, last in self.settled:
            return last + 1 if first == 0 else 0
        return 0

    def ack(self, durable: IntervalSet) -> tuple[IntervalSet, int, int]:
        """Take an ack: (seqs that were waiting and are acked now, newly acked in all, seqs never produced).

        After a power cut the cloud may well have what the disk forgot: that is not forged, and counts in the cloud.
        """
        known = durable.copy()
        known.remove(self.produced, 1 << 64)
        forged = 0 if self.power_loss else durable.count() - known.count()
        fresh = known.difference(self.acked, self.again.difference(self.handed))
        waiting = fresh.difference(self.settled)
        for intervals in self.evicted.values():
            for first, last in fresh:
                intervals.remove(first, last)
        self._settle_acked(fresh)
        return waiting, fresh.count(), forged

    def evict(self, seqs: IntervalSet, reason: str) -> tuple[IntervalSet, IntervalSet]:
        """Give seqs up: (those that were waiting, those of them that are lost: the cloud never acked them)."""
        waiting = seqs.difference(self.settled)
        acked_once = waiting.intersection(self.again)
        self._settle_acked(acked_once)
        lost = waiting.difference(acked_once)
        if lost:
            self.evicted.setdefault(reason, IntervalSet()).update(lost)
            self.settled.update(lost)
        return waiting, lost

    def send_again(self, seqs: IntervalSet) -> IntervalSet:
        """Let those of seqs that are acked wait once more; returns them."""
        again = seqs.intersection(self.acked)
        self.acked, self.settled = self.acked.difference(again), self.settled.difference(again)
        self.again.update(again)
        self.handed = self.handed.difference(again)
        return again

    def _settle_acked(self, seqs: IntervalSet) -> None:
        self.acked.update(seqs)
        self.settled.update(seqs)
        self.again, self.handed = self.again.difference(seqs), self.handed.difference(seqs)

    def freeze(self) -> ClassAccount:
        """As the plain value that health reports and the ledger use."""
        evicted = tuple(
            Eviction(first, last, reason)
            for reason in sorted(self.evicted)
            for first, last in self.evicted[reason]
        )
        return ClassAccount(
            self.epoch, self.delivery_class, self.produced, self.acked.copy(), evicted, self.power_loss
        )
