"""When the envelopes of a stream are from: a bounded index from sequence numbers to Unix time, and the seconds covered.

Sequence numbers are given in the order of time, so that a stretch of numbers is a stretch of time, and neighbours bound
what is missing between them. Pure values that merge; numbers are closed intervals, times Unix ms, covered Unix s.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from vantel.envelope import EnvelopeError
from vantel.intervals import IntervalSet
from vantel.telemetry.v1 import account_pb2
from vantel.window import Window

UNSETTLED = account_pb2.TIME_SOURCE_UNSPECIFIED
"""The envelope itself, which lies in Kafka; never in a record."""
EVICTED = account_pb2.TIME_SOURCE_EVICTED
REJECTED = account_pb2.TIME_SOURCE_REJECTED
STORED = account_pb2.TIME_SOURCE_STORED

NS_A_MS = 1_000_000
TIMED_MAX = 512
"""Stretches kept of one stream, the highest numbers; below them time is no longer known."""
COVERED_MAX = 2048
"""Intervals of seconds kept of one stream, the newest."""
TOUCHING_MS = 60_000
"""Neighbours join while the step in time between them is no longer: the agent reports at least this often."""


class Timed(NamedTuple):
    """Envelopes first..last are from first_ms..last_ms, evenly. source: the better one wins where two tell."""

    first: int
    last: int
    first_ms: int
    last_ms: int
    source: int

    def at(self, seq: int) -> int:
        """Time at which envelope seq begins, first <= seq <= last + 1."""
        return self.first_ms + (self.last_ms - self.first_ms) * (seq - self.first) // (
            self.last - self.first + 1
        )

    def part(self, first: int, last: int) -> Timed:
        """The part of it from first to last."""
        return Timed(first, last, self.at(first), self.at(last + 1), self.source)

    def without(self, first: int, last: int) -> list[Timed]:
        """What is left when first..last is taken out."""
        left = [self.part(self.first, min(self.last, first - 1))] if self.first < first else []
        right = [self.part(max(self.first, last + 1), self.last)] if self.last > last else []
        return left + right

    def grown(self, after: Timed) -> Timed:
        """Both as one stretch."""
        return Timed(
            self.first, after.last, min(self.first_ms, after.first_ms), max(self.last_ms, after.last_ms),
            self.source,
        )  # fmt: skip

    def joins(self, after: Timed) -> bool:
        """Whether both are one stretch: same source, next number, no step in time."""
        step_ms = after.first_ms - self.last_ms
        return (
            self.source == after.source and after.first == self.last + 1 and abs(step_ms) <= TOUCHING_MS
        )  # fmt: skip


class SeqTimes:
    """Timed stretches, disjoint and ascending in their numbers."""

    def __init__(self) -> None:
        self._items: list[Timed] = []

    def put(self, new: Timed) -> None:
        """Take in what is known of a stretch; what a source as good has told before stays."""
        if self._items and self._items[-1].joins(new):  # by far the most: the next in order
            self._items[-1] = self._items[-1].grown(new)
            return
        low = bisect_left(self._items, new.first - 1, key=lambda item: item.last)
        high = bisect_right(self._items, new.last + 1, key=lambda item: item.first)
        fresh, kept = [new], []
        for old in self._items[low:high]:
            if old.source >= new.source:
                fresh = [part for piece in fresh for part in _cut(piece, old)]
                kept.append(old)
            else:
                kept += _cut(old, new)
        joined: list[Timed] = []
        for item in sorted(kept + fresh, key=lambda item: item.first):
            if joined and joined[-1].joins(item):
                joined[-1] = joined[-1].grown(item)
            else:
                joined.append(item)
        self._items[low:high] = joined
        del self._items[:-TIMED_MAX]

    def merge(self, other: SeqTimes) -> None:
        """Take in all of another index of the same stream."""
        for item in other:
            self.put(item)

    @property
    def extent_ms(self) -> tuple[int, int] | None:
        """Earliest and latest time of all; None when nothing is known."""
        if not self._items:
            return None
        return min(item.first_ms for item in self._items), max(item.last_ms for item in self._items)

    def within(self, first: int, last: int, begin_ms: int, end: tuple[int, int]) -> list[tuple[int, int]]:
        """When first..last are from, in ranges of ms. What is not known is spread evenly between its neighbours.

        begin_ms: where number 0 cannot be earlier; end: (number, ms) of the first envelope that does not exist yet.
        """
        edges = [Timed(-1, -1, begin_ms, begin_ms, STORED), *self._items]
        number, last_ms = max(end[0], last + 1, edges[-1].last + 1), max(end[1], edges[-1].last_ms)
        edges.append(Timed(number, number, last_ms, last_ms, STORED))
        ranges: list[tuple[int, int]] = []
        start = max(bisect_left(edges, first, key=lambda item: item.last), 1)
        for left, item, right in zip(
            edges[start - 1 :], edges[start:], [*edges[start + 1 :], None], strict=False
        ):
            if left.last >= last:
                break
            if item.first > left.last + 1:  # a gap in the numbers: between the two in time as well
                gap = Timed(left.last + 1, item.first - 1, left.last_ms, item.first_ms, UNSETTLED)
                _add(ranges, gap, first, last)
            if (
                item.source == EVICTED and right is not None
            ):  # told wider than it was: the neighbours know better
                begin_at, end_at = max(item.first_ms, left.last_ms), min(item.last_ms, right.first_ms)
                item = item._replace(first_ms=begin_at, last_ms=max(begin_at, end_at))  # noqa: PLW2901
            _add(ranges, item, first, last)
        return ranges

    def __iter__(self) -> Iterator[Timed]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


def _cut(item: Timed, other: Timed) -> list[Timed]:
    return item.without(other.first, other.last) if _overlap(item, other) else [item]


def _overlap(one: Timed, other: Timed) -> bool:
    return one.first <= other.last and other.first <= one.last


def _add(ranges: list[tuple[int, int]], item: Timed, first: int, last: int) -> None:
    """Add the time of that part of an item that is asked for."""
    first, last = max(first, item.first), min(last, item.last)
    if first <= last:
        part = item.part(first, last)
        ranges.append((part.first_ms, max(part.first_ms, part.last_ms)))


@dataclass(slots=True)
class StreamTimes:
    """When a stream is from: its envelopes, the seconds with stored samples, those in which samples were shed."""

    seqs: SeqTimes = field(default_factory=SeqTimes)
    covered: IntervalSet = field(default_factory=IntervalSet)
    shed: dict[str, IntervalSet] = field(default_factory=dict)

    def note(self, seqs: tuple[int, int], window: Window, source: int, shed: Iterable[str] = ()) -> None:
        """Envelopes first..last are from this window. shed: reasons for which samples of it were dropped."""
        first_ms, last_ms = window.first_unix_ns // NS_A_MS, window.last_unix_ns // NS_A_MS
        self.seqs.put(Timed(*seqs, first_ms, last_ms, source))
        if source == STORED and window.samples:
            self.covered.add(first_ms // 1000, last_ms // 1000)
            forget_oldest(self.covered)
        for reason in shed:
            seconds = self.shed.setdefault(reason, IntervalSet())
            seconds.add(first_ms // 1000, last_ms // 1000)
            forget_oldest(seconds)

    def merge(self, other: StreamTimes) -> None:
        """Take in what another record of the same stream knows."""
        self.seqs.merge(other.seqs)
        self.covered.update(other.covered)
        forget_oldest(self.covered)
        for reason, seconds in other.shed.items():
            mine = self.shed.setdefault(reason, IntervalSet())
            mine.update(seconds)
            forget_oldest(mine)

    def fill(self, pb: account_pb2.CloudAccount) -> None:
        """Write it into a ledger record."""
        for item in self.seqs:
            timed = pb.times.add(first_unix_ms=item.first_ms, last_unix_ms=item.last_ms, source=item.source)  # type: ignore[arg-type]
            timed.range.first, timed.range.last = item.first, item.last
        pb.covered.extend(_seconds_to_pb(self.covered))
        for reason in sorted(self.shed):
            pb.shed.add(reason=reason, seconds=_seconds_to_pb(self.shed[reason]))

    @classmethod
    def of(cls, pb: account_pb2.CloudAccount) -> StreamTimes:
        """Read it from a ledger record; EnvelopeError for a range that runs backwards."""
        times = cls()
        for item in pb.times:
            if item.range.last < item.range.first or item.last_unix_ms < item.first_unix_ms:
                raise EnvelopeError("malformed", "a time of the ledger runs backwards")
            times.seqs.put(
                Timed(
                    item.range.first, item.range.last, item.first_unix_ms, item.last_unix_ms, int(item.source)
                )
            )
        times.covered = _seconds_of_pb(pb.covered)
        times.shed = {item.reason: _seconds_of_pb(item.seconds) for item in pb.shed}
        return times


def _seconds_to_pb(seconds: IntervalSet) -> list[account_pb2.SecondsRange]:
    return [account_pb2.SecondsRange(first_unix_s=first, last_unix_s=last) for first, last in seconds]


def _seconds_of_pb(items: Iterable[account_pb2.SecondsRange]) -> IntervalSet:
    try:
        return IntervalSet((item.first_unix_s, item.last_unix_s) for item in items)
    except ValueError as cause:
        raise EnvelopeError("malformed", str(cause)) from None


def forget_oldest(seconds: IntervalSet) -> None:
    """Keep the newest COVERED_MAX intervals."""
    if len(seconds) > COVERED_MAX:
        newest = list(seconds)[-COVERED_MAX:]
        seconds.remove(0, newest[0][0] - 1)
