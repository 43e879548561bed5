"""Goal: delays spread over the whole ceiling, the ceiling doubles up to its cap, short connections do not reset it.

Method: properties over seeds and failure counts, and one walk through a connection's life with injected time.
"""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from edge.uplink.backoff import Backoff, ceiling_s, full_jitter_s

FAILURES = st.integers(1, 10_000)


@given(FAILURES, st.floats(0.001, 100), st.floats(0.001, 1000), st.integers())
def test_delay_lies_between_zero_and_the_ceiling(failures: int, first: float, cap: float, seed: int) -> None:
    ceiling = ceiling_s(failures, first, cap)
    assert ceiling <= cap
    assert ceiling <= ceiling_s(failures + 1, first, cap)
    assert 0.0 <= full_jitter_s(failures, first, cap, Random(seed)) <= ceiling


def test_ceiling_doubles_to_the_cap() -> None:
    assert [ceiling_s(n, 1.0, 10.0) for n in range(1, 7)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_fleet_spreads_over_the_whole_ceiling() -> None:
    delays = [full_jitter_s(5, 1.0, 120.0, Random(van)) for van in range(4000)]
    tenths = [sum(1 for d in delays if low <= d < low + 1.6) for low in (1.6 * k for k in range(10))]
    assert min(tenths) > 300, "a tenth of the time got far less than a tenth of the vans"


class Longest(Random):
    """Draws the ceiling itself."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


def test_only_a_stable_connection_resets() -> None:
    backoff = Backoff(1.0, 120.0, stable_after_s=30.0, rng=Longest())
    assert [backoff.failed(0.0), backoff.failed(1.0), backoff.failed(3.0)] == [1.0, 2.0, 4.0]
    backoff.connected(10.0)
    assert backoff.failed(39.9) == 8.0, "29.9 s is not stable"
    backoff.connected(50.0)
    assert backoff.failed(80.0) == 1.0
    assert backoff.failed(81.0) == 2.0, "the reset of an old connection must not be used twice"
