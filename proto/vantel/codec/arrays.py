"""One array to bits and back: the kernels that Python calls (docs/format.md, section 7.5).

Bit patterns int64[n] <-> the range coder, whose state waits in an array between calls. Scratch is owned by the caller.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from vantel.codec import layout as at
from vantel.codec.choosing import last_cost, lg
from vantel.codec.coder import (
    COUNT_MAX,
    INLINED,
    INNER,
    MERGED,
    NEW_CELL,
    OPTIONS,
    P_MAX,
    TOP,
    WINDOW_BYTES,
    bits_of,
    byte_at,
    finish,
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
    settle,
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
    wide_word,
)
from vantel.codec.integers import POWERS, ROUND, WHOLE_MAX, gcd_of, printed
from vantel.codec.lattice import binary_step, on_lattice
from vantel.codec.residuals import get_integers, put_integers
from vantel.codec.symbols import begin_rows, rows_of

_I = types.int64
_WORDS = types.Array(types.int64, 1, "C")
_MODELS = types.Array(types.int32, 1, "C")
_BYTES = types.Array(types.uint8, 1, "C")
WITHIN, NO_TYPE = -2, -1
"""In place of the type of an array that is a stream alone: it is one of many; it has none."""
SCRATCH_EXTRA = 1024 + 256 + 256 + at.PARAMETERS
"""Hash table, levels, pair counts and parameters behind six arrays of the caller's length."""


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
def best_form(kind, level, words, x, y, u, v, special, params, search):
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
        mode, narrow = to_whole(kind, words, n, x, y, u, v, special, params, search[3])
    if n == 1:
        return mode, narrow, np.int64(1), 0.0
    g = gcd_of(x, n)
    step = 0.0
    if g == 1 and level > 0 and n >= 32 and mode != at.CORRECTED and mode != at.STEPPED:
        power = POWERS[params[at.P_POWER]] if mode == at.DECIMAL else 1.0
        step = lattice_step(x, n, y, u, v, power)
    if kind == WHOLE or g != 1 or step > 0.0 or mode == at.STEPPED or (kind == FLOAT32 and not narrow):
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
    rest = scratch[6 * n :]
    search = (rest[:1024], rest[1024:1280], rest[1280:1536], scratch[4 * n : 5 * n])
    params = rest[1536:]
    mode, narrow, g, step = best_form(kind, level, words, x, y, u, v, special, params, search)
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
    narrow = read = multiplier = exponent = offset = count = negative = np.int64(0)
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
    corrected = mode == at.CORRECTED or (mode == at.STEPPED and offset != 0)
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


@njit(**INNER)
def begin_models(models):
    """All models as they are when a stream begins."""
    for cell in range(at.CELLS):
        models[cell] = NEW_CELL
    models[at.NEWER] = P_MAX << 8 | COUNT_MAX
    begin_rows(rows_of(models))


@njit(**INLINED)
def parts_of(state, out, models):
    """What coding works on, see settle."""
    return state, out, models[: at.MODELS], models[at.MODELS :]


@njit(**INNER)
def begin_alone(to, code, n):
    """Begin a stream of one array: its type unless code is NO_TYPE, its length."""
    state, _out, models, decisions = to
    state[0], state[1], state[2] = 0, TOP, 0
    begin_models(models)
    count = put(decisions, 0, at.NEWER, 0)
    if code != NO_TYPE:
        count = put_tree(decisions, count, at.KIND, code, 4)
    settle(to, put_number(decisions, count, at.COUNT, n))


@njit(_I(_WORDS, _BYTES, _MODELS, _I, _I, _I, _I, _I, _WORDS, _WORDS), **OPTIONS)
def encode_array(state, out, models, code, part, kind, width, level, words, scratch):
    """Code words int64[n], n >= 1, in region part; state int64[3]: low, range, place. Returns the place.

    code: WITHIN a stream of many, or a stream of its own, n >= 0: its type unless NO_TYPE, its length, its words, its end.
    kind: FLOAT64 and FLOAT32 patterns (float32 sign extended), or WHOLE numbers. width: bits of a word as its type has
    them, negative for signed integers; where the models do not get below that, the words stand as they are. models
    int32[MODELS + DECISIONS_ROOM], scratch int64[>= 6 n + SCRATCH_EXTRA]; out has room for
    format.BYTES_PER_VALUE_MAX a word.
    """
    to = parts_of(state, out, models)
    models, decisions = to[2], to[3]
    n = words.shape[0]
    if code != WITHIN:
        begin_alone(to, code, n)
        if n == 0:
            return finish(state, out)
    plain_cell = models[at.PLAIN]
    low, rng, pos = state[0], state[1], state[2]
    settled = pos - 1
    while settled >= 0 and out[settled] == 255:
        settled -= 1
    settled_byte = out[settled] if settled >= 0 else np.uint8(0)
    count = put(decisions, 0, at.PLAIN, 0)
    settle(to, put_array(to, count, part, kind, level, words, scratch))
    if state[2] - pos > (n * abs(width)) // 8 + 1:
        # back to where the array began; a carry may have run through the bytes before it
        begin_models(models)
        models[at.PLAIN] = plain_cell
        if settled >= 0:
            out[settled] = settled_byte
        for i in range(settled + 1, pos):
            out[i] = 255
        state[0], state[1], state[2] = low, rng, pos
        count = put(decisions, 0, at.PLAIN, 1)
        settle(to, put_low_bits(to, count, words, n, abs(width)))
    return state[2] if code == WITHIN else finish(state, out)


@njit(_I(_WORDS, _BYTES, _MODELS), **OPTIONS)
def begin_stream(state, out, models):
    """Say that the stream has this format. Returns 0."""
    begin_models(models)
    to = parts_of(state, out, models)
    return settle(to, put(to[3], 0, at.NEWER, 0))


@njit(_I(_WORDS, _BYTES, _MODELS, _I), **OPTIONS)
def encode_count(state, out, models, number):
    """Code a count or a length. Returns 0."""
    to = parts_of(state, out, models)
    return settle(to, put_number(to[3], 0, at.COUNT, number))


@njit(_I(_WORDS, _BYTES), **OPTIONS)
def finish_stream(state, out):
    """Write the last bytes; returns the length of the stream."""
    return finish(state, out)


@njit(_I(_WORDS, _BYTES, _MODELS, _I), **OPTIONS)
def open_stream(state, data, models, typed):
    """Begin to read into state int64[5]: code, range, place; then the first numbers: type, -1 if not typed, and count.

    models int32[MODELS]. Returns 1, or 0 where the stream says that it has a newer format.
    """
    begin_models(models)
    code = np.int64(0)
    for pos in range(WINDOW_BYTES):
        code = (code << 8) | byte_at(data, pos)
    newer, code, rng, pos = get(code, np.int64(TOP), np.int64(WINDOW_BYTES), data, models, at.NEWER)
    state[3] = -1
    if typed:
        state[3], code, rng, pos = get_tree(code, rng, pos, data, models, at.KIND, 4)
    state[4], code, rng, pos = get_number(code, rng, pos, data, models, at.COUNT)
    state[0], state[1], state[2] = code, rng, pos
    return 1 - newer


@njit(_I(_WORDS, _BYTES, _MODELS), **OPTIONS)
def decode_count(state, data, models):
    """Inverse of encode_count."""
    number, state[0], state[1], state[2] = get_number(state[0], state[1], state[2], data, models, at.COUNT)
    return number


@njit(_I(_WORDS, _BYTES, _MODELS, _I, _I, _I, _WORDS, _WORDS), **OPTIONS)
def decode_array(state, data, models, part, kind, width, words, scratch):
    """Fill words int64[n], n >= 1; scratch int64[>= 2 n + 256 + 2 (n // 8 + 2)]. Returns 1, or 0 where the bits contradict the format."""
    n = words.shape[0]
    plain, code, rng, pos = get(state[0], state[1], state[2], data, models, at.PLAIN)
    if plain:
        plain_cell = models[at.PLAIN]
        begin_models(models)
        models[at.PLAIN] = plain_cell
        unused = 64 - abs(width)
        for i in range(n):
            word, code, rng, pos = get_raw(code, rng, pos, data, abs(width))
            words[i] = (word << unused) >> unused if width < 0 else word
        state[0], state[1], state[2] = code, rng, pos
        return 1
    ok, state[0], state[1], state[2] = get_array(code, rng, pos, data, models, part, kind, words, scratch)
    return 1 if ok else 0
