"""The spool's segments in append order, and which of their envelopes still wait. Pure memory, no I/O.

Guarded by the lock of the spool. Costs: next_after is a bisection and a short walk; an ack touches the segments of its
stream. Ordinals are per class and never reused within a process.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from edge.spool.account import Account, StreamId
from edge.spool.framing import Record
from edge.spool.segment import Segment, count_unsettled, present_seqs
from vantel.identity import DeliveryClass, Epoch
from vantel.intervals import IntervalSet


@dataclass(frozen=True, slots=True)
class Entry:
    """An envelope that waits for its durable ack. bytes: of the message. t_appended_mono_s: -inf when recovered."""

    ordinal: int
    stream: tuple[Epoch, DeliveryClass]
    seq: int
    bytes: int
    t_appended_mono_s: float


class Index:
    """Segments of each class, oldest first, and the sums over them."""

    def __init__(self, segments: Mapping[DeliveryClass, list[Segment]]) -> None:
        self.segments = {c: list(segments.get(c, ())) for c in DeliveryClass}
        self._next_ordinal = {c: items[-1].end_ordinal if items else 0 for c, items in self.segments.items()}
        self._waiting = {
            c: [sum(s.unsettled for s in items), sum(s.unsettled_bytes for s in items)]
            for c, items in self.segments.items()
        }

    def next_ordinal(self, delivery_class: DeliveryClass) -> int:
        """Ordinal of the next envelope of the class."""
        return self._next_ordinal[delivery_class]

    def epochs(self) -> set[Epoch]:
        """Epochs that have segments."""
        return {segment.epoch for items in self.segments.values() for segment in items}

    def backlog(self) -> dict[DeliveryClass, tuple[int, int]]:
        """Waiting envelopes and bytes by class."""
        return {c: (envelopes, size) for c, (envelopes, size) in self._waiting.items()}

    def add(self, segment: Segment, record: Record, offset: int, end: int, appended_s: float) -> None:
        """Enter a record into the last segment of its class."""
        segment.add(record, offset, end, appended_s)
        self._next_ordinal[segment.delivery_class] = segment.end_ordinal
        waiting = self._waiting[segment.delivery_class]
        waiting[0] += 1
        waiting[1] += len(record.message)

    def settle(self, stream: StreamId, seqs: IntervalSet) -> None:
        """Take seqs, all of them waiting until now, out of the backlog."""
        self._shift(stream, seqs, -1)

    def _shift(self, stream: StreamId, seqs: IntervalSet, sign: int) -> None:
        epoch, delivery_class = stream
        waiting = self._waiting[delivery_class]
        for segment in self.segments[delivery_class]:
            if segment.epoch != epoch or not segment.seqs or (sign < 0 and not segment.unsettled):
                continue
            for first, last in seqs:
                if last < segment.seqs[0] or first > segment.seqs[-1]:
                    continue
                low, high = segment.find(first, last)
                if low < high:
                    size = sum(segment.lengths[low:high])
                    segment.unsettled += sign * (high - low)
                    segment.unsettled_bytes += sign * size
                    waiting[0] += sign * (high - low)
                    waiting[1] += sign * size

    def wait_again(self, stream: StreamId, seqs: IntervalSet) -> None:
        """Put seqs, all of them settled until now, back into the backlog where a segment still holds them."""
        self._shift(stream, seqs, 1)

    def held(self, stream: StreamId, first: int, last: int) -> IntervalSet:
        """Which seqs of the closed interval are in a segment."""
        found = IntervalSet()
        for segment in self.segments[stream[1]]:
            if segment.epoch == stream[0]:
                low, high = segment.find(first, last)
                found.update(present_seqs(segment.seqs[low:high]))
        return found

    def relaid(self, segment: Segment, lengths: array[int], settled: IntervalSet) -> None:
        """The messages of a segment have other lengths now."""
        waiting = self._waiting[segment.delivery_class]
        waiting[0], waiting[1] = waiting[0] - segment.unsettled, waiting[1] - segment.unsettled_bytes
        segment.lengths = lengths
        count_unsettled(segment, settled)
        waiting[0], waiting[1] = waiting[0] + segment.unsettled, waiting[1] + segment.unsettled_bytes

    def remove(self, segment: Segment) -> None:
        """Forget a segment; what still waits in it leaves the backlog."""
        self.segments[segment.delivery_class].remove(segment)
        waiting = self._waiting[segment.delivery_class]
        waiting[0] -= segment.unsettled
        waiting[1] -= segment.unsettled_bytes

    def locate(self, entry: Entry) -> tuple[Segment, int] | None:
        """Segment and index in it; None when the segment is gone."""
        items = self.segments[entry.stream[1]]
        at = bisect_right(items, entry.ordinal, key=lambda s: s.first_ordinal) - 1
        if at < 0 or entry.ordinal >= items[at].end_ordinal:
            return None
        segment, index = items[at], entry.ordinal - items[at].first_ordinal
        return (
            (segment, index)
            if segment.epoch == entry.stream[0] and segment.seqs[index] == entry.seq
            else None
        )

    def next_after(
        self, delivery_class: DeliveryClass, after: int, accounts: Mapping[StreamId, Account]
    ) -> Entry | None:
        """First envelope with a larger ordinal that waits and has its final clock stamp."""
        if not self._waiting[delivery_class][0]:
            return None
        items = self.segments[delivery_class]
        start = max(0, bisect_right(items, after + 1, key=lambda s: s.first_ordinal) - 1)
        for at in range(start, len(items)):
            segment = items[at]
            if not segment.unsettled or segment.provisional:
                continue
            stream = (segment.epoch, delivery_class)
            settled = accounts[stream].settled
            index = max(0, after + 1 - segment.first_ordinal)
            while index < len(segment.seqs):
                seq = segment.seqs[index]
                if seq not in settled:
                    ordinal = segment.first_ordinal + index
                    return Entry(ordinal, stream, seq, segment.lengths[index], segment.appended_at(index))
                index += 1
        return None
