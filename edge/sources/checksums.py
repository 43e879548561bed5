"""Checksums of CAN messages, verified without being told how they are made.

Frames -> how many of each message did not fit so far. A signal of one whole byte whose name says checksum or CRC, or whose
DBC attribute GenSigFuncType begins with CHK or CRC, is taken for the checksum of its message. Which rule it follows is
found out: the sum, the negative sum, the exclusive or, or a CRC-8 of all other bytes, plus a constant. Id, length, start
value, final exclusive or and data id of AUTOSAR (profile 1, and Toyota's sum) are such a constant while the length stays,
so they need not be known. A rule counts after it held for PROVEN frames with changing checksums; where several do, all are
kept until one fails alone. A message that follows none (a data id behind the data or one that goes with the counter, as
AUTOSAR profile 2 has it; four bits) is never judged, and gives no sample.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
from cantools.database.can import Database, Message
from numba import types
from numpy.typing import NDArray

from edge.sources.dbc_tables import frame_key
from vantel.kernel import kernel

NAME = "ChecksumErrors"
PROVEN = 16
EVERY = 64
"""A sample at least every so many frames, so that the count is seen to stand."""
_LOST = 64
"""Errors in a row after which the rule is taken for changed, and found out anew."""
_CHECKSUM = re.compile(r"checksum|chksum|(?<![a-z])(crc|chk|cks)(?![a-z])", re.IGNORECASE)
_POLYNOMIALS = (0x1D, 0x2F, 0x07, 0x31)  # SAE J1850, AUTOSAR, CCITT, Dallas
_RULES = 3 + len(_POLYNOMIALS)
_BYTE, _LENGTH, _LAST, _ERRORS, _ROW, _SINCE, _IS_PROVEN, _CONSTANTS = range(8)
_FITS = _CONSTANTS + _RULES
_COLUMNS = _FITS + _RULES


def _crc_tables() -> NDArray[np.uint8]:
    """uint8[polynomials, 256]: a byte through each CRC-8, most significant bit first."""
    tables = np.zeros((len(_POLYNOMIALS), 256), np.uint8)
    for row, polynomial in enumerate(_POLYNOMIALS):
        for byte in range(256):
            crc = byte
            for _ in range(8):
                crc = (crc << 1) ^ (polynomial if crc & 0x80 else 0)
                crc &= 0xFF
            tables[row, byte] = crc
    return tables


_I = numba.int64
_READ_IDS = types.Array(types.uint32, 1, "C", readonly=True)
_READ_LENGTHS = types.Array(types.int64, 1, "C", readonly=True)
_READ_BYTES = types.Array(types.uint8, 2, "C", readonly=True)


@kernel(numba.void(_READ_BYTES, _I, _I, _I, types.uint8[:, ::1], _I[::1]))
def _constants(payload, row, length, byte, tables, out):  # type: ignore[no-untyped-def]
    """The constant that each rule leaves of one frame."""
    total = folded = 0
    for k in range(3, out.shape[0]):
        out[k] = 0
    for at in range(length):
        if at == byte:
            continue
        value = _I(payload[row, at])
        total += value
        folded ^= value
        for k in range(tables.shape[0]):
            out[3 + k] = tables[k, (out[3 + k] ^ value) & 0xFF]
    seen = _I(payload[row, byte])
    out[0] = (seen - total) & 0xFF
    out[1] = (seen + total) & 0xFF
    out[2] = seen ^ folded
    for k in range(3, out.shape[0]):
        out[k] ^= seen


@kernel(types.boolean(_I[:, ::1], _I, _I[::1], _I))
def _fits(state, m, found, seen):  # type: ignore[no-untyped-def]
    """Hold the constants of a frame against those of message m; False for a frame that no proven rule explains."""
    proven = explained = False
    for k in range(found.shape[0]):
        if state[m, _FITS + k] >= PROVEN:
            proven = True
            explained = explained or found[k] == state[m, _CONSTANTS + k]
    if proven and not explained:
        state[m, _ROW] += 1
        if state[m, _ROW] >= _LOST:
            for k in range(found.shape[0]):
                state[m, _FITS + k] = 0
            state[m, _ROW] = 0
        return False
    state[m, _ROW] = 0
    changed = seen != state[m, _LAST]
    state[m, _LAST] = seen
    for k in range(found.shape[0]):
        if found[k] != state[m, _CONSTANTS + k]:
            state[m, _CONSTANTS + k] = found[k]
            state[m, _FITS + k] = 0
        elif changed:
            state[m, _FITS + k] += 1
            if state[m, _FITS + k] >= PROVEN:
                state[m, _IS_PROVEN] = 1
    return True


@kernel(
    _I(
        _READ_IDS, _READ_LENGTHS, _READ_BYTES, types.uint32[::1], _I[:, ::1], types.uint8[:, ::1], _I[::1],
        types.int64[:, ::1],
    ))  # fmt: skip
def _verify(ids, lengths, payload, keys, state, tables, found, out):  # type: ignore[no-untyped-def]
    """Judge frames in order; out int64[n, 3] gets (frame, message, errors so far) of each sample, returns how many."""
    count = 0
    for row in range(ids.shape[0]):
        m = np.searchsorted(keys, ids[row])
        if m == keys.shape[0] or keys[m] != ids[row]:
            continue
        byte, length = state[m, _BYTE], lengths[row]
        if length <= byte or length > payload.shape[1]:
            continue
        if state[m, _LENGTH] == 0:
            state[m, _LENGTH] = length
        if length != state[m, _LENGTH]:
            continue
        was_proven = state[m, _IS_PROVEN] == 1
        _constants(payload, row, length, byte, tables, found)
        fits = _fits(state, m, found, _I(payload[row, byte]))
        if not fits:
            state[m, _ERRORS] += 1
        if state[m, _IS_PROVEN] == 0:
            continue
        state[m, _SINCE] += 1
        if not fits or not was_proven or state[m, _SINCE] >= EVERY:
            state[m, _SINCE] = 0
            out[count, 0], out[count, 1], out[count, 2] = row, m, state[m, _ERRORS]
            count += 1
    return count


class Verified(NamedTuple):
    """message: int64[n], index into Checksums.messages. frame: int64[n], index into the frames. errors: float64[n]."""

    message: NDArray[np.int64]
    frame: NDArray[np.int64]
    errors: NDArray[np.float64]


class Checksums:
    """The checksums of one channel. Owned by one thread; O(1) memory a message."""

    def __init__(self, databases: Sequence[tuple[Path, Database]], *, j1939: bool = False) -> None:
        """j1939: messages with 29-bit ids are left out."""
        found: dict[int, tuple[str, int]] = {}
        for _, database in databases:
            for message in database.messages:
                at = checksum_byte(message)
                if at is None or (j1939 and message.is_extended_frame):
                    found.pop(frame_key(message), None)  # of two messages with one id the last counts
                else:
                    found[frame_key(message)] = message.name, at
        keys = sorted(found)
        self.messages = [found[key][0] for key in keys]
        self._keys = np.array(keys, np.uint32)
        self._state = np.zeros((len(keys), _COLUMNS), np.int64)
        self._state[:, _BYTE] = [found[key][1] for key in keys]
        self._state[:, _LAST] = -1
        self._tables = _crc_tables()
        self._found = np.zeros(_RULES, np.int64)

    def feed(
        self, ids: NDArray[np.uint32], lengths: NDArray[np.int64], payload: NDArray[np.uint8]
    ) -> Verified | None:
        """Judge frames (arrays as edge.sources.dbc.BusDecoder.decode has them); None when there is nothing to tell."""
        if not self.messages:
            return None
        out = np.empty((len(ids), 3), np.int64)
        count = _verify(ids, lengths, payload, self._keys, self._state, self._tables, self._found, out)
        return Verified(out[:count, 1], out[:count, 0], out[:count, 2].astype(np.float64)) if count else None


def checksum_byte(message: Message) -> int | None:
    """The byte in which a message has its checksum, if its DBC says so."""
    for signal in message.signals:
        first = signal.start % 8 == (7 if signal.byte_order == "big_endian" else 0)
        if signal.length == 8 and first and (_CHECKSUM.search(signal.name) or _is_declared(signal)):
            return int(signal.start) // 8
    return None


def _is_declared(signal) -> bool:  # type: ignore[no-untyped-def]
    """Whether the attribute GenSigFuncType of a signal says that it is a checksum."""
    attribute = signal.dbc.attributes.get("GenSigFuncType") if signal.dbc else None
    if attribute is None:
        return False
    value, choices = attribute.value, attribute.definition.choices or []
    if isinstance(value, int) and 0 <= value < len(choices):
        value = choices[value]
    return str(value).upper().startswith(("CHK", "CRC"))
