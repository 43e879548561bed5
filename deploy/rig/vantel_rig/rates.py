"""Rates of the vans of a demo, from what each agent says about itself: a line for each van."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.text import Text

from vantel_rig.van import Van


class Rates:
    """Remembers the last counts of each van; lines() gives the rates since the call before."""

    def __init__(self, vans: Sequence[Van]) -> None:
        self._vans = vans
        self._last: dict[str, tuple[float, float, float]] = {}

    def lines(self) -> list[Text]:
        """One line for each van; a van that has not spoken yet has zeros."""
        return [self._line(van) for van in self._vans]

    def _line(self, van: Van) -> Text:
        status = van.status()
        now = time.monotonic()
        samples = float(status.get("samples_produced", 0))
        sent = float(status.get("uplink", {}).get("bytes_sent", 0.0))
        then, samples_before, sent_before = self._last.get(van.id, (now - 1.0, samples, sent))
        self._last[van.id] = (now, samples, sent)
        elapsed_s = max(now - then, 1e-3)
        waiting = sum(int(part["envelopes"]) for part in status.get("spool", {}).values())
        link = "connected" if status.get("connected") else "offline"
        return Text(
            f"{van.id}  {link:9}  {(samples - samples_before) / elapsed_s:8.0f} samples/s"
            f"  {(sent - sent_before) / elapsed_s / 1000:7.1f} kB/s up  {waiting:4d} envelopes waiting"
            f"  {int(status.get('events_produced', 0)):4d} events",
            no_wrap=True,
        )
