"""One capture on disk: a file of records, each with its checksum, that only grows. Rim.

"VCLIP1\\n", then records: u32 length, u32 masked crc32c of kind and payload, u8 kind, payload. The first record is the
catalog, then summaries and pieces in the order in which they were made; the last summary counts. A torn end is no
record: readers stop there, and what was whole before it is good. Kinds are those of payloads, CATALOG, CAMPAIGN, CLOCK (of
what stands behind it: int64 ns that make its times Unix time, uint8 source, boot id) and SENT (uint32: so many pieces of a body that waited are in the spool).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from vantel.captures import CapturePart, CaptureState, CaptureSummary
from vantel.crc32c import crc32c, masked
from vantel.envelope import ClockStamp, EnvelopeError
from vantel.identity import PayloadKind

MAGIC = b"VCLIP1\n"
CATALOG, CAMPAIGN, CLOCK, SENT = 200, 201, 202, 203
RECORD_BYTES_MAX = 1024 * 1024
_HEAD = struct.Struct("<IIB")
_COUNT = struct.Struct("<I")
_CLOCK = struct.Struct("<qB")


class ClipRecord(NamedTuple):
    """kind: a PayloadKind, CATALOG, CAMPAIGN, CLOCK or SENT."""

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


def clock(stamp: ClockStamp) -> ClipRecord:
    """The record of the clock of what follows."""
    return ClipRecord(CLOCK, _CLOCK.pack(stamp.offset_ns, stamp.source) + stamp.boot_id)


def clock_of(payload: bytes) -> ClockStamp:
    """Inverse of clock. struct.error for bytes that are none."""
    offset_ns, source = _CLOCK.unpack_from(payload)
    return ClockStamp(payload[_CLOCK.size :], offset_ns, source)


def sent(parts: int) -> ClipRecord:
    """The record that so many pieces are in the spool."""
    return ClipRecord(SENT, _COUNT.pack(parts))


def summary_of(path: Path) -> CaptureSummary | None:
    """The last summary of a clip; None when it has none."""
    found = state_of(path)
    return None if found is None else found.summary


class ClipState(NamedTuple):
    """What a clip holds. summary: the last one, with parts, samples and bytes as they are in the file while more is to
    come. covered_ns: up to where its body is there. sent: pieces of a body that waited and are in the spool. clock: of
    the last record. bytes: up to the torn end, if there is one."""

    summary: CaptureSummary
    covered_ns: int
    sent: int
    clock: ClockStamp | None
    bytes: int


def state_of(path: Path) -> ClipState | None:
    """Read a clip through; None when it has no summary. OSError when it cannot be opened."""
    last: CaptureSummary | None = None
    stamp: ClockStamp | None = None
    covered_ns, parts, samples, body, spooled, size = 0, 0, 0, 0, 0, len(MAGIC)
    for kind, payload in read(path):
        size += _HEAD.size + len(payload)
        try:
            if kind == PayloadKind.CAPTURE_SUMMARY:
                last = CaptureSummary.decode(payload)
            elif kind == PayloadKind.CAPTURE_PART:
                part = CapturePart.decode(payload)
                parts, samples, body = parts + 1, samples + part.batch.sample_count, body + len(payload)
                if not part.last_values:
                    covered_ns = max(covered_ns, part.batch.end_mono_ns)
            elif kind == CLOCK:
                stamp = clock_of(payload)
            elif kind == SENT:
                (spooled,) = _COUNT.unpack(payload)
        except (EnvelopeError, struct.error):
            continue
    if last is None:
        return None
    if last.state is CaptureState.COMPLETE:
        return ClipState(last, last.end_mono_ns, spooled, stamp, size)
    last = replace(last, parts=parts, samples=samples, body_bytes=body)
    return ClipState(last, max(covered_ns, last.start_mono_ns), spooled, stamp, size)
