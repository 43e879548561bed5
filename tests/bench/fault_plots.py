"""Draws docs/images/faults.png: each fault of tests/bench/faults.py, what it looks like, and which channel tells it.

    python -m tests.bench.fault_plots [--out docs/images/faults.png]

One wheel speed of the RAV4 minute, after 20 minutes of learning, at 1 incident a van-day: grey is the clean signal, blue
what the detector got, red lines are what it told of this signal and orange ones what it told of another. Faults in how samples
come are drawn as dots at the stamps they came with. A trial that was not found is drawn as well. One trial is an illustration; the recall is in docs/detection.md. Needs matplotlib:
pip install -r tests/bench/requirements.txt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from edge.detector import Detector
from tests.bench.fault_kinds import (
    ARRIVALS,
    FAULTS,
    RATE_HZ,
    Fault,
    Recording,
    inject,
    record,
    samples,
    wander,
)
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
    stream = samples(recording, faulty, LEARN_TICKS, fault, slot, GUARD_TICKS)
    events = detector.step(stream)
    events += detector.idle((LEARN_TICKS + len(faulty) + RATE_HZ) * TICK_NS)
    t_s = (np.arange(len(clean)) - GUARD_TICKS) / RATE_HZ
    ahead_s = max(fault.magnitude, 0.0) if fault.kind == "clock" else 0.0
    struck = recording.together(slot, fault)
    told = [
        (event.t_mono_ns / TICK_NS / RATE_HZ - (LEARN_TICKS + GUARD_TICKS) / RATE_HZ - ahead_s, event)
        for event in events
    ]
    told = [(at_s, event) for at_s, event in told if 0 <= at_s <= fault.for_s + 0.5]
    shown = (t_s >= -MARGIN_S) & (t_s <= fault.for_s + MARGIN_S)
    axes.plot(t_s[shown], clean[shown, slot], color="0.7", linewidth=1.6)
    if fault.kind in ARRIVALS:
        mine = stream.slot == slot
        came_s = stream.t_mono_ns[mine] / 1e9 - (LEARN_TICKS + GUARD_TICKS) / RATE_HZ
        near = (came_s >= -MARGIN_S - 60) & (came_s <= fault.for_s + MARGIN_S + 60)
        axes.plot(came_s[near], stream.value[mine][near], ".", color="tab:blue", markersize=1.2)
    else:
        axes.plot(t_s[shown], faulty[shown, slot], color="tab:blue", linewidth=0.7)
    names = []
    for at_s, event in told:
        its_own = event.signal_id - 70_000 in struck
        axes.axvline(at_s, color="tab:red" if its_own else "tab:orange", linewidth=0.8)
        names.append(event.channel if its_own else f"({event.channel})")
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
    rows = -(-len(FAULTS) // COLUMNS)
    figure, grid = plt.subplots(rows, COLUMNS, figsize=(11, 1.55 * rows), layout="constrained")
    for axes, fault in zip(grid.flat, FAULTS, strict=False):
        detector.restore(learned)
        draw(axes, recording, detector, row, fault)
    for axes in grid.flat[len(FAULTS) :]:
        axes.set_axis_off()
    unit = next(signal.unit for signal in recording.catalog.signals if signal.name == SIGNAL)
    figure.supxlabel(f"seconds since the fault began; {SIGNAL}, {unit}", fontsize=7)
    figure.savefig(options.out, dpi=90, metadata={"Software": None})


if __name__ == "__main__":
    main()
