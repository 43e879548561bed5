"""Fixtures of the tests of sources: the data folder and a way to play a whole replay at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.clock import VanClock
from edge.model import SampleBlock, TextTable
from edge.settings import ReplaySource as ReplaySection
from edge.sources.replay import ReplaySource


@dataclass
class Played:
    """A replay that ran to its end, or until it was stopped."""

    source: ReplaySource
    blocks: list[SampleBlock]
    texts: TextTable

    @property
    def samples(self) -> list[tuple[str, int, float]]:
        """(name, t_ns, value) in stream order."""
        names = [signal.name for signal in self.source.signals()]
        return [
            (names[slot], t, value)
            for block in self.blocks
            for slot, t, value in zip(
                block.slot.tolist(), block.t_mono_ns.tolist(), block.value.tolist(), strict=True
            )
        ]

    def of(self, name: str) -> list[tuple[int, float]]:
        """(t_ns, value) of one signal."""
        return [(t, value) for known, t, value in self.samples if known == name]


@pytest.fixture(scope="session")
def data() -> Path:
    return Path(__file__).parents[2] / "data"


@pytest.fixture(scope="session")
def play() -> Callable[..., Played]:
    def run(
        recordings: list[dict[str, Any]],
        *,
        resume: int = 0,
        stop_after: int | None = None,
        cached_bytes_max: int = 1 << 26,
        clock: VanClock | None = None,
        **settings: Any,
    ) -> Played:
        settings.setdefault("speed", 0)
        texts = TextTable()
        section = ReplaySection(kind="replay", recordings=recordings, **settings)
        source = ReplaySource(section, clock or VanClock(), texts, resume, cached_bytes_max=cached_bytes_max)
        blocks: list[SampleBlock] = []
        stop = threading.Event()

        def emit(block: SampleBlock) -> None:
            blocks.append(block)
            if stop_after is not None and sum(map(len, blocks)) >= stop_after:
                stop.set()

        source.run(emit, stop)
        return Played(source, blocks, texts)

    return run


@pytest.fixture(scope="session")
def bits() -> Callable[[list[float]], list[int]]:
    """float64 as integers, so that equality is equality of every bit."""
    return lambda values: np.array(values, dtype=np.float64).view(np.uint64).tolist()
