"""Which segments go.

Goal: settled ones first and without a reason, then the lowest class, oldest first, P0 last; no more than needed.
Method: tables of small cases, and properties over random spools.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.spool.retention import Bound, Candidate, Limits, Release, Use, make_room, plan
from vantel.identity import DeliveryClass

P0, P1, P2 = DeliveryClass.P0, DeliveryClass.P1, DeliveryClass.P2
LIMITS = Limits(
    bytes=Bound(max=1000, p0_reserve=200, keep_free=500, floor=300),
    files=Bound(max=100, p0_reserve=5, keep_free=50, floor=20),
)
PLENTY = 1 << 40

candidates = st.lists(
    st.tuples(st.sampled_from(list(DeliveryClass)), st.integers(1, 300), st.integers(0, 5)), max_size=12
).map(lambda rows: [Candidate(number, *row) for number, row in enumerate(rows)])


def sums(items: list[Candidate]) -> tuple[int, int]:
    p0 = sum(c.bytes for c in items if c.delivery_class is P0)
    return p0, sum(c.bytes for c in items) - p0


def planned(items: list[Candidate], free_bytes: int = PLENTY, free_files: int = PLENTY) -> list[Release]:
    p0, others = sums(items)
    p0_files = sum(c.delivery_class is P0 for c in items)
    in_files = Use(p0_files, len(items) - p0_files, free_files)
    return plan(items, Use(p0, others, free_bytes), in_files, LIMITS)


def test_nothing_goes_within_the_limits() -> None:
    items = [Candidate(1, P1, 400, 3), Candidate(2, P0, 100, 1)]
    assert planned(items) == []


def test_settled_segments_go_first_whatever_their_class() -> None:
    items = [Candidate(1, P2, 400, 3), Candidate(2, P0, 300, 0), Candidate(3, P1, 400, 1)]
    assert planned(items)[0] == Release(2, P0, "")


def test_the_lowest_class_goes_before_the_older_of_a_higher_one() -> None:
    items = [Candidate(1, P1, 400, 3), Candidate(2, P2, 400, 3), Candidate(3, P0, 400, 3)]
    assert planned(items) == [Release(2, P2, "quota")]


def test_the_reserve_is_kept_from_other_classes_and_p0_does_not_pay_for_it() -> None:
    items = [Candidate(1, P0, 50, 1), Candidate(2, P1, 450, 1), Candidate(3, P1, 450, 1)]
    assert planned(items) == [Release(2, P1, "quota")]


def test_a_disk_that_others_fill_lowers_the_limit_but_not_below_the_floor() -> None:
    items = [Candidate(n, P2, 100, 1) for n in range(6)]
    released = planned(items, 200)
    assert released == [Release(n, P2, "disk_full") for n in range(5)]  # others: floor 300 - reserve 200
    assert planned(items[:1], 0) == []


def test_files_are_bounded_too() -> None:
    items = [Candidate(n, P1, 1, 1) for n in range(110)]
    assert planned(items) == [Release(n, P1, "quota") for n in range(15)]  # 100, of them 5 for P0 alone
    few = [Candidate(n, P0 if n % 2 else P2, 1, 1) for n in range(60)]
    assert planned(few, free_files=50) == []
    released = planned(few, free_files=30)
    assert released == [Release(2 * n, P2, "disk_full") for n in range(20)]
    assert len(planned(few, free_files=0)) == 40, "the floor is left, 20 files, whatever the disk has"
    assert planned(few[:20], free_files=0)[5:] == [], "P1 and P2 stay the reserve below the floor"


@given(candidates, st.integers(0, 2000))
def test_plan_reaches_the_limits_and_takes_no_more_than_it_must(
    items: list[Candidate], free_bytes: int
) -> None:
    p0, others = sums(items)
    released = planned(items, free_bytes)
    gone = {release.number for release in released}
    left = [c for c in items if c.number not in gone]
    limit = min(1000, max(300, p0 + others + free_bytes - 500))
    left_p0, left_others = sums(left)
    assert left_p0 + left_others <= limit
    assert left_others <= max(0, limit - 200)
    for release in released:
        candidate = items[release.number]
        assert (release.reason == "") == (candidate.unsettled == 0)
        assert release.delivery_class is candidate.delivery_class
    if any(items[n].delivery_class is P0 and items[n].unsettled for n in gone):
        assert not left_others


@given(candidates, st.integers(0, 1000), st.sampled_from(list(DeliveryClass)))
def test_room_for_a_write_never_costs_a_higher_class(
    items: list[Candidate], need_bytes: int, lowest: DeliveryClass
) -> None:
    released = make_room(items, need_bytes, lowest)
    assert all(r.delivery_class >= lowest for r in released if r.reason)
    freed = sum(items[r.number].bytes for r in released)
    possible = sum(c.bytes for c in items if not c.unsettled or c.delivery_class >= lowest)
    assert freed >= min(need_bytes, possible)
