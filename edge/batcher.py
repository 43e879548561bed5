"""Samples in, closed batches out: the columns of one window of stream time.

Windows are whole multiples of window_s of Unix time (offset_ns maps monotonic to Unix); while the van is live (watched,
or soon after an event) they are cut at multiples of window_live_s too; a batch that holds watched time keeps every
sample (fidelity full). Always a cut comes at samples_max samples. The clock is
the highest stamp seen, so cuts depend on samples and events alone, never on block boundaries or wall time; only flush,
for live sources that have gone quiet, brings a clock from outside. A sample that arrives late goes into the window that
is open. Values that the type of their signal cannot hold are shed("unrepresentable"). Pure; never fails on data.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.batch_columns import Representable, columns_of
from edge.model import SampleBlock, TextTable
from edge.settings import BatchSection
from vantel.catalog import Catalog
from vantel.columns import Column
from vantel.payloads import Fidelity

FLUSH_DELAY_NS = 250_000_000
"""flush leaves a window open this long after its end, for samples that are still on their way to the pipeline."""
LIVE_SPANS_MAX = 1024
"""Separate live spans that are remembered; each is at least live_after_event_s from the next."""
BATCH_ROW_BYTES = 24
"""Memory of a sample in columns, at most (texts apart)."""
_ROWS_FIRST = 4096
_NEVER = int(np.iinfo(np.int64).min)


@dataclass(frozen=True, slots=True)
class ClosedBatch:
    """Columns of one window [start_mono_ns, end_mono_ns).

    position: every sample of the replay stream before it is in this batch, an earlier one, or shed (0: no replay).
    shed: samples dropped since the batch before, by reason.
    """

    start_mono_ns: int
    end_mono_ns: int
    columns: list[Column]
    sample_count: int
    position: int
    fidelity: Fidelity
    shed: dict[str, int] = field(default_factory=dict)

    @property
    def bytes_held(self) -> int:
        """Memory this batch stands for."""
        return BATCH_ROW_BYTES * self.sample_count


class LiveSpans:
    """When the van is live: the union of spans (after, until] of stream time in ns."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []

    def add(self, after: int, until: int) -> None:
        """Live at every time in (after, until]."""
        if until <= after:
            return
        merged = []
        for span in self._spans:
            if span[1] < after or span[0] > until:
                merged.append(span)
            else:
                after, until = min(after, span[0]), max(until, span[1])
        self._spans = sorted([*merged, (after, until)])[-LIVE_SPANS_MAX:]

    def first_multiple(self, after: int, step: int, offset: int) -> int | None:
        """First live time later than after that is a multiple of step once offset is added."""
        for span in self._spans:
            edge = next_multiple(max(after, span[0]), step, offset)
            if edge <= span[1]:
                return edge
        return None

    def end(self, at: int) -> None:
        """Nothing is live later than a time."""
        self._spans = [(after, min(until, at)) for after, until in self._spans if after < at]

    def touches(self, first: int, last: int) -> bool:
        """Whether some time in [first, last) is live."""
        return any(after < last and until >= first for after, until in self._spans)

    def forget(self, before: int) -> None:
        """Drop spans that ended before a time."""
        self._spans = [span for span in self._spans if span[1] >= before]


def next_multiple(after: int, step: int, offset: int) -> int:
    """First time later than after that is a multiple of step once offset is added."""
    return ((after + offset) // step + 1) * step - offset


class Batcher:
    """The open window. One per stream, used by one thread."""

    def __init__(self, catalog: Catalog, settings: BatchSection, texts: TextTable, offset_ns: int) -> None:
        self._catalog = catalog
        self._texts = texts
        self._offset_ns = offset_ns
        self._live_ns = round(settings.window_live_s * 1e9)
        self._window_ns = self._live_ns * round(settings.window_s / settings.window_live_s)
        self._live_after_ns = round(settings.live_after_event_s * 1e9)
        self._samples_max = settings.samples_max
        self._fidelity = Fidelity.FULL if settings.fidelity == "full" else Fidelity.ROLLUP
        self._representable = Representable(catalog)
        self._live = LiveSpans()
        self._watched = LiveSpans()
        self._clock = _NEVER  # highest stamp of the stream so far
        self._cut_ns: int | None = None
        self._position = 0
        self._shed: dict[str, int] = {}
        self._count = 0
        self._slot = np.empty(_ROWS_FIRST, np.int32)
        self._t = np.empty(_ROWS_FIRST, np.int64)
        self._value = np.empty(_ROWS_FIRST, np.float64)
        self._quality = np.empty(_ROWS_FIRST, np.uint8)

    @property
    def shed_pending(self) -> dict[str, int]:
        """Samples shed since the last closed batch, by reason: what no batch has reported yet."""
        return dict(self._shed)

    def note_event(self, t_mono_ns: int) -> None:
        """An event at this stream time makes the van live. To be called before the block of that time is added."""
        self._live.add(t_mono_ns, t_mono_ns + self._live_after_ns)
        self._cut_ns = None

    def watch(self, until_t_mono_ns: int) -> None:
        """A person watches the van from now until this stream time."""
        self._watched.add(self._clock, until_t_mono_ns)
        self._cut_ns = None

    def end_watch(self) -> None:
        """Nobody watches the van any more; the open window still counts as watched."""
        self._watched.end(self._clock)
        self._cut_ns = None

    def add(self, block: SampleBlock) -> list[ClosedBatch]:
        """Take a block; return the batches that it closed."""
        replay_from = block.position - len(block) if block.position else None
        good = self._representable.mask(block.slot, block.value)
        if good.all() and self._takes_whole(block):
            return []
        rows, refused = np.flatnonzero(good), np.flatnonzero(~good & (block.slot >= 0))
        clocks = np.maximum(np.maximum.accumulate(block.t_mono_ns[rows]), self._clock)
        closed: list[ClosedBatch] = []
        done = counted = 0

        def cut(end_ns: int, upto: int) -> None:
            """Close the window; the samples of the block before index upto are in it or shed."""
            nonlocal counted
            before = int(np.searchsorted(refused, upto))
            self._count_shed(before - counted)
            counted = before
            self._position = self._position if replay_from is None else replay_from + upto
            closed.append(self._close(end_ns))

        while done < len(rows):
            if not self._count:  # the first sample of a window comes before every later cut
                self._clock = int(clocks[done])
            edge = self._next_cut()
            first, room = done, self._samples_max - self._count
            done += min(int(np.searchsorted(clocks[done:], edge)), room)
            if done > first:
                self._append(block, rows[first:done], done - first)
                self._clock = int(clocks[done - 1])
            if self._count >= self._samples_max:
                cut(self._newest_ns() + 1, int(rows[done - 1]) + 1)
            elif done < len(rows):
                cut(edge, int(rows[done]))
        self._count_shed(len(refused) - counted)
        self._position = block.position or self._position
        return closed

    def _takes_whole(self, block: SampleBlock) -> bool:
        """Append a block that cuts nothing, as nearly every one of a live source is; False when it may cut."""
        if not self._count or not len(block) or self._count + len(block) >= self._samples_max:
            return False
        newest = max(int(block.t_mono_ns.max()), self._clock)
        if newest >= self._next_cut():
            return False
        self._append(block, slice(None), len(block))
        self._clock = newest
        self._position = block.position or self._position
        return True

    def flush(self, t_mono_ns: int) -> list[ClosedBatch]:
        """Nothing arrives; it is t_mono_ns by the clock of the stream. Closes a window that ended a while ago."""
        edge = self._next_cut() if self._count else None
        if edge is None or edge + FLUSH_DELAY_NS > t_mono_ns:
            return []
        self._clock = max(self._clock, edge)
        return [self._close(edge)]

    def rebase(self, offset_ns: int) -> list[ClosedBatch]:
        """Unix time has moved against the stream: cut here, and cut at multiples of the new time from now on."""
        closed = self.close()
        self._offset_ns = offset_ns
        self._cut_ns = None
        return closed

    def close(self) -> list[ClosedBatch]:
        """The last, partial window, at the stop of the agent or the end of a replay."""
        return [self._close(self._newest_ns() + 1)] if self._count else []

    def _count_shed(self, samples: int) -> None:
        if samples:
            self._shed["unrepresentable"] = self._shed.get("unrepresentable", 0) + samples

    def _newest_ns(self) -> int:
        return int(self._t[: self._count].max())

    def _next_cut(self) -> int:
        """The first cut after the newest sample of the open window; it stays until it is reached or a span changes."""
        if self._cut_ns is None or self._clock >= self._cut_ns:
            self._cut_ns = self._find_cut()
        return self._cut_ns

    def _find_cut(self) -> int:
        self._live.forget(self._clock)
        watched = self._watched.first_multiple(self._clock, self._live_ns, self._offset_ns)
        window = next_multiple(self._clock, self._window_ns, self._offset_ns)
        live = self._live.first_multiple(self._clock, self._live_ns, self._offset_ns)
        return min(cut for cut in (window, live, watched) if cut is not None)

    def _append(self, block: SampleBlock, rows: NDArray[np.int64] | slice, added: int) -> None:
        """Append the rows of the block, which are as many as added says."""
        first, count = self._count, self._count + added
        while count > len(self._slot):
            rows_held = 2 * len(self._slot)
            self._slot = np.resize(self._slot, rows_held)
            self._t = np.resize(self._t, rows_held)
            self._value = np.resize(self._value, rows_held)
            self._quality = np.resize(self._quality, rows_held)
        self._slot[first:count] = block.slot[rows]
        self._t[first:count] = block.t_mono_ns[rows]
        self._value[first:count] = block.value[rows]
        self._quality[first:count] = 0 if block.quality is None else block.quality[rows]
        self._count = count

    def _close(self, end_ns: int) -> ClosedBatch:
        """Build the columns of what is held and start anew."""
        count, self._count = self._count, 0
        self._cut_ns = None
        stamps = self._t[:count]
        first = int(stamps[0])
        # A function of the first sample alone, so that a run that resumes here makes the same bytes.
        start = min(next_multiple(first, self._live_ns, self._offset_ns) - self._live_ns, int(stamps.min()))
        columns = columns_of(
            self._catalog, self._texts, self._slot[:count], stamps, self._value[:count], self._quality[:count]
        )
        shed, self._shed = self._shed, {}
        fidelity = Fidelity.FULL if self._watched.touches(first, end_ns) else self._fidelity
        self._watched.forget(first)
        return ClosedBatch(start, end_ns, columns, count, self._position, fidelity, shed)
