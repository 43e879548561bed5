"""Several recordings as one sequence of samples in order of time.

From Recording objects to (slot, t_ns, value) arrays on one clock. The first pass over each file, the survey, finds
its signals, its first and last time and its size. What fits into CACHED_BYTES_MAX stays in memory, sorted; the rest is
read again on each pass and sorted within REORDER_NS; a sample that comes later than that is left out and counted.
Raises RecordingError. Stable: samples of one time keep the order of the recordings, then of the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog
from numpy.typing import NDArray

from edge.sources.chunks import Chunk, Recording
from edge.sources.errors import RecordingError
from vantel.catalog import Signal

CACHED_BYTES_MAX = 64 * 1024 * 1024
SAMPLE_BYTES = 20
REORDER_NS = 2_000_000_000
TOGETHER_GAP_NS = 3_600 * 1_000_000_000
"""Recordings less than an hour apart belong to one drive and keep their distance when they are shifted."""
PIECE_SAMPLES = 16_384
_log = structlog.get_logger("replay")


@dataclass(slots=True)
class Track:
    """One recording after its survey. shift_ns puts its stamps on the clock of the timeline."""

    recording: Recording
    given_start_ns: int | None
    cached: Chunk | None = None
    samples: int = 0
    first_ns: int = 0
    last_ns: int = 0
    shift_ns: int = 0
    rows: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))


class Timeline:
    """All recordings on one clock. stacked: recordings of different drives begin together, at 0."""

    def __init__(
        self,
        recordings: Sequence[tuple[Recording, int | None]],
        *,
        stacked: bool,
        cached_bytes_max: int = CACHED_BYTES_MAX,
    ) -> None:
        """recordings: each with the Unix time in ns that its first sample is to get, or None."""
        self.late: Counter[str] = Counter()
        self._tracks: list[Track] = []
        for recording, start_ns in recordings:
            track = _survey(recording, start_ns, cached_bytes_max)
            cached_bytes_max -= track.samples * SAMPLE_BYTES if track.cached is not None else 0
            self._tracks.append(track)
        self.signals = _join_signals(self._tracks)
        for track in self._tracks:
            if track.given_start_ns is not None:
                track.shift_ns = track.given_start_ns - track.first_ns
        if stacked:
            _stack(self._tracks)
        self.first_ns = min(track.first_ns + track.shift_ns for track in self._tracks)
        self.last_ns = max(track.last_ns + track.shift_ns for track in self._tracks)
        self.samples = sum(track.samples for track in self._tracks)
        self._cached = self._merge_cached()

    @property
    def gap_ns(self) -> int:
        """Typical distance of two samples: what separates the end of a loop from its next begin. At least 1 ns."""
        return max(1, (self.last_ns - self.first_ns) // max(1, self.samples - 1))

    def counts(self) -> dict[str, int]:
        """Counters of all recordings and of late samples."""
        total: Counter[str] = Counter(self.late)
        for track in self._tracks:
            total.update(track.recording.counts)
        return dict(total)

    def read(self) -> Iterator[Chunk]:
        """All samples in order of time, in pieces; slots are indices into signals."""
        if self._cached is not None:
            for at in range(0, len(self._cached.slot), PIECE_SAMPLES):
                part = slice(at, at + PIECE_SAMPLES)
                yield Chunk(self._cached.slot[part], self._cached.t_ns[part], self._cached.value[part])
            return
        self.late.clear()
        yield from merge([self._track_pieces(track) for track in self._tracks])

    def _track_pieces(self, track: Track) -> Iterator[Chunk]:
        """One recording in order of time, on the timeline's clock and slots."""
        pieces = iter([track.cached]) if track.cached is not None else self._sorted_pieces(track)
        for piece in pieces:
            yield Chunk(track.rows[piece.slot], piece.t_ns + track.shift_ns, piece.value)

    def _sorted_pieces(self, track: Track) -> Iterator[Chunk]:
        """A large recording, sorted within REORDER_NS: what is older than the newest by more than that is given out."""
        held: Chunk | None = None
        newest = given = np.iinfo(np.int64).min
        for read in track.recording.chunks():
            late = read.t_ns < given
            self.late["samples_late"] += int(late.sum())
            chunk = _take(read, ~late) if late.any() else read
            if not len(chunk.slot):
                continue
            held = chunk if held is None else _join([held, chunk])
            newest = max(newest, int(chunk.t_ns.max()))
            held = _sorted(held)
            ready = int(np.searchsorted(held.t_ns, newest - REORDER_NS, side="right"))
            if ready:
                given = int(held.t_ns[ready - 1])
                yield _take(held, slice(None, ready))
                held = _take(held, slice(ready, None))
        if held is not None and len(held.slot):
            yield held

    def _merge_cached(self) -> Chunk | None:
        """The whole timeline in memory when every recording is; frees the single ones."""
        if any(track.cached is None for track in self._tracks):
            return None
        whole = _sorted(_join([piece for track in self._tracks for piece in self._track_pieces(track)]))
        for track in self._tracks:
            track.cached = None
        return whole


def _survey(recording: Recording, start_ns: int | None, cached_bytes_max: int) -> Track:
    """Read a recording once."""
    track = Track(recording, start_ns)
    kept: list[Chunk] | None = []
    for chunk in recording.chunks():
        if not len(chunk.slot):
            continue
        first, last = int(chunk.t_ns.min()), int(chunk.t_ns.max())
        track.first_ns = first if not track.samples else min(track.first_ns, first)
        track.last_ns = last if not track.samples else max(track.last_ns, last)
        track.samples += len(chunk.slot)
        if kept is not None:
            kept.append(chunk)
            if track.samples * SAMPLE_BYTES > cached_bytes_max:
                kept = None
    recording.finish()
    if not track.samples:
        raise RecordingError(
            recording.path, "it gives no sample", "check dbc, columns and map of the settings"
        )
    if kept is not None:
        track.cached = _sorted(_join(kept))
    else:
        # the same pass that a replay makes, so that positions count exactly what will be emitted
        track.samples = _samples_in_order(recording, track)
    return track


def _samples_in_order(recording: Recording, track: Track) -> int:
    """Samples of a large recording that are not late, found without holding them."""
    given = newest = np.iinfo(np.int64).min
    held = np.empty(0, np.int64)
    late = 0
    for chunk in recording.chunks():
        times = chunk.t_ns[chunk.t_ns >= given]
        late += len(chunk.t_ns) - len(times)
        if not len(times):
            continue
        held = np.sort(np.concatenate([held, times]))
        newest = max(newest, int(times.max()))
        ready = int(np.searchsorted(held, newest - REORDER_NS, side="right"))
        if ready:
            given = int(held[ready - 1])
            held = held[ready:]
    if late:
        _log.warning("samples left out", recording=str(recording.path), samples=late,
                     cause=f"more than {REORDER_NS / 1e9:g} s later in the file than in time")  # fmt: skip
    return track.samples - late


def _join_signals(tracks: Sequence[Track]) -> list[Signal]:
    """Signals of all recordings; the same name in two of them is one signal."""
    signals: list[Signal] = []
    row_of: dict[str, int] = {}
    for track in tracks:
        rows = []
        for signal in track.recording.slots.signals:
            known = row_of.get(signal.name.lower())
            if known is not None and signals[known].type is not signal.type:
                raise RecordingError(
                    track.recording.path, f"signal {signal.name} is text in one recording and a number in another",
                    "give one of the recordings another name =",
                )  # fmt: skip
            if known is None:
                known = row_of[signal.name.lower()] = len(signals)
                signals.append(signal)
            rows.append(known)
        track.rows = np.array(rows, dtype=np.int32)
    return signals


def _stack(tracks: Sequence[Track]) -> None:
    """Shift the drives so that each begins at 0; recordings of one drive keep their distance."""
    drive: list[Track] = []
    end_ns = 0
    for track in sorted(tracks, key=lambda t: t.first_ns + t.shift_ns):
        start_ns = track.first_ns + track.shift_ns
        if drive and start_ns > end_ns + TOGETHER_GAP_NS:
            _begin_at_zero(drive)
            drive = []
        end_ns = track.last_ns + track.shift_ns if not drive else max(end_ns, track.last_ns + track.shift_ns)
        drive.append(track)
    _begin_at_zero(drive)


def _begin_at_zero(drive: Sequence[Track]) -> None:
    start_ns = min(track.first_ns + track.shift_ns for track in drive)
    for track in drive:
        track.shift_ns -= start_ns


def merge(streams: Sequence[Iterator[Chunk]]) -> Iterator[Chunk]:
    """Sorted streams to one. Gives out only what lies before the last stamp held of every unfinished stream."""
    heads: list[Chunk | None] = [next(stream, None) for stream in streams]
    open_streams = [head is not None for head in heads]
    while any(head is not None for head in heads):
        bounds = [
            int(h.t_ns[-1])
            for h, is_open in zip(heads, open_streams, strict=True)
            if h is not None and is_open
        ]
        bound = min(bounds) if bounds else None
        ready: list[Chunk] = []
        for at, head in enumerate(heads):
            if head is None:
                continue
            cut = len(head.t_ns) if bound is None else int(np.searchsorted(head.t_ns, bound, side="left"))
            ready.append(_take(head, slice(None, cut)))
            rest = _take(head, slice(cut, None))
            if open_streams[at] and bound is not None and int(head.t_ns[-1]) == bound:
                following = next(streams[at], None)
                open_streams[at] = following is not None
                rest = rest if following is None else _join([rest, following])
            heads[at] = rest if len(rest.slot) else None
        merged = _sorted(_join(ready))
        if len(merged.slot):
            yield merged


def _take(chunk: Chunk, which: slice | NDArray[np.bool_]) -> Chunk:
    return Chunk(chunk.slot[which], chunk.t_ns[which], chunk.value[which])


def _join(chunks: Sequence[Chunk]) -> Chunk:
    return Chunk(
        np.concatenate([c.slot for c in chunks]),
        np.concatenate([c.t_ns for c in chunks]),
        np.concatenate([c.value for c in chunks]),
    )


def _sorted(chunk: Chunk) -> Chunk:
    """By time, stable."""
    if len(chunk.t_ns) < 2 or not (chunk.t_ns[1:] < chunk.t_ns[:-1]).any():
        return chunk
    order = np.argsort(chunk.t_ns, kind="stable")
    return Chunk(chunk.slot[order], chunk.t_ns[order], chunk.value[order])
