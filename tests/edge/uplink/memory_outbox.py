"""A second, tiny implementation of the uplink's Outbox, in memory: the oracle of the uplink tests.

Envelopes are (epoch, class, seq) with a message that spells them; append order gives the ordinal, as in the spool.
"""

from __future__ import annotations

import threading
import time

from edge.spool.index import Entry
from vantel.acks import Ack
from vantel.identity import DeliveryClass, Epoch


class MemoryOutbox:
    """Same promises as the spool, without a disk. Linear, so for small numbers."""

    def __init__(self, van: str, epoch: Epoch) -> None:
        self.van, self.epoch = van, epoch
        self.entries: dict[DeliveryClass, list[Entry]] = {c: [] for c in DeliveryClass}
        self.messages: dict[tuple[DeliveryClass, int], bytes] = {}
        self.settled: set[tuple[DeliveryClass, int]] = set()
        self.unreadable: set[tuple[DeliveryClass, int]] = set()
        self.rewinds = 0
        self._lock = threading.Lock()

    def append(self, delivery_class: DeliveryClass, *, t_mono_s: float | None = None, size: int = 0) -> Entry:
        with self._lock:
            ordinal = len(self.entries[delivery_class])
            message = f"{delivery_class.label}/{ordinal}/".encode().ljust(size, b".")
            t_mono_s = time.monotonic() if t_mono_s is None else t_mono_s
            entry = Entry(ordinal, (self.epoch, delivery_class), ordinal, len(message), t_mono_s)
            self.messages[delivery_class, ordinal] = message
            self.entries[delivery_class].append(entry)
            return entry

    def next_after(self, delivery_class: DeliveryClass, after: int, /) -> Entry | None:
        with self._lock:
            for entry in self.entries[delivery_class][after + 1 :]:
                if (delivery_class, entry.ordinal) not in self.settled:
                    return entry
            return None

    def load(self, entry: Entry, /) -> bytes | None:
        key = (entry.stream[1], entry.ordinal)
        with self._lock:
            return None if key in self.settled or key in self.unreadable else self.messages[key]

    def ack(self, ack: Ack, /) -> int:
        before = len(self.settled)
        with self._lock:
            for (epoch, delivery_class), seqs in ack.durable.items():
                if epoch == self.epoch:
                    n = len(self.entries[delivery_class])
                    self.settled |= {
                        (delivery_class, s) for f, last in seqs for s in range(f, min(last + 1, n))
                    }
        return len(self.settled) - before

    def evict(self, entry: Entry) -> None:
        with self._lock:
            self.settled.add((entry.stream[1], entry.ordinal))

    def backlog(self) -> dict[DeliveryClass, tuple[int, int]]:
        with self._lock:
            waiting = {
                c: [e for e in items if (c, e.ordinal) not in self.settled]
                for c, items in self.entries.items()
            }
        return {c: (len(items), sum(e.bytes for e in items)) for c, items in waiting.items()}

    @property
    def empty(self) -> bool:
        return not any(n for n, _ in self.backlog().values())
