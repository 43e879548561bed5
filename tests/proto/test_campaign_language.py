"""The condition language.

Goal: every mistake has its reason and place; limits hold; what is compiled says what a slow second evaluator says, on
any stream and however it is cut into blocks.
Method: tables of mistakes; conditions and streams made by hypothesis, compared with tests/proto/campaign_reference.py.
"""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.proto.campaign_reference import Reference, Sample
from vantel.campaign.evaluator import TRIGGERS_A_STEP_MAX, Evaluator, Happened
from vantel.campaign.grammar import parse
from vantel.campaign.limits import DEPTH_MAX, NODES_MAX, CampaignError
from vantel.campaign.program import Compiler, compile_conditions
from vantel.catalog import Catalog, Signal, SignalType, assemble

TICK_NS = 10_000_000
START_NS = 1_000_000_000_000
CATALOG = assemble([
    Signal("Van.A"), Signal("Van.B"), Signal("Van.Door", type=SignalType.BOOL), Signal("can0.Wheel Speeds.FL"),
    Signal("Van.Note", type=SignalType.STRING), Signal("Vehicle.Robovan.Drive.Mode"),
])  # fmt: skip
ROW = {signal.name: at for at, signal in enumerate(CATALOG.signals)}


def compiled(condition: str, catalog: Catalog = CATALOG) -> Evaluator:
    program = compile_conditions([condition], catalog, TICK_NS)
    return Evaluator(program, len(catalog), [0.0], [0.0])


def refusal_of(compiler: Compiler, condition: str) -> CampaignError | None:
    try:
        compiler.add(condition)
    except CampaignError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("condition", "reason", "position"),
    [
        ("Van.A >", "syntax", 7),
        ("Van.A > 1 2", "syntax", 10),
        ("Van.A = 1", "syntax", 6),
        ("Van.A > 1 and", "syntax", 13),
        ("(Van.A > 1", "syntax", 10),
        ("Van.A > 1 § 2", "syntax", 10),
        ('"never closed > 1', "syntax", 0),
        ("1 < Van.A < 2", "syntax", 10),
        ("Van.A > 1e999", "syntax", 8),
        ("Van.A > 5 s", "syntax", 8),
        ("max(Van.A, 5) > 1", "syntax", 11),
        ("max(Van.A 5 s) > 1", "syntax", 10),
        ("max(Van.A, 400 s) > 1", "window", 11),
        ("max(Van.A, 0 s) > 1", "window", 11),
        ("median(Van.A, 1 s) > 1", "syntax", 0),
        ("__import__('os')", "syntax", 0),
        ("mode(1)", "syntax", 5),
        ("event('rate', 3)", "syntax", 14),
        ("Van.C > 1", "unknown_signal", 0),
        ("Van.A > 1 or missing(Van.C, 1 s)", "unknown_signal", 21),
        ("Van.A", "type", 0),
        ("Van.A and Van.Door", "type", 0),
        ("Van.Door > 1", "type", 9),
        ("Van.Door < true", "type", 9),
        ("held(Van.A, 1 s)", "type", 5),
        ("missing(Van.A > 1, 1 s)", "type", 14),
        ("Van.Note == 'x'", "type", 0),
        ("Vehicle.Robovan.Drive.Mode == 'FLYING'", "type", 30),
        ("Vehicle.Robovan.Drive.Mode > 3", "type", 0),
        ("mode('FLYING')", "type", 0),
        ("'PARKED'", "type", 0),
        ("(" * (DEPTH_MAX + 1) + "true" + ")" * (DEPTH_MAX + 1), "too_deep", DEPTH_MAX),
        ("not " * 5000 + "true", "too_many", 4096),
        ("not " * 1000 + "true", "too_deep", 4 * DEPTH_MAX),
        ("-" * 50 + "1 > 1", "too_deep", DEPTH_MAX),
        (" + ".join(["1"] * (NODES_MAX // 2 + 2)) + " > 1", "too_many", None),
    ],
)
def test_a_mistake_has_its_reason_and_its_place(condition: str, reason: str, position: int | None) -> None:
    with pytest.raises(CampaignError) as caught:
        compiled(condition)
    assert caught.value.reason == reason, caught.value
    assert position is None or caught.value.position == position, caught.value


def test_windows_of_all_conditions_share_one_bound_and_a_bad_condition_leaves_the_others() -> None:
    compiler = Compiler(CATALOG, TICK_NS)
    compiler.add("Van.A > 1")
    refusals = [refusal_of(compiler, f"max(Van.A, {seconds} s) > 1") for seconds in range(200, 300)]
    assert {error.reason for error in refusals if error is not None} == {"window"}
    before = compiler.program().window_bytes
    assert before <= 16 << 20
    compiler.add("Van.B > 1")
    assert compiler.program().window_bytes == before


def test_equal_parts_are_computed_once() -> None:
    one = compile_conditions(["max(Van.A, 1 s) > 2"], CATALOG, TICK_NS)
    many = compile_conditions([f"max(Van.A, 1 s) > 2 and Van.B > {n}" for n in range(3)], CATALOG, TICK_NS)
    assert many.window_bytes == one.window_bytes


names = st.sampled_from(["Van.A", "Van.B", '"can0.Wheel Speeds.FL"'])
times = st.sampled_from(["20 ms", "50 ms", "300 ms", "1 s"])


def numbers(depth: int) -> st.SearchStrategy[str]:
    leaf = st.one_of(names, st.integers(-3, 3).map(lambda n: f"({n})"))
    if not depth:
        return leaf
    inner = numbers(depth - 1)
    return st.one_of(
        leaf,
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(st.sampled_from(["min", "max", "mean", "rate"]), inner, times).map(
            lambda t: f"{t[0]}({t[1]}, {t[2]})"
        ),
        inner.map(lambda x: f"abs({x})"),
        inner.map(lambda x: f"-{x}"),
    )


def truths(depth: int) -> st.SearchStrategy[str]:
    value = numbers(max(0, depth - 1))
    leaf = st.one_of(
        st.tuples(value, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), value).map(" ".join),
        st.tuples(names, times).map(lambda t: f"missing({t[0]}, {t[1]})"),
        value.map(lambda x: f"changed({x})"),
        st.just("Van.Door"),
    ).map(lambda text: f"({text})")
    if depth <= 1:
        return leaf
    inner = truths(depth - 1)
    return st.one_of(
        leaf,
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda x: f"(not {x})"),
        st.tuples(inner, times).map(lambda t: f"held({t[0]}, {t[1]})"),
        st.tuples(st.sampled_from(["rising", "falling"]), inner).map(lambda t: f"{t[0]}({t[1]})"),
    )


def stream(seed: int) -> list[Sample]:
    """Samples in order of time, with bursts, pauses, NaN and a signal that starts late."""
    rng = random.Random(seed)
    t, samples = START_NS + rng.randrange(TICK_NS), []
    for _ in range(rng.randrange(20, 90)):
        t += rng.choice([0, 1_000_000, 5_000_000, TICK_NS, 3 * TICK_NS, rng.randrange(1, 40 * TICK_NS)])
        name = rng.choice(["Van.A", "Van.A", "Van.B", "Van.Door", "can0.Wheel Speeds.FL"])
        value = (
            float(rng.randrange(2))
            if name == "Van.Door"
            else float(rng.choice([-2, -1, 0, 1, 2, 0.5, math.nan]))
        )
        samples.append((name, t, value))
    return samples


def run_through(evaluator: Evaluator, samples: list[Sample], cuts: list[int]) -> list[tuple[int, float]]:
    """Triggers of a stream that is cut into blocks at some places."""
    triggers = []
    for first, last in zip([0, *cuts], [*cuts, len(samples)], strict=True):
        part = samples[first:last]
        slot = np.array([ROW[name] for name, _, _ in part], np.int32)
        stamps = np.array([t for _, t, _ in part], np.int64)
        values = np.array([v for _, _, v in part], np.float64)
        triggers += evaluator.step(slot, stamps, values)
    return [(trigger.condition, trigger.t_mono_ns) for trigger in triggers]


@settings(max_examples=300, deadline=None)
@given(condition=truths(4), seed=st.integers(0, 10_000), data=st.data())
def test_the_compiled_condition_says_what_the_slow_one_says(
    condition: str, seed: int, data: st.DataObject
) -> None:
    samples = stream(seed)
    reference = Reference(samples, TICK_NS)
    tree = parse(condition)
    wanted, before = [], math.nan
    for at, tick in enumerate(reference.ticks):
        truth = reference.value(tree, at)
        if truth == 1.0 and before == 0.0:
            wanted.append((0, (tick + 1) * TICK_NS))
        before = before if math.isnan(truth) else truth
    cuts = sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=6)))
    assert run_through(compiled(condition), samples, cuts) == wanted


def test_unknown_is_neither_true_nor_false() -> None:
    evaluator = compiled("not (Van.B > 1)")
    run_through(evaluator, [("Van.A", START_NS + at * TICK_NS, 1.0) for at in range(5)], [])
    assert math.isnan(evaluator.values()[0])


def test_a_rate_goes_by_the_last_finite_sample_of_a_tick() -> None:
    evaluator = compiled("rate(Van.A, 1 s) == 4")
    quarter = TICK_NS // 4
    run_through(
        evaluator,
        [
            ("Van.A", START_NS, 0.0),
            ("Van.A", START_NS + 25 * TICK_NS + quarter, math.nan),
            ("Van.A", START_NS + 50 * TICK_NS, 2.0),
            ("Van.A", START_NS + 50 * TICK_NS + quarter, math.nan),
            ("Van.B", START_NS + 51 * TICK_NS, 0.0),
        ],
        [],
    )
    assert evaluator.values().tolist() == [1.0]


def test_an_event_of_the_detector_is_true_for_its_tick() -> None:
    program = compile_conditions(["event()", "event('rate')", "event('rate', Van.B)"], CATALOG, TICK_NS)
    evaluator = Evaluator(program, len(CATALOG), [0.0] * 3, [0.0] * 3)
    stamps = START_NS + np.arange(100, dtype=np.int64) * TICK_NS
    slot = np.zeros(100, np.int32)
    events = [
        Happened("rate", CATALOG.by_name("Van.A").id, int(stamps[50])),
        Happened("range", 1, int(stamps[70])),
    ]
    found = evaluator.step(slot, stamps, np.zeros(100), events)
    assert [(k, (t - START_NS) // TICK_NS) for k, t in found] == [(0, 51), (1, 51), (0, 71)]


def test_repeat_and_quiet_count_from_the_last_trigger() -> None:
    program = compile_conditions(["", "Van.A > 0"], CATALOG, TICK_NS)
    evaluator = Evaluator(program, len(CATALOG), [1.0, 0.0], [0.0, 2.0])
    stamps = START_NS + np.arange(500, dtype=np.int64) * TICK_NS
    value = (np.arange(500) // 30 % 2).astype(np.float64)
    found = evaluator.step(np.full(500, ROW["Van.A"], np.int32), stamps, value)
    at = {k: [(t - START_NS) // TICK_NS for c, t in found if c == k] for k in (0, 1)}
    assert at[0] == [1, 101, 201, 301, 401]
    assert at[1] == [31, 271, 511] or at[1] == [31, 271]


def test_triggers_that_find_no_room_are_counted() -> None:
    evaluator = compiled("Van.A > 0")
    ticks = 2 * (TRIGGERS_A_STEP_MAX + 900)
    stamps = START_NS + np.arange(ticks, dtype=np.int64) * TICK_NS
    found = evaluator.step(np.full(ticks, ROW["Van.A"], np.int32), stamps, np.arange(ticks) % 2.0)
    assert len(found) == TRIGGERS_A_STEP_MAX
    assert 898 <= evaluator.triggers_dropped <= 900  # the last tick waits for its end


def test_a_long_pause_costs_little_and_ends_every_window() -> None:
    evaluator = compiled("max(Van.A, 300 s) > 0 or missing(Van.A, 5 s)")
    run_through(
        evaluator,
        [
            ("Van.A", START_NS, 1.0),
            ("Van.A", START_NS + 10**18, 0.0),
            ("Van.A", START_NS + 10**18 + TICK_NS, 0.0),
        ],
        [],
    )
    assert evaluator.values().tolist() == [0.0]


def test_ten_thousand_random_texts_are_refused_with_a_place() -> None:
    rng = random.Random(10)
    pieces = ["Van.A", "Van.B", "Van.Door", ">", "<", "==", "and", "or", "not", "(", ")", ",", "1", "2 s", "'x'", "max(",
              "held(", "missing(", "event()", "§", "\x00", '"', "'", "  ", "1e5", "-", "*", "/", "Van.C", "mode("]  # fmt: skip
    refused = 0
    for _ in range(10_000):
        text = " ".join(rng.choice(pieces) for _ in range(rng.randrange(1, 30)))
        error = refusal_of(Compiler(CATALOG, TICK_NS), text)
        if error is not None:
            refused += 1
            assert 0 <= error.position <= len(text)
    assert refused > 9_000
