"""The disk of a simulated van: FaultyDisk with a fuse, error weather and a memory of its fullest moment.

Fair faults are those of FaultyDisk: calls that fail with EIO, ENOSPC, EROFS, short writes, failed syncs whose pages are
dropped, power cuts that lose, tear and reorder what was not synced. The fuse kills the process at a disk call, before
it or after it. Unfair, and never done: synced bytes that change, a name that was synced and is gone.
"""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

from vantel_rig.sim.disk import FaultyDisk
from vantel_rig.sim.world import Killed

WRITES = frozenset({"create", "write", "sync", "sync_file", "rename", "unlink", "sync_dir", "make_dir"})


class VanDisk(FaultyDisk):
    """See the module. error_rate: share of writing calls that fail with error; 0 when healthy. fuse: calls left to live,
    counted are those named fuse_on, which the process survives; empty: all, and it dies before the last."""

    def __init__(self, rng: random.Random, capacity_bytes: int = 1 << 40) -> None:
        super().__init__(capacity_bytes)
        self.rng = rng
        self.error_rate = 0.0
        self.error = errno.EIO
        self.short_rate = 0.0
        self.fuse = -1
        self.fuse_on = ""
        self.dead = False
        self.failed_calls = 0
        self.peak_bytes = 0

    def twin(self) -> VanDisk:
        """Keeps weather and memory, not the fuse."""
        disk = VanDisk(self.rng, self.capacity_bytes)
        disk.error_rate, disk.error, disk.short_rate = self.error_rate, self.error, self.short_rate
        disk.failed_calls, disk.peak_bytes = self.failed_calls, self.peak_bytes
        return disk

    def _call(self, name: str) -> bool:
        self.calls += 1
        if self.dead:
            raise Killed(name)
        if self.fuse > 0 and self.fuse_on in ("", name):
            self.fuse -= 1
            if self.fuse == 0 and self.fuse_on:
                self.fuse, self.fuse_on = 1, ""  # after this call means before the next
            elif self.fuse == 0:
                self.dead = True
                raise Killed(name)
        if name in WRITES:
            if self.error_rate and self.rng.random() < self.error_rate:
                self.failed_calls += 1
                raise OSError(self.error, os.strerror(self.error))
            if name == "write" and self.short_rate:
                return self.rng.random() < self.short_rate
        return False

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """Also looks how full the disk is."""
        taken = super().write(fd, data, offset)
        self.peak_bytes = max(self.peak_bytes, self.segment_bytes())
        return taken

    def segment_bytes(self) -> int:
        """Bytes in segment files."""
        return sum(len(inode.data) for path, inode in self.names_now.items() if path.name.endswith(".seg"))

    def free_bytes(self, path: Path) -> int:
        """Of the whole file system."""
        return super().free_bytes(path)
