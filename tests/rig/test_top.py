"""Goal: `vantel top` shows each van with a state that is known, the age of its report and counts that add up.

Method: books and deaths by hand for the states; the command as a process beside a van on the real stack.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from cloud.ledger.accounts import CloudAccount, Settled, VanAccount
from cloud.ledger.keys import van_key
from cloud.worker.lag import Unread
from vantel.identity import DeliveryClass, Epoch, StreamKey
from vantel.intervals import IntervalSet
from vantel.payloads import ClassAccount, Death, Eviction
from vantel_rig.cloud_side import CloudSide
from vantel_rig.ports import HeldPort
from vantel_rig.pytest_plugin import VanFactory
from vantel_rig.top import Fleet, VanLine, age_text, as_json, table_of

P1 = DeliveryClass.P1
OLD, NEW = Epoch(1, 5), Epoch(2, 3)
NOW_S = 1_800_000_000.0


def report(fleet: Fleet, van: str, age_s: float, epoch: Epoch = NEW, produced: int = 10) -> None:
    account = ClassAccount(epoch, P1, produced, IntervalSet([(0, 3)]), (Eviction(4, 4, "full"),))
    value = VanAccount(van, int((NOW_S - age_s) * 1e9), {(epoch, P1): account}).encode()
    fleet.take_ledger(van_key(van), value)


def store(fleet: Fleet, van: str, count: int) -> None:
    account = CloudAccount(StreamKey(van, NEW, P1))
    for seq in range(count):
        account.settle(Settled(account.stream, seq, points=2))
    fleet.take_ledger("any", account.encode())


def test_states_and_their_order() -> None:
    fleet = Fleet()
    report(fleet, "alive-1", 2)
    report(fleet, "silent-1", 100)
    report(fleet, "silent-2", 4000)
    report(fleet, "left-1", 5)
    report(fleet, "back-1", 3)
    report(fleet, "lost-1", 3)
    report(fleet, "future-1", -5000)
    store(fleet, "never-1", 3)
    fleet.take_last("left-1|presence", Death("left-1", NEW, graceful=True).encode())
    fleet.take_last("back-1|presence", Death("back-1", OLD, graceful=True).encode())
    fleet.take_last("lost-1|presence", Death("lost-1", NEW, graceful=False).encode())
    fleet.take_last("alive-1|presence", b"\xff\xff")
    fleet.take_last("alive-1|something", b"")
    assert [(line.van, line.state) for line in fleet.lines(NOW_S)] == [
        ("silent-2", "silent"), ("silent-1", "silent"), ("never-1", "unknown"), ("future-1", "unknown"),
        ("left-1", "left"), ("back-1", "alive"), ("lost-1", "alive"), ("alive-1", "alive"),
    ]  # fmt: skip


def test_while_the_workers_are_behind_a_van_may_have_told_what_is_not_known() -> None:
    fleet = Fleet()
    report(fleet, "alive-1", 20)
    report(fleet, "before-1", 100)
    report(fleet, "since-1", 59)
    states = lambda: {line.van: line.state for line in fleet.lines(NOW_S)}  # noqa: E731
    assert states() == {"alive-1": "alive", "before-1": "silent", "since-1": "silent"}
    fleet.unread = Unread(7, NOW_S - 50)
    assert states() == {"alive-1": "alive", "before-1": "silent", "since-1": "unknown"}
    lines, behind_s = fleet.lines(NOW_S), fleet.behind_s(NOW_S)
    assert "the last 50 s" in str(table_of(lines, 5, behind_s).caption)
    assert as_json(lines, NOW_S, behind_s)["workers_behind_s"] == 50.0
    assert table_of(lines, 5, 5.0).caption is None


def test_counts_add_up_and_the_rate_is_that_of_the_last_interval() -> None:
    fleet = Fleet()
    report(fleet, "v", 1)
    store(fleet, "v", 3)
    line = fleet.lines(NOW_S)[0]
    assert line.per_s is None, "one look shows no rate"
    assert (line.produced, line.stored, line.evicted, line.spooled, line.on_its_way) == (10, 3, 1, 5, 1)
    assert line.produced == line.stored + line.rejected + line.evicted + line.spooled + line.on_its_way
    store(fleet, "v", 8)
    line = fleet.lines(NOW_S + 2)[0]
    assert line.per_s == 2.5
    assert line.points == 16


@pytest.mark.parametrize(
    ("age_s", "text"),
    [(None, "never"), (-0.2, "0 s"), (-90, "90 s ahead"), (5.4, "5 s"), (119, "119 s"), (180, "3 min"), (7200, "2 h"),
     (864_000, "10 d")],
)  # fmt: skip
def test_ages(age_s: float | None, text: str) -> None:
    assert age_text(age_s) == text


def test_a_long_fleet_is_cut_and_says_so() -> None:
    lines = [VanLine(f"v{n}", "alive", 1.0, 0, 0, 0, 0, 0, 0, 0, 0) for n in range(7)]
    table = table_of(lines, 5)
    assert len(table.rows) == 5
    assert "2 more" in str(table.caption)
    assert "7 alive" in str(table.title)
    assert len(as_json(lines, NOW_S)["vans"]) == 7


@pytest.mark.servers
@pytest.mark.e2e
def test_the_command_beside_a_van(vantel_cloud: CloudSide, vantel_van: VanFactory) -> None:
    van = vantel_van("top-1", [{"kind": "probe"}], health={"period_s": 0.5}, batch={"window_s": 1.0})
    give_up_s = time.monotonic() + 180
    row: dict[str, object] = {}
    while not (row.get("state") == "alive" and row["stored"]):
        assert time.monotonic() < give_up_s, (row, van.tail())
        done = command(vantel_cloud, "--json")
        assert done.returncode == 0, done.stderr
        row = next((one for one in json.loads(done.stdout)["vans"] if one["van"] == "top-1"), {})
    shown = command(vantel_cloud, "--seconds", "1")
    assert shown.returncode == 0, shown.stderr
    assert "top-1" in shown.stdout
    van.stop()
    while row["state"] != "left":
        assert time.monotonic() < give_up_s, row
        row = next(
            one for one in json.loads(command(vantel_cloud, "--json").stdout)["vans"] if one["van"] == "top-1"
        )


def command(cloud: CloudSide, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "vantel_rig", "top", "--config", str(cloud.config), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=240)


def test_a_narrow_terminal_shows_which_van_is_silent() -> None:
    lines = [
        VanLine(f"van-munich-00{n}", "silent", 7100.0, 123_456, 123_456, 0, 0, 0, 0, 1, 0) for n in (7, 8)
    ]
    console = Console(width=50, file=io.StringIO())
    console.print(table_of(lines, 40))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(f"van-munich-00{n} silent" in text for n in (7, 8)), text


def test_a_terminal_of_80_columns_shows_every_name_and_count() -> None:
    line = VanLine("van-munich-007", "silent", 7100.0, 123_456, 123_456, 12, 3456, 7890, 12, 1, 0, 12.5)
    console = Console(width=80, file=io.StringIO())
    console.print(table_of([line], 40))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    assert all(word in text for word in ("van-munich-007", "123456", "3456", "7890", "118 min", "evicted"))


@pytest.mark.parametrize(
    "words", [["vantel_rig", "top"], ["vantel_rig", "ledger"], ["cloud", "rewind", "--since", "1h"]]
)
def test_without_kafka_one_line_says_so(tmp_path: Path, words: list[str]) -> None:
    nobody = HeldPort()
    config = tmp_path / "cloud.toml"
    config.write_text(f'[kafka]\nbootstrap = "127.0.0.1:{nobody.port}"\n')
    argv = [sys.executable, "-m", *words, "--config", str(config)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 65, done.stderr
    assert len(done.stderr.splitlines()) == 1, "nothing of what a library says beside it"
    assert "kafka.bootstrap" in done.stderr
