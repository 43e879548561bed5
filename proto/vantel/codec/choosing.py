"""Which predictor, or which table of levels, makes an integer array smallest; the format is free of this choice.

int64[n] -> the predictor of layout.py and a count of levels. Costs are integers in 1/8 bits, estimated from the sizes of
residuals, so that the choice, and with it the bytes, is the same on every processor.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from vantel.codec import layout as at
from vantel.codec.coder import OPTIONS, bit_length, bits_of, fold


@njit(**OPTIONS)
def lg(r):
    """About 8 log2(|r| + 0.7), from the exponent and a straight line within it; an integer."""
    return (bits_of(abs(np.float64(r)) + 0.7) - 4604480259023595110) >> 49


@njit(**OPTIONS)
def last_cost(x, n):
    """Estimated size of the differences, 1/8 bits."""
    cost = np.int64(0)
    for i in range(1, n):
        cost += lg(x[i] - x[i - 1])
    return cost


@njit(**OPTIONS)
def distinct(x, n, limit, step, table, keys):
    """Distinct numbers of x[:n] (differences if step) into keys, in order of first use; limit + 1 if there are more.

    table int64[1024] holds an index into keys plus one, and is cleared here.
    """
    table[:] = 0
    count = 0
    for i in range(1 if step else 0, n):
        number = x[i] - x[i - 1] if step else x[i]
        slot = ((number * -7046029254386353131) >> 50) & 1023
        while table[slot] and keys[table[slot] - 1] != number:
            slot = (slot + 1) & 1023
        if not table[slot]:
            if count == limit:
                return limit + 1
            keys[count] = number
            count += 1
            table[slot] = count
    return count


@njit(**OPTIONS)
def level_cost(x, n, count, step, keys, pairs):
    """Estimated cost of levels in 1/8 bits: the sorted keys, and the entropy of the index; sorts keys."""
    keys[:count].sort()
    cost = 8 * bit_length(fold(keys[0])) + 56
    for k in range(1, count):
        cost += 8 * bit_length(keys[k] - keys[k - 1]) + 16
    paired = count <= at.LEVELS_PAIRED_MAX
    size = count * count if paired else count
    pairs[:size] = 0
    before = 0
    for i in range(1 if step else 0, n):
        number = x[i] - x[i - 1] if step else x[i]
        k = np.searchsorted(keys[:count], number)
        pairs[before * count + k if paired else k] += 1
        before = k
    rows = count if paired else 1
    for row in range(rows):
        total = 0
        used = 0
        for k in range(count):
            if pairs[row * count + k]:
                total += pairs[row * count + k]
                used += 1
                cost -= pairs[row * count + k] * (lg(pairs[row * count + k]) + 4)
        if total:
            cost += total * (lg(total) + 4) + 10 * used
    return cost


@njit(**OPTIONS)
def choose(x, n, level, table, keys, pairs):
    """Cheapest predictor of x[:n] and, for levels, how many (sorted in keys). n >= 1."""
    c1 = c2 = c3 = c4 = c5 = c0 = np.int64(0)
    base = mean_of(x, n)
    for i in range(n):
        c0 += lg(x[i] - base)
        if i >= 4:
            x0, x1, x2 = x[i], x[i - 1], x[i - 2]
            c1 += lg(x0 - x1)
            c2 += lg(x0 - 2 * x1 + x2)
            c3 += lg(x0 - x1 - ((x1 - x2) >> 1))
            c4 += lg(x0 - x1 - ((x2 - x1) >> 1))
            c5 += lg(x0 - x1 - ((x2 - x1 + x[i - 3] - x1 + x[i - 4] - x1) >> 2))
    if n < 8:
        best, cost = at.LAST, np.int64(0)
        for i in range(1, n):
            cost += lg(x[i] - x[i - 1])
        if c0 < cost:
            best, cost = at.MEAN, c0
        return best, 0
    best, cost = at.MEAN, c0 * (n - 4) // n
    if c1 <= cost:
        best, cost = at.LAST, c1
    if c2 < cost:
        best, cost = at.LINEAR, c2
    if c3 < cost:
        best, cost = at.HALF_LINEAR, c3
    if c4 < cost:
        best, cost = at.MEAN_2, c4
    if c5 < cost:
        best, cost = at.MEAN_4, c5
    cost += 15 * n  # class, sign and what adaptation loses: about 1.9 bits a value
    if level == 0:
        return best, 0
    levels = 0
    limit = min(at.LEVELS_MAX, n // 3)
    count = distinct(x, n, limit, False, table, keys)
    if 0 < count <= limit:
        other = level_cost(x, n, count, False, keys, pairs)
        if other < cost:
            best, cost, levels = at.LEVEL, other, count
    count = distinct(x, n, limit, True, table, keys)
    if 0 < count <= limit:
        other = level_cost(x, n, count, True, keys, pairs) + 8 * bit_length(fold(x[0])) + 56
        if other < cost:
            best, cost, levels = at.LEVEL_STEP, other, count
    if best == at.LEVEL:
        distinct(x, n, limit, False, table, keys)
        keys[:levels].sort()
    return best, levels


@njit(**OPTIONS)
def mean_of(x, n):
    """x[0] plus the mean distance from it; any number does for the format."""
    total = np.int64(0)
    for i in range(n):
        total += x[i] - x[0]
    return x[0] + total // n
