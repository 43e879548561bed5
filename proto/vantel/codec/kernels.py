"""Jitted loops of the codec: time vectors as zigzag varints of second differences, both directions.

int64 stamps (monotonic ns) <-> bytes, as docs/format.md section 7.2 has them. All arithmetic is modulo 2**64, so that
no stamp can overflow. Arrays are contiguous and owned by the caller; return codes instead of exceptions.
"""

from __future__ import annotations

import numba
import numpy as np

TRUNCATED = -1
CORRUPT = -2

_READ_STAMPS = numba.types.Array(numba.int64, 1, "C", readonly=True)
_READ_BYTES = numba.types.Array(numba.uint8, 1, "C", readonly=True)


@numba.njit(numba.int64(_READ_STAMPS, numba.uint8[::1]), nogil=True, cache=True)
def encode_times(stamps, out):  # type: ignore[no-untyped-def]
    """Write the second differences of stamps int64[n] into out uint8[>= 10 n]; return the bytes written."""
    at = 0
    previous = np.uint64(0)
    step = np.uint64(0)
    for i in range(stamps.shape[0]):
        stamp = np.uint64(stamps[i])
        new_step = stamp - previous
        second = new_step - step
        # the first stamp stands for itself; the step that follows counts from zero, not from that stamp
        step = new_step if i > 0 else np.uint64(0)
        previous = stamp
        rest = (second << np.uint64(1)) ^ (np.uint64(0) - (second >> np.uint64(63)))
        while rest >= np.uint64(128):
            out[at] = np.uint8(rest & np.uint64(127)) | np.uint8(128)
            rest >>= np.uint64(7)
            at += 1
        out[at] = np.uint8(rest)
        at += 1
    return at


@numba.njit(numba.int64(_READ_BYTES, numba.int64, numba.int64[::1]), nogil=True, cache=True)
def decode_times(data, start, out):  # type: ignore[no-untyped-def]
    """Fill out int64[n] from the bytes at data[start:]; return where they end, TRUNCATED or CORRUPT.

    CORRUPT: a varint above 64 bits, or stamps that do not ascend strictly.
    """
    at = start
    previous = np.uint64(0)
    step = np.uint64(0)
    for i in range(out.shape[0]):
        rest = np.uint64(0)
        shift = np.uint64(0)
        while True:
            if at >= data.shape[0]:
                return TRUNCATED
            byte = np.uint64(data[at])
            at += 1
            if shift == np.uint64(63) and byte > np.uint64(1):
                return CORRUPT
            rest |= (byte & np.uint64(127)) << shift
            if byte < np.uint64(128):
                break
            shift += np.uint64(7)
        second = (rest >> np.uint64(1)) ^ (np.uint64(0) - (rest & np.uint64(1)))
        new_step = step + second
        previous = previous + new_step
        step = new_step if i > 0 else np.uint64(0)
        out[i] = np.int64(previous)
        if i > 0 and out[i] <= out[i - 1]:
            return CORRUPT
    return at
