"""ISO 15765-2: answers of several frames put together again, by listening alone.

Frames of a few response ids -> whole answers, classic and CAN FD. Addressing is normal, or extended or mixed, where the
first byte of each frame is an address: channel_of() makes id and address one number. Pure; never fails on data: what
cannot be completed is counted (answers_broken). Source: ISO 15765-2:2016, sections 9 and 10.3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_SINGLE, _FIRST, _CONSECUTIVE = 0, 1, 2


def channel_of(key: int, address: int | None) -> int:
    """One number for an id with the address in front of its data; the id itself without one."""
    return key if address is None else key | (address + 1) << 32


@dataclass(slots=True)
class _Partial:
    length: int
    data: bytearray = field(default_factory=bytearray)
    sequence: int = 1


class IsoTp:
    """Reassembly for some channels: ids (with EXTENDED for 29-bit ones), or channel_of them."""

    def __init__(self, channels: Iterable[int]) -> None:
        self.counts: Counter[str] = Counter()
        self._channels = set(channels)
        self._ids = [np.uint32(key) for key in sorted({channel & 0xFFFF_FFFF for channel in self._channels})]
        self._partial: dict[int, _Partial] = {}

    def rows(self, ids: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Frames of these ids."""
        found = np.zeros(len(ids), np.bool_)
        for key in self._ids:
            found |= ids == key
        return np.flatnonzero(found)

    def feed(
        self,
        rows: NDArray[np.int64],
        ids: NDArray[np.uint32],
        lengths: NDArray[np.int64],
        payload: NDArray[np.uint8],
    ) -> Iterator[tuple[int, int, bytes]]:
        """(row, channel, answer) of each answer that the frame at row completes."""
        for row in rows.tolist():
            key, data = int(ids[row]), payload[row, : lengths[row]].tobytes()
            is_cut = len(data) < 8
            if key not in self._channels:
                key, data = channel_of(key, data[0]) if data else key, data[1:]
            whole = self._take(key, data, is_cut) if data and key in self._channels else None
            if whole:
                yield row, key, whole

    def _take(self, key: int, data: bytes, is_cut: bool) -> bytes | None:
        kind = data[0] >> 4
        if kind == _SINGLE:
            self._broken(self._partial.pop(key, None) is not None)
            length, first = (data[0] & 15, 1) if data[0] & 15 or len(data) < 2 else (data[1], 2)
            whole = data[first : first + length]
            self._broken(not 0 < length == len(whole))
            return whole if len(whole) == length else None
        if kind == _FIRST and not is_cut:
            self._broken(self._partial.pop(key, None) is not None)
            length = (data[0] & 15) << 8 | data[1]
            if (
                length == 0 or length <= len(data) - 2
            ):  # the escape for over 4,095 bytes, or no need for two frames
                self._broken(True)
                return None
            self._partial[key] = _Partial(length, bytearray(data[2:]))
            return None
        if kind == _CONSECUTIVE:
            return self._consecutive(key, data)
        return None  # flow control of somebody, or a first frame that is cut

    def _consecutive(self, key: int, data: bytes) -> bytes | None:
        partial = self._partial.get(key)
        if partial is None:
            return None
        if data[0] & 15 != partial.sequence:
            del self._partial[key]
            self._broken(True)
            return None
        partial.sequence = (partial.sequence + 1) & 15
        partial.data += data[1:]
        if len(partial.data) < partial.length:
            return None
        del self._partial[key]
        return bytes(partial.data[: partial.length])

    def _broken(self, is_broken: bool) -> None:
        if is_broken:
            self.counts["answers_broken"] += 1
