"""SIGKILL of a real process that appends to a real disk.

Goal: what append returned is there after the kill, byte for byte, in every class; epochs never repeat; acks given
survive or are asked again. Method: a child process appends and writes a line to a log after each return; it is killed
at a random moment; the parent reopens the spool and compares with the lines, ten times on one directory.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path

from edge.spool import Spool
from tests.edge.spool_walk import offered
from vantel.acks import Ack
from vantel.envelope import open_message
from vantel.identity import DeliveryClass, Epoch
from vantel.intervals import IntervalSet

from .runs import VAN, settings

KILLS = 10
CHILD = """
from pathlib import Path
from edge.settings import SpoolSection
from edge.spool import Spool
from vantel.envelope import ClockStamp
from vantel.identity import DeliveryClass, PayloadKind
section = SpoolSection.model_construct(segment_bytes_max=65536, bytes_max=1 << 30, p0_reserve_bytes=0,
    keep_free_bytes=0, group_s_max=1.0, group_bytes_max=16384, cursor_period_s=0.05)
spool = Spool.open(Path(directory), "van-1", section)
clock = ClockStamp(b"b" * 16, 7, 1)
out = open(log, "w")
out.write(f"epoch {spool.epoch.text}\\n")
for number in range(1_000_000):
    delivery_class = DeliveryClass(1 + number % 3)
    payload = b"%d." % number * (number * 7919 % 300)
    seq = spool.append(delivery_class, PayloadKind.BATCH, payload, clock, position=number + 1)
    out.write(f"{delivery_class.label} {seq} {number}\\n")
    out.flush()
    spool.maintain()
"""


def test_ten_kills_of_a_real_process(tmp_path: Path) -> None:
    rng = random.Random(10)
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["edge.spool"])
    promised: dict[tuple[Epoch, DeliveryClass], dict[int, int]] = {}
    acked: dict[tuple[Epoch, DeliveryClass], IntervalSet] = {}
    epochs: list[Epoch] = []
    for kill in range(KILLS):
        log = tmp_path / f"log-{kill}"
        names = {"directory": str(tmp_path / "spool"), "log": str(log)}
        child = forks.Process(target=exec, args=(CHILD, names))
        child.start()
        while child.is_alive() and not (log.exists() and log.stat().st_size > 200):
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.15))
        assert child.is_alive()
        child.kill()
        child.join()
        text = log.read_text()
        lines = text[: text.rfind("\n")].splitlines()
        epoch = Epoch.from_text(lines[0].split()[1])
        assert all(epoch.counter > other.counter for other in epochs)
        epochs.append(epoch)
        for line in lines[1:]:
            label, seq, number = line.split()
            promised.setdefault((epoch, DeliveryClass.from_label(label)), {})[int(seq)] = int(number)
        spool = Spool.open(tmp_path / "spool", VAN, settings(segment_bytes_max=65536))
        epochs.append(spool.epoch)
        assert spool.recovery.envelopes_missing == 0
        assert spool.position() >= max(n for items in promised.values() for n in items.values()) + 1
        check(spool, promised, acked)
        for stream, items in promised.items():
            if rng.random() < 0.5:
                acked.setdefault(stream, IntervalSet()).add(0, rng.choice(list(items)))
        spool.ack(Ack(VAN, acked))
        spool.close()
    check(Spool.open(tmp_path / "spool", VAN, settings()), promised, acked)


def check(
    spool: Spool,
    promised: dict[tuple[Epoch, DeliveryClass], dict[int, int]],
    acked: dict[tuple[Epoch, DeliveryClass], IntervalSet],
) -> None:
    found: dict[tuple[Epoch, DeliveryClass], set[int]] = {}
    for entry, message in offered(spool):
        envelope, _ = open_message(message)
        number = promised.get(entry.stream, {}).get(entry.seq)
        if number is not None:  # the last one may have been written, but its return not yet reported
            assert envelope.payload == b"%d." % number * (number * 7919 % 300)
        found.setdefault(entry.stream, set()).add(entry.seq)
    for stream, items in promised.items():
        given = acked.get(stream, IntervalSet())
        assert {seq for seq in items if seq not in given} <= found.get(stream, set())
        assert len(found.get(stream, set()) - set(items)) <= 1
    for account in spool.accounts():
        waiting = len(found.get((account.epoch, account.delivery_class), ()))
        assert account.acked.count() + waiting == account.produced
        assert not account.evicted
