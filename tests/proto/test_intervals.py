"""Interval sets.

Goal: an IntervalSet is a set of numbers, and stays sorted, disjoint and merged whatever is done to it.
Method: random sequences of operations against a plain Python set (hypothesis state machine).
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from vantel.intervals import IntervalSet

NUMBER = st.integers(0, 60)
SPAN = st.integers(0, 12)


class AgainstSet(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.intervals = IntervalSet()
        self.model: set[int] = set()

    @rule(first=NUMBER, span=SPAN)
    def add(self, first: int, span: int) -> None:
        self.intervals.add(first, first + span)
        self.model |= set(range(first, first + span + 1))

    @rule(number=NUMBER)
    def add_one(self, number: int) -> None:
        self.intervals.add(number)
        self.model.add(number)

    @rule(first=NUMBER, span=SPAN)
    def remove(self, first: int, span: int) -> None:
        self.intervals.remove(first, first + span)
        self.model -= set(range(first, first + span + 1))

    @rule(numbers=st.sets(NUMBER))
    def combine(self, numbers: set[int]) -> None:
        other = IntervalSet((n, n) for n in numbers)
        assert members(self.intervals.difference(other)) == self.model - numbers
        assert members(self.intervals.intersection(other)) == self.model & numbers
        self.intervals.update(other)
        self.model |= numbers

    @rule()
    def a_copy_is_independent(self) -> None:
        copy = self.intervals.copy()
        assert copy == self.intervals
        copy.add(1_000)
        assert 1_000 not in self.intervals

    @invariant()
    def holds_the_same_numbers(self) -> None:
        ranges = list(self.intervals)
        assert members(self.intervals) == self.model
        assert self.intervals.count() == len(self.model)
        assert bool(self.intervals) == bool(self.model)
        assert len(self.intervals) == len(ranges)
        assert all(a[1] + 1 < b[0] for a, b in pairwise(ranges)), "touching or unsorted"
        assert all((n in self.intervals) == (n in self.model) for n in range(-1, 75))


AgainstSet.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAgainstSet = AgainstSet.TestCase


def members(intervals: IntervalSet) -> set[int]:
    return {n for first, last in intervals for n in range(first, last + 1)}


@given(st.lists(st.tuples(NUMBER, SPAN)), st.randoms())
def test_order_does_not_matter(spans: list[tuple[int, int]], random: object) -> None:
    ranges = [(first, first + span) for first, span in spans]
    shuffled = ranges.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert IntervalSet(ranges) == IntervalSet(shuffled)


@pytest.mark.parametrize(("first", "last"), [(-1, 3), (5, 4)])
def test_nonsense_is_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="0 <= first <= last"):
        IntervalSet().add(first, last)
