"""Keeps the spool within its bounds: what retention decides is evicted, made durable and unlinked, in this order.

A crash in between costs nothing: the accounts say what the files no longer do. Where a full disk takes no cursor, files go
without it, for that is the way to get room: a power cut before the next cursor then makes "corrupt" of the reason. Files
that cannot be removed are tried again. Called by the spool thread only.
"""

from __future__ import annotations

import contextlib
import errno
import threading
from pathlib import Path

import structlog

from edge.settings import SpoolSection
from edge.spool.books import Books
from edge.spool.disk import Disk
from edge.spool.index import Index
from edge.spool.retention import UNBOUNDED, Bound, Candidate, Limits, Release, Use, make_room, plan
from edge.spool.segment import Segment, present_seqs
from edge.spool.windows import window_of_segment
from vantel.identity import DeliveryClass

_log = structlog.get_logger("spool")


def limits_of(settings: SpoolSection) -> Limits:
    """Bounds as the settings give them."""
    floor_bytes = min(settings.bytes_max, 3 * settings.segment_bytes_max + settings.p0_reserve_bytes)
    floor_files = min(settings.files_max, FLOOR_FILES + settings.p0_reserve_files)
    return Limits(
        Bound(settings.bytes_max, settings.p0_reserve_bytes, settings.keep_free_bytes, floor_bytes),
        Bound(settings.files_max, settings.p0_reserve_files, settings.keep_free_files, floor_files),
    )


FLOOR_FILES = 16
"""Files that P1 and P2 may always have, however few the disk has left: a start makes three."""


class Space:
    """Bytes and files of the spool. doomed: files that recovery found empty."""

    def __init__(
        self, disk: Disk, directory: Path, lock: threading.RLock, index: Index, books: Books, settings: SpoolSection,
        doomed: list[Path],
    ) -> None:  # fmt: skip
        self._disk, self._directory, self._lock = disk, directory, lock
        self._index, self._books, self._limits = index, books, limits_of(settings)
        self._kept_bytes_max = 2 * settings.segment_bytes_max
        self._doomed = doomed
        self._kept_bytes = 0  # of files that the disk would not remove at the last try

    def over_quota(self) -> bool:
        """True when the bytes are above the quota, whatever the disk has left."""
        with self._lock:
            return sum(self._used()[0]) > self._limits.bytes.max

    def admit(self, delivery_class: DeliveryClass, coming_bytes: int) -> None:
        """Before coming_bytes go to a new file: make room, so that the quota holds with them too.

        OSError while the disk keeps more than two segments in files that it would not remove: writing on would pass
        the quota, and evicting more would lose data without freeing a byte.
        """
        self.retain(delivery_class, coming_bytes)
        if self._kept_bytes > self._kept_bytes_max:
            raise OSError(
                errno.EIO, f"{self._kept_bytes} bytes of files that should be gone cannot be removed"
            )

    def retain(self, delivery_class: DeliveryClass = DeliveryClass.P2, coming_bytes: int = 0) -> None:
        """Bring the spool within its limits, coming_bytes of a class counted as if they were there."""
        try:
            free_bytes = self._disk.free_bytes(self._directory)
            free_files = self._disk.free_files(self._directory)
        except OSError:
            free_bytes, free_files = UNBOUNDED, UNBOUNDED  # unknown: the quota still holds
        with self._lock:
            (p0_bytes, other_bytes), (p0_files, other_files) = self._used()
            p0_coming = coming_bytes if delivery_class is DeliveryClass.P0 else 0
            releases = plan(
                self._candidates(),
                Use(p0_bytes + p0_coming, other_bytes + coming_bytes - p0_coming, free_bytes - coming_bytes),
                Use(p0_files, other_files, free_files),
                self._limits,
            )
        self._release(releases)
        self.clear()

    def make_room(self, lowest: int, need_bytes: int) -> None:
        """A write met a full disk: free that much now, of no class above lowest."""
        with self._lock:
            releases = make_room(self._candidates(), need_bytes, lowest)
        self._release(releases)

    def give_up(self, segment: Segment, reason: str) -> None:
        """Evict what waits in a segment and forget it."""
        # before the lock is taken: the disk may stall for seconds
        window = window_of_segment(self._disk, segment) if segment.unsettled else None
        with self._lock:
            stream = (segment.epoch, segment.delivery_class)
            account = self._books.account(stream)
            if account is not None and segment.unsettled:
                self._index.settle(
                    stream, self._books.evict(account, present_seqs(segment.seqs), reason, window)
                )
            self._index.remove(segment)
            self._books.dirty = True

    def release(self, segment: Segment, reason: str) -> None:
        """Give a closed segment up, and its file."""
        self.give_up(segment, reason)
        if segment.path is not None:
            self.discard(segment.path)

    def discard(self, path: Path) -> None:
        """Remove a file that holds nothing any more, now or, if the disk refuses, later."""
        self._doomed.append(path)
        self.clear()

    def _closed(self) -> list[Segment]:
        return [
            s
            for items in self._index.segments.values()
            for s in items
            if s.path is not None and not s.is_open
        ]

    def _candidates(self) -> list[Candidate]:
        return [Candidate(s.number, s.delivery_class, s.bytes, s.unsettled) for s in self._closed()]

    def _used(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Bytes and files, each of P0 and of the others."""
        sizes = {c: sum(s.bytes for s in items) for c, items in self._index.segments.items()}
        files = {c: len(items) for c, items in self._index.segments.items()}
        p0_bytes, p0_files = sizes.pop(DeliveryClass.P0), files.pop(DeliveryClass.P0)
        return (p0_bytes, sum(sizes.values())), (p0_files, sum(files.values()))

    def _release(self, releases: list[Release]) -> None:
        if not releases:
            return
        with self._lock:
            by_number = {s.number: s for s in self._closed()}
        for release in releases:
            segment = by_number[release.number]
            self.give_up(segment, release.reason or "quota")
            if segment.path is not None:
                self._doomed.append(segment.path)
        lost = [release.reason for release in releases if release.reason]
        if lost:
            _log.warning("spool segments evicted", segments=len(lost), reason=lost[0])
        self._books.store()
        self.clear()

    def clear(self) -> bool:
        """Remove the files that should be gone, for good; False while the disk keeps one of them.

        The folders are synced: a removal that a power cut undoes would bring the file back beside what was written in
        its place.
        """
        left: list[Path] = []
        folders: dict[Path, None] = {}
        self._kept_bytes = 0
        for path in self._doomed:
            try:
                self._disk.unlink(path)
                folders[path.parent] = None
            except FileNotFoundError:
                continue
            except OSError:
                left.append(path)
                with contextlib.suppress(OSError):
                    self._kept_bytes += self._disk.size(path)
        self._doomed = left
        for folder in folders:
            with contextlib.suppress(OSError):  # tried again with the next removal
                self._disk.sync_dir(folder)
        return not left
