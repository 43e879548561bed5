"""History of signals of one van from InfluxDB, by InfluxQL.

(van, signals of its catalog, Unix ms from and to, points wanted) -> query text -> rows of [t_ms, last, low, high] for
each signal. A short range gives every stored value, a rollup's with its minimum and maximum; a longer one, or one with too many values, the last value,
minimum and maximum of each step, taken from both the samples and the minima and maxima that a rollup keeps. Names come from the catalog only:
they hold no quote and no backslash, which is what makes them safe to stand in a query. Pure but for the asker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cloud.ledger.times import NS_A_MS
from cloud.query import Series
from cloud.worker.core import TELEMETRY
from cloud.worker.steps.decode import NUMBERS
from vantel.catalog import SIGNAL_NAME, Signal
from vantel.identity import check_van_id

SIGNALS_MAX = 12
POINTS_MAX = 2_000
ROWS_MAX = 9_900
"""InfluxDB 1.x cuts an answer short at 10,000 rows, and a cut answer is refused."""
RAW_RANGE_MS_MAX = 180_000
RANGE_MS_MAX = 400 * 86_400_000
QUERIES_AT_ONCE = 4


class BadRange(ValueError):  # noqa: N818 - what was asked, not what failed
    """A range that cannot be asked for; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A checked question. step_ms 0: every sample."""

    van: str
    signals: tuple[Signal, ...]
    from_ms: int
    to_ms: int
    step_ms: int


def ask_of(van: str, signals: Sequence[Signal], from_ms: int, to_ms: int, points: int) -> Ask:
    """Check a question; BadRange says what is wrong with it."""
    if not 0 < len(signals) <= SIGNALS_MAX:
        raise BadRange(f"{len(signals)} signals, 1 to {SIGNALS_MAX} can be asked at once")
    if not 0 <= from_ms < to_ms < 1 << 43 or to_ms - from_ms > RANGE_MS_MAX:
        raise BadRange(f"from {from_ms} to {to_ms} is no range of at most 400 days, in Unix ms")
    for signal in signals:
        if not SIGNAL_NAME.fullmatch(signal.name):
            raise BadRange(f"signal {signal.name!r} has a name that no query can hold")
    points = min(max(points, 10), POINTS_MAX)
    span_ms = to_ms - from_ms
    step_ms = 0 if span_ms <= RAW_RANGE_MS_MAX else max(span_ms // points, 1)
    return Ask(check_van_id(van), tuple(signals), from_ms, to_ms, step_ms)


def query_text(ask: Ask) -> str:
    """The InfluxQL of a question."""
    columns: list[str] = []
    for at, signal in enumerate(ask.signals):
        name = signal.name
        if not ask.step_ms:
            columns.append(f'"{name}" AS "v{at}"')
            if signal.type in NUMBERS:
                columns += [f'"{name}.min" AS "c{at}"', f'"{name}.max" AS "d{at}"']
            continue
        columns.append(f'last("{name}") AS "v{at}"')
        if signal.type in NUMBERS:
            columns += [
                f'min("{name}") AS "a{at}"', f'max("{name}") AS "b{at}"',
                f'min("{name}.min") AS "c{at}"', f'max("{name}.max") AS "d{at}"',
            ]  # fmt: skip
    where = f"\"van\" = '{ask.van}' AND time >= {ask.from_ms * NS_A_MS} AND time <= {ask.to_ms * NS_A_MS}"
    tail = f" GROUP BY time({ask.step_ms}ms) fill(none)" if ask.step_ms else ""
    newest = "" if ask.step_ms else " ORDER BY time DESC"
    return f'SELECT {", ".join(columns)} FROM "{TELEMETRY}" WHERE {where}{tail}{newest} LIMIT {ROWS_MAX}'  # noqa: S608


def rows_of(ask: Ask, answer: Sequence[Series]) -> dict[str, Any]:
    """Points of each signal, oldest first: [t_ms, value, low, high], or [t_ms, value] for a state or a sample."""
    points: list[list[list[Any]]] = [[] for _ in ask.signals]
    count = 0
    for series in answer:
        for row in series.rows():
            count += 1
            t_ms = row["time"] // NS_A_MS if ask.step_ms else row["time"] / NS_A_MS
            for at in range(len(ask.signals)):
                value = row.get(f"v{at}")
                if value is None:
                    continue
                low = [row[k] for k in (f"a{at}", f"c{at}") if row.get(k) is not None]
                high = [row[k] for k in (f"b{at}", f"d{at}") if row.get(k) is not None]
                points[at].append([t_ms, value, min(low), max(high)] if low and high else [t_ms, value])
    for part in points:
        part.sort(key=lambda point: point[0])
    return {
        "from": ask.from_ms, "to": ask.to_ms, "step_ms": ask.step_ms, "cut": count >= ROWS_MAX,
        "series": {signal.name: part for signal, part in zip(ask.signals, points, strict=True)},
    }  # fmt: skip


class History:
    """Asks the database in threads, a few at once."""

    def __init__(self, query: Callable[[str], list[Series]]) -> None:
        """query: InfluxQuery.query or the like; QueryError and OSError are the caller's."""
        self._query = query
        self._gate = asyncio.Semaphore(QUERIES_AT_ONCE)

    async def ask(self, ask: Ask) -> dict[str, Any]:
        """The answer to a question."""
        async with self._gate:
            return await asyncio.to_thread(self._read, ask)

    async def read(self, text: str) -> list[Series]:
        """The answer to a query of somebody else, who checked it."""
        async with self._gate:
            return await asyncio.to_thread(self._query, text)

    def _read(self, ask: Ask) -> dict[str, Any]:
        """Every sample where there are few enough; else last, minimum and maximum of short steps, which hide no peak."""
        answer = rows_of(ask, self._query(query_text(ask)))
        if not answer["cut"] or ask.step_ms:
            return answer
        coarse = replace(ask, step_ms=max((ask.to_ms - ask.from_ms) // POINTS_MAX, 1))
        return rows_of(coarse, self._query(query_text(coarse)))
