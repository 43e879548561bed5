"""One capture on disk: a file of records, each with its checksum, that only grows. Rim.

"VCLIP1\\n", then records: u32 length, u32 masked crc32c of kind and payload, u8 kind, payload. The first record is the
catalog, then summaries and pieces in the order in which they were made; the last summary counts. A torn end is no
record: readers stop there, and what was whole before it is good. Kinds are those of payloads, CATALOG, CAMPAIGN and CLOCK (int64:
what is added to the times gives Unix ns).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from vantel.captures import CaptureSummary
from vantel.crc32c import crc32c, masked
from vantel.envelope import EnvelopeError
from vantel.identity import PayloadKind

MAGIC = b"VCLIP1\n"
CATALOG, CAMPAIGN, CLOCK = 200, 201, 202
RECORD_BYTES_MAX = 1024 * 1024
_HEAD = struct.Struct("<IIB")


class ClipRecord(NamedTuple):
    """kind: a PayloadKind, CATALOG or CAMPAIGN."""

    kind: int
    payload: bytes


def append(path: Path, records: list[ClipRecord], new: bool) -> int:
    """Write records durably; new: start the file anew. Returns the size of the file. OSError as it comes."""
    with path.open("wb" if new else "ab") as file:
        if new:
            file.write(MAGIC)
        for kind, payload in records:
            body = bytes([kind]) + payload
            file.write(_HEAD.pack(len(payload), masked(crc32c(body)), kind) + payload)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


def read(path: Path) -> Iterator[ClipRecord]:
    """Whole records of a clip, up to a torn end. OSError when it cannot be opened."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, crc, kind = _HEAD.unpack(head)
            payload = file.read(length) if length <= RECORD_BYTES_MAX else b""
            if len(payload) != length or masked(crc32c(bytes([kind]) + payload)) != crc:
                return
            yield ClipRecord(kind, payload)


def summary_of(path: Path) -> CaptureSummary | None:
    """The last summary of a clip; None when it has none."""
    last = None
    for kind, payload in read(path):
        if kind == PayloadKind.CAPTURE_SUMMARY:
            try:
                last = CaptureSummary.decode(payload)
            except EnvelopeError:
                continue
    return last
