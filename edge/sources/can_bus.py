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
from edge.sources.can_channel import CanChannel, Samples, unused, wanted_by
from edge.sources.can_interface import FrameReader, SocketReader, open_reader
from edge.sources.can_reading import POLL_S, read_buses
from edge.sources.can_socket import ERROR_FRAME, FRAMES_MAX, REMOTE_FRAME, Received
from edge.sources.can_turn import COUNTS, DROPPED, FRAMES, MALFORMED, WholeTurn
from edge.sources.chunks import SlotTable, legal_name
from edge.sources.dbc_file import load_with_doubts
from edge.sources.polling import Frame, Poller, unread
from edge.sources.receive_stamps import ReceiveStamps
from vantel.catalog import Signal

REOPEN_S = 1.0
READS_MAX = 4
"""Of FRAMES_MAX frames, in one turn: a bus that floods lets the others have theirs."""
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
        loaded = [(path, *load_with_doubts(path)) for path in paths]
        databases = [(path, database) for path, database, _ in loaded]
        self.notes = [note for *_, notes in loaded for note in notes]
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
        self._counts = np.zeros(COUNTS, np.int64)
        whole = self._channel.whole if self._poller is None else None
        self._whole = None if whole is None else WholeTurn(self._stamps, self._counts, whole)
        self._errors = self._remote = 0
        self._samples = self._lost = 0
        self.gather_s = section.gather_s
        self._reader: FrameReader | None = None
        self._in_one: WholeTurn | None = None
        """Where one kernel can do a whole reading of the reader."""
        self._reopen_at_s = 0.0
        self._told = ""

    @property
    def counters(self) -> dict[str, int]:
        """Frames and samples, and what was left out, by reason."""
        counts = Counter(
            frames=int(self._counts[FRAMES]),
            frames_malformed=int(self._counts[MALFORMED]),
            frames_dropped=int(self._counts[DROPPED]),
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

    @property
    def shared_by(self) -> float | None:
        """Buses with the same value can be read by one thread (edge.sources.can_reading); None: this one wants its own."""
        of_kernel = self._section.interface in ("socketcan", "udp")
        return self.gather_s if of_kernel and self.gather_s and self._poller is None else None

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Read until stop; an interface that is lost, or not there yet, is looked for again and again."""
        read_buses([(self, emit)], stop)

    def fileno(self) -> int | None:
        """Descriptor of the interface, for buses that share a thread; None while there is none."""
        return self._reader.fileno() if isinstance(self._reader, SocketReader) else None

    def wait(self, timeout_s: float) -> None:
        """Until frames have arrived, timeout_s at most."""
        if self._reader is None:
            time.sleep(timeout_s)
            return
        try:
            self._reader.wait(timeout_s)
        except OSError as cause:
            self._lose(cause)

    def wait_s(self) -> float:
        """How long to wait for frames at most: the state of the bus is told in time, and requests are sent."""
        if self._poller is None or self._reader is None:
            return POLL_S
        return min(POLL_S, self._poller.wait_s(time.monotonic()) + POLL_STEP_S)

    def turn(self, emit: Emit) -> bool:
        """Read what has arrived and emit it, with the state of the bus when it is due; whether frames had arrived."""
        found = False
        try:
            if self._reader is not None or self._open():
                found = self._read(self._reader, emit)  # type: ignore[arg-type]
        except OSError as cause:
            self._lose(cause)
        self._tell_state(emit)
        return found

    def close(self) -> None:
        """Give the interface back."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _open(self) -> bool:
        """Look for the interface when it is time to. OSError when it is not there."""
        now_s = time.monotonic()
        if now_s < self._reopen_at_s:
            return False
        self._reopen_at_s = now_s + REOPEN_S
        self._reader = self._open_reader(self._section)
        self._in_one = None
        if self._whole is not None and isinstance(self._reader, SocketReader):
            self._whole.attach(self._reader.frames)
            self._in_one = self._whole
        self._state.up(True)
        if self._told:
            _log.info("CAN interface found again", source=self.name, channel=self._section.channel)
        self._told = ""
        return True

    def _lose(self, cause: OSError) -> None:
        """The interface has gone, or is not there."""
        if str(cause) != self._told:
            self._told = str(cause)
            _log.error("CAN interface lost", source=self.name, channel=self._section.channel, cause=self._told,
                       fix=f"ip link set {self._section.channel} up; it is looked for every {REOPEN_S:g} s")  # fmt: skip
        self._lost += self._reader is not None
        self.close()
        self._reopen_at_s = time.monotonic() + REOPEN_S
        self._state.up(False)

    def _read(self, reader: FrameReader, emit: Emit) -> bool:
        if self._poller is not None:
            self._ask(reader, self._poller.tick(time.monotonic()))
        found = False
        for _ in range(READS_MAX):
            taken = (
                self._take_parts(reader, emit)
                if self._in_one is None
                else self._take_whole(self._in_one, emit)
            )
            found |= taken > 0
            if taken < FRAMES_MAX:
                break
        return found

    def _take_whole(self, whole: WholeTurn, emit: Emit) -> int:
        """Read once, decode and emit, with one kernel for all steps; how many datagrams there were."""
        taken = whole.receive()
        if taken:
            found = whole.samples(taken, time.time_ns(), self._clock.mono_ns())
            if found is None:
                found = self._decode(*whole.left_over())
            self._give(found, emit)
        return taken

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

    def _take_parts(self, reader: FrameReader, emit: Emit) -> int:
        """Read once, decode and emit; how many frames there were."""
        received = reader.read()
        if received is None:
            return 0
        stamps = self._stamps.monotonic(
            received.software_ns, received.hardware_ns, time.time_ns(), self._clock.mono_ns()
        )
        self._counts[FRAMES] += len(received.ids)
        self._counts[MALFORMED] += received.malformed
        self._counts[DROPPED] += received.dropped
        self._give(self._decode(received, stamps), emit)
        return len(received.ids)

    def _decode(self, received: Received, stamps: NDArray[np.int64]) -> Samples:
        """Samples of frames step by step; answers are listened to, and the next request is sent."""
        ids, lengths, payload = received.ids, received.lengths, received.payload
        if received.special:
            ids, lengths, payload, stamps = self._data_frames(received, stamps)
        if self._poller is not None and self._reader is not None:
            self._ask(self._reader, self._poller.hear(time.monotonic(), ids, lengths, payload))
        return self._channel.decode(ids, lengths, payload, stamps)

    def _give(self, found: Samples, emit: Emit) -> None:
        if len(found.slot):
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
        now_ns = self._clock.mono_ns()
        if not self._state.due(now_ns):
            return
        now_ns = max(now_ns, self._stamps.last_ns)
        self._state.frames(int(self._counts[FRAMES]), int(self._counts[DROPPED]))
        slot, value = self._state.samples(now_ns)
        self._samples += len(slot)
        emit(SampleBlock(slot, np.full(len(slot), now_ns, np.int64), value))
