"""The spool: envelopes in, message bytes out, freed only by durable acks or, counted, for want of space.

Payloads -> sealed messages in segment files -> uplink. One thread appends and maintains; any thread reads and acks.
Failures of the disk never reach the caller: records wait in bounded memory and degraded says why. Promises kept here:
nothing lost in silence (books), nothing twice (epoch durable before the first send), every file bounded (space).
Layout and recovery: docs/format.md, "Spool on disk".
"""

from __future__ import annotations

import contextlib
import errno
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from edge.clock.boot import boot_bytes
from edge.settings import SpoolSection
from edge.spool.account import StreamId
from edge.spool.books import Books
from edge.spool.disk import Disk
from edge.spool.framing import Record
from edge.spool.history import Recorded, missing_reason, recorded
from edge.spool.index import Entry, Index
from edge.spool.inspection import inspect
from edge.spool.recovery import recover
from edge.spool.resend import Resent, account_for
from edge.spool.segment import Place, Segment
from edge.spool.space import Space
from edge.spool.stamping import Stamping
from edge.spool.writer import Surroundings, Writer
from vantel.acks import Ack
from vantel.crc32c import crc32c
from vantel.envelope import MESSAGE_BYTES_MAX, ClockStamp, Envelope, EnvelopeError, compose_message, seal
from vantel.identity import DeliveryClass, Epoch, PayloadKind
from vantel.intervals import IntervalSet
from vantel.payloads import ClassAccount

_log = structlog.get_logger("spool")

TOMBSTONES_PER_ROUND_MAX = 64
STAMPING_RETRY_S = 2.0
STAMP_GROWTH_BYTES = 32
"""A final clock stamp may take so much more than a provisional one."""
RETENTION_PERIOD_S = 1.0
MAINTAIN_PERIOD_S = 0.2


class SpoolLockedError(RuntimeError):
    """Another process has the spool open."""


class Spool:
    """Spool of one van; made by Spool.open."""

    inspect = staticmethod(inspect)

    def __init__(
        self, disk: Disk, directory: Path, van: str, settings: SpoolSection, lock_fd: int | None
    ) -> None:
        self._disk, self._directory, self._van, self._settings = disk, directory, van, settings
        self._lock_fd = lock_fd
        self._lock = threading.RLock()
        boot = disk.boot_id()
        self._boot_id = boot_bytes(boot)
        found = recover(disk, directory, van, boot)
        self._position = found.state.position
        self.recovery = found.recovery
        if found.recovery.files_foreign:
            _log.warning("files of another van or a newer agent stay in the spool", files=found.recovery.files_foreign,
                         effect="nothing of them is sent, and no quota counts them",
                         fix="set van.id back until they are sent, or remove them")  # fmt: skip
        self._index = Index(found.segments)
        self._books = Books(disk, directory, self._lock, found, self._index.epochs)
        self._space = Space(disk, directory, self._lock, self._index, self._books, settings, found.leftovers)
        for items in found.segments.values():
            # What a killed process left in the page cache must not depend on the power any longer.
            if items and items[-1].path is not None:
                with contextlib.suppress(OSError):
                    disk.sync_file(items[-1].path)
        self._clock: ClockStamp | None = None  # of what the spool itself appends
        self._told: ClockStamp | None = None
        self._waiting: frozenset[DeliveryClass] = frozenset()
        self._stamping_at_s = float("-inf")
        self._cursor_at_s = self._retention_at_s = time.monotonic()
        self.rewinds = 0
        self.forged = 0
        self.acks_unknown = 0
        self.epoch = self._books.begin_epoch(van, boot, settings.group_bytes_max, settings.group_s_max)
        around = Surroundings(
            disk, directory, crc32c(van.encode()), self._lock, self._index, settings.segment_bytes_max,
            settings.group_bytes_max, self._next_number, self._space.admit, self._make_room, self._space.give_up,
            self._space.discard, self._made_durable,
        )  # fmt: skip
        self._stamping = Stamping(
            disk, directory, crc32c(van.encode()), self._lock, self._index, self._books, self._space, self._boot_id
        )  # fmt: skip
        accounts = self._books.state.accounts
        self._writers = {c: Writer(around, accounts[(self.epoch, c)]) for c in DeliveryClass}
        if self._books.epoch_failure:
            for writer in self._writers.values():
                writer.degrade(self._books.epoch_failure, time.monotonic())
        self._stamp(time.monotonic())  # what an earlier boot left waiting

    @classmethod
    def open(cls, directory: Path, van: str, settings: SpoolSection, disk: Disk | None = None) -> Spool:
        """Recover what is there and begin a new epoch. Starts on any disk; SpoolLockedError if an agent has it open."""
        disk = disk or Disk()
        lock_fd: int | None = None
        try:
            disk.make_dir(directory)
            lock_fd = disk.lock(directory / "lock")
        except BlockingIOError as cause:
            raise SpoolLockedError(
                f"opening the spool {directory}: another vantel-edge holds it; stop that one or set another state_dir"
            ) from cause
        except OSError as cause:
            _log.error("spool cannot be locked", directory=str(directory), cause=str(cause))
        return cls(disk, directory, van, settings, lock_fd)

    def append(
        self,
        delivery_class: DeliveryClass,
        kind: PayloadKind,
        payload: bytes,
        clock: ClockStamp,
        *,
        catalog_hash: int = 0,
        replayed: bool = False,
        simulated: bool = False,
        position: int = 0,
    ) -> int:
        """Seal, write and count an envelope; returns its seq. P0 is durable on return. Spool thread only.

        EnvelopeError("oversize") before anything is counted if the message would be larger than the cloud takes.
        """
        account = self._books.state.accounts[(self.epoch, delivery_class)]
        seq = account.produced
        envelope = Envelope(
            self._van, self.epoch, delivery_class, seq, kind, payload, catalog_hash, replayed, simulated
        )
        message = compose_message(seal(envelope), clock)
        if len(message) > MESSAGE_BYTES_MAX - (STAMP_GROWTH_BYTES if delivery_class in self._waiting else 0):
            raise EnvelopeError("oversize", f"{len(message)} bytes, at most {MESSAGE_BYTES_MAX} are allowed")
        self._clock = clock
        writer = self._writers[delivery_class]
        with self._lock:
            # Counted first: another thread that sees the envelope in the index must be able to ack it.
            account.produced = seq + 1
            self._position = max(self._position, position)
            self._books.dirty = True
        record = Record(seq, position, time.monotonic_ns(), account.synced, message)
        writer.append(record, time.monotonic())
        return seq

    def tell_clock(self, clock: ClockStamp, known: bool, waiting: frozenset[DeliveryClass]) -> None:
        """The mapping of this boot as it is now; waiting: classes that hope for a better one. Spool thread only.

        What is appended to a waiting class gets its stamp provisionally and is hidden from the uplink until the class
        waits no longer; then it gets the mapping of that moment, durably, and keeps it.
        """
        released, first = self._waiting - waiting, self._told is None
        self._clock, self._told, self._waiting = clock, clock, waiting
        if known:
            with self._lock:
                self._books.note_clock(clock)
        now_s = time.monotonic()
        for delivery_class, writer in self._writers.items():
            if delivery_class in released:
                writer.close_segment(now_s)
            writer.provisional = delivery_class in waiting
        if released or first:
            self._stamping_at_s = float("-inf")
        self._stamp(now_s)

    def maintain(self) -> None:
        """Group commit, clock stamps, quota, tombstones, cursor. Spool thread, at least every 0.2 s."""
        now_s = time.monotonic()
        for writer in self._writers.values():
            writer.retry(now_s)
            writer.commit(now_s, max(0.0, self._settings.group_s_max - MAINTAIN_PERIOD_S))
        self._stamp(now_s)
        if now_s - self._retention_at_s >= RETENTION_PERIOD_S or self._space.over_quota():
            self._retention_at_s = now_s
            self._space.retain()
        self._append_tombstones()
        if self._books.dirty and now_s - self._cursor_at_s >= self._settings.cursor_period_s:
            self._cursor_at_s = now_s
            self._commit_all(now_s)
            self._books.store()

    def close(self) -> None:
        """Sync everything, write the cursor, give the lock back."""
        now_s = time.monotonic()
        for writer in self._writers.values():
            writer.retry(math.inf)  # the last chance of what is in memory waits for no time
            writer.close_segment(now_s)
        self._books.state.clean = not self.degraded
        self._books.store()
        if self._lock_fd is not None:
            self._disk.close(self._lock_fd)
            self._lock_fd = None

    @property
    def known_clock(self) -> ClockStamp | None:
        """Mapping that an agent of this boot has known before."""
        return self._books.clock_of(self._boot_id)

    @property
    def boot_since_mono_ns(self) -> int:
        """First start of an agent in this boot."""
        return self._books.state.boot_since_mono_ns

    @property
    def degraded(self) -> str:
        """Why records are only in memory; "" when they are not."""
        return next((writer.failure for writer in self._writers.values() if writer.failure), "")

    @property
    def evictions(self) -> int:
        """Envelopes evicted by this process."""
        return self._books.evictions

    def next_after(self, delivery_class: DeliveryClass, after: int) -> Entry | None:
        """First envelope, in append order over all epochs, that waits and has an ordinal > after."""
        with self._lock:
            return self._index.next_after(delivery_class, after, self._books.state.accounts)

    def load(self, entry: Entry) -> bytes | None:
        """Message of an entry; None when it was acked or evicted since, or cannot be read now.

        Damaged bytes are evicted ("corrupt"); an error that says nothing about the bytes leaves the entry for later.
        """
        for _ in range(2):
            place = self._place(entry)
            if place is None:
                return None
            try:
                message = place.read(self._disk)
            except FileNotFoundError:
                message = None  # released or moved since the look above: look again
            except OSError as cause:
                if cause.errno != errno.EIO or not self._readable():
                    return None
                message = None
            if message is not None:
                self._handed(entry)
                return message
        with self._lock:
            account = self._books.state.accounts.get(entry.stream)
            if account is not None:
                seqs = IntervalSet([(entry.seq, entry.seq)])
                self._index.settle(entry.stream, self._books.evict(account, seqs, "corrupt"))
        return None

    def resend(self, epoch: Epoch, delivery_class: DeliveryClass, first: int, last: int) -> Resent:
        """Let acked envelopes of the closed interval that are still on the disk wait once more, durably. Spool thread."""
        stream = (epoch, delivery_class)
        with self._lock:
            account = self._books.reopen(stream)
            if account is None:
                return Resent()
            held = self._index.held(stream, first, last)
            resent = account_for(account, held, first, last)
            self._index.wait_again(stream, account.send_again(resent.again))
            self._books.dirty = True
            self.rewinds += 1
        self._books.store()
        return resent

    def recorded(
        self, delivery_class: DeliveryClass, first_unix_ns: int, last_unix_ns: int
    ) -> Iterator[Recorded | None]:
        """Batches of a time range that are still on the disk, acked or not (edge.spool.history). Spool thread."""
        with self._lock:
            segments = list(self._index.segments[delivery_class])

        def place_of(segment: Segment, index: int) -> Place | None:
            with self._lock:
                there = segment in self._index.segments[delivery_class] and index < len(segment.seqs)
                return segment.place(index) if there else None

        return recorded(segments, place_of, self._disk, first_unix_ns, last_unix_ns)

    def missing(self, stream: StreamId, first: int, last: int | None) -> str:
        """Why envelopes of a stream are not on the disk any more, one word; last None: to its end."""
        with self._lock:
            account = self._books.account(stream)
            end = last if last is not None else (account.produced if account else 0) - 1
            asked = IntervalSet([(first, end)] if first <= end else [])
            return missing_reason(account, asked.difference(self._index.held(stream, first, end)))

    def is_acked(self, entry: Entry) -> bool:
        """True once the durable ack of the envelope is known."""
        with self._lock:
            account = self._books.account(entry.stream)
            return account is not None and entry.seq in account.acked

    def ack(self, ack: Ack) -> int:
        """Take a durable ack; returns how many envelopes it acked first. What it names and we never made is counted."""
        newly = 0
        with self._lock:
            if ack.van != self._van:
                self.acks_unknown += 1
                return 0
            for stream, durable in ack.durable.items():
                account = self._books.state.accounts.get(stream)
                if account is None:
                    self.acks_unknown += self._books.account(stream) is None
                    continue
                waiting, fresh, forged = account.ack(durable)
                self._index.settle(stream, waiting)
                newly += fresh
                self.forged += forged
            self._books.dirty |= newly > 0
        return newly

    def backlog(self) -> dict[DeliveryClass, tuple[int, int]]:
        """Envelopes and message bytes that wait, by class."""
        with self._lock:
            return self._index.backlog()

    def accounts(self) -> tuple[ClassAccount, ...]:
        """The accounts of the next report: the current epoch, open ones, the last settled ones, older losses in turn."""
        with self._lock:
            return self._books.reported()

    def position(self) -> int:
        """Highest replay position that is or was in the spool."""
        with self._lock:
            return self._position

    def _place(self, entry: Entry) -> Place | None:
        with self._lock:
            account = self._books.account(entry.stream)
            if account is None or entry.seq in account.settled:
                return None
            located = self._index.locate(entry)
            return None if located is None else located[0].place(located[1])

    def _readable(self) -> bool:
        """Whether the disk can be read at all: if not, an error says nothing about the bytes that were asked for."""
        for name in ("cursor-0", "cursor-1"):
            with contextlib.suppress(OSError):
                self._disk.read(self._directory / name, 0, 1)
                return True
        return False

    def _handed(self, entry: Entry) -> None:
        """The uplink has the message: from now on an ack for it is one for this delivery."""
        with self._lock:
            account = self._books.state.accounts.get(entry.stream)
            if account is not None and entry.seq in account.again:
                account.handed.add(entry.seq)

    def _stamp(self, now_s: float) -> None:
        """Final clock stamps for what waits no longer; tried again every STAMPING_RETRY_S while the disk fails."""
        if now_s < self._stamping_at_s or not self._stamping.pending():
            return
        self._stamping_at_s = now_s + STAMPING_RETRY_S
        if self._stamping.settle(self._told, self._waiting):
            with self._lock:
                self.rewinds += 1

    def _append_tombstones(self) -> None:
        untold = self._books.state.untold
        for _ in range(TOMBSTONES_PER_ROUND_MAX):
            if not untold or self._clock is None:
                return  # without a clock stamp nothing can be sent yet; the agent's birth brings one
            self.append(DeliveryClass.P0, PayloadKind.TOMBSTONE, untold[0].encode(), self._clock)
            with self._lock:
                untold.pop(0)

    def _commit_all(self, now_s: float) -> None:
        for writer in self._writers.values():
            writer.commit(now_s, 0.0)

    def _make_room(self, delivery_class: DeliveryClass, need_bytes: int) -> None:
        """A write met a full disk: what is open in lower classes may go too."""
        for lower, writer in self._writers.items():
            if lower > delivery_class:
                writer.close_segment(time.monotonic())
        self._space.make_room(delivery_class, need_bytes)

    def _made_durable(self, position: int) -> None:
        with self._lock:
            self._books.state.position = max(self._books.state.position, position)

    def _next_number(self) -> int:
        with self._lock:
            number = self._books.state.next_segment
            self._books.state.next_segment += 1
            return number
