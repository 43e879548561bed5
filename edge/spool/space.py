"""Keeps the spool within its bounds: what retention decides is evicted, made durable and unlinked, in this order.

A crash in between costs nothing: the accounts say what the files no longer do. Files that cannot be removed are tried
again. Called by the spool thread only.
"""

from __future__ import annotations

import threading
from pathlib import Path

import structlog

from edge.settings import SpoolSection
from edge.spool.books import Books
from edge.spool.disk import Disk
from edge.spool.index import Index
from edge.spool.recovery import present_seqs
from edge.spool.retention import Candidate, Limits, Release, make_room, plan
from edge.spool.segment import Segment
from vantel.identity import DeliveryClass

_log = structlog.get_logger("spool")


def limits_of(settings: SpoolSection) -> Limits:
    """Bounds as the settings give them. At least 4096 files, or twice what full segments would need."""
    return Limits(
        settings.bytes_max,
        settings.p0_reserve_bytes,
        settings.keep_free_bytes,
        min(settings.bytes_max, 3 * settings.segment_bytes_max + settings.p0_reserve_bytes),
        max(4096, 2 * settings.bytes_max // settings.segment_bytes_max),
    )


class Space:
    """Bytes and files of the spool. doomed: files that recovery found empty."""

    def __init__(
        self, disk: Disk, directory: Path, lock: threading.RLock, index: Index, books: Books, limits: Limits,
        doomed: list[Path],
    ) -> None:  # fmt: skip
        self._disk, self._directory, self._lock = disk, directory, lock
        self._index, self._books, self._limits = index, books, limits
        self._doomed = doomed

    def over_quota(self) -> bool:
        """True when the bytes are above the quota, whatever the disk has left."""
        with self._lock:
            return sum(self._sums()[:2]) > self._limits.bytes_max

    def retain(self) -> None:
        """Bring the spool within its limits."""
        try:
            free_bytes = self._disk.free_bytes(self._directory)
        except OSError:
            free_bytes = self._limits.keep_free_bytes  # unknown: the quota in bytes still holds
        with self._lock:
            p0_bytes, other_bytes, files = self._sums()
            releases = plan(self._candidates(), p0_bytes, other_bytes, free_bytes, files, self._limits)
        self._release(releases)
        self._unlink_doomed()

    def make_room(self, delivery_class: DeliveryClass, need_bytes: int) -> None:
        """A write met a full disk: free that much now, of no higher class."""
        with self._lock:
            releases = make_room(self._candidates(), need_bytes, delivery_class)
        self._release(releases)

    def give_up(self, segment: Segment, reason: str) -> None:
        """Evict what waits in a segment and forget it."""
        with self._lock:
            stream = (segment.epoch, segment.delivery_class)
            account = self._books.account(stream)
            if account is not None and segment.unsettled:
                self._index.settle(stream, self._books.evict(account, present_seqs(segment.seqs), reason))
            self._index.remove(segment)
            self._books.dirty = True

    def _closed(self) -> list[Segment]:
        return [
            s
            for items in self._index.segments.values()
            for s in items
            if s.path is not None and not s.is_open
        ]

    def _candidates(self) -> list[Candidate]:
        return [Candidate(s.number, s.delivery_class, s.bytes, s.unsettled) for s in self._closed()]

    def _sums(self) -> tuple[int, int, int]:
        """Bytes of P0, bytes of the others, files."""
        by_class = {c: sum(s.bytes for s in items) for c, items in self._index.segments.items()}
        files = sum(len(items) for items in self._index.segments.values())
        p0_bytes = by_class.pop(DeliveryClass.P0)
        return p0_bytes, sum(by_class.values()), files

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
        self._unlink_doomed()

    def _unlink_doomed(self) -> None:
        left: list[Path] = []
        for path in self._doomed:
            try:
                self._disk.unlink(path)
            except FileNotFoundError:
                continue
            except OSError:
                left.append(path)
        self._doomed = left
