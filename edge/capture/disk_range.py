"""A time range out of the batches on the disk, as a capture with an honest account of what it lacks.

Recorded batches in the order of appending, neighbours of the range included -> summary, pieces, summary: the columns of
the signals asked for, cut to the range, told in the times of the clock of now and under the catalog in use. Every stretch
of the range without samples is a gap with its reason: what the numbers of the envelopes on both sides say. The work is
done in steps of LOOKS_A_STEP records; memory is that of one batch; what goes out is bounded in bytes.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import pairwise

import numpy as np

from edge.capture.rebase import moved_columns
from edge.queues import Outgoing
from edge.spool.account import StreamId
from edge.spool.history import Recorded
from vantel import codec
from vantel.captures import CaptureGap, CapturePart, CaptureState, CaptureSummary, CaptureTrigger
from vantel.catalog import Catalog
from vantel.columns import Column
from vantel.commands import FetchRange
from vantel.envelope import ClockStamp, EnvelopeError
from vantel.identity import DeliveryClass, PayloadKind
from vantel.payloads import Batch, Fidelity

LOOKS_A_STEP = 16
HOLE_NS = 100_000_000
"""Neighbours this close touch: the mapping to Unix time moves a little from batch to batch."""
GAPS_TOLD_MAX = 6

Missing = Callable[[StreamId, int, "int | None"], str]
"""(stream, first, last or None for its end) -> why those envelopes are not there; empty when there are none."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Where a batch lies: stream, number, Unix ns, end exclusive."""

    stream: StreamId
    seq: int
    start_ns: int
    end_ns: int


class DiskRange:
    """One fetch. step() until done; then text says what came and what did not. samples: how many so far."""

    def __init__(
        self, command_id: str, wanted: FetchRange, looks: Iterator[Recorded | None], catalog: Catalog,
        catalog_by: Callable[[int], Catalog | None], missing: Missing, bytes_max: int,
    ) -> None:  # fmt: skip
        """catalog_by: catalogs that this van has had, by hash."""
        self.command_id, self._wanted, self._looks = command_id, wanted, looks
        self._catalog, self._catalog_by, self._missing, self._bytes_max = (
            catalog,
            catalog_by,
            missing,
            bytes_max,
        )
        names = wanted.signals or ("*",)
        self._signals = [
            s for s in catalog.signals if any(fnmatch.fnmatchcase(s.name, name) for name in names)
        ]
        text = f"range|{wanted.start_unix_ns}|{wanted.end_unix_ns}|{command_id}"
        self.capture_id = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        self._rows: dict[int, dict[int, int]] = {}
        self._edges: list[Edge] = []
        self._stopped_ns: int | None = None
        self._begun = False
        self.samples = self._parts = self._bytes = self._batches = 0
        self._shed: Counter[str] = Counter()
        self.done = False
        self.text = ""

    def step(self, now: ClockStamp) -> list[Outgoing]:
        """Look at the next records; what goes into the spool. now: the clock by which it is stamped there."""
        out = [] if self._begun else [self._told(CaptureState.OPEN, (), now)]
        self._begun = True
        for _ in range(LOOKS_A_STEP):
            try:
                found = next(self._looks)
            except StopIteration:
                return [*out, self._end(now)]
            if found is None:
                continue
            out += self._take(found, now)
            if self._stopped_ns is not None:
                return [*out, self._end(now)]
        return out

    def _take(self, found: Recorded, now: ClockStamp) -> list[Outgoing]:
        window, wanted = found.window, self._wanted
        there = window.last_unix_ns >= wanted.start_unix_ns and window.first_unix_ns < wanted.end_unix_ns
        out: list[Outgoing] = []
        if there:
            part = self._part(found, now)
            if part is not None and self._bytes + len(part.payload) > self._bytes_max:
                self._stopped_ns = max(window.first_unix_ns, wanted.start_unix_ns)
                return []
            if part is not None:
                self._bytes += len(part.payload)
                out.append(part)
        self._edges.append(
            Edge(found.stream, found.envelope.seq, window.first_unix_ns, window.last_unix_ns + 1)
        )
        return out

    def _part(self, found: Recorded, now: ClockStamp) -> Outgoing | None:
        """The samples of a batch that are asked for; None when there are none."""
        try:
            batch = Batch.decode(found.envelope.payload)
            columns = codec.decode(batch.columns)
        except (EnvelopeError, codec.CodecError):
            return None
        self._batches += 1
        self._shed.update(batch.shed)
        by_ns = found.clock.offset_ns - now.offset_ns
        start = self._wanted.start_unix_ns - found.clock.offset_ns
        end = self._wanted.end_unix_ns - found.clock.offset_ns
        kept = moved_columns(list(self._chosen(columns, found.envelope.catalog_hash, start, end)), by_ns)
        samples = sum(len(column.t_ns) for column in kept)
        if not samples:
            return None
        piece = Batch(
            max(batch.start_mono_ns, start) + by_ns, min(batch.end_mono_ns, end) + by_ns, codec.encode(kept), samples,
            Fidelity.FULL, batch.coordinate_system,
        )  # fmt: skip
        payload = CapturePart(self.capture_id, self._parts, piece).encode()
        self._parts, self.samples = self._parts + 1, self.samples + samples
        return Outgoing(DeliveryClass.P2, PayloadKind.CAPTURE_PART, payload, self._catalog.hash)

    def _chosen(self, columns: Sequence[Column], catalog_hash: int, start: int, end: int) -> Iterator[Column]:
        """Columns of the signals asked for, cut to [start, end), under the ids of the catalog in use."""
        if catalog_hash not in self._rows:
            self._rows[catalog_hash] = self._ids(self._catalog_by(catalog_hash))
        ids = self._rows[catalog_hash]
        for column in columns:
            low, high = np.searchsorted(column.t_ns, (start, end))
            if column.signal_id not in ids:
                continue
            if low < high:
                quality = None if column.quality is None else column.quality[low:high]
                yield Column(ids[column.signal_id], column.t_ns[low:high], column.values[low:high], quality)

    def _ids(self, old: Catalog | None) -> dict[int, int]:
        """Ids of a catalog -> ids of the one in use, of the signals that are asked for and are the same in both."""
        same: dict[int, int] = {}
        for signal in self._signals:
            if old is None or signal.name not in old:
                continue
            before = old.by_name(signal.name)
            if before.type is signal.type:
                same[before.id] = signal.id
        return same

    def gaps(self) -> list[tuple[int, int, str]]:
        """Stretches of the range without samples: start and end in Unix ns, reason."""
        start, end = self._wanted.start_unix_ns, self._wanted.end_unix_ns
        edges, found = self._edges, []
        reach = start
        for before, after in pairwise([None, *edges, None]):
            if before is not None:
                reach = max(reach, before.end_ns)
            until = end if after is None else min(end, after.start_ns)
            if until - reach > HOLE_NS:
                found.append((reach, until, self._reason(before, after)))
                reach = until
        if self._stopped_ns is not None:
            found = [gap for gap in found if gap[1] <= self._stopped_ns]
            found.append((self._stopped_ns, end, "bound"))
        return found

    def _reason(self, before: Edge | None, after: Edge | None) -> str:
        """What lies between two neighbours on the disk, by the numbers that are missing between them."""
        if before is not None and after is not None and before.stream == after.stream:
            return self._missing(before.stream, before.seq + 1, after.seq - 1) or "silent"
        tail = self._missing(before.stream, before.seq + 1, None) if before is not None else ""
        head = self._missing(after.stream, 0, after.seq - 1) if after is not None else ""
        if tail or head:
            return tail or head
        if after is None:
            return "unsealed" if before is not None else "unknown"
        return "restart" if before is not None else "unknown"

    def _end(self, now: ClockStamp) -> Outgoing:
        self.done = True
        gaps = self.gaps()
        told = tuple(CaptureGap(a - now.offset_ns, b - now.offset_ns, reason) for a, b, reason in gaps)
        self.text = self._words(gaps)
        return self._told(CaptureState.INTERRUPTED if gaps else CaptureState.COMPLETE, told, now)

    def _words(self, gaps: list[tuple[int, int, str]]) -> str:
        text = f"capture {self.capture_id}: {self.samples} samples of {self._batches} batches from the disk"
        if self._shed:
            text += ", shed before they were batched: " + ", ".join(
                f"{count} {reason}" for reason, count in sorted(self._shed.items())
            )
        lacks = [f"{_clock(a)} to {_clock(b)} {reason}" for a, b, reason in gaps[:GAPS_TOLD_MAX]]
        more = f" and {len(gaps) - GAPS_TOLD_MAX} more" if len(gaps) > GAPS_TOLD_MAX else ""
        if self._stopped_ns is not None:
            more += f"; {self._bytes_max} bytes are the bound, ask for the rest with --start {_clock(self._stopped_ns)}"
        return text + (f"; missing: {', '.join(lacks)}{more}" if lacks else "; nothing is missing")

    def _told(self, state: CaptureState, gaps: tuple[CaptureGap, ...], now: ClockStamp) -> Outgoing:
        start, end = self._wanted.start_unix_ns - now.offset_ns, self._wanted.end_unix_ns - now.offset_ns
        ids = tuple(signal.id for signal in self._signals)
        summary = CaptureSummary(
            self.capture_id, state, (CaptureTrigger("", 0, start),), start, end, ids, self._parts, self.samples,
            self._bytes, gaps,
        )  # fmt: skip
        return Outgoing(DeliveryClass.P0, PayloadKind.CAPTURE_SUMMARY, summary.encode(), self._catalog.hash)


def _clock(unix_ns: int) -> str:
    when = datetime.fromtimestamp(unix_ns // 1_000_000 / 1000, timezone.utc)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
