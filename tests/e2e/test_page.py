"""The page in a real browser, on the whole pipe.

Goal: a van is found and opened, its signal moves at full rate because the page asked for it, an injected event is seen
in time and acknowledged, and both outlive a kill of the worker and a restart of the page; keys, phone width and both
themes work; nothing goes to the console as an error and no request leaves this machine.
Method: Debian's Chromium, headless, driven by Selenium, against servers, bridge, worker, page and van as processes.
"""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from vantel_rig.cloud_side import CloudSide
from vantel_rig.drives import drive
from vantel_rig.stack import Stack
from vantel_rig.van import Van

pytestmark = [pytest.mark.servers, pytest.mark.e2e]

PROBE = "Vehicle.Robovan.TestBench.Probe"
EVENT_MS_MAX = 2000.0
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1280,860",
)  # fmt: skip


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CloudSide, Van]]:
    folder = tmp_path_factory.mktemp("page")
    with Stack(folder / "servers") as stack:
        cloud = CloudSide(stack, folder / "cloud")
        sources = [drive(0), {"kind": "probe", "rate_hz": 20.0}]
        van = Van("van-007", folder / "van", stack.mqtt_port, sources)
        try:
            cloud.start()
            van.start().wait_ready()
            yield cloud, van
        finally:
            if van.alive:
                van.stop()
            cloud.stop()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip(
            "this machine has no Chromium with its driver, and its distribution has no package of them"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(
        options=options, service=Service(shutil.which("chromedriver") or "chromedriver")
    )
    driver.implicitly_wait(0)
    yield driver
    driver.quit()


def until(check: Callable[[], Any], what: str, timeout_s: float = 20.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not seen within {timeout_s:.0f} s: {what}")


def script(browser: webdriver.Chrome, text: str, *arguments: Any) -> Any:
    return browser.execute_script(f"return {text}", *arguments)


def one(browser: webdriver.Chrome, selector: str, what: str, timeout_s: float = 20.0) -> Any:
    return until(lambda: next(iter(browser.find_elements(By.CSS_SELECTOR, selector)), None), what, timeout_s)


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())


def assert_clean(browser: webdriver.Chrome, base: str) -> None:
    """No error in the console, no request to anybody else."""
    said = [entry for entry in browser.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}]
    assert said == []
    urls = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            urls.append(message["params"]["request"]["url"])
    # at its start the browser shows a page of its own, from chrome:// addresses inside itself
    asked = [url for url in urls if urlsplit(url).scheme in {"http", "https", "ws", "wss"}]
    foreign = [url for url in asked if urlsplit(url).netloc != urlsplit(base).netloc]
    assert asked
    assert foreign == []


@pytest.mark.timeout(240)
def test_a_person_finds_a_van_watches_it_and_acknowledges_an_event(
    side: tuple[CloudSide, Van], browser: webdriver.Chrome
) -> None:
    cloud, van = side
    base = cloud.url("web")
    browser.get(f"{base}/")
    row = one(browser, '[data-van="van-007"]', "the van in the list", 40)
    assert "live" in row.text
    browser.find_element(By.TAG_NAME, "body").send_keys("/")
    search = browser.switch_to.active_element
    search.send_keys("zzz")
    until(lambda: "0 of" in browser.find_element(By.ID, "count").text, "a filter that nothing passes")
    search.send_keys(Keys.BACKSPACE * 3, "007", Keys.ENTER)
    value = one(browser, f'[data-value="{PROBE}"]', "the plot of the probe")
    until(
        lambda: script(browser, "document.getElementById('live').dataset.state") == "on",
        "the live view confirmed",
    )
    first = value.text
    until(lambda: value.text != first, "the signal moving")
    count = "Number(document.querySelector(arguments[0]).dataset.points)"
    plot = f'[data-plot="{PROBE}"]'
    before = script(browser, count, plot)
    time.sleep(3.0)
    assert script(browser, count, plot) - before >= 30, "20 samples a second while somebody watches"
    assert browser.find_elements(By.CSS_SELECTOR, ".strip rect.stored"), "the ledger is drawn"

    browser.find_element(By.TAG_NAME, "body").send_keys("e")
    one(browser, "#only-open", "the page of events")
    van.inject(PROBE, "spike", 80.0, mark="seen")
    event = until(
        lambda: next((e for e in get(f"{base}/api/events")["events"] if e["injected"] == "seen"), None),
        "the event",
    )
    shown = one(browser, f'[data-event="{event["id"]}"]', "the event on the page")
    late_ms = time.time() * 1000 - event["t"]
    assert late_ms < EVENT_MS_MAX
    assert PROBE in shown.text
    assert "robust_z" in shown.text

    browser.find_element(By.CSS_SELECTOR, f'[data-ack="{event["id"]}"]').click()
    gone = lambda: not browser.find_elements(By.CSS_SELECTOR, f'[data-event="{event["id"]}"]')  # noqa: E731
    until(gone, "the acknowledged event to leave the open ones")

    cloud.kill("worker")
    cloud.restart("worker")
    browser.get(f"{base}/#/van/van-007")
    value = one(browser, f'[data-value="{PROBE}"]', "the plot after the worker's restart")
    heard = get(f"{base}/api/van/van-007")["row"][1]
    until(lambda: get(f"{base}/api/van/van-007")["row"][1] > heard, "news through the new worker")
    last = value.text
    until(lambda: value.text != last, "the signal moving after the worker's restart")
    assert_clean(browser, base)

    cloud.process("web").stop()
    cloud.restart("web")
    kept = next(e for e in get(f"{base}/api/events")["events"] if e["id"] == event["id"])
    assert kept["acked"], "an acknowledgement outlives the page"


@pytest.mark.timeout(120)
def test_phone_width_themes_and_an_unknown_van(
    side: tuple[CloudSide, Van], browser: webdriver.Chrome
) -> None:
    cloud, _ = side
    base = cloud.url("web")
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True},
    )
    for page, selector in (
        ("", '[data-van="van-007"]'),
        ("#/events", "table"),
        ("#/van/van-007", "[data-plot]"),
    ):
        browser.get(f"{base}/{page}")
        one(browser, selector, f"page {page!r} on a phone", 40)
        assert script(browser, "document.documentElement.scrollWidth") <= 390
    before = script(browser, "getComputedStyle(document.body).backgroundColor")
    browser.find_element(By.ID, "theme").click()
    assert script(browser, "getComputedStyle(document.body).backgroundColor") != before
    assert_clean(browser, base)
    browser.get(f"{base}/#/van/nobody")
    until(
        lambda: "nothing was ever heard" in browser.find_element(By.ID, "main").text,
        "the word on an unknown van",
    )
