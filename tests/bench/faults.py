"""What the detector finds: faults put into the recorded drives, by kind and size, at three budgets of false alarms.

    python -m tests.bench.faults [--json FILE] [--trials 6] [--days 3] [--ablation] [--only NAME]

The detector of the agent runs on a drive played forth and back for 20 minutes to learn, then on one fault in one signal at
a random time. Per fault and budget (incidents a van-day, eight hours): recall over all trials and over those that the
oracle of tests/bench/fault_oracle.py sees at the same budget, median latency in samples, share of first incidents that blame another
signal. Constants were looked at with the tuning trials only; the held trials have other onsets, signals and signs. Then clean streams of --days van-days, resampled from the same drives, with the incidents found and the upper 95 %
bound of their rate (Poisson): a minute of driving bounds little, and a resampled stream repeats what the minute had.
Both parts are of the same two drives: no untouched test set.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge.detector import Detector
from edge.detector.layout import CHANNELS, OFF
from edge.model import SampleBlock
from edge.settings import DetectorSection
from tests.bench.fault_kinds import (
    RATE_HZ,
    Fault,
    Recording,
    Table,
    inject,
    record,
    samples,
    wander,
)
from tests.bench.fault_oracle import Oracle
from tests.bench.fault_recordings import board, bus, cells
from vantel.payloads import Event

BUDGETS = (0.1, 1.0, 10.0)
LEARN_S = 20 * 60
LEARN_TICKS = LEARN_S * RATE_HZ
AFTER_S = 10
AFTER_TICKS = 70 * RATE_HZ
TICK_NS = 1_000_000_000 // RATE_HZ
DAY_S = 8 * 3600
GUARD_TICKS = 100
MACRO = {
    "recall": "macro recall, all trials",
    "recall_visible": "of the visible",
    "recall_aim": "of the visible or with a peer",
    "recall_peers": "of signals with peers",
    "visible": "share visible to the oracle",
}


def say(text: str) -> None:
    """One line at once, also into a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def block(table: Table, first: int, tick_ns: int = TICK_NS) -> SampleBlock:
    n, width = table.shape
    t = np.repeat((first + np.arange(n, dtype=np.int64)) * tick_ns, width)
    return SampleBlock(np.tile(np.arange(width, dtype=np.int32), n), t, table.ravel())


def detector_of(recording: Recording, budget: float, off: int = 0, peers: bool = True) -> Detector:
    named = [list(names) for names in recording.peers] if peers else []
    section = DetectorSection(incidents_per_day_max=budget, peers=named, refractory_s=5.0)
    detector = Detector(recording.catalog, section)
    detector._scale[:, OFF] = detector._scale[:, OFF].astype(int) | off
    return detector


class Trial(NamedTuple):
    """What became of one fault: visible to the oracle, found, latency in samples (-1), another blamed first, has peers."""

    visible: bool
    found: bool
    latency: int
    wrong: bool
    with_peers: bool


class Bench:
    """A recording with a detector that has learned, for one budget."""

    def __init__(self, recording: Recording, budget: float, off: int = 0, peers: bool = True) -> None:
        self._recording = recording
        self._detector = detector_of(recording, budget, off, peers)
        self._oracle = Oracle(recording, budget)
        random = np.random.default_rng(7)
        names = {name for members in recording.peers for name in members} if peers else set()
        self._with_peers = {at for at, signal in enumerate(recording.catalog.signals) if signal.name in names}
        self._learned = LEARN_S * recording.rate_hz
        past, self._row = wander(recording, self._learned, random)
        self._detector.step(block(past, 0, recording.tick_ns))
        self._state = self._detector.state()

    def trial(self, fault: Fault, number: int) -> Trial:
        """One fault at a random time in a random signal."""
        random = np.random.default_rng(
            [number, abs(round(fault.magnitude * 10)), round(fault.for_s * 10), len(fault.kind)]
        )
        recording, at = self._recording, GUARD_TICKS
        ticks = at + round((fault.for_s + AFTER_S) * recording.rate_hz)
        clean, _ = wander(recording, max(ticks, AFTER_TICKS + at), random, self._row)
        slot = int(random.integers(clean.shape[1]))
        faulty = inject(recording, clean, fault, slot, at, number)
        hits = self._hits(faulty, fault, slot, at)
        struck = recording.together(slot, fault)
        mine = [tick for tick, blamed in hits if blamed in struck]
        visible = self._oracle.sees(clean, faulty, slot, fault, at)
        wrong = bool(hits) and hits[0][1] not in struck
        return Trial(visible, bool(mine), mine[0] - at if mine else -1, wrong, slot in self._with_peers)

    def _hits(self, faulty: Table, fault: Fault, slot: int, at: int) -> list[tuple[int, int]]:
        """(tick, slot blamed) of what was told while the fault lasted, by time."""
        recording, width = self._recording, faulty.shape[1]
        self._detector.restore(self._state)
        stream = samples(recording, faulty, self._learned, fault, slot, at)
        before, after = (
            SampleBlock(stream.slot[rows], stream.t_mono_ns[rows], stream.value[rows])
            for rows in (slice(0, at * width), slice(at * width, None))
        )
        self._detector.step(before)
        events = self._detector.step(after)
        events += self._detector.idle((self._learned + len(faulty) + recording.rate_hz) * recording.tick_ns)
        last = at + round(fault.for_s * recording.rate_hz) + 5
        # the stream has the time of a clock that is ahead
        ahead = round(max(fault.magnitude, 0.0) * recording.rate_hz) if fault.kind == "clock" else 0
        ticks_of = [(event.t_mono_ns // recording.tick_ns - self._learned - ahead, event) for event in events]
        return sorted((tick, event.signal_id - 70_000) for tick, event in ticks_of if at <= tick <= last)


def share(trials: list[Trial], what: Callable[[Trial], bool]) -> float:
    """Share of trials for which it holds; NaN of none."""
    return sum(map(what, trials)) / len(trials) if trials else float("nan")


def row_of(results: list[Trial]) -> dict[str, float]:
    """Figures of the trials of one fault."""
    found = [result for result in results if result.found]
    return {
        "trials": len(results),
        "visible": share(results, lambda result: result.visible),
        "recall": share(results, lambda result: result.found),
        "recall_visible": share([r for r in results if r.visible], lambda result: result.found),
        "recall_peers": share([r for r in results if r.with_peers], lambda result: result.found),
        "recall_aim": share([r for r in results if r.visible or r.with_peers], lambda result: result.found),
        "found_unseen": sum(not result.visible for result in found),
        "latency": float(np.median([result.latency for result in found])) if found else float("nan"),
        "wrong": share(results, lambda result: result.wrong),
    }


def table_of(
    recording: Recording, budget: float, numbers: range, off: int = 0, peers: bool = True
) -> dict[str, dict[str, float]]:
    """Figures by fault, of the trials with these numbers."""
    bench = Bench(recording, budget, off, peers)
    return {
        fault.name: row_of([bench.trial(fault, number) for number in numbers]) for fault in recording.faults
    }


def mean_of(rows: dict[str, dict[str, float]], key: str) -> float:
    known = [row[key] for row in rows.values() if not np.isnan(row[key])]
    return float(np.mean(known)) if known else float("nan")


def poisson_bound(count: int) -> float:
    """Upper 95 % bound of a Poisson mean after count events, by the Wilson and Hilferty approximation."""
    k = count + 1
    return k * (1 - 1 / (9 * k) + 1.645 / (3 * np.sqrt(k))) ** 3 if count else 3.0


def clean_days(recording: Recording, budget: float, days: float) -> tuple[int, dict[str, int]]:
    """Incidents in a clean resampled stream after learning, and by channel."""
    detector, random = detector_of(recording, budget), np.random.default_rng(11)
    done = LEARN_S * recording.rate_hz
    past, row = wander(recording, done, random)
    detector.step(block(past, 0, recording.tick_ns))
    events: list[Event] = []
    end = done + round(days * DAY_S * recording.rate_hz)
    while done < end:
        part, row = wander(recording, 36_000, random, row)
        events += detector.step(block(part, done, recording.tick_ns))
        done += len(part)
    channels: dict[str, int] = defaultdict(int)
    for event in events:
        channels[event.channel] += 1
    return len(events), dict(channels)


def show(recording: Recording, part: str, by_budget: dict[float, dict[str, dict[str, float]]]) -> None:
    say(
        f"\n{recording.name}, {part}: recall / of the visible / median latency in samples / blamed another, "
        f"at {', '.join(map(str, BUDGETS))} a van-day"
    )
    for fault in recording.faults:
        row = [by_budget[budget][fault.name] for budget in by_budget]
        text = "   ".join(
            f"{c['recall']:4.2f} {c['recall_visible']:4.2f} {c['latency']:4.0f} {c['wrong']:4.2f}"
            for c in row
        )
        say(f"  {fault.name:22} {text}   (visible {row[1]['visible']:.2f})")
    for key, title in MACRO.items():
        macro = [mean_of(rows, key) for rows in by_budget.values()]
        say(f"  {title:30} " + "            ".join(f"{m:5.3f}" for m in macro))
    unseen = [sum(int(row["found_unseen"]) for row in rows.values()) for rows in by_budget.values()]
    say(
        f"  found, though the oracle did not see them: {unseen} of {row[0]['trials'] * len(recording.faults):g}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--days", type=float, default=3.0)
    parser.add_argument(
        "--ablation", action="store_true", help="leave out each layer in turn, at 1 a van-day"
    )
    parser.add_argument("--only", default="", help="recordings whose name holds this")
    options = parser.parse_args()
    out: dict[str, object] = {}
    drives = [record(0, "RAV4"), record(2, "OBD")]
    drives += [board(), bus(), cells(drives[0])]
    for drive_ in [drive for drive in drives if options.only in drive.name]:
        say(f"{drive_.name}: {drive_.table.shape[1]} signals, {len(drive_.table) / drive_.rate_hz:.0f} s")
        for part, first in (("tuning trials", 0), ("held trials", options.trials)):
            numbers = range(first, first + options.trials)
            rows = {budget: table_of(drive_, budget, numbers) for budget in BUDGETS}
            show(drive_, part, rows)
            out[f"{drive_.name}, {part}"] = rows
        for budget in BUDGETS if options.days else ():
            count, channels = clean_days(drive_, budget, options.days)
            bound = poisson_bound(count) / options.days
            say(
                f"  clean, resampled, budget {budget:g}: {count} incidents in {options.days:g} van-days, "
                f"at most {bound:.1f} a day (95 %) {channels}"
            )
            out[f"{drive_.name} clean {budget:g}"] = {
                "incidents": count,
                "a_day_max": bound,
                "channels": channels,
            }
    if options.ablation:
        say("\nAblation on the RAV4 drive at 1 a van-day: macro recall without")
        layers = {"nothing": (0, True), "peers": (0, False)}
        layers |= {name: (1 << at, True) for at, name in enumerate(CHANNELS)}
        for name, (off, with_peers) in layers.items():
            rows = table_of(drives[0], 1.0, range(options.trials), off, with_peers)
            macro = mean_of(rows, "recall")
            say(f"  {name:12} {macro:4.2f}")
            out[f"without {name}"] = macro
    if options.json:
        options.json.write_text(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
