"""What a spool directory holds, whatever happened to it. Read only, and the same answer each time.

Cursor, history and segment files -> accounts, indexes, position. A file is read whole; damage costs the block it is
in. A seq below produced that is neither in a segment nor settled is evicted: "corrupt" when it was durable once,
"power" when it was not yet synced, "cursor_lost" when no cursor is left that could tell. Above produced a power cut may
have taken what no file remembers: the account then bears a power_loss with its bounds. Nothing here raises for the
content of a disk; what cannot be read is counted.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.spool.account import Account, StreamId
from edge.spool.cursor import Slots, State
from edge.spool.disk import Disk
from edge.spool.framing import BLOCK_BYTES, FORMAT_VERSION, HEADER_BYTES, SegmentHeader, salt_of, scan
from edge.spool.segment import Segment, count_unsettled, parse_name, present_seqs
from edge.spool.windows import window_at
from vantel.crc32c import crc32c
from vantel.identity import DeliveryClass, Epoch
from vantel.intervals import IntervalSet
from vantel.payloads import Eviction, PowerLoss, Tombstone

CLASSES = tuple(DeliveryClass)
GROUP_BYTES_MAX, GROUP_S_MAX = 256 * 1024, 1.0
"""Group of an agent whose cursor does not say it."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was found at the start. blocks_quarantined: damaged blocks with good ones behind them."""

    segments: int = 0
    records: int = 0
    bytes: int = 0
    torn_tails: int = 0
    blocks_quarantined: int = 0
    headers_damaged: int = 0
    files_unreadable: int = 0
    files_foreign: int = 0
    cursors_damaged: int = 0
    envelopes_missing: int = 0
    clean: bool = True
    power_cut: bool = False
    seconds: float = 0.0


@dataclass
class Found:
    """State of the spool as the disk has it."""

    state: State
    history: State
    segments: dict[DeliveryClass, list[Segment]]
    leftovers: list[Path]
    recovery: Recovery
    generation: int

    def moved(self, disk: Disk, directory: Path) -> bool:
        """True when a running agent has written its cursor since."""
        slots = Slots(disk, directory, "cursor")
        slots.load()
        return slots.generation != self.generation


@dataclass
class _Tally:
    """Mutable counts behind a Recovery, and what scanning learns of each stream."""

    records: int = 0
    bytes: int = 0
    segments: int = 0
    torn_tails: int = 0
    blocks_quarantined: int = 0
    headers_damaged: int = 0
    files_unreadable: int = 0
    files_foreign: int = 0
    number_max: int = 0
    counter_max: int = 0
    position: int = 0
    synced: dict[StreamId, int] = field(default_factory=dict)
    last_seq: dict[StreamId, int] = field(default_factory=dict)
    present: dict[StreamId, IntervalSet] = field(default_factory=dict)
    leftovers: list[Path] = field(default_factory=list)

    def take(self, stream: StreamId, rows: NDArray[np.int64], segment: Segment) -> None:
        """Count a segment and the rows of its scan."""
        self.present[stream].update(present_seqs(segment.seqs))
        self.last_seq[stream] = max(self.last_seq.get(stream, -1), int(rows[-1, 2]))
        self.synced[stream] = max(self.synced.get(stream, 0), int(rows[:, 4].max()))
        self.position = max(self.position, int(rows[:, 3].max()))
        self.segments += 1
        self.records += len(rows)
        self.bytes += segment.bytes


def read_through(disk: Disk, path: Path) -> bytes | None:
    """Content of a file; blocks that the disk cannot read are zeros; None when nothing of it can be read."""
    size = 0
    try:
        size = disk.size(path)
        return disk.read(path, 0, size)
    except OSError:
        parts: list[bytes] = []
        good = False
        for offset in range(0, size, BLOCK_BYTES):
            want = min(BLOCK_BYTES, size - offset)
            try:
                parts.append(disk.read(path, offset, want).ljust(want, b"\0"))
                good = True
            except OSError:
                parts.append(bytes(want))
        return b"".join(parts) if good else None


def _first_seen(rows: NDArray[np.int64], present: IntervalSet) -> NDArray[np.int64]:
    """Rows whose seq no earlier file holds: after a failed sync the same records stand in two files."""
    if (
        not len(rows)
        or not present
        or not present.intersection(IntervalSet([(int(rows[0, 2]), int(rows[-1, 2]))]))
    ):
        return rows
    fresh = np.array([int(seq) not in present for seq in rows[:, 2]], dtype=np.bool_)
    return np.compress(fresh, rows, axis=0)


def _uint32(column: NDArray[np.int64]) -> array[int]:
    return array("I", np.ascontiguousarray(column, dtype=np.uint32).tobytes())


def _load_segment(
    disk: Disk,
    path: Path,
    delivery_class: DeliveryClass,
    van_hash: int | None,
    first_ordinal: int,
    tally: _Tally,
) -> Segment | None:
    """Index of one file; None when it is not ours to read or holds no record."""
    named = parse_name(path.name)
    if named is None:
        tally.files_foreign += 1
        return None
    number, epoch, _ = named
    tally.number_max = max(tally.number_max, number)
    data = read_through(disk, path)
    if data is None:
        tally.files_unreadable += 1
        return None
    header = SegmentHeader.decode(data[:HEADER_BYTES])
    if header is None:
        tally.headers_damaged += 1
    elif header.version != FORMAT_VERSION or (van_hash is not None and header.van_hash != van_hash):
        tally.files_foreign += 1
        return None
    else:
        number, epoch = header.number, header.epoch
    tally.number_max = max(tally.number_max, number)
    tally.counter_max = max(tally.counter_max, epoch.counter)
    found = scan(data, salt_of(number, epoch, delivery_class))
    tally.torn_tails += found.torn
    tally.blocks_quarantined += found.bad_blocks
    stream = (epoch, delivery_class)
    rows = _first_seen(found.rows, tally.present.setdefault(stream, IntervalSet()))
    if not len(rows):
        tally.leftovers.append(path)
        return None
    provisional = header is not None and header.provisional
    segment = Segment(
        number, epoch, delivery_class, first_ordinal, path, len(data), appended_s=None, provisional=provisional
    )  # fmt: skip
    segment.offsets, segment.ends, segment.lengths = (_uint32(rows[:, column]) for column in (0, 1, 5))
    segment.seqs = array("Q", np.ascontiguousarray(rows[:, 2], dtype=np.uint64).tobytes())
    tally.take(stream, rows, segment)
    return segment


def _missing(account: Account, present: IntervalSet, cursor_lost: bool) -> list[Tombstone]:
    """Evict what is gone; returns the tombstones of it."""
    if not account.produced:
        return []
    gone = IntervalSet([(0, account.produced - 1)]).difference(present, account.settled)
    durable = gone.copy()
    durable.remove(account.synced, 1 << 64)
    parts = (
        [("cursor_lost", gone)]
        if cursor_lost
        else [("corrupt", durable), ("power", gone.difference(durable))]
    )
    tombstones: list[Tombstone] = []
    for reason, seqs in parts:
        for first, last in account.evict(seqs, reason)[1]:
            eviction = Eviction(first, last, reason)
            tombstones.append(Tombstone(account.epoch, account.delivery_class, eviction))
    return tombstones


def _note_power_loss(
    state: State, boot_id: str, cursor_lost: bool, after_unix_ns: Callable[[StreamId], int]
) -> bool:
    """Whether the power failed while the newest epoch ran, or may have; its accounts then say what that may have cost.

    P0 is synced before append returns, so that nothing of it can be missing. after_unix_ns: end of what is on the disk.
    """
    newest = max([state.epoch, *(epoch for epoch, _ in state.accounts)])
    if newest == Epoch(0, 0):
        return False  # nothing ever ran here
    if not cursor_lost and newest.counter <= state.epoch.counter:
        if state.clean or state.boot_id == boot_id:
            return False
        newest = state.epoch
    for delivery_class in CLASSES:  # none of a class may have reached the disk
        state.accounts.setdefault((newest, delivery_class), Account(newest, delivery_class))
    bytes_max, seconds_max = state.group_bytes_max or GROUP_BYTES_MAX, state.group_s_max or GROUP_S_MAX
    for (epoch, delivery_class), account in state.accounts.items():
        ran = epoch == newest or epoch.counter == 0  # an epoch without a counter has no place in the order
        if ran and delivery_class is not DeliveryClass.P0 and account.power_loss is None:
            after_ns = after_unix_ns((epoch, delivery_class))
            account.power_loss = PowerLoss(account.produced, bytes_max, seconds_max, after_ns)
    return True


def _read_folders(
    disk: Disk, directory: Path, van: str | None, tally: _Tally
) -> dict[DeliveryClass, list[Segment]]:
    """Indexes of all classes, in append order."""
    van_hash = None if van is None else crc32c(van.encode())
    segments: dict[DeliveryClass, list[Segment]] = {}
    for delivery_class in CLASSES:
        folder = directory / delivery_class.label
        segments[delivery_class] = []
        ordinal = 0
        try:
            names = disk.names(folder)
        except OSError:
            names = []
        tally.leftovers.extend(folder / name for name in names if name.endswith(".tmp"))
        ours = [name for name in names if not name.endswith(".tmp")]
        for name in sorted(ours, key=lambda name: parse_name(name) or (0, Epoch(0, 0), 0)):
            segment = _load_segment(disk, folder / name, delivery_class, van_hash, ordinal, tally)
            if segment is not None:
                segments[delivery_class].append(segment)
                ordinal = segment.end_ordinal
    return segments


def recover(disk: Disk, directory: Path, van: str | None, boot_id: str = "") -> Found:
    """Read the whole directory. van None takes the segments of any van (inspection).

    boot_id: of this boot; another one in the cursor of a spool that was not closed means a power cut, and so does a
    cursor that is lost or older than the newest segment, for lack of better knowledge.
    """
    started_s = time.perf_counter()
    cursor_slots, history_slots = Slots(disk, directory, "cursor"), Slots(disk, directory, "history")
    cursor, history = cursor_slots.load(), history_slots.load()
    tally = _Tally()
    segments = _read_folders(disk, directory, van, tally)
    state = cursor or State()
    settled_before = history or State()
    if van is not None and state.van not in ("", van):
        cursor, state, settled_before = None, State(), State()
    for stream, last_seq in tally.last_seq.items():
        account = state.accounts.get(stream) or settled_before.accounts.pop(stream, None) or Account(*stream)
        state.accounts[stream] = account
        account.synced = max(account.synced, tally.synced[stream])
        account.produced = max(account.produced, last_seq + 1)
    state.position = max(state.position, tally.position)
    state.next_segment = max(state.next_segment, tally.number_max + 1)

    def after_unix_ns(stream: StreamId) -> int:
        items = [s for s in segments[stream[1]] if s.epoch == stream[0]]
        window = window_at(disk, items[-1], len(items[-1].seqs) - 1) if items else None
        return window.last_unix_ns if window is not None else 0

    power_cut = _note_power_loss(state, boot_id, cursor is None, after_unix_ns)
    if tally.counter_max > state.epoch.counter:
        state.epoch = Epoch(tally.counter_max, state.epoch.random)
    missing = 0
    for stream, account in state.accounts.items():
        told = _missing(account, tally.present.get(stream, IntervalSet()), cursor is None)
        account.synced = account.produced
        missing += sum(t.eviction.last - t.eviction.first + 1 for t in told)
        state.untold.extend(told)
    for items in segments.values():
        for segment in items:
            count_unsettled(segment, state.accounts[(segment.epoch, segment.delivery_class)].settled)
    recovery = Recovery(
        tally.segments, tally.records, tally.bytes, tally.torn_tails, tally.blocks_quarantined,
        tally.headers_damaged, tally.files_unreadable, tally.files_foreign,
        cursor_slots.damaged + history_slots.damaged, missing, state.clean or cursor is None,
        power_cut, time.perf_counter() - started_s,
    )  # fmt: skip
    return Found(state, settled_before, segments, tally.leftovers, recovery, cursor_slots.generation)
