"""The verdict of a run.

Goal: exit code 0 stands for a ledger that balances and points that are all there, and for nothing less.
Method: a good report, then the same with one thing wrong.
"""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
from rich.console import Console

from cloud.ledger.sheet import SUMS
from cloud.ledger.timeline import NO_SAMPLES, OFF, SILENT, STORED, UNHEARD, Span
from vantel_rig.demo import FAULT_EVERY_S, FAULTS_MIN, FIRST_FAULT_S, STARTING_S, DemoOptions, fault_period_s
from vantel_rig.gaps import gap_lines
from vantel_rig.report import print_ledger, problems_of

ROW = dict.fromkeys(SUMS, 0) | {"produced": 10, "stored": 10}
GOOD: dict[str, Any] = {
    "ledger": ROW,
    "samples_produced": 100,
    "points_stored": 30,
    "points_in_influxdb": 30,
    "bytes_uplink": 400,
    "bytes_raw": 1600,
    "event_latency_ms": {"n": 20, "p50": 100.0, "p99": 200.0},
    "vans": {"van-1": ROW},
    "residual_at": {},
}


def printed(report: dict[str, Any]) -> tuple[int, list[str]]:
    text = io.StringIO()
    code = print_ledger(Console(file=text, width=100), report)
    return code, text.getvalue().splitlines()


def test_a_good_run_is_0_and_its_last_words_are_the_ledger() -> None:
    code, lines = printed(GOOD)
    assert code == 0
    assert lines[-1] == (
        "ledger: produced 10 = stored 10 + rejected 0 + evicted 0 + spooled 0 + in_kafka 0; residual 0"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ledger": {"stored": 9, "residual": 1}}, "1 envelopes are nowhere"),
        ({"ledger": {"stored": 9}}, "does not add up"),
        ({"ledger": {"stored": 9, "spooled": 1}}, "not drained: 1 envelopes spooled"),
        ({"ledger": {"stored": 8, "in_kafka": 2}}, "2 in Kafka"),
        ({"ledger": {"produced": 0, "stored": 0}}, "nothing was produced"),
        ({"points_in_influxdb": 29}, "30 points written, 29 in InfluxDB"),
        ({"points_in_influxdb": 31}, "30 points written, 31 in InfluxDB"),
    ],
)
def test_one_thing_wrong_is_1_and_is_said(changes: dict[str, Any], said: str) -> None:
    report = copy.deepcopy(GOOD)
    report["ledger"] = {**report["ledger"], **changes.pop("ledger", {})}
    report.update(changes)
    assert problems_of(report)
    code, lines = printed(report)
    assert code == 1
    assert any(said in line for line in lines)


@pytest.mark.parametrize("seconds", [10, 12, 20, 30, 60, 600])
@pytest.mark.parametrize("vans", [1, 2, 3, 7, 20])
def test_every_run_has_its_twenty_marked_faults(seconds: float, vans: int) -> None:
    period_s = fault_period_s(DemoOptions(seconds=seconds, vans=vans))
    faults_a_van = (seconds - FIRST_FAULT_S - STARTING_S) / period_s
    assert 0 < period_s <= FAULT_EVERY_S
    assert vans * faults_a_van >= FAULTS_MIN - 1e-9


@pytest.mark.parametrize(
    ("state", "reason", "seconds", "ago_s", "lines"),
    [
        (UNHEARD, "", 3, 2, 1), (SILENT, NO_SAMPLES, 14, 2, 1), (UNHEARD, "", 16, 2, 2), (SILENT, OFF, 3, 2, 2),
        (UNHEARD, "", 3, 3600, 2),
    ],
)  # fmt: skip
def test_the_last_seconds_before_now_are_no_gap(
    state: str, reason: str, seconds: int, ago_s: int, lines: int
) -> None:
    end_s = 1_800_000_000 - ago_s
    spans = [
        Span(end_s - 100, end_s - 90, SILENT, NO_SAMPLES),
        Span(end_s - 89, end_s - seconds, STORED),
        Span(end_s - seconds + 1, end_s, state, reason),
    ]
    told = {"van-1": [span.as_dict() for span in spans], "van-2": []}
    assert len(list(gap_lines(told, 1_800_000_000.0))) == lines
