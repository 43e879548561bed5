"""What the codec costs before its first batch: the compile on an empty cache, the start on a warm one, its memory.

    python tests/bench/cold_start.py [--json FILE]

Each figure is that of a fresh process, with a cache of its own in a temporary folder. Compile: importing the codec where
nothing is compiled, after NumPy and Numba. Start: importing the codec and encoding a first batch of 40 signals, on the
cache that the compile left. Memory: resident. Start and memory are told beyond NumPy and Numba with one kernel of one
line loaded, since the first kernel of a process, whosever it is, makes Numba set itself up; and beyond the bare imports.
Seconds are of the processor and of the clock; on a busy machine the first are the ones to compare. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

GOALS = {"compile, processor s": 60.0, "start, clock s": 1.0, "memory, MB": 50.0}
"""At most, of issue 6."""
STARTS = 5
_KERNEL = """
import numba

@numba.njit(numba.int64(numba.int64), cache=True)
def one_more(number):
    return number + 1
"""
_PROBE = """
import json, os, resource, sys, time

def now():
    pages = int(open("/proc/self/statm").read().split()[1])
    return time.process_time(), time.perf_counter(), pages * resource.getpagesize() / 1e6

marks = [now()]
import numba
import numpy as np
marks.append(now())
import kernel
marks.append(now())
from vantel.codec import encode
from vantel.columns import Column
if "encode" in sys.argv:
    stamps = np.arange(100) * 10_000_000
    encode([Column(i, stamps, np.arange(100) // (i + 5) / 8) for i in range(40)])
marks.append(now())
print(json.dumps([[b - a for a, b in zip(x, y)] for x, y in zip(marks, marks[1:])]))
"""


def probe(folder: str, *arguments: str) -> list[list[float]]:
    """[processor s, clock s, MB] of the imports, of Numba's first kernel, and of the codec, in a fresh process."""
    path = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "NUMBA_CACHE_DIR": folder, "PYTHONPATH": path}
    told = subprocess.run(
        [sys.executable, "-c", _PROBE, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    stages: list[list[float]] = json.loads(told.stdout)
    return stages


def measure() -> dict[str, float]:
    """All figures."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "kernel.py").write_text(_KERNEL, encoding="utf-8")
        _, _, compiled = probe(folder)
        starts = [probe(folder, "encode") for _ in range(STARTS)]
    imports, first, codec = min(starts, key=lambda stages: stages[2][1])
    return {
        "compile, processor s": compiled[0],
        "compile, clock s": compiled[1],
        "start, processor s": codec[0],
        "start, clock s": codec[1],
        "start with Numba's own, clock s": first[1] + codec[1],
        "start with all imports, clock s": imports[1] + first[1] + codec[1],
        "memory, MB": max(stages[2][2] for stages in starts),
        "memory with Numba's own, MB": max(stages[1][2] + stages[2][2] for stages in starts),
    }


def main() -> None:
    """Measure; exit 1 when a must is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, for a program")
    args = parser.parse_args()
    figures = measure()
    table = Table("figure", "measured", "must", title=f"cold start of the codec (best of {STARTS} starts)")
    for name, value in figures.items():
        table.add_row(name, f"{value:.2f}", f"< {GOALS[name]:g}" if name in GOALS else "")
    Console().print(table)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    raise SystemExit(any(figures[name] >= most for name, most in GOALS.items()))


if __name__ == "__main__":
    main()
