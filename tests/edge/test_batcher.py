"""Goal: every sample is in exactly one batch or counted as shed, cuts depend on samples and events alone, and the
position of a batch never claims a sample that is not there.

Method: properties on random streams, cut into blocks in several ways, compared with a plain-Python reading of the rule
(sample by sample); then named cases for types, live windows, flush and close.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.batcher import FLUSH_DELAY_NS, Batcher, ClosedBatch, LiveSpans
from edge.model import SampleBlock, TextTable
from edge.settings import BatchSection
from vantel.catalog import Catalog, Signal, SignalType
from vantel.payloads import Fidelity

S = 1_000_000_000
CATALOG = Catalog(
    [
        Signal("Test.Float", 70_000),
        Signal("Test.Float32", 70_001, type=SignalType.FLOAT32),
        Signal("Test.Int", 70_002, type=SignalType.INT64),
        Signal("Test.Uint", 70_003, type=SignalType.UINT64),
        Signal("Test.Bool", 70_004, type=SignalType.BOOL),
        Signal("Test.Enum", 70_005, type=SignalType.ENUM, labels=("OFF", "ON")),
        Signal("Test.String", 70_006, type=SignalType.STRING),
    ]
)
FLOAT, FLOAT32, INT, UINT, BOOL, ENUM, STRING = range(7)
Row = tuple[int, int, float]


def batcher(texts: TextTable | None = None, offset_ns: int = 0, **keys: object) -> Batcher:
    section = BatchSection.model_validate(
        {"window_s": 10.0, "window_live_s": 1.0, "live_after_event_s": 5.0, **keys}
    )
    return Batcher(CATALOG, section, texts or TextTable(), offset_ns)


def block_of(rows: list[Row], position: int = 0) -> SampleBlock:
    return SampleBlock(
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64),
        None,
        position,
    )


def summary(batch: ClosedBatch) -> tuple[object, ...]:
    columns = [
        (c.signal_id, c.t_ns.tolist(), [repr(v) for v in c.values.tolist()], None if c.quality is None else c.quality.tolist())
        for c in batch.columns
    ]  # fmt: skip
    return (batch.start_mono_ns, batch.end_mono_ns, batch.sample_count, batch.position, batch.shed, columns)


def feed(
    rows: list[Row], events: dict[int, int], edges: list[int], offset_ns: int = 0, **keys: object
) -> list[ClosedBatch]:
    """Run rows through a batcher, cut at edges; events: index of the sample that makes an event -> its time."""
    target = batcher(offset_ns=offset_ns, **keys)
    out: list[ClosedBatch] = []
    for first, last in zip([0, *edges], [*edges, len(rows)], strict=True):
        for index in range(first, last):
            if index in events:
                target.note_event(events[index])
        out += target.add(block_of(rows[first:last], position=last))
    return out + target.close()


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[Row], dict[int, int]]:
    """Ascending stamps with gaps of all sizes, all types of signal, dropped samples (slot -1), values that do not fit."""
    steps = draw(st.lists(st.sampled_from([0, 1, S // 20, S // 3, S, 3 * S, 47 * S]), max_size=60))
    stamps = (np.cumsum([draw(st.integers(-30 * S, 30 * S)), *steps])[1:] + np.arange(len(steps))).tolist()
    values = st.sampled_from([0.0, 1.0, -3.0, 0.5, math.nan, math.inf, 2.0**63, 2.0**70])
    rows = [(draw(st.integers(-1, 6)), int(stamp), draw(values)) for stamp in stamps]
    indices = draw(st.lists(st.integers(0, len(rows) - 1), max_size=4)) if rows else []
    return rows, {index: rows[index][1] for index in indices}


@given(streams(), st.lists(st.integers(0, 60), max_size=5), st.integers(1, 9), st.integers(-(10**18), 10**18))
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost_or_doubled_and_cuts_do_not_depend_on_blocks(
    stream: tuple[list[Row], dict[int, int]], cuts: list[int], samples_max: int, offset_ns: int
) -> None:
    rows, events = stream
    n = len(rows)
    splits = [list(range(1, n)), [], sorted({min(cut, n) for cut in cuts} - {0, n})]
    runs = [feed(rows, events, edges, offset_ns, samples_max=samples_max) for edges in splits]
    one_by_one = runs[0]
    assert [summary(batch) for batch in runs[1]] == [summary(batch) for batch in one_by_one]
    assert [summary(batch) for batch in runs[2]] == [summary(batch) for batch in one_by_one]

    seen = [(c.signal_id - 70_000, int(t)) for batch in one_by_one for c in batch.columns for t in c.t_ns]
    assert len(seen) == len(set(seen)) == sum(batch.sample_count for batch in one_by_one)
    fitting = [row for row in rows if fits(row)]
    assert sorted(seen) == sorted((slot, t) for slot, t, _ in fitting)
    refused = sum(1 for row in rows if row[0] >= 0) - len(fitting)
    assert sum(batch.shed.get("unrepresentable", 0) for batch in one_by_one) <= refused

    positions = [batch.position for batch in one_by_one]
    assert positions == sorted(positions)
    held: set[tuple[int, int]] = set()
    for batch in one_by_one:
        held |= {(c.signal_id - 70_000, int(t)) for c in batch.columns for t in c.t_ns}
        claimed = {(slot, t) for slot, t, value in rows[: batch.position] if fits((slot, t, value))}
        assert claimed == held, "a batch claims exactly what is stored once it is"
        assert batch.sample_count <= samples_max
        assert all(batch.start_mono_ns <= t < batch.end_mono_ns for c in batch.columns for t in c.t_ns)


def fits(row: Row) -> bool:
    slot, _, value = row
    if slot < 0:
        return False
    if slot in (FLOAT, FLOAT32):
        return True
    if not math.isfinite(value) or value != int(value):
        return False
    low, high = {
        INT: (-(2**63), 2**63),
        UINT: (0, 2**64),
        BOOL: (0, 2),
        ENUM: (0, 65536),
        STRING: (0, 2**63),
    }[slot]
    return low <= int(value) < high


@given(streams(), st.integers(-(10**18), 10**18))
@settings(max_examples=150, deadline=None)
def test_cuts_are_those_of_the_rule(stream: tuple[list[Row], dict[int, int]], offset_ns: int) -> None:
    """A cut lies at an edge between two samples if it is one of Unix time, and a window edge or live."""
    rows, events = stream
    rows = [(FLOAT, t, value) for _, t, value in rows]
    got = [[int(t) for c in batch.columns for t in c.t_ns] for batch in feed(rows, events, [], offset_ns)]
    expected: list[list[int]] = []
    for index, (_, t, _) in enumerate(rows):
        if index and not cut_between(rows[index - 1][1], t, list(events.values()), offset_ns):
            expected[-1].append(t)
        else:
            expected.append([t])
    assert got == expected


def cut_between(before: int, after: int, events: list[int], offset_ns: int) -> bool:
    unix = before + offset_ns
    for edge in range(unix // S * S + S, after + offset_ns + 1, S):
        if edge % (10 * S) == 0 or any(event < edge - offset_ns <= event + 5 * S for event in events):
            return True
    return False


def test_types_travel_as_the_catalog_says() -> None:
    texts = TextTable()
    door = float(texts.code("door"))
    target = batcher(texts)
    rows = [(FLOAT, 1, 0.1), (FLOAT32, 1, 0.5), (INT, 1, -3.0), (UINT, 1, 2.0**63), (BOOL, 1, 1.0), (ENUM, 1, 65535.0),
            (STRING, 1, door), (STRING, 2, 0.0), (STRING, 3, door)]  # fmt: skip
    assert target.add(block_of(rows)) == []
    (batch,) = target.close()
    assert [column.values.dtype for column in batch.columns] == [
        np.float64, np.float32, np.int64, np.uint64, np.bool_, np.uint16, object,
    ]  # fmt: skip
    assert batch.columns[STRING].values.tolist() == ["door", "", "door"]
    assert batch.columns[UINT].values.tolist() == [2**63]
    assert batch.sample_count == len(rows)
    assert target.close() == []


@pytest.mark.parametrize("value", [0.1, 1e300, 1e-300])
def test_a_float32_signal_keeps_every_bit_of_its_values(value: float) -> None:
    target = batcher()
    target.add(block_of([(FLOAT32, 1, 0.5), (FLOAT32, 2, value)]))
    (batch,) = target.close()
    assert batch.columns[0].values.dtype == np.float64
    assert batch.columns[0].values.tolist() == [0.5, value]


def test_quality_is_there_only_where_something_is_not_good() -> None:
    target = batcher()
    rows = block_of([(FLOAT, 1, 1.0), (INT, 2, 1.0), (FLOAT, 3, 1.0)])
    target.add(SampleBlock(rows.slot, rows.t_mono_ns, rows.value, np.array([0, 0, 2], np.uint8)))
    (batch,) = target.close()
    assert batch.columns[0].quality is not None
    assert batch.columns[0].quality.tolist() == [0, 2]
    assert batch.columns[1].quality is None


def test_windows_are_multiples_of_unix_time() -> None:
    target = batcher(offset_ns=3 * S)
    closed = target.add(block_of([(FLOAT, k * S, 0.0) for k in range(20)]))
    assert [(batch.start_mono_ns, batch.end_mono_ns) for batch in closed] == [
        (0, 7 * S),
        (7 * S, 17 * S),
    ]
    assert [batch.sample_count for batch in closed] == [7, 10]


def test_a_watched_van_sends_every_second_and_stops_in_time() -> None:
    target = batcher()
    target.add(block_of([(FLOAT, S // 2, 0.0)]))
    target.watch(3 * S)
    closed = target.add(block_of([(FLOAT, k * S + S // 2, 0.0) for k in range(1, 12)]))
    assert [batch.end_mono_ns // S for batch in closed] == [1, 2, 3, 10]


def test_flush_closes_a_window_that_ended_and_nothing_else() -> None:
    target = batcher()
    target.add(block_of([(FLOAT, 8 * S, 1.0)]))
    assert target.flush(10 * S) == []
    (batch,) = target.flush(10 * S + FLUSH_DELAY_NS)
    assert (batch.end_mono_ns, batch.sample_count) == (10 * S, 1)
    assert target.flush(30 * S) == []
    target.add(block_of([(FLOAT, 9 * S, 2.0)]))
    (late,) = target.flush(30 * S)
    assert (late.start_mono_ns, late.end_mono_ns) == (9 * S, 20 * S)
    assert late.columns[0].values.tolist() == [2.0]


def test_fidelity_is_that_of_the_settings() -> None:
    target = batcher(fidelity="full")
    target.add(block_of([(FLOAT, 1, 1.0)]))
    assert target.close()[0].fidelity is Fidelity.FULL


def test_blocks_of_other_sources_leave_the_position_alone() -> None:
    target = batcher()
    target.add(block_of([(FLOAT, 1, 1.0), (FLOAT, 2, 1.0)], position=9))
    (batch,) = target.add(block_of([(INT, 10 * S, 1.0)]))
    assert batch.position == 9
    (batch,) = target.add(
        block_of([(FLOAT, 10 * S, 1.0), (FLOAT, 20 * S, 1.0), (FLOAT, 21 * S, 1.0)], position=12)
    )
    assert batch.position == 10


def test_what_was_shed_is_in_the_next_batch_and_pending_until_then() -> None:
    target = batcher()
    target.add(block_of([(INT, 1, 0.5), (BOOL, 2, 2.0)]))
    assert target.close() == []
    assert target.shed_pending == {"unrepresentable": 2}
    target.add(block_of([(INT, 3, 1.0)]))
    (batch,) = target.close()
    assert batch.shed == {"unrepresentable": 2}
    assert target.shed_pending == {}


def test_the_arrays_of_a_closed_batch_are_its_own() -> None:
    target = batcher()
    target.add(block_of([(FLOAT, 1, 1.0)]))
    (batch,) = target.close()
    target.add(block_of([(FLOAT, 2, 5.0)]))
    assert batch.columns[0].values.tolist() == [1.0]


def test_live_spans_merge() -> None:
    spans = LiveSpans()
    for after, until in [(0, 10), (5, 15), (100, 90), (40, 50), (15, 20)]:
        spans.add(after, until)
    assert spans.first_multiple(0, 7, 0) == 7
    assert spans.first_multiple(18, 7, 0) == 42
    spans.forget(45)
    assert spans.first_multiple(0, 7, 0) == 42
    assert spans.first_multiple(49, 7, 0) is None
