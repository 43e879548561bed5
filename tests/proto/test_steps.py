"""Floats that are raw values times a step plus an offset: found again from the numbers, or told by the catalog or a plan.

Goal: what a bus or a sensor makes of whole numbers costs what these cost, and comes back to the bit; a plan, right or
wrong, changes no value.
Method: made-up signals in the forms of DBC files and sensors, beside their raw values; hypothesis over scale, offset,
values and plan; the independent decoder of reference.py.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vantel import codec
from vantel.codec import Plan
from vantel.columns import Column

RNG = np.random.default_rng(12)
RAW = np.rint(2000 + np.cumsum(RNG.normal(size=400)) * 8)
NARROW = np.float32
FORMS = {
    "1/128": RAW / 128,
    "1/256 as printed": RAW * 0.00390625,
    "binary, far offset": RAW * 0.0078125 - 4000,
    "a third": RAW * 0.333333,
    "steering angle": RAW * 0.1 - 195,
    "yaw rate": RAW * 0.005 - 163.84,
    "offset with a place more": RAW * 0.00024414 - 0.51,
    "degrees": (RAW + 480_000_000) * 1e-7,
    "accelerometer": RAW * (9.80665 / 2048),
    "three roundings": (RAW - 2000) / 16.4 * np.pi / 180,
    "bias taken away": RAW / 131 - 15.33714532,
    "converter": RAW * (3.3 / 4095),
    "float32 accelerometer": RAW.astype(NARROW) * NARROW(9.80665 / 16384),
    "float32, two roundings": RAW.astype(NARROW) / NARROW(131) * NARROW(np.pi / 180),
    "float32 kept in float64": (RAW.astype(NARROW) * NARROW(9.80665 / 2048)).astype(np.float64),
    "gaps": np.where(RNG.random(400) < 0.02, np.nan, np.radians(RAW / 100)),
}
MORE_BITS = {"three roundings": 3, "bias taken away": 8, "float32, two roundings": 3, "gaps": 4}
"""A value more than its raw value costs, where last places are off or values are not finite."""


def stamped(values: np.ndarray) -> list[Column]:
    return [Column(7, np.arange(len(values)) * 10_000_000, values)]


@pytest.mark.parametrize("name", FORMS)
def test_what_is_made_of_whole_numbers_costs_what_they_cost(
    name: str, as_plain: Callable[..., object], reference: ModuleType
) -> None:
    values = FORMS[name]
    data = codec.encode_values(values)
    assert codec.decode_values(data).tobytes() == values.tobytes()
    raw = codec.encode_values(RAW.astype(np.int64))
    assert 8 * len(data) < 8 * len(raw) + 200 + MORE_BITS.get(name, 0) * len(values)
    columns = stamped(values)
    (column,) = reference.decode(codec.encode(columns))
    assert [column[3]] == [row[3] for row in as_plain(columns)]  # type: ignore[index, attr-defined]


def test_zeros_of_both_signs_cost_little() -> None:
    values = np.where(RNG.random(400) < 0.1, -0.0, np.round(RNG.normal(size=400)))
    data = codec.encode_values(values)
    assert codec.decode_values(data).tobytes() == values.tobytes()
    assert 8 * len(data) < 4 * len(values)


def test_large_residuals_of_full_mantissas_cost_what_is_new_in_them() -> None:
    walk = np.cumsum(np.rint(RNG.normal(size=400) * 2.0**50).astype(np.int64))
    data = codec.encode_values(walk)
    assert codec.decode_values(data).tobytes() == walk.tobytes()
    assert 8 * len(data) < 54 * len(walk), "52.05 bits are new in each"


def test_a_counter_pays_for_no_sign() -> None:
    counter = np.cumsum(RNG.integers(0, 1024, 400))
    data = codec.encode_values(counter)
    assert codec.decode_values(data).tobytes() == counter.tobytes()
    assert 8 * len(data) < 10.7 * len(counter), "10 bits are new in each"


ODD = RAW * 0.0271267 - 21.593


def test_the_catalog_tells_an_offset_that_nobody_guesses(as_plain: Callable[..., object]) -> None:
    plan = Plan.of_scales({7: (0.0271267, -21.593)})
    columns = stamped(ODD)
    alone, told = codec.encode(columns), codec.encode(columns, plan=plan)
    assert as_plain(codec.decode(told)) == as_plain(columns)
    assert len(told) < 0.85 * len(alone)


def test_a_plan_of_the_last_call_serves_the_next() -> None:
    first, plan = codec.encode_values_with_plan(ODD[:200], plan=Plan.of_scales({0: (0.0271267, -21.593)}))
    again, same = codec.encode_values_with_plan(ODD[200:], plan=plan)
    assert same is plan, "nothing new was found"
    assert len(again) < 0.85 * len(codec.encode_values(ODD[200:]))
    assert codec.decode_values(first).tobytes() == ODD[:200].tobytes()
    assert codec.decode_values(again).tobytes() == ODD[200:].tobytes()


@pytest.mark.parametrize("name", FORMS)
def test_a_foreign_plan_makes_nothing_worse(name: str) -> None:
    foreign = Plan.of_scales({0: (0.017, -3.1), 7: (1e300, 1e-300)})
    _, older = codec.encode_values_with_plan(FORMS["yaw rate"])
    alone = codec.encode_values(FORMS[name])
    for plan in (foreign, older, Plan()):
        data, new = codec.encode_values_with_plan(FORMS[name], plan=plan)
        assert len(data) <= len(alone)
        assert codec.encode_values(FORMS[name], plan=new) == codec.encode_values(FORMS[name], plan=new)
        assert codec.decode_values(data).tobytes() == FORMS[name].tobytes()


@settings(max_examples=200, deadline=None)
@given(
    st.floats(1e-9, 1e4), st.floats(-1e6, 1e6), st.integers(0, 2**32 - 1), st.integers(1, 60), st.booleans()
)
def test_any_scale_and_offset_come_back(scale: float, offset: float, seed: int, n: int, narrow: bool) -> None:
    rng = np.random.default_rng(seed)
    raw = np.cumsum(rng.integers(-9, 10, n)) * 1.0
    values = (raw * scale + offset).astype(np.float32 if narrow else np.float64)
    values[rng.random(n) < 0.05] = np.nan
    for plan in (Plan(), Plan.of_scales({0: (scale, offset)}), Plan.of_scales({0: (-scale, -offset)})):
        data = codec.encode_values(values, plan=plan)
        assert codec.decode_values(data).tobytes() == values.tobytes()


def test_what_is_no_plan_is_refused() -> None:
    with pytest.raises(codec.InvalidArgumentError, match="plan"):
        codec.encode([], plan={})  # type: ignore[arg-type]
    for scale, offset in ((0.0, 1.0), (np.nan, 0.0), (1.0, np.inf)):
        with pytest.raises(codec.InvalidArgumentError, match="scale"):
            Plan.of_scales({1: (scale, offset)})
