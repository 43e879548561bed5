"""Which predictor, or which table of levels, makes an integer array smallest; the format is free of this choice.

int64[n] -> the predictor of layout.py and a count of levels. Costs are integers in 1/8 bits, estimated from the sizes of
residuals, so that the choice, and with it the bytes, is the same on every processor.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from vantel.codec import layout as at
from vantel.codec.coder import INLINED, INNER, bit_length, bits_of, fold

SPANS, SPAN = 4, 32
"""Predictors are compared on so many samples of so many numbers."""
FEW = 4
"""Of more levels, the models of all pairs learn too slowly for batches of some dozen."""
LONG = 512
"""Of fewer numbers, all are looked at as fast as samples."""
QUIET = 14
"""An estimate of so many 1/8 bits a value is that of a signal which hardly moves: no table of levels will beat it."""


@njit(**INLINED)
def lg(r):
    """About 8 log2(|r| + 0.7), from the exponent and a straight line within it; an integer."""
    return (bits_of(abs(np.float64(r)) + 0.7) - 4604480259023595110) >> 49


@njit(**INLINED)
def span_of(k, n):
    """First and end of sample k, 0 to SPANS - 1, of n numbers: all of them in the first where they are few."""
    if n <= SPANS * SPAN + 4:
        return (4, n) if k == 0 else (n, n)
    first = 4 + k * (n - 4 - SPAN) // (SPANS - 1)
    return first, first + SPAN


@njit(**INNER)
def last_cost(x, n):
    """Estimated size of the differences of x[:n], 1/8 bits."""
    cost = np.int64(0)
    if n < 8:
        for i in range(1, n):
            cost += lg(x[i] - x[i - 1])
        return cost
    seen = 0
    for k in range(SPANS):
        first, end = span_of(k, n)
        seen += end - first
        for i in range(first, end):
            cost += lg(x[i] - x[i - 1])
    return cost * n // seen


@njit(**INNER)
def differ(d, n, order):
    """In place: from differences of order - 1 to those of order; the first have no others before them and stay."""
    last = d[order - 1]
    for i in range(order, n):
        held = d[i]
        d[i] = held - last
        last = held


@njit(**INNER)
def smoothest(x, n, d):
    """Order of differences, 1 to ORDER_MAX, with the smallest estimate, and that, of the samples alone; d int64[n] is scratch. n >= 8.

    It ends where an order gains nothing over the one before.
    """
    for i in range(n):
        d[i] = x[i]
    differ(d, n, 1)
    order = 1
    least = np.int64(0)
    while True:
        cost = np.int64(0)
        for k in range(SPANS):
            first, end = span_of(k, n)
            for i in range(first, end):
                cost += lg(d[i])
        if order > 1 and cost >= least:
            return order - 1, least
        least = cost
        if order == at.ORDER_MAX:
            return order, least
        order += 1
        differ(d, n, order)


@njit(**INNER)
def distinct(x, first, n, limit, search):
    """Count of distinct numbers of x[:n] (differences if first is 1), limit + 1 if there are more or they come too fast.

    search: (table int64[1024], keys int64[256], pairs int64[256], places int64[n]). keys gets them in order of first
    use, places the index of each into keys; table holds an index into keys plus one, and is cleared here.
    """
    table, keys, _pairs, places = search
    mask = 255 if limit <= 96 else 1023
    table[: mask + 1] = 0
    count = 0
    for i in range(first, n):
        number = x[i] - x[i - 1] if first else x[i]
        slot = ((number * -7046029254386353131) >> 50) & mask
        while table[slot] and keys[table[slot] - 1] != number:
            slot = (slot + 1) & mask
        if not table[slot]:
            if count == limit or count > 32 + (i >> 1):
                return limit + 1
            keys[count] = number
            count += 1
            table[slot] = count
        places[i] = table[slot] - 1
    return count


@njit(**INNER)
def too_many(x, first, n, cost, search):
    """Whether levels of numbers (of differences if first is 1) cannot be cheaper than cost, by the entropy of the samples.

    The entropy of few is less than that of all, so it rarely says so of what is. Nothing is said where pairs may matter.
    """
    if n < LONG:
        return False
    table, keys, counts, _places = search
    table[:256] = 0
    count = 0
    seen = 0
    for k in range(SPANS):
        begin, end = span_of(k, n)
        seen += end - begin
        for i in range(begin, end):
            number = x[i] - x[i - 1] if first else x[i]
            slot = ((number * -7046029254386353131) >> 50) & 255
            while table[slot] and keys[table[slot] - 1] != number:
                slot = (slot + 1) & 255
            if not table[slot]:
                keys[count] = number
                counts[count] = 0
                count += 1
                table[slot] = count
            counts[table[slot] - 1] += 1
    if count <= 2 * at.LEVELS_PAIRED_MAX:
        return False
    entropy = seen * lg(seen)
    for k in range(count):
        entropy -= counts[k] * lg(counts[k])
    return entropy * n // seen + 16 * count >= cost


@njit(**INNER)
def sort_levels(first, n, count, search):
    """Sort the keys that distinct found, as Shell did (NumPy's sort takes a second to compile), and let places follow them."""
    table, keys, order, places = search
    for k in range(count):
        order[k] = k
    gap = 121
    while gap > 0:
        for k in range(gap, count):
            key, held = keys[k], order[k]
            place = k
            while place >= gap and keys[place - gap] > key:
                keys[place], order[place] = keys[place - gap], order[place - gap]
                place -= gap
            keys[place], order[place] = key, held
        gap //= 3
    for k in range(count):
        table[order[k]] = k
    for i in range(first, n):
        places[i] = table[places[i]]


@njit(**INNER)
def level_cost(first, n, count, cost_max, search):
    """Estimated cost of levels in 1/8 bits: the entropy of the index, and the keys, which it sorts as sort_levels does.

    At least cost_max, and nothing sorted, where the entropy alone makes levels too dear.
    """
    _table, keys, pairs, places = search
    paired = count <= at.LEVELS_PAIRED_MAX
    size = count * count if paired else count
    pairs[:size] = 0
    before = 0
    for i in range(first, n):
        k = places[i]
        pairs[before + k] += 1
        before = k * count if paired else 0
    cost = 56 + 16 * count
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
            # what a row costs until it knows its followers
            cost += total * (lg(total) + 4) + max(10 * used, 2 * lg(count) if paired else 0)
    if cost >= cost_max:
        return max(cost, cost_max)
    sort_levels(first, n, count, search)
    cost += 8 * bit_length(fold(keys[0]))
    for k in range(1, count):
        cost += 8 * bit_length(keys[k] - keys[k - 1])
    return cost


@njit(**INNER)
def choose(x, n, level, search):
    """Cheapest predictor of x[:n] and, for levels, how many: sorted in the keys of search, with their places; its estimate in 1/8 bits. n >= 1."""
    c1 = c2 = c3 = c4 = c5 = c6 = c0 = np.int64(0)
    base, drift = mean_of(x, n), drift_of(x, n)
    if n < 8:
        for i in range(n):
            c0 += lg(x[i] - base)
        c1 = last_cost(x, n)
        return (at.MEAN if c0 < c1 else at.LAST), 0, min(c0, c1)
    seen = 0
    for k in range(SPANS):
        first, end = span_of(k, n)
        seen += end - first
        for i in range(first, end):
            x0, x1, x2 = x[i], x[i - 1], x[i - 2]
            c0 += lg(x0 - base)
            c1 += lg(x0 - x1)
            c2 += lg(x0 - 2 * x1 + x2)
            c3 += lg(x0 - x1 - ((x1 - x2) >> 1))
            c4 += lg(x0 - x1 - ((x2 - x1) >> 1))
            c6 += lg(x0 - x1 - drift)
            c5 += lg(x0 - x1 - ((x2 - x1 + x[i - 3] - x1 + x[i - 4] - x1) >> 2))
    best, cost = at.MEAN, c0
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
    if c6 + (bit_length(fold(drift)) + 6) * 8 * seen // n + 2 * seen < cost:
        best, cost = at.DRIFT, c6
    if best == at.LINEAR:
        order, cost = smoothest(x, n, search[3])
        best = at.HIGHER + order if order > 2 else best
    cost = cost * n // seen + 15 * n  # class, sign and what adaptation loses: about 1.9 bits a value
    if level == 0 or cost < QUIET * n:
        return best, 0, cost
    return with_levels(x, n, best, cost, search)


@njit(**INNER)
def with_levels(x, n, best, cost, search):
    """The predictor best of this cost, or levels if they cost less: as choose."""
    levels = 0
    limit = min(at.LEVELS_MAX, n // 3)
    values, steps = np.int64(0), np.int64(1)
    count = np.int64(0)
    if not too_many(x, values, n, cost, search):
        count = distinct(x, values, n, limit, search)
    if 0 < count <= limit:
        other = level_cost(values, n, count, cost, search)
        if other < cost:
            best, cost, levels = at.LEVEL, other, count
    if 0 < count <= FEW:  # pairs of values tell as much as differences
        return best, levels, cost
    count = np.int64(0)
    if not too_many(x, steps, n, cost, search):
        count = distinct(x, steps, n, limit, search)
    if 0 < count <= limit:
        other = level_cost(steps, n, count, cost, search) + 8 * bit_length(fold(x[0])) + 56
        if other < cost:
            best, cost, levels = at.LEVEL_STEP, other, count
    if best == at.LEVEL:
        # the look at the differences took its place
        distinct(x, values, n, limit, search)
        sort_levels(values, n, levels, search)
    return best, levels, cost


@njit(**INNER)
def drift_of(x, n):
    """The mean difference; any number does for the format."""
    return (x[n - 1] - x[0]) // (n - 1) if n > 1 else np.int64(0)


@njit(**INNER)
def mean_of(x, n):
    """x[0] plus the mean distance from it; any number does for the format."""
    total = np.int64(0)
    for i in range(n):
        total += x[i] - x[0]
    return x[0] + total // n
