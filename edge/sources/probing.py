"""Probes of a machine, each bounded in time: one that blocks costs its own readings and nobody else's.

All probes run one after another on one thread beside the source's own. When one takes longer than seconds_max, it keeps that
thread until it comes back, and the rest go on with a new one; until then it is not asked again. So there are never more
threads than probes. A failing probe is counted (probe_<name>_failed), a blocked one too (probe_<name>_blocked).
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Mapping

import psutil
import structlog

Readings = Mapping[str, float | str]
"""By signal name; NaN for one that exists but has no value yet."""
Probe = Callable[[], Readings]
PROBE_ERRORS = (OSError, ValueError, AttributeError, KeyError, IndexError, TypeError, psutil.Error)
"""What a missing file, a kernel without the counter or a driver that answers nonsense raises."""
_log = structlog.get_logger("probes")


class _Worker:
    """One thread that runs probes as they are asked for."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[Probe | None] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[Readings | Exception] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._abandoned = False
        self.thread = threading.Thread(target=self._run, name="probes", daemon=True)
        self.thread.start()

    def ask(self, probe: Probe, seconds_max: float) -> Readings | Exception | None:
        """What the probe says, or raises; None when it takes too long: then this worker must not be asked again."""
        self._inbox.put(probe)
        try:
            return self._outbox.get(timeout=seconds_max)
        except queue.Empty:
            pass
        with self._lock:
            if not self._outbox.empty():
                return self._outbox.get()
            self._abandoned = True
        return None

    def close(self) -> None:
        """End the thread."""
        self._inbox.put(None)

    def _run(self) -> None:
        while (probe := self._inbox.get()) is not None:
            outcome: Readings | Exception
            try:
                outcome = probe()
            except PROBE_ERRORS as cause:
                outcome = cause
            with self._lock:
                if self._abandoned:
                    return
                self._outbox.put(outcome)


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
        for name, probe in self._probes.items():
            for signal, value in self._ask(name, probe).items():
                found.setdefault(signal, value)
        return found

    def close(self) -> None:
        """End the thread that is not blocked."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _ask(self, name: str, probe: Probe) -> Readings:
        if name in self._blocked:
            if self._blocked[name].thread.is_alive():
                self._count(name, "blocked", "it has not come back yet")
                return {}
            del self._blocked[name]
        self._worker = self._worker or _Worker()
        outcome = self._worker.ask(probe, self._seconds_max)
        if outcome is None:
            self._blocked[name], self._worker = self._worker, None
            self._count(name, "blocked", f"no answer within {self._seconds_max:g} s")
            return {}
        if isinstance(outcome, Exception):
            self._count(name, "failed", str(outcome))
            return {}
        return outcome

    def _count(self, name: str, reason: str, cause: str) -> None:
        key = f"probe_{name}_{reason}"
        if not self._counts[key]:
            _log.warning("probe without an answer", probe=name, reason=reason, cause=cause)
        self._counts[key] += 1
