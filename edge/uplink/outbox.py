"""What the uplink asks of the spool; the spool is one implementation, the tests have a second one in memory.

All methods may be called from any thread. No method waits for the network; load may read the disk.
"""

from __future__ import annotations

from typing import Protocol

from edge.spool.index import Entry
from vantel.acks import Ack
from vantel.identity import DeliveryClass


class Outbox(Protocol):
    """Envelopes that wait for their durable ack."""

    @property
    def rewinds(self) -> int:
        """Grows when envelopes that a look from an ordinal on has passed over may be sent after all."""
        ...

    def next_after(self, delivery_class: DeliveryClass, after: int, /) -> Entry | None:
        """First envelope that waits and may be sent, in append order, with an ordinal > after (-1: from the start)."""
        ...

    def load(self, entry: Entry, /) -> bytes | None:
        """Message bytes; None when it no longer waits or cannot be read now."""
        ...

    def ack(self, ack: Ack, /) -> int:
        """Take a durable ack; returns how many envelopes it acked first."""
        ...

    def backlog(self) -> dict[DeliveryClass, tuple[int, int]]:
        """Envelopes and message bytes that wait, by class."""
        ...
