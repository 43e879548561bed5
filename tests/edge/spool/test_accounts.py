"""Accounts of epochs that are over.

Goal: what is settled is remembered within its bound, and the cloud hears of every loss. Method: a spool that is opened again
and again; its accounts are the reports that the agent would send.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from edge.spool import Spool
from edge.spool.disk import Disk
from vantel.acks import Ack
from vantel.identity import DeliveryClass, PayloadKind
from vantel.intervals import IntervalSet

from .runs import CLOCK, Run, settings
from .test_spool import followed, reopened

P0, P2 = DeliveryClass.P0, DeliveryClass.P2


def test_history_keeps_settled_epochs_and_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.spool.books.HISTORY_EPOCHS_MAX", 5)
    run = Run(Disk(), tmp_path / "spool")
    run.start()
    for _ in range(10):
        run.append(P0, b"x")
        run.ack((run.spool.epoch, P0), 0, 0)
        run.maintain()
        run = reopened(run)
    counters = {account.epoch.counter for account in Spool.inspect(run.root).accounts}
    assert counters == set(range(1, 11)), "an epoch that still has segments was forgotten"
    assert {account.epoch.counter for account in run.spool.accounts()} == {7, 8, 9, 10, 11}
    run.spool.close()
    for path in run.root.rglob("*.seg"):
        path.unlink()
    for _ in range(2):
        run = followed(run)
        run.append(P0, b"x")
        run.ack((run.spool.epoch, P0), 0, 0)
        run.maintain()
        run.spool.close()
    counters = {account.epoch.counter for account in Spool.inspect(run.root).accounts}
    assert min(counters) >= 7


def test_losses_of_every_older_epoch_are_reported_and_again_after_an_eviction(tmp_path: Path) -> None:
    """However often the van was started before it reached the cloud."""
    spool = Spool.open(tmp_path / "spool", "van-1", settings(bytes_max=30_000))

    def lose_some() -> int:
        """Append until some are evicted; the last seq."""
        before = spool.evictions
        while spool.evictions == before:
            last = spool.append(P2, PayloadKind.BATCH, bytes(300), CLOCK)
            spool.maintain()
        return last

    def told() -> Counter[int]:
        """How often reports name each epoch that lost something, but for the newest, which every report names."""
        reports = [{a.epoch.counter for a in spool.accounts() if a.evicted} for _ in range(5)]
        return Counter(counter for report in reports for counter in report if counter <= 9)

    for _ in range(13):
        last = lose_some()
        firsts = {P0: 0, P2: spool.evictions}
        spool.ack(Ack("van-1", {(spool.epoch, c): IntervalSet([(at, last)]) for c, at in firsts.items()}))
        spool.close()
        spool = Spool.open(tmp_path / "spool", "van-1", settings(bytes_max=30_000))
    assert told() == dict.fromkeys(range(1, 10), 1), "more than a report has room for beside the newest"
    assert told() == {}
    lose_some()
    assert told() == dict.fromkeys(range(1, 10), 1), "the report may be what was evicted"
    spool.close()
