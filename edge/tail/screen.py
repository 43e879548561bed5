"""Live values as a table with sparklines, or as JSON lines for programs.

Lines of the tail -> one row a signal: value, unit, age, and the course of the last values. Pure but for the printing:
history and rows are functions of the lines. What is stale is shown with its age, what never came as a dash.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

BARS = "▁▂▃▄▅▆▇█"
POINTS_MAX = 40
STALE_S = 2.0


def sparkline(values: list[float]) -> str:
    """The course of numbers, lowest to highest of those given; a gap where there is no number."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    low, span = min(finite), max(finite) - min(finite)
    step = [0.0 if span == 0 else (value - low) / span for value in values]
    return "".join(
        " " if not math.isfinite(value) else BARS[min(int(at * len(BARS)), len(BARS) - 1)]
        for value, at in zip(values, step, strict=True)
    )


class Screen:
    """Signals and the history of their values."""

    def __init__(self, signals: list[dict[str, Any]]) -> None:
        self._signals = signals
        self._history: list[deque[float]] = [deque(maxlen=POINTS_MAX) for _ in signals]
        self._now: list[Any] = [None] * len(signals)

    def add(self, line: dict[str, Any]) -> None:
        """Take a line of values."""
        self._now = line["values"]
        for history, pair in zip(self._history, self._now, strict=True):
            number = pair is not None and not isinstance(pair[1], str) and pair[0] < STALE_S
            history.append(float(pair[1]) if number else math.nan)

    def table(self) -> Table:
        """What is to be seen now."""
        table = Table("signal", "value", "unit", "age", "course", box=None, header_style="bold")
        table.columns[1].justify = table.columns[3].justify = "right"
        for signal, pair, history in zip(self._signals, self._now, self._history, strict=True):
            name = signal["name"] + (" (simulated)" if signal["simulated"] else "")
            if pair is None:
                table.add_row(name, "-", signal["unit"], "never", "", style="dim")
                continue
            age_s, value = pair
            shown = f"{value:.6g}" if isinstance(value, float) else str(value)
            style = "yellow" if age_s >= STALE_S else ""
            table.add_row(
                name, shown, signal["unit"], f"{age_s:.1f} s", sparkline(list(history)), style=style
            )
        return table


def as_json(signals: list[dict[str, Any]], line: dict[str, Any]) -> str:
    """One line for programs."""
    values = {
        signal["name"]: None if pair is None else {"value": pair[1], "age_s": pair[0], "unit": signal["unit"]}
        for signal, pair in zip(signals, line["values"], strict=True)
    }
    return json.dumps({"t_unix_s": line["t_unix_s"], "signals": values})


def show(
    console: Console,
    signals: list[dict[str, Any]],
    lines: Iterator[dict[str, Any]],
    *,
    period_s: float,
    seconds: float | None,
    for_programs: bool,
) -> None:
    """Print until the time is over or the reader is interrupted."""
    end_s = time.monotonic() + seconds if seconds is not None else math.inf
    due_s = 0.0
    screen = Screen(signals)
    with Live(console=console, auto_refresh=False, transient=False) as live:
        if for_programs:
            live.stop()
        for line in lines:
            now_s = time.monotonic()
            if now_s < due_s:
                continue
            due_s = now_s + period_s
            if for_programs:
                console.file.write(as_json(signals, line) + "\n")
                console.file.flush()
            else:
                screen.add(line)
                live.update(screen.table(), refresh=True)
            if now_s >= end_s:
                return
