"""Free loopback TCP ports for the servers of the local stack.

Ports are taken below the range from which the kernel draws the source ports of outgoing connections. A port inside
that range can be taken by any client between the stop and the restart of its server, and a client that redials a
closed one can even connect to itself. A port is held by a bound socket until `release`, just before its server
starts. None left raises OSError.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

PORT_MIN = 12_000
TRIES_MAX = 200
_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class HeldPort:
    """A loopback port nobody else can bind until it is released."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = _bind_free()
        self.port: int = self._socket.getsockname()[1]

    def release(self) -> int:
        """Frees the port for the server that starts now, and returns its number."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        return self.port


def _ephemeral_first() -> int:
    try:
        return int(_RANGE_FILE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768


def _bind_free() -> socket.socket:
    last = _ephemeral_first() - 1
    for _ in range(TRIES_MAX):
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # A machine may have widened the kernel's range down to our first port; then the kernel chooses.
        wanted = random.randint(PORT_MIN, last) if last > PORT_MIN + TRIES_MAX else 0
        try:
            held.bind(("127.0.0.1", wanted))
        except OSError:
            held.close()
            continue
        return held
    raise OSError(
        f"find a free port: {TRIES_MAX} ports of 127.0.0.1 from {PORT_MIN} to {last} are all taken; end some servers"
    )
