"""CAN frames out of a kernel socket, many a call, with the kernel's own receive stamps and drop counts.

FrameSocket reads a SocketCAN raw socket, or a UDP socket whose datagrams are struct can_frame or canfd_frame (rigs,
bridges, and the tests: stamps and drop counts work there too), by recvmmsg(2) into memory taken once: one system call
and no Python for each of up to FRAMES_MAX frames. Times are Unix ns. Sources: linux/can.h, linux/net_tstamp.h,
Documentation/networking/can.rst and timestamping.rst. OSError when the interface goes; nothing is ever sent here.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from typing import NamedTuple

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from vantel.array_table import ArrayTable
from vantel.kernel import kernel

FRAMES_MAX = 512
CLASSIC_BYTES, FD_BYTES = 16, 72
SLOT_BYTES = 80
CONTROL_BYTES = 128
SO_RCVBUFFORCE, SO_TIMESTAMPING, SO_RXQ_OVFL = 33, 37, 40
STAMPS = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6
"""SOF_TIMESTAMPING_RX_HARDWARE, RX_SOFTWARE, SOFTWARE, RAW_HARDWARE."""
ERROR_FRAME, REMOTE_FRAME = 0x2000_0000, 0x4000_0000
ALL_ERRORS = 0x1FFF_FFFF
_MMSGHDR = np.dtype(
    [("name", "u8"), ("name_len", "u8"), ("iov", "u8"), ("iov_len", "u8"),
     ("control", "u8"), ("control_len", "u8"), ("flags", "u8"), ("bytes", "u8")]
)  # fmt: skip
_IOVEC = np.dtype([("base", "u8"), ("bytes", "u8")])
_HEAD_CONTROL_BYTES, _HEAD_BYTES = 5, 7
"""Words of mmsghdr: bytes of control messages, bytes of the datagram."""
_STAMP_KIND = SO_TIMESTAMPING << 32 | socket.SOL_SOCKET
_DROP_KIND = SO_RXQ_OVFL << 32 | socket.SOL_SOCKET
_receive = ctypes.CDLL(None, use_errno=True).recvmmsg


class Received(NamedTuple):
    """Frames of one call, in order. ids: uint32[n] as the kernel has them, with the flags of 29-bit, remote and error
    frames. lengths: int64[n] bytes. payload: uint8[n, 64], undefined after the length.

    software_ns, hardware_ns: int64[n], Unix ns of the kernel and ns of the controller's own counter; 0: not stamped.
    malformed: datagrams that were no frame, left out. dropped: frames that the kernel dropped since the call before.
    special: how many are remote or error frames.
    """

    ids: NDArray[np.uint32]
    lengths: NDArray[np.int64]
    payload: NDArray[np.uint8]
    software_ns: NDArray[np.int64]
    hardware_ns: NDArray[np.int64]
    malformed: int
    dropped: int
    special: int


@kernel(
    types.UniTuple(types.int64, 3)(
        numba.uint64[:, ::1], numba.int64[:, ::1], numba.uint64[:, ::1], numba.int64,
        numba.uint32[::1], numba.int64[::1], numba.uint64[:, ::1], numba.int64[:, ::1],
    )
)  # fmt: skip
def take_apart(data, control, heads, dropped, ids, lengths, payload, stamps):  # type: ignore[no-untyped-def]
    """Take n datagrams apart, into ids uint32[n], lengths int64[n], payload uint64[n, 8], stamps int64[2, n] (software,
    hardware); returns how many are frames, the kernel's count of drops, and how many are remote or error frames.

    data: uint64[.., 10], control: int64[.., 16], heads: uint64[.., 8] as recvmmsg left them. Control messages and sizes
    are made ready for the next call. Arrays of the caller: see dbc_kernel.
    """
    kept = special = 0
    for i in range(ids.shape[0]):
        size = heads[i, _HEAD_BYTES] & np.uint64(0xFFFFFFFF)
        used = np.int64(heads[i, _HEAD_CONTROL_BYTES])
        software, hardware = 0, 0
        at = 0
        while at * 8 + 16 < used:  # header of a control message: bytes, then level and type in one word
            if control[i, at + 1] == _STAMP_KIND:
                software = control[i, at + 2] * 1_000_000_000 + control[i, at + 3]
                hardware = control[i, at + 6] * 1_000_000_000 + control[i, at + 7]
            elif control[i, at + 1] == _DROP_KIND:
                dropped = control[i, at + 2] & 0xFFFFFFFF
            at += max(2, (control[i, at] + 7) // 8)
        heads[i, _HEAD_CONTROL_BYTES] = CONTROL_BYTES
        head = data[i, 0]
        length = np.int64((head >> np.uint64(32)) & np.uint64(0xFF))
        if not ((size == CLASSIC_BYTES and length <= 8) or (size == FD_BYTES and length <= 64)):
            continue
        ids[kept] = np.uint32(head & np.uint64(0xFFFFFFFF))
        special += (ids[kept] & np.uint32(ERROR_FRAME | REMOTE_FRAME)) != 0
        lengths[kept] = length
        for word in range(8 if size == FD_BYTES else 1):
            payload[kept, word] = data[i, 1 + word]
        stamps[0, kept], stamps[1, kept] = software, hardware
        kept += 1
    return kept, dropped, special


class FrameSocket:
    """Reader of one socket, which it owns."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, STAMPS)
        opened.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        self._data = np.zeros((FRAMES_MAX, SLOT_BYTES), np.uint8)
        self._control = np.zeros((FRAMES_MAX, CONTROL_BYTES), np.uint8)
        self._iov = np.zeros(FRAMES_MAX, _IOVEC)
        self._heads = np.zeros(FRAMES_MAX, _MMSGHDR)
        places = np.arange(FRAMES_MAX, dtype=np.uint64)
        self._iov["base"] = self._data.ctypes.data + places * SLOT_BYTES
        self._iov["bytes"] = FD_BYTES + 1  # one more, so that a longer datagram is seen to be no frame
        self._heads["iov"] = self._iov.ctypes.data + places * _IOVEC.itemsize
        self._heads["iov_len"] = 1
        self._heads["control"] = self._control.ctypes.data + places * CONTROL_BYTES
        self._heads["control_len"] = CONTROL_BYTES
        self._words = self._data.view(np.uint64)
        self._control_words = self._control.view(np.int64)
        self._head_words = self._heads.view(np.uint64).reshape(FRAMES_MAX, -1)
        self._pointer = ctypes.c_void_p(self._heads.ctypes.data)
        self._dropped = 0
        self.datagrams = ArrayTable(self._words, self._control_words, self._head_words)
        """Memory of receive(), as take_apart() wants it."""

    def fileno(self) -> int:
        """Descriptor, to wait on."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def receive(self) -> int:
        """How many datagrams were taken, FRAMES_MAX at most; each must be taken apart. OSError when the socket is of no use."""
        count: int = _receive(self.fileno(), self._pointer, FRAMES_MAX, socket.MSG_DONTWAIT, None)
        if count >= 0:
            return count
        code = ctypes.get_errno()
        if code in (errno.EAGAIN, errno.EINTR):
            return 0
        raise OSError(code, os.strerror(code))

    def read(self) -> Received | None:
        """What has arrived, at most FRAMES_MAX frames; None when nothing has. OSError when the socket is of no use."""
        count = self.receive()
        if not count:
            return None
        before = self._dropped
        ids, lengths = np.empty(count, np.uint32), np.empty(count, np.int64)
        payload, stamps = np.empty((count, 8), np.uint64), np.empty((2, count), np.int64)
        kept, self._dropped, special = take_apart(
            self._words, self._control_words, self._head_words, before, ids, lengths, payload, stamps
        )
        if kept < count:
            ids, lengths, payload, stamps = ids[:kept], lengths[:kept], payload[:kept], stamps[:, :kept]
        dropped = (self._dropped - before) & 0xFFFF_FFFF
        return Received(
            ids, lengths, payload.view(np.uint8), stamps[0], stamps[1], count - kept, dropped, special
        )


def open_socketcan(interface: str, receive_bytes_max: int) -> FrameSocket:
    """Raw socket on an interface of the kernel, CAN FD and error frames on. OSError names what is missing."""
    if not hasattr(socket, "AF_CAN"):
        raise OSError(errno.EAFNOSUPPORT, "this Python knows no SocketCAN")
    opened = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    try:
        opened.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
        opened.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_ERR_FILTER, ALL_ERRORS)
        _enlarge(opened, receive_bytes_max)
        opened.bind((interface,))
        return FrameSocket(opened)
    except OSError:
        opened.close()
        raise


def open_udp(address: str, receive_bytes_max: int) -> FrameSocket:
    """UDP socket on host:port."""
    host, _, port = address.rpartition(":")
    opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        _enlarge(opened, receive_bytes_max)
        opened.bind((host.strip("[]"), int(port)))
        return FrameSocket(opened)
    except (OSError, ValueError):
        opened.close()
        raise


def _enlarge(opened: socket.socket, bytes_max: int) -> None:
    """By force where we may, else as far as net.core.rmem_max lets us."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, bytes_max)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, bytes_max)
