"""Captures on the page's HTTP side.

Goal: the list says what the lines of the worker say; the download has every stored sample of the capture's signals in its
window, once, over the rows that the database gives at once; what cannot be given is refused in words, and never cut short.
Method: the real Site on a free port beside a real InfluxDB into which lines are written.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from cloud.last_values import LastValues
from cloud.query import InfluxQuery, Series
from cloud.settings import InfluxSection, WebSection
from cloud.sink.influx import InfluxWriter
from cloud.web import captures
from cloud.web.events import EventBook
from cloud.web.fleet import SPEED, Fleet
from cloud.web.history import ROWS_MAX, History
from cloud.web.live_views import LiveViews
from cloud.web.server import Site
from vantel.catalog import Signal, SignalType, assemble, builtin
from vantel_rig.stack import Stack

pytestmark = pytest.mark.servers

DOOR = "can0.Doors.Open"
CATALOG = assemble([builtin().by_name(SPEED), Signal(DOOR, group="can0", type=SignalType.BOOL)])
IDS = " ".join(str(CATALOG.by_name(name).id) for name in (SPEED, DOOR))
TRIGGER_NS, STEP_NS = 1_800_000_000_000_000_000, 1_000_000
COUNT = ROWS_MAX + 2_000
"""Stamps in the window of the first capture: more than the database answers at once."""
FIRST, SECOND, STRANGE = "00000000000000aa", "00000000000000bb", "00000000000000cc"


def line(capture: str, t_ns: int, state: str, catalog: int = CATALOG.hash) -> str:
    fields = (
        f'capture="{capture}",campaign="spike",state="{state}",before_s=10.0,seconds=15.0,samples=7.0,bytes=99.0,'
        f'signals="{IDS}",signal_count=2.0,catalog="{catalog:016x}"'
    )
    return f"captures,van=van-1 {fields} {t_ns}"


@pytest.fixture(scope="module")
def query(vantel_stack: Stack) -> Callable[[str], list[Series]]:
    influx = InfluxSection(url=vantel_stack.influx_url, bucket="captures_page")
    asker, writer = InfluxQuery(influx), InfluxWriter(influx)
    asker.ensure_database()
    begin_ns = TRIGGER_NS - 10**10
    lines = [line(FIRST, TRIGGER_NS, "complete"), line(SECOND, TRIGGER_NS + 10**12, "open")]
    lines.append(line(STRANGE, TRIGGER_NS + 2 * 10**12, "complete", 77))
    lines.append(
        f'captures,van=van-1 capture="{"d" * 16}",state="complete",seconds=15.0 {TRIGGER_NS - 10**12}'
    )
    for at in range(-5, COUNT):
        t_ns = begin_ns + at * STEP_NS
        lines.append(f"telemetry,van=van-1,group=v {SPEED}={at} {t_ns}")
        lines.append(f"telemetry,van=van-2,group=v {SPEED}=-1 {t_ns}")
        if at % 2 == 0:
            lines.append(f"telemetry,van=van-1,group=can0 {DOOR}={'true' if at % 4 else 'false'} {t_ns}")
    lines.append(f"telemetry,van=van-1,group=v {SPEED}=-2 {begin_ns + 15 * 10**9}")
    assert writer.write("\n".join(lines).encode()).good
    writer.close()
    return asker.query


def site(
    query: Callable[[str], list[Series]], body: Callable[[Callable[[str], Awaitable[Any]]], Awaitable[None]]
) -> None:
    """body gets a function: path below /api/van/ -> (status, body, headers)."""

    async def run() -> None:
        fleet = Fleet(EventBook(10))
        fleet.take_catalog("c", CATALOG.encode())
        for van in ("van-1", "van-3"):
            fleet.put(LastValues(van))

        async def never(event_id: str, record: bytes) -> None:
            raise AssertionError(event_id)

        views = LiveViews(lambda *_: True, fleet.results, 30.0)
        served = Site(WebSection(port=0), fleet, views, History(query), never, list)
        await served.start()
        try:
            async with aiohttp.ClientSession() as client:

                async def get(path: str) -> tuple[int, Any, Any]:
                    async with client.get(f"http://127.0.0.1:{served.port}/api/van/{path}") as reply:
                        is_json = reply.content_type == "application/json"
                        return reply.status, await (reply.json() if is_json else reply.text()), reply.headers

                await body(get)
        finally:
            await served.close()

    asyncio.run(run())


def test_the_list_says_what_is_stored_newest_first(query: Callable[[str], list[Series]]) -> None:
    async def body(get: Any) -> None:
        status, told, _ = await get("van-1/captures")
        assert status == 200
        assert [(item["id"], item["state"], item["signals"]) for item in told["captures"]] == [
            (STRANGE, "complete", []), (SECOND, "open", [SPEED, DOOR]), (FIRST, "complete", [SPEED, DOOR]),
        ]  # fmt: skip
        first, t_ms = told["captures"][-1], TRIGGER_NS / 1e6
        assert (first["from"], first["t"], first["to"]) == (t_ms - 10_000, t_ms, t_ms + 5_000)
        assert (first["campaign"], first["samples"], first["bytes"], first["signal_count"]) == (
            "spike",
            7,
            99,
            2,
        )
        assert (await get("van-3/captures"))[1] == {"captures": [], "cut": False}
        assert (await get("van-9/captures"))[0] == 404

    site(query, body)


def test_the_download_has_every_sample_of_the_window_once(query: Callable[[str], list[Series]]) -> None:
    async def body(get: Any) -> None:
        status, text, headers = await get(f"van-1/captures/{FIRST}.csv")
        assert status == 200
        assert headers["Content-Disposition"] == f'attachment; filename="van-1-capture-{FIRST}.csv"'
        assert headers["X-Content-Type-Options"] == "nosniff"
        rows = list(csv.reader(io.StringIO(text)))
        assert rows[0] == ["time_unix_ns", SPEED, DOOR]
        begin_ns = TRIGGER_NS - 10**10
        assert [(int(t), float(speed)) for t, speed, _ in rows[1:]] == [
            (begin_ns + at * STEP_NS, float(at)) for at in range(COUNT)
        ]
        assert [door for _, _, door in rows[1:]] == [
            "" if at % 2 else str(bool(at % 4)) for at in range(COUNT)
        ]

    site(query, body)


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("van-1/captures/nonsense.csv", 400, "no capture id"),
        ("van-1/captures/" + "A" * 16 + ".csv", 400, "no capture id"),
        ("van-1/captures/aa' OR 'a'='a.csv", 400, "no capture id"),
        ("van-1/captures/" + "e" * 16 + ".csv", 404, "nothing is stored"),
        (f"van-3/captures/{FIRST}.csv", 404, "nothing is stored"),
        (f"van-9/captures/{FIRST}.csv", 404, "nothing was ever heard"),
        (f"van-1/captures/{STRANGE}.csv", 409, "catalog"),
    ],
)
def test_what_cannot_be_downloaded_is_refused_in_words(
    query: Callable[[str], list[Series]], path: str, status: int, said: str
) -> None:
    async def body(get: Any) -> None:
        got, told, _ = await get(path)
        assert got == status
        assert said in told["error"]

    site(query, body)


def test_too_many_values_are_refused_before_the_first_byte(
    query: Callable[[str], list[Series]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(get: Any) -> None:
        monkeypatch.setattr(captures, "CSV_VALUES_MAX", COUNT + COUNT // 2 - 1)
        status, told, _ = await get(f"van-1/captures/{FIRST}.csv")
        assert status == 413
        assert f"vantel-edge capture export {FIRST}" in told["error"]
        monkeypatch.setattr(captures, "CSV_VALUES_MAX", COUNT + COUNT // 2)
        assert (await get(f"van-1/captures/{FIRST}.csv"))[0] == 200

    site(query, body)


def test_a_database_that_goes_away_is_said_and_breaks_a_download_off(
    query: Callable[[str], list[Series]],
) -> None:
    left = [0]

    def failing(text: str) -> list[Series]:
        left[0] -= 1
        if left[0] < 0:
            raise OSError("connection refused")
        return query(text)

    async def body(get: Any) -> None:
        for path in ("van-1/captures", f"van-1/captures/{FIRST}.csv"):
            left[0] = 0
            status, told, _ = await get(path)
            assert (status, told["error"]) == (502, "the database does not answer this")
        left[0] = 3  # the capture, its size, the first page
        with pytest.raises(aiohttp.ClientError):
            await get(f"van-1/captures/{FIRST}.csv")

    site(failing, body)
