"""Raw values times a step plus an offset, both found again from the floats (docs/format.md, section 7.5, modes 5 and 7).

A sensor's step is often no decimal (9.80665/2048, 3.3/4095, pi/180/16.4), a bus has offsets that bring rounding of their
own (raw * 0.1 - 780). Euclid's algorithm on the distances tells the step; zero, or a decimal of few digits, is looked for
as the offset that gives every value back; else the nearest line stands, and what is off by last places is coded beside it.
Only +, -, *, / and rounding to even of float64.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from vantel.codec import layout as at
from vantel.codec.choosing import last_cost, lg
from vantel.codec.coder import INNER, bits_of, float_of, narrow_bits_of, narrow_float_of
from vantel.codec.integers import POWERS, ROUND, WHOLE_MAX, rounded
from vantel.codec.lattice import real_gcd, sharpened
from vantel.codec.words import MINUS_ZERO, places_between

RAW_EXPONENT = 31
"""In place of a power of ten: step and offset are bit patterns."""
TOLERANCE = 2.0**-44
TOLERANCE_NARROW = 2.0**-22
"""How far roundings move a distance, relative to the largest value: two of them, and those of an offset some hundred times as large."""
NEIGHBOURS = 2
SAMPLES = 64
"""So many floats on either side of a step are tried, on so many values."""
LARGEST = 1e300
DIGITS_MAX = 1000
LONG = 512
"""Offsets of up to two digits are tried, and negative ones of three where so many values make up for the search."""
SHIFT_MIN, SHIFT_MAX = 3, 32
"""And powers of two, and one less, times the step: the middle of raw values of so many bits."""
BEYOND = 0.02
"""A candidate for the offset may be so far from a multiple of the step."""


@njit(**INNER)
def multiples(v, words, n, negative, narrow, step, offset, x, u, most):
    """x so that words are the patterns of x * step + offset moved by u last places; how many u are not 0, n + 1 if more than most.

    Values that are not finite repeat the x before.
    """
    count = 0
    for i in range(n):
        u[i] = 0
        if v[i] - v[i] != 0.0:
            x[i] = x[i - 1] if i else 0
            continue
        y = (v[i] - offset) / step
        if not abs(y) < WHOLE_MAX:
            return n + 1
        whole = (y + ROUND) - ROUND
        x[i] = np.int64(whole)
        word = bits_of(rounded(whole * step + offset, narrow))
        if word != words[i] and not (negative and word == 0 and words[i] == MINUS_ZERO):
            count += 1
            if count > most:
                return n + 1
            u[i] = places_between(words[i], word, narrow)
    return count


@njit(**INNER)
def neighbour(step, k, narrow):
    """The float k last places above step, a float32 if narrow."""
    return narrow_float_of(narrow_bits_of(step) + k) if narrow else float_of(bits_of(step) + k)


@njit(**INNER)
def through_zero(v, words, n, negative, narrow, step, x, u):
    """The step, near this one, whose multiples miss the fewest values, and how many: 0 is not bettered.

    A float64 is told to its last places by its largest multiple alone, a float32 needs least squares.
    """
    fitted = step
    if narrow:
        up = down = 0.0
        for i in range(n):
            whole = (v[i] / step + ROUND) - ROUND if v[i] - v[i] == 0.0 else 0.0
            up += whole * v[i] if whole != 0.0 else 0.0
            down += whole * whole
        fitted = up / down
    few = min(n, SAMPLES)
    best, least = fitted, multiples(v, words, few, negative, narrow, fitted, 0.0, x, u, few)
    for j in range(2 * NEIGHBOURS + 1):
        if least == 0:
            break
        k = ((j + 1) >> 1) * (1 - 2 * (j & 1))
        near = neighbour(fitted, k, narrow)
        count = multiples(v, words, few, negative, narrow, near, 0.0, x, u, least - 1)
        if count < least:
            best, least = near, count
    return best, multiples(v, words, n, negative, narrow, best, 0.0, x, u, n)


@njit(**INNER)
def decimal_of(step, slack):
    """The decimal of the fewest places within slack, relative, of step; 0.0 if slack would let any pass."""
    for e in range(18):
        y = step * POWERS[e]
        if not y * slack < 0.01:
            return 0.0
        whole = (y + ROUND) - ROUND
        if whole >= 1.0 and abs(y - whole) <= y * slack:
            return whole / POWERS[e]
    return 0.0


@njit(**INNER)
def first_miss(v, words, n, negative, step, offset, start):
    """Place of the first finite value, from start on and around, that is not exactly a multiple of step plus offset; n if all are."""
    for j in range(n):
        i = start + j if start + j < n else start + j - n
        if v[i] - v[i] != 0.0:
            continue
        y = (v[i] - offset) / step
        if not abs(y) < WHOLE_MAX:
            return i
        word = bits_of(((y + ROUND) - ROUND) * step + offset)
        if word != words[i] and not (negative and word == 0 and words[i] == MINUS_ZERO):
            return i
    return n


@njit(**INNER)
def offset_for(v, words, n, first, negative, step, error):
    """An offset with which every value is exact, of few digits or the middle of the raw values; 0.0 if none is found.

    error: how far values lie from the line. It is about the last place of the largest of offset and raw value times step.
    Where one candidate missed the next is tried first: it mostly misses there too, and a signal that stands still for long
    would have each gone through to the end of that.
    """
    low, high = error * 2.0**50, error * 2.0**54
    inverse = 1.0 / step
    missed = first
    for j in range(SHIFT_MIN, SHIFT_MAX + 1):
        for less in range(2):
            offset = -step * np.float64((np.int64(1) << j) - less)
            if not low <= -offset <= high:
                continue
            place = first_miss(v, words, n, negative, step, offset, missed)
            if place == n:
                return offset
            missed = place
    for few in range(2 if n >= LONG else 1):
        begin, end = (1, 100) if few == 0 else (100, DIGITS_MAX)
        for power in range(-9, 6):
            least = low * POWERS[-power] if power < 0 else low / POWERS[power]
            if not least < end:
                continue
            for digits in range(max(begin, np.int64(least)), end):
                size = digits / POWERS[-power] if power < 0 else digits * POWERS[power]
                if size > high:
                    break
                if size < low or digits % 10 == 0:
                    continue
                for sign in range(2 - few):
                    offset = size if sign else -size
                    y = (v[first] - offset) * inverse
                    if not abs(y - ((y + ROUND) - ROUND)) < BEYOND:
                        continue
                    place = first_miss(v, words, n, negative, step, offset, missed)
                    if place == n:
                        return offset
                    missed = place
    return 0.0


@njit(**INNER)
def slope_of(d, n, step):
    """The step again, by least squares of distances d[n] over their multiples of it."""
    over = upon = 0.0
    for i in range(n):
        over += (d[i] / step + ROUND) - ROUND
        upon += d[i]
    over /= n
    upon /= n
    up = down = 0.0
    for i in range(n):
        along = (d[i] / step + ROUND) - ROUND - over
        up += along * (d[i] - upon)
        down += along * along
    return up / down


@njit(**INNER)
def off_line(d, n, step):
    """By how much distances d[n] lie above their multiples of step: the middle, and how far from it at most."""
    low = high = 0.0
    for i in range(n):
        above = d[i] - ((d[i] / step + ROUND) - ROUND) * step
        low, high = min(low, above), max(high, above)
    return (low + high) / 2.0, (high - low) / 2.0


@njit(**INNER)
def set_apart(v, n, special):
    """Places of values that are not finite, into special: how many, or n if more than may stand by themselves."""
    count = 0
    for i in range(n):
        if v[i] - v[i] != 0.0:
            special[count] = i
            count += 1
            if count > n // 8 + 1:
                return n
    return count


@njit(**INNER)
def distances(v, n, d):
    """d as the distances of finite v from the one before, 0.0 for others: the place of the first, and the largest size."""
    first = last = -1
    largest = 0.0
    for i in range(n):
        d[i] = 0.0
        if v[i] - v[i] == 0.0:
            if first < 0:
                first = last = i
            d[i] = v[i] - v[last]
            last = i
            largest = max(largest, abs(v[i]))
    return first, largest


@njit(**INNER)
def try_affine(v, words, n, negative, narrow, x, u, d, special, params):
    """x, u and params (P_ in layout.py) of a step and an offset: how many u are not 0, or n + 1 if nothing fits.

    special int64[n] gets the places of values that are not finite. d float64[n] is scratch.
    """
    count = set_apart(v, n, special)
    params[at.P_SPECIALS] = count
    first, largest = distances(v, n, d)
    if count == n or not 0.0 < largest < LARGEST:
        return n + 1
    tolerance = largest * (TOLERANCE_NARROW if narrow else TOLERANCE)
    step = real_gcd(d, n, tolerance)
    if step == 0.0:
        return n + 1
    # so far the distances were those of neighbours: small multiples, which errors of the step do not reach
    widest = 0.0
    for i in range(n):
        d[i] = v[i] - v[first] if v[i] - v[i] == 0.0 else 0.0
        widest = max(widest, abs(d[i]))
    step = sharpened(d, n, step)
    slack = tolerance / widest
    zero, misses = 0.0, n + 1
    if largest / step * slack < 0.25 and largest / step > 0.5:
        zero = largest / ((largest / step + ROUND) - ROUND)
        zero, misses = through_zero(v, words, n, negative, narrow, zero, x, u)
    offset = 0.0
    if misses > 0 and not narrow:
        decimal = decimal_of(step, slack)
        if decimal > 0.0:
            error = off_line(d, n, decimal)[1]
            offset = offset_for(v, words, n, first, negative, decimal, error)
            zero = decimal if offset != 0.0 else zero
    if misses > 0 and offset == 0.0:
        return nearest_line(v, words, n, first, negative, narrow, step, zero, misses, x, u, d, params)
    set_affine(zero, offset, params)
    return multiples(v, words, n, negative, narrow, zero, offset, x, u, 0)


@njit(**INNER)
def nearest_line(v, words, n, first, negative, narrow, step, zero, misses, x, u, d, params):
    """The better of the line through all values and of the one through zero, which misses some: as try_affine."""
    cost = np.int64(1) << 62
    if misses <= n:
        multiples(v, words, n, negative, narrow, zero, 0.0, x, u, n)
        cost = places_cost(u, n)
    slope = slope_of(d, n, step) if narrow else step
    offset = v[first] + off_line(d, n, slope)[0]
    offset -= ((offset / slope + ROUND) - ROUND) * slope
    count = multiples(v, words, n, negative, narrow, slope, offset, x, u, n)
    if misses <= n and (count > n or places_cost(u, n) >= cost):
        slope, offset = zero, 0.0
        count = multiples(v, words, n, negative, narrow, slope, offset, x, u, n)
    set_affine(slope, offset, params)
    return count


@njit(**INNER)
def try_hint(v, words, n, negative, narrow, step, offset, x, u, special, params):
    """Whether every value that is finite is a multiple of step plus offset, exactly; then x and params are of AFFINE, and u is 0."""
    count = set_apart(v, n, special)
    params[at.P_SPECIALS] = count
    set_affine(step, offset, params)
    return count < n and multiples(v, words, n, negative, narrow, step, offset, x, u, 0) == 0


@njit(**INNER)
def places_cost(u, n):
    """Estimated size of corrections, 1/8 bits."""
    cost = np.int64(0)
    for i in range(n):
        cost += lg(u[i]) + 12
    return cost


@njit(**INNER)
def affine_cost(x, u, n, misses):
    """Estimated size of what try_affine found, 1/8 bits."""
    return last_cost(x, n) + (places_cost(u, n) if misses else 0) + 1024


@njit(**INNER)
def set_affine(step, offset, params):
    """P_POWER, P_MULTIPLIER and P_OFFSET of params: as decimals with one number of places, else as patterns."""
    for e in range(POWERS.shape[0]):
        m = step * POWERS[e]
        o = offset * POWERS[e]
        if not (m < WHOLE_MAX and abs(o) < WHOLE_MAX):
            break
        m = (m + ROUND) - ROUND
        o = (o + ROUND) - ROUND
        if m / POWERS[e] == step and o / POWERS[e] == offset:
            params[at.P_POWER] = e
            params[at.P_MULTIPLIER] = np.int64(m)
            params[at.P_OFFSET] = np.int64(o)
            return
    params[at.P_POWER] = RAW_EXPONENT
    params[at.P_MULTIPLIER] = bits_of(step)
    params[at.P_OFFSET] = bits_of(offset)


@njit(**INNER)
def step_and_offset(exponent, multiplier, offset):
    """Inverse of set_affine."""
    if exponent == RAW_EXPONENT:
        return float_of(multiplier), float_of(offset)
    return np.float64(multiplier) / POWERS[exponent], np.float64(offset) / POWERS[exponent]
