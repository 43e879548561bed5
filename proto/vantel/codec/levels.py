"""Numbers of few kinds: the kinds sorted, then which of them each is (docs/format.md, section 7.4).

int64[n], or its differences <-> the range coder. Up to 16 levels are one symbol each, under the row of the level before;
up to 256 are two, of four bits.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from vantel.codec import layout as at
from vantel.codec.coder import INNER, fold, get_number, make_room, put_number, settle, unfold
from vantel.codec.symbols import begin_level_rows, get_symbol, put_symbol, rows_of

HIGH = np.int64(at.LEVELS + at.LEVEL_ROWS - 1)
"""Row of the upper four bits of a level."""


@njit(**INNER)
def put_levels(to, count, part, x, n, predictor, levels, search):
    """Code sorted levels, then the index of each number. Returns 0 decisions."""
    _table, keys, _pairs, places = search
    state, out, models, decisions = to
    rows = rows_of(models)
    count = put_number(decisions, count, at.COUNT, levels)
    count = put_number(decisions, count, at.BASE + 64 * part, fold(keys[0]))
    for k in range(1, levels):
        count = make_room(to, count)
        count = put_number(decisions, count, at.STEP + 64 * part, keys[k] - keys[k - 1])
    first = 0
    if predictor == at.LEVEL_STEP:
        count = put_number(decisions, count, at.BASE + 64 * part, fold(x[0]))
        first = 1
    settle(to, count)
    begin_level_rows(rows, levels)
    low, rng, pos = state[0], state[1], state[2]
    row = np.int64(at.LEVELS)
    for i in range(first, n):
        k = places[i]
        if levels > at.LEVELS_PAIRED_MAX:
            low, rng, pos = put_symbol(low, rng, pos, out, rows, HIGH, k >> 4)
            row = at.LEVELS + (k >> 4)
        low, rng, pos = put_symbol(low, rng, pos, out, rows, row, k & 15)
        if levels <= at.LEVELS_PAIRED_MAX:
            row = at.LEVELS + k
    state[0], state[1], state[2] = low, rng, pos
    return 0


@njit(**INNER)
def get_levels(code, rng, pos, data, models, part, x, n, predictor, keys):
    """Inverse of put_levels: ok, code, rng, pos."""
    rows = rows_of(models)
    count, code, rng, pos = get_number(code, rng, pos, data, models, at.COUNT)
    if count < 1 or count > at.LEVELS_MAX:
        return False, code, rng, pos
    number, code, rng, pos = get_number(code, rng, pos, data, models, at.BASE + 64 * part)
    keys[0] = unfold(number)
    for k in range(1, count):
        number, code, rng, pos = get_number(code, rng, pos, data, models, at.STEP + 64 * part)
        keys[k] = keys[k - 1] + number
    first = 0
    if predictor == at.LEVEL_STEP:
        number, code, rng, pos = get_number(code, rng, pos, data, models, at.BASE + 64 * part)
        x[0] = unfold(number)
        first = 1
    begin_level_rows(rows, count)
    row = np.int64(at.LEVELS)
    high = np.int64(0)
    for i in range(first, n):
        if count > at.LEVELS_PAIRED_MAX:
            high, code, rng, pos = get_symbol(code, rng, pos, data, rows, HIGH)
            row = at.LEVELS + high
        k, code, rng, pos = get_symbol(code, rng, pos, data, rows, row)
        if count <= at.LEVELS_PAIRED_MAX:
            row = at.LEVELS + k
        k |= high << 4
        if k >= count:
            return False, code, rng, pos
        x[i] = x[i - 1] + keys[k] if predictor == at.LEVEL_STEP else keys[k]
    return True, code, rng, pos
