"""Gaps in time for `vantel ledger`: the range asked for, the timeline of each van, and its lines for people.

Texts of times (vantel.instant) -> Unix seconds; spans of cloud.ledger.timeline -> JSON and sentences. Times UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from cloud.ledger.sheet import Ends, VanReport
from cloud.ledger.timeline import NO_SAMPLES, SILENT, STORED, UNHEARD, Span, sentence, timeline
from vantel.instant import unix_ns

NS = 1_000_000_000
PERIOD_S_MAX = 7 * 86_400
LINES_MAX = 200
EDGE_S = 15
"""A window, and the way to the ledger."""
ASKED_S_MAX = 60.0
"""How long the command may have read before it prints."""


@dataclass(frozen=True, slots=True)
class Period:
    """A range of Unix seconds. since_s None: from the first second known, at most PERIOD_S_MAX before until_s."""

    since_s: int | None
    until_s: int


def period_of(since: str | None, until: str | None, now_s: float) -> Period:
    """The range that --since and --until ask for. ValueError when it runs backwards or cannot be read."""
    until_s = int(now_s) if until is None else unix_ns(until, now_s) // NS
    since_s = None if since is None else unix_ns(since, now_s) // NS
    if since_s is not None and since_s > until_s:
        raise ValueError(f"--since {since} is later than --until {until or 'now'}")
    return Period(since_s, until_s)


def timelines(
    ends: Ends, reports: Mapping[str, VanReport], period: Period, vans: Iterable[str]
) -> dict[str, list[dict[str, Any]]]:
    """Spans of each van as JSON."""
    told = {}
    for van in sorted(vans):
        since_s = period.since_s
        if since_s is None:
            known = [cloud.times.covered for stream, cloud in ends.books.clouds.items() if stream.van == van]
            first = min((first for seconds in known for first, _ in seconds), default=period.until_s)
            since_s = min(max(first, period.until_s - PERIOD_S_MAX), period.until_s)
        spans = timeline(van, since_s, period.until_s, ends.books, ends.backlog, reports.get(van))
        told[van] = [span.as_dict() for span in spans]
    return told


def gap_lines(told: Mapping[str, list[dict[str, Any]]], now_s: float) -> Iterator[str]:
    """One line for each span that is not plainly stored; LINES_MAX of them, and how many more there are.

    The last seconds before now are always still on their way: they are a line once they are more than a window.
    """
    lines = []
    for van, items in told.items():
        spans = [Span(**item) for item in items]
        end_s = max((span.last_unix_s for span in spans), default=0)
        lines += [
            f"{van}  {_clock(span.first_unix_s)} to {_clock(span.last_unix_s + 1)}  {sentence(span)}"
            for span in spans
            if span.state != STORED and not (end_s >= now_s - ASKED_S_MAX and _is_edge(span, end_s))
        ]
    yield from lines[:LINES_MAX]
    if len(lines) > LINES_MAX:
        yield f"and {len(lines) - LINES_MAX} more; ask for one --van, or for less with --since and --until"


def _is_edge(span: Span, end_s: int) -> bool:
    """Quiet in the last seconds of what was asked for, and not longer than what is on its way."""
    quiet = span.state == UNHEARD or (span.state, span.reason) == (SILENT, NO_SAMPLES)
    return quiet and span.last_unix_s == end_s and end_s - span.first_unix_s < EDGE_S


def _clock(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
