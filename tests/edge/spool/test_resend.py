"""Ranges that the cloud asks for again.

Goal: what was acked and is still on the disk is sent again, byte by byte the same, behind nothing and after a restart
too; an ack of the bridge, which is cumulative, settles it only once it was handed out; what is gone is told with its
reason; nothing of it ever counts as lost. Method: the spool on a disk in memory, asked through its public API.
"""

from __future__ import annotations

import pytest

from edge.spool import Spool
from vantel.identity import DeliveryClass, Epoch
from vantel.intervals import IntervalSet

from .faulty_disk import FaultyDisk
from .runs import Run, settings
from .test_spool import entries, followed, reopened

P0, P1, P2 = DeliveryClass.P0, DeliveryClass.P1, DeliveryClass.P2


@pytest.fixture
def run() -> Run:
    """Twenty acked envelopes of P1 and one that waits."""
    run = Run(FaultyDisk(), section=settings(segment_bytes_max=4096))
    run.start()
    for number in range(21):
        run.append(P1, b"%02d" % number * 400)
    run.ack((run.spool.epoch, P1), 0, 19)
    return run


def seqs(spool: Spool, epoch: Epoch) -> list[int]:
    return [seq for of, seq in entries(spool, P1) if of == epoch]


def test_a_range_waits_again_and_is_the_same_bytes(run: Run) -> None:
    epoch, before = run.spool.epoch, run.spool.rewinds
    resent = run.spool.resend(epoch, P1, 5, 9)
    assert resent.again == IntervalSet([(5, 9)])
    assert resent.text == "5 sent again"
    assert run.spool.rewinds > before, "the uplink must look again at what lies behind it"
    assert seqs(run.spool, epoch) == [5, 6, 7, 8, 9, 20]
    assert run.spool.backlog()[P1][0] == 6
    assert run.contents()[epoch, P1][7] == b"07" * 400


def test_an_ack_counts_only_for_what_was_handed_out_since(run: Run) -> None:
    epoch = run.spool.epoch
    run.spool.resend(epoch, P1, 5, 9)
    assert run.ack((epoch, P1), 0, 19) == 0, "the bridge only repeats what it said before"
    assert seqs(run.spool, epoch) == [5, 6, 7, 8, 9, 20]
    entry = run.spool.next_after(P1, -1)
    assert entry is not None
    assert run.spool.load(entry) is not None
    assert run.ack((epoch, P1), 0, 19) == 1
    assert seqs(run.spool, epoch) == [6, 7, 8, 9, 20]
    for after in (-1, 6, 7, 8):
        entry = run.spool.next_after(P1, after)
        assert entry is not None
        run.spool.load(entry)
    run.ack((epoch, P1), 0, 20)
    assert run.spool.backlog()[P1] == (0, 0)


@pytest.mark.parametrize("kill", [False, True])
def test_it_outlives_a_restart_and_comes_back_from_the_history(run: Run, kill: bool) -> None:
    epoch = run.spool.epoch
    run.ack((epoch, P1), 0, 20)
    run = reopened(reopened(run))  # everything of the first epoch is settled and in the history by now
    run.maintain()
    assert run.spool.resend(epoch, P1, 3, 4).again == IntervalSet([(3, 4)])
    run = followed(run) if kill else reopened(run)
    assert seqs(run.spool, epoch) == [3, 4]
    assert run.ack((epoch, P1), 0, 20) == 0
    run.check()
    run.ack((epoch, P1), 0, 20)
    assert seqs(run.spool, epoch) == []


def test_what_is_gone_is_told(run: Run) -> None:
    epoch = run.spool.epoch
    run.section = settings(segment_bytes_max=4096, bytes_max=20_000, p0_reserve_bytes=0)
    run = reopened(run)
    for _ in range(8):
        run.append(P1, bytes(900))
    run.maintain()
    resent = run.spool.resend(epoch, P1, 0, 30)
    gone, left = resent.gone["space"], resent.again
    assert gone.count() + left.count() == 20
    assert gone
    assert left, "the newest are still there"
    assert resent.waiting == IntervalSet([(20, 20)])
    assert resent.gone["never"] == IntervalSet([(21, 30)])
    assert "wait anyway; gone: " in resent.text
    assert "10 never (21-30)" in resent.text
    assert not run.spool.resend(Epoch(99, 1), P1, 0, 5).known


def test_asked_again_and_then_gone_for_want_of_space_is_still_acked(run: Run) -> None:
    epoch = run.spool.epoch
    run.section = settings(segment_bytes_max=4096, bytes_max=30_000, p0_reserve_bytes=0)
    run = reopened(run)
    run.spool.resend(epoch, P1, 0, 19)
    for _ in range(30):
        run.append(P1, bytes(900))
        run.maintain()
    account = next(a for a in run.spool.accounts() if a.epoch == epoch and a.delivery_class is P1)
    assert not IntervalSet((e.first, e.last) for e in account.evicted).intersection(IntervalSet([(0, 19)]))
    run.check(lost_bytes_max=None)
