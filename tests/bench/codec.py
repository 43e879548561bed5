"""The codec beside its peers, in one run: sizes, speed, whole messages, bounded error (docs/format.md, section 7).

Folder of recordings or .npz of signals -> a table a batch size, and what of the goals is met. Every batch is encoded and
decoded alone and compared bit by bit. Times are process CPU time with the call from Python, median of interleaved
repeats, each over other batches than the one before. pcodec level 8 in its wrapped form is the anchor. Run by hand:

    pip install -r tests/bench/requirements.txt
    python tests/bench/codec.py                                     # recordings of tests/data
    python tests/bench/codec.py --from signals.npz --json out.json  # name -> 1-d array, "t|name" -> int64 ns
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from codec_message import bounded_ratios, message_bytes
from codec_papers import alp_bits, chimp128_bits, gorilla_bits, words_of
from codec_peers import (
    Codec,
    blosc,
    pcodec,
    vantel,
    vantel_planned,
    vantel_times,
    zstd,
    zstd_dictionary,
)
from codec_signals import Signal, load
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

SIZES = (64, 256, 1024, 4096, 8192)
GOALS = {
    "pcodec 64": (0.60, 0.53), "pcodec 256": (0.70, 0.62), "pcodec 1024": (0.72, 0.63), "pcodec 8192": (0.85, 0.73),
    "alp 256": (0.42, 0.35), "alp 1024": (0.35, 0.28),
    "worst 64": (1.05, 1.00), "worst 256": (1.05, 1.00), "worst 1024": (1.05, 1.00), "worst 8192": (1.25, 1.05),
    "stamps 256": (0.95, 0.85), "message": (0.75, 0.55), "bounded error": (0.6, 0.4),
    "encode speed 256": (3.0, 4.0), "encode speed 1024": (2.0, 3.0),
    "decode speed 256": (0.25, 0.45), "decode speed 1024": (0.15, 0.3),
}  # fmt: skip
"""Figure -> (must, aim). Sizes: at most; speeds, times that of pcodec: at least."""
REPEATS = 5


def batches_of(values: NDArray[Any], n: int, most: int, part: int = 0) -> list[NDArray[Any]]:
    """At most so many batches of n, spread over the signal; every second one from part on, if there are two."""
    firsts = list(range(0, len(values) - n + 1, n))
    firsts = firsts[part::2] if len(firsts) > 1 else firsts[part:]
    return [np.ascontiguousarray(values[at : at + n]) for at in firsts[:: max(1, len(firsts) // most)][:most]]


def bits_of(codec: Codec, batches: Sequence[NDArray[Any]]) -> float:
    """Bits a value; each batch is checked to come back bit by bit."""
    total = 0
    for batch in batches:
        stored = codec.encode(batch)
        back = codec.decode(stored, batch)
        assert back.dtype == batch.dtype and back.tobytes() == batch.tobytes(), (
            f"{codec.name}: batch came back changed"
        )
        total += codec.size(stored)
    return 8 * total / sum(map(len, batches))


def geometric_mean(ratios: Sequence[float]) -> float:
    """Of at least one ratio."""
    return float(np.exp(np.mean(np.log(ratios))))


def sizes_at(signals: Sequence[Signal], n: int, most: int) -> dict[str, dict[str, float]]:
    """Signal -> codec -> bits a value."""
    codecs = [vantel(), pcodec(), zstd(), zstd("zstd-19 shuffled", shuffle=True), blosc()]
    train: dict[str, list[bytes]] = {}
    for signal in signals:
        # the dictionary knows other batches than those it is measured on
        for batch in batches_of(signal.values, n, most, part=1):
            train.setdefault(signal.group, []).append(batch.tobytes())
    dictionaries = {group: zstd_dictionary(samples) for group, samples in train.items()}
    rows = {}
    for signal in signals:
        batches = batches_of(signal.values, n, most)
        row = {codec.name: bits_of(codec, batches) for codec in [codecs[0], vantel_planned(), *codecs[1:]]}
        if trained := dictionaries.get(signal.group):
            row[trained.name] = bits_of(trained, batches)
        if signal.values.dtype.kind == "f":
            count, patterns = n * len(batches), [words_of(batch) for batch in batches]
            row["gorilla"] = sum(gorilla_bits(*pattern) for pattern in patterns) / count
            row["chimp128"] = sum(chimp128_bits(*pattern) for pattern in patterns) / count
            row["alp"] = sum(map(alp_bits, batches)) / count
        row["changing"] = float(any(batch.tobytes() != batch[:1].tobytes() * n for batch in batches))
        rows[f"{signal.group}|{signal.name}"] = row
    return rows


def speeds_at(signals: Sequence[Signal], n: int, most: int) -> dict[str, tuple[float, float]]:
    """Codec -> (us to encode a batch, us to decode it), medians; the codecs take turns."""
    codecs = [pcodec(), vantel(), vantel_planned(), vantel(0)]
    taken: dict[str, list[tuple[float, float]]] = {codec.name: [] for codec in codecs}
    for repeat in range(REPEATS):
        # other data in each repeat, or the branch predictor learns the batches by heart
        shifted = [s.values[repeat * min(n, len(s.values) - n) // REPEATS :] for s in signals]
        batches = [batch for values in shifted for batch in batches_of(values, n, most)]
        for codec in codecs:
            start = time.process_time_ns()
            stored = [codec.encode(batch) for batch in batches]
            middle = time.process_time_ns()
            for data, batch in zip(stored, batches, strict=True):
                codec.decode(data, batch)
            end = time.process_time_ns()
            per = 1e3 * len(batches)
            taken[codec.name].append(((middle - start) / per, (end - middle) / per))
    return {name: (median(e for e, _ in t), median(d for _, d in t)) for name, t in taken.items()}


def stamps_ratio(signals: Sequence[Signal], n: int, most: int) -> float | None:
    """Geometric mean against pcodec over the distinct series of stamps."""
    series = {s.t_ns.tobytes(): s.t_ns for s in signals if s.t_ns is not None and len(s.t_ns) >= n}
    # stamps that a log repeats or that run backwards are no time vector
    rising = [t for t in series.values() if (np.diff(t) > 0).all()]
    ratios = [
        bits_of(vantel_times(), b) / bits_of(pcodec(), b) for b in (batches_of(t, n, most) for t in rising)
    ]
    return geometric_mean(ratios) if ratios else None


def report_sizes(
    console: Console, n: int, rows: dict[str, dict[str, float]], figures: dict[str, float]
) -> None:
    """Table of groups, and the figures of the goals: geometric means over the signals that change."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row if name != "changing"))
    groups: dict[str, list[dict[str, float]]] = {}
    for key, row in rows.items():
        groups.setdefault(key.rpartition("|")[0], []).append(row)
    table = Table("group", "signals", *names, title=f"bits a value, batches of {n}")
    for group, members in groups.items():
        cells = [[row[name] for row in members if name in row] for name in names]
        best = min(float(np.mean(cell)) for cell in cells if cell)
        shown = [f"{np.mean(c):.2f}{' *' if c and np.mean(c) == best else ''}" if c else "-" for c in cells]
        table.add_row(group, str(len(members)), *shown)
    ratios = {k: row["vantel"] / row["pcodec"] for k, row in rows.items()}
    table.add_section()
    changing = {key: row for key, row in rows.items() if row["changing"]}
    for label, chosen in (("to pcodec, all", rows), ("to pcodec, changing", changing)):
        means = [[row[name] / row["pcodec"] for row in chosen.values() if name in row] for name in names]
        table.add_row(label, str(len(chosen)), *(f"{geometric_mean(m):.3f}" if m else "-" for m in means))
    console.print(table)
    worst = sorted(ratios, key=lambda key: -ratios[key])[:5]
    console.print("worst: " + ", ".join(f"{key} {ratios[key]:.3f}" for key in worst) + "\n")
    # a constant is cheap for everyone: the goals are about the others
    figures[f"pcodec {n}"] = geometric_mean([ratios[key] for key in changing])
    figures[f"worst {n}"] = ratios[worst[0]]
    if n in (256, 1024) and (floats := [row for row in changing.values() if "alp" in row]):
        figures[f"alp {n}"] = geometric_mean([row["vantel"] / row["alp"] for row in floats])


def report_goals(console: Console, figures: dict[str, float]) -> int:
    """Must and aim beside what was measured; number of musts that are missed."""
    table = Table("figure", "measured", "must", "aim", "", title="goals")
    missed = 0
    for name, (must, aim) in GOALS.items():
        if name not in figures:
            table.add_row(name, "not measured", f"{must}", f"{aim}", "")
            continue
        sign = -1 if "speed" in name else 1
        value = figures[name]
        verdict = "aim" if sign * value <= sign * aim else "must" if sign * value <= sign * must else "MISSED"
        missed += verdict == "MISSED"
        table.add_row(name, f"{value:.3f}", f"{must}", f"{aim}", verdict)
    console.print(table)
    return missed


def main() -> None:
    """Measure; exit 1 when a must is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--from", dest="source", type=Path, default=Path(__file__).parents[1] / "data", metavar="PATH",
                        help="folder of recordings, or .npz of signals (default: tests/data)")  # fmt: skip
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=list(SIZES), metavar="N", help="values of a batch"
    )
    parser.add_argument("--batches", type=int, default=12, metavar="N", help="batches of a signal at most")
    parser.add_argument("--without", nargs="+", default=[], metavar="PATTERN",
                        help="leave out signals, as group|name with * (those that the tables were trained on)")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="three batches a signal, none of more than 1024")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, for a program")
    args = parser.parse_args()
    console = Console(width=160)
    most, wanted = (3, [n for n in args.sizes if n <= 1024]) if args.quick else (args.batches, args.sizes)
    signals = [
        s
        for s in load(args.source)
        if not any(fnmatch.fnmatch(f"{s.group}|{s.name}", p) for p in args.without)
    ]
    console.print(f"{len(signals)} signals of {args.source}")
    figures: dict[str, float] = {}
    details: dict[str, Any] = {"bits": {}, "us": {}}
    for n in wanted:
        long = [s for s in signals if len(s.values) >= n]
        if not long:
            continue
        rows = details["bits"][n] = sizes_at(long, n, most)
        report_sizes(console, n, rows, figures)
        us = details["us"][n] = speeds_at(long, n, max(1, most // 3))
        for name, (encode_us, decode_us) in us.items():
            console.print(f"{name}, {n} values: encode {encode_us:.1f} us, decode {decode_us:.1f} us")
        if n in (256, 1024):
            figures[f"encode speed {n}"] = us["pcodec"][0] / us["vantel"][0]
            figures[f"decode speed {n}"] = us["pcodec"][1] / us["vantel"][1]
    if (ratio := stamps_ratio(signals, 256, most)) is not None:
        figures["stamps 256"] = ratio
    if sizes := message_bytes(signals):
        details["message bytes"] = sizes
        console.print("message of one second, bytes: " + ", ".join(f"{k} {v:.0f}" for k, v in sizes.items()))
        figures["message"] = sizes["vantel"] / min(v for k, v in sizes.items() if k != "vantel")
    if ratios := bounded_ratios(signals):
        figures["bounded error"] = geometric_mean(ratios)
    missed = report_goals(console, figures)
    if args.json:
        args.json.write_text(json.dumps({"figures": figures, **details}, indent=1), encoding="utf-8")
    raise SystemExit(1 if missed else 0)


if __name__ == "__main__":
    main()
