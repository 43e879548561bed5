"""The fleet in a terminal: for each van its state, the age of its last report, and where its envelopes are.

The compacted topics vantel.ledger and vantel.last -> one row a van, joined by cloud.ledger.sheet as `vantel ledger` does, but
from reports alone and without a look at what lies in Kafka: what is on its way is one column. Rows are a pure function
of the books and the time. Counts in envelopes, ages in seconds; unknown is shown as unknown.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from cloud.kafka.clients import KafkaError, KafkaUnavailable
from cloud.kafka.compacted import CompactedTopic, pause
from cloud.kafka.topics import LAST, LEDGER
from cloud.ledger.accounts import Books
from cloud.ledger.sheet import Row, VanReport, join
from cloud.settings import CloudSettings
from cloud.worker.lag import Unread, unread
from vantel.envelope import EnvelopeError
from vantel.payloads import Death

ALIVE_S_MAX = 30.0
"""Three health reports of the default period."""
REFRESH_S, ASK_S = 1.0, 2.0
CLIENT = "top"
STATES = ("silent", "unknown", "left", "alive")
"""In the order in which rows are shown: what needs somebody first."""
STYLES = {"silent": "red", "unknown": "yellow", "left": "dim", "alive": ""}


@dataclass(frozen=True, slots=True)
class VanLine:
    """One van as it is now. age_s None: it never reported; per_s None: not known yet."""

    van: str
    state: str
    age_s: float | None
    produced: int
    stored: int
    rejected: int
    evicted: int
    spooled: int
    on_its_way: int
    points: int
    duplicates: int
    per_s: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


class Fleet:
    """What the topics say; take_* are called for each record, lines() at each look."""

    def __init__(self) -> None:
        self.books = Books()
        self.deaths: dict[str, Death] = {}
        self.unread = Unread(0, math.inf)
        self._stored: dict[str, tuple[float, int]] = {}

    def take_ledger(self, key: str, value: bytes | None) -> None:
        """A record of vantel.ledger."""
        if value is not None:
            self.books.absorb(key, value)

    def take_last(self, key: str, value: bytes | None) -> None:
        """A record of vantel.last; only presence is of interest here."""
        van, _, kind = key.partition("|")
        if kind != "presence":
            return
        try:
            self.deaths[van] = Death.decode(value or b"")
        except EnvelopeError:
            self.deaths.pop(van, None)

    def lines(self, now_unix_s: float) -> list[VanLine]:
        """All vans, those that need somebody first."""
        reports = {
            van: VanReport.as_reported(tuple(account.streams.values()))
            for van, account in self.books.vans.items()
        }
        sheet = join(reports, self.books.clouds, {})
        found = [self._line(van, row, now_unix_s) for van, row in sheet.vans.items()]
        return sorted(found, key=lambda line: (STATES.index(line.state), -(line.age_s or math.inf), line.van))

    def behind_s(self, now_unix_s: float) -> float:
        """How old the oldest news is that the workers have not told, or that nobody could ask Kafka for."""
        return max(now_unix_s - self.unread.since_unix_s, 0.0)

    def _line(self, van: str, row: Row, now_unix_s: float) -> VanLine:
        account = self.books.vans.get(van)
        age_s = None if account is None or not account.t_unix_ns else now_unix_s - account.t_unix_ns / 1e9
        before_s, before = self._stored.get(van, (now_unix_s, row.stored))
        per_s = (row.stored - before) / (now_unix_s - before_s) if now_unix_s > before_s else None
        self._stored[van] = (now_unix_s, row.stored)
        return VanLine(
            van, self._state(van, age_s, self.behind_s(now_unix_s)), age_s, row.produced, row.stored, row.rejected, row.evicted, row.spooled,
            row.residual, row.points, row.duplicates, per_s,
        )  # fmt: skip

    def _state(self, van: str, age_s: float | None, behind_s: float) -> str:
        """left: its newest start said goodbye. A report from the future (a wrong clock) shows nothing about now, and
        a report may lie among what the workers have not read: silent is who was silent before that began."""
        account, death = self.books.vans.get(van), self.deaths.get(van)
        epochs = [epoch for epoch, _ in account.streams] if account else []
        if death is not None and death.graceful and epochs and death.epoch == max(epochs):
            return "left"
        if age_s is None or age_s < -ALIVE_S_MAX:
            return "unknown"
        if age_s <= ALIVE_S_MAX:
            return "alive"
        return "silent" if age_s - behind_s > ALIVE_S_MAX else "unknown"


def table_of(lines: list[VanLine], rows_max: int, behind_s: float = 0.0) -> Table:
    """What is shown: the first rows_max vans, and how many there are in each state."""
    counts = {state: sum(line.state == state for line in lines) for state in STATES}
    title = f"{len(lines)} vans: " + ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    columns = (
        "van",
        "state",
        "report",
        "produced",
        "stored",
        "per s",
        "rejected",
        "evicted",
        "spooled",
        "on its way",
    )
    table = Table(*columns, title=title, box=None, header_style="bold", collapse_padding=True, pad_edge=False)
    for column in table.columns[:9]:  # a terminal of 80 columns has room for names of 14 characters
        column.no_wrap = True
    shown = lines[:rows_max]
    for column, words in zip(
        table.columns[:2], ([x.van for x in shown], [x.state for x in shown]), strict=True
    ):
        column.min_width = max(
            map(len, words), default=0
        )  # in a narrower one figures give way, not whose they are
    for column in table.columns[2:]:
        column.justify = "right"
    for line in shown:
        counted = (line.rejected, line.evicted, line.spooled, line.on_its_way)
        table.add_row(
            line.van, line.state, age_text(line.age_s), str(line.produced), str(line.stored),
            "-" if line.per_s is None else f"{line.per_s:.1f}", *map(str, counted), style=STYLES[line.state],
        )  # fmt: skip
    told = (
        [f"and {len(lines) - rows_max} more; --rows shows more, --json all"] if len(lines) > rows_max else []
    )
    if behind_s > ALIVE_S_MAX:
        told.append(
            f"what vans told in the last {age_text(behind_s)} is not known: the workers are behind, see their /healthz"
        )
    table.caption = "\n".join(told) or None
    return table


def age_text(age_s: float | None) -> str:
    """An age as people say it."""
    if age_s is None:
        return "never"
    if age_s < 0:
        return f"{-age_s:.0f} s ahead" if age_s < -1 else "0 s"
    for limit_s, unit_s, unit in ((120.0, 1.0, "s"), (7200.0, 60.0, "min"), (172_800.0, 3600.0, "h")):
        if age_s < limit_s:
            return f"{age_s / unit_s:.0f} {unit}"
    return f"{age_s / 86_400:.0f} d"


def as_json(lines: list[VanLine], now_unix_s: float, behind_s: float = 0.0) -> dict[str, Any]:
    """For programs."""
    states: Mapping[str, int] = {state: sum(line.state == state for line in lines) for state in STATES}
    vans = [line.as_dict() for line in lines]
    return {
        "t_unix_s": now_unix_s,
        "states": dict(states),
        "workers_behind_s": round(behind_s, 1),
        "vans": vans,
    }


async def read_once(settings: CloudSettings) -> dict[str, Any]:
    """The fleet as the topics have it now, for JSON."""
    fleet, topics = _open(settings)
    try:
        for topic in topics:
            await topic.catch_up()
        fleet.unread = await unread(settings.kafka, CLIENT)
    finally:
        for topic in topics:
            await topic.close()
    now_unix_s = time.time()
    return as_json(fleet.lines(now_unix_s), now_unix_s, fleet.behind_s(now_unix_s))


async def watch(settings: CloudSettings, console: Console, rows_max: int, seconds: float | None) -> None:
    """Show the fleet until the time is over or Ctrl-C."""
    fleet, topics = _open(settings)
    stop = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []
    try:
        for topic in topics:
            await topic.catch_up()
        tasks = [asyncio.create_task(topic.tail(stop)) for topic in topics]
        fleet.unread = await unread(settings.kafka, CLIENT)
        tasks.append(asyncio.create_task(_ask_again(settings, fleet, stop)))
        end_s = time.monotonic() + seconds if seconds is not None else math.inf
        with Live(console=console, auto_refresh=False) as live:
            while True:
                now_unix_s = time.time()
                table = table_of(fleet.lines(now_unix_s), rows_max, fleet.behind_s(now_unix_s))
                live.update(table, refresh=True)
                if time.monotonic() >= end_s:
                    return
                await asyncio.sleep(REFRESH_S)
    finally:
        stop.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        for topic in topics:
            await topic.close()


async def _ask_again(settings: CloudSettings, fleet: Fleet, stop: asyncio.Event) -> None:
    """Now and then how far the workers are; while Kafka is away nothing is known, and what was known ages."""
    while not stop.is_set():
        await pause(stop, ASK_S)
        with suppress(KafkaUnavailable, KafkaError, OSError):
            fleet.unread = await unread(settings.kafka, CLIENT)


def _open(settings: CloudSettings) -> tuple[Fleet, list[CompactedTopic]]:
    fleet = Fleet()
    return fleet, [
        CompactedTopic(settings.kafka, LEDGER, fleet.take_ledger),
        CompactedTopic(settings.kafka, LAST, fleet.take_last),
    ]
