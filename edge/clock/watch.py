"""What the agent does about the clock: asks the sources, tells the spool, lets the first envelopes wait for the time.

The sources of a van are those of the machine and, by settings, a PTP clock and recorded GNSS fixes; a receiver offers its
readings to the clock itself. Nothing waits, and the mapping stays that of the start, where samples come from a recording
or a model.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from edge.clock import KernelTime, VanClock
from edge.clock.choice import Reading, waiting_classes
from edge.clock.gnss import GnssTime
from edge.clock.machine import ptp_reading
from edge.settings import ClockSection
from edge.spool import Spool
from vantel.envelope import ClockStamp
from vantel.identity import DeliveryClass

POLL_UNKNOWN_S = 1.0
POLL_KNOWN_S = 10.0
TELL_PERIOD_S = 1.0
FIXES_BYTES_MAX = 16 * 1024 * 1024

_log = structlog.get_logger("clock")


class FixFile:
    """Recorded sentences of a receiver, played from the start on: lines of seconds, a blank, an NMEA sentence."""

    def __init__(self, path: Path) -> None:
        """OSError or ValueError for a file that is none."""
        self._lines: list[tuple[float, str]] = []
        for number, line in enumerate(path.read_bytes()[:FIXES_BYTES_MAX].decode("ascii").splitlines(), 1):
            try:
                at, sentence = line.split(None, 1)
                self._lines.append((float(at), sentence))
            except ValueError:
                raise ValueError(
                    f"clock.fixes_file {path}, line {number}: not seconds and a sentence"
                ) from None
        self._start_ns = time.monotonic_ns()
        self._gnss = GnssTime()

    def poll(self) -> list[Reading]:
        """The newest reading of the sentences that are due."""
        readings = []
        while (
            self._lines and (t_ns := self._start_ns + round(self._lines[0][0] * 1e9)) <= time.monotonic_ns()
        ):
            reading = self._gnss.feed(self._lines.pop(0)[1], t_ns)
            if reading is not None:
                readings = [reading]
        return readings


class MachineTime(KernelTime):
    """All sources that the settings name."""

    def __init__(self, settings: ClockSection) -> None:
        self._ptp_device = settings.ptp_device
        self._fixes = FixFile(settings.fixes_file) if settings.fixes_file else None

    def poll(self) -> Sequence[Reading]:
        """See edge.clock.TimeSources."""
        readings = list(super().poll())
        if self._ptp_device is not None and (reading := ptp_reading(self._ptp_device)) is not None:
            readings.append(reading)
        return readings + (self._fixes.poll() if self._fixes else [])


class ClockWatch:
    """Keeps clock and spool in step. live: samples are of here and now, from a vehicle."""

    def __init__(
        self, clock: VanClock, spool: Spool, settings: ClockSection, live: bool, recorded: bool
    ) -> None:
        """recorded: stamps are those of the recording."""
        self._clock, self._spool, self._settings = clock, spool, settings
        self._live, self._recorded = live, recorded
        self._told_at_s = float("-inf")
        self._waiting: frozenset[DeliveryClass] = frozenset()
        clock.resume(spool.epoch.counter, spool.known_clock if live else None, spool.boot_since_mono_ns)

    def run(self, stop: threading.Event) -> None:
        """Body of the clock thread."""
        while not stop.wait(POLL_KNOWN_S if self._clock.known else POLL_UNKNOWN_S):
            if self._live:
                self._clock.update()

    def tell(self) -> ClockStamp:
        """The stamp of now, told to the spool at least every TELL_PERIOD_S. Spool thread."""
        stamp = self._clock.recording_stamp() if self._recorded else self._clock.stamp()
        now_s = time.monotonic()
        known = self._live and self._clock.known
        if now_s - self._told_at_s >= TELL_PERIOD_S or (known and self._waiting):
            self._told_at_s = now_s
            waiting = self._waiting_now(known)
            if waiting != self._waiting:
                _log.info("waiting for the clock", classes=sorted(c.label for c in waiting))
            self._waiting = waiting
            self._spool.tell_clock(stamp, known, waiting)
        return stamp

    def judged_unix_ns(self) -> int:
        """Unix time for judging whether something came too late; 0 when this van cannot tell."""
        return self._clock.unix_ns() if self._clock.known or not self._live else 0

    def status(self) -> dict[str, object]:
        """For the status file."""
        stamp = self._clock.stamp()
        return {
            "source": self._clock.mapping.source.name.lower(),
            "error_ns_max": stamp.error_ns_max,
            "offset_ns": stamp.offset_ns,
            "waiting": sorted(c.label for c in self._waiting),
        }

    def _waiting_now(self, known: bool) -> frozenset[DeliveryClass]:
        if not self._live:
            return frozenset()
        waited_s = (time.monotonic_ns() - self._spool.boot_since_mono_ns) / 1e9
        return waiting_classes(known, waited_s, self._settings.p0_wait_s, self._settings.wait_s)
