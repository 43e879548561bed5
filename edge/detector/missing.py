"""A share of NaN that is new: a CUSUM of the likelihood that samples are now missing half way to always (Page, 1954).

A share that was always there is ordinary, whatever it is: the slower ones of signals that are sampled together, say.
"""

from __future__ import annotations

import math

import numba
from numba import types

from vantel.kernel import kernel

SETTLED = 64
"""Samples before a share is known."""
_SHARE_MIN = 0.001
_MEMORY = 5000.0

_F = numba.float64


@kernel(types.UniTuple(_F, 2)(numba.boolean, _F, _F, _F, _F))
def learn_missing(missing, n, share, total, most):  # type: ignore[no-untyped-def]
    """(share of NaN so far, sum of the likelihood) after sample n > 0; the sum stays between 0 and most.

    A random share brings the sum to y once in exp(y) samples.
    """
    usual = min(max(share, 3.0 / n, _SHARE_MIN), 1.0)
    share += ((1.0 if missing else 0.0) - share) / min(n, _MEMORY)
    if n < SETTLED:
        return share, 0.0
    gain = math.log(0.5 * (1.0 + usual) / usual) if missing else -math.log(2.0)
    return share, min(max(total + gain, 0.0), most)
