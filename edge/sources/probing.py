"""Probes of a machine, each bounded in time: one that blocks costs its own readings and nobody else's.

All probes run one after another on one thread beside the source's own, in one hand-over. When one takes longer than
seconds_max, it keeps that thread until it comes back, and the rest go on with a new one; until then it is not asked again. So
there are never more threads than probes. A failing probe is counted (probe_<name>_failed), a blocked one too (probe_<name>_blocked).
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import psutil
import structlog

Readings = Mapping[str, float | str]
"""By signal name; NaN for one that exists but has no value yet."""
Probe = Callable[[], Readings]
PROBE_ERRORS = (OSError, ValueError, AttributeError, KeyError, IndexError, TypeError, psutil.Error)
"""What a missing file, a kernel without the counter or a driver that answers nonsense raises."""
_log = structlog.get_logger("probes")


Outcome = Readings | Exception


class _Worker:
    """One thread that runs probes as they are asked for, all that are asked in one go."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[Sequence[Probe] | None] = queue.SimpleQueue()
        self._finished = threading.Event()
        self._lock = threading.Lock()
        self._outcomes: list[Outcome] = []
        self._began_s = 0.0
        self._abandoned = False
        self.thread = threading.Thread(target=self._run, name="probes", daemon=True)
        self.thread.start()

    def ask(self, probes: Sequence[Probe], seconds_max: float) -> list[Outcome]:
        """What each probe says, or raises. Shorter than asked: the next one takes longer than seconds_max, and this worker
        must not be asked again."""
        self._finished.clear()
        self._outcomes, self._began_s = [], time.monotonic()
        self._inbox.put(probes)
        left_s = seconds_max
        while not self._finished.wait(left_s):
            with self._lock:  # the time is that of the probe which runs now
                left_s = self._began_s + seconds_max - time.monotonic()
                if left_s <= 0 and not self._finished.is_set():
                    self._abandoned = True
                    break
                left_s = max(left_s, 0.0)
        return self._outcomes

    def close(self) -> None:
        """End the thread."""
        self._inbox.put(None)

    def _run(self) -> None:
        while (probes := self._inbox.get()) is not None:
            for at, probe in enumerate(probes, start=1):
                outcome: Outcome
                try:
                    outcome = probe()
                except PROBE_ERRORS as cause:
                    outcome = cause
                with self._lock:
                    if self._abandoned:
                        return
                    self._outcomes.append(outcome)
                    self._began_s = time.monotonic()
                    if at == len(probes):
                        self._finished.set()


class ProbeRunner:
    """Probes by name. Owned by one thread."""

    def __init__(self, probes: Mapping[str, Probe], seconds_max: float, counts: Counter[str]) -> None:
        self._probes = dict(probes)
        self._seconds_max = seconds_max
        self._counts = counts
        self._worker: _Worker | None = None
        self._blocked: dict[str, _Worker] = {}

    @property
    def blocked(self) -> list[str]:
        """Names of the probes that have not come back."""
        return [name for name, worker in self._blocked.items() if worker.thread.is_alive()]

    def read(self) -> dict[str, float | str]:
        """Every probe once; a signal given twice keeps its first value."""
        found: dict[str, float | str] = {}
        waiting = [name for name in self._probes if not self._is_blocked(name)]
        while waiting:
            self._worker = self._worker or _Worker()
            outcomes = self._worker.ask([self._probes[name] for name in waiting], self._seconds_max)
            for name, outcome in zip(waiting, outcomes, strict=False):
                if isinstance(outcome, Exception):
                    self._count(name, "failed", str(outcome))
                    continue
                for signal, value in outcome.items():
                    found.setdefault(signal, value)
            if len(outcomes) < len(waiting):
                name = waiting[len(outcomes)]
                self._blocked[name], self._worker = self._worker, None
                self._count(name, "blocked", f"no answer within {self._seconds_max:g} s")
            waiting = waiting[len(outcomes) + 1 :]
        return found

    def close(self) -> None:
        """End the thread that is not blocked."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _is_blocked(self, name: str) -> bool:
        if name not in self._blocked:
            return False
        if self._blocked[name].thread.is_alive():
            self._count(name, "blocked", "it has not come back yet")
            return True
        del self._blocked[name]
        return False

    def _count(self, name: str, reason: str, cause: str) -> None:
        key = f"probe_{name}_{reason}"
        if not self._counts[key]:
            _log.warning("probe without an answer", probe=name, reason=reason, cause=cause)
        self._counts[key] += 1
