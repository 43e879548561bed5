"""Merging and cutting, whatever the pieces in which samples arrive.

Goal: the stream is a stable sort of all samples and its blocks do not depend on how files were read.
Method: hypothesis makes recordings as lists of chunks with many equal times; the expectation is Python's sorted().
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.sources.chunks import Chunk, SlotTable
from edge.sources.replay import BLOCK_NS, cut
from edge.sources.timeline import REORDER_NS, Timeline, merge

S = 1_000_000_000


class Listed:
    """A recording of given chunks: times in units of unit_ns, values count the samples."""

    def __init__(self, name: str, chunks: list[list[int]], unit_ns: int) -> None:
        self.path = Path(name)
        self.counts: Counter[str] = Counter()
        self.slots = SlotTable(self.path, {})
        self._slot = self.slots.add(name, (name,))
        self._chunks, self._unit_ns = chunks, unit_ns

    def chunks(self) -> Iterator[Chunk]:
        value = 0
        for times in self._chunks:
            n = len(times)
            yield Chunk(np.full(n, self._slot, np.int32), np.array(times, dtype=np.int64) * self._unit_ns,
                        np.arange(value, value + n, dtype=np.float64))  # fmt: skip
            value += n

    def finish(self) -> None:
        """Nothing to check."""


Times = st.lists(st.lists(st.integers(0, 6), max_size=5), min_size=1, max_size=5).filter(any)


def read(timeline: Timeline) -> list[tuple[str, int, float]]:
    return [
        (timeline.signals[slot].name, t, value)
        for chunk in timeline.read()
        for slot, t, value in zip(chunk.slot.tolist(), chunk.t_ns.tolist(), chunk.value.tolist(), strict=True)
    ]


@given(st.lists(Times, min_size=1, max_size=3), st.sampled_from([0, 100, 1 << 20]))
def test_stream_is_a_stable_sort_of_all_recordings(
    files: list[list[list[int]]], cached_bytes_max: int
) -> None:
    recordings = [(Listed(f"r{at}", chunks, S // 10), None) for at, chunks in enumerate(files)]
    expected = sorted(
        [
            (f"r{at}", t * S // 10, float(k))
            for at, chunks in enumerate(files)
            for k, t in enumerate(t for chunk in chunks for t in chunk)
        ],
        key=lambda sample: sample[1],
    )
    timeline = Timeline(recordings, stacked=False, cached_bytes_max=cached_bytes_max)
    assert read(timeline) == expected
    assert timeline.samples == len(expected)
    assert (timeline.first_ns, timeline.last_ns) == (expected[0][1], expected[-1][1])


@given(Times)
def test_what_is_too_late_for_a_large_recording_is_counted(chunks: list[list[int]]) -> None:
    """Times up to 6 s apart in any order, sorted within 2 s: in order, none twice, none lost in silence."""
    timeline = Timeline([(Listed("r", chunks, S), None)], stacked=False, cached_bytes_max=0)
    samples = read(timeline)
    times = [t for _, t, _ in samples]
    assert times == sorted(times)
    assert len({value for _, _, value in samples}) == len(samples) == timeline.samples
    assert timeline.samples + timeline.counts().get("samples_late", 0) == sum(map(len, chunks))
    if REORDER_NS >= 6 * S:
        assert timeline.samples == sum(map(len, chunks))


def test_parts_of_one_drive_follow_each_other_when_shifted() -> None:
    parts = [(Listed("second", [[100, 110]], S), None), (Listed("first", [[50, 60]], S), None)]
    assert [(name, t // S) for name, t, _ in read(Timeline(parts, stacked=True))] == [
        ("first", 0), ("first", 10), ("second", 50), ("second", 60)
    ]  # fmt: skip


@given(
    st.lists(st.integers(0, 4 * BLOCK_NS), min_size=1, max_size=40).map(sorted),
    st.lists(st.integers(0, 40), max_size=6).map(sorted),
    st.integers(0, 45),
)
def test_blocks_do_not_depend_on_how_samples_came(times: list[int], cuts: list[int], resume: int) -> None:
    t_ns = np.array(times, dtype=np.int64)
    whole = Chunk(np.zeros(len(times), np.int32), t_ns, np.arange(len(times), dtype=np.float64))
    edges = [0, *[min(c, len(times)) for c in cuts], len(times)]
    pieces = [
        Chunk(whole.slot[a:b], whole.t_ns[a:b], whole.value[a:b])
        for a, b in itertools.pairwise(edges)
        if b > a
    ]
    one, many = (list(cut(iter(chunks), 0, 0, resume)) for chunks in ([whole], pieces))
    assert [(b.position, b.value.tolist()) for b in one] == [(b.position, b.value.tolist()) for b in many]
    assert np.concatenate([b.value for b in one]).tolist() == whole.value.tolist()
    assert all(b.t_mono_ns[-1] // BLOCK_NS == b.t_mono_ns[0] // BLOCK_NS for b in one)
    assert not any(b.position - len(b) < resume < b.position for b in one)


Sorted = st.lists(st.integers(0, 5), max_size=12).map(sorted)


@given(
    st.lists(st.tuples(Sorted, st.lists(st.integers(0, 12), max_size=4).map(sorted)), min_size=1, max_size=4)
)
def test_merge_keeps_the_order_of_streams_at_equal_times(streams: list[tuple[list[int], list[int]]]) -> None:
    """However each stream is cut, also in the middle of samples of one time."""
    split: list[list[Chunk]] = []
    expected: list[tuple[int, int, float]] = []
    for at, (times, cuts) in enumerate(streams):
        edges = [0, *[min(c, len(times)) for c in cuts], len(times)]
        split.append([
            Chunk(np.full(b - a, at, np.int32), np.array(times[a:b], dtype=np.int64), np.arange(a, b, dtype=np.float64))
            for a, b in itertools.pairwise(edges)
            if b > a
        ])  # fmt: skip
        expected += [(at, t, float(k)) for k, t in enumerate(times)]
    merged = [
        (slot, t, value)
        for chunk in merge([iter(chunks) for chunks in split])
        for slot, t, value in zip(chunk.slot.tolist(), chunk.t_ns.tolist(), chunk.value.tolist(), strict=True)
    ]
    assert merged == sorted(expected, key=lambda sample: sample[1])
