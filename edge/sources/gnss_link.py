"""The ways to a GNSS receiver: a serial port, another device file (/dev/gnss0, a pipe), or TCP to gpsd or a router.

open_link() by an address: "host:port", or the path of a device. Every call may raise OSError when the link goes.
"""

from __future__ import annotations

import os
import select
import socket
from pathlib import Path

from edge.settings.address import host_and_port

CONNECT_S_MAX = 5.0
READ_BYTES_MAX = 4096


class Link:
    """Bytes of one receiver."""

    def __init__(self, address: str, baud: int, greeting: bytes = b"") -> None:
        """greeting: sent at once, as gpsd wants it."""
        where = host_and_port(address)
        self._socket: socket.socket | None = None
        if where is not None:
            self._socket = socket.create_connection(where, CONNECT_S_MAX)
            self._fd = self._socket.fileno()
            self._socket.sendall(greeting)
        else:
            self._fd = _open_device(Path(address), baud)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def read(self, timeout_s: float) -> bytes:
        """What has arrived, b"" when nothing did in timeout_s."""
        if not self._poll.poll(timeout_s * 1000.0):
            return b""
        data = self._socket.recv(READ_BYTES_MAX) if self._socket else os.read(self._fd, READ_BYTES_MAX)
        if not data:
            raise OSError("closed by the other end")
        return data

    def close(self) -> None:
        """Give it back."""
        if self._socket is not None:
            self._socket.close()
        else:
            os.close(self._fd)


def _open_device(path: Path, baud: int) -> int:
    """File descriptor of a device; a terminal is set to baud, 8 data bits, no parity, raw."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not os.isatty(fd):
        return fd
    os.close(fd)
    import serial

    with serial.Serial(str(path), baud, timeout=0) as port:
        return os.dup(port.fileno())
