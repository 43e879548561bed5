"""A capture on the page, in a real browser, on the whole pipe.

Goal: a van without captures says what would bring one; the capture of a pushed campaign appears by itself, opens by
keyboard with its signals over its window and the trigger marked, and its download holds every sample of the recording.
Method: a van replays a CSV recording with one spike; the operator's command pushes a campaign for it before it starts.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.e2e.chromium import assert_clean, browser, one, until
from vantel.campaign.signature import new_key
from vantel_rig.cloud_side import CloudSide
from vantel_rig.stack import Stack
from vantel_rig.van import Van

__all__ = ["browser"]
pytestmark = [pytest.mark.servers, pytest.mark.e2e]
START_NS, STEP_NS = 1_700_000_000_000_000_000, 10_000_000
SPIKE_AT, COUNT = 2_000, 2_800
CAMPAIGN = """
name = "spike"
version = 1
condition = "drive.a > 100"
signals = ["drive.*"]
before_s = 4
after_s = 2
bytes_per_day_max = 10_000_000
"""


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CloudSide, Van]]:
    folder = tmp_path_factory.mktemp("captures")
    private, public = new_key()
    (folder / "operator.key").write_bytes(private)
    (folder / "operator.pub").write_bytes(public)
    (folder / "spike.toml").write_text(CAMPAIGN)
    rows = (f"{at / 100:.2f},{200 if at == SPIKE_AT else at % 7},{-at}" for at in range(COUNT))
    (folder / "drive.csv").write_text("\n".join(["t,a,b", *rows]) + "\n")
    recording = {"path": str(folder / "drive.csv"), "name": "drive", "start_unix_s": START_NS / 1e9}
    source = {"kind": "replay", "time": "original", "speed": 1.0, "recordings": [recording]}
    with Stack(folder / "servers") as stack:
        cloud = CloudSide(stack, folder / "cloud")
        keys = {"keys_file": str(folder / "operator.pub")}
        van = Van("van-008", folder / "van", stack.mqtt_port, [source], campaign=keys)
        try:
            cloud.start()
            subprocess.run(
                [sys.executable, "-m", "cloud", "campaign", "push", str(folder / "spike.toml"), "--van", van.id,
                 "--key", str(folder / "operator.key"), "--config", str(cloud.config), "--wait-s", "0"],
                check=True, timeout=240, capture_output=True,
            )  # fmt: skip
            van.start().wait_ready()
            yield cloud, van
        finally:
            if van.alive:
                van.stop()
            cloud.stop()


def test_a_person_sees_a_capture_and_takes_its_samples_along(
    side: tuple[CloudSide, Van], browser: webdriver.Chrome, tmp_path: Path
) -> None:
    cloud, van = side
    base = cloud.url("web")
    browser.get(f"{base}/")
    one(browser, f'[data-van="{van.id}"]', "the van in the list")
    browser.get(f"{base}/#/van/{van.id}")
    until(
        lambda: "vantel-cloud campaign push" in browser.find_element(By.ID, "main").text,
        "what fills the list",
    )
    row = one(browser, "#captures [data-capture]", "the capture, without a reload")
    capture_id = row.get_attribute("data-capture")
    said = lambda: browser.find_element(By.ID, "captures").text  # noqa: E731
    until(lambda: "complete" in said(), "the end of the capture")
    assert "spike" in said()
    assert "4 s before, 2 s after" in said()
    assert "1,202" in said(), "600 of each signal, and the last value of each before the window"
    until(lambda: len(_open(browser, capture_id)) == 2, "the plots of both signals")
    trigger_ms = (START_NS + (SPIKE_AT + 1) * STEP_NS) // 10**6
    for plot in browser.find_elements(By.CSS_SELECTOR, "#capture [data-plot]"):
        assert float(str(plot.get_attribute("data-mark"))) == trigger_ms
        until(
            lambda plot=plot: plot.get_attribute("data-points") in {"600", "601"},
            "every sample of the window",
        )
    browser.find_element(By.CSS_SELECTOR, f'[data-download="{capture_id}"]').click()
    path = tmp_path / "downloads" / f"{van.id}-capture-{capture_id}.csv"
    until(path.exists, "the downloaded file")
    rows = list(csv.reader(path.read_text().splitlines()))
    assert rows[0] == ["time_unix_ns", "drive.a", "drive.b"]
    first = SPIKE_AT + 1 - 400
    assert [[float(cell) for cell in row] for row in rows[1:]] == [
        [float(START_NS + at * STEP_NS), 200.0 if at == SPIKE_AT else at % 7, -at]
        for at in range(first, first + 600)
    ]
    assert_clean(browser, base)


def _open(browser: webdriver.Chrome, capture_id: str | None) -> list[object]:
    """Plots of the capture; opened by keyboard when it is not."""
    button = browser.find_element(By.CSS_SELECTOR, f'[data-capture="{capture_id}"]')
    if button.get_attribute("aria-expanded") == "false":
        button.send_keys(Keys.ENTER)
        time.sleep(0.2)
    return browser.find_elements(By.CSS_SELECTOR, "#capture [data-plot]")
