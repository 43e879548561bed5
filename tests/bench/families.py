"""The library on made-up families that resemble public collections, beside baselines of one line.

    python -m tests.bench.families [--json FILE] [--seeds 4] [--echo 0] [--trees] [--more]

Synthetic and seeded, no public data. In brackets what a family resembles:

    seasonal   daily and weekly rhythm at 300 s; a night that is like a day, a missing peak (NAB's taxi and demand series)
    web        requests a minute, skewed, with bursts every night; an outage, a burst at noon (Yahoo A1)
    cpu        load between 0 and 100, few levels; a climb of hours, a process that hangs at 97 (NAB's cloud series)
    machine    temperature that wanders for weeks at 300 s, and falls to half within two hours (NAB's machine temperature)
    synthetic  trend, two sines, noise; single points off by 6 sigma, a change of the trend (Yahoo A2 and A4)
    fast       accelerometer at 1 kHz, a ringing tone; twice the amplitude, another tone, a blow of 5 ms
    valve      eight signals of a pump at 1 Hz, by make_group(): a valve closes half, cavitation (SKAB)
    shifts     noise that remembers (AR of order 1), two shifts of level
    counts     events a minute in bursts, few and large; silence, one burst that does not end
    demand     half-hourly demand with days and weekends; four days at half the level (NAB's taxi)
    heart      250 Hz, beats; two are low and wide (MIT-BIH)

Figures as in tests/bench/series.py, AUC-ROC / AUC-PR by points, and F1 of events at the best threshold: an anomaly is hit by any sample
within it. An alarm outside stands for the 30 samples from it on, and counts as false once for each such window: a detector that never
stops alarming is false all the time. --more takes the ten families of tests/bench/more_families.py instead. --echo passes over alarms so shortly after an anomaly, the return to what was before.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.detector import make_group, make_stream
from tests.bench.more_families import MORE
from tests.bench.series import auc_roc, precision_recall, rolling_z, say, trees

Array = NDArray[np.float64]
Case = tuple[Array, NDArray[np.bool_], float]
"""Values float64[n, signals], labels bool[n], seconds between samples."""
APART = 30
WINDOW = 100


def _label(n: int, *parts: tuple[int, int]) -> NDArray[np.bool_]:
    labels = np.zeros(n, bool)
    for at, length in parts:
        labels[at : at + length] = True
    return labels


def seasonal(random: np.random.Generator) -> Case:
    n, day = 6000, 288
    t = np.arange(n)
    weekend = np.where((t // day) % 7 >= 5, 0.6, 1.0)
    x = (
        100
        + 60 * weekend * np.sin(2 * np.pi * t / day)
        + 15 * np.sin(4 * np.pi * t / day)
        + random.normal(0, 5, n)
    )
    night, peak = (9 + int(random.integers(3))) * day, (15 + int(random.integers(3))) * day
    x[night + 180 : night + 260] += 70
    x[peak + 30 : peak + 110] -= 60
    return x[:, None], _label(n, (night + 180, 80), (peak + 30, 80)), 300.0


def web(random: np.random.Generator) -> Case:
    n, day = 6000, 1440
    t = np.arange(n)
    rate = 200 * (1.2 + np.sin(2 * np.pi * t / day)) * np.exp(0.15 * random.normal(size=n))
    for night in range(120, n, day):
        rate[night : night + 10] += 900
    outage, burst = 2500 + int(random.integers(300)), 4200 + int(random.integers(300))
    rate[outage : outage + 25] *= 0.05
    rate[burst : burst + 8] += 900
    return random.poisson(rate).astype(float)[:, None], _label(n, (outage, 25), (burst, 8)), 60.0


def cpu(random: np.random.Generator) -> Case:
    n = 4000
    x = 30 + 3 * random.normal(size=n)
    for at in np.flatnonzero(random.random(n) < 0.01):
        x[at : at + 4] += random.uniform(10, 30)
    climb, hang = 1800 + int(random.integers(300)), 3200 + int(random.integers(300))
    x[climb : climb + 200] += np.linspace(0, 30, 200)
    x[hang : hang + 60] = 97 + random.normal(0, 0.3, 60)
    return np.round(np.clip(x, 0, 100), 1)[:, None], _label(n, (climb, 200), (hang, 60)), 300.0


def machine(random: np.random.Generator) -> Case:
    n = 6000
    x = np.zeros(n)
    for i in range(1, n):
        x[i] = 0.998 * x[i - 1] + random.normal(0, 0.5)
    x += 80 + random.normal(0, 0.6, n) + 2 * np.sin(2 * np.pi * np.arange(n) / 288)
    fall = 4000 + int(random.integers(1000))
    x[fall : fall + 24] -= np.linspace(0, 40, 24)
    x[fall + 24 : fall + 100] -= 40
    return x[:, None], _label(n, (fall, 100)), 300.0


def synthetic(random: np.random.Generator) -> Case:
    n = 2000
    t = np.arange(n)
    x = 0.02 * t + 10 * np.sin(2 * np.pi * t / 24) + 5 * np.sin(2 * np.pi * t / 168) + random.normal(0, 1, n)
    points = 600 + np.sort(random.choice(1200, 6, replace=False))
    x[points] += random.choice([-6, 6], 6)
    x[1900:] += 0.3 * np.arange(100)
    return x[:, None], _label(n, *((int(at), 1) for at in points), (1900, 30)), 3600.0


def fast(random: np.random.Generator) -> Case:
    n = 12_000
    t = np.arange(n) / 1000.0
    x = np.sin(2 * np.pi * 50 * t) + 0.3 * np.sin(2 * np.pi * 120 * t + 1) + random.normal(0, 0.1, n)
    loud, tone, blow = (at + int(random.integers(800)) for at in (4000, 7000, 10_000))
    x[loud : loud + 300] *= 2
    x[tone : tone + 300] += 0.8 * np.sin(2 * np.pi * 210 * t[tone : tone + 300])
    x[blow : blow + 5] += 4
    return x[:, None], _label(n, (loud, 300), (tone, 300), (blow, 5)), 0.001


def valve(random: np.random.Generator) -> Case:
    n = 3000
    flow = 30 + np.convolve(random.normal(0, 1, n), np.ones(20) / 20, "same")
    pressure, current = 2 - 0.03 * (flow - 30), 1.2 + 0.02 * (flow - 30)
    heat = 70 + np.cumsum(random.normal(0, 0.02, n))
    columns = [flow, pressure, current, 230 + 0 * flow, heat, heat - 40, 0.03 + 0 * flow, 0.04 + 0 * flow]
    x = np.column_stack(columns) + random.normal(0, [0.3, 0.05, 0.03, 1, 0.1, 0.1, 0.002, 0.002], (n, 8))
    closed, bubbles = 1400 + int(random.integers(200)), 2200 + int(random.integers(200))
    x[closed : closed + 200, 0] -= 1.2
    x[closed : closed + 200, 1] += 0.15
    x[bubbles : bubbles + 200, 6:] *= 1 + 0.2 * np.abs(random.normal(size=(200, 2)))
    return x, _label(n, (closed, 200), (bubbles, 200)), 1.0


def shifts(random: np.random.Generator) -> Case:
    n = 5000
    x = random.normal(0, 1, n)
    for i in range(1, n):
        x[i] += 0.7 * x[i - 1]
    up, down = 2000 + int(random.integers(500)), 3600 + int(random.integers(500))
    x[up : up + 60] += 6
    x[down : down + 120] -= 4.5
    return x[:, None], _label(n, (up, 60), (down, 120)), 10.0


def counts(random: np.random.Generator) -> Case:
    n, at = 6000, 0
    rate = np.full(n, 3.0)
    while at < n:
        at += int(random.exponential(60))
        rate[at : at + int(random.integers(3, 15))] = 43
        at += 15
    silence, burst = 2800 + int(random.integers(400)), 4600 + int(random.integers(400))
    rate[silence : silence + 80] = 0.2
    rate[burst : burst + 60] = 110
    return random.poisson(rate).astype(float)[:, None], _label(n, (silence, 80), (burst, 60)), 60.0


def demand(random: np.random.Generator) -> Case:
    n, day = 8000, 48
    t = np.arange(n)
    h = t % day
    hours = 0.5 + 0.5 * np.exp(-(((h - 38) / 7) ** 2)) + 0.35 * np.exp(-(((h - 17) / 5) ** 2))
    hours -= 0.35 * np.exp(-(((h - 9) / 5) ** 2))
    weekend = np.where((t // day) % 7 >= 5, 0.85 + 0.15 * np.sin(2 * np.pi * h / day), 1.0)
    x = 15_000 * hours * weekend * (1 + 0.03 * random.normal(size=n))
    holidays = np.sort(random.choice(np.arange(50, 160, 8), 4, replace=False)) * day
    for at in holidays:
        x[at : at + day] *= 0.5
    return x[:, None], _label(n, *((int(at), day) for at in holidays)), 1800.0


def heart(random: np.random.Generator) -> Case:
    n, beat = 7000, 70
    phase = np.cumsum(1 + random.normal(0, 0.02, n)) / beat % 1
    x = 2 * np.exp(-(((phase - 0.3) / 0.03) ** 2)) - 0.5 * np.exp(-(((phase - 0.36) / 0.03) ** 2))
    x += 0.4 * np.exp(-(((phase - 0.6) / 0.07) ** 2)) + random.normal(0, 0.05, n)
    starts = np.flatnonzero(np.diff(phase) < -0.5) + 1
    odd = [int(starts[k + int(random.integers(5))]) for k in (45, 70)]
    for at in odd:
        x[at : at + beat] = 0.8 * np.interp(0.6 * np.arange(beat) + 10, np.arange(beat), x[at : at + beat])
    return x[:, None], _label(n, *((at, beat) for at in odd)), 0.004


FAMILIES: tuple[Callable[[np.random.Generator], Case], ...] = (
    seasonal, web, cpu, machine, synthetic, fast, valve, shifts, counts, demand, heart,
)  # fmt: skip


def rolling_mad(series: Array) -> Array:
    """|x - median| / MAD of the WINDOW samples before."""
    past = np.lib.stride_tricks.sliding_window_view(series, WINDOW)[:-1]
    middle = np.median(past, axis=1)
    mad = np.median(np.abs(past - middle[:, None]), axis=1)
    return np.concatenate([np.zeros(WINDOW), np.abs(series[WINDOW:] - middle) / (1.4826 * mad + 1e-9)])


def ewma(series: Array) -> Array:
    """|x - mean| / deviation, both exponential with a memory of WINDOW samples."""
    mean, variance, scores = float(series[0]), 0.0, []
    for i, x in enumerate(series.tolist()):
        share = max(1 / WINDOW, 1 / (i + 1))
        d = x - mean
        scores.append(abs(d) / (variance**0.5 + 1e-9) if i > WINDOW else 0.0)
        mean += share * d
        variance += share * (d * d - variance)
    return np.array(scores)


def of_columns(score: Callable[[Array], Array]) -> Callable[[Array, float], Array]:
    """The largest score of any column."""
    return lambda values, _: np.max([score(column) for column in values.T.copy()], axis=0)


def ours(values: Array, step_s: float) -> Array:
    stamps = np.arange(len(values)) * step_s
    if values.shape[1] == 1:
        return make_stream(1 / step_s).update_many(stamps, values[:, 0])
    return make_group(values.shape[1], rate_hz=1 / step_s).update_many(stamps, values).max(axis=1)


def false_alarms(outside: NDArray[np.int64]) -> int:
    """Windows of APART samples, each from an alarm on, that it takes to hold them all."""
    count, end = 0, -1
    for at in outside.tolist():
        if at > end:
            count, end = count + 1, at + APART
    return count


def event_f1(score: Array, labels: NDArray[np.bool_], echo: int = 0) -> float:
    """Best F1 over the thresholds at 60 quantiles; alarms up to echo samples after an anomaly count for nothing."""
    starts = np.flatnonzero(labels & ~np.append(False, labels[:-1]))
    ends = np.flatnonzero(labels & ~np.append(labels[1:], False))
    passed_over = labels.copy()
    for end in ends:
        passed_over[end : end + echo + 1] = True
    best = 0.0
    for level in np.unique(np.quantile(score, 1 - np.geomspace(1e-4, 0.3, 60))):
        above = np.flatnonzero(score >= level)
        hit = sum(bool(np.any((above >= a) & (above <= b))) for a, b in zip(starts, ends, strict=True))
        false = false_alarms(above[~passed_over[above]])
        best = max(best, 2 * hit / (hit + false + len(starts)))
    return best


def figures(score: Array, labels: NDArray[np.bool_], echo: int = 0) -> tuple[float, float, float]:
    precision, recall = precision_recall(score, labels)
    return (
        auc_roc(score, labels),
        float(np.sum(precision * np.diff(recall, prepend=0.0))),
        event_f1(score, labels, echo),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--echo", type=int, default=0, help="samples after an anomaly that are passed over")
    parser.add_argument("--trees", action="store_true", help="half-space trees of river as well (slow)")
    parser.add_argument(
        "--more", action="store_true", help="the ten families of tests/bench/more_families.py"
    )
    options = parser.parse_args()
    detectors: dict[str, Callable[[Array, float], Array]] = {
        "vantel": ours, "rolling z": of_columns(rolling_z), "rolling MAD": of_columns(rolling_mad),
        "EWMA residual": of_columns(ewma), "constant": lambda values, _: np.zeros(len(values)),
    }  # fmt: skip
    if options.trees:
        detectors["half-space trees"] = of_columns(trees)
    say(f"AUC-ROC, AUC-PR, event F1 of synthetic families, by {', '.join(detectors)}")
    out: dict[str, dict[str, list[float]]] = {}
    for at, family in enumerate(MORE if options.more else FAMILIES, 100 if options.more else 0):
        cases = [family(np.random.default_rng([seed, at])) for seed in range(options.seeds)]
        out[family.__name__] = {
            title: np.mean(
                [figures(score(x, step_s), y, options.echo) for x, y, step_s in cases], axis=0
            ).tolist()
            for title, score in detectors.items()
        }
        cells = "   ".join("{:.2f} {:.2f} {:.2f}".format(*row) for row in out[family.__name__].values())
        say(f"{family.__name__:12} {cells}")
    mean = {title: np.mean([row[title] for row in out.values()], axis=0).tolist() for title in detectors}
    say("mean         " + "   ".join("{:.2f} {:.2f} {:.2f}".format(*row) for row in mean.values()))
    if options.json:
        options.json.write_text(json.dumps({"rows": out, "mean": mean}, indent=1))


if __name__ == "__main__":
    main()
