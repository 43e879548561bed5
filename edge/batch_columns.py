"""Typed columns from samples in float64: what the type of each signal can hold, and how it is stored.

(slot, t, value, quality) in stream order -> list[Column] in the order of slots, times in monotonic ns. Integers and
booleans are exact or refused. float32 is used where it holds every value of the column exactly; otherwise the column
stays float64, for no bit of a value may change on the way. Text codes become str. Pure; never fails on data.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from edge.model import TextTable
from vantel.catalog import Catalog, SignalType
from vantel.codec import Plan
from vantel.columns import Column
from vantel.kernel import kernel

_BELOW_2_63 = float(np.nextafter(2.0**63, 0.0))
_BELOW_2_64 = float(np.nextafter(2.0**64, 0.0))
_WHOLE_RANGE = {
    SignalType.INT64: (-(2.0**63), _BELOW_2_63),
    SignalType.UINT64: (0.0, _BELOW_2_64),
    SignalType.BOOL: (0.0, 1.0),
    SignalType.ENUM: (0.0, 65_535.0),
    SignalType.STRING: (0.0, _BELOW_2_63),
}
"""Types that hold whole numbers only, and from where to where."""


def plan_of(catalog: Catalog) -> Plan:
    """What the codec may know of floats: scale and offset of the signals that a source has raw values of."""
    pairs = {signal.id: (signal.scale, signal.offset) for signal in catalog.signals}
    return Plan.of_scales({key: pair for key, pair in pairs.items() if pair != (1.0, 0.0) and pair[0] != 0.0})


@kernel(
    numba.void(
        types.Array(types.int32, 1, "C", readonly=True),
        types.Array(types.float64, 1, "C", readonly=True),
        numba.boolean[::1],
        numba.float64[::1],
        numba.float64[::1],
        numba.boolean[::1],
    )
)
def _fits(slot, value, whole, low, high, out):  # type: ignore[no-untyped-def]
    """slot int32[n], value float64[n] -> out bool[n], see Representable.mask.

    By signal: whole (whole numbers from low to high only).
    """
    for i in range(slot.shape[0]):
        s, v = slot[i], value[i]
        out[i] = s >= 0 and (not whole[s] or (v == np.floor(v) and low[s] <= v <= high[s]))


class Representable:
    """Which values the types of a catalog can hold."""

    def __init__(self, catalog: Catalog) -> None:
        ranges = [_WHOLE_RANGE.get(signal.type) for signal in catalog.signals]
        self._whole = np.array([bounds is not None for bounds in ranges], np.bool_)
        self._low = np.array([bounds[0] if bounds else 0.0 for bounds in ranges], np.float64)
        self._high = np.array([bounds[1] if bounds else 0.0 for bounds in ranges], np.float64)

    def mask(self, slot: NDArray[np.int32], value: NDArray[np.float64]) -> NDArray[np.bool_]:
        """True where value fits the type of its signal; False for a negative slot, which is no sample any more."""
        fits = np.empty(len(slot), np.bool_)
        _fits(
            np.ascontiguousarray(slot, np.int32), np.ascontiguousarray(value, np.float64), self._whole, self._low,
            self._high, fits,
        )  # fmt: skip
        return fits


def columns_of(
    catalog: Catalog,
    texts: TextTable,
    slot: NDArray[np.int32],
    t_ns: NDArray[np.int64],
    value: NDArray[np.float64],
    quality: NDArray[np.uint8],
) -> list[Column]:
    """Columns of samples that Representable lets through; the arrays given are copied, not kept."""
    order = np.argsort(slot, kind="stable")
    sorted_slot, sorted_t, sorted_value, sorted_quality = (
        slot[order],
        t_ns[order],
        value[order],
        quality[order],
    )
    firsts = np.flatnonzero(np.diff(sorted_slot, prepend=-1))
    columns = []
    for first, last in zip(firsts, [*firsts[1:], len(sorted_slot)], strict=True):
        signal = catalog.signals[int(sorted_slot[first])]
        marks = sorted_quality[first:last]
        columns.append(
            Column(
                signal.id,
                sorted_t[first:last],
                typed(signal.type, sorted_value[first:last], texts),
                marks if marks.any() else None,
            )
        )
    return columns


def typed(kind: SignalType, value: NDArray[np.float64], texts: TextTable) -> NDArray[Any]:
    """Values of one column in the type in which they travel."""
    if kind is SignalType.FLOAT32:
        with np.errstate(over="ignore"):
            narrow = value.astype(np.float32)
        exact = np.array_equal(narrow.astype(np.float64).view(np.int64), value.view(np.int64))
        return narrow if exact else value
    if kind is SignalType.INT64:
        return value.astype(np.int64)
    if kind is SignalType.UINT64:
        return value.astype(np.uint64)
    if kind is SignalType.BOOL:
        return value.astype(np.bool_)
    if kind is SignalType.ENUM:
        return value.astype(np.uint16)
    if kind is SignalType.STRING:
        codes, index = np.unique(value, return_inverse=True)
        return np.array([texts.text(code) for code in codes], dtype=object)[index]
    return value
