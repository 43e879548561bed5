"""Fourth step: columns to the fields that the database keeps. Pure; a function of one batch and its catalog.

Full fidelity: every sample at its own time. Rollup: numbers as name (last), name.min and name.max at the time of the
last sample that is a number; states (BOOL, ENUM, STRING) at each change, the first sample of the batch being one.
Times in: monotonic ns; out: Unix ns (offset added). NaN and infinities are left out of a rollup and counted.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from cloud.sink.lines import FieldColumn
from cloud.worker.steps.decode import NUMBERS
from vantel.catalog import Signal, SignalType
from vantel.columns import Column
from vantel.payloads import Fidelity


def fields_of(
    columns: Iterable[tuple[Signal, Column]], fidelity: Fidelity, offset_ns: int
) -> tuple[list[FieldColumn], int]:
    """Fields, and how many samples a rollup left out because they are no numbers."""
    fields: list[FieldColumn] = []
    left_out = 0
    for signal, column in columns:
        if len(column.t_ns) == 0:
            continue
        t_ns = column.t_ns + np.int64(offset_ns)
        if signal.type not in NUMBERS:
            fields.append(_states(signal, t_ns, column, fidelity))
        elif fidelity is Fidelity.FULL:
            numbers = column.values.astype(np.float64)
            fields.append(FieldColumn(signal.group, signal.name, t_ns, numbers.tolist()))
        else:
            summary, missing = _summary(signal, t_ns, column)
            fields += summary
            left_out += missing
    return fields, left_out


def _summary(signal: Signal, t_ns: NDArray[np.int64], column: Column) -> tuple[list[FieldColumn], int]:
    """Last, min, max of the finite samples."""
    numbers = column.values.astype(np.float64)
    finite = np.flatnonzero(np.isfinite(numbers))
    missing = len(numbers) - len(finite)
    if not len(finite):
        return [], missing
    good = numbers[finite]
    at = t_ns[finite[-1:]]
    values = {"": good[-1], ".min": good.min(), ".max": good.max()}
    return [
        FieldColumn(signal.group, signal.name + suffix, at, [float(value)])
        for suffix, value in values.items()
    ], missing


def _states(signal: Signal, t_ns: NDArray[np.int64], column: Column, fidelity: Fidelity) -> FieldColumn:
    """Every state, or in a rollup each change."""
    values = column.values
    if fidelity is not Fidelity.FULL:
        changed = np.concatenate(([True], values[1:] != values[:-1]))
        values, t_ns = values[changed], t_ns[changed]
    return FieldColumn(signal.group, signal.name, t_ns, _plain(signal, values.tolist()))


def _plain(signal: Signal, values: list[object]) -> list[bool] | list[str]:
    """States as bools or strs; a code without a label is its number as text."""
    if signal.type is SignalType.BOOL:
        return [bool(value) for value in values]
    if signal.type is SignalType.ENUM:
        labels = signal.labels
        codes = [int(value) for value in values]  # type: ignore[call-overload]
        return [labels[code] if 0 <= code < len(labels) else str(code) for code in codes]
    return [str(value) for value in values]
