"""Is this gap silence or loss? Asked of the command, on the whole pipe with real servers.

Goal: while a van is off the ledger says silent, while its data lies in Kafka it says waiting, what is written is stored,
and nothing is unaccounted. Method: a van runs, is stopped, runs again while the worker is away; then the worker comes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from vantel_rig.cloud_side import CloudSide
from vantel_rig.pytest_plugin import VanFactory

pytestmark = [pytest.mark.servers, pytest.mark.e2e]

OFF_S = 6


def ask(cloud: CloudSide, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "vantel_rig", "ledger", "--config", str(cloud.config), *words],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def states(told: dict[str, Any], van: str) -> list[tuple[str, str]]:
    return [
        (span["state"], span["reason"]) for span in told["timeline"][van] if span["delivery_class"] == "p1"
    ]


def wait_for(cloud: CloudSide, van: str, state: tuple[str, str], more_than_s: int = 2) -> dict[str, Any]:
    """The ledger, once it has a span of this state of more than so many seconds."""
    until_s = time.monotonic() + 240
    while True:
        code, words = ask(cloud, "--van", van, "--since", "10m", "--json")
        if code == 0:
            told: dict[str, Any] = json.loads(words)
            for span in told["timeline"][van]:
                long_s = span["last_unix_s"] - span["first_unix_s"]
                if (span["state"], span["reason"]) == state and long_s > more_than_s:
                    return told
        assert time.monotonic() < until_s, words
        time.sleep(1)


def test_a_gap_is_told_as_what_it_is(vantel_cloud: CloudSide, vantel_van: VanFactory) -> None:
    van = vantel_van(
        "gaps-1",
        [{"kind": "synthetic"}],
        batch={"window_s": 1.0, "window_live_s": 1.0},
        health={"period_s": 1.0},
    )
    wait_for(vantel_cloud, van.id, ("stored", ""))
    van.stop()
    time.sleep(OFF_S)
    vantel_cloud.process("worker").stop(60)
    van.start()
    told = wait_for(vantel_cloud, van.id, ("waiting", "in_kafka"))
    assert ("silent", "off") in states(told, van.id)
    assert ("stored", "") in states(told, van.id)
    assert van.drain(240), van.tail()
    vantel_cloud.restart("worker")
    vantel_cloud.wait_drained(240)
    code, words = ask(
        vantel_cloud, "--van", van.id, "--van-dir", str(van.folder / "state"), "--since", "10m", "--json"
    )
    told = json.loads(words)
    assert (code, told["ledger"]["residual"]) == (0, 0)
    assert told["ledger"]["samples_produced"] > 0
    found = states(told, van.id)
    assert found.count(("silent", "off")) == 2, "before its first start, and while it was off"
    assert {state for state, _ in found} == {"stored", "silent", "unheard"}
    spans = [span for span in told["timeline"][van.id] if span["delivery_class"] == "p1"]
    off = [span for span in spans if (span["state"], span["reason"]) == ("silent", "off")][1]
    assert off["last_unix_s"] - off["first_unix_s"] + 1 >= OFF_S - 2
    code, words = ask(vantel_cloud, "--van", van.id, "--since", "10m")
    assert code == 0
    assert "silent(off): the van produced nothing" in words


def test_times_that_mean_nothing_are_refused(vantel_cloud: CloudSide) -> None:
    for words in (["--since", "yesterday"], ["--since", "1h", "--until", "2h"]):
        code, told = ask(vantel_cloud, *words)
        assert code == 2
        assert "vantel ledger: " in told
