"""A live CAN bus as a source: frames of the kernel to blocks of samples on the van's monotonic clock.

One [[sources]] of kind can. Frames that arrive within gather_s make one block. A lost interface is looked for again
every REOPEN_S for ever, and told as signals (`<name>.Bus.*`) together with error frames and drops. Sends nothing,
except the requests of the settings' poll section and the flow control of their answers.
Raises RecordingError when built: a DBC, an overlay or a map that cannot be used.
"""

from __future__ import annotations

import errno
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from edge.clock import VanClock
from edge.model import Emit, SampleBlock, TextTable
from edge.settings import CanSource as CanSection
from edge.sources.answer_file import load_answers
from edge.sources.answers import Answers
from edge.sources.can_bus_state import BusState
from edge.sources.can_channel import CanChannel, unused, wanted_by
from edge.sources.can_interface import FrameReader, open_reader
from edge.sources.can_socket import ERROR_FRAME, FRAMES_MAX, REMOTE_FRAME, Received
from edge.sources.chunks import SlotTable, legal_name
from edge.sources.dbc_file import doubts, load_database
from edge.sources.polling import Frame, Poller, unread
from edge.sources.receive_stamps import ReceiveStamps
from vantel.catalog import Signal

REOPEN_S = 1.0
POLL_S = 0.1
POLL_STEP_S = 0.002
INTERFACES = Path("/sys/class/net")
_log = structlog.get_logger("can")


class CanBus:
    """One bus. open_reader is a seam for tests."""

    replayed = False
    simulated = False

    def __init__(
        self,
        section: CanSection,
        clock: VanClock,
        texts: TextTable,
        open_reader: Callable[[CanSection], FrameReader] = open_reader,
    ) -> None:
        self.name = section.name
        self._section = section
        self._clock = clock
        self._open_reader = open_reader
        paths = [section.dbc] if isinstance(section.dbc, Path) else section.dbc
        databases = [(path, load_database(path)) for path in paths]
        self.notes = [note for path, database in databases for note in doubts(path, database)]
        if section.interface == "socketcan" and not (INTERFACES / section.channel).exists():
            self.notes.append(
                f"source {section.name}: there is no interface {section.channel} now; it is waited for "
                f"(ip link set {section.channel} up type can bitrate 500000)"
            )
        prefix = legal_name(section.name)
        self._slots = SlotTable(Path(section.channel), section.map, section.overlay)
        answers = None
        if section.answers is not None:
            file = load_answers(section.answers)
            answers = Answers(file, section.answers, texts.code)
            if not answers.signals:
                self.notes.append(f"{section.answers}: it describes no answer; begin one with [[answers]]")
            self.notes += [] if section.poll is None else unread(section.poll, file)
        self._channel = CanChannel(
            prefix, (section.channel,), databases, self._slots, j1939=section.j1939, checksums=section.checksums,
            answers=answers,
            code_of=texts.code, wanted=wanted_by(section.signals),
        )  # fmt: skip
        self.notes += unused(section.signals, [(s.message, s.name) for s in self._channel.signals])
        self._channel.declare()
        self._slots.check_map(self._channel.names())
        self._poller = None if section.poll is None else Poller(section.poll, time.monotonic())
        self._state = BusState(prefix, len(self._slots.signals))
        self._stamps = ReceiveStamps()
        self._frames = self._malformed = self._dropped = self._errors = self._remote = 0
        self._samples = self._lost = 0

    @property
    def counters(self) -> dict[str, int]:
        """Frames and samples, and what was left out, by reason."""
        counts = Counter(
            frames=self._frames,
            frames_malformed=self._malformed,
            frames_dropped=self._dropped,
            frames_error=self._errors,
            frames_remote=self._remote,
            interface_lost=self._lost,
            stamps_replaced=self._stamps.replaced,
            samples_emitted=self._samples,
        )
        if self._poller is not None:
            counts += self._poller.counts
        return dict(counts + self._channel.counts)

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
                self._lost += reader is not None
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
        dense = False
        while not stop.is_set():
            wait_s = POLL_S
            if self._poller is not None:
                self._ask(reader, self._poller.tick(time.monotonic()))
                wait_s = min(POLL_S, self._poller.wait_s(time.monotonic()) + POLL_STEP_S)
            if not dense and not reader.wait(wait_s):
                self._tell_state(emit)
                continue
            # All buses read at the same ticks, so that what they read goes through the pipeline in one step. While every
            # tick finds frames there is nothing to wait for.
            if gather_s:
                time.sleep(gather_s - time.monotonic() % gather_s)
            received = reader.read()
            dense = received is not None and gather_s > 0
            while received is not None:
                self._take(reader, received, emit)
                received = reader.read() if len(received.ids) == FRAMES_MAX else None
            self._tell_state(emit)

    def _ask(self, reader: FrameReader, frames: Sequence[Frame]) -> None:
        """Send what the settings ask for; a frame that the controller does not take is counted, and asked for again."""
        for frame in frames:
            if reader.send is None or self._poller is None:
                return
            try:
                reader.send(frame.key, frame.data)
            except OSError as cause:
                if cause.errno not in (errno.ENOBUFS, errno.EAGAIN):
                    raise
                self._poller.unsent()

    def _take(self, reader: FrameReader, received: Received, emit: Emit) -> None:
        """Decode what was read and emit it."""
        ids, lengths, payload = received.ids, received.lengths, received.payload
        stamps = self._stamps.monotonic(
            received.software_ns, received.hardware_ns, time.time_ns(), self._clock.mono_ns()
        )
        self._frames += len(ids)
        self._malformed += received.malformed
        self._dropped += received.dropped
        if received.special:
            ids, lengths, payload, stamps = self._data_frames(received, stamps)
        if self._poller is not None:
            self._ask(reader, self._poller.hear(time.monotonic(), ids, lengths, payload))
        found = self._channel.decode(ids, lengths, payload, stamps)
        if not len(found.slot):
            return
        self._samples += len(found.slot)
        emit(SampleBlock(found.slot, found.label, self._slots.apply(found.slot, found.value)))

    def _data_frames(
        self, received: Received, stamps: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
        """The frames without error and remote frames, which are counted and change the state of the bus."""
        ids, payload = received.ids, received.payload
        errors = (ids & np.uint32(ERROR_FRAME)) != 0
        data = (ids & np.uint32(ERROR_FRAME | REMOTE_FRAME)) == 0
        self._state.errors(ids[errors], payload[errors])
        self._errors += int(errors.sum())
        self._remote += int(len(ids) - data.sum() - errors.sum())
        return ids[data], received.lengths[data], payload[data], stamps[data]

    def _tell_state(self, emit: Emit) -> None:
        now_ns = max(self._clock.mono_ns(), self._stamps.last_ns)
        self._state.frames(self._frames, self._dropped)
        if not self._state.due(now_ns):
            return
        slot, value = self._state.samples(now_ns)
        self._samples += len(slot)
        emit(SampleBlock(slot, np.full(len(slot), now_ns, np.int64), value))
