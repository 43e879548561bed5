"""The binary range coder and its adaptive bits (docs/format.md, section 7.2): jitted primitives, both directions.

A window of 48 bits, renewed byte by byte; a stream has exactly one byte more than it had renewals, so that its end is
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
RENEW_BELOW = 1 << 40
LOW_MASK = RENEW_BELOW - 1
P_MIN, P_MAX = 24, 65536 - 24
COUNT_MAX = 126
RATES = np.array([int(65536 / (n + 1.5)) for n in range(COUNT_MAX + 2)], np.int64)
"""By how much of the distance a probability moves, of 65,536, after n bits."""
NEW_CELL = (32768 << 8) | 0
"""A model cell: probability of a zero bit, of 65,536, shifted by 8, and how many bits it has seen."""
OPTIONS: dict[str, Any] = {"nogil": True, "cache": True}


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


@njit(**OPTIONS)
def put_byte(low, pos, out):
    """Write the highest byte of the window at pos, after the carry that it may hold; returns what is left of low.

    Behind the end of out nothing is written: pos alone then tells that the array needs more room than it may have.
    """
    if pos < out.shape[0]:
        if low >= TOP:
            at = pos - 1
            while out[at] == 255:
                out[at] = 0
                at -= 1
            out[at] += 1
        out[pos] = (low >> 40) & 255
    return low & LOW_MASK


@njit(**OPTIONS)
def renew_put(low, rng, pos, out):
    """Write the bytes that are settled."""
    while rng < RENEW_BELOW:
        low = put_byte(low, pos, out) << 8
        pos += 1
        rng <<= 8
    return low, rng, pos


@njit(**OPTIONS)
def put(low, rng, pos, out, models, cell, bit):
    """Code one bit with the model of a cell, and let the cell learn it."""
    held = models[cell]
    p = held >> 8
    seen = held & 255
    bound = (rng >> 16) * p
    if bit:
        low += bound
        rng -= bound
        p -= (p * RATES[seen]) >> 16
    else:
        rng = bound
        p += ((65536 - p) * RATES[seen]) >> 16
    p = min(max(p, P_MIN), P_MAX)
    models[cell] = (p << 8) | min(seen + 1, COUNT_MAX)
    if rng < RENEW_BELOW:
        return renew_put(low, rng, pos, out)
    return low, rng, pos


@njit(**OPTIONS)
def put_raw(low, rng, pos, out, number, width):
    """Code the lowest width bits (0 to 64) as they are, high bits first, 16 at a time."""
    while width > 0:
        step = min(width, 16)
        width -= step
        rng >>= step
        low += rng * ((number >> width) & ((1 << step) - 1))
        if rng < RENEW_BELOW:
            low, rng, pos = renew_put(low, rng, pos, out)
    return low, rng, pos


@njit(**OPTIONS)
def put_tree(low, rng, pos, out, models, cell, number, width):
    """Code a number of width bits by a binary tree of 2**width cells, high bit first."""
    node = 1
    for i in range(width - 1, -1, -1):
        bit = (number >> i) & 1
        low, rng, pos = put(low, rng, pos, out, models, cell + node, bit)
        node = 2 * node + bit
    return low, rng, pos


@njit(**OPTIONS)
def put_number(low, rng, pos, out, models, cell, number):
    """Code a number taken as unsigned: its length by a tree of 128 cells, then the bits below the highest."""
    length = bit_length(number)
    low, rng, pos = put_tree(low, rng, pos, out, models, cell, length, 7)
    if length > 1:
        low, rng, pos = put_raw(low, rng, pos, out, number, length - 1)
    return low, rng, pos


@njit(**OPTIONS)
def finish(low, pos, out):
    """Write the last byte: the window's value with zeros below that lies within the range."""
    put_byte(low + LOW_MASK, pos, out)
    return pos + 1


@njit(**OPTIONS)
def renew_get(code, rng, pos, data):
    """Read on. Behind the end there are zeros; pos tells that it was passed."""
    while rng < RENEW_BELOW:
        byte = np.int64(data[pos]) if pos < data.shape[0] else np.int64(0)
        pos += 1
        code = (code << 8) | byte
        rng <<= 8
    return code, rng, pos


@njit(**OPTIONS)
def get(code, rng, pos, data, models, cell):
    """Inverse of put: bit, code, rng, pos."""
    held = models[cell]
    p = held >> 8
    seen = held & 255
    bound = (rng >> 16) * p
    if code >= bound:
        bit = 1
        code -= bound
        rng -= bound
        p -= (p * RATES[seen]) >> 16
    else:
        bit = 0
        rng = bound
        p += ((65536 - p) * RATES[seen]) >> 16
    p = min(max(p, P_MIN), P_MAX)
    models[cell] = (p << 8) | min(seen + 1, COUNT_MAX)
    if rng < RENEW_BELOW:
        code, rng, pos = renew_get(code, rng, pos, data)
    return bit, code, rng, pos


@njit(**OPTIONS)
def get_raw(code, rng, pos, data, width):
    """Inverse of put_raw: number, code, rng, pos. A quotient that no encoder makes is cut to its width."""
    number = np.int64(0)
    while width > 0:
        step = min(width, 16)
        width -= step
        rng >>= step
        part = min(code // rng, (1 << step) - 1)
        code = min(code - part * rng, rng - 1)
        number = (number << step) | part
        if rng < RENEW_BELOW:
            code, rng, pos = renew_get(code, rng, pos, data)
    return number, code, rng, pos


@njit(**OPTIONS)
def get_tree(code, rng, pos, data, models, cell, width):
    """Inverse of put_tree."""
    node = 1
    for _ in range(width):
        bit, code, rng, pos = get(code, rng, pos, data, models, cell + node)
        node = 2 * node + bit
    return node - (1 << width), code, rng, pos


@njit(**OPTIONS)
def get_number(code, rng, pos, data, models, cell):
    """Inverse of put_number; a length above 64 counts as 64."""
    length, code, rng, pos = get_tree(code, rng, pos, data, models, cell, 7)
    length = min(length, 64)
    number = np.int64(0)
    if length > 0:
        number, code, rng, pos = get_raw(code, rng, pos, data, length - 1)
        number |= np.int64(1) << (length - 1)
    return number, code, rng, pos


@njit(**OPTIONS)
def fold(number):
    """Zigzag: int64 to a number that is small when its size is."""
    return (number << 1) ^ (number >> 63)


@njit(**OPTIONS)
def unfold(number):
    """Inverse of fold."""
    return ((number >> 1) & 0x7FFFFFFFFFFFFFFF) ^ -(number & 1)
