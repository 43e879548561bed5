"""Fuzz decoders for as long as wanted; goes on where it stopped.

python -m tests.fuzz --decoder message --executions 1000000 --state fuzz.json
python -m tests.fuzz --executions 100000 --json counts.json     # all of them
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import Counter
from pathlib import Path

import structlog

from tests.fuzz.campaign import Failure, Tally, run
from tests.fuzz.decoders import decoders

STEP = 20_000


def main() -> int:
    """0 when all held, 1 when a decoder failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = {decoder.name: decoder for decoder in decoders()}
    parser.add_argument("--decoder", nargs="+", choices=list(known), default=list(known), metavar="NAME",
                        help=f"one or more of {', '.join(known)} (default: all)")  # fmt: skip
    parser.add_argument("--executions", type=int, default=10_000, metavar="N", help="of each decoder, in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--state", type=Path, metavar="FILE", help="where to go on from, and where to note it"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="counts, for a program")
    args = parser.parse_args()
    # the readers warn of every damaged line; here, not where the decoders are listed, for tests look at warnings
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    state = json.loads(args.state.read_text()) if args.state and args.state.exists() else {}
    failures = []
    for name in args.decoder:
        key = f"{name} {args.seed}"
        said = state.get(key, {"executions": 0, "ends": {}, "cpu_s_max": 0.0})
        tally = Tally(said["executions"], Counter(said["ends"]), said["cpu_s_max"])
        try:
            while tally.executions < args.executions:
                run(known[name], min(tally.executions + STEP, args.executions), args.seed, tally)
                state[key] = {
                    "executions": tally.executions,
                    "ends": tally.ends,
                    "cpu_s_max": tally.cpu_s_max,
                }
                if args.state:
                    args.state.write_text(json.dumps(state, indent=1))
        except Failure as failure:
            failures.append(str(failure))
            sys.stdout.write(f"FAILED {failure}\n")
            continue
        ends = ", ".join(f"{end} {count}" for end, count in tally.ends.most_common())
        sys.stdout.write(
            f"{name}: {tally.executions} executions, {ends}; longest {tally.cpu_s_max * 1e3:.1f} ms\n"
        )
        sys.stdout.flush()
    if args.json:
        args.json.write_text(json.dumps({"decoders": state, "failures": failures}, indent=1))
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
