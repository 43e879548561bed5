"""The real disk.

Goal: interrupted calls are repeated with a bound, new folders are durable, the lock is exclusive, reads stop at the
end. Method: the class itself on a temporary folder; a subclass that notes which folders were synced.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.spool.disk import Disk, uninterrupted


class NotingDisk(Disk):
    """Real disk that remembers the folders it synced."""

    def __init__(self) -> None:
        self.synced: list[Path] = []

    def sync_dir(self, path: Path) -> None:
        super().sync_dir(path)
        self.synced.append(path)


def test_interrupted_calls_are_repeated_and_not_for_ever() -> None:
    calls = 0

    def interrupted_three_times() -> int:
        nonlocal calls
        calls += 1
        if calls <= 3:
            raise InterruptedError
        return calls

    def always() -> int:
        raise InterruptedError

    assert uninterrupted(interrupted_three_times) == 4
    with pytest.raises(InterruptedError):
        uninterrupted(always)


def test_each_new_folder_is_synced_into_the_one_above(tmp_path: Path) -> None:
    disk = NotingDisk()
    disk.make_dir(tmp_path / "a" / "b")
    assert disk.synced == [tmp_path, tmp_path / "a"]
    disk.make_dir(tmp_path / "a" / "b")
    assert len(disk.synced) == 2


def test_write_read_rename_unlink(tmp_path: Path) -> None:
    disk = Disk()
    fd = disk.create(tmp_path / "x.tmp")
    assert disk.write(fd, b"hello", 3) == 5
    disk.sync(fd)
    disk.close(fd)
    disk.rename(tmp_path / "x.tmp", tmp_path / "x")
    assert disk.names(tmp_path) == ["x"]
    assert (disk.size(tmp_path / "x"), disk.read(tmp_path / "x", 2, 100)) == (8, b"\0hello")
    with pytest.raises(FileExistsError):
        disk.create(tmp_path / "x")
    disk.unlink(tmp_path / "x")
    assert disk.names(tmp_path) == []
    assert disk.free_bytes(tmp_path) > 0


def test_the_lock_is_exclusive_and_ends_with_close(tmp_path: Path) -> None:
    disk = Disk()
    fd = disk.lock(tmp_path / "lock")
    with pytest.raises(BlockingIOError):
        disk.lock(tmp_path / "lock")
    disk.close(fd)
    disk.close(disk.lock(tmp_path / "lock"))
