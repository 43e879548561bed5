"""Long sweeps of the spool over damaged, failing and powerless disks; the short forms are in tests/edge/spool/test_sweeps.py.

    python tests/chaos/spool_sweeps.py all --state sweeps.json --json result.json
    python tests/chaos/spool_sweeps.py power --count 1000000 --seconds 600 --state sweeps.json

truncate  recovery after truncation at every byte of three 64 KiB segments
bits      every bit of one 64 KiB segment flipped: no phantom record, loss at most one block
power     power cuts at random system calls, unsynced writes lost, torn and reordered: P0 whole, the rest within the group
syscalls  every system call of a 1,000-operation run x {EIO, ENOSPC, EROFS, EINTR, short write} x {once, sticky}

Each is a row of numbered units, each a function of its number: a run goes on where its state file says it stopped.
Exit code 1 and the number of the unit for the first one that fails. Counts come as JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.edge.spool import sweeps, sweeps_damage

POWER_STATES = 100_000
REPORT_PERIOD_S = 10.0
CHUNK_UNITS = 64
CALL_STRIDE = 1009
"""A prime: the calls come in an order that covers the whole run from early on."""
Counts = dict[str, int]


def one_by_one(unit: Callable[[int], Counts]) -> Callable[[range], Counts]:
    """Units of a range, added up."""

    def part(numbers: range) -> Counts:
        counts: Counts = {}
        for number in numbers:
            try:
                found = unit(number)
            except BaseException:
                print(f"unit {number} failed", file=sys.stderr)  # noqa: T201 - the result
                raise
            for key, value in found.items():
                counts[key] = counts.get(key, 0) + value
        return counts

    return part


def sweep_of(name: str, count: int | None) -> tuple[int, Callable[[range], Counts]]:
    """Number of units of a sweep, and what runs a range of them."""
    if name == "truncate":
        return sweeps_damage.truncations_of_three(), one_by_one(sweeps_damage.truncated)
    if name == "bits":
        return sweeps_damage.bits_of_one(), one_by_one(sweeps_damage.flipped)
    if name == "power":
        states = count or POWER_STATES
        return -(-states // sweeps.CUTS_PER_RUN), one_by_one(sweeps.powerless)
    calls = sweeps.system_calls()
    return calls, lambda numbers: sweeps.faulted([number * CALL_STRIDE % calls for number in numbers])


def load(state: Path | None) -> dict[str, Counts]:
    """Counts of earlier parts by sweep; {} for none."""
    if state is None or not state.exists():
        return {}
    return json.loads(state.read_text(encoding="utf-8"))


def run(name: str, options: argparse.Namespace, states: dict[str, Counts], ends_s: float) -> bool:
    """One sweep from where it stopped; False when the time ran out."""
    units, part = sweep_of(name, options.count)
    counts = states.setdefault(name, {"units": 0})
    counts["units_in_all"] = units
    started_s = said_s = time.monotonic()
    while counts["units"] < units:
        upto = min(units, counts["units"] + CHUNK_UNITS)
        for key, value in part(range(counts["units"], upto)).items():
            counts[key] = counts.get(key, 0) + value
        counts["units"] = upto
        now_s = time.monotonic()
        counts["milliseconds"] = counts.get("milliseconds", 0) + round((now_s - started_s) * 1e3)
        started_s = now_s
        if options.state is not None:
            temporary = options.state.with_suffix(".tmp")
            temporary.write_text(json.dumps(states, indent=2) + "\n", encoding="utf-8")
            temporary.replace(options.state)
        if now_s - said_s > REPORT_PERIOD_S:
            said_s = now_s
            print(f"{name}: {counts['units']} of {units}", file=sys.stderr)  # noqa: T201 - progress
        if now_s > ends_s:
            return counts["units"] >= units
    return True


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ("truncate", "bits", "power", "syscalls")
    parser.add_argument("sweep", choices=(*names, "all"))
    parser.add_argument("--count", type=int, default=None, help="power: states to try (100,000)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this long")
    parser.add_argument("--state", type=Path, default=None, help="file to go on from, written as it goes")
    parser.add_argument("--json", type=Path, default=None, help="write the counts here too")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    states = load(options.state)
    ends_s = time.monotonic() + options.seconds
    whole = all(
        run(n, options, states, ends_s) for n in (names if options.sweep == "all" else (options.sweep,))
    )
    text = json.dumps(states, indent=2)
    print(text)  # noqa: T201 - the result
    if options.json is not None:
        options.json.write_text(text + "\n", encoding="utf-8")
    if not whole:
        print("stopped for time; run it again to go on", file=sys.stderr)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
