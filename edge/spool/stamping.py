"""Final clock stamps for what was sealed before the clock was known: durable before the first send, never changed after.

Such envelopes stand in provisional segments, whole messages with a stamp of source none; the index hides them from the
uplink. Once their stamp is decided the segment's file is replaced: temporary file, sync, rename over the old one, sync
of the folder. Whatever instant a crash picks, the file is the old one, never sent, or the new one, final. No older copy
of a record, left by a failed sync, may outlive that: segments of a class are done in order and a failure stops there,
and nothing is done while a file that should be gone is still there. Spool thread only.
"""

from __future__ import annotations

import contextlib
import threading
from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from edge.spool.books import Books
from edge.spool.disk import Disk
from edge.spool.framing import Record, SegmentHeader, salt_of, unframe
from edge.spool.index import Index
from edge.spool.recovery import read_through
from edge.spool.segment import Segment, write_whole
from edge.spool.space import Space
from edge.spool.writer import FULL_DISK
from vantel.envelope import ClockStamp, EnvelopeError, clock_of, restamp
from vantel.identity import DeliveryClass
from vantel.intervals import IntervalSet

READ_TRIES_MAX = 5

_log = structlog.get_logger("spool")


class Stamping:
    """Decides nothing about the clock: takes the stamp of this boot, and what the books know of earlier ones."""

    def __init__(
        self, disk: Disk, directory: Path, van_hash: int, lock: threading.RLock, index: Index, books: Books, space: Space,
        boot_id: bytes,
    ) -> None:  # fmt: skip
        self._disk, self._directory, self._van_hash, self._lock = disk, directory, van_hash, lock
        self._index, self._books, self._space, self._boot_id = index, books, space, boot_id
        self._boots: dict[Segment, bytes] = {}
        self._failures: dict[Segment, int] = {}

    def pending(self) -> bool:
        """Whether anything waits for its final stamp."""
        with self._lock:
            return any(s.provisional for items in self._index.segments.values() for s in items)

    def settle(self, clock: ClockStamp | None, waiting: frozenset[DeliveryClass]) -> int:
        """Stamp what needs to wait no longer; returns how many envelopes that set free.

        clock: mapping of this boot, None while it is not told yet. waiting: classes that hope for a better one.
        Envelopes of an earlier boot get the mapping that was known then, or keep their stamp, source none.
        """
        if not self._space.clear() and not self._books.epoch_failure:
            return 0
        freed = 0
        for delivery_class in DeliveryClass:
            with self._lock:
                segments = [
                    s for s in self._index.segments[delivery_class] if s.provisional and not s.is_open
                ]
            for segment in segments:
                boot = self._boot_of(segment)
                if boot == self._boot_id and (clock is None or delivery_class in waiting):
                    break
                stamp = clock if boot == self._boot_id else self._books.clock_of(boot)
                try:
                    freed += self._settle(segment, stamp)
                except OSError as cause:
                    _log.warning("clock stamps not written", path=str(segment.path), cause=str(cause))
                    if cause.errno in FULL_DISK:
                        self._space.make_room(delivery_class + 1, segment.bytes)  # never at its own cost
                    break
        return freed

    def _boot_of(self, segment: Segment) -> bytes:
        """Boot in which the envelopes of a segment were sealed; b"" when nothing of it can be read."""
        if segment not in self._boots:
            boot = b""
            for index in range(len(segment.seqs)):
                with contextlib.suppress(OSError, EnvelopeError):
                    message = segment.place(index).read(self._disk)
                    if message is not None:
                        boot = clock_of(message).boot_id
                        break
            self._boots[segment] = boot
        return self._boots[segment]

    def _settle(self, segment: Segment, stamp: ClockStamp | None) -> int:
        records = self._stamped(segment, stamp)
        if not records:
            self._space.release(segment, "corrupt")
        elif segment.path is None:
            if not self._books.epoch_failure:  # else nothing of this epoch is on the disk
                self._disk.sync_dir(self._directory / segment.delivery_class.label)
            with self._lock:
                segment.records = list(records)
                self._relay(segment, records)
                segment.provisional = False
        else:
            self._replace(segment, segment.path, records)
        self._boots.pop(segment, None)
        self._failures.pop(segment, None)
        return len(records)

    def _stamped(self, segment: Segment, stamp: ClockStamp | None) -> list[Record]:
        """The records of a segment under their final stamp; those that cannot be read are evicted. OSError."""
        if segment.path is None:
            records = list(segment.records)
        else:
            data = self._content(segment, segment.path)
            salt = salt_of(segment.number, segment.epoch, segment.delivery_class)
            found = [
                unframe(data[start:end], start, salt)
                for start, end in zip(segment.offsets, segment.ends, strict=True)
            ]
            records = [record for record in found if record is not None]
            self._evict_damaged(segment, records)
        if stamp is None:
            return records
        return [replace(record, message=restamp(record.message, stamp)) for record in records]

    def _content(self, segment: Segment, path: Path) -> bytes:
        """Bytes of the file; after READ_TRIES_MAX failures what can be read of it, zeros for the rest, if anything can."""
        try:
            return self._disk.read(path, 0, segment.bytes)
        except OSError:
            self._failures[segment] = self._failures.get(segment, 0) + 1
            if (
                self._failures[segment] >= READ_TRIES_MAX
                and (left := read_through(self._disk, path)) is not None
            ):
                return left
            raise

    def _evict_damaged(self, segment: Segment, records: Sequence[Record]) -> None:
        good = {record.seq for record in records}
        damaged = [index for index, seq in enumerate(segment.seqs) if seq not in good]
        if not damaged or not good:
            return
        with self._lock:
            stream = (segment.epoch, segment.delivery_class)
            account = self._books.account(stream)
            if account is not None:
                lost = IntervalSet((segment.seqs[at], segment.seqs[at]) for at in damaged)
                self._index.settle(stream, self._books.evict(account, lost, "corrupt"))

    def _replace(self, segment: Segment, path: Path, records: Sequence[Record]) -> None:
        """Put a file with the final stamps in the place of the old one. OSError: try again later."""
        header = SegmentHeader(
            segment.number, self._van_hash, segment.epoch, segment.delivery_class, segment.seqs[0]
        )
        places, size = write_whole(self._disk, path, header, records)
        with self._lock:
            self._relay(segment, records, places)
            segment.bytes = size
        self._disk.sync_dir(path.parent)
        with self._lock:
            segment.provisional = False

    def _relay(
        self, segment: Segment, records: Sequence[Record], places: Sequence[tuple[int, int]] = ()
    ) -> None:
        """Index of the records as they stand now. Those that were damaged keep their row, which is never read."""
        stream = (segment.epoch, segment.delivery_class)
        account = self._books.account(stream)
        lengths, offsets, ends = (
            array("I", segment.lengths),
            array("I", segment.offsets),
            array("I", segment.ends),
        )
        rows = {seq: index for index, seq in enumerate(segment.seqs)}
        for at, record in enumerate(records):
            lengths[rows[record.seq]] = len(record.message)
            if places:
                offsets[rows[record.seq]], ends[rows[record.seq]] = places[at]
        segment.offsets, segment.ends = offsets, ends
        self._index.relaid(segment, lengths, account.settled if account is not None else IntervalSet())
