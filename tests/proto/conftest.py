"""Gives the tests of the contract the slow reference decoder of this folder, and compares columns bit by bit."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vantel.columns import Column

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("contract_reference", HERE / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def plain(columns: Sequence[Column]) -> list[tuple[object, ...]]:
    """Columns as (id, kind, stamps, values as bit patterns, truth values or text, quality or None when all are good)."""
    out: list[tuple[object, ...]] = []
    for column in columns:
        values = np.asarray(column.values)
        kind = "str" if values.dtype.kind in "OU" else values.dtype.newbyteorder("=").name
        if kind in ("str", "bool"):
            shown = values.tolist()
        else:
            little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
            shown = little.view(f"<u{little.dtype.itemsize}").tolist()
        marks = None if column.quality is None else np.asarray(column.quality).tolist()
        quality = marks if marks is not None and any(marks) else None
        out.append((column.signal_id, kind, np.asarray(column.t_ns).tolist(), shown, quality))
    return out


@pytest.fixture(scope="session")
def as_plain() -> object:
    return plain
