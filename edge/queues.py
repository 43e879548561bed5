"""The two bounded crossings between threads: sources -> pipeline, pipeline -> spool.

Bounded in bytes. What a full queue does: a live source sheds the block (counted by reason), a replay waits, the
pipeline waits for the spool (so that pressure reaches the sources, where shedding is counted in samples).
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import Generic, TypeVar

from edge.model import SampleBlock
from vantel.identity import DeliveryClass, PayloadKind

Item = TypeVar("Item")

ITEMS_MAX = 64
_BLOCK_OVERHEAD_BYTES = 512
_OUTGOING_OVERHEAD_BYTES = 256


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A payload on its way into the spool. position: see SampleBlock; 0 leaves it where it is."""

    delivery_class: DeliveryClass
    kind: PayloadKind
    payload: bytes
    catalog_hash: int
    position: int = 0

    @property
    def bytes_held(self) -> int:
        """Memory this item stands for."""
        return len(self.payload) + _OUTGOING_OVERHEAD_BYTES


def block_bytes(block: SampleBlock) -> int:
    """Memory a block stands for."""
    return 21 * len(block) + _BLOCK_OVERHEAD_BYTES


class BoundedQueue(Generic[Item]):
    """First in, first out, bounded in bytes. An item larger than the bound passes alone.

    The items go through a queue of the C library, so that a live source and its reader pay little for each; whoever
    waits for room waits on a condition of its own.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._items: queue.SimpleQueue[tuple[Item, int]] = queue.SimpleQueue()
        self._bytes = 0
        self._count = 0
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._waiting = 0
        self._in_hand = False

    @property
    def idle(self) -> bool:
        """Nothing waits, and the reader has come back for more since it took the last item."""
        with self._lock:
            return not self._count and not self._in_hand

    def put(self, item: Item, item_bytes: int, stop: threading.Event | None = None) -> bool:
        """Append; with stop given waits while full until stop is set. False when it was not taken."""
        with self._lock:
            while self._count and self._bytes + item_bytes > self._bytes_max:
                if stop is None or stop.is_set():
                    return False
                self._waiting += 1
                self._room.wait(0.1)
                self._waiting -= 1
            self._bytes += item_bytes
            self._count += 1
            self._items.put((item, item_bytes))
        return True

    def get(self, timeout_s: float) -> Item | None:
        """Oldest item, or None after timeout_s."""
        self._in_hand = False
        try:
            item, item_bytes = self._items.get(timeout_s > 0, timeout_s or None)
        except queue.Empty:
            return None
        with self._lock:
            self._in_hand = True
            self._bytes -= item_bytes
            self._count -= 1
            if self._waiting:
                self._room.notify_all()
        return item

    def get_waiting(self, timeout_s: float) -> list[Item]:
        """The oldest item and what waits behind it, ITEMS_MAX at most; empty after timeout_s."""
        first = self.get(timeout_s)
        if first is None:
            return []
        items = [first]
        with self._lock:
            while self._count and len(items) < ITEMS_MAX:
                item, item_bytes = self._items.get_nowait()
                self._bytes -= item_bytes
                self._count -= 1
                items.append(item)
            if self._waiting:
                self._room.notify_all()
        return items

    def __len__(self) -> int:
        return self._count

    @property
    def bytes_held(self) -> int:
        """Bytes waiting."""
        return self._bytes
