"""Clock stamps of what was sealed before the clock was known.

Goal: such envelopes wait unsent; their stamp is durable before the first send and never changes after it, whatever
instant SIGKILL, a power cut or a failing disk picks; none is lost; those of an earlier boot get what was known then or
go with source none. Method: FaultyDisk, stopped at each of its calls; what was handed out before a crash is compared
byte by byte with what is handed out after it, under another clock.
"""

from __future__ import annotations

import errno
import random

import pytest

from edge.clock.boot import boot_bytes
from edge.spool import Spool
from tests.edge.spool_walk import offered
from vantel.envelope import ClockStamp, clock_of, open_message
from vantel.identity import DeliveryClass, Epoch, PayloadKind

from .faulty_disk import Fault, FaultyDisk
from .runs import ROOT, VAN, settings

P0, P1, P2 = DeliveryClass.P0, DeliveryClass.P1, DeliveryClass.P2
ALL, NONE_WAITS = frozenset(DeliveryClass), frozenset[DeliveryClass]()
NTP, NO_SOURCE, YEAR_NS = 2, 1, 365 * 86400 * 10**9
Sent = dict[tuple[Epoch, DeliveryClass, int], bytes]


def wrong(disk: FaultyDisk) -> ClockStamp:
    return ClockStamp(boot_bytes(disk.boot_id()), 5, NO_SOURCE)


def right(disk: FaultyDisk, number: int = 0) -> ClockStamp:
    return ClockStamp(boot_bytes(disk.boot_id()), 50 * YEAR_NS + number, NTP, 1000 + number)


def opened(disk: FaultyDisk) -> Spool:
    return Spool.open(ROOT, VAN, settings(), disk)


def filled(disk: FaultyDisk, envelopes: int = 12) -> Spool:
    """A spool with envelopes of each class that wait for the clock."""
    spool = opened(disk)
    spool.tell_clock(wrong(disk), False, ALL)
    for number in range(envelopes):
        for delivery_class in DeliveryClass:
            spool.append(delivery_class, PayloadKind.EVENT, bytes([number]) * 700, wrong(disk))
    return spool


def handed(spool: Spool) -> Sent:
    """Everything that the uplink would send."""
    found: Sent = {}
    for entry, message in offered(spool):
        assert len(message) == entry.bytes
        found[(*entry.stream, entry.seq)] = message
    return found


def offsets(sent: Sent) -> set[int]:
    return {clock_of(message).offset_ns for message in sent.values()}


def test_they_wait_class_by_class_and_keep_their_stamp() -> None:
    disk = FaultyDisk()
    spool = filled(disk)
    assert handed(spool) == {}
    assert spool.backlog()[P1][0] == 12, "they are there all the same"
    spool.tell_clock(wrong(disk), False, frozenset({P1, P2}))
    first = handed(spool)
    assert {key[1] for key in first} == {P0}
    assert len(first) == 12
    spool.tell_clock(right(disk), True, NONE_WAITS)
    sent = handed(spool)
    assert len(sent) == 36
    assert first.items() <= sent.items(), "what was sent keeps its stamp, source none"
    assert offsets({k: m for k, m in sent.items() if k[1] is not P0}) == {right(disk).offset_ns}
    spool.append(P1, PayloadKind.EVENT, b"later", right(disk, 7))
    sent = handed(spool)
    assert offsets(sent) == {5, right(disk).offset_ns, right(disk, 7).offset_ns}
    again = opened(disk.killed())
    assert handed(again) == sent
    assert {open_message(m)[0].payload for m in sent.values()} >= {bytes([n]) * 700 for n in range(12)}


class Cut(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("power", [False, True])
def test_a_crash_at_any_call_never_changes_a_stamp(power: bool) -> None:
    def until(stop_at: int) -> tuple[FaultyDisk, Sent, bool]:
        """The run until a call of the disk; what had been handed out; whether it came to its end."""
        disk = FaultyDisk()
        spool = filled(disk, 8)
        disk.calls, plain = 0, disk._call

        def call(name: str) -> bool:
            if disk.calls == stop_at:
                raise Cut
            return plain(name)

        disk._call = call  # type: ignore[method-assign]
        sent: Sent = {}
        try:
            for waiting in (frozenset({P1, P2}), NONE_WAITS):
                spool.tell_clock(right(disk), True, waiting)
                sent.update(handed(spool))
                spool.maintain()
        except Cut:
            return disk, sent, False
        return disk, sent, True

    ended, index = False, 0
    while not ended:
        disk, sent, ended = until(index)
        index += 1
        rng = random.Random(index)
        for _ in range(4 if power else 1):
            after = disk.power_cut(rng) if power else disk.killed()
            spool = opened(after)
            spool.tell_clock(right(after, 99), True, NONE_WAITS)
            spool.maintain()
            now = handed(spool)
            assert sent.items() <= now.items(), f"a stamp changed after a crash at call {index - 1}"
            assert sum(key[1] is P0 for key in now) == 8
            if not power:
                assert len(now) == 24
    assert index > 60


@pytest.mark.parametrize("sticky", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        errno.EIO,
        *(pytest.param(e, marks=pytest.mark.once) for e in (errno.ENOSPC, errno.EROFS, errno.EINTR, 0)),
    ],
)
def test_a_failing_disk_delays_stamps_and_loses_nothing(
    error: int, sticky: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.spool.spool.STAMPING_RETRY_S", 0.0)
    monkeypatch.setattr("edge.spool.writer.RETRY_S", 0.0)
    index = calls = 0
    while index <= calls:
        disk = FaultyDisk()
        spool = filled(disk, 5)
        disk.calls, disk.faults = 0, [Fault(index, error, sticky)]
        spool.tell_clock(right(disk), True, NONE_WAITS)
        calls = max(calls, disk.calls)
        disk.faults = []
        early = handed(spool)
        for _ in range(3):
            spool.maintain()
        sent = handed(spool)
        assert early.items() <= sent.items()
        lost = sum(e.last - e.first + 1 for a in spool.accounts() for e in a.evicted)
        assert lost == (0 if error != errno.ENOSPC else lost), "only want of space may cost an envelope"
        assert not any(e.reason == "corrupt" for a in spool.accounts() for e in a.evicted)
        assert not any(a.evicted for a in spool.accounts() if a.delivery_class is P0)
        assert len({key for key in sent if open_message(sent[key])[0].kind is PayloadKind.EVENT}) + lost == 15
        index += 1
    assert calls > 20


def test_an_earlier_boot_goes_with_what_was_known_then_or_with_none() -> None:
    disk = FaultyDisk()
    spool = filled(disk)
    spool.close()
    unknown = disk.power_cut(random.Random(1))
    sent = handed(opened(unknown))
    assert len(sent) == 36
    assert {clock_of(m) for m in sent.values()} == {wrong(disk)}, (
        "nothing can be known of that clock any more"
    )

    spool = filled(disk := FaultyDisk())
    spool.tell_clock(right(disk), True, ALL)  # known, but the power fails before anything was stamped
    spool.close()
    known = disk.power_cut(random.Random(1))
    spool = opened(known)
    spool.tell_clock(wrong(known), False, ALL)
    assert {clock_of(m) for m in handed(spool).values()} == {right(disk)}


def test_a_restart_in_the_same_boot_waits_on() -> None:
    spool = filled(disk := FaultyDisk())
    since = spool.boot_since_mono_ns
    again = opened(disk := disk.killed())
    assert again.boot_since_mono_ns == since
    again.tell_clock(wrong(disk), False, ALL)
    assert handed(again) == {}
    again.tell_clock(right(disk), True, NONE_WAITS)
    assert offsets(handed(again)) == {right(disk).offset_ns}
    assert again.known_clock == right(disk)


def test_stamps_do_not_wait_for_a_disk_that_holds_nothing() -> None:
    disk = FaultyDisk()
    disk.faults = [
        Fault(0, errno.EROFS, sticky=True, calls=("create", "write", "make_dir", "rename", "unlink"))
    ]
    spool = filled(disk)
    assert spool.degraded
    assert handed(spool) == {}
    spool.tell_clock(right(disk), True, NONE_WAITS)
    sent = handed(spool)
    assert len(sent) == 36
    assert offsets(sent) == {right(disk).offset_ns}


def test_damage_in_what_waits_costs_the_damaged_block_only() -> None:
    spool = filled(disk := FaultyDisk(), 5)
    path = next(p for p in disk.names_now if p.parent.name == "p1" and p.suffix == ".seg")
    disk.names_now[path].data[200] ^= 1  # in the first record of the first file
    spool.tell_clock(right(disk), True, NONE_WAITS)
    spool.maintain()
    assert sum(key[1] is P1 for key in handed(spool)) == 4
    account = next(a for a in spool.accounts() if a.delivery_class is P1)
    assert [(e.first, e.last, e.reason) for e in account.evicted] == [(0, 0, "corrupt")]


def test_no_stamp_is_given_while_an_older_copy_may_come_back() -> None:
    """A failed sync leaves whole records in a file that cannot be removed; the same records wait in memory."""
    disk = FaultyDisk()
    spool = opened(disk)
    spool.tell_clock(wrong(disk), False, ALL)
    spool.append(P1, PayloadKind.EVENT, b"the file is made and written", wrong(disk))
    disk.faults = [Fault(0, errno.EIO, sticky=True, calls=("sync", "unlink"))]
    for number in range(4):
        spool.append(P1, PayloadKind.EVENT, bytes([number]) * 700, wrong(disk))
    assert spool.degraded
    disk.faults = [Fault(0, errno.EIO, sticky=True, calls=("unlink",))]
    spool.tell_clock(right(disk), True, NONE_WAITS)
    sent = handed(spool)
    after = disk.killed()
    again = opened(after)
    again.tell_clock(right(after, 99), True, NONE_WAITS)
    now = handed(again)
    assert {key: message for key, message in sent.items() if now.get(key, message) != message} == {}
    assert now, "the copies of the file that could not be removed"
