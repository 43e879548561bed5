"""The spool in ordinary use, on the real file system unless a fault is wanted.

Goal: acks, order, eviction with tombstones, positions, accounts over restarts, inspection and the lock do what
docs/format.md and the design promise. Method: short runs through the public API, reopened, compared with what was
promised.
"""

from __future__ import annotations

import random
import shutil
import threading
import time
from pathlib import Path

import pytest
import structlog

from edge.spool import Spool, SpoolLockedError
from edge.spool.disk import Disk
from tests.edge.spool_walk import offered
from vantel.acks import Ack
from vantel.envelope import MESSAGE_BYTES_MAX, EnvelopeError, open_message
from vantel.identity import DeliveryClass, Epoch, PayloadKind
from vantel.intervals import IntervalSet
from vantel.payloads import Tombstone

from .runs import CLOCK, VAN, Run, settings

P0, P1, P2 = DeliveryClass.P0, DeliveryClass.P1, DeliveryClass.P2


def reopened(run: Run) -> Run:
    run.spool.close()
    return followed(run)


def followed(run: Run) -> Run:
    after = Run(run.disk, run.root, run.section, run.promised, run.acked, run.epochs, run.position)
    after.start()
    return after


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(Disk(), tmp_path / "state" / "spool")
    run.start()
    return run


def entries(spool: Spool, delivery_class: DeliveryClass) -> list[tuple[Epoch, int]]:
    found, after = [], -1
    while (entry := spool.next_after(delivery_class, after)) is not None:
        found.append((entry.stream[0], entry.seq))
        after = entry.ordinal
    return found


def test_order_is_append_order_over_all_epochs(run: Run) -> None:
    first = run.spool.epoch
    for number in range(30):
        run.append(P1, b"%d" % number * 100)
    run = reopened(run)
    second = run.spool.epoch
    for number in range(30):
        run.append(P1, b"%d" % number * 100)
    assert second.counter == first.counter + 1
    assert entries(run.spool, P1) == [(first, n) for n in range(30)] + [(second, n) for n in range(30)]
    run.check()


def test_recovered_entries_are_older_than_any_age(run: Run) -> None:
    before = time.monotonic()
    run.append(P1, b"a")
    entry = run.spool.next_after(P1, -1)
    assert entry is not None
    assert before <= entry.t_appended_mono_s <= time.monotonic()
    run = reopened(run)
    entry = run.spool.next_after(P1, -1)
    assert entry is not None
    assert entry.t_appended_mono_s == float("-inf")


def test_an_ack_frees_what_it_names_and_nothing_else(run: Run) -> None:
    for number in range(20):
        run.append(P1, b"%d" % number)
        run.append(P0, b"%d" % number)
    stream = (run.spool.epoch, P1)
    entry = run.spool.next_after(P1, -1)
    assert entry is not None
    assert not run.spool.is_acked(entry)
    assert run.ack(stream, 0, 4) == 5
    assert run.ack(stream, 3, 6) == 2
    assert run.spool.is_acked(entry)
    assert run.spool.load(entry) is None
    assert [seq for _, seq in entries(run.spool, P1)] == list(range(7, 20))
    assert len(entries(run.spool, P0)) == 20
    assert run.spool.backlog()[P1][0] == 13
    run.check()


def test_an_ack_of_what_was_never_made_is_counted_and_frees_nothing(run: Run) -> None:
    for number in range(5):
        run.append(P1, b"%d" % number)
    spool = run.spool
    unknown = Epoch(99, 1)
    everything = IntervalSet([(0, 2**63)])
    assert spool.ack(Ack("van-2", {(spool.epoch, P1): everything})) == 0
    assert spool.ack(Ack(VAN, {(unknown, P1): everything})) == 0
    assert spool.acks_unknown == 2
    assert spool.ack(Ack(VAN, {(spool.epoch, P1): IntervalSet([(5, 9)])})) == 0
    assert spool.forged == 5
    assert spool.backlog()[P1][0] == 5
    assert run.append(P1, b"next") == 5
    assert spool.backlog()[P1][0] == 6  # the forged ack did not reach ahead


def test_accounts_of_earlier_epochs_survive_restarts_and_freed_segments(tmp_path: Path) -> None:
    run = Run(Disk(), tmp_path / "spool", settings(bytes_max=12_288))
    run.start()
    first = run.spool.epoch
    for _ in range(40):
        run.append(P1, bytes(200))
    run.ack((first, P1), 0, 39)
    run = reopened(run)
    for _ in range(100):
        run.append(P1, bytes(200))
        run.maintain()
    names = [path.name for path in (tmp_path / "spool" / "p1").iterdir()]
    assert not any(f".{first.text}." in name for name in names), "the first epoch's segments were not freed"
    for _ in range(3):
        run = reopened(run)
    report = Spool.inspect(run.root)
    account = next(a for a in report.accounts if (a.epoch, a.delivery_class) == (first, P1))
    assert (account.produced, account.acked, account.evicted) == (40, IntervalSet([(0, 39)]), ())
    run.check()


def test_acked_segments_stay_until_their_space_is_needed(tmp_path: Path) -> None:
    run = Run(Disk(), tmp_path / "spool", settings(bytes_max=40_000))
    run.start()
    for _ in range(60):
        run.append(P1, bytes(300))
    run.ack((run.spool.epoch, P1), 0, 59)
    run.maintain()
    held = sum(path.stat().st_size for path in (run.root / "p1").iterdir())
    assert held > 60 * 300
    for _ in range(60):
        run.append(P2, bytes(300))
        run.maintain()
    assert sum(path.stat().st_size for path in (run.root / "p1").iterdir()) < held
    assert run.spool.evictions == 0, "something was given up while acked segments could go"
    run.check()


def test_eviction_takes_the_lowest_class_first_and_tells_the_cloud(tmp_path: Path) -> None:
    run = Run(Disk(), tmp_path / "spool", settings(bytes_max=60_000))
    run.start()
    for _ in range(100):
        for delivery_class in (P0, P1, P2):
            run.append(delivery_class, bytes(150 if delivery_class is P0 else 300))
        run.maintain()
    accounts = {a.delivery_class: a for a in run.spool.accounts()}
    gone = {c: sum(e.last - e.first + 1 for e in a.evicted) for c, a in accounts.items()}
    assert gone[P2] > gone[P1]
    assert gone[P0] == 0
    told: dict[DeliveryClass, IntervalSet] = {P1: IntervalSet(), P2: IntervalSet()}
    after = -1
    while (entry := run.spool.next_after(P0, after)) is not None:
        after = entry.ordinal
        message = run.spool.load(entry)
        assert message is not None
        envelope, _ = open_message(message)
        if envelope.kind is PayloadKind.TOMBSTONE:
            tombstone = Tombstone.decode(envelope.payload)
            assert tombstone.epoch == run.spool.epoch
            assert tombstone.eviction.reason == "quota"
            told[tombstone.delivery_class].add(tombstone.eviction.first, tombstone.eviction.last)
    for delivery_class, seqs in told.items():
        assert seqs == IntervalSet((e.first, e.last) for e in accounts[delivery_class].evicted)
    size = sum(path.stat().st_size for path in run.root.rglob("*.seg"))
    assert size <= 60_000 + 4096
    run.check()


def test_an_ack_after_the_eviction_counts_as_acked(tmp_path: Path) -> None:
    run = Run(Disk(), tmp_path / "spool", settings(bytes_max=30_000))
    run.start()
    for _ in range(150):
        run.append(P2, bytes(300))
        run.maintain()
    assert run.spool.evictions > 0
    assert run.ack((run.spool.epoch, P2), 0, 149) == 150
    account = next(a for a in run.spool.accounts() if a.delivery_class is P2)
    assert (account.acked.count(), account.evicted) == (150, ())
    assert run.spool.backlog()[P2] == (0, 0)
    run.check()


def test_position_outlives_freed_segments(tmp_path: Path) -> None:
    run = Run(Disk(), tmp_path / "spool", settings(bytes_max=20_000))
    run.start()
    for _ in range(100):
        run.append(P1, bytes(300))
        run.maintain()
    run.ack((run.spool.epoch, P1), 0, 99)
    for _ in range(200):
        run.spool.append(P2, PayloadKind.BATCH, bytes(300), CLOCK)
        run.spool.maintain()
    run.spool.close()
    for path in (run.root / "p1").iterdir():
        path.unlink()
    assert Spool.open(run.root, VAN, run.section).position() == 100


@pytest.mark.parametrize("slots", [("cursor-0",), ("cursor-1",), ("cursor-0", "cursor-1")])
def test_a_lost_cursor_costs_resends_and_no_data(run: Run, slots: tuple[str, ...]) -> None:
    for number in range(50):
        run.append(P1, b"%d" % number * 50)
    run.ack((run.spool.epoch, P1), 0, 29)
    run.maintain()
    run.maintain()
    run.spool.close()
    for name in slots:
        data = bytearray((run.root / name).read_bytes())
        data[len(data) // 2] ^= 4
        (run.root / name).write_bytes(data)
    run = followed(run)
    assert run.spool.recovery.cursors_damaged == len(slots)
    assert run.spool.epoch.counter == 2
    assert run.spool.backlog()[P1][0] == (50 if len(slots) == 2 else 20)
    run.check()


def test_damage_found_while_reading_is_evicted_and_told(run: Run) -> None:
    for number in range(10):
        run.append(P1, b"%d" % number * 50)
    path = next((run.root / "p1").iterdir())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    lost = []
    after = -1
    while (entry := run.spool.next_after(P1, after)) is not None:
        after = entry.ordinal
        if run.spool.load(entry) is None:
            lost.append(entry.seq)
    assert len(lost) == 1
    run.maintain()
    account = next(a for a in run.spool.accounts() if a.delivery_class is P1)
    assert [(e.first, e.last, e.reason) for e in account.evicted] == [(lost[0], lost[0], "corrupt")]
    assert run.spool.backlog()[P0][0] == 1
    run.check(lost_bytes_max=None)


def test_damage_found_at_the_start_is_evicted_and_told(run: Run) -> None:
    for number in range(10):
        run.append(P1, b"%d" % number * 20_000)
    run.spool.close()
    path = sorted((run.root / "p1").iterdir())[4]
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(data)
    run = followed(run)
    account = next(a for a in run.spool.accounts() if (a.epoch, a.delivery_class) == (run.epochs[0], P1))
    assert [(e.first, e.last, e.reason) for e in account.evicted] == [(4, 4, "corrupt")]
    assert run.spool.recovery.envelopes_missing == 1
    run.append(P0, b"birth")
    run.maintain()
    assert run.spool.backlog()[P0][0] == 2
    run.check(lost_bytes_max=None)


def test_a_damaged_header_loses_nothing(run: Run) -> None:
    for number in range(10):
        run.append(P0, b"%d" % number)
    run.spool.close()
    path = next((run.root / "p0").iterdir())
    path.write_bytes(bytes(64) + path.read_bytes()[64:])
    run = followed(run)
    assert run.spool.recovery.headers_damaged == 1
    run.check()


def test_files_of_another_van_or_a_newer_format_are_left_alone(run: Run) -> None:
    run.append(P0, b"ours")
    run.spool.close()
    (run.root / "p0" / "notes.txt").write_text("left by a person")
    with structlog.testing.capture_logs() as told:
        other = Spool.open(run.root, "van-2", run.section)
    assert other.recovery.files_foreign == 2
    assert [(line["files"], "van.id" in line["fix"]) for line in told] == [(2, True)]
    assert other.next_after(P0, -1) is None
    other.close()
    assert (run.root / "p0" / "notes.txt").exists()
    assert len(list((run.root / "p0").glob("*.seg"))) == 1
    back = Spool.open(run.root, VAN, run.section)
    assert back.next_after(P0, -1) is not None, "what was not sent under the old name still can be"
    back.close()


def test_a_folder_put_back_from_a_copy_reuses_no_number(tmp_path: Path) -> None:
    """What was sent since the copy was made keeps its identity; what the copy holds comes again, as the same bytes."""
    kept, copy = Run(Disk(), tmp_path / "spool"), tmp_path / "copy"
    kept.start()
    kept.append(P0, b"in the copy")
    before = [message for _, message in offered(kept.spool)]
    kept.spool.close()
    shutil.copytree(kept.root, copy)
    kept.start()
    kept.append(P0, b"after the copy")
    kept.spool.close()
    shutil.rmtree(kept.root)
    shutil.copytree(copy, kept.root)
    kept.start()
    assert [message for _, message in offered(kept.spool)] == before
    _, lost, now = kept.epochs
    assert now.counter == lost.counter, "the copy knows no better"
    assert now != lost, "the random part tells them apart"
    kept.spool.close()


def test_inspection_agrees_with_the_agent_and_changes_nothing(run: Run) -> None:
    rng = random.Random(2)
    for _ in range(80):
        run.random_step(rng)
    run.maintain()
    before = {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file()}
    report = Spool.inspect(run.root)
    assert before == {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file()}
    for account in run.spool.accounts():
        if account.produced:
            assert account in report.accounts
            waiting = report.spooled[(account.epoch, account.delivery_class)].count()
            assert waiting == len(
                [s for e, s in entries(run.spool, account.delivery_class) if e == account.epoch]
            )
    assert (report.van, report.epoch, report.position) == (VAN, run.spool.epoch, run.spool.position())
    assert Spool.inspect(run.root / "nowhere").accounts == ()


def test_two_agents_on_one_spool_are_refused(run: Run) -> None:
    with pytest.raises(SpoolLockedError, match="another vantel-edge"):
        Spool.open(run.root, VAN, run.section)
    run.spool.close()
    Spool.open(run.root, VAN, run.section).close()


def test_a_message_above_the_bound_is_refused_before_it_counts(run: Run) -> None:
    with pytest.raises(EnvelopeError, match="oversize"):
        run.spool.append(P2, PayloadKind.BATCH, bytes(MESSAGE_BYTES_MAX), CLOCK)
    assert run.append(P2, b"fits") == 0


@pytest.mark.once
def test_a_reader_and_acks_beside_the_writer(tmp_path: Path) -> None:
    """Threads: one appends and maintains, one reads and acks what it read; the quota makes files come and go."""
    run = Run(Disk(), tmp_path / "spool", settings(bytes_max=40_000, cursor_period_s=60.0))
    spool = run.start()
    done = threading.Event()
    failures: list[str] = []
    read: set[int] = set()

    def uplink() -> None:
        after = -1
        while True:
            finished = done.is_set()
            entry = spool.next_after(P1, after)
            if entry is None:
                if finished:
                    return
                continue
            after = entry.ordinal
            message = spool.load(entry)
            if message is None:
                continue
            envelope, _ = open_message(message)
            if envelope.seq != entry.seq or envelope.payload != b"%06d" % entry.seq * 50:
                failures.append(f"{entry}")
            read.add(entry.seq)
            spool.ack(Ack(VAN, {entry.stream: IntervalSet([(entry.seq, entry.seq)])}))

    thread = threading.Thread(target=uplink)
    thread.start()
    for number in range(1000):
        run.append(P1, b"%06d" % number * 50)
        run.maintain()
    done.set()
    thread.join(60)
    assert not failures
    account = next(a for a in spool.accounts() if a.delivery_class is P1)
    assert account.acked == IntervalSet((seq, seq) for seq in read)
    evicted = sum(e.last - e.first + 1 for e in account.evicted)
    assert account.acked.count() + evicted + spool.backlog()[P1][0] == 1000
    assert spool.backlog()[P1][1] >= 0
    run.spool.close()
