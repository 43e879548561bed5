"""Draws docs/images/faults.png: each fault of tests/bench/faults.py, what it looks like, and which channel tells it.

    python -m tests.bench.fault_plots [--out docs/images/faults.png]

One wheel speed of the RAV4 minute, after 20 minutes of learning, at 1 incident a van-day: grey is the clean signal, blue
what the detector got, red lines are what it told of this signal and orange ones what it told of another. A trial that was
not found is drawn as well; faults in how samples come are not drawn. One trial is an illustration; the recall is in docs/detection.md. Needs matplotlib:
pip install -r tests/bench/requirements.txt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from edge.detector import Detector
from tests.bench.fault_kinds import ARRIVALS, FAULTS, RATE_HZ, Fault, Recording, inject, record, wander
from tests.bench.faults import AFTER_TICKS, GUARD_TICKS, LEARN_TICKS, TICK_NS, block, detector_of

SIGNAL = "can0.WHEEL_SPEEDS.WHEEL_SPEED_FL"
COLUMNS = 4
MARGIN_S = 5.0
SEED = 5


def draw(axes: Axes, recording: Recording, detector: Detector, row: int, fault: Fault) -> None:
    """One panel: the fault at second 0, what was told until it ended."""
    slot = [signal.name for signal in recording.catalog.signals].index(SIGNAL)
    clean, _ = wander(recording, AFTER_TICKS + GUARD_TICKS, np.random.default_rng(SEED), row)
    faulty = inject(recording, clean, fault, slot, GUARD_TICKS, SEED)
    detector.step(block(faulty[:GUARD_TICKS], LEARN_TICKS))
    events = detector.step(block(faulty[GUARD_TICKS:], LEARN_TICKS + GUARD_TICKS))
    events += detector.idle((LEARN_TICKS + len(faulty) + RATE_HZ) * TICK_NS)
    t_s = (np.arange(len(clean)) - GUARD_TICKS) / RATE_HZ
    told = [(event.t_mono_ns / TICK_NS - LEARN_TICKS - GUARD_TICKS, event) for event in events]
    told = [(tick / RATE_HZ, event) for tick, event in told if 0 <= tick <= fault.for_s * RATE_HZ + 5]
    shown = (t_s >= -MARGIN_S) & (t_s <= fault.for_s + MARGIN_S)
    axes.plot(t_s[shown], clean[shown, slot], color="0.7", linewidth=1.6)
    axes.plot(t_s[shown], faulty[shown, slot], color="tab:blue", linewidth=0.7)
    names = []
    for at_s, event in told:
        mine = event.signal_id - 70_000 == slot
        axes.axvline(at_s, color="tab:red" if mine else "tab:orange", linewidth=0.8)
        names.append(event.channel if mine else f"({event.channel})")
    text = ", ".join(dict.fromkeys(names)) or "not told"
    axes.set_title(f"{fault.name}: {text}", fontsize=7, loc="left")
    axes.tick_params(labelsize=6, length=2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/images/faults.png"))
    options = parser.parse_args()
    recording = record(0, "RAV4")
    detector = detector_of(recording, 1.0)
    past, row = wander(recording, LEARN_TICKS, np.random.default_rng(7))
    detector.step(block(past, 0))
    learned = detector.state()
    drawn = [fault for fault in FAULTS if fault.kind not in ARRIVALS]
    rows = -(-len(drawn) // COLUMNS)
    figure, grid = plt.subplots(rows, COLUMNS, figsize=(11, 1.55 * rows), layout="constrained")
    for axes, fault in zip(grid.flat, drawn, strict=False):
        detector.restore(learned)
        draw(axes, recording, detector, row, fault)
    for axes in grid.flat[len(drawn) :]:
        axes.set_axis_off()
    unit = next(signal.unit for signal in recording.catalog.signals if signal.name == SIGNAL)
    figure.supxlabel(f"seconds since the fault began; {SIGNAL}, {unit}", fontsize=7)
    figure.savefig(options.out, dpi=90, metadata={"Software": None})


if __name__ == "__main__":
    main()
