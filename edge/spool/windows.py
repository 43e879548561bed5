"""When the envelopes of a segment are from, read from its messages: for the tombstones, and for what a power cut took.

Two reads of a segment that is given up. Bytes that cannot be read, or say nothing, give None: the gap is then placed by
its neighbours in the cloud.
"""

from __future__ import annotations

from edge.spool.disk import Disk
from edge.spool.segment import Segment
from vantel.envelope import EnvelopeError, open_message
from vantel.window import Window, window_of


def window_at(disk: Disk, segment: Segment, index: int) -> Window | None:
    """Of one envelope; index as in the segment's columns. Not while its clock stamp is only provisional."""
    if segment.provisional:
        return None
    try:
        message = segment.place(index).read(disk)
        return window_of(*open_message(message)) if message is not None else None
    except (OSError, EnvelopeError):
        return None


def window_of_segment(disk: Disk, segment: Segment) -> Window | None:
    """From the first envelope that tells to the last one."""
    if not segment.seqs:
        return None
    first, last = window_at(disk, segment, 0), window_at(disk, segment, len(segment.seqs) - 1)
    return first.joined(last) if first is not None and last is not None else None
