"""Sets of sequence numbers as sorted, disjoint, closed intervals.

Used by acks, spool and ledger: a van's day is one interval, so that a set costs a few bytes whatever its size.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class IntervalSet:
    """Mutable set of integers >= 0 held as closed intervals."""

    __slots__ = ("_first", "_last")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._first: list[int] = []
        self._last: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def add(self, first: int, last: int | None = None) -> None:
        """Add the closed interval [first, last] (one number when last is omitted), merging what touches it."""
        last = first if last is None else last
        if first < 0 or last < first:
            raise ValueError(f"interval {first}..{last}: must satisfy 0 <= first <= last")
        left = bisect_left(self._last, first - 1)
        right = bisect_right(self._first, last + 1)
        if left < right:
            first = min(first, self._first[left])
            last = max(last, self._last[right - 1])
        self._first[left:right] = [first]
        self._last[left:right] = [last]

    def update(self, other: IntervalSet) -> None:
        """Add every number of other."""
        for first, last in other:
            self.add(first, last)

    def remove(self, first: int, last: int | None = None) -> None:
        """Remove the closed interval [first, last]; numbers that are not members are ignored."""
        last = first if last is None else last
        left = bisect_left(self._last, first)
        right = bisect_right(self._first, last)
        if left >= right:
            return
        head, tail = self._first[left], self._last[right - 1]
        kept = [(head, first - 1)] if head < first else []
        if tail > last:
            kept.append((last + 1, tail))
        self._first[left:right] = [k[0] for k in kept]
        self._last[left:right] = [k[1] for k in kept]

    def difference(self, *others: IntervalSet) -> IntervalSet:
        """Numbers of this set that are in none of others."""
        result = self.copy()
        for other in others:
            for first, last in other:
                result.remove(first, last)
        return result

    def intersection(self, other: IntervalSet) -> IntervalSet:
        """Numbers in both sets."""
        return self.difference(self.difference(other))

    def copy(self) -> IntervalSet:
        """Independent copy."""
        result = IntervalSet()
        result._first, result._last = self._first.copy(), self._last.copy()
        return result

    def count(self) -> int:
        """How many numbers are in the set."""
        return sum(self._last) - sum(self._first) + len(self._first)

    def __contains__(self, number: int) -> bool:
        at = bisect_left(self._last, number)
        return at < len(self._first) and self._first[at] <= number

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._first, self._last, strict=True))

    def __len__(self) -> int:
        """Number of intervals (not of numbers, see count)."""
        return len(self._first)

    def __bool__(self) -> bool:
        return bool(self._first)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IntervalSet) and self._first == other._first and self._last == other._last

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"IntervalSet({list(self)!r})"
