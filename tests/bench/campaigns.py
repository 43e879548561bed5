"""What campaigns cost: CPU share of a core for the conditions of many campaigns over many signals.

python tests/bench/campaigns.py --json campaigns.json
Peer in the same run: the same conditions compiled to Python code objects and evaluated by the interpreter at each tick,
which is what an expression library without windows would do; it is timed on a shorter stream.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from vantel.campaign.evaluator import TICK_NS, Evaluator
from vantel.campaign.program import compile_conditions
from vantel.catalog import Signal, assemble

SHAPES = (
    "Bench.S{a} > {x} and Bench.S{b} < {x}",
    "max(abs(Bench.S{a}), 500 ms) > {x} or missing(Bench.S{b}, 2 s)",
    "held(Bench.S{a} > Bench.S{b} + {x}, 1 s)",
    "mean(Bench.S{a}, 2 s) - min(Bench.S{b}, 2 s) > {x} and rising(Bench.S{a} > 0)",
)


def conditions_of(count: int, signals: int, rng: np.random.Generator) -> list[str]:
    """A mix of comparisons, windows, hold times and edges, on signals all over the van."""
    found = []
    for at in range(count):
        a, b = rng.integers(0, signals, 2)
        found.append(SHAPES[at % len(SHAPES)].format(a=a, b=b, x=round(float(rng.uniform(2, 4)), 2)))
    return found


def stream_of(
    seconds: float, signals: int, rate_hz: float, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """All signals at one rate, by time."""
    steps = round(seconds * rate_hz)
    t = np.repeat(10**12 + np.arange(steps, dtype=np.int64) * round(1e9 / rate_hz), signals)
    slot = np.tile(np.arange(signals, dtype=np.int32), steps)
    return slot, t, rng.normal(size=len(t))


def interpreted(signals: int, seconds: float, count: int, rng: np.random.Generator) -> float:
    """CPU share of the interpreter for plain comparisons of the same number, no windows."""
    codes = [
        compile(f"s[{rng.integers(signals)}] > {x} and s[{rng.integers(signals)}] < {x}", "c", "eval")
        for x in rng.uniform(2, 4, count)
    ]
    ticks = round(seconds * 100)
    values = rng.normal(size=(ticks, signals)).tolist()
    started = time.process_time()
    for row in values:
        names = {"s": row}
        for code in codes:
            eval(code, {}, names)  # noqa: S307 - fixed texts of this file
    return (time.process_time() - started) / seconds


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="campaigns.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--conditions", type=int, default=256)
    parser.add_argument("--signals", type=int, default=200)
    parser.add_argument("--rate-hz", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=120.0, help="length of the stream")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    catalog = assemble([Signal(f"Bench.S{at}") for at in range(args.signals)])
    row = {signal.name: at for at, signal in enumerate(catalog.signals)}
    started = time.process_time()
    program = compile_conditions(conditions_of(args.conditions, args.signals, rng), catalog, TICK_NS)
    compile_s = time.process_time() - started
    evaluator = Evaluator(program, len(catalog), [0.0] * args.conditions, [0.0] * args.conditions)
    slot, t, value = stream_of(args.seconds, args.signals, args.rate_hz, rng)
    slot = np.array([row[f"Bench.S{at}"] for at in range(args.signals)], np.int32)[slot]
    block = args.signals * 2  # 20 ms, as a busy bus gives them
    triggers, started = 0, time.process_time()
    for first in range(0, len(t), block):
        part = slice(first, first + block)
        triggers += len(evaluator.step(slot[part], t[part], value[part]))
    share = (time.process_time() - started) / args.seconds
    peer = interpreted(args.signals, min(10.0, args.seconds), args.conditions, rng)
    told = {
        "conditions": args.conditions, "signals": args.signals, "rate_hz": args.rate_hz, "operations": len(program.rows),
        "window_bytes": program.window_bytes, "compile_ms": round(compile_s * 1e3, 2), "triggers": triggers,
        "cpu_share": round(share, 5), "interpreter_without_windows_cpu_share": round(peer, 5), "times_less": round(peer / share, 1),
    }  # fmt: skip
    for key, number in told.items():
        sys.stdout.write(f"{key:40} {number}\n")
    if args.json:
        args.json.write_text(json.dumps(told, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
