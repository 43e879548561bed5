"""The spool against crashes and a failing disk.

Goal: SIGKILL loses nothing, a failed sync is never trusted, memory is bounded, no epoch comes twice, and no fault of the
disk reaches the caller. Method: seeded runs on FaultyDisk, ended by SIGKILL; each call index with each error. Power cuts at
any system call and the long runs are in test_sweeps.py.
"""

from __future__ import annotations

import contextlib
import errno
import random
from pathlib import Path

import pytest

from edge.spool import Spool
from vantel.identity import DeliveryClass

from .faulty_disk import Fault, FaultyDisk
from .runs import ROOT, Run, settings

GROUP_BYTES = 2048
LARGEST_BYTES = 2500
ERRORS = (
    errno.EIO,
    *(pytest.param(e, marks=pytest.mark.once) for e in (errno.ENOSPC, errno.EROFS, errno.EINTR, 0)),
)


@pytest.mark.parametrize("seed", range(25))
def test_kills_lose_nothing(seed: int) -> None:
    rng = random.Random(seed)
    quota, period_s = rng.choice((60_000, 1 << 30)), rng.choice((0.0, 60.0))
    run = Run(FaultyDisk(), section=settings(bytes_max=quota, cursor_period_s=period_s))
    for _ in range(5):
        run.start()
        run.check()
        assert run.spool.position() >= run.position
        for _ in range(rng.randint(0, 60)):
            run.random_step(rng)
        run.note_tombstones()
        disk = run.disk
        assert isinstance(disk, FaultyDisk)
        run.disk = disk.killed()
    assert len(set(run.epochs)) == 5


def short_run(faults: list[Fault], seed: int) -> Run:
    """A run of a few dozen operations with a fault in it, then SIGKILL and a healthy disk."""
    rng = random.Random(seed)
    disk = FaultyDisk()
    run = Run(disk, section=settings(bytes_max=30_000))
    run.start()
    disk.calls = 0
    disk.faults = faults
    for _ in range(25):
        run.random_step(rng)
    run.note_tombstones()
    return run


@pytest.mark.parametrize("sticky", [False, True])
@pytest.mark.parametrize("error", ERRORS)
def test_every_call_index_with_every_error(error: int, sticky: bool) -> None:
    calls = short_run([], 11)
    assert isinstance(calls.disk, FaultyDisk)
    total = calls.disk.calls
    assert total > 60
    for index in range(total + 1):
        run = short_run([Fault(index, error, sticky)], 11)
        disk = run.disk
        assert isinstance(disk, FaultyDisk)
        degraded = bool(run.spool.degraded)
        disk.faults = []
        run.check(lost_bytes_max=0)  # still in this process: nothing is lost, whatever the disk did
        after = Run(disk.killed(), run.root, run.section, run.promised, run.acked, run.epochs.copy())
        after.start()
        assert after.spool.epoch not in run.epochs
        after.check(lost_bytes_max=None if degraded else 0, p0_safe=not degraded)


def test_a_failed_sync_is_never_trusted_again() -> None:
    """On the disk of this test a failed sync drops the pages: only a rewrite to a new file saves them."""
    for index in range(200):
        disk = FaultyDisk()
        run = Run(disk)
        run.start()
        disk.calls, disk.faults = 0, [Fault(index, errno.EIO, calls=("sync", "sync_dir"))]
        rng = random.Random(3)
        for _ in range(12):
            run.append(rng.choice(list(DeliveryClass)), rng.randbytes(300))
        reached = disk.calls > index
        after = Run(disk.power_cut(rng), promised=run.promised, acked=run.acked)
        after.start()
        after.check(lost_bytes_max=GROUP_BYTES + LARGEST_BYTES)
        if not reached:
            break
    else:
        pytest.fail("the run never ended without a fault")


def test_records_of_a_failed_sync_that_stand_in_two_files_count_once() -> None:
    """The end of the first file reached the medium, its beginning did not; the second file has all of it."""
    disk = FaultyDisk()
    section = settings(
        segment_bytes_max=1 << 20, group_bytes_max=1 << 19, group_s_max=0.2, cursor_period_s=60.0
    )
    run = Run(disk, section=section)
    run.start()
    for number in range(30):
        run.append(DeliveryClass.P1, b"%03d" % number * 900)
        if number == 2:
            run.maintain()  # the first three are durable in the first file, so that it stays
    disk.calls, disk.faults = 0, [Fault(0, errno.EIO, calls=("sync",))]
    run.spool.close()
    assert len([path for path in disk.names_now if path.parent.name == "p1"]) == 2
    for cut in range(5):
        after = Run(disk.power_cut(random.Random(cut)), promised=run.promised)
        after.start()
        found = after.check()
        assert len(found[(run.spool.epoch, DeliveryClass.P1)]) == 30


@pytest.mark.parametrize(
    ("group_bytes", "group_s", "lost_bytes_max"), [(2048, 60.0, 2048), (1 << 20, 0.2, 0)]
)
def test_groups_are_synced_by_bytes_and_by_age(group_bytes: int, group_s: float, lost_bytes_max: int) -> None:
    """One large segment and no cursor, so that nothing else syncs; the cut forgets all that was not synced."""
    section = settings(
        segment_bytes_max=1 << 20, group_bytes_max=group_bytes, group_s_max=group_s, cursor_period_s=60.0
    )
    disk = FaultyDisk()
    run = Run(disk, section=section)
    run.start()
    for _ in range(100):
        run.append(DeliveryClass.P1, bytes(300))
        run.maintain()
    for cut in range(10):
        after = Run(disk.power_cut(random.Random(cut)), promised=run.promised)
        after.start()
        after.check(lost_bytes_max=lost_bytes_max)


def test_start_on_a_disk_that_cannot_be_written_then_heals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.spool.writer.RETRY_S", 0.0)
    disk = FaultyDisk()
    first = Run(disk)
    first.start()
    first.append(DeliveryClass.P0, b"old")
    writes = ("create", "write", "make_dir", "rename", "unlink", "lock")
    disk.faults = [Fault(0, errno.EROFS, sticky=True, calls=writes)]
    run = Run(disk, promised=first.promised)
    spool = run.start()
    assert spool.epoch.counter == 0
    assert spool.epoch.random.bit_length() > 32
    assert "free or remount" in spool.degraded
    for number in range(5):
        run.append(DeliveryClass.P0, b"%d" % number)
        run.append(DeliveryClass.P1, b"%d" % number)
    run.maintain()
    assert spool.degraded
    assert spool.backlog()[DeliveryClass.P0][0] == 6
    run.check()
    disk.faults = []
    run.maintain()
    assert spool.degraded == ""
    after = Run(disk.killed(), promised=run.promised)
    assert after.start().epoch.counter > first.epochs[0].counter
    after.check()


def test_memory_is_bounded_and_what_goes_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.spool.writer.MEMORY_BYTES_MAX", 20_000)
    monkeypatch.setattr("edge.spool.writer.MEMORY_SEGMENT_BYTES", 4_000)
    disk = FaultyDisk()
    run = Run(disk)
    run.start()
    disk.faults = [Fault(0, errno.EIO, sticky=True)]
    for _ in range(100):
        run.append(DeliveryClass.P1, bytes(1000))
    envelopes, size = run.spool.backlog()[DeliveryClass.P1]
    assert size <= 24_000
    account = next(a for a in run.spool.accounts() if a.delivery_class is DeliveryClass.P1)
    assert {e.reason for e in account.evicted} == {"memory"}
    assert sum(e.last - e.first + 1 for e in account.evicted) == 100 - envelopes
    run.maintain()
    run.check()


def test_full_disk_costs_the_lowest_class_first_and_p0_goes_on() -> None:
    disk = FaultyDisk(capacity_bytes=400_000)
    run = Run(disk)
    spool = run.start()
    for number in range(600):
        run.append(DeliveryClass.P2 if number % 2 else DeliveryClass.P1, bytes(1000))
    for _ in range(200):
        run.append(DeliveryClass.P0, bytes(900))
        assert not spool.degraded
    run.maintain()
    evicted = {a.delivery_class: sum(e.last - e.first + 1 for e in a.evicted) for a in spool.accounts()}
    assert evicted[DeliveryClass.P2] > 250
    assert evicted[DeliveryClass.P0] == 0
    after = Run(disk.killed(), promised=run.promised)
    after.start()
    after.check(lost_bytes_max=None)


class Dead(BaseException):
    """SIGKILL: nothing may catch it."""


class DiesBehindARemoval(FaultyDisk):
    def unlink(self, path: Path) -> None:
        super().unlink(path)
        if path.suffix == ".seg":
            raise Dead


def test_a_kill_right_behind_a_removal_finds_the_reason_on_the_disk() -> None:
    disk = DiesBehindARemoval()
    run = Run(disk, section=settings(bytes_max=60_000, cursor_period_s=1e6))
    spool = run.start()
    with contextlib.suppress(Dead):
        for _ in range(200):
            run.append(DeliveryClass.P2, bytes(1000))
    assert spool.evictions
    after = Run(disk.killed()).start()
    reasons = {e.reason for account in after.accounts() for e in account.evicted}
    assert reasons - {"power"} == {"quota"}, "power: the one that was being appended"


def test_recovery_twice_gives_the_same() -> None:
    rng = random.Random(5)
    run = Run(FaultyDisk())
    run.start()
    for _ in range(60):
        run.random_step(rng)
    assert isinstance(run.disk, FaultyDisk)
    disk = run.disk.power_cut(rng)
    first, second = Spool.inspect(ROOT, disk), Spool.inspect(ROOT, disk)
    assert (first.accounts, first.spooled) == (second.accounts, second.spooled)


class FullestDisk(FaultyDisk):
    """Remembers how full its segment files were."""

    peak_bytes = 0

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        taken = super().write(fd, data, offset)
        used = sum(len(inode.data) for path, inode in self.names_now.items() if path.suffix == ".seg")
        self.peak_bytes = max(self.peak_bytes, used)
        return taken


def test_what_waited_in_memory_stays_within_the_quota_when_the_disk_is_well_again() -> None:
    disk = FullestDisk()
    section = settings(bytes_max=40_000)
    run = Run(disk, section=section)
    run.start()
    for _ in range(60):
        run.append(DeliveryClass.P1, bytes(1000))
    run.maintain()
    disk.faults = [Fault(disk.calls, errno.EIO, sticky=True, calls=("create", "write"))]
    for _ in range(60):
        for delivery_class in DeliveryClass:
            run.append(delivery_class, bytes(1000))
    assert run.spool.degraded
    disk.faults = []
    run.spool.close()
    assert disk.peak_bytes <= section.bytes_max + 2 * section.segment_bytes_max
    run.note_tombstones()
    after = Run(disk.killed(), section=section, promised=run.promised)
    after.start()
    after.check()


def test_files_that_cannot_be_removed_stop_the_writing_to_disk_and_not_the_collection() -> None:
    disk = FullestDisk()
    section = settings(bytes_max=40_000)
    run = Run(disk, section=section)
    run.start()
    disk.faults = [Fault(0, errno.EACCES, sticky=True, calls=("unlink",))]
    for _ in range(300):
        run.append(DeliveryClass.P1, bytes(1000))
        run.maintain()
    assert "cannot be removed" in run.spool.degraded
    assert disk.peak_bytes <= section.bytes_max + 4 * section.segment_bytes_max
    assert run.spool.backlog()[DeliveryClass.P1][0] > 200, "memory and disk hold what they can"
    disk.faults = []
    run.spool.close()
    assert run.spool.degraded == ""


def test_a_power_cut_does_not_bring_evicted_files_back() -> None:
    disk = FaultyDisk()
    section = settings(bytes_max=40_000)
    run = Run(disk, section=section)
    run.start()
    for _ in range(40):
        run.append(DeliveryClass.P2, bytes(1000))
        run.maintain()
    for _ in range(40):
        run.append(DeliveryClass.P1, bytes(1000))
        run.maintain()
    names = disk.power_cut(random.Random(1)).names_durable
    used = sum(len(inode.data) for path, inode in names.items() if path.suffix == ".seg")
    assert used <= section.bytes_max + 2 * section.segment_bytes_max
