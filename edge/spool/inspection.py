"""A spool as its directory shows it, read-only, whether its agent runs or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.spool.account import StreamId
from edge.spool.disk import Disk
from edge.spool.recovery import Recovery, recover
from edge.spool.segment import present_seqs
from vantel.identity import Epoch
from vantel.intervals import IntervalSet
from vantel.payloads import ClassAccount

INSPECT_TRIES_MAX = 3


@dataclass(frozen=True, slots=True)
class SpoolReport:
    """A spool as its directory shows it. accounts: all epochs known; spooled: present and neither acked nor evicted."""

    van: str
    epoch: Epoch
    position: int
    accounts: tuple[ClassAccount, ...]
    spooled: dict[StreamId, IntervalSet]
    recovery: Recovery


def inspect(directory: Path, disk: Disk | None = None) -> SpoolReport:
    """Accounts and contents of a spool directory, read-only, whether its agent runs or not.

    While it runs, acks of the last few seconds may be missing. A cursor that moves on during the look starts it again.
    """
    disk = disk or Disk()
    for _ in range(INSPECT_TRIES_MAX):
        found = recover(disk, directory, None, disk.boot_id())
        if not found.moved(disk, directory):
            break
    spooled: dict[StreamId, IntervalSet] = {}
    for segment in (s for items in found.segments.values() for s in items):
        stream = (segment.epoch, segment.delivery_class)
        waiting = present_seqs(segment.seqs).difference(found.state.accounts[stream].settled)
        spooled.setdefault(stream, IntervalSet()).update(waiting)
    accounts = {**found.history.accounts, **found.state.accounts}
    frozen = tuple(
        accounts[stream].freeze()
        for stream in sorted(accounts)
        if accounts[stream].produced or accounts[stream].power_loss
    )
    state = found.state
    return SpoolReport(state.van, state.epoch, state.position, frozen, spooled, found.recovery)
