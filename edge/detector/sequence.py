"""Sequence novelty: how surprising is the next symbol after the three before it?

Prediction by partial matching over eight symbols (Cleary and Witten, 1984) with recursive Dirichlet smoothing, orders 0
to 3. Counts are uint8, eight to a context, halved when one is full, so old habits fade. Contexts of order 3 are hashed
into CONTEXTS_3 places: a collision makes a surprise smaller, never an error.
"""

from __future__ import annotations

import math

import numba
from numba import types

from edge.detector.layout import CONTEXTS_3, SYMBOLS

COUNT_TABLE = types.uint8[:, ::1]
_I, _F = numba.int64, numba.float64


@numba.njit(_I(_F), nogil=True, cache=True)
def symbol(z):  # type: ignore[no-untyped-def]
    """Symbol 0..7 of a standardised value: about equally likely for a bell, and the ends stand apart."""
    if z < 0.0:
        if z < -1.5:
            return 0
        return 1 if z < -0.9 else (2 if z < -0.4 else 3)
    if z < 0.4:
        return 4
    return 5 if z < 0.9 else (6 if z < 1.5 else 7)


@numba.njit(_F(COUNT_TABLE, _I, _I, _I), nogil=True, cache=True)
def surprise(counts, s, context, token):  # type: ignore[no-untyped-def]
    """Bits of surprise at token after context (the three tokens before, base SYMBOLS), and count it."""
    p = 1.0 / SYMBOLS
    for order in range(4):
        if order == 0:
            place = 0
        elif order == 1:
            place = 1 + context % SYMBOLS
        elif order == 2:
            place = 1 + SYMBOLS + context % (SYMBOLS * SYMBOLS)
        else:
            place = 1 + SYMBOLS + SYMBOLS * SYMBOLS + (context ^ ((context >> 7) * 29)) % CONTEXTS_3
        first = place * SYMBOLS
        total = 0
        for k in range(SYMBOLS):
            total += counts[s, first + k]
        p = (counts[s, first + token] + 2.0 * p) / (total + 2.0)
        if counts[s, first + token] == 255:
            for k in range(SYMBOLS):
                counts[s, first + k] >>= 1
        counts[s, first + token] += 1
    return -math.log2(p)
