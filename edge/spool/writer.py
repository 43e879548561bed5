"""Appending to one class: the open segment file, group commit, and memory while the disk fails.

A record is in the index once it was written. What was written but not synced is also kept in memory, so that a failed
sync is answered by a new file: the old one is never written or trusted beyond what was synced before. After three
failures in a row the records stay in memory segments, bounded in bytes (the oldest is evicted, reason "memory"), and
the disk is tried again every two seconds. Called by the spool thread only.
"""

from __future__ import annotations

import errno
import threading
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.spool.account import Account, StreamId
from edge.spool.disk import Disk
from edge.spool.framing import Record, SegmentHeader
from edge.spool.index import Index
from edge.spool.segment import Segment, SegmentFile, count_unsettled
from vantel.identity import DeliveryClass

FAILURES_MAX = 3
RETRY_S = 2.0
MEMORY_BYTES_MAX = 8 * 1024 * 1024
MEMORY_SEGMENT_BYTES = 512 * 1024
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a writer needs of the spool. admit makes room in the quota before so many bytes of a class go to a new file,
    OSError if it cannot; make_room frees space for a class on a full disk; give_up evicts a memory segment; discard
    removes a file that holds nothing; made_durable hears the replay positions that were synced.
    """

    disk: Disk
    directory: Path
    van_hash: int
    lock: threading.RLock
    index: Index
    segment_bytes_max: int
    group_bytes_max: int
    next_number: Callable[[], int]
    admit: Callable[[DeliveryClass, int], None]
    make_room: Callable[[DeliveryClass, int], None]
    give_up: Callable[[Segment, str], None]
    discard: Callable[[Path], None]
    made_durable: Callable[[int], None]


class Writer:
    """Appends the envelopes of one stream of the current epoch."""

    def __init__(self, around: Surroundings, account: Account) -> None:
        self._around = around
        self._account = account
        self._class = account.delivery_class
        self._stream: StreamId = (account.epoch, account.delivery_class)
        self._folder = around.directory / account.delivery_class.label
        self._segment: Segment | None = None
        self._file: SegmentFile | None = None
        self._unsynced: list[Record] = []
        self._unsynced_bytes = 0
        self._unsynced_since_s = 0.0
        self._memory: list[Segment] = []
        self._failures = 0
        self._retry_at_s = 0.0
        self.failure = ""
        self.provisional = False  # what is appended now waits for its final clock stamp

    def append(self, record: Record, now_s: float) -> None:
        """Write a record; P0 is durable on return, unless failure says why not. Never raises OSError."""
        self.retry(now_s)
        if self._memory or not self._write(record, now_s):
            self._remember(record, now_s)
        while self._memory and self._failures < FAILURES_MAX:
            self._flush(now_s)

    def commit(self, now_s: float, age_s_max: float) -> None:
        """Sync if the oldest unsynced record has reached the age."""
        if self._unsynced and now_s - self._unsynced_since_s >= age_s_max:
            self._sync(now_s)

    def retry(self, now_s: float) -> None:
        """Bring records from memory to the disk if it is time for another try."""
        if self._failures >= FAILURES_MAX and now_s < self._retry_at_s:
            return
        if self._memory:
            self._flush(now_s)
        elif self.failure:
            try:
                self._roll(self._account.produced)
                self._failures, self.failure = 0, ""
            except OSError as cause:
                self._fail(cause, 0, now_s)

    def degrade(self, why: str, now_s: float) -> None:
        """Start in memory: the disk is known to be unwritable."""
        self._failures, self._retry_at_s, self.failure = FAILURES_MAX, now_s + RETRY_S, why

    def close_segment(self, now_s: float) -> None:
        """Sync and close the open file; what the sync would not take goes to a new one at once."""
        if self._unsynced:
            self._sync(now_s)
        while self._memory and self._failures < FAILURES_MAX:
            self._flush(now_s)
        self._drop_file()

    def _drop_file(self) -> None:
        if self._file is not None:
            self._file.abandon()
        if self._segment is not None:
            with self._around.lock:
                self._segment.is_open = False
        self._file, self._segment = None, None

    def _open_file(
        self, first_seq: int, number: int, provisional: bool, coming_bytes: int = 0
    ) -> SegmentFile:
        """A new file, the quota kept with what is about to come. OSError leaves none behind."""
        self._around.disk.make_dir(self._folder)
        with self._around.lock:
            settled_upto = self._account.settled_upto
        header = SegmentHeader(
            number, self._around.van_hash, self._account.epoch, self._class, first_seq, settled_upto, provisional
        )  # fmt: skip
        file = SegmentFile(self._around.disk, self._folder, header)
        try:
            self._around.admit(self._class, coming_bytes)  # behind the creation: a dead disk evicts nothing
        except OSError:
            file.abandon()
            self._around.discard(file.path)
            raise
        return file

    def _write(self, record: Record, now_s: float) -> bool:
        """True when the record is in the index (of a file, or of memory after a failed sync)."""
        if self._failures >= FAILURES_MAX and now_s < self._retry_at_s:
            return False
        try:
            if self._must_roll(len(record.message)):
                self._roll(record.seq)
            assert self._file is not None
            assert self._segment is not None
            offset, end = self._file.append(record)
        except OSError as cause:
            self._fail(cause, len(record.message), now_s)
            return False
        with self._around.lock:
            self._around.index.add(self._segment, record, offset, end, now_s)
            self._segment.bytes = self._file.size
        if not self._unsynced:
            self._unsynced_since_s = now_s
        self._unsynced.append(record)
        self._unsynced_bytes += len(record.message)
        if self._class is DeliveryClass.P0 or self._unsynced_bytes >= self._around.group_bytes_max:
            self._sync(now_s)
        return True

    def _must_roll(self, message_bytes: int) -> bool:
        """Nothing open, full, or opened for messages of the other kind."""
        if self._file is None or self._segment is None:
            return True
        full = self._file.size + message_bytes > self._around.segment_bytes_max
        return full or self._segment.provisional != self.provisional

    def _roll(self, first_seq: int) -> None:
        """Sync and close the open segment, open the next. OSError from the disk."""
        if self._file is not None and self._unsynced:
            self._file.sync()
            self._synced()
        self._drop_file()
        number = self._around.next_number()
        self._file = self._open_file(first_seq, number, self.provisional)
        with self._around.lock:
            ordinal = self._around.index.next_ordinal(self._class)
            self._segment = Segment(
                number,
                self._account.epoch,
                self._class,
                ordinal,
                self._file.path,
                self._file.size,
                is_open=True,
                provisional=self.provisional,
            )
            self._around.index.segments[self._class].append(self._segment)

    def _synced(self) -> None:
        self._note_durable(self._unsynced)
        self._unsynced, self._unsynced_bytes = [], 0
        self._failures, self.failure = 0, ""

    def _note_durable(self, records: list[Record]) -> None:
        with self._around.lock:
            self._account.synced = max(self._account.synced, records[-1].seq + 1)
        self._around.made_durable(max(record.position for record in records))

    def _sync(self, now_s: float) -> None:
        assert self._file is not None
        try:
            self._file.sync()
        except OSError as cause:
            self._fail(cause, self._unsynced_bytes, now_s)
            return
        self._synced()

    def _fail(self, cause: OSError, need_bytes: int, now_s: float) -> None:
        """Take what was not synced into memory and leave the file for good."""
        self._move_to_memory()
        self._count_failure(cause, need_bytes, now_s)

    def _move_to_memory(self) -> None:
        segment, records = self._segment, self._unsynced
        self._drop_file()
        self._unsynced, self._unsynced_bytes = [], 0
        if segment is None:
            return
        around = self._around
        with around.lock:
            if records:
                at = len(segment.seqs) - len(records)
                seqs, appended_s = segment.cut(at)
                moved = Segment(0, segment.epoch, self._class, segment.end_ordinal, None)
                moved.seqs, moved.appended_s, moved.records = seqs, appended_s, list(records)
                moved.provisional = segment.provisional
                moved.lengths = array("I", [len(record.message) for record in records])
                moved.offsets, moved.ends = (
                    array("I", bytes(4 * len(records))),
                    array("I", bytes(4 * len(records))),
                )
                count_unsettled(segment, self._account.settled)
                count_unsettled(moved, self._account.settled)
                around.index.segments[self._class].append(moved)
                self._memory.append(moved)
            if not segment.seqs:
                around.index.segments[self._class].remove(segment)
        if not segment.seqs and segment.path is not None:
            around.discard(segment.path)

    def _count_failure(self, cause: OSError, need_bytes: int, now_s: float) -> None:
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            self._retry_at_s = now_s + RETRY_S
            self.failure = f"writing {self._class.label} in {self._folder}: {cause.strerror or cause}"
        if cause.errno in FULL_DISK:
            self._around.make_room(self._class, need_bytes + self._around.group_bytes_max)

    def _remember(self, record: Record, now_s: float) -> None:
        """Keep a record in memory, behind all others of the class."""
        around = self._around
        with around.lock:
            last = self._memory[-1] if self._memory else None
            segment_bytes_max = min(MEMORY_SEGMENT_BYTES, around.segment_bytes_max)  # one file, once flushed
            full = last is None or sum(last.lengths) + len(record.message) > segment_bytes_max
            if last is None or full or last.provisional != self.provisional:
                ordinal = around.index.next_ordinal(self._class)
                last = Segment(
                    0, self._account.epoch, self._class, ordinal, None, provisional=self.provisional
                )
                around.index.segments[self._class].append(last)
                self._memory.append(last)
            last.records.append(record)
            around.index.add(last, record, 0, 0, now_s)
            surplus = sum(sum(s.lengths) for s in self._memory) - MEMORY_BYTES_MAX
            oldest = self._memory.pop(0) if surplus > 0 and len(self._memory) > 1 else None
        if oldest is not None:
            around.give_up(oldest, "memory")

    def _flush(self, now_s: float) -> None:
        """Write the memory segments to files of their own, oldest first; stops at the first failure."""
        around = self._around
        while self._memory:
            segment = self._memory[0]
            number = around.next_number()
            file: SegmentFile | None = None
            try:
                file = self._open_file(segment.seqs[0], number, segment.provisional, sum(segment.lengths))
                places = [file.append(record) for record in segment.records]
                file.sync()
            except OSError as cause:
                self._count_failure(cause, sum(segment.lengths), now_s)
                if file is not None:
                    file.abandon()
                    around.discard(file.path)
                return
            file.abandon()
            with around.lock:
                segment.number, segment.path, segment.bytes = number, file.path, file.size
                segment.offsets = array("I", [start for start, _ in places])
                segment.ends = array("I", [end for _, end in places])
                records, segment.records = segment.records, []
            self._memory.pop(0)
            self._note_durable(records)
            self._failures, self.failure = 0, ""
