"""Floats to integers and back, exact to the bit (docs/format.md, section 7.5): decimals, scaled raw values, binary fractions.

Sensors and buses give whole numbers times a step. Found again, the whole numbers cost far fewer bits than the floats.
Division by 10**e is exact where ALP's multiplication (Afroozeh, Kuffo, Boncz, SIGMOD 2023) is not; a value that is off
by some last places keeps the difference as a correction; what fits nothing (NaN, infinities, odd zeros) stands by itself.
Only +, -, *, / and rounding to even of float64, so every processor finds the same.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from vantel.codec import layout as at
from vantel.codec.coder import INNER, bit_length, bits_of, float_of

POWERS = np.array([float(10**e) for e in range(23)])
EXPONENT_MAX = 17
ROUND = 6755399441055744.0
"""1.5 * 2**52: added and taken away, it rounds a float64 below 2**51 to a whole number, to even."""
WHOLE_MAX = 2251799813685248.0
TOLERANCE = 2.0**-49
TOLERANCE_NARROW = 2.0**-23
LOOSE_MAX = 2.0**44
LOOSE_MAX_NARROW = 2.0**20
CANCELLED = 2.0**-24
"""A raw value with an offset taken away keeps the last places of the offset: so far from whole is whole all the same."""
PROBES = 16
"""So many values tell the places of most decimals, before all are looked at."""
OFFSETS = np.array(
    [-40, -50, -100, -250, -500, -1000, -273, 40, -6000, -180, -90, -5000, -128, -20, -10, -30]
)
"""Offsets that makers of buses like, tried when none is given."""
NO_MODE = -1


@njit(**INNER)
def rounded(value, narrow):
    """value as its column holds it."""
    return np.float64(np.float32(value)) if narrow else value


@njit(**INNER)
def value_of(x, mode, multiplier, exponent, offset, narrow):
    """The float of whole number x: x / 10**exponent, or x * step + offset with a step of multiplier / 10**exponent."""
    if mode == at.SCALED or (mode == at.CORRECTED and multiplier != 0):
        step = np.float64(multiplier) / POWERS[exponent]
        return rounded(np.float64(x) * step + np.float64(offset), narrow)
    return rounded(np.float64(x) / POWERS[exponent], narrow)


@njit(**INNER)
def printed(single):
    """The float64 that the shortest decimal form of a float32 (given as float64) reads as; single itself if none is found."""
    for e in range(POWERS.shape[0]):
        y = single * POWERS[e]
        if not abs(y) < WHOLE_MAX:
            return single
        whole = (y + ROUND) - ROUND
        if np.float64(np.float32(whole / POWERS[e])) == single:
            return whole / POWERS[e]
    return single


@njit(**INNER)
def all_printed(v, words, n):
    """Every value is what a float32 reads as once printed; a text log leaves such values."""
    for i in range(n):
        if v[i] - v[i] != 0.0 or bits_of(printed(np.float64(np.float32(v[i])))) != words[i]:
            return False
    return True


@njit(**INNER)
def is_special(v, word, zeros_negative):
    """What no whole number stands for: NaN, infinities, and zeros of the sign that is not the column's."""
    if v - v != 0.0:
        return True
    return v == 0.0 and (word < 0) != zeros_negative


@njit(**INNER)
def decimal_exponent(v, n, step, narrow):
    """Of every step-th value: smallest e so that all but n / 8 values are within a few last places of a whole number / 10**e; NO_MODE if none."""
    e = 0
    misses = 0
    tolerance = TOLERANCE_NARROW if narrow else TOLERANCE
    loose = LOOSE_MAX_NARROW if narrow else LOOSE_MAX
    for i in range(0, n, step):
        if v[i] - v[i] != 0.0:
            misses += 1
            if misses > n // 8 + 1:
                return NO_MODE
            continue
        k = e
        while True:
            y = v[i] * POWERS[k]
            size = abs(y)
            if size < WHOLE_MAX:
                whole = (y + ROUND) - ROUND
                if size < loose:
                    if abs(y - whole) <= max(size * tolerance, CANCELLED):
                        e = k
                        break
                elif rounded(whole / POWERS[k], narrow) == v[i]:
                    e = k
                    break
            k += 1
            if k > EXPONENT_MAX or size >= WHOLE_MAX:
                misses += 1
                break
        if misses > n // 8 + 1:
            return NO_MODE
    return e


@njit(**INNER)
def all_decimal(v, n, power, x):
    """x = v * power, rounded; whether every v comes back from it. No branch in the loop: most signals pass, and fast."""
    off = np.int64(0)
    for i in range(n):
        y = v[i] * power
        whole = (y + ROUND) - ROUND
        x[i] = np.int64(whole)
        off += (whole / power != v[i]) or not abs(y) < WHOLE_MAX
    return off == 0


@njit(**INNER)
def try_decimal(v, n, narrow, x, special, params):
    """x and params (P_ in layout.py) of DECIMAL, SCALED or CORRECTED; the mode or NO_MODE. The sign of a zero is not looked at.

    special int64[n] gets the places of values that stand by themselves; x repeats the number before there.
    """
    params[at.P_MULTIPLIER] = 1
    params[at.P_OFFSET] = 0
    params[at.P_SPECIALS] = 0
    e = decimal_exponent(v, n, n // PROBES + 1, narrow)
    if e >= 0 and not narrow and all_decimal(v, n, POWERS[e], x):
        params[at.P_POWER] = e
        return at.DECIMAL
    e = decimal_exponent(v, n, np.int64(1), narrow)
    if e < 0:
        return NO_MODE
    power = POWERS[e]
    params[at.P_POWER] = e
    step = 1.0 / power
    tolerance = TOLERANCE_NARROW if narrow else TOLERANCE
    count = 0
    off_divided = 0
    off_multiplied = 0
    for i in range(n):
        if v[i] - v[i] == 0.0:
            y = v[i] * power
            if abs(y) < WHOLE_MAX:
                whole = (y + ROUND) - ROUND
                divided = rounded(whole / power, narrow) == v[i]
                if divided or abs(y - whole) <= max(abs(y) * tolerance, CANCELLED):
                    x[i] = np.int64(whole)
                    off_divided += not divided
                    off_multiplied += rounded(whole * step, narrow) != v[i]
                    continue
        x[i] = x[i - 1] if i else 0
        special[count] = i
        count += 1
        if count > n // 8 + 1:
            return NO_MODE
    params[at.P_SPECIALS] = count
    if off_divided == 0:
        return at.DECIMAL
    if off_multiplied == 0:
        return at.SCALED
    mode = try_scaled(v, n, e, narrow, x, special, count, params)
    if mode != NO_MODE:
        return mode
    if off_divided > off_multiplied:
        return at.CORRECTED
    params[at.P_MULTIPLIER] = 0
    return at.CORRECTED


@njit(**INNER)
def gcd_of(x, n):
    """Greatest common divisor of the differences to x[0], 0 if all are equal; 1 where a difference passes int64."""
    g = np.int64(0)
    for i in range(1, n):
        d = x[i] - x[0]
        if d == 0:
            continue
        if (d < 0) != (x[i] < x[0]):
            return np.int64(1)
        d = -d if d < 0 else d
        if d < 0:
            return np.int64(1)
        if g and d % g == 0:
            continue
        while d:
            g, d = d, g % d
        if g == 1:
            return g
    return g


@njit(**INNER)
def try_scaled(v, n, e, narrow, x, special, count, params):
    """x as raw * step + offset with a step of g / 10**e; SCALED if that gives every value, else NO_MODE and x as it was."""
    g = gcd_of(x, n)
    for k in range(-1, OFFSETS.shape[0]):
        offset = np.int64(0) if k < 0 else OFFSETS[k]
        shift = offset * np.int64(POWERS[min(e, 9)])
        if e > 9 and offset != 0:
            continue
        for wide in range(2):
            m = np.int64(1) if wide == 0 else g
            if wide and (g <= 1 or (x[0] - shift) % g != 0):
                continue
            step = np.float64(m) / POWERS[e]
            fits = True
            j = 0
            for i in range(n):
                if j < count and special[j] == i:
                    j += 1
                    continue
                q = (x[i] - shift) // m
                if rounded(np.float64(q) * step + np.float64(offset), narrow) != v[i]:
                    fits = False
                    break
            if fits:
                for i in range(n):
                    x[i] = (x[i] - shift) // m
                params[at.P_MULTIPLIER] = m
                params[at.P_OFFSET] = offset
                return at.SCALED
    return NO_MODE


@njit(**INNER)
def try_dyadic(v, words, n, x, special, params, zeros_negative):
    """x as v * 2**k with the smallest k that makes all whole: True if they fit 62 bits. P_POWER of params is k."""
    lowest = 4000
    highest = -4000
    count = 0
    for i in range(n):
        if is_special(v[i], words[i], zeros_negative):
            special[count] = i
            count += 1
            if count > n // 8 + 1:
                return False
            continue
        if v[i] == 0.0:
            continue
        exponent = (words[i] >> 52) & 2047
        mantissa = words[i] & 0xFFFFFFFFFFFFF
        if exponent == 0:
            return False
        mantissa |= 0x10000000000000
        zeros = bit_length(mantissa & -mantissa) - 1
        lowest = min(lowest, exponent - 1075 + zeros)
        highest = max(highest, exponent - 1022)
    if lowest > highest:
        lowest = 0
    elif highest - lowest > 62 or lowest < -1000 or lowest > 900:
        return False
    scale = float_of(np.int64(1023 - lowest) << 52)
    for i in range(n):
        x[i] = np.int64(v[i] * scale) if v[i] - v[i] == 0.0 else np.int64(0)
    for j in range(count):
        i = special[j]
        x[i] = x[i - 1] if i else 0
    params[at.P_POWER] = -lowest
    params[at.P_SPECIALS] = count
    return True
