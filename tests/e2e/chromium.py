"""Debian's Chromium, headless, driven by Selenium, and what the tests of the page ask of it."""

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

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1280,860",
)  # fmt: skip
WAIT_S = 120.0  # for what must come; nobody waits longer than it takes


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
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path / "downloads")})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(
        options=options, service=Service(shutil.which("chromedriver") or "chromedriver")
    )
    driver.implicitly_wait(0)
    yield driver
    driver.quit()


def until(check: Callable[[], Any], what: str, timeout_s: float = WAIT_S) -> Any:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not seen within {timeout_s:.0f} s: {what}")


def script(browser: webdriver.Chrome, text: str, *arguments: Any) -> Any:
    return browser.execute_script(f"return {text}", *arguments)


def one(browser: webdriver.Chrome, selector: str, what: str, timeout_s: float = WAIT_S) -> Any:
    return until(lambda: next(iter(browser.find_elements(By.CSS_SELECTOR, selector)), None), what, timeout_s)


def words(browser: webdriver.Chrome, selector: str) -> str:
    """What an element says now, empty while there is none; for those that the page makes anew every second."""
    return str(script(browser, "document.querySelector(arguments[0])?.innerText ?? ''", selector))


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.loads(answer.read())


def assert_clean(browser: webdriver.Chrome, base: str, but: str | None = None) -> None:
    """No error in the console, except those that say but; no request to anybody else."""
    said = [entry for entry in browser.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}]
    unexpected = [entry["message"] for entry in said if but is None or but not in entry["message"]]
    assert unexpected == []
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
