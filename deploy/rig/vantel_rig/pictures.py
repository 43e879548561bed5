"""Pictures of the tour and the README, taken from the running demo: python -m vantel_rig.pictures docs/images

Starts ./demo with three vans, opens its page in headless Chromium as soon as its address is there, and writes
NAME.png for each view. Prints the seconds from the start to the page with a moving van: what a newcomer waits.
Needs Chromium with its driver.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

START_S_MAX = 240.0
SETTLE_S = 45.0
LOOK_S = 6.0
PLOTS_S_MAX = 20.0
DESK, PHONE = (1360, 850, False), (390, 844, True)
VIEWS = (
    ("fleet", "#/", DESK, "light"), ("page", "#/van/van-001", DESK, "light"), ("van-dark", "#/van/van-002", DESK, "dark"),
    ("events", "#/events", DESK, "light"), ("phone", "#/events", PHONE, "light"),
)  # fmt: skip
MOVING = "return Number(document.querySelector('[data-plot]')?.dataset.points ?? 0)"
EMPTY = "return [...document.querySelectorAll('[data-plot]')].some((plot) => !(Number(plot.dataset.points) > 100))"
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars")


def address_of(log: Path, give_up_s: float) -> str:
    """The page's address, as soon as the demo prints it; SystemExit when it does not."""
    while time.monotonic() < give_up_s:
        found = re.search(r"the page: (http://127\.0\.0\.1:\d+/)", log.read_text(encoding="utf-8"))
        if found:
            return found[1]
        time.sleep(0.1)
    raise SystemExit("the demo printed no address of its page; try ./demo --headless")


def browse(profile: str) -> webdriver.Chrome:
    """A headless Chromium without anything of its user."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver") or "chromedriver"))


def take(browser: webdriver.Chrome, base: str, folder: Path) -> None:
    """One file for each view."""
    for name, path, (width, height, mobile), theme in VIEWS:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.execute_script("localStorage.setItem('theme', arguments[0])", theme)
        browser.get("about:blank")
        browser.get(base + path)
        time.sleep(LOOK_S)
        give_up_s = time.monotonic() + PLOTS_S_MAX
        while browser.execute_script(EMPTY) and time.monotonic() < give_up_s:
            time.sleep(0.5)
        browser.save_screenshot(str(folder / f"{name}.png"))


def main() -> None:
    """Run the demo, take the pictures, end the demo."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        log = Path(place) / "demo.log"
        browser = browse(f"{place}/profile")
        begun_s = time.monotonic()
        with log.open("w", encoding="utf-8") as out:
            argv = [sys.executable, "-m", "vantel_rig", "demo", "--headless"]
            demo = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT)
        try:
            base = address_of(log, begun_s + START_S_MAX)
            browser.get(f"{base}#/van/van-001")
            while browser.execute_script(MOVING) < 2:
                if time.monotonic() > begun_s + START_S_MAX:
                    raise SystemExit(f"no plot of van-001 within {START_S_MAX:.0f} s")
                time.sleep(0.2)
            sys.stdout.write(f"first moving plot after {time.monotonic() - begun_s:.0f} s\n")
            time.sleep(SETTLE_S)
            take(browser, base, folder)
        finally:
            browser.quit()
            demo.send_signal(signal.SIGINT)
            demo.wait(timeout=120)


if __name__ == "__main__":
    main()
