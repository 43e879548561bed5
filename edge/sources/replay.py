"""Recorded drives as a source: blocks of samples at the recordings' own spacing.

From a Timeline to SampleBlocks of at most BLOCK_SAMPLES_MAX samples and BLOCK_NS of stream time, in order, each with
the position of the sample after it (loops counted). time "original": stamps are the recorded Unix ns. "shifted": one
constant makes the first sample, or the one at the resume position, now; each loop adds the recording's length.
Samples before the resume position are emitted at once, in blocks that never straddle it; the pipeline suppresses
their output. The same files give the same stream. Raises RecordingError when built, never on data later.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
import structlog

from edge.clock import VanClock
from edge.model import Emit, SampleBlock, TextTable
from edge.settings import ReplaySource as ReplaySection
from edge.sources.chunks import Chunk
from edge.sources.errors import RecordingError
from edge.sources.recordings import open_recording
from edge.sources.timeline import CACHED_BYTES_MAX, Timeline
from vantel.catalog import Signal

BLOCK_SAMPLES_MAX = 4096
BLOCK_NS = 50_000_000
STOP_POLL_S = 0.1
_log = structlog.get_logger("replay")


class ReplaySource:
    """One [[sources]] of kind replay. finished is set at the end of a replay that does not loop."""

    replayed = True
    simulated = False

    def __init__(
        self,
        settings: ReplaySection,
        clock: VanClock,
        texts: TextTable,
        resume_position: int = 0,
        *,
        cached_bytes_max: int = CACHED_BYTES_MAX,
    ) -> None:
        self.name = settings.name
        self.resume_position = resume_position
        self.finished = False
        self._settings = settings
        self._clock = clock
        shifted = settings.time == "shifted"
        recordings = [
            (open_recording(s, texts), None if s.start_unix_s is None else round(s.start_unix_s * 1e6) * 1000)
            for s in settings.recordings
        ]
        self._timeline = Timeline(recordings, stacked=shifted, cached_bytes_max=cached_bytes_max)
        self.notes = [note for recording, _ in recordings for note in getattr(recording, "notes", ())]
        line = self._timeline
        self._length_ns = line.last_ns - line.first_ns + line.gap_ns
        offset_ns = round(settings.start_offset_s * 1e9)
        if not settings.loop and offset_ns > line.last_ns - line.first_ns:
            raise RecordingError(
                settings.recordings[0].path,
                f"start_offset_s = {settings.start_offset_s:g} lies behind the end, the recordings last "
                f"{(line.last_ns - line.first_ns) / 1e9:.3f} s",
                "make it smaller, or set loop = true",
            )  # fmt: skip
        self._begin_ns = line.first_ns + offset_ns % self._length_ns
        self._samples_a_loop = line.samples
        self._counts = line.counts()
        self.samples_emitted = 0

    @property
    def counters(self) -> dict[str, int]:
        """What was left out, and how far the replay is."""
        return {**self._counts, "samples_emitted": self.samples_emitted}

    def signals(self) -> Sequence[Signal]:
        """Signals that occur in the recordings."""
        return self._timeline.signals

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Emit until the end, or until stop; returns within 0.2 s of it."""
        shift_ns: int | None = None
        real_start_ns = 0
        first_paced_ns = 0
        for block in self._blocks():
            if stop.is_set():
                return
            resumed = block.position > self.resume_position
            if shift_ns is None and (resumed or self._settings.time == "shifted"):
                # Known before the first block goes out: the sample at the resume position is to be now.
                anchor_ns = self._resume_ns() if not resumed else int(block.t_mono_ns[0])
                shift_ns = self._clock.mono_ns() - anchor_ns if self._settings.time == "shifted" else 0
                real_start_ns, first_paced_ns = time.monotonic_ns(), anchor_ns
            shift = shift_ns or 0
            moved = SampleBlock(block.slot, block.t_mono_ns + shift, block.value, None, block.position)
            if resumed and not self._wait(int(moved.t_mono_ns[-1]), real_start_ns, first_paced_ns, stop):
                return
            emit(moved)
            self.samples_emitted += len(moved)
        self.finished = True
        _log.info("replay ended", source=self.name, samples=self.samples_emitted)

    def _wait(self, t_ns: int, real_start_ns: int, first_ns: int, stop: threading.Event) -> bool:
        """Until it is time for t_ns; False when stopped."""
        if self._settings.speed == 0:
            return True
        while not stop.is_set():
            if self._settings.time == "shifted":
                delay_s = self._clock.real_delay_s(t_ns)
            else:
                due_ns = real_start_ns + (t_ns - first_ns) / self._settings.speed
                delay_s = (due_ns - time.monotonic_ns()) / 1e9
            if delay_s <= 0:
                return True
            stop.wait(min(delay_s, STOP_POLL_S))
        return False

    def _blocks(self) -> Iterator[SampleBlock]:
        """Blocks of the whole stream from the loop of the resume position, on the stream's clock."""
        loop = self.resume_position // max(1, self._samples_a_loop) if self._settings.loop else 0
        while True:
            position = loop * self._samples_a_loop
            yield from cut(
                self._loop_chunks(loop),
                self._begin_ns + loop * self._length_ns,
                position,
                self.resume_position,
            )
            if not self._settings.loop:
                return
            loop += 1

    def _loop_chunks(self, loop: int) -> Iterator[Chunk]:
        """One loop: from the offset to the end, then what was skipped; the latter only when the replay loops."""
        whole_ns = loop * self._length_ns
        for chunk in self._timeline.read():
            at = int(np.searchsorted(chunk.t_ns, self._begin_ns, side="left"))
            if at < len(chunk.t_ns):
                yield Chunk(chunk.slot[at:], chunk.t_ns[at:] + whole_ns, chunk.value[at:])
        if not self._settings.loop:
            return
        for chunk in self._timeline.read():
            at = int(np.searchsorted(chunk.t_ns, self._begin_ns, side="left"))
            if at:
                yield Chunk(chunk.slot[:at], chunk.t_ns[:at] + whole_ns + self._length_ns, chunk.value[:at])
            if at < len(chunk.t_ns):
                return

    def _resume_ns(self) -> int:
        """Stream time of the sample at the resume position; the end of the stream when there is none."""
        loops = self.resume_position // max(1, self._samples_a_loop) if self._settings.loop else 0
        left = self.resume_position - loops * self._samples_a_loop
        end_ns = self._begin_ns + loops * self._length_ns
        for chunk in self._loop_chunks(loops):
            if left < len(chunk.t_ns):
                return int(chunk.t_ns[left])
            left -= len(chunk.t_ns)
            end_ns = int(chunk.t_ns[-1]) + self._timeline.gap_ns
        return end_ns


def cut(
    chunks: Iterator[Chunk], origin_ns: int, position: int, resume_position: int
) -> Iterator[SampleBlock]:
    """Chunks to blocks: cut at multiples of BLOCK_NS from origin_ns, after BLOCK_SAMPLES_MAX, and at resume_position.

    The cuts depend on the samples alone, not on how they came in chunks, so that every run has the same blocks.
    """
    held: Chunk | None = None
    for chunk in chunks:
        held = chunk if held is None or not len(held.slot) else Chunk(
            np.concatenate([held.slot, chunk.slot]),
            np.concatenate([held.t_ns, chunk.t_ns]),
            np.concatenate([held.value, chunk.value]),
        )  # fmt: skip
        cell = (held.t_ns - origin_ns) // BLOCK_NS
        # the last cell may go on in the next chunk
        whole = int(np.searchsorted(cell, cell[-1], side="left"))
        yield from _cells(held, cell, whole, position, resume_position)
        position += whole
        held = Chunk(held.slot[whole:], held.t_ns[whole:], held.value[whole:])
    if held is not None and len(held.slot):
        cell = (held.t_ns - origin_ns) // BLOCK_NS
        yield from _cells(held, cell, len(cell), position, resume_position)


def _cells(
    held: Chunk, cell: np.ndarray, whole: int, position: int, resume_position: int
) -> Iterator[SampleBlock]:
    """The first whole samples, cell by cell."""
    starts = [0, *(np.flatnonzero(cell[1:whole] != cell[: whole - 1]) + 1).tolist(), whole] if whole else []
    for first, end in itertools.pairwise(starts):
        edges = {*range(first, end, BLOCK_SAMPLES_MAX), end}
        if first < resume_position - position < end:
            edges.add(resume_position - position)
        marks = sorted(edges)
        for low, high in itertools.pairwise(marks):
            yield SampleBlock(
                held.slot[low:high], held.t_ns[low:high], held.value[low:high], None, position + high
            )
