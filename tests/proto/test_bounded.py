"""Bounded error: values never further off than asked, NaN stays NaN, and lines that every sample is near."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from vantel import codec
from vantel.columns import Column

BOUNDS = st.floats(1e-12, 1e12)
RNG = np.random.default_rng(11)


@settings(max_examples=300, deadline=None)
@given(npst.arrays(np.float64, st.integers(0, 60), elements=st.floats(width=64)), BOUNDS)
def test_no_value_comes_back_further_off_than_its_bound(values: np.ndarray, bound: float) -> None:
    decoded = codec.decode_values(codec.encode_values(values, error_max=bound))
    finite = np.isfinite(values)
    assert decoded.dtype == values.dtype
    assert (np.abs(decoded[finite] - values[finite]) <= bound).all()
    assert np.array_equal(decoded[~finite], values[~finite], equal_nan=True)


@settings(max_examples=200, deadline=None)
@given(npst.arrays(np.float32, st.integers(0, 60), elements=st.floats(width=32)), BOUNDS)
def test_float32_keeps_its_type_and_its_bound(values: np.ndarray, bound: float) -> None:
    decoded = codec.decode_values(codec.encode_values(values, error_max=bound))
    finite = np.isfinite(values)
    assert decoded.dtype == np.float32
    assert (np.abs(decoded[finite].astype(float) - values[finite].astype(float)) <= bound).all()
    assert np.array_equal(decoded[~finite], values[~finite], equal_nan=True)


def test_a_bound_makes_noise_small_and_never_makes_anything_larger() -> None:
    noise = np.cumsum(RNG.normal(size=256))
    exact = len(codec.encode_values(noise))
    assert len(codec.encode_values(noise, error_max=1e-2)) < exact / 4
    # steps of their own that a bound would only break
    tidy = np.repeat(RNG.integers(0, 4, 64), 4) * 0.5
    assert len(codec.encode_values(tidy, error_max=0.013)) <= len(codec.encode_values(tidy))


def test_each_signal_of_a_message_has_its_own_bound() -> None:
    t = np.arange(100) * 10_000_000
    values = [RNG.normal(size=100) for _ in range(2)] + [np.arange(100)]
    columns = [Column(k, t, v) for k, v in enumerate(values)]
    exact, near, whole = codec.decode(codec.encode(columns, error_max={1: 0.01, 2: 5.0}))
    assert exact.values.tobytes() == values[0].tobytes()
    assert 0 < np.abs(near.values - values[1]).max() <= 0.01
    assert np.array_equal(whole.values, values[2])


@pytest.mark.parametrize("bound", [-1.0, float("nan"), float("inf")])
def test_a_bound_that_is_none_is_refused(bound: float) -> None:
    with pytest.raises(codec.InvalidArgumentError, match="error_max"):
        codec.encode_values(np.zeros(3), error_max=bound)


def between(t: np.ndarray, v: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The lines between the kept samples, at every stamp, reckoned from the nearest kept sample before."""
    places = np.flatnonzero(kept)
    left = places[
        np.clip(np.searchsorted(places, np.arange(len(t)), "right") - 1, 0, max(len(places) - 2, 0))
    ]
    right = places[np.minimum(np.searchsorted(places, left, "right"), len(places) - 1)]
    share = (t - t[left]) / np.maximum(t[right] - t[left], 1)
    return v[left] + share * (v[right] - v[left])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(1, 10**10), min_size=1, max_size=80),
    st.data(),
    st.floats(0.01, 10.0),
)
def test_every_sample_is_near_the_line_between_kept_ones(
    gaps: list[int], data: st.DataObject, bound: float
) -> None:
    t = np.cumsum(np.array(gaps))
    v = data.draw(npst.arrays(np.float64, len(t), elements=st.floats(-100, 100)))
    kept = codec.lines(t, v, bound)
    assert kept[0]
    assert kept[-1]
    assert (np.abs(between(t, v, kept) - v) <= bound).all()


def test_lines_leave_little_of_a_ramp_and_all_of_what_is_not_finite() -> None:
    t = np.arange(1000) * 10**9
    v = np.where(np.arange(1000) < 500, np.arange(1000) * 0.1, 50.0 - np.arange(1000) * 0.02)
    assert codec.lines(t, v + RNG.uniform(-0.04, 0.04, 1000), 0.1).sum() < 20
    v[300] = np.nan
    kept = codec.lines(t, v, 0.1)
    assert kept[299:302].all()
    with pytest.raises(ValueError, match="error_max"):
        codec.lines(t, v, 0.0)
