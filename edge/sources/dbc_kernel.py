"""Bit fields out of CAN payloads: the one hot loop of DBC decoding.

From uint8 payloads of 64 bytes to raw uint64 values, one row a frame, one column a signal. Bit numbers are network
numbers (0 = most significant bit of byte 0) for big-endian fields, and plain little-endian numbers (0 = least
significant bit of byte 0) for little-endian ones. Source: the sawtooth numbering of DBC start bits.
"""

from __future__ import annotations

import numba

PAYLOAD_BYTES = 64


@numba.njit(
    "int64(uint8[:, ::1], int64[::1], int32[::1], int32[::1], uint8[::1], uint64[:, ::1])",
    nogil=True,
    cache=True,
)
def extract(payload, rows, start, length, big, out):  # type: ignore[no-untyped-def]
    """Write raw fields into out; returns the number of frames.

    payload: uint8[frames, 64]. rows: int64[n], frames to read. start, length: int32[k], first bit and width 1..64 of
    each field. big: uint8[k], 1 for big-endian. out: uint64[n, k], owned by the caller. Assumes every field ends
    inside 512 bits; the compiler of the tables checks that.
    """
    for at in range(rows.shape[0]):
        row = rows[at]
        for k in range(start.shape[0]):
            raw = numba.uint64(0)
            bit = start[k]
            left = length[k]
            if big[k] == 1:
                while left > 0:
                    room = 8 - (bit & 7)
                    take = room if room < left else left
                    part = (payload[row, bit >> 3] >> (room - take)) & ((1 << take) - 1)
                    raw = (raw << numba.uint64(take)) | numba.uint64(part)
                    bit += take
                    left -= take
            else:
                done = 0
                while left > 0:
                    low = bit & 7
                    room = 8 - low
                    take = room if room < left else left
                    part = (payload[row, bit >> 3] >> low) & ((1 << take) - 1)
                    raw |= numba.uint64(part) << numba.uint64(done)
                    done += take
                    bit += take
                    left -= take
            out[at, k] = raw
    return rows.shape[0]
