"""Goal: injected faults are what the settings say, are marked, depend on stream time alone, and leave all else alone.

Method: a named case for each kind on a plain ramp; properties that blocks do not matter; the rig's file with whole,
half, wrong and endless lines.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.fault_file import LINE_BYTES_MAX, FaultFile
from edge.faults import GONE, MARK_TAIL_NS, FaultError, FaultInjector, normal_of
from edge.model import SampleBlock
from edge.settings import FaultSection
from vantel.catalog import Catalog, Signal, SignalType
from vantel.columns import QUALITY_INJECTED

S = 1_000_000_000
CATALOG = Catalog(
    [Signal("Test.A", 70_000), Signal("Test.B", 70_001), Signal("Test.Count", 70_002, type=SignalType.INT64)]
)
A, B, COUNT = range(3)


def block_of(n: int = 20, slot: int = A, start_ns: int = 0) -> SampleBlock:
    """A ramp 0, 1, 2, ... of one signal, two samples a second."""
    ramp = np.arange(n)
    return SampleBlock(
        np.full(n, slot, np.int32), start_ns + ramp * S // 2, ramp.astype(np.float64), None, position=n
    )


def fault(kind: str, magnitude: float = 10.0, signal: str = "Test.A", **keys: object) -> FaultSection:
    return FaultSection.model_validate({"signal": signal, "kind": kind, "magnitude": magnitude, **keys})


def changes(kind: str, magnitude: float = 10.0, **keys: object) -> dict[int, float]:
    """Index -> value of the samples that the fault altered in a ramp; checks quality on the way."""
    block = block_of()
    out = FaultInjector([fault(kind, magnitude, **keys)], CATALOG).apply(block)
    altered = np.flatnonzero(out.value != block.value).tolist()
    if altered:
        assert out.quality is not None
        assert set(altered) <= set(np.flatnonzero(out.quality == QUALITY_INJECTED).tolist())
    assert out.position == block.position
    assert block.value.tolist() == list(range(20)), "the block given is not written to"
    return {index: float(out.value[index]) for index in altered}


def test_spikes_strike_one_sample_and_repeat() -> None:
    assert changes("spike", at_s=2.0) == {4: 14.0}
    assert changes("spike", at_s=1.0, every_s=3.0) == {2: 12.0, 8: 18.0, 14: 24.0}
    assert changes("spike", at_s=1.1, every_s=3.0) == {3: 13.0, 9: 19.0, 15: 25.0}


def test_bias_drift_and_stuck_last_as_long_as_they_should() -> None:
    assert changes("bias", at_s=2.0, for_s=1.0) == {4: 14.0, 5: 15.0}
    assert changes("drift", 4.0, at_s=2.0, for_s=1.5) == {5: 7.0, 6: 10.0}
    assert changes("stuck", at_s=2.0, for_s=1.5) == {4: 3.0, 5: 3.0, 6: 3.0}
    assert changes("stuck", at_s=0.0, for_s=1.5) == {1: 0.0, 2: 0.0}


def test_noise_is_seeded_by_the_stamp_and_has_the_right_size() -> None:
    first, second = changes("noise", 2.0, at_s=2.0, for_s=3.0), changes("noise", 2.0, at_s=2.0, for_s=3.0)
    assert first == second
    assert sorted(first) == [4, 5, 6, 7, 8, 9]
    sample = normal_of(np.arange(200_000) * 12_345_678 - S, 7)
    assert abs(sample.mean()) < 0.01
    assert abs(sample.std() - 1.0) < 0.01
    assert abs(np.corrcoef(sample[1:], sample[:-1])[0, 1]) < 0.01


def test_dropout_takes_samples_away_but_keeps_their_place() -> None:
    injector = FaultInjector([fault("dropout", at_s=1.0, for_s=1.0)], CATALOG)
    out = injector.apply(block_of(6))
    assert out.slot.tolist() == [0, 0, GONE, GONE, 0, 0]
    assert (len(out), out.position, out.quality) == (6, 6, None)
    assert injector.samples_dropped == 2


def test_whole_numbers_stay_whole() -> None:
    injector = FaultInjector([fault("bias", 0.6, "Test.Count", for_s=9.0)], CATALOG)
    assert injector.apply(block_of(3, COUNT)).value.tolist() == [1.0, 2.0, 3.0]


def test_other_signals_and_quiet_times_are_left_as_they_are() -> None:
    injector = FaultInjector([fault("spike", at_s=100.0)], CATALOG)
    for block in (block_of(), block_of(slot=B), block_of(0)):
        assert injector.apply(block) is block


def test_time_counts_from_the_first_sample_of_the_signal_or_after_adding() -> None:
    injector = FaultInjector([fault("spike", at_s=1.0)], CATALOG)
    out = injector.apply(block_of(4, start_ns=77 * S))
    assert out.value.tolist() == [0.0, 1.0, 12.0, 3.0]
    injector.add(fault("spike", 100.0, at_s=0.5, mark="later"))
    out = injector.apply(block_of(4, start_ns=90 * S))
    assert out.value.tolist() == [0.0, 101.0, 2.0, 3.0]
    assert injector.mark_at(A, 90 * S + S // 2) == "later"


def test_marks_belong_to_a_signal_and_a_time() -> None:
    injector = FaultInjector(
        [fault("bias", at_s=1.0, for_s=1.0, mark="one"), fault("spike", at_s=14.0, mark="two")], CATALOG
    )
    injector.apply(block_of(40))
    assert injector.mark_at(A, S - 1) == ""
    assert injector.mark_at(A, S) == injector.mark_at(A, 2 * S + MARK_TAIL_NS) == "one"
    assert injector.mark_at(A, 2 * S + MARK_TAIL_NS + 1) == ""
    assert injector.mark_at(A, 14 * S) == "two"
    assert injector.mark_at(B, S) == ""


def test_an_unknown_signal_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(FaultError, match=r"Test\.Conut.*Test\.Count"):
        FaultInjector([fault("spike", signal="Test.Conut")], CATALOG)


KINDS = st.sampled_from(["spike", "stuck", "dropout", "bias", "drift", "noise"])


@given(
    st.lists(
        st.tuples(KINDS, st.floats(0, 5), st.sampled_from([0.0, 0.7, 2.0]), st.sampled_from([0.0, 2.5])),
        max_size=3,
    ),
    st.lists(st.integers(0, 40), max_size=4),
)
@settings(max_examples=100, deadline=None)
def test_blocks_do_not_matter(faults: list[tuple[str, float, float, float]], cuts: list[int]) -> None:
    sections = [
        fault(kind, at_s=at, for_s=length, every_s=every, mark=str(number))
        for number, (kind, at, length, every) in enumerate(faults)
    ]
    whole, parts = FaultInjector(sections, CATALOG), FaultInjector(sections, CATALOG)
    block = block_of(40)
    block.slot[::3] = B
    expected = whole.apply(block)
    edges = sorted(cuts)
    pieces = [
        parts.apply(SampleBlock(block.slot[a:b], block.t_mono_ns[a:b], block.value[a:b]))
        for a, b in zip([0, *edges], [*edges, 40], strict=True)
    ]
    assert np.concatenate([piece.slot for piece in pieces]).tolist() == expected.slot.tolist()
    assert np.concatenate([piece.value for piece in pieces]).tolist() == expected.value.tolist()
    quality = [np.zeros(len(p), np.uint8) if p.quality is None else p.quality for p in (*pieces, expected)]
    assert np.concatenate(quality[:-1]).tolist() == quality[-1].tolist()
    for t in range(0, 20 * S, S // 4):
        assert parts.mark_at(A, t) == whole.mark_at(A, t)


# The rig's file


def line_of(section: FaultSection) -> str:
    return json.dumps(section.model_dump()) + "\n"


def test_the_file_is_read_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "faults.jsonl"
    source = FaultFile(path)
    assert source.new() == []
    first, second = fault("spike", mark="1"), fault("bias", mark="2")
    path.write_text(line_of(first) + line_of(second)[:10])
    assert source.new() == [first]
    assert source.new() == []
    with path.open("a") as file:
        file.write(line_of(second)[10:])
    assert source.new() == [second]


def test_a_restarted_reader_does_not_repeat_and_a_new_file_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "faults.jsonl"
    path.write_text(line_of(fault("spike", mark="long")) * 2)
    assert len(FaultFile(path).new()) == 2
    again = FaultFile(path)
    assert again.new() == []
    path.write_text(line_of(fault("bias")))
    assert again.new() == [fault("bias")]


def test_wrong_lines_are_counted_and_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "faults.jsonl"
    good = fault("spike")
    path.write_bytes(
        b"not json\n\xff\xfe\n" + b'{"signal": "x", "kind": "explode"}\n' + b"\n" + b" " * 5000 + b"{}\n"
        + line_of(good).encode()
    )  # fmt: skip
    source = FaultFile(path)
    assert source.new() == [good]
    assert source.lines_bad == 4


def test_a_line_without_end_does_not_block_what_follows(tmp_path: Path) -> None:
    path = tmp_path / "faults.jsonl"
    path.write_bytes(b"x" * (LINE_BYTES_MAX + 1))
    source = FaultFile(path)
    assert source.new() == []
    with path.open("ab") as file:
        file.write(b"\n" + line_of(fault("spike")).encode())
    assert source.new() == [fault("spike")]
