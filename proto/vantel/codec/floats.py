"""Floats as whole numbers: which mode, its parameters in the stream, and back (docs/format.md, section 7.5)."""

from __future__ import annotations

import numpy as np
from numba import njit

from vantel.codec import layout as at
from vantel.codec.choosing import choose, distinct, level_cost, smoothest
from vantel.codec.coder import (
    INNER,
    bits_of,
    float_of,
    fold,
    get,
    get_number,
    get_raw,
    get_tree,
    make_room,
    narrow_bits_of,
    narrow_float_of,
    put,
    put_number,
    put_raw,
    put_tree,
    unfold,
)  # fmt: skip
from vantel.codec.integers import (
    EXPONENT_MAX,
    NO_MODE,
    all_printed,
    ordered,
    ordered_narrow,
    try_decimal,
    try_dyadic,
    value_of,
)  # fmt: skip
from vantel.codec.lattice import try_step

FLOAT64, FLOAT32, WHOLE = 0, 1, 2
WIDE, NARROW = np.bool_(False), np.bool_(True)
"""For try_decimal: Numba compiles a function anew for each literal that it is called with, but not for these."""
PLAIN_EXPONENT_MAX = 5
"""Decimals with more places may be printed float32 values, whose own steps are coarser."""


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
        sign = np.int64(-9223372036854775808) if word < 0 else np.int64(0)
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
def dearer(x, y, n, d):
    """Differences of x[:n], of whatever order suits, are estimated to need more bits than those of y; d int64[n] is scratch."""
    return n >= 8 and smoothest(x, n, d)[1] > smoothest(y, n, d)[1]


@njit(**INNER)
def put_in_order(words, kind, narrow, y):
    """y as the words of floats in the order of the floats, those of float32 if narrow."""
    for i in range(words.shape[0]):
        word = narrow_word(words[i]) if narrow and kind == FLOAT64 else words[i]
        y[i] = ordered_narrow(word) if narrow else ordered(word)


@njit(**INNER)
def mantissa_bits(narrow):
    """Bits of a float below its exponent."""
    return 23 if narrow else 52


@njit(**INNER)
def better_parted(x, y, n, narrow, high, search):
    """Whether words y with their mantissas as they are cost less than x, however that is coded; high gets their signs and exponents."""
    width = mantissa_bits(narrow)
    cost = choose(x, n, 1, search)[2] - 8 * width * n
    if cost <= 0:
        return False
    for i in range(n):
        high[i] = y[i] >> width
    limit = min(at.LEVELS_MAX, n // 3)
    count = distinct(high, 0, n, limit, search)
    return count <= limit and level_cost(0, n, count, cost, search) < cost


@njit(**INNER)
def to_whole(kind, words, n, x, y, u, v, special, params, d):
    """Whole numbers x of floats, and how: mode, narrow; params has the places P_ of layout.py.

    Narrow, that is rounded to float32, is tried second: it would find too few decimals where float64 finds all.
    """
    zeros = 0
    for i in range(n):
        wide = wide_word(words[i]) if kind == FLOAT32 else words[i]
        u[i] = wide
        v[i] = float_of(wide)
        if v[i] == 0.0:
            zeros |= 2 if wide < 0 else 1
    negative = zeros == 2
    params[at.P_ZEROS_NEGATIVE] = negative
    narrow = False
    mode = try_decimal(v, u, n, WIDE, negative, x, special, params)
    params[at.P_PRINTED] = 0
    if (
        kind == FLOAT64
        and (mode == NO_MODE or params[at.P_POWER] > PLAIN_EXPONENT_MAX)
        and all_printed(v, u, n)
    ):
        params[at.P_PRINTED] = 1
        mode = NO_MODE
        for i in range(n):
            v[i] = np.float64(np.float32(v[i]))
            u[i] = bits_of(v[i])
    if mode == NO_MODE and (params[at.P_PRINTED] or kind == FLOAT32 or all_narrow(words, n)):
        narrow = True
        if not params[at.P_PRINTED]:
            mode = try_decimal(v, u, n, NARROW, negative, x, special, params)
    params[at.P_CORRECTED] = 0
    if mode == NO_MODE and n >= 8 and not params[at.P_PRINTED] and try_step(v, u, n, negative, x, y, params):
        for i in range(n):
            u[i] = y[i]
        return at.STEPPED, False
    if mode == at.CORRECTED:
        params[at.P_CORRECTED] = 1
        for i in range(n):
            base = bits_of(
                value_of(x[i], mode, params[at.P_MULTIPLIER], params[at.P_POWER], params[at.P_OFFSET], narrow)
            )
            if narrow:
                u[i] = ordered_narrow(narrow_word(u[i])) - ordered_narrow(narrow_word(base))
            else:
                u[i] = ordered(u[i]) - ordered(base)
        for j in range(params[at.P_SPECIALS]):
            u[special[j]] = 0
    if mode >= 0:
        return mode, narrow
    for i in range(n):
        word = words[i] if kind == FLOAT32 or not narrow else narrow_word(u[i])
        y[i] = ordered_narrow(word) if narrow else ordered(word)
    if try_dyadic(v, u, n, x, special, params, negative) and dearer(y, x, n, d):
        return at.DYADIC, narrow
    for i in range(n):
        x[i] = y[i]
    params[at.P_SPECIALS] = 0
    return at.WORDS, narrow


@njit(**INNER)
def put_mode(to, count, mode, narrow, words, kind, special, params):
    """Note the parameters of a mode, and the values that stand by themselves; the new count."""
    decisions = to[3]
    if mode == at.WORDS or mode == at.PARTED:
        return count
    if mode == at.STEPPED:
        count = put_raw(decisions, count, params[at.P_STEP], 64)
        count = put(decisions, count, at.FLAGS + 2, params[at.P_CORRECTED])
        return put(decisions, count, at.FLAGS, params[at.P_ZEROS_NEGATIVE])
    if mode == at.DYADIC:
        count = put_number(decisions, count, at.GAP, fold(params[at.P_POWER]))
    else:
        count = put_tree(decisions, count, at.EXPONENT, params[at.P_POWER], 5)
        if mode != at.DECIMAL:
            count = put_number(decisions, count, at.COUNT, params[at.P_MULTIPLIER])
            count = put_number(decisions, count, at.GAP, fold(params[at.P_OFFSET]))
    count = put(decisions, count, at.FLAGS, params[at.P_ZEROS_NEGATIVE])
    count = put(decisions, count, at.FLAGS + 1, params[at.P_SPECIALS] > 0)
    if params[at.P_SPECIALS]:
        count = put_number(decisions, count, at.COUNT, params[at.P_SPECIALS])
        before = np.int64(-1)
        for j in range(params[at.P_SPECIALS]):
            count = make_room(to, count)
            i = special[j]
            count = put_number(decisions, count, at.GAP, i - before - 1)
            before = i
            if kind == FLOAT32 or narrow:
                word = words[i] if kind == FLOAT32 else narrow_word(words[i])
                count = put_raw(decisions, count, word, 32)
            else:
                count = put_raw(decisions, count, words[i], 64)
    return count


@njit(**INNER)
def get_mode(code, rng, pos, data, models, mode, short, n, special):
    """Inverse of put_mode: ok, multiplier, exponent, offset, zeros negative, specials, code, rng, pos."""
    multiplier = np.int64(1)
    exponent = offset = negative = count = np.int64(0)
    if mode > at.PARTED:
        return False, multiplier, exponent, offset, negative, count, code, rng, pos
    if mode == at.WORDS or mode == at.PARTED:
        return True, multiplier, exponent, offset, negative, count, code, rng, pos
    if mode == at.STEPPED:
        multiplier, code, rng, pos = get_raw(code, rng, pos, data, 64)
        offset, code, rng, pos = get(code, rng, pos, data, models, at.FLAGS + 2)
        negative, code, rng, pos = get(code, rng, pos, data, models, at.FLAGS)
        return True, multiplier, exponent, offset, negative, count, code, rng, pos
    if mode == at.DYADIC:
        number, code, rng, pos = get_number(code, rng, pos, data, models, at.GAP)
        exponent = unfold(number)
        ok = -1000 <= exponent <= 1000
    else:
        exponent, code, rng, pos = get_tree(code, rng, pos, data, models, at.EXPONENT, 5)
        ok = exponent <= EXPONENT_MAX
        if mode != at.DECIMAL:
            multiplier, code, rng, pos = get_number(code, rng, pos, data, models, at.COUNT)
            number, code, rng, pos = get_number(code, rng, pos, data, models, at.GAP)
            offset = unfold(number)
    negative, code, rng, pos = get(code, rng, pos, data, models, at.FLAGS)
    any_special, code, rng, pos = get(code, rng, pos, data, models, at.FLAGS + 1)
    if ok and any_special:
        count, code, rng, pos = get_number(code, rng, pos, data, models, at.COUNT)
        if count < 1 or count > n // 8 + 1:
            return False, multiplier, exponent, offset, negative, np.int64(0), code, rng, pos
        i = np.int64(-1)
        for j in range(count):
            gap, code, rng, pos = get_number(code, rng, pos, data, models, at.GAP)
            if gap < 0 or gap >= n - i - 1:
                return False, multiplier, exponent, offset, negative, np.int64(0), code, rng, pos
            i += gap + 1
            word, code, rng, pos = get_raw(code, rng, pos, data, 32 if short else 64)
            special[2 * j] = i
            special[2 * j + 1] = signed_32(word) if short else word
    return ok, multiplier, exponent, offset, negative, count, code, rng, pos


@njit(**INNER)
def to_words(words, x, u, n, kind, mode, narrow, multiplier, exponent, offset, negative, corrected):
    """Bit patterns of whole numbers, by mode; corrected: moved by u last places."""
    scale = float_of(np.int64(1023 - exponent) << 52) if mode == at.DYADIC else 1.0
    for i in range(n):
        if mode == at.WORDS or mode == at.PARTED:
            word = ordered_narrow(signed_32(x[i])) if narrow else ordered(x[i])
            words[i] = wide_word(word) if narrow and kind == FLOAT64 else word
            continue
        if mode == at.DYADIC:
            word = bits_of(np.float64(x[i]) * scale)
        elif mode == at.STEPPED:
            word = bits_of(np.float64(x[i]) * float_of(multiplier))
        else:
            word = bits_of(value_of(x[i], mode, multiplier, exponent, offset, narrow != 0))
        if corrected:
            if narrow:
                word = wide_word(ordered_narrow(signed_32(ordered_narrow(narrow_word(word)) + u[i])))
            else:
                word = ordered(ordered(word) + u[i])
        if negative and word == 0:
            word = np.int64(-9223372036854775808)
        words[i] = narrow_word(word) if kind == FLOAT32 else word
