"""Whole numbers to bits and back: predictor, residuals under rows of their energy (docs/format.md, section 7.4).

int64[n] <-> the range coder. All arithmetic is modulo 2**64, so no difference can overflow. The class of a residual is
its bit length, a symbol under the row that the sizes before it choose; the idea of an energy context is that of lossless
audio and image coders (Weinberger, Seroussi, Sapiro 2000, LOCO-I). A signal at rest costs a symbol a run, not one a value.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from vantel.codec import layout as at
from vantel.codec.choosing import choose, differ, drift_of, mean_of
from vantel.codec.coder import (
    INLINED,
    INNER,
    bit_length,
    fold,
    get_bits,
    get_number,
    get_tree,
    put_bits,
    put_number,
    put_tree,
    settle,
    unfold,
)  # fmt: skip
from vantel.codec.levels import get_levels, put_levels
from vantel.codec.symbols import get_symbol, put_symbol, rows_of

ENERGY_SHIFT = 1
SIZE_MAX, START_MAX = 1 << 40, 48
SIZE_MAX_WIDE, START_MAX_WIDE = 1 << 58, 60
"""How large a residual counts, and the start of the energy, at most; under predictors that are wide."""
LARGE, WIDE_FROM = 44, 50
"""A start of the energy of LARGE says that most sizes may have been cut; of more than WIDE_FROM, where they are not, that most
residuals pass what symbols tell under plain predictors."""
ESCAPE = 15
TO_THE_END = 15
LONG_RUN = 14
LONG_RUN_BITS = 20


@njit(**INLINED)
def energy_index(s):
    """Half octaves of an energy: 0 to 3 as they are, then two a doubling."""
    if s < 4:
        return s
    length = bit_length(s)
    return 2 * length + ((s >> (length - 2)) & 1) - 2


@njit(**INLINED)
def size_of(r, most):
    """|r|, at most most; the lowest int64 has no positive twin and is large, too."""
    a = -r if r < 0 else r
    return min(a, most) if a >= 0 else most


@njit(**INLINED)
def widths(predictor):
    """The predictor's plain form, and how large a residual and the start of the energy count at most."""
    if predictor == at.LAST_WIDE:
        return np.int64(at.LAST), np.int64(SIZE_MAX_WIDE), np.int64(START_MAX_WIDE)
    if predictor == at.LINEAR_WIDE:
        return np.int64(at.LINEAR), np.int64(SIZE_MAX_WIDE), np.int64(START_MAX_WIDE)
    return predictor, np.int64(SIZE_MAX), np.int64(START_MAX)


@njit(**INLINED)
def row_of(s, region):
    """Row of symbols under energy s, and the class that its symbol 0 stands for."""
    e = energy_index(s)
    return region + min(e, 20 + (e & 1)), max((e - 20) >> 1, 0)


@njit(**INNER)
def put_residuals(to, region, residuals, first, n, s, leaps, most):
    """Code residuals[first:n], s the energy before them. region: its first row. leaps: an escape sets the energy at once. most: see size_of."""
    state, out, models, _decisions = to
    rows = rows_of(models)
    low, rng, pos = state[0], state[1], state[2]
    i = first
    while i < n:
        r = residuals[i]
        if s == 0:
            end = i
            while end < n and residuals[end] == 0:
                end += 1
            run = end - i
            symbol = TO_THE_END if end == n else min(bit_length(run), LONG_RUN)
            low, rng, pos = put_symbol(low, rng, pos, out, rows, region + at.RUN, symbol)
            if symbol == TO_THE_END:
                break
            width = LONG_RUN_BITS if symbol == LONG_RUN else symbol - (symbol > 0)
            low, rng, pos = put_bits(low, rng, pos, out, run, width)
            i = end
            r = residuals[i]
        row, lowest = row_of(s, region)
        a = -r if r < 0 else r
        c = bit_length(a)
        symbol = c - lowest
        if symbol < 0 or symbol >= ESCAPE:
            low, rng, pos = put_symbol(low, rng, pos, out, rows, row, ESCAPE)
            low, rng, pos = put_bits(low, rng, pos, out, c, 7)
            if leaps:
                s = size_of(r, most) << 4
        else:
            low, rng, pos = put_symbol(low, rng, pos, out, rows, row, symbol)
        low, rng, pos = put_bits(low, rng, pos, out, (a << 1) | np.int64(r < 0), c)
        s += ((size_of(r, most) << 4) - s) >> ENERGY_SHIFT
        i += 1
    state[0], state[1], state[2] = low, rng, pos


@njit(**INNER)
def get_residuals(code, rng, pos, data, rows, region, residuals, first, n, s, leaps, most):
    """Inverse of put_residuals: ok, code, rng, pos."""
    i = first
    while i < n:
        if s == 0:
            symbol, code, rng, pos = get_symbol(code, rng, pos, data, rows, region + at.RUN)
            run = n - i
            if symbol != TO_THE_END:
                width = LONG_RUN_BITS if symbol == LONG_RUN else symbol - (symbol > 0)
                run, code, rng, pos = get_bits(code, rng, pos, data, width)
                if 0 < symbol < LONG_RUN:
                    run |= np.int64(1) << (symbol - 1)
                if run >= n - i:
                    return False, code, rng, pos
            residuals[i : i + run] = 0
            i += run
            if i == n:
                break
        row, lowest = row_of(s, region)
        symbol, code, rng, pos = get_symbol(code, rng, pos, data, rows, row)
        c = symbol + lowest
        if symbol == ESCAPE:
            c, code, rng, pos = get_bits(code, rng, pos, data, 7)
            if c > 64:
                return False, code, rng, pos
        r = np.int64(0)
        if c > 0:
            rest, code, rng, pos = get_bits(code, rng, pos, data, c)
            a = (np.int64(1) << (c - 1)) | ((rest >> 1) & ((np.int64(1) << (c - 1)) - 1))
            r = -a if rest & 1 else a
        residuals[i] = r
        if leaps and symbol == ESCAPE:
            s = size_of(r, most) << 4
        s += ((size_of(r, most) << 4) - s) >> ENERGY_SHIFT
        i += 1
    return True, code, rng, pos


@njit(**INNER)
def differences(x, n, predictor, base, drift, residuals):
    """residuals[i] = x[i] - predict(x, i, predictor, base), from 1 on unless the base predicts; a loop each, for speed."""
    if predictor == at.MEAN:
        for i in range(n):
            residuals[i] = x[i] - base
        return
    if predictor == at.DRIFT:
        for i in range(1, n):
            residuals[i] = x[i] - x[i - 1] - drift
        return
    if predictor > at.LEVEL_STEP:
        for i in range(n):
            residuals[i] = x[i]
        for order in range(1, predictor - at.HIGHER + 1):
            differ(residuals, n, order)
        return
    for i in range(1, min(n, 4)):
        residuals[i] = x[i] - predict(x, i, predictor, base)
    if predictor == at.LAST:
        for i in range(4, n):
            residuals[i] = x[i] - x[i - 1]
    elif predictor == at.LINEAR:
        for i in range(4, n):
            residuals[i] = x[i] - 2 * x[i - 1] + x[i - 2]
    elif predictor == at.HALF_LINEAR:
        for i in range(4, n):
            residuals[i] = x[i] - x[i - 1] - ((x[i - 1] - x[i - 2]) >> 1)
    elif predictor == at.MEAN_2:
        for i in range(4, n):
            residuals[i] = x[i] - x[i - 1] - ((x[i - 2] - x[i - 1]) >> 1)
    else:
        for i in range(4, n):
            past = x[i - 2] + x[i - 3] + x[i - 4] - 3 * x[i - 1]
            residuals[i] = x[i] - x[i - 1] - (past >> 2)


@njit(**INLINED)
def predict(x, i, predictor, base):
    """Prediction of x[i] from what stands before it; before the first stands the base."""
    if predictor == at.MEAN:
        return base
    x1 = x[i - 1]
    if predictor == at.LAST or i < 2:
        return x1
    x2 = x[i - 2]
    if predictor == at.LINEAR:
        return 2 * x1 - x2
    if predictor == at.HALF_LINEAR:
        return x1 + ((x1 - x2) >> 1)
    if predictor == at.MEAN_2 or i < 4:
        return x1 + ((x2 - x1) >> 1)
    return x1 + ((x2 - x1 + x[i - 3] - x1 + x[i - 4] - x1) >> 2)


@njit(**INNER)
def add_up(x, n, predictor, base, drift):
    """Inverse of differences, in place: x holds residuals, and from 0 on numbers. A loop each, for speed."""
    if predictor == at.MEAN:
        for i in range(n):
            x[i] += base
        return
    x[0] = base
    if predictor == at.DRIFT:
        for i in range(1, n):
            x[i] += x[i - 1] + drift
        return
    if predictor > at.LEVEL_STEP:
        for order in range(predictor - at.HIGHER, 0, -1):
            for i in range(order, n):
                x[i] += x[i - 1]
        return
    for i in range(1, min(n, 4)):
        x[i] += predict(x, i, predictor, base)
    if predictor == at.LAST:
        for i in range(4, n):
            x[i] += x[i - 1]
    else:
        for i in range(4, n):
            x[i] += predict(x, i, predictor, base)


@njit(**INNER)
def start_of(residuals, first, n):
    """Bits of 16 times the mean size, where the energy starts."""
    total = np.int64(0)
    for i in range(first, n):
        total += size_of(residuals[i], np.int64(SIZE_MAX))
    count = n - first
    return bit_length(16 * (total // count) + 16 * (total % count) // count)


@njit(**INNER)
def wide_start_of(residuals, first, n):
    """The same where sizes count up to SIZE_MAX_WIDE: their sum would pass 2**63."""
    total = np.int64(0)
    for i in range(first, n):
        total += size_of(residuals[i], np.int64(SIZE_MAX_WIDE)) >> 20
    return bit_length(total // (n - first)) + 24


@njit(**INNER)
def put_integers(to, count, part, x, n, level, search):
    """Code x[:n], and the count decisions before them; part is the region of models. Returns 0 decisions."""
    decisions = to[3]
    predictor, levels, _cost = choose(x, n, level, search)
    if predictor in (at.LEVEL, at.LEVEL_STEP):
        count = put_tree(decisions, count, at.PREDICTOR + 16 * part, predictor, 4) if n > 1 else count
        return put_levels(to, count, part, x, n, predictor, levels, search)
    base = mean_of(x, n) if predictor == at.MEAN else x[0]
    first = 0 if predictor == at.MEAN else 1
    drift = drift_of(x, n) if predictor == at.DRIFT else np.int64(0)
    residuals = search[3]
    differences(x, n, predictor, base, drift, residuals)
    start = start_of(residuals, first, n) if first < n else np.int64(0)
    if start >= LARGE and n > 1 and predictor <= at.MEAN_4 and wide_start_of(residuals, first, n) > WIDE_FROM:
        if predictor != at.LAST and predictor != at.LINEAR:
            predictor, base, first = np.int64(at.LAST), x[0], 1
            differences(x, n, predictor, base, drift, residuals)
        predictor += at.LAST_WIDE - at.LAST
        start = wide_start_of(residuals, first, n)
    if n > 1:
        count = put_tree(decisions, count, at.PREDICTOR + 16 * part, predictor, 4)
    count = put_number(decisions, count, at.BASE + 64 * part, fold(base))
    if predictor == at.DRIFT:
        count = put_number(decisions, count, at.STEP + 64 * part, fold(drift))
    if first == n:
        return settle(to, count)
    _plain, most, start_max = widths(predictor)
    settle(to, put_tree(decisions, count, at.START + 64 * part, start, 6))
    s = (np.int64(3) << min(start, start_max)) >> 2
    put_residuals(
        to, part * at.REGION_ROWS, residuals, first, n, s, at.LEVEL_STEP < predictor < at.LAST_WIDE, most
    )
    return 0


@njit(**INNER)
def get_integers(code, rng, pos, data, models, part, x, n, keys):
    """Inverse of put_integers into x[:n]: ok, code, rng, pos."""
    rows = rows_of(models)
    predictor = np.int64(at.LAST)
    if n > 1:
        predictor, code, rng, pos = get_tree(code, rng, pos, data, models, at.PREDICTOR + 16 * part, 4)
    if predictor in (at.LEVEL, at.LEVEL_STEP):
        return get_levels(code, rng, pos, data, models, part, x, n, predictor, keys)
    number, code, rng, pos = get_number(code, rng, pos, data, models, at.BASE + 64 * part)
    base = unfold(number)
    drift = np.int64(0)
    if predictor == at.DRIFT:
        number, code, rng, pos = get_number(code, rng, pos, data, models, at.STEP + 64 * part)
        drift = unfold(number)
    predictor, most, start_max = widths(predictor)
    first = 0 if predictor == at.MEAN else 1
    ok = True
    if first < n:
        start, code, rng, pos = get_tree(code, rng, pos, data, models, at.START + 64 * part, 6)
        s = (np.int64(3) << min(start, start_max)) >> 2
        leaps = at.LEVEL_STEP < predictor < at.LAST_WIDE
        ok, code, rng, pos = get_residuals(
            code, rng, pos, data, rows, part * at.REGION_ROWS, x, first, n, s, leaps, most
        )
    add_up(x, n, predictor, base, drift)
    return ok, code, rng, pos
