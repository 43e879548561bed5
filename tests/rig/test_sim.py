"""The whole-pipe simulation.

Goal: every promise holds on every seed; a seed is the same run on any machine; a run leaves the process as it was.
Method: eighty short worlds, one larger one; the trace's digest twice, and in processes with other hash seeds. That
the simulation finds bugs is shown by tests/chaos/bugs. Thousands of seeds: `vantel sim --seeds 0-9999 --state FILE`.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cloud.kafka.clients
import edge.spool.spool
from vantel_rig.__main__ import app
from vantel_rig.sim.command import as_json, parse_seeds, run_command
from vantel_rig.sim.processes import ProcessLoop, bury
from vantel_rig.sim.run import Plan, simulate
from vantel_rig.sim.world import World

SEEDS, LOT = 80, 10


@pytest.mark.parametrize(
    "first", [0, *(pytest.param(first, marks=pytest.mark.once) for first in range(LOT, SEEDS, LOT))]
)
def test_every_promise_holds_on_every_seed(first: int) -> None:
    for seed in range(first, first + LOT):
        outcome = simulate(Plan(seed))
        assert outcome.violations == [], json.dumps(as_json(outcome), indent=1)
        assert outcome.envelopes > 20


@pytest.mark.once
@pytest.mark.parametrize(
    ("seed", "hours"),
    [
        pytest.param(397, 0.1, id="quota passed when a failed disk was well again"),
        pytest.param(164, 0.1, id="evicted files came back with a power cut"),
        pytest.param(16, 0.1, id="late ledger record of a worker that lost its partition"),
        *(
            pytest.param(
                seed, 0.08, id=f"{seed}: the same, and whoever knew more was killed before it was put right"
            )
            for seed in (457, 669, 1067, 1243)
        ),
    ],
)
def test_seeds_that_once_broke_a_promise(seed: int, hours: float) -> None:
    assert simulate(Plan(seed, hours)).violations == []


@pytest.mark.once
def test_a_larger_world() -> None:
    outcome = simulate(Plan(5000, hours=0.5, vans=10, period_s=60.0))
    assert outcome.violations == [], json.dumps(as_json(outcome), indent=1)


@pytest.mark.once
def test_a_seed_is_the_same_run_in_any_process() -> None:
    code = "from vantel_rig.sim.run import Plan, simulate; print(simulate(Plan(17)).digest)"
    digests = {simulate(Plan(17)).digest, simulate(Plan(17)).digest}
    for hash_seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=600
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1
    assert simulate(Plan(18)).digest not in digests


def test_a_run_puts_all_doors_back() -> None:
    before = (cloud.kafka.clients.AIOKafkaProducer, edge.spool.spool.time)
    simulate(Plan(1))
    assert (cloud.kafka.clients.AIOKafkaProducer, edge.spool.spool.time) == before
    assert edge.spool.spool.time is time


def test_a_killed_process_leaves_no_coroutine_to_the_collector() -> None:
    async def close() -> None: ...

    async def program() -> None:
        held.append(close())  # as a task closed before its first step does from Python 3.12 on
        await cloud.kafka.clients.end_quietly(held[0])

    held: list[Coroutine[None, None, None]] = []
    world = World(1)
    process = ProcessLoop(world, "killed", lambda _: None)
    process.start(program())
    world.run(0.0, lambda: True)  # one step: the task that is to await close() exists and has not begun
    process.kill()
    bury()
    assert [inspect.getcoroutinestate(coroutine) for coroutine in held] == [inspect.CORO_CLOSED]


def test_a_run_goes_on_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "sim.jsonl"
    plans = [Plan(seed, hours=0.02) for seed in range(3)]
    assert run_command(plans[:2], 1, state, as_json_text=True, keep_going=False) == 0
    first = state.read_text()
    assert run_command(plans, 1, state, as_json_text=True, keep_going=False) == 0
    assert state.read_text().startswith(first)
    assert len(state.read_text().splitlines()) == 3
    assert json.loads(capsys.readouterr().out.rpartition("\n{")[2].join(("{", "")))["seeds"] == 3


@pytest.mark.once
def test_several_at_a_time_are_the_same_runs_in_the_same_order(tmp_path: Path) -> None:
    plans = [Plan(seed, hours=0.02) for seed in (4, 2, 9)]
    for jobs in (1, 2):
        assert run_command(plans, jobs, tmp_path / f"{jobs}", as_json_text=True, keep_going=False) == 0
    assert (tmp_path / "1").read_text() == (tmp_path / "2").read_text()


def test_a_large_world_gets_a_longer_period_unless_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Plan] = []
    monkeypatch.setattr("vantel_rig.sim.command.run_command", lambda chosen, *_: plans.extend(chosen) or 0)
    for words in ("", "--hours 24 --vans 500", "--hours 24 --vans 500 --period 60"):
        done = CliRunner().invoke(app, ["sim", "--seed", "3", *words.split()])
        assert done.exit_code == 0, done.output
    assert [plan.period_s for plan in plans] == [8.0, 4320.0, 60.0]


def test_a_run_says_how_far_it_is() -> None:
    told: list[float] = []
    simulate(Plan(1, hours=0.02), told.append)
    assert told == sorted(told)
    assert 0.9 < told[-1] <= 1.0


def test_seeds_are_told_as_ranges() -> None:
    assert parse_seeds("3,5-7") == [3, 5, 6, 7]
    with pytest.raises(ValueError, match="x"):
        parse_seeds("x")
