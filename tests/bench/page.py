"""The page with a large fleet: time to the first rows, filter, sort and scroll; memory of the tab and of the server.

    python tests/bench/page.py [--vans 20000] [--json FILE]

Simulated last values of all vans stand in the fleet of a real Site, a share of them changes every second; Chromium,
headless, opens it. Times in ms, memory in MB. cpu: processor time of the tab's main thread for one act, the fleet's
changes meanwhile among it; it hardly depends on what else the machine does. What it does not measure: reading 20,000 records from Kafka at the start.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from cloud import log
from cloud.last_values import Last, LastValues, News
from cloud.settings import LogSection, WebSection
from cloud.web.events import EventBook, FleetEvent
from cloud.web.fleet import LATITUDE, LONGITUDE, SPEED, Fleet
from cloud.web.history import History
from cloud.web.live_views import LiveViews
from cloud.web.server import Site
from vantel.catalog import assemble, builtin

CHANGES_A_SECOND = 2_000
EVENTS = 2_000
CATALOG = assemble([builtin().by_name(name) for name in (LATITUDE, LONGITUDE, SPEED)])
IDS = [CATALOG.by_name(name).id for name in (LATITUDE, LONGITUDE, SPEED)]
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1280,860",
    "--enable-precise-memory-info",
)  # fmt: skip
FIRST_ROWS = """
const done = arguments[arguments.length - 1];
const look = () => document.querySelector('.row.item') ? done([performance.now(), Number(document.querySelector('.list').dataset.ms),
  performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null]) : requestAnimationFrame(look);
look();
"""
ACT = """
const done = arguments[arguments.length - 1], [kind, text] = arguments, begun = performance.now();
if (kind === 'filter') { const search = document.getElementById('search'); search.value = text; search.dispatchEvent(new Event('input')); }
if (kind === 'sort') document.querySelector(`[data-sort="${text}"]`).click();
if (kind === 'scroll') document.querySelector('.list').scrollTop = Number(text);
const worked = performance.now() - begun;
requestAnimationFrame(() => setTimeout(() => done([worked, performance.now() - begun]), 0));
"""


def news(number: int, random_: random.Random) -> News:
    now_ms = time.time_ns() // 1_000_000
    place = (48.0 + random_.uniform(-1, 1), 11.0 + random_.uniform(-1, 1), random_.uniform(0, 40))
    values = tuple((key, Last(now_ms, value, 0)) for key, value in zip(IDS, place, strict=True))
    return News(f"van-{number:05d}", now_ms * 1_000_000, "1-1", 900, CATALOG.hash, values=values, full=False)


class Server:
    """The site in a thread of its own, with a fleet that keeps changing."""

    def __init__(self, vans: int) -> None:
        self._vans, self._random = vans, random.Random(1)
        self.fleet = Fleet(EventBook(EVENTS))
        self.fleet.take_catalog("c", CATALOG.encode())
        for number in range(vans):
            self._change(number)
        now_ms = time.time_ns() // 1_000_000
        for number in range(EVENTS):
            van = f"van-{self._random.randrange(vans):05d}"
            self.fleet.events.add(
                FleetEvent(f"{number:016x}", van, now_ms, now_ms, IDS[2], CATALOG.hash, "range", 99, 3, 2, 1, 1 + number % 3, "", "")
            )  # fmt: skip
            self.fleet.touch(van)
        self.site: Site | None = None
        self.ready, self.stop = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def _change(self, number: int) -> None:
        last = LastValues(f"van-{number:05d}")
        last.take(news(number, self._random))
        self.fleet.put(last)

    async def _run(self) -> None:
        async def never(*_: Any) -> None:
            return

        views = LiveViews(lambda *_: False, self.fleet.results, 30.0)
        self.site = Site(WebSection(port=0), self.fleet, views, History(lambda _: []), never, list)
        self.site.ready = True
        await self.site.start()
        self.ready.set()
        while not self.stop.is_set():
            for _ in range(CHANGES_A_SECOND // 10):
                self._change(self._random.randrange(self._vans))
            await asyncio.sleep(0.1)
        await self.site.close()


def worked_s(browser: webdriver.Chrome) -> float:
    """Processor time of the tab's main thread."""
    metrics = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return float(next(item["value"] for item in metrics if item["name"] == "TaskDuration"))


def measure(base: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or "chromium"
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        browser = webdriver.Chrome(
            options=options, service=Service(shutil.which("chromedriver") or "chromedriver")
        )
        try:
            browser.set_script_timeout(60)
            browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
            browser.get(f"{base}/")
            rows_ms, _, paint_ms = browser.execute_async_script(FIRST_ROWS)
            time.sleep(3)
            result: dict[str, Any] = {
                "first_contentful_paint_ms": round(paint_ms or 0),
                "first_rows_ms": round(rows_ms),
            }
            acts = {
                "filter": ["1", "12", "123", "van-0", ""] * 4,
                "sort": ["id", "speed", "heard", "place", "worst"] * 2,
                "scroll": [str(n * 36_000) for n in range(10)],
            }
            for kind, texts in acts.items():
                before_s = worked_s(browser)
                times = [browser.execute_async_script(ACT, kind, text) for text in texts]
                result[f"{kind}_cpu_ms_mean"] = round(1000 * (worked_s(browser) - before_s) / len(texts), 1)
                result[f"{kind}_ms_median"] = round(statistics.median(t[0] for t in times), 1)
                result[f"{kind}_ms_max"] = round(max(t[0] for t in times), 1)
                result[f"{kind}_with_frame_ms_median"] = round(statistics.median(t[1] for t in times), 1)
                result[f"{kind}_with_frame_ms_max"] = round(max(t[1] for t in times), 1)
            browser.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
            result["tab_heap_mb"] = round(
                browser.execute_script("return performance.memory.usedJSHeapSize") / 1e6, 1
            )
            result["row_elements"] = browser.execute_script(
                "return document.querySelectorAll('.row.item').length"
            )
            return result
        finally:
            browser.quit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vans", type=int, default=20_000)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    log.configure(LogSection(level="warning", format="text"))
    server = Server(arguments.vans)
    server.thread.start()
    if not server.ready.wait(30) or server.site is None:
        raise SystemExit("the site did not start")
    try:
        result = {"vans": arguments.vans, **measure(f"http://127.0.0.1:{server.site.port}")}
    finally:
        server.stop.set()
        server.thread.join(5)
    result["server_rss_mb_max"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, 1)
    sys.stdout.writelines(f"{key:28} {value}\n" for key, value in result.items())
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
