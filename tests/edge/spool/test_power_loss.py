"""What a power cut may have taken is told: from which envelope on, and how much at most.

Goal: an account bears a power_loss exactly when the power may have failed while its epoch ran, with the bounds that
held then; every envelope that is gone without a trace lies inside it; it outlives later starts and reaches the health
report. Method: FaultyDisk, which gives each power cut another boot id and kills none.
"""

from __future__ import annotations

import random

import pytest

from edge.spool import Spool
from vantel.acks import Ack
from vantel.identity import DeliveryClass
from vantel.intervals import IntervalSet
from vantel.payloads import ClassAccount, PowerLoss

from .faulty_disk import FaultyDisk
from .runs import ROOT, VAN, Run, settings

P0, P1, P2 = DeliveryClass.P0, DeliveryClass.P1, DeliveryClass.P2
QUIET = {"segment_bytes_max": 1 << 20, "group_bytes_max": 5000, "group_s_max": 60.0, "cursor_period_s": 60.0}


def started(disk: FaultyDisk, promises: Run | None = None, **changes: float) -> Run:
    run = Run(disk, section=settings(**{**QUIET, **changes}))
    if promises is not None:
        run.promised, run.acked = promises.promised, promises.acked
    run.start()
    return run


def account_of(run: Run, of: Run, delivery_class: DeliveryClass) -> ClassAccount:
    stream = (of.epochs[0], delivery_class)
    return next(a for a in run.spool.accounts() if (a.epoch, a.delivery_class) == stream)


def cut(disk: FaultyDisk, seed: int = 0) -> FaultyDisk:
    return disk.power_cut(random.Random(seed))


@pytest.mark.parametrize("seed", range(12))
def test_what_is_gone_lies_in_the_interval_that_is_told(seed: int) -> None:
    disk = FaultyDisk()
    first = started(disk)
    for _ in range(25):
        first.append(P1, bytes(900))
        first.append(P0, b"event")
    after = started(cut(disk, seed), first, group_bytes_max=9999, group_s_max=1.0)
    told = account_of(after, first, P1)
    assert told.power_loss == PowerLoss(told.produced, 5000, 60.0), (
        "the bounds are those of the epoch that ended"
    )
    assert 25 - told.produced < 6
    assert account_of(after, first, P0).power_loss is None
    assert account_of(after, first, P0).produced == 25
    after.check(lost_bytes_max=5000)


def test_it_stays_told_after_more_starts_and_in_the_health_report() -> None:
    disk = FaultyDisk()
    first = started(disk)
    first.append(P1, bytes(900))
    after = started(cut(disk), first)
    loss = account_of(after, first, P1).power_loss
    assert loss is not None
    again = started(disk := cut(after.disk), first)  # type: ignore[arg-type]
    assert account_of(again, first, P1).power_loss == loss
    again.spool.close()
    assert any(a.power_loss == loss for a in Spool.inspect(ROOT, disk).accounts)


def test_a_kill_and_a_close_in_order_lose_nothing() -> None:
    disk = FaultyDisk()
    first = started(disk)
    first.append(P1, bytes(900))
    second = started(disk := disk.killed(), first)
    assert account_of(second, first, P1).power_loss is None
    second.append(P1, bytes(900))
    second.spool.close()
    third = started(cut(disk), first)
    assert account_of(third, first, P1).power_loss is None
    assert account_of(third, second, P1).power_loss is None
    third.check()


def test_a_lost_cursor_means_that_the_power_may_have_failed() -> None:
    disk = FaultyDisk()
    first = started(disk)
    first.append(P1, bytes(900))
    first.spool.close()
    for path in [p for p in disk.names_now if p.name.startswith("cursor")]:
        disk.unlink(path)
    after = started(disk, first)
    assert account_of(after, first, P1).power_loss == PowerLoss(1, 256 * 1024, 1.0)


def test_an_ack_for_what_the_disk_forgot_is_not_forged() -> None:
    disk = FaultyDisk()
    first = started(disk)
    for _ in range(3):
        first.append(P1, bytes(900))
    lossless = started(disk.killed(), first)
    forgetful = started(cut(disk), first)
    for run, forged in ((lossless, 1), (forgetful, 0)):
        run.spool.ack(Ack(VAN, {(first.epochs[0], P1): IntervalSet([(0, 3)])}))
        assert run.spool.forged == forged
