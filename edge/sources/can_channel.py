"""One channel of a bus: frames to samples of named signals, for logs and live buses alike.

(ids, lengths, payload, t_ns) -> (slot, row, value) in the order of the frames. Names are `<prefix>.<Message>.<Signal>`,
mapped to catalog names by the settings and the overlay; scale and offset of the DBC go into the catalog. Signals are
declared when they are first met, or all at once by declare(). Never raises on data; counts say what was left out.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from cantools.database.can import Database
from numpy.typing import NDArray

from edge.sources.chunks import SlotTable, legal_group, legal_name
from edge.sources.dbc import BusDecoder


class Samples(NamedTuple):
    """slot: int32[n] of the slot table. label: int64[n], index or label of the frame, ascending. value: float64[n]."""

    slot: NDArray[np.int32]
    label: NDArray[np.int64]
    value: NDArray[np.float64]


class CanChannel:
    """Decoder of a channel, with the slots of its signals. spellings: names of the channel that a map may use."""

    def __init__(
        self,
        prefix: str,
        spellings: Sequence[str],
        databases: Sequence[tuple[Path, Database]],
        slots: SlotTable,
        *,
        j1939: bool = False,
        wanted: Callable[[str, str], bool] = lambda message, signal: True,  # noqa: ARG005
    ) -> None:
        self._prefix = prefix
        self._spellings = tuple(dict.fromkeys((prefix, *spellings)))
        self._slots = slots
        self.decoder = BusDecoder(databases, j1939=j1939, wanted=wanted)
        self._slot_of = np.full(len(self.decoder.signals), -1, dtype=np.int32)
        self._wanted = wanted
        self._all_declared = False

    @property
    def counts(self) -> Counter[str]:
        """What was left out so far, by reason."""
        return self.decoder.counts

    def declare(self) -> None:
        """Declare every wanted signal of the databases; of two definitions of one id only the last."""
        for at in self.decoder.reachable():
            signal = self.decoder.signals[at]
            if self._wanted(signal.message, signal.name):
                self._declare(at)
        self.decoder.give_slots(self._slot_of)
        self._all_declared = True

    def decode(
        self,
        ids: NDArray[np.uint32],
        lengths: NDArray[np.int64],
        payload: NDArray[np.uint8],
        label: NDArray[np.int64] | None = None,
    ) -> Samples:
        """Samples of the frames, before any map of the settings; see BusDecoder.decode for the arrays."""
        decoded = self.decoder.decode(ids, lengths, payload, label)
        if self._all_declared:
            return Samples(decoded.slot, decoded.frame, decoded.value)
        slot = self._slot_of[decoded.slot]
        if len(slot) and slot.min() < 0:
            for at in np.unique(decoded.slot[slot < 0]):
                self._declare(int(at))
            slot = self._slot_of[decoded.slot]
        return Samples(slot, decoded.frame, decoded.value)

    def names(self) -> set[str]:
        """Every name by which a map may call a signal of this channel."""
        return {name for s in self.decoder.signals for name in self._keys(f"{s.message}.{s.name}")}

    def _keys(self, local: str) -> tuple[str, ...]:
        return (*(f"{spelling}.{local}" for spelling in self._spellings), local)

    def _declare(self, at: int) -> None:
        signal = self.decoder.signals[at]
        self._slot_of[at] = self._slots.add(
            f"{self._prefix}.{legal_name(signal.message)}.{legal_name(signal.name)}",
            self._keys(f"{signal.message}.{signal.name}"),
            unit=signal.unit,
            group=legal_group(self._prefix),
            scale=signal.scale,
            offset=signal.offset,
        )


def wanted_by(patterns: Sequence[str]) -> Callable[[str, str], bool]:
    """Whether some pattern, with * and ?, fits Message.Signal; a pattern without a dot is one of messages."""
    whole = [pattern if "." in pattern or pattern == "*" else f"{pattern}.*" for pattern in patterns]
    return lambda message, signal: any(fnmatch.fnmatchcase(f"{message}.{signal}", p) for p in whole)
