"""Values that may be off by a bound: multiples of a step that floats hold exactly.

A step of (8 + j) / 8 * 2**k, j = 0 to 7, the largest that is at most twice the bound: its multiples are exact in float64,
so the codec finds the whole numbers again (docs/format.md, section 7.5, binary), and the bound loses at most a ninth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MULTIPLE_MAX = 2.0**48


def step_of(error_max: NDArray[np.float64]) -> NDArray[np.float64]:
    """The step for each bound, 0.0 where there is none (0, negative, not finite or out of the range of normal floats)."""
    usable = np.isfinite(error_max) & (error_max > 2.0**-960) & (error_max < 2.0**960)
    mantissa, exponent = np.frexp(np.where(usable, 2.0 * error_max, 1.0))
    # mantissa lies within [0.5, 1): eighths of its own octave are sixteenths
    return np.where(usable, np.ldexp(np.floor(mantissa * 16.0) / 16.0, exponent), 0.0)


def within(values: NDArray[Any], error_max: float | NDArray[np.float64]) -> NDArray[Any]:
    """values float64[n] or float32[n], each moved by at most its bound, in the unit of the values, to where it costs less.

    NaN, infinities and values so large that a multiple would not be exact stay as they are, as does all with a bound of 0.
    """
    step = np.broadcast_to(step_of(np.asarray(error_max, np.float64)), values.shape)
    wide = values.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        multiple = np.rint(wide / step)
        # adding 0.0 makes one zero of the two
        near = (multiple * step + 0.0).astype(values.dtype)
        fits = (step > 0.0) & (np.abs(multiple) < MULTIPLE_MAX)
        fits &= np.abs(near.astype(np.float64) - wide) <= error_max
    return np.where(fits, near, values)
