"""The simulated world: one virtual time, one queue of what happens next, named random streams, a trace.

Nothing here knows what a van or a broker is. at() puts a call into the queue, run() takes calls out in order of time
and of entry. Every random number comes from a stream named after its purpose, so that a new fault in one place does
not change the others. The trace is hashed as it grows: two runs of one seed must end in the same digest. Monotonic
time in ns; the world begins at START_NS. No wall clock, no thread, no hash order.
"""

from __future__ import annotations

import hashlib
import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from typing import Any

START_NS = 1_000_000_000_000
EPOCH_UNIX_NS = 1_790_000_000_000_000_000
"""True UTC at START_NS."""
S = 1_000_000_000
TRACE_LINES_MAX = 400
EVENTS_MAX = 50_000_000


class Killed(BaseException):
    """A process was killed at this very step. A BaseException: no code of the product may catch it."""


class World:
    """Time, order, chance and memory of one run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now_ns = START_NS
        self.events = 0
        self.trace: deque[str] = deque(maxlen=TRACE_LINES_MAX)
        self.counts: dict[str, int] = {}
        self._hash = hashlib.blake2b(digest_size=8)
        self._queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._entered = 0

    def stream(self, name: str) -> random.Random:
        """A random stream of its own; equal for equal seed and name."""
        return random.Random(f"{self.seed}/{name}")

    def at(self, delay_s: float, call: Callable[..., None], *args: Any) -> None:
        """Call in delay_s seconds."""
        self._entered += 1
        delay_ns = (
            math.ceil(delay_s * S) if delay_s > 0 else 0
        )  # rounded up: who waits for a time must find it past
        heapq.heappush(self._queue, (self.now_ns + delay_ns, self._entered, call, args))

    def run(self, until_s: float, done: Callable[[], bool] | None = None) -> None:
        """Let things happen until until_s seconds after the start, or until done(), which is asked after each step of 1 s."""
        end_ns = START_NS + round(until_s * S)
        ask_ns = self.now_ns
        while self._queue and self._queue[0][0] <= end_ns:
            when_ns, _, call, args = heapq.heappop(self._queue)
            self.now_ns = when_ns
            self.events += 1
            call(*args)
            if done is not None and self.now_ns >= ask_ns:
                ask_ns = self.now_ns + S
                if done():
                    return
            assert self.events < EVENTS_MAX, "the simulation does not come to rest"
        self.now_ns = end_ns

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return (self.now_ns - START_NS) / S

    def note(self, who: str, what: str) -> None:
        """A line of the trace."""
        line = f"{self.now_s:12.6f} {who} {what}"
        self.trace.append(line)
        self._hash.update(line.encode())

    def count(self, what: str, by: int = 1) -> None:
        """Count a fault or a thing that happened, for the report."""
        self.counts[what] = self.counts.get(what, 0) + by

    @property
    def digest(self) -> str:
        """Of the whole trace so far."""
        return self._hash.hexdigest()
