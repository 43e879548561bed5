"""Which time a van believes: readings of several sources in, one mapping from monotonic to Unix time out. Pure.

A reading is an offset (Unix minus monotonic, ns), the bound of its error when it was taken, and that instant. Its bound
grows with age by what a free-running clock may drift. GNSS is trusted before PTP, PTP before NTP: a less trusted source may
sharpen what a more trusted one says, never contradict it. The mapping in use stays as it is until something is clearly
better or contradicts it, so that noise of a source never moves a stamp. Monotonic ns everywhere.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace

from vantel.identity import DeliveryClass
from vantel.telemetry.v1 import envelope_pb2

DRIFT_PPM = 500
"""The kernel slews its clock by no more (ntp_adjtime(3), MAXFREQ); quartz is better."""
FRESH_NS = 60 * 10**9
"""A reading older than this is no news; the mapping made of it goes on ageing."""
HOLDOVER_NS = 3600 * 10**9
"""So long a mapping of a more trusted source, which has gone silent, is held against a less trusted one."""
STEP_NS = 100_000_000
"""A mapping that moves by more than this has jumped: the batch is cut."""
WALL_STEP_NS = 10**9
"""The same for a wall clock that nothing disciplines."""
BETTER_SHARE = 0.75
"""A new bound must be below this share of the old one to be worth a change."""
EARLIEST_UNIX_NS = 1_767_225_600 * 10**9  # 2026-01-01
WEEK_ROLLOVER_NS = 1024 * 7 * 86_400 * 10**9
"""GPS counts weeks modulo 1024 (IS-GPS-200, 20.3.3.3.1.1): a receiver that has lost count is this far off."""


class Source(enum.IntEnum):
    """Where a reading comes from, more trusted ones larger."""

    NONE = envelope_pb2.CLOCK_SOURCE_NONE
    NTP = envelope_pb2.CLOCK_SOURCE_NTP
    PTP = envelope_pb2.CLOCK_SOURCE_PTP
    GNSS = envelope_pb2.CLOCK_SOURCE_GNSS


@dataclass(frozen=True, slots=True)
class Reading:
    """Unix time is monotonic time plus offset_ns. error_ns_max: at t_mono_ns; means nothing for source NONE."""

    source: Source
    offset_ns: int
    error_ns_max: int
    t_mono_ns: int

    def error_at(self, now_ns: int) -> int:
        """Bound of the error by now."""
        return self.error_ns_max + max(0, now_ns - self.t_mono_ns) * DRIFT_PPM // 1_000_000


def plausible(reading: Reading) -> bool:
    """Whether the time can be meant: not before this software was written, nor a whole week count later."""
    t_unix_ns = reading.t_mono_ns + reading.offset_ns
    return EARLIEST_UNIX_NS <= t_unix_ns < EARLIEST_UNIX_NS + WEEK_ROLLOVER_NS


def choose(readings: Iterable[Reading], now_ns: int) -> Reading | None:
    """The best of what the sources say, None if none of them knows the time."""
    known = [
        r
        for r in readings
        if r.source is not Source.NONE and plausible(r) and now_ns - r.t_mono_ns <= FRESH_NS
    ]
    best: Reading | None = None
    for reading in sorted(known, key=lambda r: (-r.source, r.error_at(now_ns))):
        if best is None or (
            reading.error_at(now_ns) < best.error_at(now_ns) and not contradicts(reading, best, now_ns)
        ):
            best = reading
    return best


def contradicts(one: Reading, other: Reading, now_ns: int) -> bool:
    """Whether no time lies within the bounds of both."""
    return abs(one.offset_ns - other.offset_ns) > one.error_at(now_ns) + other.error_at(now_ns)


def follow(current: Reading, best: Reading | None, wall: Reading, now_ns: int) -> Reading:
    """The mapping to use from now on. best: what choose said; wall: the wall clock, whatever it is worth."""
    if best is None:
        moved = abs(wall.offset_ns - current.offset_ns) > WALL_STEP_NS
        return wall if current.source is Source.NONE and moved else current
    if current.source is Source.NONE:
        return best
    if contradicts(best, current, now_ns):
        held = best.source < current.source and now_ns - current.t_mono_ns <= HOLDOVER_NS
        return current if held else best
    return best if best.error_at(now_ns) < BETTER_SHARE * current.error_at(now_ns) else current


def numbered(reading: Reading, number: int) -> Reading:
    """The reading with the last three digits of its offset set to number modulo 1000, at a cost of 1 us of its bound.

    Samples at whole microseconds then never meet under two mappings, so that a clock that steps back by a round time
    makes no two points one.
    """
    offset_ns = reading.offset_ns - reading.offset_ns % 1000 + number % 1000
    return replace(reading, offset_ns=offset_ns, error_ns_max=reading.error_ns_max + 1000)


def waiting_classes(
    known: bool, waited_s: float, p0_wait_s: float, wait_s: float
) -> frozenset[DeliveryClass]:
    """Classes whose envelopes still hope for a clock. waited_s: since the first start of the agent in this boot."""
    if known:
        return frozenset()
    waits = {c: p0_wait_s if c is DeliveryClass.P0 else wait_s for c in DeliveryClass}
    return frozenset(c for c, limit_s in waits.items() if waited_s < limit_s)
