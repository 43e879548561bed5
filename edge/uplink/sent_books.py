"""Which envelopes of this epoch went out: a durable ack can only be for those. Pure.

The ack topic is the one thing that can make the van delete data. The broker's access list lets only the bridge write
it; these books are the second lock: an ack for what this process never handed to a connection frees nothing. What an
earlier process sent is not known here, so acks for earlier epochs are taken as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from edge.spool.index import Entry
from vantel.identity import DeliveryClass, Epoch
from vantel.intervals import IntervalSet

Durable = Mapping[tuple[Epoch, DeliveryClass], IntervalSet]


class SentBooks:
    """Owned by the uplink thread. Intervals of sequence numbers by class; they grow together as the backlog goes."""

    def __init__(self, epoch: Epoch) -> None:
        self._epoch = epoch
        self._sent = {c: IntervalSet() for c in DeliveryClass}

    def sent(self, entry: Entry) -> None:
        """The envelope was handed to a connection."""
        if entry.stream[0] == self._epoch:
            self._sent[entry.stream[1]].add(entry.seq)

    def believable(self, durable: Durable) -> tuple[dict[tuple[Epoch, DeliveryClass], IntervalSet], int]:
        """What of an ack can be true, and how many sequence numbers of it cannot."""
        kept: dict[tuple[Epoch, DeliveryClass], IntervalSet] = {}
        unsent = 0
        for stream, seqs in durable.items():
            mine = seqs.intersection(self._sent[stream[1]]) if stream[0] == self._epoch else seqs
            unsent += seqs.count() - mine.count()
            if mine:
                kept[stream] = mine
        return kept, unsent
