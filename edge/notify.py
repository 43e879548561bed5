"""What the agent tells systemd: ready, status line, watchdog ping, more time, stopping.

From calls to datagrams on $NOTIFY_SOCKET (file or abstract socket); without it every call does nothing. Times are
seconds of the monotonic clock. A datagram that cannot be sent is counted and logged once, never raised: the watchdog
of systemd is the judge. Sources: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Mapping

import structlog

STATUS_CHARS_MAX = 512
PINGS_PER_TIMEOUT = 3
"""systemd advises half the timeout; a third leaves room for one late round."""

_log = structlog.get_logger("notify")


class Notifier:
    """The one sender of notifications; used by the supervising thread only."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """environ: where systemd left its variables, by default those of this process."""
        environ = os.environ if environ is None else environ
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog_s(environ) if self._address else 0.0
        self._next_ping_s = -math.inf
        self._next_status_s = -math.inf
        self.failures = 0

    @property
    def enabled(self) -> bool:
        """Whether anybody listens."""
        return bool(self._address)

    def ready(self, text: str) -> None:
        """Start-up is complete."""
        self._send("READY=1", f"STATUS={_one_line(text)}")

    def status(self, text: str) -> None:
        """Line of `systemctl status`."""
        self._send(f"STATUS={_one_line(text)}")

    def stopping(self, text: str) -> None:
        """The agent is about to leave."""
        self._send("STOPPING=1", f"STATUS={_one_line(text)}")

    def extend_timeout(self, seconds: float) -> None:
        """Ask for more time to start or to stop, counted from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={max(0, round(seconds * 1e6))}")

    def due(self, now_s: float) -> bool:
        """Whether a watchdog ping is wanted now; stays true until watchdog() is called."""
        return self.watchdog_s > 0 and now_s >= self._next_ping_s

    def watchdog(self, now_s: float) -> None:
        """The agent makes progress. Call it only when that was seen."""
        self._next_ping_s = now_s + self.watchdog_s / PINGS_PER_TIMEOUT
        self._send("WATCHDOG=1")

    def status_due(self, now_s: float, period_s: float) -> bool:
        """True once each period, with or without systemd: the beat of status line and status file."""
        if now_s < self._next_status_s:
            return False
        self._next_status_s = now_s + period_s
        return True

    def _send(self, *assignments: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
                link.setblocking(False)  # a stuck service manager must not stop the agent
                link.connect(self._address)
                link.send("\n".join(assignments).encode())
        except OSError as cause:
            self.failures += 1
            if self.failures == 1:
                _log.warning("systemd not told", socket=self._address, cause=str(cause),
                             fix="NotifyAccess=main and Type=notify in the unit")  # fmt: skip


def _address(name: str) -> str:
    """Address for connect(): a path, or an abstract name ("@name" stands for a leading NUL). "" if nobody listens."""
    if name.startswith("@"):
        return "\0" + name[1:]
    if name and not name.startswith("/"):
        _log.warning(
            "NOTIFY_SOCKET not usable", value=name, fix="a path or @name; other kinds are not spoken"
        )
        return ""
    return name


def _watchdog_s(environ: Mapping[str, str]) -> float:
    """Watchdog timeout meant for this process; 0 for none."""
    pid = environ.get("WATCHDOG_PID", "")
    if pid and pid != str(os.getpid()):
        return 0.0
    try:
        return max(0, int(environ.get("WATCHDOG_USEC", "0"))) / 1e6
    except ValueError:
        _log.warning("WATCHDOG_USEC is no number", value=environ["WATCHDOG_USEC"])
        return 0.0


def _one_line(text: str) -> str:
    return " ".join(text.split())[:STATUS_CHARS_MAX]
