"""The binary range coder and its adaptive bits (docs/format.md, section 7.2): jitted primitives, both directions.

A window of 48 bits, renewed two bytes at a time; the range at the end tells how many bytes end a stream, so a cut is
known. Every number is int64 and never passes 2**50, so the bytes are the same on every processor. Coder state travels
in the arguments, since a state in memory costs three times as much. Range coding: Martin 1979; adaptive bits with a rate
of 1/(n + 1.5): Krichevsky and Trofimov 1981.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

TOP = 1 << 48
WINDOW_BYTES = 6
RENEW_BELOW = 1 << 32
LOW_MASK = RENEW_BELOW - 1
P_MIN, P_MAX = 24, 65536 - 24
P_SPAN = P_MAX - P_MIN
COUNT_MAX = 126
RATES = np.array([int(65536 / (n + 1.5)) for n in range(COUNT_MAX + 2)], np.int64)
"""By how much of the distance a probability moves, of 65,536, after n bits."""
NEW_CELL = (32768 << 8) | 0
"""A model cell: probability of a zero bit, of 65,536, shifted by 8, and how many bits it has seen."""
BLOCK = 32
DECISIONS_ROOM = 4096
DECISIONS_FULL = DECISIONS_ROOM - BLOCK * 72
"""How many decisions wait to be coded before a look at the room: a block of values then still fits, 72 decisions each."""
NO_ALLOCATION: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
"""Nothing in a kernel takes memory, so nothing counts references, neither where arrays are passed on nor where Python calls."""
OPTIONS: dict[str, Any] = {**NO_ALLOCATION, "nogil": True, "cache": True}
"""For kernels that Python calls."""
INNER: dict[str, Any] = {**NO_ALLOCATION, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""For kernels that only kernels call: without the wrappers for Python they compile in half the time; their callers' files hold them."""
INLINED: dict[str, Any] = {**INNER, "forceinline": True}
"""For what runs in every value: a call would cost more than its work."""
MERGED: dict[str, Any] = {**INNER, "inline": "always"}
"""For a large kernel with one caller: compiled as a part of it, not once alone and again within it."""


@intrinsic
def bit_length(_context, _number):
    """Bits of an int64 taken as unsigned, 0 to 64, as int64."""

    def build(_context, builder, _signature, arguments):
        zeros = builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))
        return builder.sub(ir.Constant(ir.IntType(64), 64), zeros)

    return types.int64(types.int64), build


@intrinsic
def bits_of(_context, _number):
    """Bit pattern of a float64 as int64."""

    def build(_context, builder, _signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), build


@intrinsic
def float_of(_context, _bits):
    """The float64 with a bit pattern."""

    def build(_context, builder, _signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), build


@intrinsic
def narrow_bits_of(_context, _number):
    """Bit pattern of the float32 nearest to a float64, sign extended to int64."""

    def build(_context, builder, _signature, arguments):
        single = builder.fptrunc(arguments[0], ir.FloatType())
        return builder.sext(builder.bitcast(single, ir.IntType(32)), ir.IntType(64))

    return types.int64(types.float64), build


@intrinsic
def narrow_float_of(_context, _bits):
    """The float64 of a float32 bit pattern in the low half of an int64."""

    def build(_context, builder, _signature, arguments):
        single = builder.bitcast(builder.trunc(arguments[0], ir.IntType(32)), ir.FloatType())
        return builder.fpext(single, ir.DoubleType())

    return types.float64(types.int64), build


@intrinsic
def quotient(_context, _number, _divisor):
    """number // divisor of two int64 that are not negative, the divisor above 0: without looking at signs."""

    def build(_context, builder, _signature, arguments):
        return builder.udiv(arguments[0], arguments[1])

    return types.int64(types.int64, types.int64), build


@njit(**INNER)
def carry(out, pos):
    """Add one to the number that out[:pos] holds."""
    at = pos - 1
    while out[at] == 255:
        out[at] = 0
        at -= 1
    out[at] += 1


@njit(**INLINED)
def renew_put(low, rng, pos, out):
    """Write two bytes where the range has become small."""
    if rng < RENEW_BELOW:
        if low >= TOP:
            carry(out, pos)
        out[pos] = (low >> 40) & 255
        out[pos + 1] = (low >> 32) & 255
        return (low & LOW_MASK) << 16, rng << 16, pos + 2
    return low, rng, pos


@njit(**INLINED)
def put_bits(low, rng, pos, out, number, width):
    """Code the lowest width bits (0 to 64) as they are, high bits first, 16 at a time: low, rng, pos."""
    while width > 16:
        width -= 16
        rng >>= 16
        low += rng * ((number >> width) & 0xFFFF)
        low, rng, pos = renew_put(low, rng, pos, out)
    rng >>= width
    low += rng * (number & ((1 << width) - 1))
    return renew_put(low, rng, pos, out)


@njit(**INNER)
def settle(to, count):
    """Code the first count decisions and let the cells learn them. Returns 0.

    to: (state int64[3] of low, range, place; out uint8[]; models int32[]; decisions int32[DECISIONS_ROOM]).
    """
    state, out, models, decisions = to
    low, rng, pos = state[0], state[1], state[2]
    for j in range(count):
        decision = decisions[j]
        if decision >= 0:
            cell = decision >> 1
            one = -np.int64(decision & 1)
            held = np.int64(models[cell])
            p = held >> 8
            seen = held & 255
            bound = (rng >> 16) * p
            low += bound & one
            rng = bound + ((rng - 2 * bound) & one)
            p += ((P_MAX - p - (P_SPAN & one)) * RATES[seen]) >> 16
            models[cell] = (p << 8) | (seen + (seen < COUNT_MAX))
        else:
            rng >>= np.int64(~decision >> 16)
            low += rng * (~decision & 0xFFFF)
        low, rng, pos = renew_put(low, rng, pos, out)
    state[0], state[1], state[2] = low, rng, pos
    return 0


@njit(**INNER)
def make_room(to, count):
    """Decisions that wait after this: where more than DECISIONS_FULL do, they are coded first. Too dear for every value."""
    if count > DECISIONS_FULL:
        return settle(to, count)
    return count


@njit(**INLINED)
def put(decisions, count, cell, bit):
    """Note one bit for the model of a cell; the new count."""
    decisions[count] = (cell << 1) | bit
    return count + 1


@njit(**INLINED)
def put_raw(decisions, count, number, width):
    """Note the lowest width bits (0 to 64) as they are, high bits first, 16 at a time."""
    while width > 16:
        width -= 16
        decisions[count] = ~((16 << 16) | ((number >> width) & 0xFFFF))
        count += 1
    decisions[count] = ~((width << 16) | (number & ((1 << width) - 1)))
    return count + (width > 0)


@njit(**INNER)
def put_tree(decisions, count, cell, number, width):
    """Note a number of width bits for a binary tree of 2**width cells, high bit first."""
    node = 1
    for i in range(width - 1, -1, -1):
        bit = (number >> i) & 1
        decisions[count] = ((cell + node) << 1) | bit
        count += 1
        node = 2 * node + bit
    return count


@njit(**INNER)
def put_number(decisions, count, cell, number):
    """Note a number taken as unsigned: its length, 0 to 62 or 63 for more, by a tree of 64 cells, then its bits."""
    length = min(bit_length(number), 63)
    count = put_tree(decisions, count, cell, length, 6)
    return put_raw(decisions, count, number, 64 if length == 63 else length - (length > 0))


@njit(**INNER)
def finish(state, out):
    """Write the last bytes, the window's value with zeros below that lies within the range; the length of all."""
    low, rng, pos = state[0], state[1], state[2]
    length = end_bytes(rng)
    low += (np.int64(1) << (48 - 8 * length)) - 1
    if low >= TOP:
        carry(out, pos)
    for k in range(length):
        out[pos + k] = (low >> (40 - 8 * k)) & 255
    return pos + length


@njit(**INLINED)
def end_bytes(rng):
    """How many bytes end a stream whose range is this: so many that four units of the last fit, see stream.Reader.end."""
    return 1 if rng >= 1 << 42 else 2 if rng >= 1 << 34 else 3


@njit(**INLINED)
def byte_at(data, pos):
    """data[pos], 0 behind the end."""
    return np.int64(data[pos]) if pos < data.shape[0] else np.int64(0)


@njit(**INLINED)
def renew_get(code, rng, pos, data):
    """Read on where the range has become small. Behind the end there are zeros; pos tells that it was passed."""
    if rng < RENEW_BELOW:
        code = (code << 16) | (byte_at(data, pos) << 8) | byte_at(data, pos + 1)
        return code, rng << 16, pos + 2
    return code, rng, pos


@njit(**INLINED)
def get(code, rng, pos, data, models, cell):
    """One bit, as the encoder coded it: bit, code, rng, pos."""
    held = np.int64(models[cell])
    p = held >> 8
    seen = held & 255
    bound = (rng >> 16) * p
    bit = np.int64(code >= bound)
    one = -bit
    code -= bound & one
    rng = bound + ((rng - 2 * bound) & one)
    p += ((P_MAX - p - (P_SPAN & one)) * RATES[seen]) >> 16
    models[cell] = (p << 8) | (seen + (seen < COUNT_MAX))
    code, rng, pos = renew_get(code, rng, pos, data)
    return bit, code, rng, pos


@njit(**INLINED)
def get_bits(code, rng, pos, data, width):
    """Inverse of put_bits and put_raw: number, code, rng, pos. A quotient that no encoder makes is cut to its width."""
    number = np.int64(0)
    while width > 0:
        step = min(width, 16)
        width -= step
        rng >>= step
        part = min(quotient(code, rng), (1 << step) - 1)
        code = min(code - part * rng, rng - 1)
        number = (number << step) | part
        code, rng, pos = renew_get(code, rng, pos, data)
    return number, code, rng, pos


@njit(**INNER)
def get_raw(code, rng, pos, data, width):
    """get_bits where a call costs nothing that matters."""
    return get_bits(code, rng, pos, data, width)


@njit(**INNER)
def get_tree(code, rng, pos, data, models, cell, width):
    """Inverse of put_tree."""
    node = 1
    for _ in range(width):
        bit, code, rng, pos = get(code, rng, pos, data, models, cell + node)
        node = 2 * node + bit
    return node - (1 << width), code, rng, pos


@njit(**INNER)
def get_number(code, rng, pos, data, models, cell):
    """Inverse of put_number."""
    length, code, rng, pos = get_tree(code, rng, pos, data, models, cell, 6)
    number, code, rng, pos = get_raw(code, rng, pos, data, 64 if length == 63 else length - (length > 0))
    if 0 < length < 63:
        number |= np.int64(1) << (length - 1)
    return number, code, rng, pos


@njit(**INNER)
def fold(number):
    """Zigzag: int64 to a number that is small when its size is."""
    return (number << 1) ^ (number >> 63)


@njit(**INNER)
def unfold(number):
    """Inverse of fold."""
    return ((number >> 1) & 0x7FFFFFFFFFFFFFFF) ^ -(number & 1)


@njit(**INNER)
def put_low_bits(to, count, words, n, width):
    """Note the lowest bits of words[:n] as they are; the new count."""
    for block in range(0, n, BLOCK):
        count = make_room(to, count)
        for i in range(block, min(block + BLOCK, n)):
            count = put_raw(to[3], count, words[i], width)
    return count


@njit(**INNER)
def get_low_bits(code, rng, pos, data, x, width):
    """Inverse of put_low_bits, below the numbers x: code, rng, pos."""
    for i in range(x.shape[0]):
        low, code, rng, pos = get_raw(code, rng, pos, data, width)
        x[i] = (x[i] << width) | low
    return code, rng, pos
