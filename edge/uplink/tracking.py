"""Books of the uplink about envelopes that were sent and lack their durable ack, by delivery class. Pure.

From (tracked envelopes, times at which they may be sent again) to the one that is due first. Bounded by the caller
(edge.uplink.lanes.WAITING_MAX); the heap holds at most twice as many pairs as there are tracked envelopes, plus 64.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

from edge.spool.index import Entry


@dataclass(slots=True)
class Tracked:
    """A sent envelope without durable ack. due_s: when it may be sent again; infinite while its PUBACK is awaited."""

    entry: Entry
    sends: int = 0
    confirms: int = 0
    refusals: int = 0
    due_s: float = math.inf


class ClassBooks:
    """One delivery class, which is one topic: cursor, tracked envelopes, pause after a refusal."""

    def __init__(self) -> None:
        self.after = -1
        self.tracked: dict[int, Tracked] = {}
        # Heap of (due_s, ordinal). A pair that no longer tells the truth is dropped when it is met.
        self.due: list[tuple[float, int]] = []
        self.in_flight = 0
        self.refusals = 0
        self.hold_until_s = -math.inf

    def schedule(self, item: Tracked, due_s: float) -> None:
        """The tracked item may be sent again at due_s."""
        item.due_s = due_s
        heapq.heappush(self.due, (due_s, item.entry.ordinal))
        if len(self.due) > 2 * len(self.tracked) + 64:
            self.due = [(t.due_s, n) for n, t in self.tracked.items() if t.due_s < math.inf]
            heapq.heapify(self.due)

    def earliest(self) -> Tracked | None:
        """The tracked envelope that is due first, whenever that is."""
        while self.due:
            due_s, ordinal = self.due[0]
            item = self.tracked.get(ordinal)
            if item is not None and item.due_s == due_s:
                return item
            heapq.heappop(self.due)
        return None
