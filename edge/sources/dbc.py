"""CAN frames of one channel to samples, by its DBC files.

From arrays of frames (id with the 29-bit flag, length, payload) to (slot, frame, value) in the order of the frames
and, within a frame, of cantools. Values equal `Database.decode_message(id, data, decode_choices=False,
allow_truncated=True)` to the last bit. Never raises on data: unknown, undecodable and truncated frames are counted.
Ids are matched exactly; of two messages with one id the one defined last wins, as in cantools.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cantools.database.can import Database
from cantools.database.errors import Error as CantoolsError
from numpy.typing import NDArray

from edge.sources.dbc_kernel import extract
from edge.sources.dbc_tables import CompiledMessage, Node, compile_message, frame_key

_ORDERS = 1 << 24
"""More than the signals of any message; frame * _ORDERS + order sorts samples."""


@dataclass(frozen=True, slots=True)
class BusSignal:
    """A signal of the databases: slot k of a decoder is entry k of its list."""

    message: str
    name: str
    unit: str
    frame_id: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """Samples of one chunk. slot: int32[n]. frame: int64[n], index into the chunk. value: float64[n]."""

    slot: NDArray[np.int32]
    frame: NDArray[np.int64]
    value: NDArray[np.float64]


class BusDecoder:
    """Decoder of one channel. counts: frames_unknown, frames_undecodable, signals_truncated since the last reset."""

    def __init__(self, databases: Sequence[tuple[Path, Database]]) -> None:
        self.signals: list[BusSignal] = []
        self.counts: Counter[str] = Counter()
        self.frames_by_database: Counter[Path] = Counter()
        self._messages: dict[int, CompiledMessage] = {}
        for path, database in databases:
            for message in database.messages:
                compiled = compile_message(message, len(self.signals), path)
                self._messages[frame_key(message)] = compiled
                self.signals += [
                    BusSignal(message.name, s.name, s.unit or "", message.frame_id) for s in message.signals
                ]

    def knows(self, key: int) -> bool:
        """Whether the databases define this id (with the 29-bit flag)."""
        return key in self._messages

    def decode(
        self, ids: NDArray[np.uint32], lengths: NDArray[np.int64], payload: NDArray[np.uint8]
    ) -> Decoded:
        """Decode frames of this channel. ids: uint32[n]. lengths: int64[n] bytes. payload: uint8[n, 64]."""
        parts = _Parts(len(ids))
        keys, of_frame, frames_of_key = np.unique(ids, return_inverse=True, return_counts=True)
        by_key = np.split(np.argsort(of_frame, kind="stable"), np.cumsum(frames_of_key)[:-1])
        for key, rows in zip(keys, by_key, strict=True):
            compiled = self._messages.get(int(key))
            if compiled is None:
                self.counts["frames_unknown"] += len(rows)
                continue
            self.frames_by_database[compiled.source] += len(rows)
            if compiled.root is None:
                self._decode_by_cantools(compiled, rows, lengths, payload, parts)
            else:
                self._decode_node(compiled.root, compiled.length_bytes, rows, lengths, payload, parts)
        self.counts["frames_undecodable"] += int(parts.refused.sum())
        return parts.sorted()

    def _decode_node(
        self,
        node: Node,
        length_bytes: int,
        rows: NDArray[np.int64],
        lengths: NDArray[np.int64],
        payload: NDArray[np.uint8],
        parts: _Parts,
    ) -> None:
        """One level of a message for the frames rows; goes down by multiplexer value."""
        if not len(node.fields):
            return
        rows = np.ascontiguousarray(rows, dtype=np.int64)
        raw = np.empty((len(rows), len(node.fields)), dtype=np.uint64)
        extract(payload, rows, node.start, node.length, node.big, raw)
        values = np.empty(raw.shape, dtype=np.float64)
        for at, one in enumerate(node.fields):
            values[:, at] = one.scaled(np.ascontiguousarray(raw[:, at]))
        actual = lengths[rows]
        present = None
        if (actual < length_bytes).any():
            bits = np.where(actual < length_bytes, actual * 8, np.iinfo(np.int64).max)
            present = node.bits_needed[None, :] <= bits[:, None]
            self.counts["signals_truncated"] += int(present.size - present.sum())
        parts.add(node.slots, node.orders, rows, values, present)
        for at, branches in node.multiplexers:
            chosen = np.arange(len(rows)) if present is None else np.flatnonzero(present[:, at])
            # cantools takes the scaled value, cut to an integer, as the multiplexer's number
            numbers = np.trunc(values[chosen, at])
            for number in np.unique(numbers):
                below = rows[chosen[numbers == number]]
                branch = branches.get(int(number)) if np.isfinite(number) else None
                if branch is None:
                    parts.refused[below] = True
                else:
                    self._decode_node(branch, length_bytes, below, lengths, payload, parts)

    def _decode_by_cantools(
        self,
        compiled: CompiledMessage,
        rows: NDArray[np.int64],
        lengths: NDArray[np.int64],
        payload: NDArray[np.uint8],
        parts: _Parts,
    ) -> None:
        """Frames of a rare shape, one by one."""
        for row in rows:
            data = payload[row, : lengths[row]].tobytes()
            try:
                decoded = compiled.message.decode(data, decode_choices=False, allow_truncated=True)
            except (CantoolsError, ValueError):
                parts.refused[row] = True
                continue
            numbers = {name: float(v) for name, v in decoded.items() if isinstance(v, int | float)}  # type: ignore[union-attr]
            parts.add(
                np.array([compiled.slot_of[name] for name in numbers], dtype=np.int32),
                np.arange(len(numbers), dtype=np.int64),
                np.array([row], dtype=np.int64),
                np.array([list(numbers.values())], dtype=np.float64).reshape(1, len(numbers)),
                None,
            )


class _Parts:
    """Samples of a chunk, collected message by message, put back into the order of the frames at the end."""

    def __init__(self, frames: int) -> None:
        self.refused = np.zeros(frames, dtype=np.bool_)
        self._slots: list[NDArray[np.int32]] = []
        self._keys: list[NDArray[np.int64]] = []
        self._values: list[NDArray[np.float64]] = []

    def add(
        self,
        slots: NDArray[np.int32],
        orders: NDArray[np.int64],
        rows: NDArray[np.int64],
        values: NDArray[np.float64],
        present: NDArray[np.bool_] | None,
    ) -> None:
        """slots, orders: [k]. rows: [n]. values, present: [n, k]."""
        keys = rows[:, None] * _ORDERS + orders[None, :]
        every = np.broadcast_to(slots, keys.shape)
        if present is None:
            self._slots.append(every.ravel())
            self._keys.append(keys.ravel())
            self._values.append(values.ravel())
        else:
            self._slots.append(every[present])
            self._keys.append(keys[present])
            self._values.append(values[present])

    def sorted(self) -> Decoded:
        """All samples of frames that were not refused, by frame, then by order within the message."""
        if not self._keys:
            return Decoded(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64))
        keys = np.concatenate(self._keys)
        order = np.argsort(keys, kind="stable")
        frame = keys[order] // _ORDERS
        kept = ~self.refused[frame]
        order, frame = order[kept], frame[kept]
        return Decoded(np.concatenate(self._slots)[order], frame, np.concatenate(self._values)[order])
