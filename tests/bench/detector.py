"""Cost of the detector beside river's detectors and stumpy, in one run.

    python tests/bench/detector.py [--json FILE] [--signals 200] [--ticks 2000]

Per detector: microseconds a sample on the same made-up signals (random walks with noise, seeded). Ours is called once a
tick with all signals, as the agent does, and once with a long block; the peers take one sample a call, which is their
interface. A tick is timed by the wall and its median counts, a block and the peers by processor time of one thread. Also state
bytes a signal, bytes allocated after warm-up, and p50 and p99.9 of a tick. Peers: pip install -r tests/bench/requirements.txt.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import stumpy
from numpy.typing import NDArray
from river import anomaly, drift

from edge.detector import make_group, make_stream
from edge.detector.layout import STATE_BYTES

PEER_SECONDS = 1.0
STUMPY_HISTORY = 1000
STUMPY_WINDOW = 50


def say(text: str) -> None:
    """One line at once, also into a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def signals(ticks: int, n: int) -> NDArray[np.float64]:
    random = np.random.default_rng(1)
    return np.cumsum(random.normal(0, 0.1, (ticks, n)), axis=0) + random.normal(0, 1, (ticks, n))


def ours(ticks: int, n: int, peers: bool) -> dict[str, float]:
    """One call a tick; with peers, half of the signals are in sets of four."""
    sets = [range(k, k + 4) for k in range(0, n // 2, 4)] if peers else []
    group = make_group(n, peers=sets, rate_hz=10.0)
    values, stamps, scores = signals(ticks, n), np.arange(ticks) / 10.0, np.empty((1, n))
    group.update_many(stamps[: ticks // 2], values[: ticks // 2])
    spent = []
    for at in range(ticks // 2, ticks):
        started = time.perf_counter_ns()
        group._judge(stamps[at : at + 1], values[at : at + 1], scores)
        spent.append(time.perf_counter_ns() - started)
    tracemalloc.start()
    group._judge(stamps[-1:], values[-1:], scores)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "us_a_sample": float(np.median(spent)) / n / 1e3,
        "tick_us_p50": float(np.percentile(spent, 50)) / 1e3,
        "tick_us_p99_9": float(np.percentile(spent, 99.9)) / 1e3,
        "allocated_bytes": float(peak),
    }


def best(call: Callable[[], object], samples: int, parts: int = 10) -> float:
    spent = []
    for _ in range(parts):
        started = time.process_time()
        call()
        spent.append(time.process_time() - started)
    return min(spent) / samples * 1e6


def one_by_one(take: Callable[[float], object], values: list[float]) -> float:
    """Microseconds a sample of a peer, over as many samples as PEER_SECONDS allow."""
    started, done = time.process_time(), 0
    for x in values:
        take(x)
        done += 1
        if time.process_time() - started > PEER_SECONDS:
            break
    return (time.process_time() - started) / done * 1e6


def peers(values: list[float]) -> dict[str, float]:
    trees = anomaly.HalfSpaceTrees(n_trees=10, height=8, window_size=250, limits={"x": (-50, 50)})
    scorer, deviation, spread = anomaly.GaussianScorer(), anomaly.StandardAbsoluteDeviation(), drift.ADWIN()
    hinkley, kolmogorov = drift.PageHinkley(), drift.KSWIN()

    def by_trees(x: float) -> None:
        trees.score_one({"x": x})
        trees.learn_one({"x": x})

    def by_scorer(x: float) -> None:
        scorer.score_one(None, x)
        scorer.learn_one(None, x)

    def by_deviation(x: float) -> None:
        deviation.score_one(None, x)
        deviation.learn_one(None, x)

    profile = stumpy.stumpi(np.array(values[:STUMPY_HISTORY]), STUMPY_WINDOW, egress=True)
    profile.update(values[0])  # compiles
    return {
        "river HalfSpaceTrees 10x8": one_by_one(by_trees, values),
        "river GaussianScorer": one_by_one(by_scorer, values),
        "river StandardAbsoluteDeviation": one_by_one(by_deviation, values),
        "river ADWIN": one_by_one(spread.update, values),
        "river PageHinkley": one_by_one(hinkley.update, values),
        "river KSWIN": one_by_one(kolmogorov.update, values),
        f"stumpy stumpi egress m={STUMPY_WINDOW} history={STUMPY_HISTORY}": one_by_one(
            profile.update, values[STUMPY_HISTORY:]
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--signals", type=int, default=200)
    parser.add_argument("--ticks", type=int, default=2000)
    options = parser.parse_args()
    tick = ours(options.ticks, options.signals, peers=False)
    with_peers = ours(options.ticks, options.signals, peers=True)
    column = np.ascontiguousarray(signals(20_000, 1)[:, 0])
    stream, stamps = make_stream(), np.arange(20_000) * 1.0
    stream.update_many(stamps, column)
    block = best(lambda: stream.update_many(stamps, column), len(column))
    single = one_by_one(lambda x: stream.update(0.0, x), column.tolist())
    beside = peers(column.tolist())
    base = tick["us_a_sample"]
    say(f"{'detector':58} {'us a sample':>12} {'times ours':>11}")
    rows = {
        f"vantel, {options.signals} signals a call": base,
        f"vantel, {options.signals} signals a call, half with peers": with_peers["us_a_sample"],
        "vantel, one signal, block of 20,000": block,
        "vantel, one signal, one sample a call": single,
        **beside,
    }
    for name, us in rows.items():
        say(f"{name:58} {us:12.3f} {us / base:11.1f}")
    say(f"\nstate {STATE_BYTES} bytes a signal, and as much for each member of a set")
    say(f"a tick: p50 {tick['tick_us_p50']:.0f} us, p99.9 {tick['tick_us_p99_9']:.0f} us")
    say(f"allocated in a tick after warm-up, all by the call itself: {tick['allocated_bytes']:.0f} bytes")
    if options.json:
        options.json.write_text(
            json.dumps({"rows": rows, "tick": tick, "state_bytes": STATE_BYTES}, indent=1)
        )


if __name__ == "__main__":
    main()
