"""The order of the test files: those that take long first, so that no worker is left alone with one at the end.

Workers take whole files (--dist loadfile) in the order of collection (--no-loadscope-reorder).
"""

from __future__ import annotations

from pathlib import Path

import pytest

LONG_FIRST = ("e2e", "servers", "once")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        marks = {mark.name for mark in item.iter_markers()}
        return next((at for at, name in enumerate(LONG_FIRST) if name in marks), len(LONG_FIRST))

    ranks: dict[Path, int] = {}
    for item in items:
        ranks[item.path] = min(rank(item), ranks.get(item.path, len(LONG_FIRST)))
    items.sort(key=lambda item: ranks[item.path])
