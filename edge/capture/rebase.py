"""Payloads of a capture told in the times of another clock, so that their Unix times stay what they were. Pure.

A clip outlives the boot and the mapping that it was recorded under; an envelope is stamped with the clock of the moment
in which it is spooled. Without this, a capture that is fetched again would come at other times than before.
"""

from __future__ import annotations

from dataclasses import replace

from vantel import codec
from vantel.captures import CaptureGap, CapturePart, CaptureSummary, CaptureTrigger
from vantel.columns import Column
from vantel.envelope import ClockStamp
from vantel.payloads import Batch
from vantel.telemetry.v1 import envelope_pb2


def distance_ns(of: ClockStamp | None, now: ClockStamp) -> int:
    """What is added to times under one clock so that they mean the same under another.

    0 where the first did not know the time yet in the same boot: the second knows better.
    """
    unknown = of is not None and of.source == envelope_pb2.CLOCK_SOURCE_NONE and of.boot_id == now.boot_id
    return 0 if of is None or unknown else of.offset_ns - now.offset_ns


def moved_columns(columns: list[Column], by_ns: int) -> list[Column]:
    """Columns with all stamps so much later."""
    return [Column(c.signal_id, c.t_ns + by_ns, c.values, c.quality) for c in columns]


def moved_part(part: CapturePart, by_ns: int) -> CapturePart:
    """A piece so much later."""
    old = part.batch
    columns = codec.encode(moved_columns(codec.decode(old.columns), by_ns))
    batch: Batch = replace(old, start_mono_ns=old.start_mono_ns + by_ns, end_mono_ns=old.end_mono_ns + by_ns, columns=columns)  # fmt: skip
    return replace(part, batch=batch)


def moved_summary(summary: CaptureSummary, by_ns: int) -> CaptureSummary:
    """A summary so much later."""
    return replace(
        summary,
        start_mono_ns=summary.start_mono_ns + by_ns,
        end_mono_ns=summary.end_mono_ns + by_ns,
        triggers=tuple(CaptureTrigger(t.campaign, t.version, t.t_mono_ns + by_ns) for t in summary.triggers),
        gaps=tuple(
            CaptureGap(g.start_mono_ns + by_ns, g.end_mono_ns + by_ns, g.reason) for g in summary.gaps
        ),
    )
