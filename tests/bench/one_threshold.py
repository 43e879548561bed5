"""One threshold for all streams: what whoever has thousands of unnamed signals and one knob can have.

    python -m tests.bench.one_threshold [--json FILE] [--seeds 3] [--first 0]

The families of tests/bench/families.py, with those of --more, as one corpus, beside baselines of one line. The score is after Lavin and
Ahmad, "Evaluating Real-time Anomaly Detection Algorithms" (ICMLA 2015, section II; profile "standard"): a window of a tenth of a
series, shared by its anomalies, lies around each; its first alarm earns the more the earlier it comes, a window without one costs 1, each
alarm outside up to 0.11. Nothing counts in the first 15 % of a series (at most 750 samples). 100 is an alarm at the start of every window and none
elsewhere, 0 no alarm at all. The one threshold is the best of 50. Beside the score: windows with an alarm, alarms outside.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.bench.families import FAMILIES, Array, Case, ewma, of_columns, ours, rolling_mad
from tests.bench.more_families import MORE
from tests.bench.series import rolling_z, say

Window = tuple[int, int]
FALSE = 0.11
PROBATION, PROBATION_MAX = 0.15, 750
DETECTORS: dict[str, Callable[[Array, float], Array]] = {
    "vantel": ours,
    "rolling z": of_columns(rolling_z),
    "rolling MAD": of_columns(rolling_mad),
    "EWMA residual": of_columns(ewma),
}


def windows_of(labels: NDArray[np.bool_]) -> list[Window]:
    """First and last sample of the window of each anomaly."""
    starts = np.flatnonzero(labels & ~np.append(False, labels[:-1]))
    ends = np.flatnonzero(labels & ~np.append(labels[1:], False))
    half = max(len(labels) // 10 // max(len(starts), 1) // 2, 1)
    return [
        (max(min(a, (a + b) // 2 - half), 0), min((a + b) // 2 + half, len(labels) - 1))
        for a, b in zip(starts.tolist(), ends.tolist(), strict=True)
    ]


def sigmoid(y: Array | float) -> Array | float:
    """Worth of an alarm y windows after the end of its window: near 1 at the start (-1), 0 at the end, down to -1."""
    return 2.0 / (1.0 + np.exp(np.minimum(5.0 * np.asarray(y), 50.0))) - 1.0


def worth(alarms: NDArray[np.int64], windows: list[Window]) -> tuple[float, int, int]:
    """(sum of the worth of alarms, windows with one, alarms outside) of one series."""
    total, hit = 0.0, 0
    outside = np.ones(len(alarms), bool)
    for first, last in windows:
        inside = (alarms >= first) & (alarms <= last)
        outside &= ~inside
        if inside.any():
            total += float(sigmoid(-(last - alarms[inside][0] + 1) / (last - first + 1)))
            hit += 1
        else:
            total -= 1.0
    for at in alarms[outside].tolist():
        before = [(first, last) for first, last in windows if last < at]
        y = (at - before[-1][1]) / (before[-1][1] - before[-1][0] + 1) if before else 99.0
        total += FALSE * float(sigmoid(y))
    return total, hit, int(outside.sum())


def best(scores: list[Array], labels: list[NDArray[np.bool_]]) -> tuple[float, int, int]:
    """(score, windows hit, alarms outside) of a corpus at its best one threshold."""
    from_ = [int(min(PROBATION * len(score), PROBATION_MAX)) for score in scores]
    windows = [windows_of(one) for one in labels]
    count = sum(map(len, windows))
    perfect = count * float(sigmoid(-1.0))
    judged = np.concatenate([score[at:] for score, at in zip(scores, from_, strict=True)])
    found = (0.0, 0, 0)
    for level in np.unique(np.quantile(judged, 1 - np.geomspace(2e-5, 0.05, 50))):
        rows = [
            worth(np.flatnonzero(score[at:] >= level) + at, own)
            for score, at, own in zip(scores, from_, windows, strict=True)
        ]
        total = sum(row[0] for row in rows)
        score = 100.0 * (total + count) / (perfect + count)
        found = max(found, (score, sum(row[1] for row in rows), sum(row[2] for row in rows)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    args = parser.parse_args()
    seeds = range(args.first, args.first + args.seeds)
    cases: list[Case] = [
        family(np.random.default_rng(seed)) for family in (*FAMILIES, *MORE) for seed in seeds
    ]
    labels = [case[1] for case in cases]
    out = {}
    for name, detector in DETECTORS.items():
        score, hit, false = best([detector(values, step_s) for values, _, step_s in cases], labels)
        out[name] = {"score": score, "windows_hit": hit, "alarms_outside": false}
        say(f"{name:16} {score:5.1f}   {hit} windows hit, {false} alarms outside   ({len(cases)} series)")
    if args.json:
        args.json.write_text(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
