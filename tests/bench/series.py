"""make_stream() on made-up labelled series of the kinds that public collections have, beside a rolling z and half-space trees.

    python -m tests.bench.series [--json FILE] [--seeds 5] [--ablation]
    python -m tests.bench.series --csv FILE... [--label COLUMN] [--json FILE]

With --csv the labelled series are yours: each column of numbers is a series, the label column (is_anomaly, anomaly or label, else the
last one) is 0 or 1 a row. Without it:
The series are synthetic and seeded, no public data: six bases (noise, daily rhythm, heart beat, machine cycle, autoregressive,
skewed load) of 4,000 samples, each with three anomalies of one kind in the last 70 %. The size of an anomaly is in standard
deviations of the noise of its base, so that some are hard. Per kind, mean over bases and seeds:
AUC-ROC: a point of a labelled range ranks above one outside; best F1: over all thresholds, by points, nothing adjusted;
VUS-PR: average precision, mean over labels widened by 0, 16, 32, 48 and 64 samples on either side (after Paparrizos et al.,
"Volume Under the Surface", VLDB 2022, without its sloping weights). Trees of river are left out where river is not installed:
pip install -r tests/bench/requirements.txt.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.detector import make_stream
from edge.detector.layout import CHANNELS, OFF

Array = NDArray[np.float64]
N = 4000
FIRST = 1200
CYCLE = {"daily": 288, "heart": 90, "machine": 120}
"""Samples of a cycle, of the bases that have one."""
BASES = ("noise", "daily", "heart", "machine", "autoregressive", "load")
KINDS = {
    "spike": 2, "shift": 100, "drift": 200, "noise x3": 100, "flat": 60, "dropout": 20,
    "reversed cycle": 1, "half a cycle": 1, "early beat": 1,
}  # fmt: skip
"""Samples that an anomaly of a kind lasts; of those of a cycle: cycles."""
WIDER = (0, 16, 32, 48, 64)
ROLLING = 100
INDEX = ("", "timestamp", "time", "t")
"""Columns of a CSV that are no series."""


def say(text: str) -> None:
    """One line at once, also into a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def base(name: str, random: np.random.Generator) -> Array:
    """A clean series float64[N] whose noise has a standard deviation of 1."""
    t, noise = np.arange(N), random.normal(0, 1, N)
    turn = 2 * np.pi * (t + random.integers(N)) / CYCLE.get(name, 1)
    if name == "daily":
        return 50 + 10 * np.sin(turn) + 4 * np.sin(2 * turn + 1) + noise
    if name == "heart":
        phase = np.cumsum(1 + random.normal(0, 0.1, N)) / CYCLE[name] % 1
        beat = 30 * np.exp(-(((phase - 0.3) / 0.02) ** 2)) - 8 * np.exp(-(((phase - 0.35) / 0.03) ** 2))
        return beat + 8 * np.exp(-(((phase - 0.6) / 0.06) ** 2)) + noise
    if name == "machine":
        return np.clip(20 * np.sin(turn) + 6 * np.sin(3 * turn), -12, 14) + noise
    if name == "autoregressive":
        walk = np.zeros(N)
        for i in range(1, N):
            walk[i] = 0.98 * walk[i - 1] + noise[i]
        return walk
    if name == "load":
        return 20 + 4 * np.exp(0.7 * noise) + 6 * np.sin(2 * np.pi * t / 500)
    return noise


def spoil(series: Array, name: str, kind: str, at: int, random: np.random.Generator) -> int:
    """Put an anomaly into series from at on; returns how many samples it lasts."""
    length = KINDS[kind] * (CYCLE[name] if KINDS[kind] == 1 else 1)
    part, sign = series[at : at + length], random.choice([-1, 1])
    if kind == "spike":
        part += sign * 8
    elif kind == "shift":
        part += sign * 4
    elif kind == "drift":
        part += sign * np.linspace(0, 8, length)
    elif kind == "noise x3":
        part += random.normal(0, np.sqrt(8), length)
    elif kind == "flat":
        part[:] = part[0]
    elif kind == "dropout":
        part[:] = 0
    elif kind == "reversed cycle":
        part[:] = part[::-1]
    elif kind == "half a cycle":
        part[:] = series[: at + length].mean() + 0.5 * (part - series[: at + length].mean())
    else:  # the cycle in three quarters of its time, then the next begins
        first = np.interp(np.arange(length * 3 // 4) * 4 / 3, np.arange(length), part)
        part[:] = np.concatenate([first, part[: length - len(first)]])
    return length


def labelled(name: str, kind: str, seed: int) -> tuple[Array, NDArray[np.bool_]]:
    """(series float64[N], labels bool[N])."""
    random = np.random.default_rng([seed, BASES.index(name), list(KINDS).index(kind)])
    series, labels = base(name, random), np.zeros(N, bool)
    for third in range(3):
        at = FIRST + third * 900 + int(random.integers(500))
        labels[at : at + spoil(series, name, kind, at, random)] = True
    return series, labels


def rolling_z(series: Array) -> Array:
    """|x - mean| / deviation of the ROLLING samples before."""
    past = np.lib.stride_tricks.sliding_window_view(series, ROLLING)[:-1]
    score = np.abs(series[ROLLING:] - past.mean(axis=1)) / (past.std(axis=1) + 1e-9)
    return np.concatenate([np.zeros(ROLLING), score])


def trees(series: Array) -> Array:
    """River's half-space trees, scaled by the minimum and maximum of the first 600 samples."""
    from river import anomaly

    low, high = float(series[:600].min()), float(series[:600].max())
    model = anomaly.HalfSpaceTrees(n_trees=10, height=8, window_size=250, limits={"x": (low, high)}, seed=1)
    scores = []
    for x in series.tolist():
        scores.append(model.score_one({"x": x}))
        model.learn_one({"x": x})
    return np.array(scores)


def ours(series: Array, off: int = 0) -> Array:
    """Scores of make_stream() with the channels of the bits in off left out."""
    stream = make_stream()
    stream._scale[0, OFF] = off
    return stream.update_many(np.arange(len(series)) * 300.0, series)


def auc_roc(score: Array, labels: NDArray[np.bool_]) -> float:
    """Mann and Whitney's statistic, ties count half."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    ones = int(labels.sum())
    return float((ranks[labels].sum() - ones * (ones + 1) / 2) / (ones * (len(labels) - ones)))


def precision_recall(score: Array, labels: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Precision and recall at every distinct threshold, from the highest."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)
    hits = np.cumsum(labels[order])[last]
    return hits / (np.flatnonzero(last) + 1), hits / labels.sum()


def figures(score: Array, labels: NDArray[np.bool_]) -> tuple[float, float, float]:
    """(AUC-ROC, best F1, VUS-PR)."""
    precision, recall = precision_recall(score, labels)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    volume = []
    for wider in WIDER:
        wide = np.convolve(labels, np.ones(2 * wider + 1), "same") > 0.5
        precision, recall = precision_recall(score, wide)
        volume.append(float(np.sum(precision * np.diff(recall, prepend=0.0))))
    return auc_roc(score, labels), float(f1.max()), float(np.mean(volume))


def cells(found: dict[str, list[float]]) -> str:
    """The figures of one row, by detector."""
    return "   ".join("{:.2f} {:.2f} {:.2f}".format(*row) for row in found.values())


def compare(detectors: dict[str, Callable[[Array], Array]], seeds: int) -> dict[str, dict[str, list[float]]]:
    """Mean figures by kind and detector."""
    out: dict[str, dict[str, list[float]]] = {}
    for kind, lasts in KINDS.items():
        names = [name for name in BASES if lasts != 1 or name in CYCLE]
        cases = [labelled(name, kind, seed) for name in names for seed in range(seeds)]
        out[kind] = {
            title: np.mean([figures(score(x), labels) for x, labels in cases], axis=0).tolist()
            for title, score in detectors.items()
        }
        say(f"{kind:16} {cells(out[kind])}   ({len(cases)} series)")
    return out


def columns_of(path: Path, label: str | None) -> tuple[dict[str, Array], NDArray[np.bool_]]:
    """The series of a CSV by name, and its labels. ValueError names what is missing."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{path}: no rows")
    head = list(rows[0])
    label = label or next((name for name in ("is_anomaly", "anomaly", "label") if name in head), head[-1])
    if label not in head:
        raise ValueError(f"{path}: no column {label}; it has {', '.join(head)}")
    labels = np.array([float(row[label]) > 0 for row in rows])
    if labels.all() or not labels.any():
        raise ValueError(f"{path}: column {label} has one value only; name another by --label")
    series = {}
    for name in head:
        try:
            series[name] = np.array([float(row[name] or "nan") for row in rows])
        except ValueError:
            continue  # times and texts
    return {name: values for name, values in series.items() if name not in (label, *INDEX)}, labels


def compare_files(
    detectors: dict[str, Callable[[Array], Array]], paths: list[Path], label: str | None
) -> dict[str, dict[str, list[float]]]:
    """Figures by file and column, and by detector."""
    out: dict[str, dict[str, list[float]]] = {}
    for path in paths:
        series, labels = columns_of(path, label)
        for name, values in series.items():
            found = {title: list(figures(score(values), labels)) for title, score in detectors.items()}
            out[f"{path.stem}: {name}"] = found
            say(
                f"{path.stem[:40]}: {name:12} {cells(found)}   ({len(labels)} samples, {int(labels.sum())} labelled)"
            )
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--csv", type=Path, nargs="+", help="labelled series of your own")
    parser.add_argument("--label", help="column of the labels")
    parser.add_argument("--ablation", action="store_true", help="leave out each channel in turn instead")
    options = parser.parse_args()
    detectors: dict[str, Callable[[Array], Array]] = {"vantel": ours, "rolling z": rolling_z}
    if options.ablation:
        detectors = {f"without {name}": partial(ours, off=1 << at) for at, name in enumerate(CHANNELS)}
    else:
        try:
            trees(np.arange(600.0))
            detectors["half-space trees"] = trees
        except ImportError:
            say("river is not installed: no half-space trees")
    what = "the series of files" if options.csv else "synthetic series"
    say(f"AUC-ROC, best F1, VUS-PR of {what}, by {', '.join(detectors)}")
    try:
        out = (
            compare_files(detectors, options.csv, options.label)
            if options.csv
            else compare(detectors, options.seeds)
        )
    except (OSError, ValueError) as cause:
        sys.exit(str(cause))
    mean = {title: np.mean([row[title] for row in out.values()], axis=0).tolist() for title in detectors}
    say("mean             " + cells(mean))
    if options.json:
        options.json.write_text(json.dumps({"rows": out, "mean": mean}, indent=1))


if __name__ == "__main__":
    main()
