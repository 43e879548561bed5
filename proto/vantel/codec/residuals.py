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
    NEW_CELL,
    OPTIONS,
    bit_length,
    fold,
    get,
    get_number,
    get_raw,
    get_tree,
    put,
    put_number,
    put_raw,
    put_tree,
    unfold,
)  # fmt: skip

ENERGY_SHIFT = 3
SIZE_MAX = 1 << 40


@njit(**OPTIONS)
def energy_index(s):
    """Half octaves of an energy: 0 to 3 as they are, then two a doubling."""
    if s < 4:
        return s
    length = bit_length(s)
    return 2 * length + ((s >> (length - 2)) & 1) - 2


@njit(**OPTIONS)
def put_residual(low, rng, pos, out, models, region, r, s, run, sign):
    """Code one residual r under energy s, after run zeros, the last residual having had this sign (0, 1, 2)."""
    e = energy_index(s)
    t = max((e - 8) >> 1, 0)
    row = region + min(e, 20 + (e & 1)) * at.STEPS
    a = -r if r < 0 else r
    c = bit_length(a)
    first = region + at.ZERO_RUN + run if s == 0 else row
    low, rng, pos = put(low, rng, pos, out, models, first, c > t)
    if c > t:
        j = 1
        while t + j < 64:
            low, rng, pos = put(low, rng, pos, out, models, row + min(j, 7), c > t + j)
            if c <= t + j:
                break
            j += 1
    else:
        j = 1
        while t - j >= 0:
            low, rng, pos = put(low, rng, pos, out, models, row + 7 + min(j, 8), c > t - j)
            if c > t - j:
                break
            j += 1
    if c == 0:
        return low, rng, pos
    low, rng, pos = put(low, rng, pos, out, models, region + at.SIGN + sign, r < 0)
    if c >= 2:
        k = min(c, 19)
        one = (a >> (c - 2)) & 1
        low, rng, pos = put(low, rng, pos, out, models, region + at.MANTISSA_1 + k, one)
        if c >= 3:
            low, rng, pos = put(
                low, rng, pos, out, models, region + at.MANTISSA_2 + 2 * k + one, (a >> (c - 3)) & 1
            )
            if c > 3:
                low, rng, pos = put_raw(low, rng, pos, out, a, c - 3)
    return low, rng, pos


@njit(**OPTIONS)
def get_residual(code, rng, pos, data, models, region, s, run, sign):
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
    negative, code, rng, pos = get(code, rng, pos, data, models, region + at.SIGN + sign)
    a = np.int64(1)
    if c >= 2:
        k = min(c, 19)
        one, code, rng, pos = get(code, rng, pos, data, models, region + at.MANTISSA_1 + k)
        a = 2 + one
        if c >= 3:
            two, code, rng, pos = get(code, rng, pos, data, models, region + at.MANTISSA_2 + 2 * k + one)
            a = 2 * a + two
            if c > 3:
                rest, code, rng, pos = get_raw(code, rng, pos, data, c - 3)
                a = (a << (c - 3)) | rest
    return (-a if negative else a), code, rng, pos


@njit(**OPTIONS)
def size_of(r):
    """|r|, at most SIZE_MAX; the lowest int64 has no positive twin and is large, too."""
    a = -r if r < 0 else r
    return min(a, np.int64(SIZE_MAX)) if a >= 0 else np.int64(SIZE_MAX)


@njit(**OPTIONS)
def learn(r, s, run, sign):
    """Energy, run of zeros and sign after residual r."""
    s += ((size_of(r) << 4) - s) >> ENERGY_SHIFT
    if r == 0:
        return s, min(run + 1, 40), sign
    return s, 0, 2 if r < 0 else 1


@njit(**OPTIONS)
def run_class(run):
    """0 to 3."""
    return (run > 9) + (run > 19) + (run > 39)


@njit(**OPTIONS)
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
def put_integers(low, rng, pos, out, models, part, x, n, level, table, keys, pairs):
    """Code x[:n], n >= 1, in region part."""
    predictor, levels = choose(x, n, level, table, keys, pairs)
    region = part * at.RESIDUAL_CELLS
    if n > 1:
        low, rng, pos = put_tree(low, rng, pos, out, models, at.PREDICTOR + 16 * part, predictor, 4)
    if predictor in (at.LEVEL, at.LEVEL_STEP):
        return put_levels(low, rng, pos, out, models, part, x, n, predictor, levels, keys)
    base = mean_of(x, n) if predictor == at.MEAN else x[0]
    low, rng, pos = put_number(low, rng, pos, out, models, at.BASE + 128 * part, fold(base))
    first = 0 if predictor == at.MEAN else 1
    if first == n:
        return low, rng, pos
    total = np.int64(0)
    for i in range(first, n):
        total += size_of(x[i] - predict(x, i, predictor, base))
    start = bit_length((16 * (total // (n - first))) + 16 * (total % (n - first)) // (n - first))
    low, rng, pos = put_tree(low, rng, pos, out, models, at.START + 64 * part, start, 6)
    s = (np.int64(3) << start) >> 2
    run = 0
    sign = 0
    for i in range(first, n):
        r = x[i] - predict(x, i, predictor, base)
        low, rng, pos = put_residual(low, rng, pos, out, models, region, r, s, run_class(run), sign)
        s, run, sign = learn(r, s, run, sign)
    return low, rng, pos


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
    number, code, rng, pos = get_number(code, rng, pos, data, models, at.BASE + 128 * part)
    base = unfold(number)
    first = 0 if predictor == at.MEAN else 1
    x[0] = base
    if first == n:
        return True, code, rng, pos
    start, code, rng, pos = get_tree(code, rng, pos, data, models, at.START + 64 * part, 6)
    s = (np.int64(3) << min(start, 48)) >> 2
    run = 0
    sign = 0
    for i in range(first, n):
        r, code, rng, pos = get_residual(code, rng, pos, data, models, region, s, run_class(run), sign)
        x[i] = r + predict(x, i, predictor, base)
        s, run, sign = learn(r, s, run, sign)
    return True, code, rng, pos


@njit(**OPTIONS)
def level_bits(count):
    """Bits of an index below count."""
    return bit_length(np.int64(count - 1))


@njit(**OPTIONS)
def put_levels(low, rng, pos, out, models, part, x, n, predictor, count, keys):
    """Sorted levels, then the index of each number."""
    low, rng, pos = put_number(low, rng, pos, out, models, at.COUNT, count)
    low, rng, pos = put_number(low, rng, pos, out, models, at.BASE + 128 * part, fold(keys[0]))
    for k in range(1, count):
        low, rng, pos = put_number(low, rng, pos, out, models, at.STEP + 128 * part, keys[k] - keys[k - 1])
    first = 0
    if predictor == at.LEVEL_STEP:
        low, rng, pos = put_number(low, rng, pos, out, models, at.BASE + 128 * part, fold(x[0]))
        first = 1
    width = level_bits(count)
    models[at.LEVELS : at.LEVELS + at.LEVEL_CELLS] = NEW_CELL
    row = at.LEVELS
    for i in range(first, n):
        number = x[i] - x[i - 1] if predictor == at.LEVEL_STEP else x[i]
        k = np.searchsorted(keys[:count], number)
        low, rng, pos = put_tree(low, rng, pos, out, models, row, k, width)
        if count <= at.LEVELS_PAIRED_MAX:
            row = at.LEVELS + 16 * k
    return low, rng, pos


@njit(**OPTIONS)
def get_levels(code, rng, pos, data, models, part, x, n, predictor, keys):
    """Inverse of put_levels: ok, code, rng, pos."""
    count, code, rng, pos = get_number(code, rng, pos, data, models, at.COUNT)
    if count < 1 or count > at.LEVELS_MAX:
        return False, code, rng, pos
    number, code, rng, pos = get_number(code, rng, pos, data, models, at.BASE + 128 * part)
    keys[0] = unfold(number)
    for k in range(1, count):
        number, code, rng, pos = get_number(code, rng, pos, data, models, at.STEP + 128 * part)
        keys[k] = keys[k - 1] + number
    first = 0
    if predictor == at.LEVEL_STEP:
        number, code, rng, pos = get_number(code, rng, pos, data, models, at.BASE + 128 * part)
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
