"""The two ways to a live bus: sockets of the kernel, and every interface that python-can knows.

open_reader() gives a FrameReader by the settings. Raises OSError, or ValueError for settings that name no interface.
A reader can send only if the section has poll: without it there is no code path from the agent to the bus.
"""

from __future__ import annotations

import errno
import os
import select
import struct
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from edge.settings import CanSource as CanSection
from edge.sources.can_socket import (
    ERROR_FRAME,
    FRAMES_MAX,
    REMOTE_FRAME,
    FrameSocket,
    Received,
    open_socketcan,
    open_udp,
)
from edge.sources.dbc_kernel import EXTENDED, PAYLOAD_BYTES

SEND_S_MAX = 0.02
EPOCH_SLACK_S = 60.0
"""A stamp of python-can further from now counts from somewhere else and is not used."""


class FrameReader(Protocol):
    """What a source reads frames from. Every call may raise OSError when the interface goes."""

    send: Callable[[int, bytes], None] | None
    """Send a classic frame: id with EXTENDED, at most 8 bytes. None unless the settings ask for polling."""

    def wait(self, timeout_s: float) -> bool:
        """Whether something has arrived, after timeout_s at most."""
        ...

    def read(self) -> Received | None:
        """What has arrived, at most FRAMES_MAX frames; None when nothing has."""
        ...

    def close(self) -> None:
        """Give the interface back."""
        ...


class SocketReader:
    """A FrameSocket with a wait."""

    def __init__(self, opened: FrameSocket, send: Callable[[int, bytes], None] | None = None) -> None:
        self.frames = opened
        self.send = send
        self._poll = select.poll()
        self._poll.register(opened.fileno(), select.POLLIN)
        self.read = opened.read
        self.fileno = opened.fileno
        self.close = opened.close

    def wait(self, timeout_s: float) -> bool:
        """See FrameReader; errors of the socket come out of read()."""
        return bool(self._poll.poll(timeout_s * 1000.0))


class PythonCanReader:
    """A bus of python-can: one Python object a frame, so for slow buses and bench adapters."""

    def __init__(self, section: CanSection) -> None:
        import can

        self._errors = (can.CanError, OSError)
        try:
            self._bus = can.Bus(section.channel, section.interface, **section.options)  # type: ignore[arg-type]
        except (can.CanError, ImportError, TypeError, ValueError, RuntimeError) as cause:
            raise OSError(f"python-can cannot open it: {cause}") from cause
        self._first: can.Message | None = None
        self.send = self._send if section.poll is not None else None

    def wait(self, timeout_s: float) -> bool:
        """See FrameReader."""
        if self._first is None:
            self._first = self._receive(timeout_s)
        return self._first is not None

    def read(self) -> Received | None:
        """See FrameReader."""
        frames = []
        message, self._first = self._first or self._receive(0.0), None
        while message is not None:
            frames.append(message)
            message = self._receive(0.0) if len(frames) < FRAMES_MAX else None
        if not frames:
            return None
        payload = np.zeros((len(frames), PAYLOAD_BYTES), np.uint8)
        for row, frame in enumerate(frames):
            payload[row, : len(frame.data)] = frame.data
        now_s = time.time()
        stamps = [
            frame.timestamp if abs(frame.timestamp - now_s) < EPOCH_SLACK_S else 0.0 for frame in frames
        ]
        ids = np.array([_kernel_id(frame) for frame in frames], np.uint32)
        return Received(
            ids,
            np.array([len(frame.data) for frame in frames], np.int64),
            payload,
            (np.array(stamps) * 1e6).round().astype(np.int64) * 1000,
            np.zeros(len(frames), np.int64),
            0,
            0,
            int(((ids & np.uint32(ERROR_FRAME | REMOTE_FRAME)) != 0).sum()),
        )

    def close(self) -> None:
        """See FrameReader."""
        self._bus.shutdown()

    def _send(self, key: int, data: bytes) -> None:
        import can

        frame = can.Message(
            arbitration_id=key & ~EXTENDED, is_extended_id=key >= EXTENDED, data=data, is_fd=False
        )
        try:
            self._bus.send(frame, SEND_S_MAX)
        except self._errors as cause:
            raise OSError(errno.ENOBUFS, str(cause)) from cause

    def _receive(self, timeout_s: float):  # type: ignore[no-untyped-def]
        try:
            return self._bus.recv(timeout_s)
        except self._errors as cause:
            raise OSError(str(cause)) from cause


class FrameSender:
    """Sends struct can_frame on a socket that somebody else owns."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, key: int, data: bytes) -> None:
        """See FrameReader; never waits. OSError, ENOBUFS when the controller's queue is full."""
        os.write(self._descriptor, struct.pack("=IB3x8s", key, len(data), data))


def open_reader(section: CanSection) -> FrameReader:
    """The reader of a section of the settings."""
    if section.interface == "socketcan":
        opened = open_socketcan(section.channel, section.receive_bytes_max)
        return SocketReader(opened, FrameSender(opened.fileno()).send if section.poll is not None else None)
    if section.interface == "udp":
        return SocketReader(open_udp(section.channel, section.receive_bytes_max))
    return PythonCanReader(section)


def _kernel_id(frame) -> int:  # type: ignore[no-untyped-def]
    """Id with the flags that the kernel would set."""
    key = frame.arbitration_id | (EXTENDED if frame.is_extended_id else 0)
    if frame.is_error_frame:
        return int(key & ~EXTENDED) | ERROR_FRAME
    return int(key | REMOTE_FRAME) if frame.is_remote_frame else int(key)
