"""The page in a real browser, on the whole pipe.

Goal: a van is found and opened, its signal moves at full rate because the page asked for it, an injected event is seen
in time and acknowledged, and both outlive a kill of the worker and a restart of the page; keys (search, zoom, focus),
phone width and both themes work; nothing goes to the console as an error and no request leaves this machine.
Method: Debian's Chromium, headless, driven by Selenium, against servers, bridge, worker, page and van as processes.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.e2e.chromium import assert_clean, browser, get, one, script, until, words
from vantel_rig.cloud_side import CloudSide
from vantel_rig.drives import drive
from vantel_rig.stack import Stack
from vantel_rig.van import Van

__all__ = ["browser"]
pytestmark = [pytest.mark.servers, pytest.mark.e2e]

PROBE = "Vehicle.Robovan.TestBench.Probe"


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


def test_a_person_finds_a_van_watches_it_and_acknowledges_an_event(
    side: tuple[CloudSide, Van], browser: webdriver.Chrome
) -> None:
    cloud, van = side
    base = cloud.url("web")
    browser.get(f"{base}/")
    until(lambda: "live" in words(browser, '[data-van="van-007"]'), "the van in the list, live")
    browser.find_element(By.TAG_NAME, "body").send_keys("/")
    search = browser.switch_to.active_element
    search.send_keys("zzz")
    until(lambda: "0 of" in browser.find_element(By.ID, "count").text, "a filter that nothing passes")
    search.send_keys(Keys.ESCAPE)
    until(lambda: "1 of" in browser.find_element(By.ID, "count").text, "the filter emptied by Escape")
    search.send_keys("007", Keys.ENTER)
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
    # while nobody watches one sample a second is shown: 60 in the time that this waits
    until(
        lambda: script(browser, count, plot) - before >= 150, "20 samples a second while somebody watches", 60
    )
    assert browser.find_elements(By.CSS_SELECTOR, ".strip rect.stored"), "the ledger is drawn"
    browser.find_element(By.CSS_SELECTOR, f"{plot} canvas").send_keys("+")
    live = lambda: browser.find_elements(By.CSS_SELECTOR, '[data-range="Live"].on')  # noqa: E731
    until(lambda: not live(), "a zoom by keyboard")
    browser.find_element(By.CSS_SELECTOR, '[data-range="Live"]').send_keys(Keys.ENTER)
    until(live, "the live range again")
    assert browser.switch_to.active_element.get_attribute("data-range") == "Live", "it keeps the focus"

    browser.find_element(By.TAG_NAME, "body").send_keys("e")
    one(browser, "#only-open", "the page of events")
    van.inject(PROBE, "spike", 80.0, mark="seen")
    event = until(
        lambda: next((e for e in get(f"{base}/api/events")["events"] if e["injected"] == "seen"), None),
        "the event",
    )
    shown = one(browser, f'[data-event="{event["id"]}"]', "the event on the page")
    assert PROBE in shown.text
    assert "robust_z" in shown.text

    search = browser.find_element(By.ID, "search")
    search.send_keys("no such severity")
    until(lambda: not browser.find_elements(By.CSS_SELECTOR, "[data-event]"), "a filter that no event passes")
    search.clear()
    search.send_keys(event["severity"])
    one(browser, f'[data-event="{event["id"]}"]', "the event found by its severity")
    search.clear()
    search.send_keys(Keys.ESCAPE)

    every = browser.find_element(By.ID, "ack-all")
    every.click()
    until(lambda: "Press again" in every.text, "the question before all are acknowledged")
    every.send_keys(Keys.TAB)
    until(lambda: every.text == "Acknowledge all shown", "the question to be taken back")
    assert not get(f"{base}/api/events?open=0")["events"][0]["acked"]
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
        one(browser, selector, f"page {page!r} on a phone")
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
