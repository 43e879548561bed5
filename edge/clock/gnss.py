"""Time from GNSS: NMEA 0183 sentences and the monotonic instants at which they came in, readings of the clock out. Pure.

RMC (recommended minimum: time, date, validity) and ZDA (time and date) of any talker. A sentence leaves the receiver after
the second that it names, by an unknown time of at most latency_ns_max: the reading takes the middle and half of it as its
bound. CONSISTENT_FIXES of them in a row must agree. What is damaged, not valid or not plausible (a week count that rolled
over) and steps of whole seconds (leap seconds that came late) are counted and left out.
"""

from __future__ import annotations

import calendar
from collections import Counter, deque
from functools import reduce

from edge.clock.choice import Reading, Source, plausible

CONSISTENT_FIXES = 3
SENTENCE_CHARS_MAX = 128
YEAR_MAX = 2115
"""Beyond, a stamp is out of the range that the cloud stores."""
LATENCY_NS_MAX = 1_000_000_000
"""Without a pulse per second: a sentence of a 1 Hz receiver comes before the next second."""
STEP_SHARE_MAX = 0.6
"""Two messages in a row differ in delay by less than this share of the latency; more is a step of the receiver's time."""
LEAP_S_MAX = 20
"""GPS minus UTC is 18 s since 2017; a receiver without the almanac starts from 0 or from what its firmware knew."""
LEAP_JITTER_NS = 300_000_000


def sentence_time_ns(sentence: str) -> int | None:
    """Unix ns that an RMC or ZDA sentence names; None for one without a valid time. ValueError for a damaged one."""
    body, star, check = sentence.strip().removeprefix("$").partition("*")
    if (
        not star
        or len(sentence) > SENTENCE_CHARS_MAX
        or int(check, 16) != reduce(int.__xor__, body.encode(), 0)
    ):
        raise ValueError("not an NMEA sentence with a right checksum")
    fields = body.split(",")
    kind = fields[0][2:]
    if kind == "RMC":
        if fields[2] != "A":
            return None
        day, month, year = int(fields[9][:2]), int(fields[9][2:4]), 2000 + int(fields[9][4:6])
    elif kind == "ZDA":
        if not all(fields[1:5]):
            return None
        day, month, year = int(fields[2]), int(fields[3]), int(fields[4])
    else:
        return None
    clock, _, fraction = fields[1].partition(".")
    hour, minute, second = int(clock[:2]), int(clock[2:4]), int(clock[4:6])
    if not (
        1 <= year <= YEAR_MAX
        and 1 <= month <= 12
        and 1 <= day <= 31
        and hour < 24
        and minute < 60
        and second <= 60
    ):
        raise ValueError(f"no such time: {fields[1]} {day}.{month}.{year}")
    whole_s = calendar.timegm((year, month, day, hour, minute, second))
    return whole_s * 10**9 + int(fraction.ljust(9, "0")[:9] or 0)


def is_leap_step(step_ns: int) -> bool:
    """Whether a step looks like a receiver that learned the leap seconds after its start: a few whole seconds."""
    whole_s = round(step_ns / 1e9)
    return 1 <= whole_s <= LEAP_S_MAX and abs(step_ns - whole_s * 10**9) <= LEAP_JITTER_NS


class GnssTime:
    """State of one receiver: the last fixes, and counts of what was refused, by reason."""

    def __init__(self, latency_ns_max: int = LATENCY_NS_MAX) -> None:
        self._latency_ns_max = latency_ns_max
        self._last: deque[Reading] = deque(maxlen=CONSISTENT_FIXES)
        self.refused: Counter[str] = Counter()

    def feed(self, sentence: str, t_mono_ns: int) -> Reading | None:
        """Take a sentence; a reading once enough of them agree."""
        try:
            t_unix_ns = sentence_time_ns(sentence)
        except (ValueError, IndexError):
            self.refused["damaged"] += 1
            return None
        return None if t_unix_ns is None else self.take(t_unix_ns, t_mono_ns)

    def take(self, t_unix_ns: int, t_mono_ns: int) -> Reading | None:
        """Take the time that a message names; a reading once enough of them agree."""
        half_ns = self._latency_ns_max // 2
        reading = Reading(Source.GNSS, t_unix_ns + half_ns - t_mono_ns, half_ns, t_mono_ns)
        if not plausible(reading):
            self.refused["implausible"] += 1
            return None
        if self._last:
            step_ns = abs(self._last[-1].offset_ns - reading.offset_ns)
            if step_ns > STEP_SHARE_MAX * self._latency_ns_max:
                self.refused["leap_step" if is_leap_step(step_ns) else "inconsistent"] += 1
                self._last.clear()
        self._last.append(reading)
        return reading if len(self._last) == CONSISTENT_FIXES else None
