"""The page's HTTP side.

Goal: it answers only to its own names and pages, changes nothing without JSON and our origin, forbids everything foreign
by its policy, acknowledges durably or says that it did not, asks the database only what it checked, and streams changes.
Method: the real Site on a free port, asked over HTTP; the database and Kafka are plain functions that note what came.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from cloud.last_values import Last, LastValues, News
from cloud.query import InfluxQuery, Series
from cloud.settings import InfluxSection, WebSection
from cloud.sink.influx import InfluxWriter
from cloud.web.events import EventBook, FleetEvent
from cloud.web.fleet import SPEED, Fleet
from cloud.web.history import BadRange, History, ask_of, query_text, rows_of
from cloud.web.live_views import LiveViews
from cloud.web.server import Site
from vantel.catalog import Signal, SignalType, assemble, builtin
from vantel_rig.stack import Stack

CATALOG = assemble([builtin().by_name(SPEED), Signal("can0.Doors.Open", group="can0", type=SignalType.BOOL)])
EVENT = FleetEvent(
    "00aa", "van-1", 1, 2, CATALOG.by_name(SPEED).id, CATALOG.hash, "range", 9.0, 3.0, 2.0, 1.0, 2, "", "d"
)


class Bench:
    """A site, what it asked of the database, what it made durable, what it sent to vans."""

    def __init__(self, **settings: Any) -> None:
        self.asked: list[str] = []
        self.durable: list[tuple[str, bytes]] = []
        self.sent: list[str] = []
        self.fleet = Fleet(EventBook(10))
        self.fleet.take_catalog("c", CATALOG.encode())
        last = LastValues("van-1")
        values = ((CATALOG.by_name(SPEED).id, Last(1000, 12.5, 0)),)
        last.take(News("van-1", 10**9, "1-1", 10, CATALOG.hash, values=values))
        self.fleet.put(last)
        self.fleet.events.add(EVENT)
        views = LiveViews(lambda van, *_: bool(self.sent.append(van)) or True, self.fleet.results, 30.0)
        self.site = Site(
            WebSection(port=0, **settings), self.fleet, views, History(self.query), self.acknowledge, list
        )
        self.site.ready = True

    def query(self, text: str) -> list[Series]:
        self.asked.append(text)
        return [Series("telemetry", {}, ["time", "v0"], [[2_000_000, 12.5], [1_000_000, 11.0]])]

    async def acknowledge(self, event_id: str, record: bytes) -> None:
        self.durable.append((event_id, record))


def ask(body: Callable[[Bench, aiohttp.ClientSession, str], Awaitable[None]], **settings: Any) -> Bench:
    async def run() -> Bench:
        bench = Bench(**settings)
        await bench.site.start()
        try:
            async with aiohttp.ClientSession() as client:
                await body(bench, client, f"http://127.0.0.1:{bench.site.port}")
        finally:
            await bench.site.close()
        return bench

    return asyncio.run(run())


def test_every_answer_forbids_what_is_foreign() -> None:
    async def body(_: Bench, client: aiohttp.ClientSession, base: str) -> None:
        for path in ("/", "/app.js", "/style.css", "/api/config", "/api/fleet", "/healthz", "/none.js"):
            async with client.get(base + path) as reply:
                policy = reply.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert "http" not in policy
                assert reply.status == (404 if path == "/none.js" else 200)
        async with client.get(base + "/") as reply:
            text = await reply.text()
        assert "No login" in text
        assert "http://" not in text
        assert "https://" not in text
        assert "style=" not in text

    ask(body)


def test_tiles_open_the_policy_for_their_server_alone() -> None:
    async def body(_: Bench, client: aiohttp.ClientSession, base: str) -> None:
        async with client.get(base + "/") as reply:
            assert "img-src 'self' https://tiles.example.org;" in reply.headers["Content-Security-Policy"]

    ask(body, tile_url="https://tiles.example.org/{z}/{x}/{y}.png")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "fleet.example.org", "Origin": "https://fleet.example.org"}, 200),
    ],
)
def test_only_our_own_names_and_pages_are_answered(headers: dict[str, str], status: int) -> None:
    async def body(_: Bench, client: aiohttp.ClientSession, base: str) -> None:
        async with client.get(base + "/api/fleet", headers=headers) as reply:
            assert reply.status == status
            assert ("error" in await reply.json()) == (status != 200)

    ask(body, public_origin="https://fleet.example.org")


def test_an_acknowledgement_is_durable_once_and_wants_json_and_our_origin() -> None:
    async def body(bench: Bench, client: aiohttp.ClientSession, base: str) -> None:
        url, origin = base + "/api/events/00aa/ack", {"Origin": base}
        for refused in (
            client.post(url, json={}),
            client.post(url, data="{}", headers=origin | {"Content-Type": "text/plain"}),
            client.post(url, json={}, headers={"Origin": "http://127.0.0.1:1"}),
        ):
            async with refused as reply:
                assert reply.status in {403, 415}
        assert bench.durable == []
        for _ in range(2):
            async with client.post(url, json={}, headers=origin) as reply:
                assert (await reply.json())["acked"] > 0
        async with client.post(base + "/api/events/ffff/ack", json={}, headers=origin) as reply:
            assert reply.status == 404

    bench = ask(body)
    [(event_id, record)] = bench.durable
    assert event_id == "00aa"
    assert json.loads(record)["van"] == "van-1"
    assert bench.fleet.row("van-1")[3] == 0


def test_history_asks_only_for_signals_of_the_van() -> None:
    async def body(bench: Bench, client: aiohttp.ClientSession, base: str) -> None:
        url = base + "/api/van/van-1/history"
        async with client.get(url, params={"signal": SPEED, "from": "1", "to": "1000"}) as reply:
            assert (await reply.json())["series"] == {SPEED: [[1.0, 11.0], [2.0, 12.5]]}
        for params, status in (
            ({"signal": '"; DROP DATABASE vantel; --'}, 404),
            ({"signal": SPEED, "from": "9", "to": "8"}, 400),
            ({"signal": SPEED, "from": "x"}, 400),
            ({}, 400),
        ):
            async with client.get(url, params=params) as reply:
                assert reply.status == status
        async with client.get(base + "/api/van/van-9/history", params={"signal": SPEED}) as reply:
            assert reply.status == 404
        assert len(bench.asked) == 1

    ask(body)


def test_the_query_keeps_the_extremes_that_rollups_hold() -> None:
    signals = list(CATALOG.signals)
    raw = query_text(ask_of("van-1", signals, 0, 1000, 100))
    assert "GROUP BY" not in raw
    assert f'"{SPEED}.max" AS' in raw, "a short range hides no peak of a rollup"
    assert "time >= 0 AND time <= 1000000000" in raw
    question = ask_of("van-1", signals, 0, 3_600_000, 600)
    text = query_text(question)
    assert f'max("{SPEED}.max")' in text
    assert "GROUP BY time(6000ms) fill(none)" in text
    assert 'last("can0.Doors.Open")' in text
    assert 'min("can0.Doors.Open")' not in text
    at = question.signals.index(CATALOG.by_name(SPEED))
    columns = ["time", *(f"{letter}{at}" for letter in "vabcd")]
    answer = [Series("telemetry", {}, columns, [[6_000_000_000, 5.0, 4.0, 6.0, 1.0, 9.0]])]
    assert rows_of(question, answer)["series"][SPEED] == [[6000, 5.0, 1.0, 9.0]]
    for bad in ((signals * 9, 0, 9), (signals, 5, 5), (signals, -1, 9), (signals, 0, 1 << 43)):
        with pytest.raises(BadRange):
            ask_of("van-1", *bad, 100)
    with pytest.raises(BadRange):
        ask_of("van-1", [Signal('x"y')], 0, 9, 100)


def test_a_stream_gives_everything_then_changes_and_watches_its_van() -> None:
    async def body(bench: Bench, client: aiohttp.ClientSession, base: str) -> None:
        async def message(reply: aiohttp.ClientResponse) -> dict[str, Any]:
            line = await asyncio.wait_for(reply.content.readline(), 5)
            await reply.content.readline()
            return dict(json.loads(line.removeprefix(b"data: ")))

        async with client.get(base + "/api/stream") as reply:
            first = await message(reply)
            assert first["first"]
            assert [row[0] for row in first["rows"]] == ["van-1"]
            assert len(first["events"]) == 1
            bench.fleet.put(LastValues("van-2"))
            change = await message(reply)
            assert [row[0] for row in change["rows"]] == ["van-2"]
            assert not change["first"]
        async with client.get(base + "/api/van/van-1/stream") as reply:
            told = await message(reply)
            assert told["live"]["state"] == "asked"
            assert len(bench.sent) == 1
        for _ in range(40):
            if len(bench.sent) == 2:
                break
            await asyncio.sleep(0.1)
        assert len(bench.sent) == 2, "closing the page ends the live view"

    ask(body)


def test_viewers_are_bounded() -> None:
    async def body(_: Bench, client: aiohttp.ClientSession, base: str) -> None:
        async with client.get(base + "/api/stream") as reply, client.get(base + "/api/stream") as second:
            assert (reply.status, second.status) == (200, 503)

    ask(body, viewers_max=1)


@pytest.mark.servers
def test_more_samples_than_the_database_answers_at_once_come_as_steps_with_their_peaks(
    vantel_stack: Stack,
) -> None:
    influx = InfluxSection(url=vantel_stack.influx_url, bucket="many")
    query, writer = InfluxQuery(influx), InfluxWriter(influx)
    query.ensure_database()
    begin_ms, count = 1_800_000_000_000, 12_000
    lines = [
        f"telemetry,van=van-1,group=v {SPEED}={99 if n == 7_777 else n % 10} {(begin_ms + 5 * n) * 10**6}"
        for n in range(count)
    ]
    assert writer.write("\n".join(lines).encode()).good
    writer.close()
    ask = ask_of("van-1", [CATALOG.by_name(SPEED)], begin_ms, begin_ms + 5 * count, 600)
    answer = asyncio.run(History(query.query).ask(ask))
    assert answer["step_ms"] > 0
    assert not answer["cut"]
    points = answer["series"][SPEED]
    assert points[0][0] < begin_ms + 1000
    assert points[-1][0] > begin_ms + 5 * count - 1000, "the whole range"
    assert max(point[3] for point in points) == 99, "the peak"
    few = asyncio.run(
        History(query.query).ask(ask_of("van-1", ask.signals, begin_ms, begin_ms + 5 * 900, 600))
    )
    assert (few["step_ms"], len(few["series"][SPEED])) == (0, 901)
