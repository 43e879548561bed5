"""Blocks that wait together.

Goal: every sample comes out once, in order of time, with its quality; a replay is left alone.
Method: random blocks against a plain sort.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.model import SampleBlock
from edge.waiting import merged

Rows = list[list[tuple[int, int, float]]]


def block(rows: list[tuple[int, int, float]], has_quality: bool = False, position: int = 0) -> SampleBlock:
    rows = sorted(rows, key=lambda row: row[1])
    quality = np.array([slot & 3 for slot, _, _ in rows], np.uint8) if has_quality else None
    return SampleBlock(
        np.array([slot for slot, _, _ in rows], np.int32),
        np.array([t for _, t, _ in rows], np.int64),
        np.array([v for _, _, v in rows], np.float64),
        quality,
        position,
    )


@given(
    st.lists(
        st.lists(st.tuples(st.integers(-1, 9), st.integers(0, 50), st.floats(allow_nan=False)), max_size=8),
        min_size=2,
        max_size=5,
    )
)
def test_all_samples_in_order_of_time(rows: Rows) -> None:
    blocks = [block(part, has_quality=at % 2 == 0) for at, part in enumerate(rows)]
    (one,) = merged(blocks)
    wanted = sorted(
        (
            (t, slot, value, slot & 3 if at % 2 == 0 else 0)
            for at, part in enumerate(rows)
            for slot, t, value in sorted(part, key=lambda row: row[1])
        ),
        key=lambda row: row[0],
    )
    assert one.quality is not None
    found = zip(one.t_mono_ns, one.slot, one.value, one.quality, strict=True)
    assert [tuple(row) for row in found] == wanted


def test_a_replay_and_a_single_block_stay_as_they_are() -> None:
    live, replayed = block([(1, 5, 1.0)]), block([(1, 4, 1.0)], position=7)
    assert merged([live])[0] is live
    assert list(merged([live, replayed])) == [live, replayed]
    assert merged([live, live])[0].quality is None
    assert not merged([])
