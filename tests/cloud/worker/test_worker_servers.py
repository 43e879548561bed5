"""Goal: with real Kafka and InfluxDB, what is in Kafka ends as points, dead letters and a ledger that agree; a worker
that is killed, stopped, broken or stuck at the worst moment loses nothing and doubles nothing.

Method: the worker runs as an ordinary process, once on each of its adapters; a fault is put into it by a few lines of Python started in its place. The
tests of the guards go red when the guard is taken out (tried by hand, each).
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloud.commands.redrive import redrive
from cloud.kafka.topics import CATALOG
from cloud.worker.delivery import Outgoing
from vantel.catalog import Catalog, Signal, assemble
from vantel.identity import DeliveryClass

pytestmark = pytest.mark.servers
P0, P1 = DeliveryClass.P0, DeliveryClass.P1
LEAVE_S_MAX = 60.0  # from SIGTERM on, for a machine that is busy
ANSWER_S_MAX = 300.0  # a database that hangs, and how long the worker would wait for it

FAULTY = """
import os, signal, sys, time
from pathlib import Path
from cloud import log
from cloud.worker import worker
from cloud.worker.delivery import Delivery
from cloud.settings import load
{fault}
settings = load(Path(sys.argv[2]))
log.configure(settings.log)
sys.exit(worker.run_worker(settings))
"""
KILL = "os.kill(os.getpid(), signal.SIGKILL)"


def faulty(tmp_path: Path, fault: str) -> str:
    path = tmp_path / "faulty.py"
    path.write_text(FAULTY.format(fault=fault))
    return str(path)


def at(step: str, before: str = "", after: str = "") -> str:
    """Code that does something before or after a step of Delivery."""
    return (
        f"original = Delivery.{step}\n"
        f"async def changed(self, *arguments):\n    {before or 'pass'}\n"
        f"    result = await original(self, *arguments)\n    {after or 'pass'}\n    return result\n"
        f"Delivery.{step} = changed"
    )


def exit_code(run: Any, timeout_s: float = 120.0) -> int:
    code = run.process.wait(timeout_s)
    assert code is not None, run.tail()
    return int(code)


def test_bundles_become_points_and_poison_dead_letters(worker_run: Callable[..., Any], bench: Any) -> None:
    run = worker_run()
    others = set(run.sheet().vans)  # a new group also reads what earlier tests have left in Kafka
    poison = bench.speeds("good-1", 5)[:-1]
    run.publish(
        bench.record("good-1", [bench.birth("good-1", 0)], P0),
        bench.record("good-1", [bench.speeds("good-1", 0), poison, bench.speeds("good-1", 1)]),
        Outgoing("vantel.p1", b"3", b"\xff garbage that is no bundle"),
        Outgoing("vantel.p1", b"3", None),  # type: ignore[arg-type]
        bench.record("good-2", [bench.speeds("good-2", seq) for seq in range(30)]),
        bench.record("good-2", [bench.speeds("good-2", 4)]),
        bench.record("good-1", [bench.event("good-1", 1), bench.event("good-1", 2, "rate")], P0),
    )
    run.start().drained()
    points = {van: n for van, n in run.query.count_points_by_van().items() if van not in others}
    assert points == {"good-1": 40 + 16, "good-2": 600}
    sheet = run.sheet()
    assert sheet.balanced
    assert (sheet.vans["good-1"].stored, sheet.vans["good-1"].points) == (5, 56)
    assert (sheet.vans["good-2"].stored, sheet.vans["good-2"].points) == (30, 600)
    assert sheet.vans["good-2"].duplicates >= 1
    assert [(letter.reason, letter.message) for letter in run.letters("good-1")] == [("corrupt", poison)]
    assert sorted(letter.message for letter in run.letters("") if letter.reason == "bundle") == [
        b"", b"\xff garbage that is no bundle",
    ]  # fmt: skip
    events = run.query.query("SELECT * FROM events WHERE van = 'good-1'")[0]
    assert [row["channel"] for row in events.rows()] == ["range", "rate"]
    metrics = run.metrics()
    assert 'vantel_worker_envelopes_total{outcome="stored"}' in metrics
    assert 'vantel_worker_dead_letters_total{reason="corrupt"} 1.0' in metrics
    assert run.process.stop(LEAVE_S_MAX) == 0


KILLED_AT = {
    "after the write": at("_publish_ledger", before=KILL),
    "before the commit": at("take", after=KILL),
}


@pytest.mark.parametrize("moment", KILLED_AT)
def test_a_kill_at_the_worst_moment_changes_nothing(
    worker_run: Callable[..., Any], bench: Any, tmp_path: Path, moment: str
) -> None:
    van = f"kill-{list(KILLED_AT).index(moment)}"
    run = worker_run()
    run.publish(
        bench.record(van, [bench.birth(van, 0)], P0),
        *[bench.record(van, [bench.speeds(van, seq), bench.speeds(van, seq + 1)]) for seq in range(0, 12, 2)],
    )
    run.start(faulty(tmp_path, KILLED_AT[moment]))
    assert exit_code(run) == -signal.SIGKILL
    assert run.lag() >= 7, "nothing of the batch may be committed"
    run.start().drained()
    assert run.query.count_points_by_van()[van] == 240
    row = run.sheet().vans[van]
    assert (row.produced, row.stored, row.points, row.residual) == (13, 13, 240, 0)


def test_an_unexpected_error_leaves_the_process_and_commits_nothing(
    worker_run: Callable[..., Any], bench: Any, tmp_path: Path
) -> None:
    run = worker_run()
    run.publish(*[bench.record("bug-1", [bench.speeds("bug-1", seq)]) for seq in range(10)])
    run.publish(bench.record("bug-1", [bench.birth("bug-1", 0)], P0))
    fault = at("_store", before="time.sleep(0.3); raise RuntimeError('a bug')")
    before = run.lag()
    run.start(faulty(tmp_path, fault))
    assert exit_code(run) == 70
    assert "a bug" in run.tail()
    time.sleep(0.5)
    assert run.lag() == before
    run.start().drained()
    assert run.query.count_points_by_van()["bug-1"] == 200


CRASH = {
    "faust": (
        "import asyncio\nfrom cloud.worker import faust_adapter\noriginal = faust_adapter.build_app\n"
        "def build(*arguments):\n    app = original(*arguments)\n"
        "    later = lambda: asyncio.ensure_future(app.crash(RuntimeError('from within')))\n"
        "    asyncio.get_running_loop().call_later(1.0, later)\n    return app\nfaust_adapter.build_app = build"
    ),
    "aiokafka": (
        "from aiokafka import AIOKafkaConsumer\n"
        "async def getmany(*arguments, **named):\n    raise RuntimeError('from within')\n"
        "AIOKafkaConsumer.getmany = getmany\n"
        "from cloud.kafka import compacted\nasync def nothing(self):\n    pass\ncompacted.CompactedTopic.catch_up = nothing"
    ),
}


def test_a_crash_of_the_adapter_itself_ends_the_worker(
    worker_run: Callable[..., Any], bench: Any, tmp_path: Path, adapter: str
) -> None:
    run = worker_run()
    run.publish(bench.record("crash-1", [bench.birth("crash-1", 0)], P0))
    before = run.lag()
    run.start(faulty(tmp_path, CRASH[adapter]))
    assert exit_code(run) == 70
    assert "from within" in run.tail()
    assert run.lag() >= before - 1


def test_kafka_that_dies_while_the_adapter_starts_is_waited_for(
    worker_run: Callable[..., Any], adapter_stack: tuple[str, Any], bench: Any, tmp_path: Path
) -> None:
    run, (_, stack) = worker_run(), adapter_stack
    ready, go = tmp_path / "ready", tmp_path / "go"
    wait = f"Path({str(ready)!r}).touch()\n    while not Path({str(go)!r}).exists(): time.sleep(0.05)"
    fault = f"made = worker.adapter_of\ndef late(*given):\n    {wait}\n    return made(*given)\nworker.adapter_of = late"
    run.start(faulty(tmp_path, fault))
    run.wait(ready.exists)
    stack.kill("kafka")
    try:
        go.touch()
        run.wait(lambda: "waiting for Kafka" in run.tail())
        time.sleep(5.0)
        assert run.log.read_text(errors="replace").count("waiting for Kafka") <= 2, (
            "once is enough, for a while"
        )
    finally:
        stack.start_again("kafka")
    run.publish(bench.record("start-1", [bench.birth("start-1", 0)], P0))
    run.drained()
    assert run.process.running and "Traceback" not in run.log.read_text(errors="replace")


def test_a_stuck_worker_is_ended_by_its_watchdog(
    worker_run: Callable[..., Any], bench: Any, tmp_path: Path
) -> None:
    run = worker_run(worker={"stalled_after_s": 2.0})
    run.publish(bench.record("stuck-1", [bench.birth("stuck-1", 0)], P0))
    fault = (
        "import asyncio\nasync def hang(self, records):\n    await asyncio.sleep(3600)\nDelivery.take = hang"
    )
    run.start(faulty(tmp_path, fault))
    assert exit_code(run) == 75
    assert "no commit for" in run.tail()


def test_a_blocked_event_loop_is_ended_by_the_watchdog(
    worker_run: Callable[..., Any], bench: Any, tmp_path: Path
) -> None:
    run = worker_run(worker={"stalled_after_s": 2.0})
    run.publish(bench.record("stuck-2", [bench.birth("stuck-2", 0)], P0))
    run.start(faulty(tmp_path, at("take", before="time.sleep(60)")))
    assert exit_code(run) == 75


def test_an_outage_of_the_database_is_waited_out_and_sigterm_ends_the_wait(
    worker_run: Callable[..., Any], bench: Any, influx_double: Any
) -> None:
    run = worker_run(
        influx={"url": influx_double.url, "bucket": "vantel", "read_s_max": ANSWER_S_MAX},
        worker={"stalled_after_s": 5.0, "commit_interval_s": 0.2},
    )
    run.publish(
        bench.record("out-1", [bench.birth("out-1", 0)], P0),
        *[bench.record("out-1", [bench.speeds("out-1", seq)]) for seq in range(5)],
    )
    influx_double.always = lambda _: (503, {}, "starting")
    run.start()
    run.wait(lambda: len(influx_double.bodies) > 3)
    time.sleep(6.0)
    assert run.process.running, "an honest wait is no stall"
    before = run.lag()
    stopped = threading.Event()
    influx_double.always = lambda _: stopped.wait(ANSWER_S_MAX)
    assert run.process.stop(LEAVE_S_MAX) == 0, "it waited for the answer"
    stopped.set()
    assert run.lag() >= before > 0
    influx_double.always = lambda _: None
    run.start().drained()
    assert sum(len(fields) for key, fields in influx_double.points.items() if ("van", "out-1") in key) == 100
    assert run.sheet().vans["out-1"].points == 100


def test_a_database_that_refuses_us_stops_the_worker_and_commits_nothing(
    worker_run: Callable[..., Any], bench: Any
) -> None:
    run = worker_run()
    run.publish(
        bench.record("no-1", [bench.birth("no-1", 0)], P0), bench.record("no-1", [bench.speeds("no-1", 0)])
    )
    before = run.lag()
    run.query.query(f'DROP DATABASE "{run.settings.influx.bucket}"')
    run.start()
    assert exit_code(run) == 78
    assert "check influx.bucket" in run.tail()
    run.query.ensure_database()
    assert run.lag() >= before - 1, "only the record without a line may have passed"
    run.start().drained()
    assert run.query.count_points_by_van()["no-1"] == 20


def own_catalog(name: str) -> Catalog:
    return assemble([Signal(f"can0.Motion.{name}", group="can0"), Signal("can0.Motion.Speed", group="can0")])


@pytest.mark.parametrize("running", [True, False], ids=["while the worker runs", "while no worker runs"])
def test_a_late_catalog_drives_its_dead_letters_in_again(
    worker_run: Callable[..., Any], bench: Any, running: bool
) -> None:
    van = f"late-{int(running)}"
    bench.catalog = own_catalog(f"Late{int(running)}")
    run = worker_run()
    run.publish(*[bench.record(van, [bench.speeds(van, seq)]) for seq in range(3)])
    run.start().drained()
    assert run.sheet().vans[van].rejected_by_reason == {"catalog_unknown": 3}
    if not running:
        assert run.process.stop(LEAVE_S_MAX) == 0
    run.publish(Outgoing(CATALOG, f"{bench.catalog.hash:016x}".encode(), bench.catalog.encode()))
    if not running:
        run.start()
    run.wait(lambda: run.sheet().vans[van].stored == 3)
    row = run.sheet().vans[van]
    assert (row.stored, row.rejected, row.points, row.residual) == (3, 0, 60, 0)
    assert run.query.count_points_by_van()[van] == 60


def test_a_message_that_waits_for_its_catalog_holds_nobody_up(
    worker_run: Callable[..., Any], bench: Any
) -> None:
    run = worker_run(worker={"catalog_wait_s_max": 600.0})
    run.publish(Outgoing(CATALOG, f"{bench.catalog.hash:016x}".encode(), bench.catalog.encode()))
    known, bench.catalog = bench.catalog, own_catalog("Waits")
    late = bench.catalog
    run.publish(bench.record("wait-1", [bench.speeds("wait-1", 0)]))
    run.start()
    run.wait(lambda: "worker started" in run.tail())
    time.sleep(1.0)
    bench.catalog = known
    run.publish(*[bench.record(van, [bench.speeds(van, 1)]) for van in ("wait-1", "wait-2", "wait-3")])
    run.wait(lambda: sum(run.query.count_points_by_van().get(f"wait-{n}", 0) for n in (1, 2, 3)) == 60)
    time.sleep(0.5)
    assert run.lag() > 0, "no commit may pass the message that waits"
    run.process.kill()
    run.start()
    run.wait(lambda: "worker started" in run.tail().split("health and metrics")[-1])
    run.publish(Outgoing(CATALOG, f"{late.hash:016x}".encode(), late.encode()))
    run.drained()
    sheet = run.sheet()
    assert [(sheet.vans[f"wait-{n}"].stored, sheet.vans[f"wait-{n}"].points) for n in (1, 2, 3)] == [
        (2, 40), (1, 20), (1, 20),
    ]  # fmt: skip


def test_redrive_by_hand_takes_what_it_is_asked_for(worker_run: Callable[..., Any], bench: Any) -> None:
    bench.catalog = own_catalog("ByHand")
    run = worker_run()
    run.publish(*[bench.record(van, [bench.speeds(van, 0), b"rubbish"]) for van in ("hand-1", "hand-2")])
    run.start().drained()
    counts = asyncio.run(redrive(run.settings, reason="truncated", van="hand-1"))
    assert counts == {"letters": 0, "driven": 0, "no_way_back": 0}
    counts = asyncio.run(redrive(run.settings, reason="corrupt", van="hand-1"))
    assert counts == {"letters": 1, "driven": 1, "no_way_back": 0}
    run.drained()
    assert [letter.reason for letter in run.letters("hand-1")].count("corrupt") == 2
    assert [letter.reason for letter in run.letters("hand-2")].count("corrupt") == 1


def test_two_workers_share_and_take_over_without_loss_or_double(
    worker_run: Callable[..., Any], bench: Any
) -> None:
    run = worker_run()
    vans = [f"share-{number}" for number in range(8)]
    run.publish(Outgoing(CATALOG, f"{bench.catalog.hash:016x}".encode(), bench.catalog.encode()))
    run.publish(*[bench.record(van, [bench.birth(van, 0)], P0) for van in vans])
    run.start()
    first = run.process
    run.wait(lambda: "worker started" in run.tail())
    run.start()
    run.wait(lambda: run.tail().count("worker started") == 2)
    time.sleep(2.0)
    for lot in range(6):
        run.publish(
            *[
                bench.record(van, [bench.speeds(van, seq) for seq in range(lot * 5, lot * 5 + 5)])
                for van in vans
            ]
        )
        if lot == 3:
            first.kill()
        time.sleep(0.4)
    run.drained()
    counts = run.query.count_points_by_van()
    sheet = run.sheet()
    for van in vans:
        row = sheet.vans[van]
        assert counts[van] == 600
        assert (row.produced, row.stored, row.points, row.residual) == (31, 31, 600, 0), van
