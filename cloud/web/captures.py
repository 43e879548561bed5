"""Captures of one van from InfluxDB: their list, and the samples of one as CSV, by InfluxQL.

(van, capture id) -> query text -> Capture, newest first; Capture -> pages of CSV rows, one a stamp, a column a signal.
What is read is what is stored of its signals in its window. Ids are hexadecimal and names come from the catalog, which
makes them safe to stand in a query. Pure but for the asker.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cloud.query import Series
from cloud.web.history import NS_A_MS, ROWS_MAX, History
from cloud.worker.core import CAPTURES, TELEMETRY
from vantel.captures import CAPTURE_ID_CHARS
from vantel.catalog import SIGNAL_NAME, Catalog, CatalogError
from vantel.identity import check_van_id

CAPTURES_SHOWN = 200
CSV_VALUES_MAX = 5_000_000
CAPTURE_ID = re.compile(f"[0-9a-f]{{{CAPTURE_ID_CHARS}}}")
_FIELDS = (
    "capture",
    "campaign",
    "state",
    "before_s",
    "seconds",
    "samples",
    "bytes",
    "signals",
    "signal_count",
    "catalog",
    "waits",
    "gaps",
)


class TooLarge(ValueError):  # noqa: N818 - what was asked, not what failed
    """More values than a download may have; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Capture:
    """One capture. signals: names, empty while the catalog is unknown; count: of its signals, more than the line
    names. waits: its body stays on the van until the link is unmetered. gaps: what it lacks, for people."""

    id: str
    campaign: str
    state: str
    trigger_ns: int
    start_ns: int
    end_ns: int
    samples: int
    body_bytes: int
    signals: tuple[str, ...]
    count: int
    waits: bool
    gaps: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON; times in Unix ms."""
        return {
            "id": self.id, "campaign": self.campaign, "state": self.state, "t": self.trigger_ns / NS_A_MS,
            "from": self.start_ns / NS_A_MS, "to": self.end_ns / NS_A_MS, "samples": self.samples,
            "bytes": self.body_bytes, "signals": self.signals, "signal_count": self.count,
            "waits": self.waits, "gaps": self.gaps,
        }  # fmt: skip


def list_text(van: str, capture_id: str | None = None) -> str:
    """The InfluxQL of a van's newest captures, or of one."""
    columns = ", ".join(f'"{name}"' for name in _FIELDS)
    only = ""
    if capture_id is not None:
        if not CAPTURE_ID.fullmatch(capture_id):
            raise ValueError(
                f"{capture_id[:40]!r} is no capture id: {CAPTURE_ID_CHARS} characters of 0-9, a-f"
            )
        only = f" AND \"capture\" = '{capture_id}'"
    where = f"\"van\" = '{check_van_id(van)}'{only}"
    return f'SELECT {columns} FROM "{CAPTURES}" WHERE {where} ORDER BY time DESC LIMIT {CAPTURES_SHOWN}'  # noqa: S608


def captures_of(answer: Sequence[Series], catalog_of: Callable[[int], Catalog | None]) -> list[Capture]:
    """Newest first. A line without a window, of a worker before this release, is passed over: nothing could be plotted."""
    found = []
    for row in (row for series in answer for row in series.rows()):
        if row.get("before_s") is None or row.get("seconds") is None:
            continue
        start_ns = row["time"] - round(row["before_s"] * 1e9)
        names = _names(row.get("signals") or "", catalog_of(int(row.get("catalog") or "0", 16)))
        found.append(
            Capture(
                row["capture"], row["campaign"] or "", row["state"], row["time"], start_ns,
                start_ns + round(row["seconds"] * 1e9), int(row["samples"]), int(row["bytes"]), names, int(row["signal_count"]),
                bool(row.get("waits")), row.get("gaps") or "",
            )
        )  # fmt: skip
    return found


def _names(ids: str, catalog: Catalog | None) -> tuple[str, ...]:
    names = []
    for text in ids.split() if catalog is not None else ():
        try:
            name = catalog.by_id(int(text)).name  # type: ignore[union-attr]
        except CatalogError:
            continue
        if SIGNAL_NAME.fullmatch(name):
            names.append(name)
    return tuple(names)


class Captures:
    """Asks for captures through the history's gate."""

    def __init__(self, history: History, catalog_of: Callable[[int], Catalog | None]) -> None:
        """QueryError and OSError of the database are the caller's."""
        self._history, self._catalog_of = history, catalog_of

    async def newest(self, van: str) -> list[Capture]:
        """The newest CAPTURES_SHOWN of a van."""
        return captures_of(await self._history.read(list_text(van)), self._catalog_of)

    async def one(self, van: str, capture_id: str) -> Capture | None:
        """A capture of a van; None when nothing of it is stored. ValueError for what is no id."""
        found = captures_of(await self._history.read(list_text(van, capture_id)), self._catalog_of)
        return found[0] if found else None

    async def check_size(self, van: str, capture: Capture) -> None:
        """TooLarge when its window holds more than CSV_VALUES_MAX values."""
        counts = ", ".join(f'count("{name}")' for name in capture.signals)
        answer = await self._history.read(f"SELECT {counts} {_from(van, capture.start_ns, capture.end_ns)}")
        count = sum(int(cell or 0) for series in answer for row in series.values for cell in row[1:])
        if count > CSV_VALUES_MAX:
            raise TooLarge(
                f"capture {capture.id} has {count} values, a download at most {CSV_VALUES_MAX}; "
                f"on the van: vantel-edge capture export {capture.id}"
            )

    async def csv(self, van: str, capture: Capture) -> AsyncIterator[bytes]:
        """The table in pieces: time_unix_ns and a column for each signal; an empty cell is no sample at that stamp."""
        yield _csv([["time_unix_ns", *capture.signals]])
        names = ", ".join(f'"{name}"' for name in capture.signals)
        start_ns = capture.start_ns
        while True:
            text = f"SELECT {names} {_from(van, start_ns, capture.end_ns)} ORDER BY time LIMIT {ROWS_MAX}"
            rows = [row for series in await self._history.read(text) for row in series.values]
            full = len(rows) >= ROWS_MAX
            if full:  # the last stamp may go on in the next page: it is asked for again, whole
                start_ns = rows[-1][0]
                rows = [row for row in rows if row[0] < start_ns]
            if rows:
                yield _csv(_merged(rows))
            if not full:
                return
            if not rows:
                raise OSError(f"more than {ROWS_MAX} rows at one stamp")


def _from(van: str, start_ns: int, end_ns: int) -> str:
    return (
        f'FROM "{TELEMETRY}" WHERE "van" = \'{check_van_id(van)}\' AND time >= {start_ns} AND time < {end_ns}'
    )


def _merged(rows: Sequence[list[Any]]) -> list[list[Any]]:
    """Rows of one stamp, which come from several groups of signals, as one."""
    out: list[list[Any]] = []
    for row in rows:
        if out and out[-1][0] == row[0]:
            out[-1] = [old if new is None else new for old, new in zip(out[-1], row, strict=True)]
        else:
            out.append(row)
    return out


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
