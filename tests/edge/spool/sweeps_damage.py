"""Damage to three full segments of known content: truncation at a byte, a flipped bit.

Each is a function of its number that asserts, and counts what it tried. The commands are in tests/chaos/spool_sweeps.py.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from edge.spool import Spool
from edge.spool.framing import BLOCK_BYTES, HEADER_BYTES, salt_of, scan
from edge.spool.recovery import recover
from edge.spool.segment import parse_name
from vantel.envelope import open_message
from vantel.identity import DeliveryClass, PayloadKind
from vantel.intervals import IntervalSet

from .faulty_disk import FaultyDisk, Inode
from .runs import CLOCK, ROOT, VAN, settings

P1 = DeliveryClass.P1
PAYLOADS_BYTES = (40, 300, 700, 1500, 2500)
SEGMENT_BYTES = 64 * 1024 + PAYLOADS_BYTES[-1] + 100  # so that each file is at least 64 KiB
OPEN_EVERY = 64
Counts = dict[str, int]


@dataclass(frozen=True)
class Sample:
    """A closed spool of three 64 KiB segments of P1. places: (end, seq) of each record, by segment."""

    disk: FaultyDisk
    paths: tuple[Path, ...]
    places: tuple[tuple[tuple[int, int], ...], ...]
    payloads: tuple[bytes, ...]


@lru_cache(maxsize=1)
def sample() -> Sample:
    """Made once; the disk is never written again."""
    disk = FaultyDisk()
    spool = Spool.open(ROOT, VAN, settings(segment_bytes_max=SEGMENT_BYTES), disk)
    rng = random.Random(7)
    payloads: list[bytes] = []
    while len([p for p in disk.names_now if p.suffix == ".seg"]) < 4:
        payload = rng.randbytes(rng.choice(PAYLOADS_BYTES))
        spool.append(P1, PayloadKind.BATCH, payload, CLOCK)
        payloads.append(payload)
    spool.close()
    paths = tuple(sorted(p for p in disk.names_now if p.suffix == ".seg"))[:3]
    places = []
    for path in paths:
        named = parse_name(path.name)
        assert named is not None
        found = scan(bytes(disk.names_now[path].data), salt_of(named[0], named[1], P1))
        places.append(tuple((int(row[1]), int(row[2])) for row in found.rows))
    return Sample(disk, paths, tuple(places), tuple(payloads))


def _with(path: Path, data: bytes) -> FaultyDisk:
    disk = sample().disk.killed()
    disk.names_now[path] = Inode(bytearray(data), bytearray(data))
    return disk


def _present(disk: FaultyDisk) -> IntervalSet:
    found = recover(disk, ROOT, VAN, disk.boot_id())
    return IntervalSet((seq, seq) for items in found.segments.values() for s in items for seq in s.seqs)


def _opened(disk: FaultyDisk, present: IntervalSet) -> None:
    """An agent starts on it: the same envelopes are there, byte by byte, and the account adds up."""
    spool = Spool.open(ROOT, VAN, settings(segment_bytes_max=SEGMENT_BYTES), disk)
    after, seen = -1, IntervalSet()
    while (entry := spool.next_after(P1, after)) is not None:
        message = spool.load(entry)
        assert message is not None
        assert open_message(message)[0].payload == sample().payloads[entry.seq]
        seen.add(entry.seq)
        after = entry.ordinal
    assert seen == present
    account = next(a for a in spool.accounts() if a.produced and a.delivery_class is P1)
    gone = IntervalSet((e.first, e.last) for e in account.evicted)
    assert gone == IntervalSet([(0, len(sample().payloads) - 1)]).difference(present)


def truncations_of_three() -> int:
    """Every length from 0 to one below the whole, of three files."""
    return sum(len(sample().disk.names_now[path].data) for path in sample().paths)


def truncated(number: int) -> Counts:
    """The longest valid prefix is kept, and the other files whole."""
    at, rest = 0, number
    while rest >= len(sample().disk.names_now[sample().paths[at]].data):
        rest -= len(sample().disk.names_now[sample().paths[at]].data)
        at += 1
    path = sample().paths[at]
    disk = _with(path, bytes(sample().disk.names_now[path].data[:rest]))
    present = _present(disk)
    lost = IntervalSet((seq, seq) for end, seq in sample().places[at] if end > rest)
    assert present == IntervalSet([(0, len(sample().payloads) - 1)]).difference(lost)
    if number % OPEN_EVERY == 0:
        _opened(disk, present)
    return {"recoveries": 1, "agents_started": int(number % OPEN_EVERY == 0)}


def bits_of_one() -> int:
    """Bits of the second file."""
    return 8 * len(sample().disk.names_now[sample().paths[1]].data)


@lru_cache(maxsize=1)
def _second() -> tuple[bytes, int, np.ndarray]:
    path = sample().paths[1]
    data = bytes(sample().disk.names_now[path].data)
    named = parse_name(path.name)
    assert named is not None
    salt = salt_of(named[0], named[1], P1)
    return data, salt, scan(data, salt).rows


def flipped(number: int) -> Counts:
    """What is read is a part of what was written; what is missing has a byte in the damaged block."""
    data, salt, rows = _second()
    at, bit = divmod(number, 8)
    damaged = bytearray(data)
    damaged[at] ^= 1 << bit
    left = scan(bytes(damaged), salt).rows
    kept = np.isin(rows[:, 2], left[:, 2])
    assert np.array_equal(rows[kept], left), "a phantom record"
    block = at // BLOCK_BYTES
    missing = rows[~kept]
    assert np.all((missing[:, 0] // BLOCK_BYTES <= block) & ((missing[:, 1] - 1) // BLOCK_BYTES >= block))
    inside = (rows[:, 0] <= at) & (at < rows[:, 1])
    assert not np.any(inside & kept), "a damaged record was read"
    whole = at < HEADER_BYTES or number % (8 * OPEN_EVERY) == 0
    if whole:
        disk = _with(sample().paths[1], bytes(damaged))
        _opened(disk, _present(disk))
    return {"flips": 1, "records_lost": int(np.sum(~kept)), "agents_started": int(whole)}
