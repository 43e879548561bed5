"""Goal: in the library samples that go missing are odd, a share of NaN that was always there is not.

Method: made-up series with NaN in a row, at random, and at every sample but each tenth.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.detector import make_group, make_stream


def noise(seed: int, n: int = 8000) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, 1, n)


def evidence(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores -> -log10 p."""
    return score / (1.0 - score)


def scored(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return evidence(make_stream().update_many(np.arange(float(len(x))), x))


def test_samples_that_go_missing_are_odder_from_one_to_the_next() -> None:
    x = noise(7)
    x[3000:3010] = math.nan
    found = scored(x)
    assert found[3000] > 2.0
    assert found[3001] > 5.0
    assert (np.diff(found[3000:3010]) > 0.5).all()
    assert found[3012:3200].max() < 3.5, "what came back is judged by its values again"


@pytest.mark.parametrize("seed", range(3))
def test_a_share_that_was_always_missing_is_ordinary(seed: int) -> None:
    x = noise(seed)
    x[np.random.default_rng(seed + 20).random(len(x)) < 0.05] = math.nan
    assert scored(x)[np.isnan(x)].max() < 6.0


def test_a_signal_of_a_group_that_is_sampled_at_fewer_ticks_is_ordinary_and_its_loss_is_not() -> None:
    values = np.column_stack([noise(1), noise(2)])
    values[np.arange(len(values)) % 3 != 0, 1] = math.nan
    values[5000:5060, 1] = math.nan
    found = evidence(make_group(2, peers=[]).update_many(np.arange(8000.0), values))
    rest = np.isnan(values[:, 1])
    rest[5000:5300] = False
    assert found[rest, 1].max() < 2.0
    assert found[5000:5060, 1].max() > 4.0


def test_a_signal_that_never_came_is_not_missing() -> None:
    assert not scored(np.full(1000, math.nan)).any()
