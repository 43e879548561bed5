"""What the local socket costs: another process sends samples at a fixed rate; processor time and loss are stated.

    python tests/bench/own_samples.py [--rate 100000] [--signals 100] [--seconds 10] [--json FILE]

Two runs, one after the other: the source alone in a thread of this process (its own processor time, by the thread's
clock), and the real agent with rings, detector, batcher, codec and spool behind it (processor time of the whole process,
no broker). The sender is a process of its own that sends ten milliseconds in one message, on an absolute schedule.
Loss is what was sent less what was emitted or produced; what the agent shed is told beside.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

TICK_S = 0.01
WARM_S = 3.0


def names(signals: int) -> list[tuple[str, str, str]]:
    return [(f"s{at:03d}", "m", "float64") for at in range(signals)]


def send(path: str, rate: int, signals: int, seconds: float, sent: Any, spent: Any) -> None:
    """Sine waves, ten milliseconds a message, each signal equally often."""
    from vantel.client import Client

    per_tick = round(rate * TICK_S)
    place = (np.arange(per_tick) % signals).astype("<u4").tobytes()
    steps = (np.arange(per_tick) // signals) * round(TICK_S * 1e9 / max(1, per_tick // signals))
    with Client(path, "bench", names(signals), timeout_s=60) as van:
        began = time.monotonic()
        for tick in range(round(seconds / TICK_S)):
            value = np.round(np.sin(tick * TICK_S + np.arange(per_tick) % signals), 3)
            stamps = time.monotonic_ns() - round(TICK_S * 1e9) + steps
            van.send_columns(place, stamps.astype("<i8").tobytes(), value.astype("<f8").tobytes())
            with sent.get_lock():
                sent.value += per_tick
            time.sleep(max(0.0, began + (tick + 1) * TICK_S - time.monotonic()))
        usage = resource.getrusage(resource.RUSAGE_SELF)
        spent.value = usage.ru_utime + usage.ru_stime


def declare(path: Path, signals: int) -> None:
    from edge.sources.declarations import Declarations
    from vantel.catalog import Signal

    Declarations(path, "stack").bind(tuple(Signal(name, unit=unit) for name, unit, _ in names(signals)), 0.0)


def sender(path: Path, options: argparse.Namespace) -> tuple[Any, Any, Any]:
    context = multiprocessing.get_context("spawn")
    sent, spent = context.Value("q", 0), context.Value("d", 0.0)
    arguments = (str(path), options.rate, options.signals, options.seconds, sent, spent)
    process = context.Process(target=send, args=arguments)
    process.start()
    return process, sent, spent


def alone(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """The source in a thread of its own, its samples counted and dropped."""
    from edge.clock import VanClock
    from edge.model import TextTable
    from edge.settings.sources import SocketSource
    from edge.sources import build

    declare(folder / "declared.json", options.signals)
    section = SocketSource(kind="socket", path=folder / "s", declarations=folder / "declared.json",
                           client_samples_per_s_max=1e7, samples_per_s_max=1e7)  # fmt: skip
    source = build(section, VanClock(), TextTable(), 0)
    stop = threading.Event()
    got = {"samples": 0, "blocks": 0, "delay_s": 0.0, "cpu_s": 0.0}

    def emit(block: Any) -> None:
        got["samples"] += len(block)
        got["blocks"] += 1
        got["delay_s"] = max(got["delay_s"], (time.monotonic_ns() - int(block.t_mono_ns[-1])) / 1e9)

    def run() -> None:
        began = time.thread_time()
        source.run(emit, stop)
        got["cpu_s"] = time.thread_time() - began

    thread = threading.Thread(target=run)
    thread.start()
    process, sent, spent = sender(folder / "s", options)
    process.join()
    time.sleep(0.5)
    stop.set()
    thread.join()
    return {
        "sent": sent.value,
        "lost": sent.value - got["samples"],
        "reader_cpu_percent": 100 * got["cpu_s"] / options.seconds,
        "reader_us_per_sample": 1e6 * got["cpu_s"] / max(1, got["samples"]),
        "sender_cpu_percent": 100 * spent.value / options.seconds,
        "blocks": got["blocks"],
        "delay_ms_max": 1000 * got["delay_s"],
    }


def whole(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """The agent as a process, without a broker."""
    import psutil

    from vantel_rig.van import Van

    declare(folder / "declared.json", options.signals)
    source = {"kind": "socket", "path": str(folder / "s"), "declarations": str(folder / "declared.json"),
              "client_samples_per_s_max": 1e7, "samples_per_s_max": 1e7}  # fmt: skip
    van = Van("bench-1", folder, 9, [source], batch={"window_s": 1.0}, queue={"source_bytes_max": 64 << 20})
    van.start()
    try:
        van.wait_ready()
        time.sleep(WARM_S)
        agent = psutil.Process(van.process.pid)
        before = agent.cpu_times()
        process, sent, _ = sender(folder / "s", options)
        process.join()
        time.sleep(1.0)
        after = agent.cpu_times()
    finally:
        van.stop()
    status = van.status()
    cpu_s = after.user + after.system - before.user - before.system
    return {
        "sent": sent.value,
        "lost": sent.value - int(status["samples_produced"]),
        "shed": sum(status["samples_shed"].values()),
        "agent_cpu_percent": 100 * cpu_s / options.seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=int, default=100_000, help="samples a second")
    parser.add_argument("--signals", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures: dict[str, Any] = {"rate": options.rate, "signals": options.signals, "seconds": options.seconds}
    for name, run in (("source alone", alone), ("whole agent", whole)):
        with tempfile.TemporaryDirectory(prefix="vs-") as folder:
            figures[name] = run(Path(folder), options)
        text = ", ".join(
            f"{key} {value:,.3f}".rstrip("0").rstrip(".") for key, value in figures[name].items()
        )
        sys.stdout.write(f"{name}: {text}\n")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
