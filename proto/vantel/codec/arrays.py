"""One array to bits and back, in the form that costs least (docs/format.md, section 7.5).

Bit patterns int64[n] <-> the range coder. Scratch is owned by the caller; kernels.py has what Python calls.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from vantel.codec import layout as at
from vantel.codec.choosing import last_cost, lg
from vantel.codec.coder import (
    INNER,
    MERGED,
    bits_of,
    float_of,
    fold,
    get,
    get_low_bits,
    get_number,
    get_raw,
    get_tree,
    make_room,
    put,
    put_low_bits,
    put_number,
    put_raw,
    put_tree,
    unfold,
)  # fmt: skip
from vantel.codec.floats import (
    FLOAT32,
    FLOAT64,
    PLAIN_EXPONENT_MAX,
    WHOLE,
    better_parted,
    dearer,
    get_mode,
    mantissa_bits,
    put_in_order,
    put_mode,
    to_whole,
    to_words,
)
from vantel.codec.integers import POWERS, ROUND, WHOLE_MAX, gcd_of, printed
from vantel.codec.lattice import binary_step, on_lattice
from vantel.codec.residuals import get_integers, put_integers
from vantel.codec.words import wide_word

SCRATCH_ARRAYS = 10
SCRATCH_EXTRA = 1024 + 256 + 256 + 2 * at.PARAMETERS
"""Hash table, levels, pair counts and parameters behind ten arrays of the caller's length."""


@njit(**INNER)
def lattice_step(x, n, y, u, d, power):
    """A step with x = x[0] + round(y * step) + u, or 0.0 where that would cost more than the differences of x.

    power: 10**e where x are decimals with e places, else 1.0.
    """
    plain = last_cost(x, n)
    if plain < 56 * n:
        return 0.0
    largest = np.int64(0)
    for i in range(n):
        largest = max(largest, abs(x[i] - x[0]))
    step = on_lattice(x, n, d, 2.0)
    if step == 0.0:
        step = on_lattice(x, n, d, 2.0 + np.float64(largest) * 2.0**-13)
    if step == 0.0 and power > 1.0:
        step = binary_step(x, n, power)
    if step == 0.0:
        return 0.0
    cost = np.int64(0)
    for i in range(n):
        y[i] = np.int64((np.float64(x[i] - x[0]) / step + ROUND) - ROUND)
        u[i] = x[i] - x[0] - np.int64((np.float64(y[i]) * step + ROUND) - ROUND)
        cost += lg(u[i]) + 12
    return step if cost + last_cost(y, n) + 1024 < plain else 0.0


@njit(**MERGED)
def best_form(kind, level, words, x, y, u, v, special, params, search, plan, other):
    """Whole numbers x of words int64[n]: the mode, narrow, the greatest common divisor of their distances, the step of a lattice or 0.0.

    On a lattice y are the numbers and u the corrections; in mode PARTED special has the words whose signs and exponents x are.
    """
    n = words.shape[0]
    mode = np.int64(at.WORDS)
    narrow = False
    if kind == WHOLE:
        for i in range(n):
            x[i] = words[i]
    else:
        mode, narrow = to_whole(kind, words, n, x, y, u, v, special, params, search[3], plan, other)
    if n == 1:
        return mode, narrow, np.int64(1), 0.0
    g = gcd_of(x, n)
    step = 0.0
    stepped = mode == at.STEPPED or mode == at.AFFINE
    if g == 1 and level > 0 and n >= 32 and mode != at.CORRECTED and not stepped:
        power = POWERS[params[at.P_POWER]] if mode == at.DECIMAL else 1.0
        step = lattice_step(x, n, y, u, v, power)
    if kind == WHOLE or g != 1 or step > 0.0 or stepped or (kind == FLOAT32 and not narrow):
        return mode, narrow, g, step
    places = mode != at.WORDS and mode != at.DYADIC
    if places and params[at.P_POWER] <= PLAIN_EXPONENT_MAX:
        return mode, narrow, g, step
    put_in_order(words, kind, narrow, y)
    if places and dearer(x, y, n, search[3]):
        mode = np.int64(at.WORDS)
        params[at.P_CORRECTED] = 0
        for i in range(n):
            x[i] = y[i]
    high = v.view(np.int64)
    if level > 0 and n >= 32 and better_parted(x, y, n, narrow, high, search):
        mode = np.int64(at.PARTED)
        params[at.P_CORRECTED] = 0
        for i in range(n):
            x[i] = high[i]
            special[i] = y[i]
    return mode, narrow, g, step


@njit(**MERGED)
def put_array(to, count, part, kind, level, words, scratch):
    """Note words int64[n] as whole numbers, found again where they are floats; the new count."""
    n = words.shape[0]
    decisions = to[3]
    x = scratch[:n]
    y = scratch[n : 2 * n]
    u = scratch[2 * n : 3 * n]
    special = scratch[3 * n : 4 * n]
    v = scratch[5 * n : 6 * n].view(np.float64)
    other = scratch[6 * n : 10 * n + at.PARAMETERS]
    rest = scratch[10 * n + at.PARAMETERS :]
    search = (rest[:1024], rest[1024:1280], rest[1280:1536], scratch[4 * n : 5 * n])
    params = rest[1536:]
    mode, narrow, g, step = best_form(
        kind, level, words, x, y, u, v, special, params, search, to[0][3:], other
    )
    if kind != WHOLE:
        count = put(decisions, count, at.NARROW + kind, narrow)
        if narrow and kind == FLOAT64:
            count = put(decisions, count, at.NARROW + 2, params[at.P_PRINTED])
        count = put_tree(decisions, count, at.MODE, mode, 3)
        count = put_mode(to, count, mode, narrow, words, kind, special, params)
    count = make_room(to, count)
    if n > 1:
        count = put(decisions, count, at.FLAGS + 3, step > 0.0)
        if step > 0.0:
            count = put_raw(decisions, count, bits_of(step), 64)
            count = put_number(decisions, count, at.GAP, fold(x[0]))
            x = y
        else:
            count = put_number(decisions, count, at.FACTOR, g)
    if g == 0:
        count = put_number(decisions, count, at.BASE + 64 * part, fold(x[0]))
    else:
        if g > 1:
            count = put_number(decisions, count, at.COUNT, x[0] % g)
            for i in range(n):
                x[i] = x[i] // g
        count = put_integers(to, count, part, x, n, level, search)
    if step > 0.0 or (mode >= at.CORRECTED and params[at.P_CORRECTED]):
        count = put_integers(to, make_room(to, count), at.ADJUST, u, n, level, search)
    return put_low_bits(to, count, special, n, mantissa_bits(narrow)) if mode == at.PARTED else count


@njit(**INNER)
def off_lattice(x, u, n, step, origin):
    """Multiples x of a step, with their corrections u, to whole numbers in place."""
    for i in range(n):
        y = np.float64(x[i]) * step
        x[i] = origin + u[i] + (np.int64((y + ROUND) - ROUND) if abs(y) < WHOLE_MAX else 0)


@njit(**MERGED)
def get_array(code, rng, pos, data, models, part, kind, words, scratch):
    """Inverse of put_array into words: ok, code, rng, pos."""
    n = words.shape[0]
    x = scratch[:n]
    u = scratch[n : 2 * n]
    keys = scratch[2 * n : 2 * n + 256]
    special = scratch[2 * n + 256 :]
    mode = np.int64(at.WORDS)
    narrow = read = multiplier = exponent = offset = corrected = count = negative = np.int64(0)
    ok = True
    if kind != WHOLE:
        narrow, code, rng, pos = get(code, rng, pos, data, models, at.NARROW + kind)
        if narrow and kind == FLOAT64:
            read, code, rng, pos = get(code, rng, pos, data, models, at.NARROW + 2)
        mode, code, rng, pos = get_tree(code, rng, pos, data, models, at.MODE, 3)
        ok, multiplier, exponent, offset, corrected, negative, count, code, rng, pos = get_mode(
            code, rng, pos, data, models, mode, narrow or kind == FLOAT32, n, special
        )
    g = np.int64(1)
    lattice = step = origin = rem = np.int64(0)
    if ok and n > 1:
        lattice, code, rng, pos = get(code, rng, pos, data, models, at.FLAGS + 3)
        if lattice:
            step, code, rng, pos = get_raw(code, rng, pos, data, 64)
            number, code, rng, pos = get_number(code, rng, pos, data, models, at.GAP)
            origin = unfold(number)
        else:
            g, code, rng, pos = get_number(code, rng, pos, data, models, at.FACTOR)
    if ok and g == 0:
        number, code, rng, pos = get_number(code, rng, pos, data, models, at.BASE + 64 * part)
        x[:] = unfold(number)
    elif ok:
        if g != 1:
            rem, code, rng, pos = get_number(code, rng, pos, data, models, at.COUNT)
        ok, code, rng, pos = get_integers(code, rng, pos, data, models, part, x, n, keys)
        if g != 1:
            for i in range(n):
                x[i] = x[i] * g + rem
    if ok and (lattice or corrected):
        ok, code, rng, pos = get_integers(code, rng, pos, data, models, at.ADJUST, u, n, keys)
    if not ok:
        return False, code, rng, pos
    if mode == at.PARTED:
        code, rng, pos = get_low_bits(code, rng, pos, data, x, mantissa_bits(narrow))
    if lattice:
        off_lattice(x, u, n, float_of(step), origin)
    if kind == WHOLE:
        for i in range(n):
            words[i] = x[i]
        return True, code, rng, pos
    to_words(words, x, u, n, kind, mode, narrow, multiplier, exponent, offset, negative, corrected)
    for j in range(count):
        i = special[2 * j]
        word = special[2 * j + 1]
        words[i] = wide_word(word) if narrow and kind == FLOAT64 else word
    if read:
        for i in range(n):
            words[i] = bits_of(printed(float_of(words[i])))
    return True, code, rng, pos
