"""Goal: every line is stored or refused by name, whatever the server answers; nothing is repeated for ever in vain.

Method: the real client over real HTTP, against a double that gives the answers recorded of InfluxDB 2.9.1, and the
cases that need no script against the local stack's 1.6.7 behind nginx, too. Points are read back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from cloud.query import InfluxQuery
from cloud.settings import InfluxSection
from cloud.sink.influx import InfluxWriter, retry_after_s
from cloud.sink.sink import Answer, Refusal, Sink, SinkStopped
from vantel_rig.stack import Stack

GOOD = [f"telemetry,group=g,van=v a={at}.5 {1_700_000_000_000_000_000 + at}".encode() for at in range(40)]
NO_FIELDS = b"telemetry,group=g,van=v 1700000000000000099"
NAN = b"telemetry,group=g,van=v a=NaN 1700000000000000098"
CONFLICT = b'telemetry,group=g,van=v a="text" 1700000000000000097'


def section(url: str, **changed: Any) -> InfluxSection:
    return InfluxSection(**{"url": url, "backoff_s_min": 0.01, "backoff_s_max": 0.02, **changed})


def write(settings: InfluxSection, lines: list[bytes]) -> tuple[list[Refusal], Sink]:
    sink = Sink(InfluxWriter(settings), settings)
    return asyncio.run(sink.write(lines)), sink


class Target:
    """A server to write to, and how many fields it has."""

    def __init__(self, settings: InfluxSection, count: Callable[[], int]) -> None:
        self.settings, self.count = settings, count


@pytest.fixture(params=["double of 2.9.1", pytest.param("real 1.6.7", marks=pytest.mark.servers)])
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    if request.param.startswith("double"):
        double = request.getfixturevalue("influx_double")
        yield Target(section(double.url), double.count)
        return
    bucket = f"sink-{time.time_ns()}"
    settings = section(request.getfixturevalue("worker_stack").influx_url, bucket=bucket)
    query = InfluxQuery(settings)
    query.ensure_database()
    yield Target(settings, query.count_points)
    query.query(f'DROP DATABASE "{bucket}"')


def test_good_lines_are_stored_in_lots_within_both_bounds(target: Target) -> None:
    refusals, sink = write(target.settings.model_copy(update={"lines_max": 7}), GOOD)
    assert refusals == []
    assert sink.state.requests == 6
    assert target.count() == 40


@pytest.mark.parametrize("bad", [NO_FIELDS, NAN], ids=["no fields", "NaN"])
@pytest.mark.parametrize("places", [[0], [39], [13, 14, 30]], ids=str)
def test_lines_that_do_not_parse_are_refused_and_their_neighbours_stored(
    target: Target, bad: bytes, places: list[int]
) -> None:
    lines = [bad if at in places else line for at, line in enumerate(GOOD)]
    refusals, _ = write(target.settings, lines)
    assert [refusal.at for refusal in refusals] == places
    assert all("400" in refusal.text for refusal in refusals)
    assert target.count() == 40 - len(places)


def test_a_field_type_conflict_is_refused_alone(target: Target) -> None:
    write(target.settings, GOOD[:1])
    refusals, _ = write(target.settings, [GOOD[1], CONFLICT, *GOOD[2:]])
    assert [refusal.at for refusal in refusals] == [1]
    assert "field type conflict" in refusals[0].text
    assert target.count() == 40


@pytest.mark.servers
def test_what_the_retention_does_not_keep_is_refused_alone(worker_stack: Stack) -> None:
    """A van whose clock is ten years slow: its points are older than the bucket keeps."""
    settings = section(worker_stack.influx_url, bucket=f"sink-{time.time_ns()}")
    query, now_ns = InfluxQuery(settings), time.time_ns()
    query.query(f'CREATE DATABASE "{settings.bucket}" WITH DURATION 52w')
    ages_ns = [0, 10 * 365 * 86_400 * 10**9, 1, now_ns]  # the last one stands in 1970
    lines = [b"telemetry,van=v,group=g x=1.5 %d" % (now_ns - age_ns) for age_ns in ages_ns]
    refusals, _ = write(settings, lines)
    assert [refusal.at for refusal in refusals] == [1, 3]
    assert all("retention" in refusal.text for refusal in refusals)
    assert query.count_points() == 2
    query.query(f'DROP DATABASE "{settings.bucket}"')


def test_a_body_that_has_to_wait_lets_the_others_through() -> None:
    class Choosy:
        """Takes the first line only when it has all others."""

        def __init__(self) -> None:
            self.taken: list[bytes] = []
            self.refused = 0

        def write(self, body: bytes) -> Answer:
            if body == GOOD[0] and len(self.taken) < 3:
                self.refused += 1
                assert self.refused < 100, "the others are never asked for"
                return Answer(503, "busy")
            self.taken.append(body)
            return Answer(204)

    writer, settings = Choosy(), section("http://127.0.0.1:1", lines_max=1)
    assert asyncio.run(Sink(writer, settings).write(GOOD[:4])) == []
    assert writer.taken == [*GOOD[1:4], GOOD[0]]


def test_nothing_to_write_asks_nothing(target: Target) -> None:
    refusals, sink = write(target.settings, [])
    assert (refusals, sink.state.requests) == ([], 0)


def test_an_unknown_bucket_stops_the_sink_and_names_the_key(target: Target) -> None:
    with pytest.raises(SinkStopped, match=r"404 .*influx\.bucket 'nowhere'"):
        write(target.settings.model_copy(update={"bucket": "nowhere"}), GOOD)
    assert target.count() == 0


@pytest.mark.parametrize(("status", "key"), [(401, "token_file"), (403, "token_file"), (404, "bucket")])
def test_refused_access_stops_the_sink(influx_double: Any, status: int, key: str) -> None:
    influx_double.script.append((status, {}, "no"))
    with pytest.raises(SinkStopped, match=key):
        write(section(influx_double.url), GOOD)


@pytest.mark.parametrize("status", [302, 307, 402, 405, 407, 410, 415])
def test_an_answer_of_something_else_than_the_database_refuses_no_line(
    influx_double: Any, status: int
) -> None:
    influx_double.script.append((status, {"Location": "/login"}, "<html>sign in</html>"))
    with pytest.raises(SinkStopped, match=r"influx\.url"):
        write(section(influx_double.url), GOOD)
    assert influx_double.count() == 0


def test_a_400_of_a_broken_proxy_is_waited_out(influx_double: Any) -> None:
    """All lines are bad to it: that is none of the lines."""
    page = "<html>400 The plain HTTP request was sent to HTTPS port</html>"
    influx_double.script.extend([(400, {}, page)] * 60)
    refusals, sink = write(section(influx_double.url, backoff_s_min=0.001, backoff_s_max=0.002), GOOD[:4])
    assert refusals == []
    assert sink.state.retries > 0
    assert influx_double.count() == 4


def test_a_400_of_a_proxy_for_one_line_refuses_that_line(influx_double: Any) -> None:
    influx_double.always = lambda body: (400, {}, "blocked by policy") if GOOD[17] in body else None
    refusals, _ = write(section(influx_double.url, backoff_s_min=0.001, backoff_s_max=0.002), GOOD)
    assert [refusal.at for refusal in refusals] == [17]
    assert influx_double.count() == 39


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_waited_out(influx_double: Any, status: int) -> None:
    influx_double.script.extend([(status, {}, "busy")] * 3)
    refusals, sink = write(section(influx_double.url), GOOD)
    assert refusals == []
    assert sink.state.retries == 3
    assert influx_double.count() == 40


def test_an_outage_is_told_once_and_its_end_too(influx_double: Any) -> None:
    """Whatever the answers and however many the tries; two outages are told twice."""
    settings = section(influx_double.url)
    with structlog.testing.capture_logs() as told:
        sink = Sink(InfluxWriter(settings), settings)
        for _ in range(2):
            influx_double.script.extend([(503, {}, "starting"), (500, {}, "busy"), (429, {}, "slow down")])
            asyncio.run(sink.write(GOOD))
        asyncio.run(sink.write(GOOD))
    assert [(item["log_level"], item.get("retries")) for item in told] == [
        ("warning", None), ("info", 3), ("warning", None), ("info", 3),
    ]  # fmt: skip
    assert "503 starting" in told[0]["cause"]
    assert influx_double.url in told[0]["cause"]


def test_retry_after_is_honoured(influx_double: Any) -> None:
    influx_double.script.append((429, {"Retry-After": "1"}, "busy"))
    started_s = time.monotonic()
    write(section(influx_double.url), GOOD)
    assert time.monotonic() - started_s >= 1.0
    assert retry_after_s({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert retry_after_s({"Retry-After": "soon"}) is None


def test_a_timeout_after_the_server_stored_it_is_repeated_without_harm(influx_double: Any) -> None:
    influx_double.script.append(lambda _: time.sleep(0.6))
    refusals, sink = write(section(influx_double.url, read_s_max=0.2), GOOD)
    assert refusals == []
    assert sink.state.retries >= 1
    assert influx_double.count() == 40


def test_a_connection_that_is_refused_is_waited_for(influx_double: Any) -> None:
    url = influx_double.url
    settings = section(url)

    async def run() -> list[Refusal]:
        sink = Sink(InfluxWriter(section("http://127.0.0.1:9")), settings)
        writing = asyncio.create_task(sink.write(GOOD))
        await asyncio.sleep(0.3)
        assert not writing.done()
        assert "connection" in sink.state.trouble
        sink._writer = InfluxWriter(settings)
        return await writing

    assert asyncio.run(run()) == []
    assert influx_double.count() == 40


def test_a_body_that_is_too_large_is_split(influx_double: Any) -> None:
    influx_double.always = lambda body: (413, {}, "too large") if len(body) > 500 else None
    refusals, _ = write(section(influx_double.url), GOOD)
    assert refusals == []
    assert influx_double.count() == 40


def test_a_reset_under_a_large_body_splits_it(influx_double: Any) -> None:
    influx_double.reset_above_bytes = 150_000
    lines = [line.replace(b"a=", b't="' + b"x" * 5000 + b'",a=') for line in GOOD]
    refusals, sink = write(section(influx_double.url), lines)
    assert refusals == []
    assert influx_double.count() == 80
    assert sink.state.requests > 3


def test_a_500_that_one_line_causes_is_bisected_to_that_line(influx_double: Any) -> None:
    influx_double.always = lambda body: (500, {}, "internal error") if GOOD[17] in body else None
    refusals, _ = write(section(influx_double.url), GOOD)
    assert [refusal.at for refusal in refusals] == [17]
    assert influx_double.count() == 39


def test_a_500_for_everything_refuses_nothing(influx_double: Any) -> None:
    influx_double.script.extend([(500, {}, "disk full")] * 60)
    refusals, _ = write(section(influx_double.url, backoff_s_min=0.001, backoff_s_max=0.002), GOOD[:4])
    assert refusals == []
    assert influx_double.count() == 4


def test_a_line_above_the_bound_goes_alone(influx_double: Any) -> None:
    long = GOOD[0].replace(b"a=", b't="' + b"x" * 3000 + b'",a=')
    refusals, sink = write(section(influx_double.url, bytes_max=1000), [GOOD[1], long, GOOD[2]])
    assert refusals == []
    assert sink.state.requests == 3


def test_bodies_are_gzipped_and_carry_the_token(influx_double: Any, tmp_path: Any) -> None:
    influx_double.token = "secret"
    (tmp_path / "token").write_text("secret\n")
    write(section(influx_double.url, token_file=tmp_path / "token"), GOOD)
    assert influx_double.count() == 40
