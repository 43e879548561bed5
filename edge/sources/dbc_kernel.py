"""Frames to samples: the two hot loops of DBC decoding, in one call.

locate() finds the message of every frame, write() writes all samples in one pass over the frames, in their order; decode()
is both, into memory of the caller: Numba unpickles the type of each array that a function returns, for every call, which
cost a small block of a live bus more than its samples. The tables are those of edge.sources.dbc_tables; their columns are named here. A payload is read as 64-bit words, so that a
signal of a classic CAN frame is one shift left and one shift right, whatever its byte order. Source: the sawtooth
numbering of DBC start bits; scaling as cantools does it, value = raw * scale + offset, never fused.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types

from vantel.kernel import kernel

PAYLOAD_BYTES = 64
"""Longest payload of a CAN FD frame."""

EMPTY = np.uint32(0xFFFF_FFFF)
"""Marks a free place of a hash table; no CAN id has its bits 29 and 30 set."""
EXTENDED = 0x8000_0000

# columns of messages, int32
ROOT, LENGTH_BITS, SAMPLES_MAX, CAREFUL = range(4)
# columns of nodes, int32: ranges in fields and multiplexers
FIELD_FIRST, FIELD_END, MUX_FIRST, MUX_END = range(4)
# columns of fields, int32
WORD, BIG, LEFT, RIGHT, KIND, SLOT, BITS_NEEDED, STRADDLES = range(8)
# columns of multiplexers, int32: the field with the number, its least value, range in branches
MUX_FIELD, MUX_LEAST, BRANCH_FIRST, BRANCH_END = range(4)
# kinds of fields
(
    UNSIGNED,
    SIGNED,
    UNSIGNED_64,
    WHOLE_UNSIGNED,
    WHOLE_SIGNED,
    FLOAT32,
    FLOAT64,
    FLOAT32_LINEAR,
    FLOAT64_LINEAR,
) = range(9)
# what is counted
REFUSED, TRUNCATED, NOT_AVAILABLE, ERRORS = range(4)
COUNTS = 4

_i32_2d = types.Array(types.int32, 2, "C")
_i32_1d = types.Array(types.int32, 1, "C")
_read_u32 = types.Array(types.uint32, 1, "C", readonly=True)
_read_u64_2d = types.Array(types.uint64, 2, "C", readonly=True)
_read_i64 = types.Array(types.int64, 1, "C", readonly=True)


@numba.njit(inline="always")
def _find(key, keys, values):  # type: ignore[no-untyped-def]
    """Value of a key in an open hash table of 2**k places, -1 when it is not there."""
    mask = numba.uint32(keys.shape[0] - 1)
    at = (key ^ (key >> numba.uint32(15))) * numba.uint32(2654435761) >> numba.uint32(7) & mask
    while keys[at] != EMPTY:
        if keys[at] == key:
            return values[at]
        at = (at + numba.uint32(1)) & mask
    return numba.int32(-1)


@numba.njit(inline="always")
def _group_key(key):  # type: ignore[no-untyped-def]
    """Parameter group of a 29-bit id: priority and source taken off, and the destination of a PDU1."""
    group = (key >> numba.uint32(8)) & numba.uint32(0x3FFFF)
    if (group & numba.uint32(0xFF00)) < numba.uint32(0xF000):
        group &= numba.uint32(0x3FF00)
    return group


@kernel(
    types.UniTuple(types.int64, 2)(
        _read_u32, numba.uint32[::1], _i32_1d, numba.uint32[::1], _i32_1d, _i32_2d, _i32_1d
    ),
    error_model="numpy",
)
def locate(ids, keys, values, groups, group_values, messages, message):  # type: ignore[no-untyped-def]
    """Message of each frame, -1 for none, into message int32[n or more]; returns the most samples that the frames can
    give, and how many are of a rare shape.

    ids: uint32[n] with EXTENDED. keys, values: hash table of exact ids. groups, group_values: hash table of J1939
    parameter groups, looked at for 29-bit ids that no exact id matches.
    """
    total = rare = 0
    for i in range(ids.shape[0]):
        found = _find(ids[i], keys, values)
        if found < 0 and ids[i] >= EXTENDED:
            found = _find(_group_key(ids[i]), groups, group_values)
        message[i] = found
        if found >= 0:
            total += messages[found, SAMPLES_MAX]
            rare += messages[found, ROOT] < 0
    return total, rare


@numba.njit(inline="always")
def _swapped(word):  # type: ignore[no-untyped-def]
    """The eight bytes of a word in the opposite order."""
    word = ((word & numba.uint64(0x00FF00FF00FF00FF)) << numba.uint64(8)) | (
        (word >> numba.uint64(8)) & numba.uint64(0x00FF00FF00FF00FF)
    )
    word = ((word & numba.uint64(0x0000FFFF0000FFFF)) << numba.uint64(16)) | (
        (word >> numba.uint64(16)) & numba.uint64(0x0000FFFF0000FFFF)
    )
    return (word << numba.uint64(32)) | (word >> numba.uint64(32))


@numba.njit(inline="always")
def _left_aligned(words, row, fields, k):  # type: ignore[no-untyped-def]
    """The bits of a field at the top of a 64-bit word."""
    at = fields[k, WORD]
    word = words[row, at]
    left = numba.uint64(fields[k, LEFT])
    if fields[k, STRADDLES] == 0:
        if fields[k, BIG] == 1:
            word = _swapped(word)
        return word << left
    after = words[row, at + 1]
    rest = numba.uint64(64) - left
    if fields[k, BIG] == 1:
        return (_swapped(word) << left) | (_swapped(after) >> rest)
    return ((word >> left) | (after << rest)) << numba.uint64(fields[k, RIGHT])


@numba.njit(inline="always")
def _raw(words, row, fields, k):  # type: ignore[no-untyped-def]
    """The integer of a field, sign-extended to 64 bits."""
    aligned = _left_aligned(words, row, fields, k)
    right = fields[k, RIGHT]
    if fields[k, KIND] in (SIGNED, WHOLE_SIGNED):
        return numba.uint64(numba.int64(aligned) >> numba.int64(right))
    return aligned >> numba.uint64(right)


@numba.njit(inline="always")
def _float32(bits, cell):  # type: ignore[no-untyped-def]
    """The float32 of 32 bits, as float64."""
    cell[0] = bits
    return numba.float64(cell.view(np.float32)[0])


@numba.njit(inline="always")
def _number(raw, kind, linear, whole, k, cell):  # type: ignore[no-untyped-def]
    """Physical value of the raw integer of field k, by the operations of cantools in their order."""
    scale, offset = linear[k, 0], linear[k, 1]
    if kind <= SIGNED:
        return numba.float64(numba.int64(raw)) * scale + offset
    if kind == UNSIGNED_64:
        return numba.float64(raw) * scale + offset
    if kind <= WHOLE_SIGNED:
        return numba.float64(numba.int64(raw) * whole[k, 0] + whole[k, 1])
    if kind == FLOAT32:
        return _float32(raw, cell)
    if kind == FLOAT32_LINEAR:
        return _float32(raw, cell) * scale + offset
    cell[0] = raw
    value = cell.view(np.float64)[0]
    return value if kind == FLOAT64 else value * scale + offset


@numba.njit(inline="always")
def _branch(number, x, muxes, branches):  # type: ignore[no-untyped-def]
    """Node below multiplexer x for its number; -1 when the database has none. cantools cuts the number to an integer."""
    place = np.trunc(number) - muxes[x, MUX_LEAST]
    if 0.0 <= place < muxes[x, BRANCH_END] - muxes[x, BRANCH_FIRST]:
        return branches[muxes[x, BRANCH_FIRST] + numba.int64(place)]
    return numba.int32(-1)


@numba.njit(inline="always")
def _enter(words, row, bits, short, nodes, node, fields, linear, whole, muxes, branches, stack, depth, cell):  # type: ignore[no-untyped-def]
    """Put the nodes below a node on the stack; returns its depth, -1 when a number has no branch."""
    # the last pushed is the next taken: multiplexers in reverse keep the order of the database
    for x in range(nodes[node, MUX_END] - 1, nodes[node, MUX_FIRST] - 1, -1):
        k = muxes[x, MUX_FIELD]
        if short and fields[k, BITS_NEEDED] > bits:
            continue
        raw = _raw(words, row, fields, k)
        number = _number(raw, fields[k, KIND], linear, whole, k, cell)
        below = _branch(number, x, muxes, branches)
        if below < 0:
            return -1
        stack[depth] = below
        depth += 1
    return depth


@kernel(
    numba.int64(
        _read_u64_2d, _read_i64, _i32_1d, _read_i64,
        _i32_2d, _i32_2d, _i32_2d, numba.float64[:, ::1], numba.int64[:, ::1], _i32_2d, _i32_1d, _i32_1d,
        _i32_1d, numba.int64[::1], numba.uint64[::1], numba.float64[::1], numba.int64[::1], numba.int64[::1],
        numba.uint64[::1],
    ),
    error_model="numpy",
)  # fmt: skip
def write(  # type: ignore[no-untyped-def]
    words, lengths, message, label,
    messages, nodes, fields, linear, whole, muxes, branches, stack,
    slot, label_out, raw_out, value, frames, counts, cell,
):  # fmt: skip
    """Write all samples, frame by frame; returns how many.

    words: uint64[n, w], payloads of 8 * w bytes, undefined after the length. lengths: int64[n] bytes.
    message: of locate. label: int64[n], a number of each frame that its samples get.
    linear: float64[fields, 2], scale and offset. whole: int64[fields, 4], the same as integers, then the raw values
    from which J1939 means error and not available. stack: int32[multiplexers of a message + 1], scratch.
    slot, label_out, raw_out, value: as large as locate said; raw_out is sign-extended, or the bits of a float.
    frames: int64[messages + 1], added to: frames of each message, and last those of none. counts: int64[COUNTS], added
    to. cell: uint64[1], scratch. A frame with a multiplexer value that no branch has, a field without slot: no sample.
    """
    done = 0
    for row in range(lengths.shape[0]):
        m = message[row]
        frames[m] += 1
        if m < 0 or messages[m, ROOT] < 0:
            continue
        first = done
        bits = lengths[row] * 8
        short = bits < messages[m, LENGTH_BITS]
        j1939 = messages[m, CAREFUL] == 1
        stack[0] = messages[m, ROOT]
        depth = 1
        while depth > 0:
            depth -= 1
            node = stack[depth]
            for k in range(nodes[node, FIELD_FIRST], nodes[node, FIELD_END]):
                if short and fields[k, BITS_NEEDED] > bits:
                    counts[TRUNCATED] += 1
                    continue
                if fields[k, SLOT] < 0:
                    continue
                raw = _raw(words, row, fields, k)
                if j1939 and raw >= numba.uint64(whole[k, 2]):
                    counts[NOT_AVAILABLE if raw >= numba.uint64(whole[k, 3]) else ERRORS] += 1
                    continue
                slot[done] = fields[k, SLOT]
                label_out[done] = label[row]
                raw_out[done] = raw
                value[done] = _number(raw, fields[k, KIND], linear, whole, k, cell)
                done += 1
            if nodes[node, MUX_FIRST] < nodes[node, MUX_END]:
                depth = _enter(words, row, bits, short, nodes, node, fields, linear, whole, muxes, branches, stack,
                               depth, cell)  # fmt: skip
        if depth < 0:
            counts[REFUSED] += 1
            done = first
    return done


@kernel(
    types.UniTuple(types.int64, 2)(
        _read_u32, _read_i64, _read_u64_2d, _read_i64,
        numba.uint32[::1], _i32_1d, numba.uint32[::1], _i32_1d,
        _i32_2d, _i32_2d, _i32_2d, numba.float64[:, ::1], numba.int64[:, ::1], _i32_2d, _i32_1d, _i32_1d,
        _i32_1d, _i32_1d, numba.int64[::1], numba.uint64[::1], numba.float64[::1],
        numba.int64[::1], numba.int64[::1], numba.uint64[::1],
    ),
    error_model="numpy",
)  # fmt: skip
def decode(  # type: ignore[no-untyped-def]
    ids, lengths, words, label, keys, values, groups, group_values,
    messages, nodes, fields, linear, whole, muxes, branches, stack,
    message, slot, label_out, raw, value, frames, counts, cell,
):  # fmt: skip
    """(samples written, frames of a rare shape); arguments as of locate and write. message has a place for each frame.

    Where the frames could give more samples than slot has places, nothing is written or counted, and the first number is
    negative: so many places are needed.
    """
    most, rare = locate(ids, keys, values, groups, group_values, messages, message)
    if most > slot.shape[0]:
        return -most, rare
    done = write(
        words, lengths, message, label, messages, nodes, fields, linear, whole, muxes, branches, stack,
        slot, label_out, raw, value, frames, counts, cell,
    )  # fmt: skip
    return done, rare
