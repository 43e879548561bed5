"""Gaps of one van's plot in a real browser, on the whole pipe: silence and loss each in its own colour.

Goal: where the van was off the plot is grey, where its envelopes were given up it is red, both as the ledger says, and no
line is drawn across either; where samples are stored nothing is tinted.
Method: a van is stopped and started; then its link is metered, which keeps telemetry on the van, while its disk leaves
the spool no more than its floor, so that it must give up the oldest. The pixels of the canvas are compared with the
colours of the style sheet.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from tests.e2e.chromium import assert_clean, browser, get, one, script, until
from vantel_rig.cloud_side import CloudSide
from vantel_rig.pytest_plugin import VanFactory
from vantel_rig.van import Van

__all__ = ["browser"]
pytestmark = [pytest.mark.servers, pytest.mark.e2e]

OFF_S = 8.0
NAMES = [f"noise.x{number}" for number in range(20)]
SPOOL = {
    "segment_bytes_max": 65_536, "bytes_max": 16 << 20, "p0_reserve_bytes": 0, "keep_free_bytes": 1 << 60,
}  # fmt: skip
COLOURS = """(() => {
  const [name, times] = arguments, canvas = document.querySelector(`[data-plot="${name}"] canvas`);
  const { from, to } = canvas.dataset, box = canvas.getBoundingClientRect(), context = canvas.getContext('2d');
  const hex = (text) => [1, 3, 5].map((at) => parseInt(text.trim().slice(at, at + 2), 16)).join();
  const style = getComputedStyle(document.documentElement), known = {};
  for (const key of ['--hatch', '--wait', '--bad', '--accent']) known[hex(style.getPropertyValue(key))] = key;
  const near = (pixel) => Object.keys(known).find((one) => one.split(',').every((part, at) => Math.abs(part - pixel[at]) <= 9));
  const column = (time) => {
    const x = 52 + (time - from) / (to - from) * (box.width - 58), found = new Set();
    for (let y = 8; y < box.height - 26; y += 1) {
      const pixel = context.getImageData(Math.round(x), y, 1, 1).data;
      if (pixel[3] && near(pixel)) found.add(known[near(pixel)]);
    }
    return [...found];
  };
  return from === undefined ? null : times.map(column);
})()
"""


def recording(folder: Path) -> dict[str, Any]:
    """Ten seconds of noise that no codec can make small: about 15 kB a second."""
    folder.mkdir()
    numbers, path = random.Random(7), folder / "noise.csv"
    rows = (",".join([f"{at / 100:.2f}", *(repr(numbers.random()) for _ in NAMES)]) for at in range(1000))
    columns = ",".join(name.removeprefix("noise.") for name in NAMES)
    path.write_text("\n".join([f"t,{columns}", *rows]) + "\n")
    recorded = {"path": str(path), "name": "noise"}
    return {"kind": "replay", "time": "shifted", "loop": True, "recordings": [recorded]}


def gaps(cloud: CloudSide, van: Van) -> list[dict[str, Any]]:
    """What the page is told of the last ten minutes, in the order of time; with what lies between the gaps."""
    now_ms = int(time.time() * 1000)
    url = f"{cloud.url('web')}/api/van/{van.id}/history?signal={NAMES[0]}&from={now_ms - 600_000}&to={now_ms}"
    found: list[dict[str, Any]] = get(url)["gaps"]
    return found


def gap(cloud: CloudSide, van: Van, fits: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
    """The newest gap that fits, of at least three seconds, once there is one."""
    fitting = lambda: [one for one in gaps(cloud, van) if fits(one) and one["to"] - one["from"] >= 3000]  # noqa: E731
    return dict(until(lambda: next(iter(fitting()[::-1]), None), what, 240))


def test_silence_and_loss_have_their_colours(
    vantel_cloud: CloudSide, vantel_van: VanFactory, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    van = vantel_van(
        "colours-1", [recording(tmp_path / "drive")], spool=SPOOL, health={"period_s": 1.0},
        batch={"fidelity": "full", "window_s": 1.0, "window_live_s": 1.0},
    )  # fmt: skip
    base = vantel_cloud.url("web")
    sent = lambda epoch: van.status()["epoch"] != epoch and van.status()["uplink"]["acked"] >= 5  # noqa: E731
    until(lambda: sent(""), "stored samples")
    epoch = van.status()["epoch"]
    van.stop()
    began_ms = time.time() * 1000
    time.sleep(OFF_S)
    van.start()
    until(lambda: sent(epoch), "stored samples after the silence")
    silent = gap(
        vantel_cloud, van, lambda one: one["from"] > began_ms - 5000 and "(off)" in one["text"], "the silence"
    )
    metered = van.folder / "state" / "metered"
    metered.touch()
    lost = gap(vantel_cloud, van, lambda one: "evicted" in one["text"], "the loss")
    metered.unlink()
    assert (silent["kind"], lost["kind"]) == ("silence", "loss")
    stored_ms = (silent["to"] + lost["from"]) / 2
    middle = lambda one: (one["from"] + one["to"]) / 2  # noqa: E731

    browser.get(f"{base}/#/van/{van.id}")
    one(browser, f'[data-plot="{NAMES[0]}"]', "the plot of the noise")
    browser.find_element(By.CSS_SELECTOR, '[data-range="10 min"]').click()
    seen = lambda times: script(browser, COLOURS, NAMES[0], times)  # noqa: E731
    until(lambda: seen([middle(silent)]) == [["--hatch"]], "the silence among ten minutes")
    zoom(browser, silent["from"] - 10_000, lost["to"] + 10_000)
    times, wanted = [middle(silent), middle(lost), stored_ms], [["--hatch"], ["--bad"], ["--accent"]]
    until(lambda: seen(times) == wanted, "silence, loss and what is stored, each in its colour")
    assert_clean(browser, base, but="willReadFrequently")  # said to this test, which reads pixels


def zoom(browser: webdriver.Chrome, from_ms: float, to_ms: float) -> None:
    """Drag over the plot, as a person does."""
    canvas = browser.find_element(By.CSS_SELECTOR, f'[data-plot="{NAMES[0]}"] canvas')
    shown = [float(str(canvas.get_attribute(f"data-{name}"))) for name in ("from", "to")]
    width = canvas.size["width"]
    at = [52 + (ms - shown[0]) / (shown[1] - shown[0]) * (width - 58) - width / 2 for ms in (from_ms, to_ms)]
    act = ActionChains(browser).move_to_element_with_offset(canvas, int(at[0]), 0).click_and_hold()
    act.move_by_offset(int(at[1] - at[0]), 0).release().perform()
    one(browser, '[data-range="10 min"]:not(.on)', "the zoomed range")
