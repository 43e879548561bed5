"""The clocks of the agent: monotonic time for samples, and the stamp that maps it to UTC.

A van's clock runs at rate 1 and follows its sources. For a replay at speed s the whole van lives on a virtual clock that
runs s times as fast from the moment it was started, on the mapping of that moment, so that periods, windows and hold times
keep their meaning; timers of the spool and the uplink stay on real time. Any thread may read; one thread updates.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from edge.clock.boot import boot_bytes, boot_text
from edge.clock.choice import Reading, Source, choose, follow, numbered
from edge.clock.machine import ntp_reading, wall_reading
from vantel.envelope import ClockStamp
from vantel.telemetry.v1 import envelope_pb2

MAPPINGS_PER_EPOCH = 16

_log = structlog.get_logger("clock")


class TimeSources(Protocol):
    """Where readings come from."""

    def wall(self) -> Reading:
        """The wall clock, whatever it is worth."""
        ...

    def poll(self) -> Sequence[Reading]:
        """What each source says now; sources that know nothing are left out."""
        ...


class KernelTime:
    """The wall clock and NTP: what every machine has."""

    def wall(self) -> Reading:
        """See TimeSources."""
        return wall_reading()

    def poll(self) -> Sequence[Reading]:
        """See TimeSources."""
        reading = ntp_reading()
        return [] if reading is None else [reading]


class VanClock:
    """Monotonic and Unix time of a van, both in ns, running speed times as fast as real time since construction."""

    def __init__(self, speed: float = 1.0, sources: TimeSources | None = None) -> None:
        self.speed = speed
        self.boot_id = boot_bytes(boot_text())
        self._sources = sources or KernelTime()
        self._readings: dict[Source, Reading] = {}
        self._lock = threading.Lock()
        self._number = 0
        self._mapping = self._sources.wall()
        self._anchor_mono_ns = self._mapping.t_mono_ns
        self.update()
        self.anchor_unix_ns = self._anchor_mono_ns + self._mapping.offset_ns

    @property
    def known(self) -> bool:
        """Whether some source knew the time."""
        return self._mapping.source is not Source.NONE

    @property
    def mapping(self) -> Reading:
        """The mapping in use."""
        return self._mapping

    def mono_ns(self) -> int:
        """Monotonic time of the van."""
        elapsed = time.monotonic_ns() - self._anchor_mono_ns
        return self._anchor_mono_ns + (elapsed if self.speed == 1.0 else int(elapsed * self.speed))

    def unix_ns(self) -> int:
        """Real Unix time, whatever the speed of the van."""
        return time.monotonic_ns() + self._mapping.offset_ns

    def real_delay_s(self, t_mono_ns: int) -> float:
        """Real seconds until the van's clock shows t_mono_ns; negative when it is past."""
        return (t_mono_ns - self.mono_ns()) / self.speed / 1e9

    def resume(self, epoch_counter: int, known: ClockStamp | None, since_mono_ns: int) -> None:
        """Give the mappings of this start their numbers; known: what an agent of this boot knew, at since at best."""
        self._number = epoch_counter * MAPPINGS_PER_EPOCH
        if known is not None and not self.known:
            self._mapping = Reading(Source(known.source), known.offset_ns, known.error_ns_max, since_mono_ns)
        elif known is None or known.offset_ns != self._mapping.offset_ns:
            self._mapping = numbered(self._mapping, self._number)

    def offer(self, reading: Reading) -> None:
        """A source that the clock does not ask itself has a reading; from any thread."""
        with self._lock:
            self._readings[reading.source] = reading

    def update(self) -> None:
        """Ask the sources and follow the best of them."""
        polled = self._sources.poll()
        with self._lock:
            self._readings.update({reading.source: reading for reading in polled})
            readings = list(self._readings.values())
        now_ns = time.monotonic_ns()
        before = self._mapping
        mapping = follow(before, choose(readings, now_ns), self._sources.wall(), now_ns)
        if mapping is not before:
            self._number += 1
            self._mapping = numbered(mapping, self._number)
            _log.info(
                "clock", source=mapping.source.name, error_ns_max=mapping.error_ns_max,
                moved_ns=mapping.offset_ns - before.offset_ns,
            )  # fmt: skip

    def stamp(self) -> ClockStamp:
        """Mapping of the van's monotonic clock to UTC, as it is known now."""
        mapping = self._mapping
        error_ns = mapping.error_at(time.monotonic_ns()) if self.known else 0
        return ClockStamp(self.boot_id, mapping.offset_ns, int(mapping.source), error_ns)

    def recording_stamp(self) -> ClockStamp:
        """Stamp of samples whose monotonic time is the Unix time of a recording."""
        return ClockStamp(self.boot_id, 0, int(envelope_pb2.CLOCK_SOURCE_RECORDING), 0)
