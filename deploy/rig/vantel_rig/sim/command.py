"""`vantel sim`: seeds, one a process at a time, with progress; what failed, and the command that replays it.

Results of seeds that are done can be kept in a file of JSON lines, so that ten thousand seeds are a command that goes on
where it stopped. A world takes one processor; several seeds are given to as many processes as there are processors.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from vantel_rig.sim.run import Outcome, Plan, simulate

TRACE_LINES_SHOWN = 40
BATCHES_FITTING = 10_000
"""More take long and much memory."""


def parse_seeds(text: str) -> list[int]:
    """Seeds of "7", "0-999" or "1,5,10-20"; ValueError for anything else."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        seeds += range(int(first), int(last if dash else first) + 1)
    if not seeds:
        raise ValueError(f"{text!r} names no seed; give one such as 7, or a range such as 0-999")
    return seeds


def fitting_period_s(hours: float, vans: int) -> float:
    """Time between two batches of a van for which a world stays at BATCHES_FITTING batches, at least 8 s."""
    return float(max(8, math.ceil(hours * 3600 * vans / BATCHES_FITTING)))


def replay_command(plan: Plan) -> str:
    """What to type to see exactly this run again."""
    return (
        f"vantel sim --seed {plan.seed} --hours {plan.hours:g} --vans {plan.vans} --period {plan.period_s:g}"
    )


def as_json(outcome: Outcome) -> dict[str, Any]:
    """For programs and for the state file."""
    tree = asdict(outcome)
    tree["replay"] = replay_command(outcome.plan)
    return tree


def _done_before(state: Path | None, plans: Iterable[Plan]) -> dict[int, dict[str, Any]]:
    """Seeds of these plans that the state file has."""
    if state is None or not state.exists():
        return {}
    wanted = {plan.seed: asdict(plan) for plan in plans}
    lines = (json.loads(line) for line in state.read_text().splitlines() if line.strip())
    return {item["plan"]["seed"]: item for item in lines if wanted.get(item["plan"]["seed"]) == item["plan"]}


def _world(plan: Plan) -> dict[str, Any]:
    """One seed in a process of its own."""
    return as_json(simulate(plan))


def _in_processes(plans: list[Plan], jobs: int) -> Iterator[dict[str, Any]]:
    """Outcomes in the order of the plans, whichever is done first.

    The processes are started anew, for a fork would copy the locks of our threads. Ctrl-C is ours alone: we end them.
    """
    quiet = (signal.SIGINT, signal.SIG_IGN)
    with multiprocessing.get_context("spawn").Pool(jobs, signal.signal, quiet) as pool:
        yield from pool.imap(_world, plans)


def _run(
    plans: list[Plan], jobs: int, state: Path | None, stop_at_first: bool, tell: Callable[[float], None]
) -> Iterator[dict[str, Any]]:
    """Outcomes of all plans; those of the state file first. tell: hears how far the present one is, 0 to 1."""
    done = _done_before(state, plans)
    yield from done.values()
    left = [plan for plan in plans if plan.seed not in done]
    jobs = min(jobs, len(left))
    fresh = _in_processes(left, jobs) if jobs > 1 else (as_json(simulate(plan, tell)) for plan in left)
    for outcome in fresh:
        if state is not None:
            with state.open("a") as file:
                file.write(json.dumps({**outcome, "trace": outcome["trace"][-TRACE_LINES_SHOWN:]}) + "\n")
        yield outcome
        if outcome["violations"] and stop_at_first:
            return


def show(console: Console, outcome: dict[str, Any]) -> None:
    """A seed that broke a promise: which, where, the last lines of its trace and how to replay it."""
    console.print(f"seed {outcome['plan']['seed']} breaks promises:", style="bold red", highlight=False)
    for item in outcome["violations"]:
        where = " ".join(part for part in (item["van"], item["interval"]) if part)
        console.print(
            f"  {item['promise']} | {where} | {item['detail']}", highlight=False, markup=False, soft_wrap=True
        )
    for line in outcome["trace"][-TRACE_LINES_SHOWN:]:
        console.print(f"    {line}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"  replay: {outcome['replay']}", highlight=False, soft_wrap=True)


def run_command(
    plans: list[Plan], jobs: int, state: Path | None, as_json_text: bool, keep_going: bool
) -> int:
    """All plans, `jobs` at a time; 0 when every promise held, 1 when one was broken."""
    console = Console(stderr=True)
    started_s = time.perf_counter()
    outcomes: list[dict[str, Any]] = []
    faults: Counter[str] = Counter()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("seeds", total=len(plans))
        for outcome in _run(
            plans,
            jobs,
            state,
            not keep_going,
            lambda share: progress.update(bar, completed=len(outcomes) + share),
        ):
            outcomes.append(outcome)
            faults.update(outcome["counts"])
            progress.update(bar, completed=len(outcomes))
            if outcome["violations"]:
                show(console, outcome)
    broken = [item["plan"]["seed"] for item in outcomes if item["violations"]]
    summary = {
        "seeds": len(outcomes),
        "broken": broken,
        "envelopes": sum(item["envelopes"] for item in outcomes),
        "virtual_hours": round(sum(item["plan"]["hours"] + item["drained_s"] / 3600 for item in outcomes), 2),
        "wall_s": round(time.perf_counter() - started_s, 1),
        "faults": dict(sorted(faults.items())),
    }
    if as_json_text:
        last = [outcomes[-1]] if len(plans) == 1 and outcomes else []
        sys.stdout.write(
            json.dumps({**summary, "outcomes": [o for o in outcomes if o["violations"]] or last}, indent=1)
            + "\n"
        )
    else:
        for name, count in summary["faults"].items():
            console.print(f"{count:9d}  {name}", highlight=False)
        if len(outcomes) == 1:
            console.print(
                f"replay: {outcomes[0]['replay']}; trace {outcomes[0]['digest']}",
                highlight=False,
                soft_wrap=True,
            )
        console.print(
            f"{summary['seeds']} seeds, {summary['envelopes']} envelopes, {summary['virtual_hours']} virtual hours "
            f"in {summary['wall_s']} s: {len(broken)} broke a promise",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    return int(bool(broken))
