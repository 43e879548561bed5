"""The sampler.

Goal: each rule keeps exactly the samples it names, a signal is never silent for longer than it says, the state can be
rebuilt from any keyframe on, and how samples are cut into blocks changes nothing.
Method: small streams by hand; random streams against a plain reading of the rules, sample by sample, in Python.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.model import SampleBlock, TextTable
from edge.pipeline import Pipeline
from edge.sampler import THINNED, Sampler
from edge.settings import EdgeSettings, SamplerSection
from vantel import codec
from vantel.catalog import Catalog, Signal, assemble
from vantel.identity import PayloadKind
from vantel.payloads import Batch

S = 1_000_000_000
CATALOG: Catalog = assemble([Signal("a.x"), Signal("a.y"), Signal("b.z")])


def sampler(*rules: dict[str, Any], keyframe_s: float = 0.0, offset_ns: int = 0) -> Sampler:
    return Sampler(CATALOG, SamplerSection(keyframe_s=keyframe_s, rules=list(rules)), offset_ns)  # type: ignore[arg-type]


def block(*samples: tuple[int, float, float]) -> SampleBlock:
    slots, times, values = zip(*samples, strict=True)
    return SampleBlock(
        np.array(slots, np.int32), (np.array(times) * S).astype(np.int64), np.array(values, np.float64)
    )


def kept(one: Sampler, *samples: tuple[int, float, float]) -> list[float]:
    """Times of the kept samples."""
    out = one.apply(block(*samples))
    return (out.t_mono_ns[out.slot != THINNED] / S).tolist()


def test_without_rules_nothing_is_touched() -> None:
    given_block = block((0, 0, 1.0), (1, 0, 1.0))
    assert sampler().apply(given_block) is given_block
    other = sampler({"signals": ["nothing.*"], "period_s_min": 9})
    assert other.apply(given_block) is given_block


def test_least_period() -> None:
    one = sampler({"signals": ["a.*"], "period_s_min": 1.0})
    assert kept(one, (0, 0.0, 1.0), (0, 0.9, 2.0), (0, 1.0, 3.0), (0, 1.5, 4.0), (2, 1.6, 5.0), (2, 1.7, 5.0)) == [
        0.0, 1.0, 1.6, 1.7,
    ]  # fmt: skip
    assert one.samples_thinned == 2


def test_deadband_compares_with_the_last_kept_value_so_that_a_drift_is_not_missed() -> None:
    one = sampler({"signals": ["a.x"], "deadband": 1.0, "silence_s_max": 100.0})
    drift = [(0, float(n), 0.4 * n) for n in range(10)]
    assert kept(one, *drift) == [0.0, 3.0, 6.0, 9.0]


def test_on_change_and_what_is_not_a_number() -> None:
    one = sampler({"signals": ["a.x"], "deadband": 0.0, "silence_s_max": 100.0})
    values = [1.0, 1.0, math.nan, math.nan, 1.0, 1.0, math.inf, math.inf, -math.inf]
    assert kept(one, *[(0, float(n), v) for n, v in enumerate(values)]) == [0.0, 2.0, 4.0, 6.0, 8.0]


def test_a_change_within_the_least_period_is_sent_after_it() -> None:
    one = sampler({"signals": ["a.x"], "deadband": 0.0, "period_s_min": 1.0, "silence_s_max": 100.0})
    assert kept(one, (0, 0.0, 0.0), (0, 0.5, 1.0), (0, 0.9, 1.0), (0, 1.1, 1.0), (0, 2.2, 1.0)) == [0.0, 1.1]


def test_most_silence() -> None:
    one = sampler({"signals": ["a.x"], "deadband": 5.0, "silence_s_max": 2.0})
    assert kept(one, *[(0, n / 2, 1.0) for n in range(11)]) == [0.0, 2.0, 4.0]


def test_keyframes_stand_at_multiples_in_unix_time() -> None:
    one = sampler({"signals": ["*"], "deadband": 5.0}, keyframe_s=10.0, offset_ns=3 * S)
    stream = [(slot, t + 0.1 * slot, 1.0) for t in range(0, 30, 2) for slot in range(3)]
    assert kept(one, *stream) == pytest.approx([0, 0.1, 0.2, 8, 8.1, 8.2, 18, 18.1, 18.2, 28, 28.1, 28.2])


def test_the_first_rule_that_fits_counts() -> None:
    one = sampler({"signals": ["a.y"], "period_s_min": 0.0}, {"signals": ["a.*"], "period_s_min": 5.0})
    assert kept(one, *[(slot, float(n), 1.0) for n in range(3) for slot in (0, 1)]) == [0.0, 0.0, 1.0, 2.0]


def test_who_watches_gets_everything_and_the_rules_go_on_from_there() -> None:
    one = sampler({"signals": ["a.x"], "period_s_min": 10.0})
    one.apply(block((0, 0.0, 1.0)))
    watched = block((0, 1.0, 1.0), (0, 2.0, 1.0))
    assert one.apply(watched, all_kept=True) is watched
    assert kept(one, (0, 11.0, 1.0), (0, 12.0, 1.0)) == [12.0]


def test_a_deadband_that_nothing_ever_refreshes_is_refused() -> None:
    with pytest.raises(ValidationError, match="silence from loss"):
        SamplerSection(keyframe_s=0.0, rules=[{"signals": ["a.x"], "deadband": 1.0}])  # type: ignore[list-item]


rules = st.fixed_dictionaries({
    "period_s_min": st.sampled_from([0.0, 0.5, 2.0]), "deadband": st.sampled_from([None, 0.0, 1.5]),
    "silence_s_max": st.sampled_from([0.0, 3.0]),
})  # fmt: skip
streams = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 40), st.sampled_from([0.0, 1.0, 2.0, 3.0, math.nan])),
    max_size=60,
)


@given(rule=rules, stream=streams, cuts=st.sets(st.integers(0, 60)), keyframe_s=st.sampled_from([5.0, 7.0]))
def test_any_stream_in_any_blocks_is_thinned_as_the_rules_read(
    rule: dict[str, Any], stream: list[tuple[int, int, float]], cuts: set[int], keyframe_s: float
) -> None:
    stream = sorted(stream, key=lambda sample: sample[1])
    one = sampler({"signals": ["a.*"], **rule}, keyframe_s=keyframe_s)
    got: list[int] = []
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for first, last in itertools.pairwise(edges):
        got += one.apply(block(*((s, t / 4, v) for s, t, v in stream[first:last]))).slot.tolist()
    last_kept: dict[int, tuple[float, float]] = {}
    for (slot, quarter, value), out in zip(stream, got, strict=True):
        t = quarter / 4
        if slot == 2:
            assert out == 2
            continue
        then, before = last_kept.get(slot, (-math.inf, 0.0))
        differs = (
            rule["deadband"] is None
            or math.isnan(value) != math.isnan(before)
            or abs(value - before) > rule["deadband"]
        )
        wanted = (
            (differs and t - then >= rule["period_s_min"])
            or (rule["silence_s_max"] > 0 and t - then >= rule["silence_s_max"])
            or then == -math.inf
            or t // keyframe_s != then // keyframe_s
        )
        assert (out == slot) == wanted
        if wanted:
            last_kept[slot] = (t, value)


def test_in_the_pipeline_rings_and_detector_see_all_and_batches_what_is_kept(tmp_path: Path) -> None:
    settings = EdgeSettings.model_validate({
        "van": {"id": "van-1", "state_dir": tmp_path}, "sources": [{"kind": "probe"}],
        "sampler": {"rules": [{"signals": ["a.x"], "period_s_min": 1.0}]},
    })  # fmt: skip
    pipeline = Pipeline(CATALOG, settings, TextTable(), 0, 0)
    for n in range(100):
        pipeline.step(block((0, n / 10, 0.1 * n), (1, n / 10, 5.0)))
    out = [payload for item in pipeline.close() for payload in pipeline.encode(item)]
    (batch,) = [Batch.decode(one.payload) for one in out if one.kind is PayloadKind.BATCH]
    columns = {column.signal_id: column for column in codec.decode(batch.columns)}
    assert len(columns[CATALOG.by_name("a.x").id].t_ns) == 10
    assert len(columns[CATALOG.by_name("a.y").id].t_ns) == 100
    assert pipeline.samples_produced == 110
    assert pipeline.samples_thinned == 90
    assert not batch.shed
    assert len(pipeline.rings.window(0, 0, 100 * S)[0]) == 100
