"""Goal: the rings give back exactly the recent past of a signal, whatever the other signals do, in bounded memory.

Method: a property against plain lists; named cases for rates, wrap-around, the bounds in bytes and seconds.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.model import SampleBlock
from edge.rings import ROW_BYTES, Rings
from edge.settings import RingSection

S = 1_000_000_000
MS = 1_000_000
Row = tuple[int, int, float]


def block_of(rows: list[Row]) -> SampleBlock:
    return SampleBlock(
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64),
    )


@given(
    st.lists(
        st.tuples(st.integers(-1, 3), st.sampled_from([0, MS, 30 * MS, S]), st.floats(allow_nan=False)),
        max_size=80,
    ),
    st.integers(0, 80),
    st.integers(0, 60 * S),
    st.integers(0, 60 * S),
)
@settings(max_examples=100, deadline=None)
def test_windows_equal_a_plain_list(steps: list[Row], edge: int, t0_ns: int, t1_ns: int) -> None:
    stamps = np.cumsum([step[1] for step in steps]).tolist()
    rows = [(slot, int(t), value) for (slot, _, value), t in zip(steps, stamps, strict=True)]
    rings = Rings(4, RingSection(seconds=1000.0, bytes_max=100_000))
    rings.push(block_of(rows[:edge]))
    rings.push(block_of(rows[edge:]))
    for slot in range(4):
        mine = [(t, value) for s, t, value in rows if s == slot]
        t, value = rings.window(slot, t0_ns, t1_ns)
        assert list(zip(t.tolist(), value.tolist(), strict=True)) == [
            row for row in mine if t0_ns <= row[0] < t1_ns
        ]
        assert rings.last(slot) == (mine[-1] if mine else None)
    assert rings.overwritten_early == 0


def test_a_fast_signal_does_not_push_out_the_past_of_slow_ones() -> None:
    rings = Rings(3, RingSection(seconds=60.0, bytes_max=ROW_BYTES * 8 * 1000))
    for second in range(60):
        fast = [(0, second * S + k * MS, float(k)) for k in range(1000)]
        medium = [(1, second * S + k * 100 * MS, float(k)) for k in range(10)]
        rings.push(block_of(sorted([*fast, *medium, (2, second * S, float(second))], key=lambda row: row[1])))
    assert len(rings.window(2, 0, 60 * S)[0]) == 60
    assert len(rings.window(1, 0, 60 * S)[0]) == 600
    t, _ = rings.window(0, 0, 60 * S)
    t = t[1:]  # the first sample of a signal, whose rate is not known yet, is among the slow ones
    assert 4000 <= len(t) <= 5000
    assert t[-1] == 60 * S - MS
    assert np.all(np.diff(t) == MS), "what is held is the newest, without holes"
    assert rings.overwritten_early > 0


def test_what_is_older_than_the_bound_is_not_given_but_the_last_value_is() -> None:
    rings = Rings(2, RingSection(seconds=5.0))
    rings.push(block_of([(0, 0, 1.0), (0, S, 2.0), (1, 6 * S, 3.0)]))
    assert rings.window(0, 0, 10 * S)[1].tolist() == [2.0]
    rings.push(block_of([(1, 20 * S, 4.0)]))
    assert rings.window(0, 0, 100 * S)[1].tolist() == []
    assert rings.last(0) == (S, 2.0)


def test_memory_is_fixed_and_within_the_bound() -> None:
    rings = Rings(1, RingSection(bytes_max=1_000_000))
    held = rings.bytes_held
    rings.push(block_of([(0, k * MS, 0.0) for k in range(100_000)]))
    assert rings.bytes_held == held <= 1_000_000


def test_a_ring_grows_while_its_oldest_sample_is_young_and_no_further() -> None:
    """Rates that rise in the middle of a round, so that the oldest row stands anywhere when the ring grows."""
    rings = Rings(1, RingSection(seconds=5.0, bytes_max=4_000_000))
    stamps = np.cumsum(np.repeat([2 * MS, MS // 10, MS], [9000, 20_000, 30_000]))
    for at in range(0, len(stamps), 77):
        part = stamps[at : at + 77]
        rings.push(SampleBlock(np.zeros(len(part), np.int32), part, part.astype(np.float64)))
        t, _ = rings.window(0, 0, int(part[-1]) + 1)
        first = np.searchsorted(stamps, max(part[-1] - 5 * S, 2 * MS + 1))
        assert np.array_equal(t[t > 2 * MS], stamps[first : at + len(part)])
    assert rings.overwritten_early == 0
    assert rings.rows()[4][0] == 32_768  # 5 s of the fastest second, doubled from 4096


def test_a_window_is_a_copy() -> None:
    rings = Rings(1, RingSection())
    rings.push(block_of([(0, 1, 5.0)]))
    rings.window(0, 0, 10)[1][0] = 99.0
    assert rings.window(0, 0, 10)[1].tolist() == [5.0]
