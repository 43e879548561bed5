"""A page whose server is gone, says nothing, or is behind a proxy that answers for it.

Goal: in the very moment in which the header warns, no row and no value passes for what is now: each is unknown, with the
age of what was heard last; when the stream is back, everything is live again, by itself. Without a database a plot is
unknown, and says why.
Method: the real Site in a thread, closed, held still, or with another server in its place, under Chromium. Nothing becomes
stale by time here, so that only the lost stream can change a row; every wait is for a condition.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from selenium import webdriver

from cloud.last_values import Last, LastValues, News
from cloud.query import InfluxQuery
from cloud.settings import InfluxSection, WebSection
from cloud.web import server as web_server
from cloud.web.events import EventBook
from cloud.web.fleet import SPEED, Fleet
from cloud.web.history import History
from cloud.web.live_views import LiveViews
from cloud.web.server import Site
from tests.e2e.chromium import WAIT_S, assert_clean, browser, script, until, words
from vantel.catalog import assemble, builtin

__all__ = ["browser"]
CATALOG = assemble([builtin().by_name(SPEED)])
SPEED_ID = CATALOG.by_name(SPEED).id
NO_DATABASE = InfluxSection(url="http://127.0.0.1:9")
REFUSAL = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n"
WATCH = """
window.told = [];
const link = document.getElementById('link');
new MutationObserver(() => window.told.push({
  down: link.classList.contains('down'),
  shown: [...document.querySelectorAll(arguments[0])].map((node) => node.textContent),
})).observe(link, { attributes: true });
"""
AT_WARNING = "window.told.find((one) => one.down)?.shown"
ROW = '.row.item[data-van="van-1"]'
STATE, VALUE = ".tile b", f'[data-signal="{SPEED}"]'


class Page:
    """The site of one van, in a loop of its own thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._still = threading.Event()
        self.refused = threading.Event()
        """A stream was refused."""
        self._proxy: asyncio.Server | None = None
        self._site: Site | None = None
        self.port = 0
        self.start()

    def _do(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(WAIT_S)

    def start(self) -> None:
        async def never(*_: Any) -> None:
            return

        fleet = Fleet(EventBook(10))
        fleet.take_catalog("c", CATALOG.encode())
        last, now_ms = LastValues("van-1"), time.time_ns() // 1_000_000
        values = ((SPEED_ID, Last(now_ms, 12.5, 0)),)
        last.take(News("van-1", now_ms * 1_000_000, "1-1", 10, CATALOG.hash, values=values))
        fleet.put(last)
        views = LiveViews(lambda *_: True, fleet.results, 30.0)
        settings = WebSection(port=self.port, stale_after_s=86_400.0)
        self._site = Site(settings, fleet, views, History(InfluxQuery(NO_DATABASE, 5.0).query), never, list)
        self._site.ready = True
        self._do(self._site.start())
        self.port = self._site.port

    def stop(self) -> None:
        if self._site is not None:
            self._do(self._site.close())
            self._site = None

    def hold(self) -> None:
        """Connections stay, and nothing comes: as with a network that broke without a word."""
        self._still.clear()
        self._loop.call_soon_threadsafe(self._still.wait)

    def go_on(self) -> None:
        self._still.set()

    def refuse(self) -> None:
        """What a reverse proxy answers while the page's server is away; a browser gives a stream up for it."""
        self.stop()
        self.refused.clear()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if b"/api/stream" in await reader.readline():
                self.refused.set()
            writer.write(REFUSAL)
            await writer.drain()
            writer.close()

        self._proxy = self._do(asyncio.start_server(answer, "127.0.0.1", self.port))

    def accept(self) -> None:
        if self._proxy is not None:
            self._proxy.close()
            self._do(self._proxy.wait_closed())
            self._proxy = None
        self.start()

    def end(self) -> None:
        self.go_on()
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    monkeypatch.setattr(web_server, "BEAT_S", 1.0)
    page = Page()
    try:
        yield page
    finally:
        page.end()


def test_no_row_says_live_while_the_page_hears_nothing(page: Page, browser: webdriver.Chrome) -> None:
    base = f"http://127.0.0.1:{page.port}"
    browser.get(f"{base}/")
    row = lambda: words(browser, ROW)  # noqa: E731
    for lose, regain in ((page.stop, page.start), (page.hold, page.go_on), (page.refuse, page.accept)):
        until(lambda: "live" in row(), "the row to be live")
        browser.execute_script(WATCH, ROW)
        lose()
        shown = until(lambda: script(browser, AT_WARNING), f"the warning after {lose.__name__}")
        assert [("live" in text, "unknown" in text) for text in shown] == [(False, True)]
        old = row()
        until(lambda old=old: row() != old, "the age of the row, which goes on")
        assert "live" not in row()
        assert lose != page.refuse or page.refused.wait(WAIT_S)
        regain()
    until(lambda: "live" in row(), "the row to be live again")
    assert_clean(browser, base, but="Failed to load resource")


def test_a_vans_own_page_tells_the_age_of_everything(page: Page, browser: webdriver.Chrome) -> None:
    base = f"http://127.0.0.1:{page.port}"
    browser.get(f"{base}/#/van/van-1")
    state = lambda: words(browser, STATE)  # noqa: E731
    view = lambda: script(browser, "document.getElementById('live').dataset.state")  # noqa: E731
    until(lambda: state() == "live" and view() == "asked", "the van's page")
    assert "old" not in words(browser, VALUE)
    until(lambda: "unknown" in words(browser, f'[data-plot="{SPEED}"]'), "a plot without a database")
    until(lambda: "vantel-cloud check" in words(browser, ".legend"), "what to do about it")
    browser.execute_script(WATCH, f"{STATE}, {VALUE}, #live")
    page.stop()
    said, told_state, *_, value = until(lambda: script(browser, AT_WARNING), "the warning")
    assert "the page's server is away" in said
    assert told_state == "unknown"
    assert value.endswith("old)")
    page.start()
    until(lambda: state() == "live" and view() == "asked", "the page to be live again")
    until(lambda: "old" not in words(browser, VALUE), "the value to be live again")
