"""CAN frames of one channel to samples, by its DBC files.

From arrays of frames (id with the 29-bit flag, length, payload) to (slot, frame, raw, value) in the order of the frames
and, within a frame, of cantools. Values equal `Database.decode_message(id, data, decode_choices=False,
allow_truncated=True)` to the last bit. Never raises on data: unknown, undecodable and truncated frames are counted.
Ids are matched exactly, or by parameter group for J1939; of two messages with one id the one defined last wins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cantools.database.can import Database, Message
from cantools.database.errors import Error as CantoolsError
from numpy.typing import NDArray

from edge.sources import dbc_kernel as kernel
from edge.sources.dbc_kernel import EXTENDED
from edge.sources.dbc_tables import Builder, parameter_group
from vantel.catalog import SignalType

ROOM_FRAMES, ROOM_SAMPLES = 512, 4096
"""Memory that a decoder keeps (120 KB), enough for a reading of a live bus; more is taken for the call."""


@dataclass(frozen=True, slots=True)
class BusSignal:
    """A signal of the databases: slot k of a decoder is entry k of its list, until it is given others. value = raw * scale + offset."""

    message: str
    name: str
    unit: str
    frame_id: int
    scale: float
    offset: float
    kind: SignalType = SignalType.FLOAT64


class Decoded(NamedTuple):
    """Samples of one chunk. slot: int32[n]. frame: int64[n], index into the chunk, or the label. value: float64[n].

    raw: uint64[n], the integer on the bus, sign-extended to 64 bits, or the bits of a float.
    """

    slot: NDArray[np.int32]
    frame: NDArray[np.int64]
    raw: NDArray[np.uint64]
    value: NDArray[np.float64]


class BusDecoder:
    """Decoder of one channel."""

    def __init__(
        self,
        databases: Sequence[tuple[Path, Database]],
        *,
        j1939: bool = False,
        wanted: Callable[[str, str], bool] = lambda message, signal: True,  # noqa: ARG005
    ) -> None:
        """j1939: 29-bit ids are matched by parameter group. wanted: whether a message's signal is collected."""
        self.signals: list[BusSignal] = []
        self._by_message: list[range] = []
        self._rare: dict[int, Message] = {}
        self._sources: list[Path] = []
        builder = Builder()
        for path, database in databases:
            for message in database.messages:
                by_group = j1939 and message.is_extended_frame
                number = builder.add(message, len(self.signals), j1939=by_group)
                if builder.messages[number][kernel.ROOT] < 0:
                    self._rare[number] = (
                        message  # of the others nothing is kept: a database takes much memory
                    )
                self._by_message.append(range(len(self.signals), len(self.signals) + len(message.signals)))
                self._sources.append(path)
                self.signals += [
                    BusSignal(message.name, s.name, s.unit or "", message.frame_id, *_linear(s))
                    for s in message.signals
                ]
        self._ids, self._groups = builder.ids, builder.groups
        self._tables = builder.tables()
        self._entry_of_field = self._tables.fields[:, kernel.SLOT].copy()
        self._frames = np.zeros(len(self._by_message) + 1, np.int64)
        self._left_out = np.zeros(kernel.COUNTS, np.int64)
        self._undecodable = 0
        self._room = [np.empty(ROOM_FRAMES, np.int32), *room_for(ROOM_SAMPLES)]
        table = self._tables
        self._ways = (table.keys, table.values, table.groups, table.group_values)
        self._fields = (table.messages, table.nodes, table.fields, table.linear, table.whole, table.muxes,
                        table.branches, table.stack)  # fmt: skip
        self._counted = (self._frames, self._left_out, np.zeros(1, np.uint64))
        taken = np.array([wanted(s.message, s.name) for s in self.signals], np.bool_)
        self.give_slots(np.where(taken, np.arange(len(self.signals)), -1).astype(np.int32))
        self._is_rare = np.append(self._tables.messages[:, kernel.ROOT] < 0, False)  # the last: no message

    @property
    def frames_by_database(self) -> Counter[Path]:
        """Frames that a message of each file matched so far."""
        found: Counter[Path] = Counter()
        for path, frames in zip(self._sources, self._frames[:-1].tolist(), strict=True):
            found[path] += frames
        return found

    @property
    def counts(self) -> Counter[str]:
        """What was left out so far: frames_unknown, frames_undecodable, signals_truncated; for J1939
        values_not_available and values_error too. Reasons that have not occurred are not there."""
        refused, truncated, missing, errors = self._left_out.tolist()
        return +Counter(
            frames_unknown=int(self._frames[-1]),
            frames_undecodable=refused + self._undecodable,
            signals_truncated=truncated,
            values_not_available=missing,
            values_error=errors,
        )

    def knows(self, key: int) -> bool:
        """Whether the databases define this id (with the 29-bit flag)."""
        return key in self._ids or (key >= EXTENDED and parameter_group(key) in self._groups)

    @property
    def whole(self) -> tuple[NDArray[Any], ...]:
        """What the kernels locate() and write() share with decode(), for a caller that decodes without Python: ways, fields,
        message, what is counted. Frames of a rare shape are still for decode() here."""
        return (*self._ways, *self._fields, self._room[0], *self._counted)

    def reachable(self) -> list[int]:
        """Slots of the messages that frames can match: not those that a later twin of the id replaced."""
        numbers = sorted({*self._ids.values(), *self._groups.values()})
        return [at for number in numbers for at in self._by_message[number]]

    def give_slots(self, slot_of: NDArray[np.int32]) -> None:
        """Slots of the samples from now on, by entry of signals; -1 leaves a signal out."""
        self._slot_of = slot_of
        self._tables.fields[:, kernel.SLOT] = slot_of[self._entry_of_field]

    def decode(
        self,
        ids: NDArray[np.uint32],
        lengths: NDArray[np.int64],
        payload: NDArray[np.uint8],
        label: NDArray[np.int64] | None = None,
    ) -> Decoded:
        """Decode frames of this channel. ids: uint32[n]. lengths: int64[n] bytes. payload: uint8[n, 64], or any other
        multiple of 8 bytes wide and not less than the lengths; C-contiguous. label: int64[n], not descending, given to
        the samples of each frame instead of its index, such as its stamp."""
        if label is None:
            label = np.arange(len(ids), dtype=np.int64)
        words = payload.view(np.uint64)
        ways, fields, counted, done = self._ways, self._fields, self._counted, -1
        if len(ids) <= ROOM_FRAMES:
            message, *out = self._room
            done, rare = kernel.decode(ids, lengths, words, label, *ways, *fields, message, *out, *counted)
            if done >= 0:
                out = [part[:done].copy() for part in out]  # the room is for the next call
        if done < 0:
            message = np.empty(len(ids), np.int32)
            most, rare = kernel.locate(ids, *ways, fields[0], message)
            out = room_for(most)
            done = kernel.write(words, lengths, message, label, *fields, *out, *counted)
            out = [part[:done] for part in out]
        decoded = Decoded(*out)
        if rare:
            rows = np.flatnonzero(self._is_rare[message[: len(ids)]])
            decoded = _merged(decoded, self._decode_by_cantools(rows, message, lengths, payload, label))
        return decoded

    def _decode_by_cantools(
        self,
        rows: NDArray[np.int64],
        message: NDArray[np.int32],
        lengths: NDArray[np.int64],
        payload: NDArray[np.uint8],
        label: NDArray[np.int64],
    ) -> Decoded:
        """Frames of a rare shape, one by one. Their raw integer is the value itself, cut to 64 bits."""
        samples: list[tuple[int, int, float]] = []
        for row in rows.tolist():
            number = int(message[row])
            data = payload[row, : lengths[row]].tobytes()
            try:
                decoded = self._rare[number].decode(data, decode_choices=False, allow_truncated=True)
            except (CantoolsError, ValueError):
                self._undecodable += 1
                continue
            slot_of = {self.signals[at].name: int(self._slot_of[at]) for at in self._by_message[number]}
            samples += [
                (slot_of[name], int(label[row]), float(v))
                for name, v in decoded.items()  # type: ignore[union-attr]
                if isinstance(v, int | float) and slot_of[name] >= 0
            ]
        slots, frames, values = zip(*samples, strict=True) if samples else ((), (), ())
        value = np.array(values, np.float64)
        return Decoded(np.array(slots, np.int32), np.array(frames, np.int64), value.view(np.uint64), value)


def room_for(samples: int) -> list[NDArray[Any]]:
    """Memory for slot, label, raw and value of so many samples."""
    return [np.empty(samples, dtype) for dtype in (np.int32, np.int64, np.uint64, np.float64)]


def _linear(signal) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    conversion = signal.conversion
    return float(conversion.scale), float(conversion.offset)


def _merged(one: Decoded, two: Decoded) -> Decoded:
    """Both by frame; a frame is only in one of them."""
    order = np.argsort(np.concatenate([one.frame, two.frame]), kind="stable")
    joined = (np.concatenate([a, b]) for a, b in (
        (one.slot, two.slot), (one.frame, two.frame), (one.raw, two.raw), (one.value, two.value)
    ))  # fmt: skip
    return Decoded(*(part[order] for part in joined))
