"""Goal: reads give exact values and times, and say which query failed and why.

Method: a real InfluxDB of the local stack, written to through the sink's own client.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from cloud.connection import ConnectionRefused
from cloud.query import InfluxQuery, QueryError
from cloud.settings import InfluxSection
from cloud.sink.influx import InfluxWriter
from vantel_rig.stack import Stack

LINES = [
    b'telemetry,group=g,van=v-1 a=0.1,b=true,c="x" 1700000000000000001',
    b"telemetry,group=g,van=v-1 a=1e-300 1700000000000000002",
    b"events,group=g,van=v-1 value=2.5 1700000000000000003",
    b"telemetry,group=g,van=v-2 a=9007199254740993.0 -5",
    b"agent,van=v-1 cpu_percent=5.0 1700000000000000001",
]


@pytest.fixture
def influx(worker_stack: Stack) -> Any:
    settings = InfluxSection(url=worker_stack.influx_url, bucket=f"query-{time.time_ns()}")
    query = InfluxQuery(settings)
    query.ensure_database()
    query.ensure_database()
    yield settings
    query.query(f'DROP DATABASE "{settings.bucket}"')


@pytest.mark.servers
def test_values_and_times_come_back_exactly(influx: InfluxSection) -> None:
    assert InfluxWriter(influx).write(b"\n".join(LINES)).good
    series = InfluxQuery(influx).query('SELECT a, b, c FROM telemetry GROUP BY "van"')
    rows = {part.tags["van"]: list(part.rows()) for part in series}
    assert rows["v-1"] == [
        {"time": 1_700_000_000_000_000_001, "a": 0.1, "b": True, "c": "x"},
        {"time": 1_700_000_000_000_000_002, "a": 1e-300, "b": None, "c": None},
    ]
    assert rows["v-2"] == [{"time": -5, "a": 9007199254740992.0, "b": None, "c": None}]


@pytest.mark.servers
def test_points_are_the_fields_of_telemetry_and_events(influx: InfluxSection) -> None:
    query = InfluxQuery(influx)
    assert query.count_points() == 0
    assert InfluxWriter(influx).write(b"\n".join(LINES)).good
    assert query.count_points_by_van() == {"v-1": 5, "v-2": 1}
    assert query.count_points("v-1") == 5


@pytest.mark.servers
def test_a_query_that_is_none_says_what_the_server_said(influx: InfluxSection) -> None:
    with pytest.raises(QueryError, match=r"SELEKT.*error parsing query"):
        InfluxQuery(influx).query("SELEKT")
    with pytest.raises(QueryError, match="database not found"):
        InfluxQuery(influx.model_copy(update={"bucket": "nowhere"})).query("SELECT a FROM b")


def test_plaintext_to_another_machine_is_refused_for_reads_and_writes() -> None:
    settings = InfluxSection(url="http://influx.example.org:8086")
    for door in (InfluxQuery, InfluxWriter):
        with pytest.raises(ConnectionRefused, match=r"influx\.plaintext"):
            door(settings)
