"""Values that move through the agent: sample blocks from the sources, the declarations behind them.

Text signals travel as codes: a source interns a string in the shared TextTable and puts its code into value, so that
every sample is (slot, time, float64) until the batcher builds typed columns.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vantel.catalog import Signal

TEXTS_MAX = 65_536
TEXT_CHARS_MAX = 256


@dataclass(slots=True, eq=False)
class SampleBlock:
    """Samples in stream order. Never changed once made; not frozen, for it is made some hundred times a second.

    Arrays are C-contiguous. slot: int32[n], index into the signal list of the source (in the agent: row of the catalog in use).
    t_mono_ns: int64[n], not descending. value: float64[n]; NaN is a legal value. quality: uint8[n] or None (all good),
    as vantel.columns. position: index in the replay stream of the sample after the last one (0: not a replay).
    """

    slot: NDArray[np.int32]
    t_mono_ns: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint8] | None = None
    position: int = 0

    def __len__(self) -> int:
        return int(self.slot.shape[0])


Emit = Callable[[SampleBlock], None]
"""Hands a block to the pipeline. For a replay it waits while the queue is full; for live sources it sheds."""


class Source(Protocol):
    """Where samples come from. One thread runs one source."""

    name: str
    replayed: bool
    simulated: bool

    def signals(self) -> Sequence[Signal]:
        """Signals this source can emit; slot k of its blocks is entry k. Id 0 asks for a local id."""
        ...

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Emit until the source ends or stop is set. Exceptions end the source; the agent restarts it with a bound."""
        ...


class TextTable:
    """Strings by code, shared by all sources and the batcher. Bounded: past TEXTS_MAX new strings become code 0."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {"": 0}
        self._texts: list[str] = [""]
        self._lock = threading.Lock()

    def code(self, text: str) -> int:
        """Code of text, the same for the life of the table. Longer than TEXT_CHARS_MAX is cut; what has no UTF-8 becomes ?."""
        text = text[:TEXT_CHARS_MAX].encode("utf-8", "replace").decode("utf-8")
        with self._lock:
            code = self._codes.get(text)
            if code is None:
                if len(self._texts) >= TEXTS_MAX:
                    return 0
                code = self._codes[text] = len(self._texts)
                self._texts.append(text)
            return code

    def text(self, code: float) -> str:
        """Inverse of code; empty for a code that was never given out."""
        index = int(code)
        return self._texts[index] if 0 <= index < len(self._texts) else ""
