"""Integers to bits and back: predictor, residuals in contexts of their energy, levels (docs/format.md, section 7.4).

int64[n] <-> the range coder. All arithmetic is modulo 2**64, so no difference can overflow. The class of a residual is
its bit length, coded from the length that its neighbours let expect; the idea of an energy context is that of lossless
audio and image coders (Weinberger, Seroussi, Sapiro 2000, LOCO-I).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from vantel.codec import layout as at
from vantel.codec.choosing import choose, mean_of
from vantel.codec.coder import (
    BLOCK,
    INLINED,
    NEW_CELL,
    OPTIONS,
    bit_length,
    fold,
    get,
    get_number,
    get_raw,
    get_tree,
    make_room,
    put_number,
    put_raw,
    put_tree,
    settle,
    unfold,
)  # fmt: skip

ENERGY_SHIFT = 3
SIZE_MAX = 1 << 40


@njit(**INLINED)
def energy_index(s):
    """Half octaves of an energy: 0 to 3 as they are, then two a doubling."""
    if s < 4:
        return s
    length = bit_length(s)
    return 2 * length + ((s >> (length - 2)) & 1) - 2


@njit(**INLINED)
def put_residual(decisions, count, region, r, s, run):
    """Note one residual r under energy s, after a run of zeros of this class."""
    e = energy_index(s)
    t = max((e - 8) >> 1, 0)
    row = region + min(e, 20 + (e & 1)) * at.STEPS
    a = -r if r < 0 else r
    c = bit_length(a)
    first = region + at.ZERO_RUN + run if s == 0 else row
    up = np.int64(c > t)
    # what is noted last is the class: most lie so close that writing four and counting fewer beats a loop
    far = abs(c - t)
    length = far if up else min(far + 1, t)
    cells = row + 7 - 7 * up
    decisions[count] = (first << 1) | up
    decisions[count + 1] = ((cells + 1) << 1) | np.int64(far > 1 if up else far == 0)
    decisions[count + 2] = ((cells + 2) << 1) | np.int64(far > 2 if up else far == 1)
    decisions[count + 3] = ((cells + 3) << 1) | np.int64(far > 3 if up else far == 2)
    for j in range(4, length + 1):
        decisions[count + j] = ((cells + min(j, 8 - up)) << 1) | np.int64(far > j if up else far == j - 1)
    count += 1 + length - (c == 64 and up)
    return put_raw(decisions, count, (a << 1) | np.int64(r < 0), c)


@njit(**INLINED)
def get_residual(code, rng, pos, data, models, region, s, run):
    """Inverse of put_residual: r, code, rng, pos."""
    e = energy_index(s)
    t = max((e - 8) >> 1, 0)
    row = region + min(e, 20 + (e & 1)) * at.STEPS
    first = region + at.ZERO_RUN + run if s == 0 else row
    bit, code, rng, pos = get(code, rng, pos, data, models, first)
    if bit:
        j = 1
        while t + j < 64:
            bit, code, rng, pos = get(code, rng, pos, data, models, row + min(j, 7))
            if not bit:
                break
            j += 1
        c = t + j
    else:
        j = 1
        while t - j >= 0:
            bit, code, rng, pos = get(code, rng, pos, data, models, row + 7 + min(j, 8))
            if bit:
                break
            j += 1
        c = max(t - j + 1, 0)
    if c == 0:
        return np.int64(0), code, rng, pos
    rest, code, rng, pos = get_raw(code, rng, pos, data, c)
    a = (np.int64(1) << (c - 1)) | ((rest >> 1) & ((np.int64(1) << (c - 1)) - 1))
    return (-a if rest & 1 else a), code, rng, pos


@njit(**INLINED)
def size_of(r):
    """|r|, at most SIZE_MAX; the lowest int64 has no positive twin and is large, too."""
    a = -r if r < 0 else r
    return min(a, np.int64(SIZE_MAX)) if a >= 0 else np.int64(SIZE_MAX)


@njit(**INLINED)
def learn(r, s, run):
    """Energy and run of zeros after residual r."""
    s += ((size_of(r) << 4) - s) >> ENERGY_SHIFT
    return s, min(run + 1, 40) if r == 0 else 0


@njit(**INLINED)
def run_class(run):
    """0 to 3."""
    return (run > 9) + (run > 19) + (run > 39)


@njit(**OPTIONS)
def differences(x, n, predictor, base, residuals):
    """residuals[i] = x[i] - predict(x, i, predictor, base), from 1 on unless the base predicts; a loop each, for speed."""
    if predictor == at.MEAN:
        for i in range(n):
            residuals[i] = x[i] - base
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


@njit(**OPTIONS)
def put_integers(to, count, part, x, n, level, search):
    """Note x[:n], n >= 1, in region part; the new count. search: scratch of choosing.py."""
    decisions = to[3]
    predictor, levels = choose(x, n, level, search)
    region = part * at.RESIDUAL_CELLS
    if n > 1:
        count = put_tree(decisions, count, at.PREDICTOR + 16 * part, predictor, 4)
    if predictor in (at.LEVEL, at.LEVEL_STEP):
        return put_levels(to, count, part, x, n, predictor, levels, search)
    base = mean_of(x, n) if predictor == at.MEAN else x[0]
    count = put_number(decisions, count, at.BASE + 64 * part, fold(base))
    first = 0 if predictor == at.MEAN else 1
    if first == n:
        return count
    residuals = search[3]
    total = np.int64(0)
    differences(x, n, predictor, base, residuals)
    for i in range(first, n):
        total += size_of(residuals[i])
    start = bit_length((16 * (total // (n - first))) + 16 * (total % (n - first)) // (n - first))
    count = put_tree(decisions, count, at.START + 64 * part, start, 6)
    s = (np.int64(3) << start) >> 2
    run = 0
    for block in range(first, n, BLOCK):
        count = make_room(to, count)
        for i in range(block, min(block + BLOCK, n)):
            r = residuals[i]
            if r | s == 0:  # a signal at rest: one decision, and nothing to learn but the run
                decisions[count] = (region + at.ZERO_RUN + run_class(run)) << 1
                count += 1
                run = min(run + 1, 40)
                continue
            count = put_residual(decisions, count, region, r, s, run_class(run))
            s, run = learn(r, s, run)
    return count


@njit(**OPTIONS)
def get_integers(code, rng, pos, data, models, part, x, n, keys):
    """Inverse of put_integers into x[:n]: ok, code, rng, pos."""
    region = part * at.RESIDUAL_CELLS
    predictor = np.int64(at.LAST)
    if n > 1:
        predictor, code, rng, pos = get_tree(code, rng, pos, data, models, at.PREDICTOR + 16 * part, 4)
    if predictor in (at.LEVEL, at.LEVEL_STEP):
        return get_levels(code, rng, pos, data, models, part, x, n, predictor, keys)
    if predictor > at.MEAN_4:
        return False, code, rng, pos
    number, code, rng, pos = get_number(code, rng, pos, data, models, at.BASE + 64 * part)
    base = unfold(number)
    first = 0 if predictor == at.MEAN else 1
    x[0] = base
    if first == n:
        return True, code, rng, pos
    start, code, rng, pos = get_tree(code, rng, pos, data, models, at.START + 64 * part, 6)
    s = (np.int64(3) << min(start, 48)) >> 2
    run = 0
    for i in range(first, n):
        r, code, rng, pos = get_residual(code, rng, pos, data, models, region, s, run_class(run))
        x[i] = r + predict(x, i, predictor, base)
        s, run = learn(r, s, run)
    return True, code, rng, pos


@njit(**OPTIONS)
def level_bits(count):
    """Bits of an index below count."""
    return bit_length(np.int64(count - 1))


@njit(**OPTIONS)
def put_levels(to, count, part, x, n, predictor, levels, search):
    """Note sorted levels, then the index of each number."""
    _table, keys, _pairs, places = search
    decisions = to[3]
    count = put_number(decisions, count, at.COUNT, levels)
    count = put_number(decisions, count, at.BASE + 64 * part, fold(keys[0]))
    for k in range(1, levels):
        count = make_room(to, count)
        count = put_number(decisions, count, at.STEP + 64 * part, keys[k] - keys[k - 1])
    first = 0
    if predictor == at.LEVEL_STEP:
        count = put_number(decisions, count, at.BASE + 64 * part, fold(x[0]))
        first = 1
    count = settle(to, count)
    to[2][at.LEVELS : at.LEVELS + at.LEVEL_CELLS] = NEW_CELL
    width = level_bits(levels)
    row = at.LEVELS
    for block in range(first, n, BLOCK):
        count = make_room(to, count)
        for i in range(block, min(block + BLOCK, n)):
            count = put_tree(decisions, count, row, places[i], width)
            if levels <= at.LEVELS_PAIRED_MAX:
                row = at.LEVELS + 16 * places[i]
    return count


@njit(**OPTIONS)
def get_levels(code, rng, pos, data, models, part, x, n, predictor, keys):
    """Inverse of put_levels: ok, code, rng, pos."""
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
    width = level_bits(count)
    models[at.LEVELS : at.LEVELS + at.LEVEL_CELLS] = NEW_CELL
    row = at.LEVELS
    for i in range(first, n):
        k, code, rng, pos = get_tree(code, rng, pos, data, models, row, width)
        if k >= count:
            return False, code, rng, pos
        x[i] = x[i - 1] + keys[k] if predictor == at.LEVEL_STEP else keys[k]
        if count <= at.LEVELS_PAIRED_MAX:
            row = at.LEVELS + 16 * k
    return True, code, rng, pos
