"""A reading of a live bus in one call: datagrams of the kernel to samples, with nothing of Python between the steps.

Take datagrams apart, put their stamps on the van's clock, decode: the kernels of can_socket, receive_stamps and dbc_kernel,
which every other way uses one by one. A bus is read 250 times a second for some 30 frames each; there the arrays, tuples
and calls between the steps cost ten times the steps. Frames of a reading with error or remote frames among them, with messages
that only cantools decodes, or with more samples than there is room for, are left to the caller, taken apart and stamped.
Never fails on data.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from edge.sources.can_channel import Samples
from edge.sources.can_socket import FRAMES_MAX, FrameSocket, Received, take_apart
from edge.sources.dbc import ROOM_SAMPLES, room_for
from edge.sources.dbc_kernel import PAYLOAD_BYTES, locate, write
from edge.sources.receive_stamps import ReceiveStamps, put_on_clock
from vantel.array_table import ArrayTable, matrix, vector
from vantel.kernel import kernel

COUNTS = 6
FRAMES, MALFORMED, DROPPED, DROP_COUNT, KEPT, SPECIAL = range(COUNTS)
"""What is counted: in all, then the kernel's own count of drops on this socket, then frames of the last call."""
SAMPLES_SPARE = 1024
"""A new room is begun when fewer are left of the ROOM_SAMPLES of one."""

# arrays of the tables: of a socket, of a bus (the last sixteen as BusDecoder.whole gives them), of a room
_DATA, _CONTROL, _HEADS = range(3)
(
    _COUNTS, _IDS, _LENGTHS, _PAYLOAD, _STAMPS, _STAMP_STATE, _LABEL, _KEYS, _VALUES, _GROUPS, _GROUP_VALUES, _MESSAGES,
    _NODES, _FIELDS, _LINEAR, _WHOLE, _MUXES, _BRANCHES, _STACK, _MESSAGE, _MATCHED, _LEFT_OUT, _CELL,
) = range(23)  # fmt: skip
_SLOT, _LABEL_OUT, _RAW, _VALUE = range(4)


@kernel(
    numba.int64(
        numba.int64, numba.int64, numba.int64, numba.int64[:, ::1], numba.int64[:, ::1], numba.int64[:, ::1],
        numba.int64,
    )
)  # fmt: skip
def _turn(n, now_unix, now_mono, socket, bus, room, used):  # type: ignore[no-untyped-def]
    """Samples written of n datagrams; negative: none, the frames are left to the caller.

    socket, bus, room: tables of what take_apart(), put_on_clock(), locate() and write() take, with their types; counts int64[6] as
    named above, label int64[FRAMES_MAX], which the samples get. Of the room the first `used` are taken.
    """
    counts = vector(bus, _COUNTS, np.int64)
    ids, lengths = vector(bus, _IDS, np.uint32), vector(bus, _LENGTHS, np.int64)
    payload, stamps = matrix(bus, _PAYLOAD, np.uint64), matrix(bus, _STAMPS, np.int64)
    kept, dropped, special = take_apart(
        matrix(socket, _DATA, np.uint64), matrix(socket, _CONTROL, np.int64), matrix(socket, _HEADS, np.uint64),
        counts[DROP_COUNT], ids[:n], lengths, payload, stamps,
    )  # fmt: skip
    counts[FRAMES] += kept
    counts[MALFORMED] += n - kept
    counts[DROPPED] += (dropped - counts[DROP_COUNT]) & 0xFFFFFFFF
    counts[DROP_COUNT], counts[KEPT], counts[SPECIAL] = dropped, kept, special
    if kept == 0:
        return 0
    label = vector(bus, _LABEL, np.int64)
    put_on_clock(
        stamps[0, :kept], stamps[1, :kept], now_unix, now_mono, vector(bus, _STAMP_STATE, np.int64), label
    )
    if special > 0:
        return -1
    messages, message = matrix(bus, _MESSAGES, np.int32), vector(bus, _MESSAGE, np.int32)
    slot = vector(room, _SLOT, np.int32)
    most, rare = locate(
        ids[:kept], vector(bus, _KEYS, np.uint32), vector(bus, _VALUES, np.int32), vector(bus, _GROUPS, np.uint32),
        vector(bus, _GROUP_VALUES, np.int32), messages, message,
    )  # fmt: skip
    if rare > 0 or most > slot.shape[0] - used:
        return -1
    return write(
        payload, lengths[:kept], message, label, messages, matrix(bus, _NODES, np.int32), matrix(bus, _FIELDS, np.int32),
        matrix(bus, _LINEAR, np.float64), matrix(bus, _WHOLE, np.int64), matrix(bus, _MUXES, np.int32),
        vector(bus, _BRANCHES, np.int32), vector(bus, _STACK, np.int32), slot[used:],
        vector(room, _LABEL_OUT, np.int64)[used:], vector(room, _RAW, np.uint64)[used:],
        vector(room, _VALUE, np.float64)[used:], vector(bus, _MATCHED, np.int64), vector(bus, _LEFT_OUT, np.int64),
        vector(bus, _CELL, np.uint64),
    )  # fmt: skip


class WholeTurn:
    """Readings of one bus; outlives its sockets. attach() comes first."""

    def __init__(
        self, stamps: ReceiveStamps, counts: NDArray[np.int64], whole: tuple[NDArray[Any], ...]
    ) -> None:
        """counts: int64[COUNTS], added to. whole: of the channel (CanChannel.whole)."""
        self._counts = counts
        self._ids, self._lengths = np.zeros(FRAMES_MAX, np.uint32), np.zeros(FRAMES_MAX, np.int64)
        self._payload = np.zeros((FRAMES_MAX, PAYLOAD_BYTES // 8), np.uint64)
        self._label = np.zeros(FRAMES_MAX, np.int64)
        self._bus = ArrayTable(
            counts, self._ids, self._lengths, self._payload, np.zeros((2, FRAMES_MAX), np.int64), stamps.state,
            self._label, *whole,
        )  # fmt: skip
        self._frames: FrameSocket
        self._begin_room()

    def attach(self, frames: FrameSocket) -> None:
        """Datagrams come from this socket from now on."""
        self._frames = frames
        self._counts[DROP_COUNT] = 0

    def receive(self) -> int:
        """FrameSocket.receive() of the socket."""
        return self._frames.receive()

    def samples(self, datagrams: int, now_unix_ns: int, now_mono_ns: int) -> Samples | None:
        """Samples of what receive() has just taken; None: take left_over()."""
        used, socket = self._used, self._frames.datagrams
        done = _turn(datagrams, now_unix_ns, now_mono_ns, socket.rows, self._bus.rows, self._room.rows, used)
        if done < 0:
            return None
        self._used = end = used + done
        found = Samples(self._slot[used:end], self._label_out[used:end], self._value[used:end])
        if end > ROOM_SAMPLES - SAMPLES_SPARE:
            self._begin_room()
        return found

    def _begin_room(self) -> None:
        """Samples are given as parts of a room, for copies would cost as much as decoding; a full one is left to them."""
        self._slot, self._label_out, raw, self._value = room_for(ROOM_SAMPLES)
        self._room = ArrayTable(self._slot, self._label_out, raw, self._value)
        self._used = 0

    def left_over(self) -> tuple[Received, NDArray[np.int64]]:
        """Frames that samples() has not decoded, already counted, and their monotonic stamps."""
        kept, special = self._counts[KEPT : SPECIAL + 1].tolist()
        none = np.zeros(kept, np.int64)
        received = Received(
            self._ids[:kept].copy(), self._lengths[:kept].copy(), self._payload[:kept].copy().view(np.uint8),
            none, none, 0, 0, special,
        )  # fmt: skip
        return received, self._label[:kept].copy()
