"""What the spool gives up, or a power cut takes, is told with its time.

Goal: the tombstones of a spool over its quota name a range of time that holds all they are about, also when it restarts
before they are appended; bytes that say nothing about time cost nothing; a power cut is told with the end of what is
left. Method: batches of known windows, a small quota; FaultyDisk for the power cut.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from edge.spool import Spool
from edge.spool.cursor import State, decode, encode
from vantel.crc32c import crc32c, masked
from vantel.envelope import open_message
from vantel.identity import DeliveryClass, Epoch, PayloadKind
from vantel.payloads import Batch, Eviction, Tombstone

from .faulty_disk import FaultyDisk
from .runs import CLOCK, ROOT, VAN, settings

P0, P1 = DeliveryClass.P0, DeliveryClass.P1
S = 1_000_000_000


def append_batches(spool: Spool, count: int) -> None:
    """Envelope n is from second 10 n to second 10 (n + 1) of the monotonic clock."""
    for seq in range(count):
        batch = Batch(10 * seq * S, 10 * (seq + 1) * S, bytes(300), 1)
        assert spool.append(P1, PayloadKind.BATCH, batch.encode(), CLOCK) == seq
        spool.maintain()


def tombstones(spool: Spool) -> list[Tombstone]:
    found, after = [], -1
    while (entry := spool.next_after(P0, after)) is not None:
        after = entry.ordinal
        envelope, _ = open_message(spool.load(entry) or b"")
        if envelope.kind is PayloadKind.TOMBSTONE:
            found.append(Tombstone.decode(envelope.payload))
    return found


def test_tombstones_name_the_time_of_what_is_gone(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "spool", VAN, settings(bytes_max=30_000))
    append_batches(spool, 200)
    told = tombstones(spool)
    assert len(told) > 3
    for tombstone in told:
        first, last = tombstone.eviction.first, tombstone.eviction.last
        assert tombstone.first_unix_ns <= CLOCK.offset_ns + 10 * first * S
        assert tombstone.last_unix_ns >= CLOCK.offset_ns + 10 * (last + 1) * S - 1
        segment = 4096 // 300
        assert tombstone.last_unix_ns - tombstone.first_unix_ns <= 10 * segment * S, "wider than a segment"
    spool.close()


def test_what_says_nothing_about_time_is_given_up_all_the_same(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "spool", VAN, settings(bytes_max=30_000))
    for _ in range(100):
        spool.append(P1, PayloadKind.BATCH, b"\xff" * 300, CLOCK)
        spool.maintain()
    assert {(t.first_unix_ns, t.last_unix_ns) for t in tombstones(spool)} == {(0, 0)}
    spool.close()


def test_the_cursor_keeps_the_time_and_an_older_one_has_none() -> None:
    tombstone = Tombstone(Epoch(1, 2), P1, Eviction(3, 9, "quota"), 5 * S, 6 * S)
    content = encode(State(untold=[tombstone]), 1)
    found = decode(content)
    assert found is not None
    assert found[1].untold == [tombstone]
    tree = json.loads(content[:-10])
    assert tree["untold"] == [["1-00000002", "p1", 3, 9, "quota"]], "what an older agent reads has changed"
    del tree["untold_windows"]
    body = json.dumps(tree).encode()
    older = decode(body + b"\n%08x\n" % masked(crc32c(body)))
    assert older is not None
    assert older[1].untold == [Tombstone(Epoch(1, 2), P1, Eviction(3, 9, "quota"))]


def test_a_power_cut_is_told_with_the_end_of_what_is_left() -> None:
    quiet = settings(
        segment_bytes_max=1 << 20, group_bytes_max=1 << 20, group_s_max=0.0, cursor_period_s=60.0
    )
    disk = FaultyDisk()
    spool = Spool.open(ROOT, VAN, quiet, disk)
    append_batches(spool, 5)
    epoch = spool.epoch
    after = Spool.open(ROOT, VAN, quiet, disk.power_cut(random.Random(1)))
    loss = next(a for a in after.accounts() if (a.epoch, a.delivery_class) == (epoch, P1)).power_loss
    assert loss is not None
    assert loss.first == 5
    assert loss.after_unix_ns == CLOCK.offset_ns + 50 * S - 1
