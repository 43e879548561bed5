"""The column: samples of one signal in one window, as the codec takes and gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUALITY_GOOD = 0
QUALITY_SUSPECT = 1
"""A detector guard refused the value (out of range, too fast)."""
QUALITY_INJECTED = 2
"""The value was altered or made by a fault injector."""


@dataclass(frozen=True, slots=True)
class Column:
    """Samples of one signal.

    t_ns: int64[n], monotonic ns, strictly ascending. values: [n] of float64, float32, any integer width, bool, or
    object (str) for short strings; enum codes travel as uint16. quality: uint8[n], or None when all are good.
    """

    signal_id: int
    t_ns: NDArray[np.int64]
    values: NDArray[Any]
    quality: NDArray[np.uint8] | None = None
