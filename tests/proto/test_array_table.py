"""Arrays by address.

Goal: a kernel sees in a table the arrays that were put into it, and what no kernel could use is refused.
Method: a kernel that reads and writes places of every dimension and several types; arrays of every wrong kind.
"""

from __future__ import annotations

import gc

import numpy as np
import pytest

from vantel.array_table import ArrayTable, matrix, vector
from vantel.kernel import kernel


@kernel("int64(int64[:, ::1])")
def swap(table):  # type: ignore[no-untyped-def]
    """Put the sum of a row of shorts into the last place of a matrix, and its shape into what is returned."""
    shorts, numbers, bits = (
        vector(table, 0, np.uint16),
        matrix(table, 1, np.float64),
        vector(table, 2, np.uint64),
    )
    numbers[numbers.shape[0] - 1, numbers.shape[1] - 1] = shorts.sum()
    bits[bits.shape[0] - 1] = np.uint64(2**64 - 1)
    return shorts.shape[0] * 10_000 + numbers.shape[0] * 100 + numbers.shape[1]


def test_a_kernel_reads_and_writes_the_arrays_of_a_table() -> None:
    shorts, numbers, bits = np.arange(7, dtype=np.uint16), np.zeros((3, 5)), np.zeros(2, np.uint64)
    assert swap(ArrayTable(shorts, numbers, bits).rows) == 70_305
    assert numbers[2, 4] == 21.0
    assert np.count_nonzero(numbers) == 1
    assert bits.tolist() == [0, 2**64 - 1]


def test_a_table_holds_its_arrays() -> None:
    table = ArrayTable(np.full(1000, 3, np.uint16), np.zeros((2, 2)), np.zeros(1, np.uint64))
    gc.collect()
    others = [np.full(1000, 9, np.uint16) for _ in range(100)]
    assert swap(table.rows) == 10_000_000 + 202
    assert table._held[1][1, 1] == 3000.0
    assert len(others) == 100


def test_what_a_kernel_could_not_use_is_refused() -> None:
    frozen = np.zeros(3)
    frozen.flags.writeable = False
    for wrong in (
        np.zeros((4, 4))[:, 1],
        frozen,
        np.zeros((2, 2, 2)),
        np.zeros(()),
        np.zeros((3, 4), order="F"),
    ):
        with pytest.raises(ValueError, match="array 1 of a table"):
            ArrayTable(np.zeros(1), wrong)
