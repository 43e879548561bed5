"""Goal: processes that are killed again and again, each time at another point, and counts of how they died.

Method: a hunter owns one process. It starts it with a kill point drawn from its seed, or with none. The time for a
point begins when the program works, however long its start took; one that is not reached by then, or none, is a kill at
a random instant of its work. Some are killed on purpose before they work. A hunt ends at its goal or when told to; then
the process runs on without a kill point.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from vantel_rig.process import Process

from .killpoints import PASSAGES_MAX, PASSAGES_MAX_OTHERS, POINTS, VARIABLE

SCRIPT = Path(__file__).with_name("killpoints.py")
RANDOM_SHARE, STARTING_SHARE = 0.15, 0.05
"""Shares of the lives without a point: killed at work, and killed before."""
STARTING_S_MAX = 3.0
LEFT_MAX = 5
"""A program may leave with an error where a server dies under its start: it is started again, as systemd would, so often."""
POINT_S_MAX = 20.0
"""A point that the working program did not pass for so long is replaced by a kill right then."""


class Launch(Protocol):
    """Starts the program with this environment on top and returns its process."""

    def __call__(self, env: dict[str, str], /) -> Process: ...


@dataclass
class Hunter:
    """Kills one program. settle: waits until a started one works (True) or ended, so that kills hit its work."""

    kind: str
    launch: Launch
    settle: Callable[[Process], bool]
    seed: int
    alive_s_max: float = 4.0
    deaths: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._stop = threading.Event()
        self._process: Process | None = None
        self._thread: threading.Thread | None = None
        self.ended_by_itself = False
        self.left = 0

    @property
    def kills(self) -> int:
        """SIGKILLs so far."""
        return sum(self.deaths.values())

    def start(self, goal: Callable[[], bool]) -> None:
        """Hunt in a thread until goal() is true; then leave the process running."""
        self._thread = threading.Thread(
            target=self._hunt, args=(goal,), name=f"hunt-{self.kind}", daemon=True
        )
        self._thread.start()

    def call_off(self, timeout_s: float = 90.0) -> None:
        """No more kills; returns when the process runs undisturbed."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    @property
    def process(self) -> Process:
        """The present process."""
        assert self._process is not None
        return self._process

    def _hunt(self, goal: Callable[[], bool]) -> None:
        try:
            while not self._stop.is_set() and not goal():
                if not self._one_life():
                    return
            self._process = self.launch({})
        except Exception as cause:  # told by the command, which has the logs
            self.failures.append(f"{self.kind}: {type(cause).__name__}: {cause}")

    def _one_life(self) -> bool:
        """Start, wait for the kill; False when the program ended by itself, all done."""
        cause, point = self._draw()
        self._process = process = self.launch({VARIABLE: point} if point else {})
        if cause == "starting":
            process.wait(self._rng.uniform(0.0, STARTING_S_MAX))
        elif self.settle(process):
            process.wait(POINT_S_MAX if point else self._rng.uniform(0.0, self.alive_s_max))
        returncode = process.returncode
        if returncode is None:
            process.kill()
            self.deaths["starting" if cause == "starting" else "random"] += 1
        elif returncode == -9:
            self.deaths[cause] += 1
        elif returncode == 0:
            self.ended_by_itself = True
            return False
        else:
            self.left += 1
            if self.left > LEFT_MAX:
                self.failures.append(f"{self.kind} ended with status {returncode}:\n{process.log_tail(15)}")
                return False
        time.sleep(self._rng.uniform(0.0, 0.3))
        return True

    def _draw(self) -> tuple[str, str]:
        """Name of the death, and its point with moment and passage; "" for a death without a point."""
        share = self._rng.random()
        if share < RANDOM_SHARE + STARTING_SHARE:
            return ("random" if share < RANDOM_SHARE else "starting"), ""
        point = self._rng.choice(sorted(POINTS[self.kind]))
        moment = self._rng.choice(("before", "after"))
        passage = self._rng.randint(1, PASSAGES_MAX.get(point, PASSAGES_MAX_OTHERS))
        return f"{point}:{moment}", f"{point}:{moment}:{passage}"
