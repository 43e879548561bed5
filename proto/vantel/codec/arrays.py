"""One array to bits and back: the kernels that Python calls (docs/format.md, section 7.5).

Bit patterns int64[n] <-> the range coder, whose state waits in an array between calls. Scratch is owned by the caller.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from vantel.codec import layout as at
from vantel.codec.choosing import last_cost, lg
from vantel.codec.coder import (
    OPTIONS,
    bits_of,
    finish,
    float_of,
    fold,
    get,
    get_number,
    get_raw,
    get_tree,
    put,
    put_number,
    put_raw,
    put_tree,
    renew_get,
    unfold,
)  # fmt: skip
from vantel.codec.floats import (
    FLOAT32,
    FLOAT64,
    WHOLE,
    get_mode,
    put_mode,
    to_whole,
    to_words,
    wide_word,
)
from vantel.codec.integers import ROUND, WHOLE_MAX, gcd_of, printed
from vantel.codec.lattice import on_lattice
from vantel.codec.residuals import get_integers, put_integers

_I = types.int64
_WORDS = types.Array(types.int64, 1, "C")
_READ_WORDS = types.Array(types.int64, 1, "C", readonly=True)
_READ_BYTES = types.Array(types.uint8, 1, "C", readonly=True)
_MODELS = types.Array(types.int32, 1, "C")
_OUT = types.Array(types.uint8, 1, "C")
SCRATCH_EXTRA = 1024 + 256 + at.PARAMETERS + 256
"""Hash table, levels, parameters and pair counts behind four arrays of the caller's length."""


@njit(**OPTIONS)
def lattice_step(x, n, y, u, d):
    """A step with x = x[0] + round(y * step) + u, or 0.0 where that would cost more than the differences of x."""
    plain = last_cost(x, n)
    if plain < 56 * n:
        return 0.0
    largest = np.int64(0)
    for i in range(n):
        largest = max(largest, abs(x[i] - x[0]))
    step = on_lattice(x, n, d, 2.0)
    if step == 0.0:
        step = on_lattice(x, n, d, 2.0 + np.float64(largest) * 2.0**-13)
    if step == 0.0:
        return 0.0
    cost = np.int64(0)
    for i in range(n):
        y[i] = np.int64((np.float64(x[i] - x[0]) / step + ROUND) - ROUND)
        u[i] = x[i] - x[0] - np.int64((np.float64(y[i]) * step + ROUND) - ROUND)
        cost += lg(u[i]) + 12
    return step if cost + last_cost(y, n) + 1024 < plain else 0.0


@njit(**OPTIONS)
def put_array(low, rng, pos, out, models, part, kind, level, words, scratch, v):
    """Code words int64[n] as whole numbers, found again where they are floats."""
    n = words.shape[0]
    x = scratch[:n]
    y = scratch[n : 2 * n]
    u = scratch[2 * n : 3 * n]
    special = scratch[3 * n : 4 * n]
    rest = scratch[4 * n :]
    table = rest[:1024]
    keys = rest[1024:1280]
    params = rest[1280 : 1280 + at.PARAMETERS]
    pairs = rest[1280 + at.PARAMETERS :]
    mode = np.int64(at.WORDS)
    narrow = False
    if kind == WHOLE:
        x[:] = words
    else:
        mode, narrow = to_whole(kind, words, n, x, y, u, v, special, params)
        low, rng, pos = put(low, rng, pos, out, models, at.NARROW + kind, narrow)
        if narrow and kind == FLOAT64:
            low, rng, pos = put(low, rng, pos, out, models, at.NARROW + 2, params[at.P_PRINTED])
        low, rng, pos = put_tree(low, rng, pos, out, models, at.MODE, mode, 3)
        low, rng, pos = put_mode(low, rng, pos, out, models, mode, narrow, words, kind, special, params)
    g = np.int64(1)
    step = 0.0
    if n > 1:
        g = gcd_of(x, n)
        if g == 1 and level > 0 and n >= 32 and mode != at.CORRECTED and mode != at.STEPPED:
            step = lattice_step(x, n, y, u, v)
        low, rng, pos = put(low, rng, pos, out, models, at.FLAGS + 3, step > 0.0)
        if step > 0.0:
            low, rng, pos = put_raw(low, rng, pos, out, bits_of(step), 64)
            low, rng, pos = put_number(low, rng, pos, out, models, at.GAP, fold(x[0]))
            x = y
        else:
            low, rng, pos = put_number(low, rng, pos, out, models, at.FACTOR, g)
    if g == 0:
        low, rng, pos = put_number(low, rng, pos, out, models, at.BASE + 128 * part, fold(x[0]))
    else:
        if g > 1:
            rem = x[0] % g
            low, rng, pos = put_number(low, rng, pos, out, models, at.COUNT, rem)
            for i in range(n):
                x[i] = x[i] // g
        low, rng, pos = put_integers(low, rng, pos, out, models, part, x, n, level, table, keys, pairs)
    if step > 0.0 or (mode >= at.CORRECTED and params[at.P_CORRECTED]):
        low, rng, pos = put_integers(low, rng, pos, out, models, at.ADJUST, u, n, level, table, keys, pairs)
    return low, rng, pos


@njit(**OPTIONS)
def off_lattice(x, u, n, step, origin):
    """Multiples x of a step, with their corrections u, to whole numbers in place."""
    for i in range(n):
        y = np.float64(x[i]) * step
        x[i] = origin + u[i] + (np.int64((y + ROUND) - ROUND) if abs(y) < WHOLE_MAX else 0)


@njit(**OPTIONS)
def get_array(code, rng, pos, data, models, part, kind, words, scratch):
    """Inverse of put_array into words: ok, code, rng, pos."""
    n = words.shape[0]
    x = scratch[:n]
    u = scratch[n : 2 * n]
    keys = scratch[2 * n : 2 * n + 256]
    special = scratch[2 * n + 256 :]
    mode = np.int64(at.WORDS)
    narrow = np.int64(0)
    read = np.int64(0)
    multiplier = exponent = offset = count = negative = np.int64(0)
    ok = True
    if kind != WHOLE:
        narrow, code, rng, pos = get(code, rng, pos, data, models, at.NARROW + kind)
        if narrow and kind == FLOAT64:
            read, code, rng, pos = get(code, rng, pos, data, models, at.NARROW + 2)
        mode, code, rng, pos = get_tree(code, rng, pos, data, models, at.MODE, 3)
        ok, multiplier, exponent, offset, negative, count, code, rng, pos = get_mode(
            code, rng, pos, data, models, mode, narrow or kind == FLOAT32, n, special
        )
    g = np.int64(1)
    lattice = step = origin = np.int64(0)
    if ok and n > 1:
        lattice, code, rng, pos = get(code, rng, pos, data, models, at.FLAGS + 3)
        if lattice:
            step, code, rng, pos = get_raw(code, rng, pos, data, 64)
            number, code, rng, pos = get_number(code, rng, pos, data, models, at.GAP)
            origin = unfold(number)
        else:
            g, code, rng, pos = get_number(code, rng, pos, data, models, at.FACTOR)
    if ok and g == 0:
        number, code, rng, pos = get_number(code, rng, pos, data, models, at.BASE + 128 * part)
        x[:] = unfold(number)
    elif ok:
        rem = np.int64(0)
        if g != 1:
            rem, code, rng, pos = get_number(code, rng, pos, data, models, at.COUNT)
        ok, code, rng, pos = get_integers(code, rng, pos, data, models, part, x, n, keys)
        if g != 1:
            for i in range(n):
                x[i] = x[i] * g + rem
    corrected = mode == at.CORRECTED or (mode == at.STEPPED and offset != 0)
    if ok and (lattice or corrected):
        ok, code, rng, pos = get_integers(code, rng, pos, data, models, at.ADJUST, u, n, keys)
    if not ok:
        return False, code, rng, pos
    if lattice:
        off_lattice(x, u, n, float_of(step), origin)
    if kind == WHOLE:
        words[:] = x
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


@njit(_I(_WORDS, _OUT, _MODELS, _I, _I, _I, _I, _READ_WORDS, _WORDS, types.float64[::1]), **OPTIONS)
def encode_array(state, out, models, part, kind, width, level, words, scratch, v):
    """Code words int64[n], n >= 1, in region part; state [low, range, place]. Returns 0.

    kind: FLOAT64 and FLOAT32 patterns (float32 sign extended), or WHOLE numbers. width: bits of a word as its type has
    them, negative for signed integers; where the models do not get below that, the words stand as they are. scratch
    int64[>= 4 n + SCRATCH_EXTRA], v float64[>= n]; out has room for format.BYTES_PER_VALUE_MAX a word.
    """
    n = words.shape[0]
    kept = models.copy()
    settled = state[2] - 1
    while settled >= 0 and out[settled] == 255:
        settled -= 1
    settled_byte = out[settled] if settled >= 0 else np.uint8(0)
    low, rng, pos = put(state[0], state[1], state[2], out, models, at.FLAGS + 4, 0)
    low, rng, pos = put_array(low, rng, pos, out, models, part, kind, level, words, scratch, v)
    if pos - state[2] > (n * abs(width)) // 8 + 1:
        # back to where the array began; a carry may have run through the bytes before it
        models[:] = kept
        if settled >= 0:
            out[settled] = settled_byte
        for i in range(settled + 1, state[2]):
            out[i] = 255
        low, rng, pos = put(state[0], state[1], state[2], out, models, at.FLAGS + 4, 1)
        for i in range(n):
            low, rng, pos = put_raw(low, rng, pos, out, words[i], abs(width))
    state[0], state[1], state[2] = low, rng, pos
    return 0


@njit(_I(_WORDS, _OUT), **OPTIONS)
def finish_stream(state, out):
    """Write the last byte; returns the length of the stream."""
    return finish(state[0], state[2], out)


@njit(_I(_WORDS, _READ_BYTES), **OPTIONS)
def begin_stream(state, data):
    """Read the first window into state [code, range, place]. Returns 0."""
    code, rng, pos = renew_get(np.int64(0), np.int64(1), np.int64(0), data)
    state[0], state[1], state[2] = code, rng, pos
    return 0


@njit(_I(_WORDS, _OUT, _MODELS, _I, _I), **OPTIONS)
def encode_number(state, out, models, cell, number):
    """Code one number (taken as unsigned) with the tree at cell. Returns 0."""
    state[0], state[1], state[2] = put_number(state[0], state[1], state[2], out, models, cell, number)
    return 0


@njit(_I(_WORDS, _OUT, _MODELS, _I, _I), **OPTIONS)
def encode_bit(state, out, models, cell, bit):
    """Code one bit with the model at cell. Returns 0."""
    state[0], state[1], state[2] = put(state[0], state[1], state[2], out, models, cell, bit)
    return 0


@njit(_I(_WORDS, _OUT, _MODELS, _I), **OPTIONS)
def encode_kind(state, out, models, number):
    """Code a type code, 0 to 15. Returns 0."""
    state[0], state[1], state[2] = put_tree(state[0], state[1], state[2], out, models, at.KIND, number, 4)
    return 0


@njit(_I(_WORDS, _READ_BYTES, _MODELS, _I), **OPTIONS)
def decode_bit(state, data, models, cell):
    """Inverse of encode_bit."""
    bit, state[0], state[1], state[2] = get(state[0], state[1], state[2], data, models, cell)
    return bit


@njit(_I(_WORDS, _READ_BYTES, _MODELS), **OPTIONS)
def decode_kind(state, data, models):
    """Inverse of encode_kind."""
    number, state[0], state[1], state[2] = get_tree(state[0], state[1], state[2], data, models, at.KIND, 4)
    return number


@njit(_I(_WORDS, _READ_BYTES, _MODELS, _I), **OPTIONS)
def decode_number(state, data, models, cell):
    """Inverse of encode_number."""
    number, state[0], state[1], state[2] = get_number(state[0], state[1], state[2], data, models, cell)
    return number


@njit(_I(_WORDS, _READ_BYTES, _MODELS, _I, _I, _I, _WORDS, _WORDS), **OPTIONS)
def decode_array(state, data, models, part, kind, width, words, scratch):
    """Fill words int64[n], n >= 1; scratch int64[>= 2 n + 256 + 2 (n // 8 + 2)]. Returns 1, or 0 where the bits contradict the format."""
    n = words.shape[0]
    plain, code, rng, pos = get(state[0], state[1], state[2], data, models, at.FLAGS + 4)
    if plain:
        unused = 64 - abs(width)
        for i in range(n):
            word, code, rng, pos = get_raw(code, rng, pos, data, abs(width))
            words[i] = (word << unused) >> unused if width < 0 else word
        state[0], state[1], state[2] = code, rng, pos
        return 1
    ok, state[0], state[1], state[2] = get_array(code, rng, pos, data, models, part, kind, words, scratch)
    return 1 if ok else 0
