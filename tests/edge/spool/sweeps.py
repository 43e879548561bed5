"""Runs of random operations on the spool that end in power cuts or meet a failing disk, with a memory of what was promised.

Each is a function of its number that asserts, and counts what it tried. The commands are in tests/chaos/spool_sweeps.py.
"""

from __future__ import annotations

import errno
import os
import random
import traceback
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache

from edge.clock.boot import boot_bytes
from edge.spool import Entry, Spool
from vantel.acks import Ack
from vantel.envelope import ClockStamp, open_message
from vantel.identity import DeliveryClass, Epoch, PayloadKind
from vantel.intervals import IntervalSet
from vantel.payloads import ClassAccount

from .faulty_disk import Fault, FaultyDisk
from .runs import ROOT, VAN, settings

P0, P1 = DeliveryClass.P0, DeliveryClass.P1
CUTS_PER_RUN = 20
GROUP_BYTES = 2048
OPERATIONS = 1000
ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS, errno.EINTR, 0)
Stream = tuple[Epoch, DeliveryClass]
Counts = dict[str, int]


class Cut(BaseException):
    """The machine stops here."""


@dataclass
class History:
    """What the outside world knows over all epochs. begun: append was called; returned: it came back.

    sent: messages that were handed to the uplink. gone: seqs known to be lost before this epoch.
    """

    begun: dict[Stream, list[bytes | None]] = field(default_factory=dict)
    returned: dict[Stream, int] = field(default_factory=dict)
    acked: dict[Stream, IntervalSet] = field(default_factory=dict)
    sent: dict[tuple[Stream, int], bytes] = field(default_factory=dict)
    gone: dict[Stream, IntervalSet] = field(default_factory=dict)

    def learn(self, spool: Spool, returned: bool = True) -> None:
        """The spool appends tombstones by itself. returned False: the last of them may not have come back."""
        stream = (spool.epoch, P0)
        account = spool._books.state.accounts[stream]
        known = self.begun.setdefault(stream, [])
        known.extend([None] * (account.produced - len(known)))
        if returned:
            self.returned[stream] = account.produced


def _clock(disk: FaultyDisk, known: bool, number: int) -> ClockStamp:
    return ClockStamp(
        boot_bytes(disk.boot_id()), 10**18 + number if known else number, 2 if known else 1, number
    )


def _step(spool: Spool, disk: FaultyDisk, history: History, rng: random.Random, number: int) -> None:
    """One append, ack, look at what can be sent, turn of the clock, resend or round of upkeep."""
    choice = rng.random()
    if choice < 0.62:
        delivery_class = rng.choice(list(DeliveryClass))
        stream = (spool.epoch, delivery_class)
        history.learn(spool)
        payload = rng.randbytes(rng.choice((0, 5, 60, 300, 900, 1900)))
        history.begun.setdefault(stream, []).append(payload)
        seq = spool.append(delivery_class, PayloadKind.BATCH, payload, _clock(disk, False, number))
        assert seq == len(history.begun[stream]) - 1
        history.returned[stream] = seq + 1
    elif choice < 0.74:
        streams = [s for s, count in history.returned.items() if count]
        if streams:
            stream = rng.choice(streams)
            last = rng.randrange(history.returned[stream])
            first = last if rng.random() < 0.3 else 0
            history.acked.setdefault(stream, IntervalSet()).add(first, last)
            spool.ack(Ack(VAN, {stream: IntervalSet([(first, last)])}))
    elif choice < 0.82:
        entry = spool.next_after(rng.choice(list(DeliveryClass)), rng.choice((-1, -1, number // 2)))
        if entry is not None:
            _hand_out(spool, entry, history)
    elif choice < 0.85:
        known = rng.random() < 0.5
        waiting = frozenset() if known else frozenset(c for c in DeliveryClass if rng.random() < 0.5)
        spool.tell_clock(_clock(disk, known, number), known, waiting)
    elif choice < 0.87 and history.acked:
        stream = rng.choice(list(history.acked))
        spool.resend(*stream, 0, rng.randrange(20))
    else:
        spool.maintain()
        history.learn(spool)


def _hand_out(spool: Spool, entry: Entry, history: History) -> None:
    message = spool.load(entry)
    if message is not None:
        before = history.sent.setdefault((entry.stream, entry.seq), message)
        assert before == message, "two deliveries of one envelope differ"


def _judge(spool: Spool, history: History, running: Epoch | None, p0_safe: bool, bound: int | None) -> None:
    """After a restart: nothing invented, no stamp changed, all accounts add up, no more lost than the bound.

    running: epoch that the crash ended; of older ones nothing more may be lost. bound None: anything may be.
    """
    spooled = _contents(spool, history)
    accounts = {(a.epoch, a.delivery_class): a for a in Spool.inspect(ROOT, spool._disk).accounts}
    accounts |= {(a.epoch, a.delivery_class): a for a in spool.accounts()}
    for stream, items in history.begun.items():
        account = accounts.get(stream)
        here = spooled.get(stream, IntervalSet())
        lost = IntervalSet()
        if history.returned.get(stream):
            lost.add(0, history.returned[stream] - 1)
        lost = lost.difference(here, history.acked.get(stream, IntervalSet()))
        if account is not None:
            _add_up(account, here, history, len(items))
            for eviction in account.evicted:
                if eviction.reason not in ("power", "corrupt"):
                    lost.remove(eviction.first, eviction.last)
        lost = lost.difference(history.gone.get(stream, IntervalSet()))
        if stream[1] is P0:
            assert not lost or not p0_safe, f"P0 lost: {stream} {lost}"
        elif bound is not None:
            size = sum(len(items[seq] or b"") for first, last in lost for seq in range(first, last + 1))
            assert size < bound if stream[0] == running else not lost, f"{stream}: {lost}, {size} bytes"
            if stream[0] == running and any(last >= (account.produced if account else 0) for _, last in lost):
                assert account is not None
                assert account.power_loss is not None, "gone without a word"
                assert (account.power_loss.first, account.power_loss.bytes_max) == (
                    account.produced,
                    GROUP_BYTES,
                )
        if lost:
            history.gone.setdefault(stream, IntervalSet()).update(lost)


def _add_up(account: ClassAccount, here: IntervalSet, history: History, begun: int) -> None:
    given = history.acked.get((account.epoch, account.delivery_class), IntervalSet())
    assert not account.acked.difference(given), "acked what the cloud never acked"
    evicted = IntervalSet((e.first, e.last) for e in account.evicted)
    assert account.acked.count() + evicted.count() + here.count() == account.produced, account
    assert account.produced <= begun


def _contents(spool: Spool, history: History) -> dict[Stream, IntervalSet]:
    """Everything that waits, read as the uplink would once the clock is told."""
    spool._stamping_at_s = float("-inf")  # the time of the next try has come
    spool.tell_clock(_clock(spool._disk, True, 999_999), True, frozenset())  # type: ignore[arg-type]
    history.learn(spool)
    found: dict[Stream, IntervalSet] = {}
    for delivery_class in DeliveryClass:
        after = -1
        while (entry := spool.next_after(delivery_class, after)) is not None:
            after = entry.ordinal
            message = spool.load(entry)
            if message is None:
                continue
            envelope, _ = open_message(message)
            assert (envelope.van, envelope.epoch, envelope.seq) == (VAN, entry.stream[0], entry.seq)
            promised = history.begun[entry.stream][entry.seq]
            if envelope.kind is not PayloadKind.TOMBSTONE and promised is not None:
                assert envelope.payload == promised, "a phantom"
            before = history.sent.get((entry.stream, entry.seq), message)
            assert before == message, "two deliveries of one envelope differ"
            assert entry.seq not in found.setdefault(entry.stream, IntervalSet())
            found[entry.stream].add(entry.seq)
    return found


def _copy(history: History) -> History:
    return History(
        {s: list(items) for s, items in history.begun.items()}, dict(history.returned),
        {s: seqs.copy() for s, seqs in history.acked.items()}, dict(history.sent),
        {s: seqs.copy() for s, seqs in history.gone.items()},
    )  # fmt: skip


def powerless(number: int) -> Counts:
    """A run of three epochs, each ended by a power cut inside a system call; CUTS_PER_RUN states are judged."""
    rng = random.Random(number)
    section = settings(
        bytes_max=rng.choice((60_000, 1 << 30)), cursor_period_s=rng.choice((0.0, 60.0)),
        group_bytes_max=GROUP_BYTES,
    )  # fmt: skip
    disk, history = FaultyDisk(), History()
    states = lost = 0
    for epoch in range(3):
        spool = None
        stop_at = disk.calls + rng.randint(0, 250)
        plain = disk._call

        def call(name: str, disk: FaultyDisk = disk, stop_at: int = stop_at, plain=plain) -> bool:  # type: ignore[no-untyped-def]
            if disk.calls >= stop_at:
                raise Cut
            return plain(name)

        disk._call = call  # type: ignore[method-assign]
        try:
            spool = Spool.open(ROOT, VAN, section, disk)
            if rng.random() < 0.4:
                spool.tell_clock(_clock(disk, False, 0), False, frozenset(DeliveryClass))
            for step in range(200):
                _step(spool, disk, history, rng, step)
        except Cut:
            if spool is not None:
                history.learn(spool, returned=False)
        disk._call = plain  # type: ignore[method-assign]
        running = spool.epoch if spool is not None else None
        cuts = CUTS_PER_RUN // 3 if epoch < 2 else CUTS_PER_RUN - 2 * (CUTS_PER_RUN // 3)
        for last in range(cuts):
            after = disk.power_cut(rng)
            known = history if last == cuts - 1 else _copy(history)
            before = sum(seqs.count() for seqs in known.gone.values())
            again = Spool.open(ROOT, VAN, section, after)
            assert running is None or again.epoch.counter > running.counter
            _judge(again, known, running, True, GROUP_BYTES)
            lost += sum(seqs.count() for seqs in known.gone.values()) - before
            states += 1
        disk = after
    return {"states": states, "envelopes_lost_power": lost, "p0_lost": 0}


def _started() -> tuple[FaultyDisk, Spool]:
    disk = FaultyDisk()
    spool = Spool.open(ROOT, VAN, settings(bytes_max=100_000, group_bytes_max=GROUP_BYTES), disk)
    disk.calls = 0
    return disk, spool


def _operate(disk: FaultyDisk, spool: Spool) -> History:
    """The run of OPERATIONS steps. Always the same steps."""
    rng, history = random.Random(11), History()
    for step in range(OPERATIONS):
        _step(spool, disk, history, rng, step)
    return history


@lru_cache(maxsize=1)
def system_calls() -> int:
    """Calls of the disk in the run."""
    disk, spool = _started()
    _operate(disk, spool)
    return disk.calls


def faulted(numbers: Collection[int]) -> Counts:
    """Each of these calls under each fault: in this process nothing is lost whatever the disk does; a kill afterwards
    costs only what was never on a disk. The run is forked at the call, so that it need not start anew for each fault.
    """
    wanted, last = set(numbers), max(numbers)
    disk, spool = _started()
    plain = disk._call
    faults = [(error, sticky) for error in ERRORS for sticky in (False, True)]
    runs = degraded = 0

    def call(name: str) -> bool:
        nonlocal runs, degraded
        if disk.calls in wanted:
            wanted.discard(disk.calls)
            for error, sticky in faults:
                if (child := os.fork()) == 0:
                    disk._call = plain  # type: ignore[method-assign]
                    disk.faults = [Fault(disk.calls, error, sticky)]
                    return plain(name)  # goes on below, as if there were no other world
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                assert status in (0, 3), f"call {disk.calls} ({name}), error {error}, sticky {sticky}"
                runs, degraded = runs + 1, degraded + (status == 3)
        if disk.calls > last:
            raise Cut
        return plain(name)

    parent = os.getpid()
    disk._call = call  # type: ignore[method-assign]
    try:
        history = _operate(disk, spool)
        if os.getpid() != parent:
            os._exit(3 if _judged_after_a_fault(disk, spool, history) else 0)
    except Cut:
        pass
    finally:
        if os.getpid() != parent:
            traceback.print_exc()
            os._exit(1)
    return {"runs": runs, "operations": runs * OPERATIONS, "ended_degraded": degraded}


def _judged_after_a_fault(disk: FaultyDisk, spool: Spool, history: History) -> bool:
    """Whether the spool had left the disk at the end."""
    sticky, degraded = disk.faults[0].sticky, bool(spool.degraded)
    disk.faults = []
    # A sync that failed must not be trusted: with the power gone now, what returned as durable is durable elsewhere.
    section = settings(bytes_max=100_000, group_bytes_max=GROUP_BYTES)
    dark = Spool.open(ROOT, VAN, section, disk.power_cut(random.Random(disk.calls)))
    bound = None if degraded or sticky else GROUP_BYTES
    _judge(dark, _copy(history), spool.epoch, not degraded, bound)
    _judge(spool, _copy(history), None, True, None if sticky else 0)
    spool.maintain()
    history.learn(spool)
    again = Spool.open(ROOT, VAN, settings(bytes_max=100_000, group_bytes_max=GROUP_BYTES), disk.killed())
    assert again.epoch != spool.epoch
    _judge(again, history, None, not degraded, None if degraded or sticky else 0)
    return degraded
