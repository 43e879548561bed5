"""A live CAN bus as a source: frames of the kernel to blocks of samples on the van's monotonic clock.

One [[sources]] of kind can. Frames that arrive within gather_s make one block. A lost interface is looked for again
every REOPEN_S for ever, and told as signals (`<name>.Bus.*`) together with error frames and drops. Never sends.
Raises RecordingError when built: a DBC, an overlay or a map that cannot be used.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import structlog

from edge.clock import VanClock
from edge.model import Emit, SampleBlock
from edge.settings import CanSource as CanSection
from edge.sources.can_bus_state import BusState
from edge.sources.can_channel import CanChannel, wanted_by
from edge.sources.can_interface import FrameReader, open_reader
from edge.sources.can_socket import ERROR_FRAME, FRAMES_MAX, REMOTE_FRAME, Received
from edge.sources.chunks import SlotTable, legal_name
from edge.sources.dbc_file import doubts, load_database
from edge.sources.receive_stamps import ReceiveStamps
from vantel.catalog import Signal

REOPEN_S = 1.0
POLL_S = 0.1
_ID_BITS = np.uint32(0x9FFF_FFFF)
_log = structlog.get_logger("can")


class CanBus:
    """One bus. open_reader is a seam for tests."""

    replayed = False
    simulated = False

    def __init__(
        self,
        section: CanSection,
        clock: VanClock,
        open_reader: Callable[[CanSection], FrameReader] = open_reader,
    ) -> None:
        self.name = section.name
        self._section = section
        self._clock = clock
        self._open_reader = open_reader
        paths = [section.dbc] if isinstance(section.dbc, Path) else section.dbc
        databases = [(path, load_database(path)) for path in paths]
        self.notes = [note for path, database in databases for note in doubts(path, database)]
        prefix = legal_name(section.name)
        self._slots = SlotTable(Path(section.channel), section.map)
        self._channel = CanChannel(
            prefix, (section.channel,), databases, self._slots, j1939=section.j1939,
            wanted=wanted_by(section.signals),
        )  # fmt: skip
        self._channel.declare()
        self._slots.check_map(self._channel.names())
        self._state = BusState(prefix, len(self._slots.signals))
        self._stamps = ReceiveStamps()
        self._last_ns = 0
        self._counts: Counter[str] = Counter()

    @property
    def counters(self) -> dict[str, int]:
        """Frames and samples, and what was left out, by reason."""
        counts = self._counts + self._channel.counts
        counts["stamps_replaced"] += self._stamps.replaced
        return dict(counts)

    def signals(self) -> Sequence[Signal]:
        """Signals of the DBC files, then those of the bus itself."""
        return [*self._slots.signals, *self._state.signals()]

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Read until stop; an interface that is lost, or not there yet, is looked for again and again."""
        told = ""
        while not stop.is_set():
            reader = None
            try:
                reader = self._open_reader(self._section)
                self._state.up(True)
                if told:
                    _log.info("CAN interface found again", source=self.name, channel=self._section.channel)
                told = ""
                self._pump(reader, emit, stop)
            except OSError as cause:
                if str(cause) != told:
                    told = str(cause)
                    _log.error("CAN interface lost", source=self.name, channel=self._section.channel, cause=told,
                               fix=f"ip link set {self._section.channel} up; it is looked for every {REOPEN_S:g} s")  # fmt: skip
                self._counts["interface_lost"] += reader is not None
            finally:
                if reader is not None:
                    reader.close()
            if not stop.is_set():
                self._state.up(False)
                self._tell_state(emit)
                stop.wait(REOPEN_S)

    def _pump(self, reader: FrameReader, emit: Emit, stop: threading.Event) -> None:
        """Blocks until stop; OSError when the interface goes."""
        gather_s = self._section.gather_s
        while not stop.is_set():
            if reader.wait(POLL_S):
                if gather_s:
                    time.sleep(gather_s)
                while (received := reader.read()) is not None:
                    self._take(received, emit)
                    if len(received.ids) < FRAMES_MAX:
                        break
            self._tell_state(emit)

    def _take(self, received: Received, emit: Emit) -> None:
        """Decode what was read and emit it."""
        ids, lengths, payload = received.ids, received.lengths, received.payload
        stamps = self._stamps.monotonic(
            received.software_ns, received.hardware_ns, time.time_ns(), self._clock.mono_ns()
        )
        counts = self._counts
        counts["frames"] += len(ids)
        counts["frames_malformed"] += received.malformed
        counts["frames_dropped"] += received.dropped
        self._state.count(len(ids), received.dropped)
        special = ids & np.uint32(ERROR_FRAME | REMOTE_FRAME)
        if special.any():
            errors = (ids & np.uint32(ERROR_FRAME)) != 0
            self._state.errors(ids[errors], payload[errors])
            counts["frames_error"] += int(errors.sum())
            counts["frames_remote"] += int((special != 0).sum() - errors.sum())
            data = special == 0
            ids, lengths, payload, stamps = ids[data] & _ID_BITS, lengths[data], payload[data], stamps[data]
        found = self._channel.decode(ids, lengths, payload)
        if not len(found.slot):
            return
        stamps = np.maximum.accumulate(np.maximum(stamps, self._last_ns))
        self._last_ns = int(stamps[-1])
        counts["samples_emitted"] += len(found.slot)
        emit(SampleBlock(found.slot, stamps[found.row], self._slots.apply(found.slot, found.value)))

    def _tell_state(self, emit: Emit) -> None:
        now_ns = max(self._clock.mono_ns(), self._last_ns)
        slot, value = self._state.samples(now_ns)
        if len(slot):
            self._last_ns = now_ns
            self._counts["samples_emitted"] += len(slot)
            emit(SampleBlock(slot, np.full(len(slot), now_ns, np.int64), value))
