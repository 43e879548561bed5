"""A segment: index of its records in memory, and the file (or, while the disk fails, the memory) that holds them.

Index columns are typed arrays, 20 to 28 bytes a record. Ordinals number the envelopes of a class in append order over
all epochs; those of one segment are consecutive. A record is entered only after it was written, and only by the spool
thread; the lock of the spool guards the index.
"""

from __future__ import annotations

import contextlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge.spool.disk import Disk
from edge.spool.framing import HEADER_BYTES, Record, SegmentHeader, frame, salt_of, unframe
from vantel.identity import DeliveryClass, Epoch
from vantel.intervals import IntervalSet


@dataclass(eq=False)
class Segment:
    """Index of one segment. path None: its records are in memory, in messages, in order of the index.

    provisional: its messages wait for their final clock stamps and must not be sent.
    """

    number: int
    epoch: Epoch
    delivery_class: DeliveryClass
    first_ordinal: int
    path: Path | None
    bytes: int = 0
    seqs: array[int] = field(default_factory=lambda: array("Q"))
    offsets: array[int] = field(default_factory=lambda: array("I"))
    ends: array[int] = field(default_factory=lambda: array("I"))
    lengths: array[int] = field(default_factory=lambda: array("I"))
    appended_s: array[float] | None = field(default_factory=lambda: array("d"))
    records: list[Record] = field(default_factory=list)
    unsettled: int = 0
    unsettled_bytes: int = 0
    is_open: bool = False
    provisional: bool = False

    @property
    def end_ordinal(self) -> int:
        """Ordinal behind the last record."""
        return self.first_ordinal + len(self.seqs)

    def add(self, record: Record, offset: int, end: int, appended_s: float) -> None:
        """Enter a record that was written to [offset, end)."""
        self.seqs.append(record.seq)
        self.offsets.append(offset)
        self.ends.append(end)
        self.lengths.append(len(record.message))
        if self.appended_s is not None:
            self.appended_s.append(appended_s)
        self.unsettled += 1
        self.unsettled_bytes += len(record.message)

    def find(self, first: int, last: int) -> tuple[int, int]:
        """Index range of the seqs in the closed interval."""
        return bisect_left(self.seqs, first), bisect_right(self.seqs, last)

    def appended_at(self, index: int) -> float:
        """time.monotonic of the append; -inf when it was another process."""
        return float("-inf") if self.appended_s is None else self.appended_s[index]

    def cut(self, index: int) -> tuple[array[int], array[float] | None]:
        """Take the records from index on out of the index: their seqs and times of append."""
        seqs, appended_s = self.seqs[index:], None
        if self.appended_s is not None:
            appended_s = self.appended_s[index:]
            del self.appended_s[index:]
        for column in (self.seqs, self.offsets, self.ends, self.lengths):
            del column[index:]
        return seqs, appended_s

    def place(self, index: int) -> Place:
        """Where the record at index is, as a value that stays true whatever happens to the segment."""
        if self.path is None:
            return Place(self.seqs[index], None, 0, 0, 0, self.records[index].message)
        salt = salt_of(self.number, self.epoch, self.delivery_class)
        return Place(self.seqs[index], self.path, self.offsets[index], self.ends[index], salt, b"")


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes [offset, end) of a file, or, with path None, the message itself."""

    seq: int
    path: Path | None
    offset: int
    end: int
    salt: int
    message: bytes

    def read(self, disk: Disk) -> bytes | None:
        """The message; None if the bytes are not those that were written. OSError from the disk."""
        if self.path is None:
            return self.message
        record = unframe(disk.read(self.path, self.offset, self.end - self.offset), self.offset, self.salt)
        return record.message if record is not None and record.seq == self.seq else None


def present_seqs(seqs: array[int]) -> IntervalSet:
    """Seqs of an index as intervals."""
    values = np.frombuffer(seqs, dtype=np.uint64).astype(np.int64)
    edges = np.flatnonzero(np.diff(values) != 1)
    firsts = values[np.concatenate(([0], edges + 1))] if len(values) else values
    lasts = values[np.concatenate((edges, [len(values) - 1]))] if len(values) else values
    return IntervalSet(zip(firsts.tolist(), lasts.tolist(), strict=True))


def count_unsettled(segment: Segment, settled: IntervalSet) -> None:
    """Fill in what of a segment is still waiting."""
    segment.unsettled, segment.unsettled_bytes = len(segment.seqs), sum(segment.lengths)
    if not segment.seqs:
        return
    for first, last in settled.intersection(IntervalSet([(segment.seqs[0], segment.seqs[-1])])):
        low, high = segment.find(first, last)
        segment.unsettled -= high - low
        segment.unsettled_bytes -= sum(segment.lengths[low:high])


def segment_name(header: SegmentHeader) -> str:
    """File name: number, epoch and first seq, so that a damaged header loses nothing."""
    return f"{header.number:012d}.{header.epoch.text}.{header.first_seq}.seg"


def parse_name(name: str) -> tuple[int, Epoch, int] | None:
    """Inverse of segment_name: (number, epoch, first seq); None for other files."""
    parts = name.split(".")
    if len(parts) != 4 or parts[3] != "seg":
        return None
    try:
        return int(parts[0]), Epoch.from_text(parts[1]), int(parts[2])
    except ValueError:
        return None


def write_whole(
    disk: Disk, path: Path, header: SegmentHeader, records: Iterable[Record]
) -> tuple[list[tuple[int, int]], int]:
    """Put a file with these records in the place of path: (where their fragments are, size of the file).

    Temporary file, sync, rename; the folder is left to the caller to sync. After an OSError path is the old file.
    """
    salt = salt_of(header.number, header.epoch, header.delivery_class)
    data = bytearray(header.encode())
    places: list[tuple[int, int]] = []
    for record in records:
        start, framed = frame(record.encode(), len(data), salt)
        data += framed
        places.append((start, len(data)))
    temporary = path.with_suffix(".tmp")
    with contextlib.suppress(FileNotFoundError):
        disk.unlink(temporary)
    fd = disk.create(temporary)
    try:
        disk.write_all(fd, data, 0)
        disk.sync(fd)
    finally:
        disk.close(fd)
    disk.rename(temporary, path)
    return places, len(data)


class SegmentFile:
    """The writing end of one segment file. After any OSError from it the file must not be written again."""

    def __init__(self, disk: Disk, folder: Path, header: SegmentHeader) -> None:
        """Create: temporary file, header, sync, rename, sync of the folder."""
        self._disk = disk
        self.path = folder / segment_name(header)
        self.salt = salt_of(header.number, header.epoch, header.delivery_class)
        self.size = 0
        temporary = self.path.with_suffix(".tmp")
        self._fd = disk.create(temporary)
        try:
            self.write(header.encode())
            disk.sync(self._fd)
            disk.rename(temporary, self.path)
            disk.sync_dir(folder)
        except OSError:
            self.abandon()
            for path in (temporary, self.path):
                try:
                    disk.unlink(path)
                except OSError:
                    continue  # a header without records; recovery removes it
            raise
        assert self.size == HEADER_BYTES

    def write(self, data: bytes) -> None:
        """Append data."""
        self._disk.write_all(self._fd, data, self.size)
        self.size += len(data)

    def append(self, record: Record) -> tuple[int, int]:
        """Append a record; returns where its fragments are: [offset, end)."""
        start, data = frame(record.encode(), self.size, self.salt)
        self.write(data)
        return start, self.size

    def sync(self) -> None:
        """Make all that was appended durable."""
        self._disk.sync(self._fd)

    def abandon(self) -> None:
        """Close without trusting anything that was not synced before."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            try:
                self._disk.close(fd)
            except OSError:
                return  # nothing unsynced in this file counts any more
