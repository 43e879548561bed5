"""Arrays that a kernel uses at every call, handed over as one table of addresses.

Numba looks at each array argument of each call: its type, its shape, its owner. A kernel that is called hundreds of times a
second, for little, with thirty arrays that are always the same pays more for that than for its work (14 µs with cold caches,
5 with a table). Such a kernel takes an ArrayTable's rows, int64[arrays, 3], and makes arrays of them with vector() and matrix(),
which cost some instructions. Types are not checked there: one module should own both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array
from numpy.typing import NDArray

_COLUMNS = 3
_ROWS = types.Array(types.int64, 2, "C")


class ArrayTable:
    """Arrays of one or two dimensions, held as long as the table is.

    rows: int64[arrays, 3], what the kernel takes: address, length and width of each, in the order given.
    """

    def __init__(self, *arrays: NDArray[Any]) -> None:
        """ValueError for an array that is not C-contiguous and writable, or has more dimensions."""
        for at, array in enumerate(arrays):
            if not (array.flags.c_contiguous and array.flags.writeable and array.ndim in (1, 2)):
                raise ValueError(f"array {at} of a table must be contiguous, writable, of 1 or 2 dimensions")
        self._held = arrays
        rows = [(array.ctypes.data, *array.shape, 1)[:_COLUMNS] for array in arrays]
        self.rows = np.array(rows, np.int64).reshape(-1, _COLUMNS)


@intrinsic
def vector(_context: Any, _rows: Any, _at: Any, dtype: Any) -> Any:
    """In a kernel: array number `at` of a table, of one dimension and this NumPy type."""
    return _array_of(dtype, 1)


@intrinsic
def matrix(_context: Any, _rows: Any, _at: Any, dtype: Any) -> Any:
    """As vector(), of two dimensions."""
    return _array_of(dtype, 2)


def _array_of(dtype: Any, dimensions: int) -> tuple[Any, Callable[..., Any]]:
    """Typing and code of an array structure around memory that somebody else owns, as Numba's carray() makes it; that one
    cannot be returned from a function without Numba's runtime."""
    array_type = types.Array(dtype.dtype, dimensions, "C")

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        def number(value: int) -> Any:
            return context.get_constant(types.intp, value)

        table = make_array(_ROWS)(context, builder, arguments[0])  # type: ignore[no-untyped-call]
        first = builder.mul(arguments[1], number(_COLUMNS))
        row = [
            builder.load(builder.gep(table.data, [builder.add(first, number(k))])) for k in range(_COLUMNS)
        ]
        element = context.get_data_type(array_type.dtype)
        size = number(context.get_abi_sizeof(element))
        array = make_array(array_type)(context, builder)  # type: ignore[no-untyped-call]
        populate_array(  # type: ignore[no-untyped-call]
            array,
            data=builder.inttoptr(row[0], element.as_pointer()),
            shape=row[1 : 1 + dimensions],
            strides=[size] if dimensions == 1 else [builder.mul(row[2], size), size],
            itemsize=size,
            meminfo=None,
        )
        return array._getvalue()

    return array_type(_ROWS, types.intp, dtype), generate
