"""Bytes of a segment: header, fragments, records (docs/format.md, section "Spool on disk").

Record -> fragments and back, pure. The log format of LevelDB (doc/log_format.md there): blocks of 32 KiB, a fragment
never crosses a block edge, so that reading resumes at the next edge after damage. The checksum of a fragment starts
from (segment number, epoch, class), so that bytes of any other segment never pass, and covers length, type and
payload. Damage is a row that is missing and a count, never an exception.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

# The kernel below is compiled together with the checksum kernel: one call per segment, not one per fragment.
from vantel.crc32c import _TABLES as CRC_TABLES
from vantel.crc32c import _update as crc_update
from vantel.crc32c import crc32c, masked
from vantel.identity import DeliveryClass, Epoch
from vantel.kernel import kernel

BLOCK_BYTES = 32 * 1024
HEADER_BYTES = 64
FRAGMENT_HEADER_BYTES = 7
RECORD_HEAD_BYTES = 37
START_BYTES_MIN = FRAGMENT_HEADER_BYTES + RECORD_HEAD_BYTES
"""A record starts only where its whole head fits in front of the block edge; else the block is padded with zeros."""

FORMAT_VERSION = 1
RECORD_VERSION = 1
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4

_MAGIC = b"VANTSPOL"
_HEADER = struct.Struct("<8sHBBIQQQQQ")
_FRAGMENT = struct.Struct("<HB")
_HEAD = struct.Struct("<BQqqQI")
_SALT = struct.Struct("<QQQB")

COLUMNS = 6
"""Columns of a scan: offset, end, seq, position, synced, message bytes; offsets in the file."""
_OFFSET, _END, _SEQ, _POSITION, _SYNCED, _LENGTH = range(COLUMNS)
RESUME, BAD_BLOCKS, TORN, VALID_END = range(4)
_SCAN_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """Identity of a segment. settled_upto: all seqs of the stream below it were acked or evicted at creation.

    provisional: the clock was not known; the stamps of its messages are still to be replaced, and none was ever sent.
    """

    number: int
    van_hash: int
    epoch: Epoch
    delivery_class: DeliveryClass
    first_seq: int
    settled_upto: int = 0
    provisional: bool = False
    version: int = FORMAT_VERSION

    def encode(self) -> bytes:
        """The first 64 bytes of the file."""
        packed = _HEADER.pack(
            _MAGIC, self.version, int(self.delivery_class), int(self.provisional), self.van_hash, self.epoch.counter, self.epoch.random,
            self.number, self.first_seq, self.settled_upto,
        )  # fmt: skip
        body = packed.ljust(HEADER_BYTES - 4, b"\0")
        return body + masked(crc32c(body)).to_bytes(4, "little")

    @classmethod
    def decode(cls, data: bytes) -> SegmentHeader | None:
        """Inverse of encode; None for anything damaged."""
        body, check = data[: HEADER_BYTES - 4], data[HEADER_BYTES - 4 : HEADER_BYTES]
        if len(data) < HEADER_BYTES or masked(crc32c(body)).to_bytes(4, "little") != check:
            return None
        magic, version, delivery_class, provisional, van_hash, counter, random, number, first_seq, settled = (
            _HEADER.unpack_from(body)
        )
        if magic != _MAGIC or delivery_class not in set(DeliveryClass):
            return None
        epoch = Epoch(counter, random)
        return cls(
            number,
            van_hash,
            epoch,
            DeliveryClass(delivery_class),
            first_seq,
            settled,
            bool(provisional),
            version,
        )


@dataclass(frozen=True, slots=True)
class Record:
    """One envelope in a segment. synced: produced count of its stream that was durable when this was written."""

    seq: int
    position: int
    t_mono_ns: int
    synced: int
    message: bytes

    def encode(self) -> bytes:
        """Payload of the fragments."""
        head = _HEAD.pack(
            RECORD_VERSION, self.seq, self.position, self.t_mono_ns, self.synced, len(self.message)
        )
        return head + self.message


def salt_of(number: int, epoch: Epoch, delivery_class: DeliveryClass) -> int:
    """Start value of every checksum in a segment."""
    return crc32c(_SALT.pack(number, epoch.counter, epoch.random, int(delivery_class)))


def frame(record: bytes, offset: int, salt: int) -> tuple[int, bytes]:
    """Fragments of a record for file offset: (offset of the first fragment, bytes to write at offset)."""
    out = bytearray()
    left = BLOCK_BYTES - offset % BLOCK_BYTES
    if left < START_BYTES_MIN:
        out += bytes(left)
        left = BLOCK_BYTES
    start = offset + len(out)
    at, first = 0, True
    while True:
        size = min(left - FRAGMENT_HEADER_BYTES, len(record) - at)
        last = at + size == len(record)
        kind = (FULL if last else FIRST) if first else (LAST if last else MIDDLE)
        body = _FRAGMENT.pack(size, kind) + record[at : at + size]
        out += masked(crc32c(body, salt)).to_bytes(4, "little")
        out += body
        at, first, left = at + size, False, BLOCK_BYTES
        if last:
            return start, bytes(out)


def unframe(data: bytes, offset: int, salt: int) -> Record | None:
    """Record whose fragments are data, read from file offset; None for anything but exactly that."""
    record = bytearray()
    at, expected = 0, (FULL, FIRST)
    while at + FRAGMENT_HEADER_BYTES <= len(data):
        size, kind = _FRAGMENT.unpack_from(data, at + 4)
        end = at + FRAGMENT_HEADER_BYTES + size
        inside = (offset + at) % BLOCK_BYTES + FRAGMENT_HEADER_BYTES + size <= BLOCK_BYTES
        if end > len(data) or not inside or kind not in expected:
            return None
        check = masked(crc32c(memoryview(data)[at + 4 : end], salt)).to_bytes(4, "little")
        if check != data[at : at + 4]:
            return None
        record += data[at + FRAGMENT_HEADER_BYTES : end]
        at = end
        if kind in (FULL, LAST):
            break
        expected = (MIDDLE, LAST)
    if at != len(data) or len(record) < RECORD_HEAD_BYTES:
        return None
    version, seq, position, t_mono_ns, synced, length = _HEAD.unpack_from(record)
    if version != RECORD_VERSION or length != len(record) - RECORD_HEAD_BYTES:
        return None
    return Record(seq, position, t_mono_ns, synced, bytes(record[RECORD_HEAD_BYTES:]))


@kernel(numba.uint64(numba.types.Array(numba.uint8, 1, "C", readonly=True), numba.int64, numba.int64))
def _little(data, at, size):  # type: ignore[no-untyped-def]
    """Little-endian unsigned integer of size bytes at data[at]."""
    value = np.uint64(0)
    for i in range(size):
        value |= np.uint64(data[at + i]) << np.uint64(8 * i)
    return value


@kernel(
    numba.uint32(numba.types.Array(numba.uint8, 1, "C", readonly=True), numba.uint32[:, ::1], numba.uint32)
)
def _crc_of(data, tables, salt):  # type: ignore[no-untyped-def]
    """Masked checksum of data uint8[n] from start value salt; as masked(crc32c(data, salt))."""
    crc = crc_update(data, tables, salt ^ np.uint32(0xFFFFFFFF)) ^ np.uint32(0xFFFFFFFF)
    rotated = np.uint32((crc >> np.uint32(15)) | (crc << np.uint32(17)))
    return np.uint32(rotated + np.uint32(0xA282EAD8))


@kernel(numba.void(numba.types.Array(numba.uint8, 1, "C", readonly=True), numba.int64, numba.int64[::1]))
def _read_head(data, at, row):  # type: ignore[no-untyped-def]
    """Fill row int64[COLUMNS], owned by the caller, with what the record head at data[at] says."""
    row[2] = np.int64(_little(data, at + 1, 8))
    row[3] = np.int64(_little(data, at + 9, 8))
    row[4] = np.int64(_little(data, at + 25, 8))
    row[5] = np.int64(_little(data, at + 33, 4))


@kernel(
    numba.int64(
        numba.types.Array(numba.uint8, 1, "C", readonly=True),
        numba.uint32[:, ::1],
        numba.uint32,
        numba.int64[:, ::1],
        numba.int64[::1],
    )
)
def _scan(data, tables, salt, out, status):  # type: ignore[no-untyped-def]
    """Find the whole records of a segment; returns how many rows of out are filled.

    data uint8[n]: the file from offset 0. tables: of the checksum. out int64[k, COLUMNS], owned by the caller.
    status int64[4]: RESUME offset (in and out; n when done), BAD_BLOCKS, TORN (1: the end is damaged or unfinished),
    VALID_END (offset behind the last good fragment); all in and out. Layout: docs/format.md, "Spool on disk".
    """
    n = data.shape[0]
    pos = status[0]
    rows = 0
    start = np.int64(-1)
    length = np.int64(0)
    pending = status[2]
    while pos < n:
        if rows == out.shape[0] and start < 0:
            status[0] = pos
            status[2] = pending
            return rows
        left = 32768 - pos % 32768
        good = False
        if left >= 7 and pos + 7 <= n:
            size = np.int64(data[pos + 4]) | (np.int64(data[pos + 5]) << 8)
            kind = np.int64(data[pos + 6])
            stored = np.uint32(_little(data, pos, 4))
            if kind == 0 and size == 0 and stored == 0 and left < 44:
                pos += left
                start = -1
                continue
            if 1 <= kind <= 4 and 7 + size <= left and pos + 7 + size <= n:
                good = _crc_of(data[pos + 4 : pos + 7 + size], tables, salt) == stored
        if not good:
            pending += left >= 7
            start = -1 if left >= 7 else start
            pos += left
            continue
        status[1] += pending
        pending = 0
        status[3] = pos + 7 + size
        if kind <= 2:
            start = -1
            if size >= 37 and data[pos + 7] == 1 and rows < out.shape[0]:
                start = pos
                length = size
                _read_head(data, pos + 7, out[rows])
        elif start >= 0:
            length += size
        pos += 7 + size
        if kind in (1, 4) and start >= 0:
            if length - 37 == out[rows, 5]:
                out[rows, 0] = start
                out[rows, 1] = pos
                rows += 1
            start = -1
    status[0] = n
    status[2] = 1 if pending > 0 or start >= 0 else 0
    return rows


@dataclass(frozen=True, slots=True)
class Scan:
    """Whole records of a segment: rows int64[n, COLUMNS]; what was damaged; where the good bytes end."""

    rows: NDArray[np.int64]
    bad_blocks: int
    torn: bool
    valid_end: int

    @property
    def seqs(self) -> NDArray[np.int64]:
        """Sequence numbers."""
        return self.rows[:, _SEQ]

    def column(self, name: str) -> NDArray[np.int64]:
        """offset, end, seq, position, synced or length."""
        return self.rows[:, ("offset", "end", "seq", "position", "synced", "length").index(name)]


def scan(data: bytes, salt: int) -> Scan:
    """All whole records of the file data."""
    view = np.frombuffer(data, dtype=np.uint8)
    view.flags.writeable = False
    status = np.array([HEADER_BYTES, 0, 0, HEADER_BYTES], dtype=np.int64)
    parts: list[NDArray[np.int64]] = []
    while True:
        out = np.empty((min(_SCAN_ROWS, len(data) // START_BYTES_MIN + 1), COLUMNS), dtype=np.int64)
        filled = int(_scan(view, CRC_TABLES, np.uint32(salt), out, status))
        parts.append(out[:filled])
        if status[RESUME] >= len(data):
            break
    rows = np.concatenate(parts) if len(parts) > 1 else parts[0]
    return Scan(rows, int(status[BAD_BLOCKS]), bool(status[TORN]), int(status[VALID_END]))
