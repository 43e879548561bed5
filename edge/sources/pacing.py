"""The times at which a live source samples: multiples of its period on the van's clock.

From clock and period to arrays of due times, each handed out once it has come. After a stall of the process at most
DUE_MAX times are made up for; the rest is a gap in the data, as it was in reality.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edge.clock import VanClock

DUE_MAX = 4096
WAKE_NS = 50_000_000


def due_times(clock: VanClock, period_ns: int, stop: threading.Event) -> Iterator[NDArray[np.int64]]:
    """int64[n] of due times, ascending, n >= 1, until stop. Wakes up every period, but not more than 20 times a s."""
    period_ns = max(1, period_ns)
    following = clock.mono_ns()
    while not stop.is_set():
        now = clock.mono_ns()
        count = (now - following) // period_ns + 1 if now >= following else 0
        if count > 0:
            first = following + max(0, count - DUE_MAX) * period_ns
            following += count * period_ns
            yield np.arange(first, following, period_ns, dtype=np.int64)
        wake_ns = following + max(0, WAKE_NS - period_ns)
        delay_s = clock.real_delay_s(wake_ns)
        while delay_s > 0 and not stop.wait(delay_s):
            delay_s = clock.real_delay_s(wake_ns)
