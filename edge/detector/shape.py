"""Odd shapes: how far is the newest window from the most alike of those before it?

The left matrix profile (Yeh et al., "Matrix Profile I", ICDM 2016; causal as in Lu et al., "DAMP", KDD 2022) of tokens, means
over some samples, with the Euclidean distance of the values as they are. The past is the last PAST_TOKENS tokens.
"""

from __future__ import annotations

import math

import numba

from edge.detector.layout import PAST, PAST_TOKENS, TOKENS
from edge.detector.tail import TABLE
from vantel.kernel import kernel

WINDOW = 8
WINDOWS_MIN = 3 * WINDOW
"""Tokens before the first distance."""
_LAST = PAST + PAST_TOKENS - WINDOW

_I, _F = numba.int64, numba.float64


@kernel(numba.void(TABLE, _I, _F))
def remember(levels, s, token):  # type: ignore[no-untyped-def]
    """Put a token behind those that were."""
    for j in range(PAST, PAST + PAST_TOKENS - 1):
        levels[s, j] = levels[s, j + 1]
    levels[s, PAST + PAST_TOKENS - 1] = token
    levels[s, TOKENS] += 1.0


@kernel(_F(TABLE, _I), fastmath={"nnan", "nsz"})
def discord(levels, s):  # type: ignore[no-untyped-def]
    """Distance of the last WINDOW tokens to the nearest window that ends before they begin; -1 while few are known."""
    known = levels[s, TOKENS]
    if known < WINDOWS_MIN:
        return -1.0
    first = PAST + max(PAST_TOKENS - _I(known), 0)
    a, b, c, d = levels[s, _LAST], levels[s, _LAST + 1], levels[s, _LAST + 2], levels[s, _LAST + 3]
    e, f, g, h = levels[s, _LAST + 4], levels[s, _LAST + 5], levels[s, _LAST + 6], levels[s, _LAST + 7]
    least = 1e300
    for j in range(first, _LAST - WINDOW + 1):
        front = (levels[s, j] - a) ** 2 + (levels[s, j + 1] - b) ** 2 + (levels[s, j + 2] - c) ** 2
        middle = (levels[s, j + 3] - d) ** 2 + (levels[s, j + 4] - e) ** 2 + (levels[s, j + 5] - f) ** 2
        least = min(least, front + middle + (levels[s, j + 6] - g) ** 2 + (levels[s, j + 7] - h) ** 2)
    return math.sqrt(least)
