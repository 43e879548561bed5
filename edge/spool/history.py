"""What the disk still has of a time range: batches of a class whose windows reach into it, also those that are acked.

Segments -> records in the order of appending, one look at the disk at a time: the spool thread walks it between its other
work. Segments that lie outside the range are looked at by their first and last records alone, and those are given too,
as neighbours of the range. An acked segment may be freed meanwhile: then its records are missing, and their numbers say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from edge.spool.account import Account, StreamId
from edge.spool.disk import Disk
from edge.spool.segment import Place, Segment
from vantel.envelope import ClockStamp, Envelope, EnvelopeError, open_message
from vantel.identity import PayloadKind
from vantel.intervals import IntervalSet
from vantel.window import Window, window_of


class Recorded(NamedTuple):
    """One batch of the past."""

    envelope: Envelope
    clock: ClockStamp
    window: Window

    @property
    def stream(self) -> StreamId:
        """Whose numbers it counts in."""
        return self.envelope.epoch, self.envelope.delivery_class


PlaceOf = Callable[[Segment, int], "Place | None"]
"""Where a record of a segment is; None when the segment is gone."""


def recorded(
    segments: list[Segment], place_of: PlaceOf, disk: Disk, first_ns: int, last_ns: int
) -> Iterator[Recorded | None]:
    """Batches that reach into the closed range of Unix ns, and the neighbours that bound them. None: a look without one."""
    for segment in segments:
        edges = []
        for walk in (range(len(segment.seqs)), range(len(segment.seqs) - 1, -1, -1)):
            for index in walk:
                found = _read(segment, index, place_of, disk)
                if found is not None:
                    edges.append((index, found))
                    break
                yield None
        if not edges:
            continue
        (low, head), (high, tail) = edges
        if tail.window.last_unix_ns < first_ns or head.window.first_unix_ns > last_ns:
            yield from (item for _, item in dict(edges).items())
            continue
        yield head
        for index in range(low + 1, high):
            yield _read(segment, index, place_of, disk)
        if high > low:
            yield tail


def _read(segment: Segment, index: int, place_of: PlaceOf, disk: Disk) -> Recorded | None:
    """The batch at an index; None when it is none, is gone or cannot be read."""
    place = place_of(segment, index)
    try:
        message = None if place is None else place.read(disk)
        if message is None:
            return None
        envelope, clock = open_message(message)
    except (OSError, EnvelopeError):
        return None
    window = window_of(envelope, clock) if envelope.kind is PayloadKind.BATCH else None
    return None if window is None else Recorded(envelope, clock, window)


def missing_reason(account: Account | None, gone: IntervalSet) -> str:
    """Why these numbers of a stream are not on the disk: the word for the worst that happened to one of them.

    evicted: given up before the cloud had it; freed: the cloud has it, and its space was needed; lost: by a power cut or
    a damaged disk; unknown: the van has no account any more. Empty when none is missing.
    """
    if not gone:
        return ""
    if account is None:
        return "unknown"
    if any(gone.intersection(seqs) for seqs in account.evicted.values()):
        return "evicted"
    return "freed" if gone.intersection(account.acked) else "lost"
