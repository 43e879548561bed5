"""Whether the link is metered now, and the byte budgets in the state folder. The rim of edge.uplink.budget.

From the file that says so (its existence counts; a modem source, a script or a person makes and removes it) and a JSON
file of the day's books. The books are written to a temporary file, synced and renamed. A disk that fails costs the
durability of the budget, with one log line, and never a message.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import structlog

from edge.settings import UplinkSection
from edge.uplink.budget import Budget, DayBooks

METERED_FILE = "metered"
BOOKS_FILE = "uplink-day.json"
LOOK_S = 1.0
_log = structlog.get_logger("uplink")


class Meter:
    """The budget of an uplink with its files; used by the uplink thread."""

    def __init__(self, settings: UplinkSection, state_dir: Path) -> None:
        self._settings = settings
        self._file = settings.metered_file or state_dir / METERED_FILE
        self._path = state_dir / BOOKS_FILE
        self._failed = False
        self._look_at_s = float("-inf")
        limits = {
            "p1": settings.p1_day_bytes_max,
            "p2": settings.p2_day_bytes_max,
            "p1_metered": settings.p1_metered_day_bytes_max,
            "p2_metered": settings.p2_metered_day_bytes_max,
        }
        self.budget = Budget(limits, self._read(), self._write)

    def look(self, now_s: float) -> None:
        """Look at link and clock, once a LOOK_S. now_s: monotonic."""
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + LOOK_S
        metered = self._settings.metered == "always" or (
            self._settings.metered == "file" and os.path.exists(self._file)  # noqa: PTH110 - False on any error
        )
        if metered != self.budget.metered:
            _log.info("link is metered: P0 and what the budget allows" if metered else "link is not metered")
        self.budget.look(metered, time.time(), now_s)

    def _read(self) -> DayBooks:
        """What an earlier process granted; empty books for a file that is not there or is none."""
        try:
            tree = json.loads(self._path.read_text(encoding="utf-8"))
            granted = {str(book): int(count) for book, count in tree["granted"].items()}
            return DayBooks(int(tree["day"]), granted, max(0.0, float(tree.get("ran_s", 0.0))))
        except FileNotFoundError:
            return DayBooks()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as cause:
            _log.warning("byte budgets start anew", path=str(self._path), cause=str(cause))
            return DayBooks()

    def _write(self, books: DayBooks) -> None:
        temporary = self._path.with_suffix(".tmp")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(asdict(books), file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
            self._failed = False
        except OSError as cause:
            if not self._failed:
                self._failed = True
                _log.warning("byte budgets not stored: a restart forgets what was sent", path=str(self._path),
                             cause=cause.strerror or str(cause))  # fmt: skip
