"""Live views: as long as somebody has the page of a van open, the van is asked for full rate, with a time limit.

Viewers that come and go -> commands to the van: one at the first viewer, renewed at a third of its time, one that ends
it when the last viewer left. A command that reaches the van late does nothing: it expires with its own view. Times in
seconds; now_s is passed in. Sends through a function, so that this file knows no broker.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vantel.commands import Command, CommandResult, CommandStatus, LiveView

RENEWALS = 3
CONFIRM_S_MAX = 10.0

Send = Callable[[str, bytes, int], bool]
"""(van, command, expiry in s) -> whether a broker connection took it."""


@dataclass(slots=True)
class View:
    """One van that is watched."""

    viewers: int
    command_id: str = ""
    asked_s: float = float("-inf")
    sent: bool = False
    confirmed_s: float = float("-inf")


class LiveViews:
    """All live views; single-threaded."""

    def __init__(self, send: Send, results: Mapping[str, CommandResult], duration_s: float) -> None:
        self._send, self._results, self._duration_s = send, results, duration_s
        self._views: dict[str, View] = {}

    def join(self, van: str, now_s: float) -> None:
        """A viewer came."""
        view = self._views.setdefault(van, View(0))
        view.viewers += 1
        if view.viewers == 1:
            self._ask(van, view, now_s)

    def leave(self, van: str) -> None:
        """A viewer left; the last one ends the view."""
        view = self._views.get(van)
        if view is None:
            return
        view.viewers -= 1
        if view.viewers <= 0:
            del self._views[van]
            self._order(van, 0.0)

    def renew(self, now_s: float) -> None:
        """Ask again where it is time to; call it about once a second."""
        for van, view in self._views.items():
            period_s = self._duration_s / RENEWALS if view.sent else 1.0
            if now_s - view.asked_s >= period_s:
                self._ask(van, view, now_s)

    def end_all(self) -> None:
        """The page stops: nobody watches any more."""
        for van in list(self._views):
            del self._views[van]
            self._order(van, 0.0)

    def state(self, van: str, now_s: float) -> dict[str, Any]:
        """off, asked, on, refused, silent (the van does not answer) or no_link (no broker), with a detail for people."""
        view = self._views.get(van)
        if view is None:
            return {"state": "off", "detail": ""}
        if not view.sent:
            return {"state": "no_link", "detail": "the page has no connection to the broker"}
        result = self._results.get(view.command_id)
        if result is None:
            if now_s - view.confirmed_s < self._duration_s:
                return {"state": "on", "detail": "full rate while this page is open"}
            waited = now_s - view.asked_s > CONFIRM_S_MAX
            return {"state": "silent" if waited else "asked", "detail": "the van has not answered yet"}
        if result.status is CommandStatus.DONE:
            view.confirmed_s = view.asked_s
            return {"state": "on", "detail": result.detail}
        return {"state": "refused", "detail": f"{result.status.name.lower()}: {result.detail}"}

    def _ask(self, van: str, view: View, now_s: float) -> None:
        view.asked_s = now_s
        view.command_id, view.sent = self._order(van, self._duration_s)

    def _order(self, van: str, duration_s: float) -> tuple[str, bool]:
        command_id = secrets.token_hex(8)
        expires_unix_ns = time.time_ns() + int(self._duration_s * 1e9)
        command = Command(command_id, LiveView(duration_s), expires_unix_ns)
        return command_id, self._send(van, command.encode(), max(int(self._duration_s), 1))
