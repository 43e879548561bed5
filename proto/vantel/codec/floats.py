"""Floats as whole numbers: which mode, its parameters in the stream, and back (docs/format.md, section 7.5)."""

from __future__ import annotations

import numpy as np
from numba import njit

from vantel.codec import layout as at
from vantel.codec.affine import RAW_EXPONENT, affine_cost, step_and_offset, try_affine, try_hint
from vantel.codec.choosing import choose, distinct, last_cost, level_cost, smoothest
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
    put,
    put_number,
    put_raw,
    put_tree,
    unfold,
)  # fmt: skip
from vantel.codec.integers import (
    EXPONENT_MAX,
    NO_MODE,
    POWERS,
    all_printed,
    rounded,
    try_decimal,
    try_dyadic,
    value_of,
)  # fmt: skip
from vantel.codec.words import (
    MINUS_ZERO,
    all_narrow,
    moved,
    narrow_word,
    ordered,
    ordered_narrow,
    places_between,
    signed_32,
    wide_word,
)  # fmt: skip

FLOAT64, FLOAT32, WHOLE = 0, 1, 2
WIDE, NARROW = np.bool_(False), np.bool_(True)
"""For try_decimal: Numba compiles a function anew for each literal that it is called with, but not for these."""
AFFINE_MIN = 16
"""A step and an offset of fewer values would cost more than they save."""
PLAIN_EXPONENT_MAX = 5
"""Decimals with more places may be printed float32 values, whose own steps are coarser."""


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
def read_floats(kind, words, n, v, u):
    """v the floats of words, u their float64 patterns; whether all zeros are negative, and whether zeros of both signs are there."""
    zeros = 0
    for i in range(n):
        wide = wide_word(words[i]) if kind == FLOAT32 else words[i]
        u[i] = wide
        v[i] = float_of(wide)
        if v[i] == 0.0:
            zeros |= 2 if wide < 0 else 1
    return zeros == 2, zeros == 3


@njit(**INNER)
def put_corrections(mode, x, u, n, narrow, special, params):
    """u from float64 patterns to the last places by which they lie above what x stands for; 0 where a value stands by itself."""
    for i in range(n):
        base = value_of(x[i], mode, params[at.P_MULTIPLIER], params[at.P_POWER], params[at.P_OFFSET], narrow)
        u[i] = places_between(u[i], bits_of(base), narrow)
    for j in range(params[at.P_SPECIALS]):
        u[special[j]] = 0


@njit(**INNER)
def affine_instead(v, u, n, narrow, cost_max, x, special, params, plan, other):
    """STEPPED or AFFINE if that costs less, in 1/8 bits: x, u, special and params are then of it. Else NO_MODE, and all is as it was.

    cost_max 0: only what needs no corrections. plan int64[2]: patterns of a step, 0 if none is known, and an offset to be
    tried first; it gets those that were found without corrections. other int64[4 n + PARAMETERS] is scratch.
    """
    whole, places, alone, d = other[:n], other[n : 2 * n], other[2 * n : 3 * n], other[3 * n : 4 * n]
    found = other[4 * n :]
    found[at.P_ZEROS_NEGATIVE] = params[at.P_ZEROS_NEGATIVE]
    found[at.P_PRINTED] = 0
    negative = params[at.P_ZEROS_NEGATIVE] != 0
    misses = 0
    if plan[0] == 0 or not try_hint(
        v, u, n, negative, narrow, float_of(plan[0]), float_of(plan[1]), whole, places, alone, found
    ):
        misses = try_affine(v, u, n, negative, narrow, whole, places, d.view(np.float64), alone, found)
    if misses > n or ((misses or cost_max) and affine_cost(whole, places, n, misses) >= cost_max):
        return NO_MODE
    if misses == 0:
        step, offset = step_and_offset(found[at.P_POWER], found[at.P_MULTIPLIER], found[at.P_OFFSET])
        plan[0], plan[1] = bits_of(step), bits_of(offset)
    found[at.P_CORRECTED] = misses > 0
    for i in range(n):
        x[i], u[i] = whole[i], places[i]
    for j in range(found[at.P_SPECIALS]):
        special[j] = alone[j]
    for k in range(at.PARAMETERS):
        params[k] = found[k]
    if narrow or params[at.P_SPECIALS] or params[at.P_OFFSET] or params[at.P_POWER] != RAW_EXPONENT:
        return at.AFFINE
    return at.STEPPED


@njit(**INNER)
def decimals(kind, words, n, x, u, v, special, params):
    """Modes that powers of ten make: mode or NO_MODE, narrow; v and u are those of the float32 where such were printed.

    Narrow, that is rounded to float32, is tried second: it would find too few decimals where float64 finds all.
    """
    params[at.P_PRINTED] = 0
    mode = try_decimal(v, n, WIDE, x, special, params)
    if (
        kind == FLOAT64
        and (mode == NO_MODE or params[at.P_POWER] > PLAIN_EXPONENT_MAX)
        and all_printed(v, u, n)
    ):
        params[at.P_PRINTED] = 1
        for i in range(n):
            v[i] = np.float64(np.float32(v[i]))
            u[i] = bits_of(v[i])
        return np.int64(NO_MODE), True
    if mode == NO_MODE and (kind == FLOAT32 or all_narrow(words, n)):
        return try_decimal(v, n, NARROW, x, special, params), True
    return mode, False


@njit(**INNER)
def to_whole(kind, words, n, x, y, u, v, special, params, d, plan, other):
    """Whole numbers x of floats, and how: mode, narrow; params has the places P_ of layout.py."""
    negative, mixed = read_floats(kind, words, n, v, u)
    params[at.P_ZEROS_NEGATIVE] = negative
    params[at.P_CORRECTED] = 0
    mode, narrow = decimals(kind, words, n, x, u, v, special, params)
    exact = mode == at.DECIMAL or mode == at.SCALED
    if exact and not mixed and not (narrow and params[at.P_POWER] > PLAIN_EXPONENT_MAX):
        return mode, narrow
    cost = np.int64(0)
    if mode == NO_MODE:
        put_in_order(words, kind, narrow, y)
        if try_dyadic(v, u, n, x, special, params, negative) and dearer(y, x, n, d):
            mode = np.int64(at.DYADIC)
        else:
            mode = np.int64(at.WORDS)
            params[at.P_SPECIALS] = 0
            for i in range(n):
                x[i] = y[i]
    if mode != at.CORRECTED:
        cost = last_cost(x, n)
    if n >= AFFINE_MIN and not params[at.P_PRINTED] and (not exact or narrow):
        instead = affine_instead(v, u, n, narrow, cost, x, special, params, plan, other)
        if instead != NO_MODE:
            return instead, narrow
    if mixed and mode == at.DECIMAL:
        # a zero of the other sign lies one place below
        mode = np.int64(at.CORRECTED)
        params[at.P_MULTIPLIER] = 0
    elif mixed and mode == at.SCALED:
        mode = np.int64(at.CORRECTED)
    if mode == at.CORRECTED:
        params[at.P_CORRECTED] = 1
        put_corrections(mode, x, u, n, narrow, special, params)
    return mode, narrow


@njit(**INNER)
def put_mode(to, count, mode, narrow, words, kind, special, params):
    """Note the parameters of a mode, and the values that stand by themselves; the new count."""
    decisions = to[3]
    if mode == at.WORDS or mode == at.PARTED:
        return count
    if mode == at.STEPPED:
        count = put_raw(decisions, count, params[at.P_MULTIPLIER], 64)
        count = put(decisions, count, at.FLAGS + 2, params[at.P_CORRECTED])
        return put(decisions, count, at.FLAGS, params[at.P_ZEROS_NEGATIVE])
    if mode == at.DYADIC:
        count = put_number(decisions, count, at.GAP, fold(params[at.P_POWER]))
    elif mode == at.AFFINE:
        count = put_tree(decisions, count, at.EXPONENT, params[at.P_POWER], 5)
        if params[at.P_POWER] == RAW_EXPONENT:
            count = put_raw(decisions, count, params[at.P_MULTIPLIER], 64)
            count = put_raw(decisions, count, params[at.P_OFFSET], 64)
        else:
            count = put_number(decisions, count, at.COUNT, params[at.P_MULTIPLIER])
            count = put_number(decisions, count, at.GAP, fold(params[at.P_OFFSET]))
        count = put(decisions, count, at.FLAGS + 2, params[at.P_CORRECTED])
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
    """Inverse of put_mode: ok, multiplier, exponent, offset, corrected, zeros negative, specials, code, rng, pos."""
    multiplier = np.int64(1)
    exponent = offset = negative = count = np.int64(0)
    corrected = np.int64(mode == at.CORRECTED)
    if mode == at.WORDS or mode == at.PARTED:
        return True, multiplier, exponent, offset, corrected, negative, count, code, rng, pos
    ok = True
    if mode == at.STEPPED:
        exponent = np.int64(RAW_EXPONENT)
        multiplier, code, rng, pos = get_raw(code, rng, pos, data, 64)
        corrected, code, rng, pos = get(code, rng, pos, data, models, at.FLAGS + 2)
        negative, code, rng, pos = get(code, rng, pos, data, models, at.FLAGS)
        return True, multiplier, exponent, offset, corrected, negative, count, code, rng, pos
    if mode == at.DYADIC:
        number, code, rng, pos = get_number(code, rng, pos, data, models, at.GAP)
        exponent = unfold(number)
        ok = -1000 <= exponent <= 1000
    else:
        exponent, code, rng, pos = get_tree(code, rng, pos, data, models, at.EXPONENT, 5)
        raw = mode == at.AFFINE and exponent == RAW_EXPONENT
        ok = raw or exponent <= (POWERS.shape[0] - 1 if mode == at.AFFINE else EXPONENT_MAX)
        if raw:
            multiplier, code, rng, pos = get_raw(code, rng, pos, data, 64)
            offset, code, rng, pos = get_raw(code, rng, pos, data, 64)
        elif mode != at.DECIMAL:
            multiplier, code, rng, pos = get_number(code, rng, pos, data, models, at.COUNT)
            number, code, rng, pos = get_number(code, rng, pos, data, models, at.GAP)
            offset = unfold(number)
    if mode == at.AFFINE:
        corrected, code, rng, pos = get(code, rng, pos, data, models, at.FLAGS + 2)
    negative, code, rng, pos = get(code, rng, pos, data, models, at.FLAGS)
    any_special, code, rng, pos = get(code, rng, pos, data, models, at.FLAGS + 1)
    if ok and any_special:
        count, code, rng, pos = get_number(code, rng, pos, data, models, at.COUNT)
        ok, code, rng, pos = get_specials(code, rng, pos, data, models, short, n, count, special)
    return ok, multiplier, exponent, offset, corrected, negative, count if ok else np.int64(0), code, rng, pos


@njit(**INNER)
def get_specials(code, rng, pos, data, models, short, n, count, special):
    """Places and patterns, in turn, of values that stand by themselves: ok, code, rng, pos."""
    if count < 1 or count > n // 8 + 1:
        return False, code, rng, pos
    i = np.int64(-1)
    for j in range(count):
        gap, code, rng, pos = get_number(code, rng, pos, data, models, at.GAP)
        if gap < 0 or gap >= n - i - 1:
            return False, code, rng, pos
        i += gap + 1
        word, code, rng, pos = get_raw(code, rng, pos, data, 32 if short else 64)
        special[2 * j] = i
        special[2 * j + 1] = signed_32(word) if short else word
    return True, code, rng, pos


@njit(**INNER)
def to_words(words, x, u, n, kind, mode, narrow, multiplier, exponent, offset, negative, corrected):
    """Bit patterns of whole numbers, by mode; corrected: moved by u last places."""
    scale = start = 0.0
    if mode == at.DYADIC:
        scale = float_of(np.int64(1023 - exponent) << 52)
    elif mode == at.STEPPED or mode == at.AFFINE:
        scale, start = step_and_offset(exponent, multiplier, offset)
    for i in range(n):
        if mode == at.WORDS or mode == at.PARTED:
            word = ordered_narrow(signed_32(x[i])) if narrow else ordered(x[i])
            words[i] = wide_word(word) if narrow and kind == FLOAT64 else word
            continue
        if mode == at.DYADIC or mode == at.STEPPED:
            word = bits_of(np.float64(x[i]) * scale)
        elif mode == at.AFFINE:
            word = bits_of(rounded(np.float64(x[i]) * scale + start, narrow != 0))
        else:
            word = bits_of(value_of(x[i], mode, multiplier, exponent, offset, narrow != 0))
        if corrected:
            word = moved(word, u[i], narrow)
        if negative and word == 0:
            word = np.int64(MINUS_ZERO)
        words[i] = narrow_word(word) if kind == FLOAT32 else word
