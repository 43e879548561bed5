"""Every file operation of the spool, in one place: the door to the kernel.

Thin and total: each method is one or two system calls and raises OSError as the kernel gives it. Tests put a second
implementation behind the same methods (errors, short writes, a power cut that forgets what was not synced). Offsets
and sizes in bytes. EINTR is retried here, with a bound; everything else is decided by the callers.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edge.clock.boot import boot_text

_T = TypeVar("_T")
_EINTR_RETRIES_MAX = 16
UNBOUNDED_FILES = 1 << 40


def uninterrupted(call: Callable[[], _T]) -> _T:
    """Result of call, repeated while a signal interrupts it; after the bound the last InterruptedError goes up."""
    for _ in range(_EINTR_RETRIES_MAX):
        try:
            return call()
        except InterruptedError:
            continue
    return call()


class Disk:
    """The real file system."""

    def make_dir(self, path: Path) -> None:
        """Create path and what lies above it, durably, if missing."""
        if path.is_dir():
            return
        self.make_dir(path.parent)
        path.mkdir(exist_ok=True)
        self.sync_dir(path.parent)

    def names(self, path: Path) -> list[str]:
        """Names in a folder, sorted."""
        return sorted(uninterrupted(lambda: os.listdir(path)))  # noqa: PTH208 - names only, one call

    def create(self, path: Path) -> int:
        """New empty file for writing; FileExistsError if it is there."""
        return uninterrupted(lambda: os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """Write at offset; returns how many bytes were taken, which may be fewer than given."""
        return uninterrupted(lambda: os.pwrite(fd, data, offset))

    def write_all(self, fd: int, data: bytes | bytearray, offset: int) -> None:
        """Write all of data, in as many calls as the disk wants."""
        view = memoryview(data)
        while view:
            taken = self.write(fd, view, offset)
            if taken <= 0:
                raise OSError(errno.ENOSPC, "the disk took nothing of a write")
            offset, view = offset + taken, view[taken:]

    def sync(self, fd: int) -> None:
        """Make the content of a file durable."""
        uninterrupted(lambda: os.fdatasync(fd))

    def sync_file(self, path: Path) -> None:
        """Make the content of a closed file durable."""
        fd = uninterrupted(lambda: os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        try:
            uninterrupted(lambda: os.fdatasync(fd))
        finally:
            os.close(fd)

    def close(self, fd: int) -> None:
        """Close. Never retried: the descriptor is gone whatever close says."""
        os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Atomic replacement of target."""
        uninterrupted(lambda: source.rename(target))

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        uninterrupted(path.unlink)

    def sync_dir(self, path: Path) -> None:
        """Make the names in a folder durable."""
        fd = uninterrupted(lambda: os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        try:
            uninterrupted(lambda: os.fsync(fd))
        finally:
            os.close(fd)

    def size(self, path: Path) -> int:
        """Size of a file."""
        return uninterrupted(path.stat).st_size

    def read(self, path: Path, offset: int, size: int) -> bytes:
        """At most size bytes from offset; fewer only at the end of the file."""
        fd = uninterrupted(lambda: os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        try:
            parts: list[bytes] = []
            while size > 0:
                at, want = offset, size
                part = uninterrupted(lambda at=at, want=want: os.pread(fd, want, at))  # type: ignore[misc]
                if not part:
                    break
                parts.append(part)
                offset, size = offset + len(part), size - len(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            os.close(fd)

    def free_bytes(self, path: Path) -> int:
        """Bytes that an ordinary user may still write on the file system of path."""
        status = uninterrupted(lambda: os.statvfs(path))
        return status.f_bavail * status.f_frsize

    def free_files(self, path: Path) -> int:
        """Files that an ordinary user may still create there; very many where the file system has no such bound."""
        status = uninterrupted(lambda: os.statvfs(path))
        return status.f_favail if status.f_files else UNBOUNDED_FILES

    def boot_id(self) -> str:
        """The kernel's id of this boot, "" where there is none."""
        return boot_text()

    def lock(self, path: Path) -> int:
        """Exclusive lock for the life of the process; BlockingIOError if another process holds it."""
        fd = uninterrupted(lambda: os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        return fd
