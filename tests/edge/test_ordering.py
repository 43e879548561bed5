"""Goal: after Ordering, no two samples of a signal share a stamp, order is kept and nothing else changes.

Method: properties against a plain-Python reading of the rule, on random blocks, and the same stream cut in other places.
"""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.model import SampleBlock
from edge.ordering import STEP_BACK_NS, Ordering

N_SIGNALS = 3
samples = st.lists(
    st.tuples(st.integers(0, N_SIGNALS - 1), st.integers(-5, 20) | st.integers(-(10**18), 10**18)),
    max_size=60,
)


def block_of(rows: list[tuple[int, int]], position: int = 0) -> SampleBlock:
    slots, stamps = [row[0] for row in rows], [row[1] for row in rows]
    values = np.arange(len(rows), dtype=np.float64)
    return SampleBlock(np.array(slots, np.int32), np.array(stamps, np.int64), values, None, position)


def by_the_rule(rows: list[tuple[int, int]]) -> tuple[list[int], int, int]:
    last: dict[int, int] = {}
    raw: dict[int, int] = {}
    out, moved, jumps = [], 0, 0
    for slot, stamp in rows:
        jumps += slot in raw and raw[slot] - stamp > STEP_BACK_NS
        raw[slot] = stamp
        late = slot in last and stamp <= last[slot]
        moved += late
        last[slot] = last[slot] + 1 if late else stamp
        out.append(last[slot])
    return out, moved, jumps


@given(samples, st.lists(st.integers(0, 60), max_size=4))
@settings(max_examples=200, deadline=None)
def test_follows_the_rule_however_the_stream_is_cut(rows: list[tuple[int, int]], cuts: list[int]) -> None:
    expected, moved, jumps = by_the_rule(rows)
    ordering = Ordering(N_SIGNALS)
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    out: list[int] = []
    for first, last in itertools.pairwise(edges):
        out += ordering.apply(block_of(rows[first:last])).t_mono_ns.tolist()
    assert out == expected
    assert (ordering.stamps_moved, ordering.clock_jumps) == (moved, jumps)


def test_an_orderly_block_is_handed_on_as_it_is() -> None:
    block = block_of([(0, 1), (1, 1), (0, 2)], position=3)
    assert Ordering(N_SIGNALS).apply(block) is block


def test_a_moved_stamp_leaves_the_rest_of_the_block_alone() -> None:
    block = block_of([(0, 7), (1, 7), (0, 7), (0, 8)], position=4)
    out = Ordering(N_SIGNALS).apply(block)
    assert out.t_mono_ns.tolist() == [7, 7, 8, 9]
    assert out.value is block.value
    assert out.position == 4
    assert block.t_mono_ns.tolist() == [7, 7, 7, 8]


def test_read_only_and_empty_blocks_are_taken() -> None:
    block = block_of([(0, 7), (0, 7)])
    for array in (block.slot, block.t_mono_ns, block.value):
        array.flags.writeable = False
    ordering = Ordering(N_SIGNALS)
    assert ordering.apply(block).t_mono_ns.tolist() == [7, 8]
    assert len(ordering.apply(block_of([]))) == 0
