"""Latency of marked faults: from the sample that trips the detector to the point readable in InfluxDB.

A thread polls the events; the real time of a sample follows from the clock of its van (anchor and speed are in the
van's status). The poll adds up to POLL_S to every figure.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from urllib.error import URLError

import numpy as np

from vantel_rig.events import Events
from vantel_rig.van import Van

POLL_S = 0.05
LOOK_BACK_NS = 60 * 10**9


class LatencyWatch:
    """Collects one latency for each marked event; start, stop, then summary."""

    def __init__(self, events: Events, vans: Sequence[Van], mark: str) -> None:
        self._events = events
        self._vans = {van.id: van for van in vans}
        self._mark = mark
        self._latency_s: dict[tuple[str, int], float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="latency", daemon=True)
        self._since_ns = time.time_ns()
        self.trouble = ""

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def stop(self) -> None:
        """End after one last look."""
        self._stop.set()
        self._thread.join(10)

    def summary(self) -> dict[str, float]:
        """Count, median and 99th percentile in ms."""
        values = np.array(list(self._latency_s.values())) * 1000.0
        if not len(values):
            return {"n": 0, "p50": 0.0, "p99": 0.0}
        p50, p99 = np.percentile(values, [50, 99])
        return {"n": len(values), "p50": round(float(p50), 1), "p99": round(float(p99), 1)}

    def _watch(self) -> None:
        last = False
        while not last:
            last = self._stop.wait(POLL_S)
            try:
                found = self._events.since(self._since_ns)
            except (URLError, OSError, ValueError) as cause:
                self.trouble = str(cause)
                continue
            seen_ns = time.time_ns()
            for event in found:
                key = (event.van, event.t_unix_ns)
                if event.fields.get("injected") == self._mark and key not in self._latency_s:
                    real_ns = self._real_ns(event.van, event.t_unix_ns)
                    if real_ns is not None:
                        self._latency_s[key] = (seen_ns - real_ns) / 1e9
            if found:
                newest = max(event.t_unix_ns for event in found)
                self._since_ns = max(self._since_ns, newest - LOOK_BACK_NS)

    def _real_ns(self, van_id: str, t_unix_ns: int) -> int | None:
        van = self._vans.get(van_id)
        status = van.status() if van is not None else {}
        if not status:
            return None
        anchor_ns, speed = int(status["clock_anchor_unix_ns"]), float(status["clock_speed"])
        return anchor_ns + int((t_unix_ns - anchor_ns) / speed)
