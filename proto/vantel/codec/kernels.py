"""The kernels that Python calls: a stream begins, an array or a count goes in or comes out, it ends (docs/format.md, section 7).

The state of the range coder waits in an array between calls. Arrays and scratch are owned by the caller.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from vantel.codec import layout as at
from vantel.codec.arrays import get_array, put_array
from vantel.codec.coder import (
    COUNT_MAX,
    INLINED,
    INNER,
    NEW_CELL,
    OPTIONS,
    P_MAX,
    TOP,
    WINDOW_BYTES,
    byte_at,
    finish,
    get,
    get_number,
    get_raw,
    get_tree,
    put,
    put_low_bits,
    put_number,
    put_tree,
    settle,
)  # fmt: skip
from vantel.codec.symbols import begin_rows, rows_of

_I = types.int64
_WORDS = types.Array(types.int64, 1, "C")
_MODELS = types.Array(types.int32, 1, "C")
_BYTES = types.Array(types.uint8, 1, "C")
WITHIN, NO_TYPE = -2, -1
"""In place of the type of an array that is a stream alone: it is one of many; it has none."""


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


@njit(_I(_WORDS, _BYTES, _MODELS, _I, _I, _I, _I, _I, _WORDS, _WORDS, _I, _I), **OPTIONS)
def encode_array(state, out, models, code, part, kind, width, level, words, scratch, step, offset):
    """Code words int64[n], n >= 1, in region part; state int64[5]: low, range, place, and the plan it leaves. Returns the place.

    code: WITHIN a stream of many, or a stream of its own, n >= 0: its type unless NO_TYPE, its length, its words, its end.
    kind: FLOAT64 and FLOAT32 patterns (float32 sign extended), or WHOLE numbers. width: bits of a word as its type has
    them, negative for signed integers; where the models do not get below that, the words stand as they are. step and offset:
    patterns of what floats may be made of, step 0 if nothing is known; the plan it leaves is those of these, if they are. models
    int32[MODELS + DECISIONS_ROOM], scratch int64[>= SCRATCH_ARRAYS n + SCRATCH_EXTRA]; out has room for
    format.BYTES_PER_VALUE_MAX a word.
    """
    to = parts_of(state, out, models)
    models, decisions = to[2], to[3]
    n = words.shape[0]
    state[3], state[4] = step, offset
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
