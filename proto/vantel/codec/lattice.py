"""The step of numbers that lie near multiples of one: a real greatest common divisor (docs/format.md, section 7.5).

A sensor's least step is often no decimal: 100/255 percent, pi/180/80 rad, an accelerometer's g/16384. Euclid's algorithm
with a tolerance finds it from the numbers alone; where the multiple is not met exactly, the difference is coded beside it.
Only +, -, *, / and rounding to even of float64.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from vantel.codec.coder import INNER
from vantel.codec.integers import ROUND

PROBES_MAX = 48
MULTIPLE_MAX = 2.0**24
CHANCE_MAX = 2.0**-20
BINARY_PLACES_MAX = 24
PRINTED = 2.0**-24
"""Half of the last of eight digits, relative to the number, at most."""
DISTANCE_MAX = 2**50
"""Farther from x[0], a multiple may pass what a float64 rounds to a whole number by adding 1.5 * 2**52."""


@njit(**INNER)
def real_gcd(d, n, tolerance):
    """Largest step that distances d float64[n], each within tolerance, are multiples of; 0.0 if there is none that they tell.

    Begins with the least distance, whose multiple is small, and carries along how far each remainder may be off: so it
    is known how likely distances that are no multiples would look as if they were.
    """
    largest = g = 0.0
    for i in range(n):
        b = abs(d[i])
        largest = max(largest, b)
        if b > tolerance and (g == 0.0 or b < g):
            g = b
    smallest = largest / MULTIPLE_MAX
    widest = g
    chance = 1.0
    used = 0
    for i in range(n):
        if not abs(d[i]) > tolerance:
            continue
        # a divisor and a remainder, and how far each may be off
        a, a_off = abs(d[i]), tolerance
        b, b_off = g, tolerance * g / widest
        while True:
            whole = (a / b + ROUND) - ROUND
            a, b = b, abs(a - b * whole)
            a_off, b_off = b_off, a_off + b_off * whole
            if b <= b_off:
                break
            if b < smallest:
                return 0.0
        if a < 0.75 * g:
            chance = 1.0
        chance *= min(2.0 * b_off / a, 1.0)
        widest = max(widest, abs(d[i]))
        g = widest / ((widest / a + ROUND) - ROUND)
        used += 1
        if used == PROBES_MAX:
            break
    return g if used > 2 and chance < CHANCE_MAX else 0.0


@njit(**INNER)
def sharpened(d, n, g):
    """The step again from ever larger distances, whose multiples the step so far still tells."""
    best = g
    for i in range(n):
        if abs(d[i]) > best:
            best = abs(d[i])
            g = best / ((best / g + ROUND) - ROUND)
    return g


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
