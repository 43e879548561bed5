"""Bit patterns of floats as whole numbers: float64 and float32 patterns, and numbers in the order of the floats."""

from __future__ import annotations

import numpy as np
from numba import njit

from vantel.codec.coder import INNER, bits_of, float_of, narrow_bits_of, narrow_float_of

LOW_31 = 0x7FFFFFFF
LOW_63 = 0x7FFFFFFFFFFFFFFF
MINUS_ZERO = -9223372036854775808
"""Pattern of -0.0."""


@njit(**INNER)
def ordered(words):
    """Bit pattern of a float64 to a number in the order of the floats; its own inverse."""
    return words ^ ((words >> 63) & LOW_63)


@njit(**INNER)
def ordered_narrow(words):
    """The same for float32 patterns in int64 (sign extended)."""
    return words ^ ((words >> 31) & LOW_31)


@njit(**INNER)
def signed_32(word):
    """The lowest 32 bits, sign extended."""
    return ((word & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


@njit(**INNER)
def narrow_word(word):
    """float32 pattern of a float64 pattern, by moving bits where it is NaN or infinite."""
    if (word >> 52) & 2047 == 2047:
        sign = -(word < 0) & ~np.int64(0x7FFFFFFF)
        return sign | 0x7F800000 | ((word >> 29) & 0x7FFFFF)
    return narrow_bits_of(float_of(word))


@njit(**INNER)
def wide_word(word):
    """Inverse of narrow_word."""
    if (word >> 23) & 255 == 255:
        sign = np.int64(MINUS_ZERO) if word < 0 else np.int64(0)
        return sign | 0x7FF0000000000000 | ((word & 0x7FFFFF) << 29)
    return bits_of(narrow_float_of(word))


@njit(**INNER)
def all_narrow(words, n):
    """Every float64 pattern is that of a float32."""
    for i in range(n):
        if words[i] & 0x1FFFFFFF or wide_word(narrow_word(words[i])) != words[i]:
            return False
    return True


@njit(**INNER)
def places_between(word, base, narrow):
    """By how many last places, of a float32 if narrow, the float of one float64 pattern lies above that of another."""
    if narrow:
        return ordered_narrow(narrow_word(word)) - ordered_narrow(narrow_word(base))
    return ordered(word) - ordered(base)


@njit(**INNER)
def moved(word, places, narrow):
    """The float64 pattern so many last places above one; inverse of places_between."""
    if narrow:
        return wide_word(ordered_narrow(signed_32(ordered_narrow(narrow_word(word)) + places)))
    return ordered(ordered(word) + places)
