"""How long to wait before the next try: full jitter, exponential, capped. Pure: time and randomness come in.

From the number of failures in a row to seconds. Full jitter (uniform between 0 and the ceiling) spreads a fleet that
lost its broker at one instant over the whole ceiling; a fixed or merely doubled delay brings all vans back together.
A connection counts as a success only after it has lasted stable_after_s: a broker that accepts and drops at once is
not dialled in a tight loop. Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from random import Random

DOUBLINGS_MAX = 32
"""2**32 times the smallest useful delay is above any cap; keeps the float finite."""


def ceiling_s(failures: int, first_s: float, cap_s: float) -> float:
    """Longest delay after so many failures in a row (1 or more): first_s, doubled each time, at most cap_s."""
    return float(min(cap_s, first_s * 2.0 ** min(max(failures - 1, 0), DOUBLINGS_MAX)))


def full_jitter_s(failures: int, first_s: float, cap_s: float, rng: Random) -> float:
    """A delay drawn evenly between 0 and the ceiling."""
    return rng.uniform(0.0, ceiling_s(failures, first_s, cap_s))


class Backoff:
    """Delays between attempts to connect. Owned by one thread."""

    def __init__(self, first_s: float, cap_s: float, stable_after_s: float, rng: Random) -> None:
        self._first_s, self._cap_s, self._stable_after_s = first_s, cap_s, stable_after_s
        self._rng = rng
        self._failures = 0
        self._up_since_s: float | None = None

    @property
    def failures(self) -> int:
        """Failures in a row, short-lived connections included."""
        return self._failures

    def connected(self, now_s: float) -> None:
        """A connection stands."""
        self._up_since_s = now_s

    def failed(self, now_s: float) -> float:
        """An attempt failed or the connection was lost: seconds to wait before the next attempt."""
        if self._up_since_s is not None and now_s - self._up_since_s >= self._stable_after_s:
            self._failures = 0
        self._up_since_s = None
        self._failures += 1
        return full_jitter_s(self._failures, self._first_s, self._cap_s, self._rng)
