"""A GNSS receiver as a source: gpsd, or the receiver's own NMEA 0183 and UBX, live.

One [[sources]] of kind gnss. Samples carry the monotonic time at which the message came in. A link that ends, or says nothing for
silence_s_max, is opened again every REOPEN_S for ever. The receiver's time is offered to the clock of the van once it is
consistent (edge.clock.gnss), and only by what the receiver vouches for.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import structlog

from edge.clock import VanClock
from edge.clock.gnss import GnssTime
from edge.model import Emit
from edge.settings import GnssSource as GnssSection
from edge.settings.address import host_and_port
from edge.sources.gnss_decoding import ReceiverDecoder
from edge.sources.gnss_gpsd import WATCH, GpsdReader
from edge.sources.gnss_link import Link
from edge.sources.gnss_report import RECEIVER, SIGNALS, Report, checked
from edge.sources.signal_table import SignalTable, block_at
from vantel.catalog import Signal

REOPEN_S = 1.0
POLL_S = 0.1
CLOCK_OFFSET = f"{RECEIVER}ClockOffset"
_log = structlog.get_logger("gnss")


class Decoder(Protocol):
    """What turns bytes into reports."""

    @property
    def counts(self) -> Counter[str]:
        """Messages, and what was left out, by reason."""
        ...

    def feed(self, data: bytes) -> Iterable[Report]:
        """Reports of what data completes."""
        ...


class GpsdDecoder:
    """gpsd's lines, values checked."""

    def __init__(self) -> None:
        self._reader = GpsdReader()

    @property
    def counts(self) -> Counter[str]:
        """See Decoder."""
        return self._reader.counts

    def feed(self, data: bytes) -> Iterable[Report]:
        """See Decoder."""
        return [replace(r, values=checked(r.values, self._reader.counts)) for r in self._reader.feed(data)]


class GnssReceiver:
    """One receiver."""

    replayed = False
    simulated = False

    def __init__(self, section: GnssSection, clock: VanClock) -> None:
        self.name = section.name
        self._section = section
        self._clock = clock
        self._time = GnssTime()
        self._table = SignalTable(section.name)
        self._slots = {key: self._declare(key) for key in SIGNALS}
        self._offset_slot = self._table.add(self._own("ClockOffset", CLOCK_OFFSET), unit="ms")
        self._counts: Counter[str] = Counter()
        self._decoder = self._new_decoder()
        self.notes = self._doubts()

    @property
    def counters(self) -> dict[str, int]:
        """Samples and messages, and what was left out or refused, by reason."""
        refused = Counter({f"time_{reason}": count for reason, count in self._time.refused.items()})
        return dict(self._counts + self._decoder.counts + refused)

    def signals(self) -> Sequence[Signal]:
        """Everything that some receiver tells."""
        return self._table.signals

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Read until stop; a link that is lost, or not there yet, is looked for again and again."""
        told = ""
        while not stop.is_set():
            link = None
            try:
                link = Link(self._section.address, self._section.baud, WATCH if self._is_gpsd else b"")
                if told:
                    _log.info("receiver found again", source=self.name, address=self._section.address)
                told = ""
                self._pump(link, emit, stop)
            except OSError as cause:
                self._counts["link_lost" if link is not None else "link_refused"] += 1
                if str(cause) != told:
                    told = str(cause)
                    _log.error("receiver lost", source=self.name, address=self._section.address, cause=told,
                               fix=f"it is looked for every {REOPEN_S:g} s")  # fmt: skip
            finally:
                if link is not None:
                    link.close()
            self._counts += self._decoder.counts
            self._decoder = self._new_decoder()
            stop.wait(REOPEN_S)

    def _pump(self, link: Link, emit: Emit, stop: threading.Event) -> None:
        """Blocks until stop; OSError when the link ends or has gone silent."""
        heard_s = time.monotonic()
        while not stop.is_set():
            data = link.read(POLL_S)
            now_s = time.monotonic()
            if not data:
                if now_s - heard_s > self._section.silence_s_max:
                    raise OSError(f"nothing heard for {self._section.silence_s_max:g} s")
                continue
            heard_s = now_s
            t_mono_ns = self._clock.mono_ns()
            for report in self._decoder.feed(data):
                self._take(report, t_mono_ns, emit)

    def _take(self, report: Report, t_mono_ns: int, emit: Emit) -> None:
        readings = [(self._slots[key], value) for key, value in report.values.items()]
        if report.clock_unix_ns is not None and self._section.sets_time and self._clock.speed == 1.0:
            reading = self._time.take(report.clock_unix_ns, t_mono_ns)
            if reading is not None:
                self._clock.offer(reading)
                readings.append(
                    (self._offset_slot, (reading.offset_ns - self._clock.mapping.offset_ns) / 1e6)
                )
        if readings:
            self._counts["samples_emitted"] += len(readings)
            emit(block_at(t_mono_ns, readings))

    @property
    def _is_gpsd(self) -> bool:
        return self._section.protocol == "gpsd"

    def _new_decoder(self) -> Decoder:
        return GpsdDecoder() if self._is_gpsd else ReceiverDecoder()

    def _own(self, local: str, name: str) -> str:
        """Catalog name for the main receiver, a local one for any other."""
        return name if self._section.primary else f"{self.name}.{local}"

    def _declare(self, key: str) -> int:
        quantity = SIGNALS[key]
        name = self._own(quantity.local, quantity.name)
        return self._table.add(name, unit=quantity.unit, kind=quantity.kind)

    def _doubts(self) -> list[str]:
        address = self._section.address
        if host_and_port(address) is None and not Path(address).exists():
            return [f"source {self.name}: there is no {address} now; it is waited for"]
        return []
