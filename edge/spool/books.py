"""The books of the spool: the account of every epoch and class, the epoch itself, the position; and their durability.

Open accounts are in the cursor, written every few seconds and before any file goes; those of older epochs with nothing
waiting are in the history, written when they change, the last 1000 epochs of them. A spare file is given up when the
disk is full, so that the cursor can be written and space be freed. Mutated under the lock; store is for the spool thread.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from edge.spool.account import Account, StreamId
from edge.spool.cursor import Slots, encode
from edge.spool.disk import Disk
from edge.spool.recovery import Found
from edge.spool.writer import FULL_DISK
from vantel.envelope import ClockStamp
from vantel.identity import DeliveryClass, Epoch
from vantel.intervals import IntervalSet
from vantel.payloads import ClassAccount, Eviction, Tombstone
from vantel.window import Window

_log = structlog.get_logger("spool")

EPOCH_TRIES_MAX = 3
HISTORY_EPOCHS_MAX = 1000
ACCOUNT_EPOCHS_MAX = 64
SETTLED_EPOCHS_REPORTED = 4
OLDER_EPOCHS_REPORTED = 4
SPARE_BYTES = 256 * 1024
CLOCKS_MAX = 4


class Books:
    """Accounts of all epochs; state and history are what a start would find. held: epochs that have segments."""

    def __init__(
        self, disk: Disk, directory: Path, lock: threading.RLock, found: Found, held: Callable[[], set[Epoch]]
    ) -> None:  # fmt: skip
        self._disk, self._directory, self._lock, self._held = disk, directory, lock, held
        self._cursor = Slots(disk, directory, "cursor")
        self._history = Slots(disk, directory, "history")
        self._cursor.load()
        self._history.load()
        self._spare = directory / "spare"
        self.state, self.history = found.state, found.history
        self._history_dirty = False
        self._told: set[Epoch] = set()  # older epochs whose losses a report has named since the last eviction
        self.dirty = False
        self.evictions = 0
        self.cursor_failures = 0
        self.epoch_failure = ""

    def begin_epoch(self, van: str, boot: str, group_bytes_max: int, group_s_max: float) -> Epoch:
        """Make a new epoch durable; without a writable disk it has counter 0 and 64 random bits."""
        epoch = Epoch.fresh(self.state.epoch.counter + 1)
        self.state.epoch, self.state.van, self.history.van = epoch, van, van
        if boot != self.state.boot_id:
            self.state.boot_since_mono_ns = time.monotonic_ns()
        self.state.boot_id, self.state.clean = boot, False
        self.state.group_bytes_max, self.state.group_s_max = group_bytes_max, group_s_max
        self._write_spare()
        cause = ""
        for _ in range(EPOCH_TRIES_MAX):
            try:
                self._cursor.store(encode(self.state, self._cursor.generation + 1))
                break
            except OSError as error:
                cause = str(error)
                if error.errno in FULL_DISK:
                    self._drop_spare()
        else:
            self.epoch_failure = (
                f"making the epoch durable in {self._directory}: {cause}; free or remount the disk"
            )
            _log.error("spool starts without a durable epoch", cause=self.epoch_failure)
            epoch = Epoch.fresh(0)
        for delivery_class in DeliveryClass:
            self.state.accounts[(epoch, delivery_class)] = Account(epoch, delivery_class)
        self._current = epoch
        return epoch

    def account(self, stream: StreamId) -> Account | None:
        """Account of a stream, open or settled."""
        return self.state.accounts.get(stream) or self.history.accounts.get(stream)

    def evict(
        self, account: Account, seqs: IntervalSet, reason: str, window: Window | None = None
    ) -> IntervalSet:
        """Give up those of seqs that wait, and note the tombstones to come; returns them. Under the lock.

        window: when they are from, or wider.
        """
        first_unix_ns, last_unix_ns = window[:2] if window is not None else (0, 0)
        waiting, lost = account.evict(seqs, reason)
        if lost:
            self._told.clear()  # a report that named them may be among what is given up
        for first, last in lost:
            self.evictions += last - first + 1
            eviction = Eviction(first, last, reason)
            self.state.untold.append(
                Tombstone(account.epoch, account.delivery_class, eviction, first_unix_ns, last_unix_ns)
            )
        self.dirty |= bool(waiting)
        return waiting

    def reopen(self, stream: StreamId) -> Account | None:
        """Account of a stream, taken back from the history if it is there. Under the lock."""
        account = self.history.accounts.pop(stream, None)
        if account is not None:
            self.state.accounts[stream] = account
            self._history_dirty = self.dirty = True
        return self.state.accounts.get(stream)

    def note_clock(self, clock: ClockStamp) -> None:
        """Remember the mapping of a boot, the newest one of each of the last boots. Under the lock."""
        known = self.clock_of(clock.boot_id)
        if known is not None and (known.offset_ns, known.source) == (clock.offset_ns, clock.source):
            return  # only its bound has aged
        others = [known for known in self.state.clocks if known.boot_id != clock.boot_id]
        self.state.clocks = [*others, clock][-CLOCKS_MAX:]
        self.dirty = True

    def clock_of(self, boot_id: bytes) -> ClockStamp | None:
        """Mapping that was known during a boot."""
        return next((clock for clock in self.state.clocks if clock.boot_id == boot_id), None)

    def reported(self) -> tuple[ClassAccount, ...]:
        """The current epoch, the open ones (at most 64, newest first) and the last four settled ones; and of the older
        ones that lost something, the next four that no call has named since the start or the last eviction."""
        both = [*self.history.accounts.values(), *self.state.accounts.values()]
        open_epochs = sorted({s[0] for s, a in self.state.accounts.items() if not a.is_settled}, reverse=True)
        settled = sorted({a.epoch for a in both} - {self._current, *open_epochs}, reverse=True)
        lossy = {a.epoch for a in both if a.evicted or a.power_loss}
        older = [e for e in settled[SETTLED_EPOCHS_REPORTED:] if e in lossy and e not in self._told]
        chosen = {self._current, *open_epochs[:ACCOUNT_EPOCHS_MAX], *settled[:SETTLED_EPOCHS_REPORTED]}
        chosen.update(older[:OLDER_EPOCHS_REPORTED])
        self._told.update(older[:OLDER_EPOCHS_REPORTED])
        return tuple(
            a.freeze()
            for a in both
            if a.epoch in chosen and (a.produced or a.power_loss or a.epoch == self._current)
        )

    def store(self) -> bool:
        """Make the books durable; False, counted, when the disk does not let us."""
        for attempt in (0, 1):
            try:
                self._store_once()
                if attempt == 0:
                    self._write_spare()
                return True
            except OSError as cause:
                self.cursor_failures += 1
                if attempt == 0 and cause.errno in FULL_DISK and self._drop_spare():
                    continue
                _log.warning("spool cursor not written", directory=str(self._directory), cause=str(cause))
                return False
        return False

    def _store_once(self) -> None:
        with self._lock:
            done = self._settled_epochs()
            merged = {
                **self.history.accounts,
                **{s: a for s, a in self.state.accounts.items() if s[0] in done},
            }
            if done or self._history_dirty:
                kept = set(sorted({stream[0] for stream in merged}, reverse=True)[:HISTORY_EPOCHS_MAX])
                kept |= self._held()  # an epoch forgotten before its segments would be sent again
                self.history.accounts = {
                    s: a for s, a in merged.items() if s[0] in kept and (a.produced or a.power_loss)
                }
                self._history_dirty = True
            history = encode(self.history, self._history.generation + 1) if self._history_dirty else b""
        if history:
            # Before the cursor without them: after a crash in between they are in both, never in none.
            self._history.store(history)
            self._history_dirty = False
        with self._lock:
            for stream in [s for s in self.state.accounts if s[0] in done]:
                del self.state.accounts[stream]
            cursor = encode(self.state, self._cursor.generation + 1)
            self.dirty = False
        try:
            self._cursor.store(cursor)
        except OSError:
            self.dirty = True
            raise

    def _settled_epochs(self) -> set[Epoch]:
        waiting = {s[0] for s, a in self.state.accounts.items() if not a.is_settled}
        return {stream[0] for stream in self.state.accounts} - waiting - {self._current}

    def _write_spare(self) -> None:
        """Have the spare file, if the disk has room for it."""
        with contextlib.suppress(OSError):
            if self._disk.size(self._spare) >= SPARE_BYTES:
                return
        try:
            self._drop_spare()
            fd = self._disk.create(self._spare)
            try:
                whole = self._disk.write(fd, bytes(SPARE_BYTES), 0) == SPARE_BYTES
                self._disk.sync(fd)
            finally:
                self._disk.close(fd)
        except OSError:
            whole = False
        if not whole:
            self._drop_spare()  # half of one would only take space that others need

    def _drop_spare(self) -> bool:
        """Give the spare up; True when that freed something."""
        try:
            self._disk.unlink(self._spare)
        except OSError:
            return False
        return True
