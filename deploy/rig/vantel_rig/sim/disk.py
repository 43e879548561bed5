"""A disk in memory that can fail: the second implementation of edge.spool.disk.Disk.

Keeps what programs see (the page cache) apart from what a power cut leaves (synced content, synced names). A failed
sync marks the pages clean, though only the later half was written, as ext4 and XFS may (Rebello et al., ATC 2020). Faults: an errno
at the n-th call, once or from then on, or short writes; a capacity in bytes. power_cut gives a disk on which every
unsynced 512-byte sector and every unsynced name was kept or lost by a seeded coin.
"""

from __future__ import annotations

import errno
import os
import random
from dataclasses import dataclass, field
from pathlib import Path

from edge.spool.disk import Disk

SECTOR_BYTES = 512


@dataclass(eq=False)
class Inode:
    """A file: content as programs see it, content on the medium, writes in between."""

    data: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    dirty: list[tuple[int, bytes]] = field(default_factory=list)


@dataclass
class Fault:
    """From call number at (0-based) on, calls fail with error; once: only that one. error 0: writes are short."""

    at: int
    error: int
    sticky: bool = False
    calls: tuple[str, ...] = ()

    def hits(self, number: int, call: str) -> bool:
        if self.calls and call not in self.calls:
            return False
        return number >= self.at if self.sticky else number == self.at


def _put(target: bytearray, offset: int, data: bytes) -> None:
    if len(target) < offset:
        target.extend(bytes(offset - len(target)))
    target[offset : offset + len(data)] = data


class FaultyDisk(Disk):
    """See the module."""

    def __init__(self, capacity_bytes: int = 1 << 40) -> None:
        self.capacity_bytes = capacity_bytes
        self.capacity_files = 1 << 40
        self.folders: set[Path] = set()
        self.names_now: dict[Path, Inode] = {}
        self.names_durable: dict[Path, Inode] = {}
        self.pending: list[tuple[str, Path, Path | None, Inode | None]] = []
        self.open_files: dict[int, Inode] = {}
        self.next_fd = 1000
        self.faults: list[Fault] = []
        self.calls = 0
        self.boots = 0

    def boot_id(self) -> str:
        return f"{self.boots + 1:032x}"

    def _call(self, name: str) -> bool:
        """Count a call and raise what is due; True when a write shall be short."""
        number, self.calls = self.calls, self.calls + 1
        short = False
        for fault in self.faults:
            if fault.hits(number, name):
                if fault.error:
                    raise OSError(fault.error, os.strerror(fault.error))
                short = True
        return short

    def used_bytes(self) -> int:
        return sum(len(inode.data) for inode in self.names_now.values())

    def make_dir(self, path: Path) -> None:
        if path not in self.folders:
            self._call("make_dir")
            self.folders.update((path, *path.parents))

    def names(self, path: Path) -> list[str]:
        self._call("names")
        if path not in self.folders:
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(path))
        return sorted(p.name for p in self.names_now if p.parent == path)

    def create(self, path: Path) -> int:
        self._call("create")
        if path in self.names_now:
            raise FileExistsError(errno.EEXIST, "file exists", str(path))
        if path.parent not in self.folders:
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(path))
        if len(self.names_now) >= self.capacity_files:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        inode = Inode()
        self.names_now[path] = inode
        self.pending.append(("link", path, None, inode))
        self.next_fd += 1
        self.open_files[self.next_fd] = inode
        return self.next_fd

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        short = self._call("write")
        inode = self.open_files[fd]
        taken = bytes(data)[: max(1, len(data) // 2)] if short else bytes(data)
        room = self.capacity_bytes - self.used_bytes() + max(0, len(inode.data) - offset)
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = taken[:room]
        _put(inode.data, offset, taken)
        inode.dirty.append((offset, taken))
        return len(taken)

    def _sync(self, inode: Inode, name: str) -> None:
        try:
            self._call(name)
        except OSError:
            for offset, data in inode.dirty[len(inode.dirty) // 2 :]:
                _put(inode.durable, offset, data)
            inode.dirty.clear()
            raise
        for offset, data in inode.dirty:
            _put(inode.durable, offset, data)
        inode.dirty.clear()

    def sync(self, fd: int) -> None:
        self._sync(self.open_files[fd], "sync")

    def sync_file(self, path: Path) -> None:
        self._sync(self._inode(path), "sync_file")

    def close(self, fd: int) -> None:
        self.open_files.pop(fd, None)
        self._call("close")

    def _inode(self, path: Path) -> Inode:
        if path not in self.names_now:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return self.names_now[path]

    def rename(self, source: Path, target: Path) -> None:
        self._call("rename")
        inode = self._inode(source)
        del self.names_now[source]
        self.names_now[target] = inode
        self.pending.append(("rename", source, target, inode))

    def unlink(self, path: Path) -> None:
        self._call("unlink")
        self._inode(path)
        del self.names_now[path]
        self.pending.append(("unlink", path, None, None))

    def sync_dir(self, path: Path) -> None:
        self._call("sync_dir")
        for op in [op for op in self.pending if op[1].parent == path]:
            self._apply(self.names_durable, op)
            self.pending.remove(op)

    @staticmethod
    def _apply(names: dict[Path, Inode], op: tuple[str, Path, Path | None, Inode | None]) -> None:
        kind, path, target, inode = op
        if kind == "link" and inode is not None:
            names[path] = inode
        elif kind == "unlink":
            names.pop(path, None)
        elif target is not None and inode is not None:
            names.pop(path, None)
            names[target] = inode

    def size(self, path: Path) -> int:
        self._call("size")
        return len(self._inode(path).data)

    def read(self, path: Path, offset: int, size: int) -> bytes:
        self._call("read")
        return bytes(self._inode(path).data[offset : offset + size])

    def free_files(self, path: Path) -> int:  # noqa: ARG002 - one file system
        self._call("free_files")
        return max(0, self.capacity_files - len(self.names_now))

    def free_bytes(self, path: Path) -> int:  # noqa: ARG002 - one file system
        self._call("free_bytes")
        return max(0, self.capacity_bytes - self.used_bytes())

    def lock(self, path: Path) -> int:  # noqa: ARG002 - never held by another
        self._call("lock")
        self.next_fd += 1
        return self.next_fd

    def twin(self) -> FaultyDisk:
        """An empty disk of the same kind, for what a crash leaves."""
        return FaultyDisk(self.capacity_bytes)

    def killed(self) -> FaultyDisk:
        """The disk as the next process finds it after SIGKILL: everything written is there."""
        disk = self.twin()
        disk.folders = set(self.folders)
        disk.names_now = dict(self.names_now)
        disk.names_durable = dict(self.names_durable)
        disk.pending = list(self.pending)
        disk.boots = self.boots
        return disk

    def power_cut(self, rng: random.Random) -> FaultyDisk:
        """The disk after the power failed now. Names in order of a journal half of the time, at random otherwise."""
        keep_share = rng.choice((0.0, 0.3, 0.7, 1.0))
        names = dict(self.names_durable)
        pending = list(self.pending)
        if rng.random() < 0.5:
            pending = pending[: rng.randint(0, len(pending))]
        else:
            pending = [op for op in pending if rng.random() < keep_share]
        for op in pending:
            self._apply(names, op)
        disk = self.twin()
        disk.folders = set(self.folders)
        disk.boots = self.boots + 1
        copies: dict[int, Inode] = {}
        for path, inode in names.items():
            if id(inode) not in copies:
                copies[id(inode)] = Inode(
                    content := self._after_cut(inode, rng, keep_share), bytearray(content)
                )
            disk.names_now[path] = disk.names_durable[path] = copies[id(inode)]
        return disk

    @staticmethod
    def _after_cut(inode: Inode, rng: random.Random, keep_share: float) -> bytearray:
        content = bytearray(inode.durable)
        for offset, data in inode.dirty:
            for at in range(0, len(data), SECTOR_BYTES):
                if rng.random() < keep_share:
                    _put(content, offset + at, data[at : at + SECTOR_BYTES])
        return content
