"""The step of numbers that lie near multiples of one: a real greatest common divisor (docs/format.md, section 7.5).

A sensor's least step is often no decimal: 100/255 percent, pi/180/80 rad, an accelerometer's g/16384. Euclid's algorithm
with a tolerance finds it from the numbers alone; where the multiple is not met exactly, the difference is coded beside it.
Only +, -, *, / and rounding to even of float64.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from vantel.codec import layout as at
from vantel.codec.coder import INNER, bits_of, float_of
from vantel.codec.integers import ROUND, WHOLE_MAX, is_special, ordered

PROBES_MAX = 48
MULTIPLE_MAX = 2.0**24
NEIGHBOURS = 3
CORRECTION_MAX = 16
BINARY_PLACES_MAX = 24
PRINTED = 2.0**-24
"""Half of the last of eight digits, relative to the number, at most."""
DISTANCE_MAX = 2**50
"""Farther from x[0], a multiple may pass what a float64 rounds to a whole number by adding 1.5 * 2**52."""


@njit(**INNER)
def real_gcd(d, n, tolerance):
    """Largest step that the first distances d float64[n] are multiples of, within tolerance; 0.0 if it would be too small."""
    largest = 0.0
    for i in range(n):
        largest = max(largest, abs(d[i]))
    smallest = max(largest / MULTIPLE_MAX, 6.0 * tolerance)
    g = 0.0
    used = 0
    widest = 0.0
    for i in range(n):
        b = abs(d[i])
        if b <= tolerance:
            continue
        a = g
        widest = max(widest, b)
        if a == 0.0:
            g = b
            continue
        while b > tolerance:
            whole = (a / b + ROUND) - ROUND if a / b < WHOLE_MAX else 0.0
            a, b = b, abs(a - b * whole)
        if a < smallest:
            return 0.0
        # Euclid's remainders add up errors; the widest distance, a whole multiple, sets the step straight again
        g = widest / ((widest / a + ROUND) - ROUND)
        used += 1
        if used == PROBES_MAX:
            break
    return g if used > 2 else 0.0


@njit(**INNER)
def sharpened(d, n, g):
    """The step again from the largest distance, whose multiple the rough step still tells."""
    best = 0.0
    for i in range(n):
        best = max(best, abs(d[i]))
    whole = (best / g + ROUND) - ROUND
    return best / whole if whole >= 1.0 else g


@njit(**INNER)
def misses(v, words, n, negative, step, u):
    """How many of v are not the rounded multiple of step; u gets the difference in last places. n + 1 if some is far off."""
    count = 0
    for i in range(n):
        y = v[i] / step
        if is_special(v[i], words[i], negative) or not abs(y) < WHOLE_MAX:
            return n + 1
        whole = (y + ROUND) - ROUND
        u[i] = ordered(words[i]) - ordered(bits_of(whole * step)) if v[i] != 0.0 else 0
        if u[i] != 0:
            count += 1
            if abs(u[i]) > CORRECTION_MAX:
                return n + 1
    return count


@njit(**INNER)
def try_step(v, words, n, negative, x, u, params):
    """x so that v = x * step, rounded, plus u last places; P_STEP of params gets the step's pattern, P_CORRECTED whether u matters."""
    largest = 0.0
    for i in range(n):
        if not abs(v[i]) < 1e300:
            return False
        largest = max(largest, abs(v[i]))
    g = real_gcd(v, n, largest * 2.0**-44)
    if g == 0.0:
        return False
    g = sharpened(v, n, g)
    best = n + 1
    place = np.int64(0)
    for k in range(-NEIGHBOURS, NEIGHBOURS + 1):
        count = misses(v, words, n, negative, float_of(bits_of(g) + k), u)
        if count < best:
            best, place = count, k
            if count == 0:
                break
    if best > n:
        return False
    step = float_of(bits_of(g) + place)
    misses(v, words, n, negative, step, u)
    for i in range(n):
        x[i] = np.int64((v[i] / step + ROUND) - ROUND)
    params[at.P_SPECIALS] = 0
    params[at.P_STEP] = bits_of(step)
    params[at.P_CORRECTED] = best > 0
    return True


@njit(**INNER)
def on_lattice(x, n, d, tolerance):
    """Step of whole numbers around x[0] as a float64, or 0.0. d float64[n] is scratch."""
    for i in range(n):
        difference = x[i] - x[0]
        if (difference < 0) != (x[i] < x[0]) or abs(difference) > DISTANCE_MAX:
            return 0.0
        d[i] = np.float64(difference)
    g = real_gcd(d, n, tolerance)
    if g == 0.0:
        return 0.0
    return sharpened(d, n, g)


@njit(**INNER)
def binary_step(x, n, power):
    """Step of decimals, x / power, that were binary fractions before they were printed with eight digits; 0.0 if none.

    Euclid's algorithm fails where the rounding of each is large against the step; here the steps to try are known.
    """
    for k in range(BINARY_PLACES_MAX + 1):
        step = power / (np.int64(1) << k)
        fits = True
        for i in range(1, min(n, PROBES_MAX)):
            tolerance = 1.0 + (abs(np.float64(x[i])) + abs(np.float64(x[0]))) * PRINTED
            distance = np.float64(x[i] - x[0])
            if step < 6.0 * tolerance or not abs(distance) < DISTANCE_MAX:
                return 0.0
            if abs(distance - ((distance / step + ROUND) - ROUND) * step) > tolerance:
                fits = False
                break
        if fits:
            return step
    return 0.0
