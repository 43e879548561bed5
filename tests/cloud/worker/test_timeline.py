"""Goal: for every second of a van the ledger says stored, or why not; silence is never taken for loss, nor loss for silence.

Method: a van's day is played into the books by hand, one fault at a time; hypothesis plays any set of fates and checks
that every second has exactly one span, that its state is what was played, and that records survive their bytes.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.ledger.accounts import Books, CloudAccount, EpochSamples, Settled, VanAccount
from cloud.ledger.sheet import Backlog, VanReport, join
from cloud.ledger.timeline import Span, sentence, timeline
from cloud.ledger.times import COVERED_MAX, STORED, TIMED_MAX, SeqTimes, StreamTimes, Timed
from vantel.envelope import EnvelopeError
from vantel.identity import DeliveryClass, Epoch, StreamKey
from vantel.intervals import IntervalSet
from vantel.payloads import ClassAccount, Eviction, PowerLoss, Tombstone
from vantel.telemetry.v1 import account_pb2
from vantel.window import Window

P0, P1 = DeliveryClass.P0, DeliveryClass.P1
EPOCH = Epoch(1, 2)
STREAM = StreamKey("van-1", EPOCH, P1)
T = 1_800_000_000
BATCH_S = 10
NS = 1_000_000_000


def window(at_s: int, for_s: int = BATCH_S, samples: bool = True) -> Window:
    return Window((T + at_s) * NS, (T + at_s + for_s) * NS - 1, samples)


def settle(
    books: Books, seq: int, rejected: str = "", stream: StreamKey = STREAM, at_s: int | None = None
) -> None:
    at_s = seq * BATCH_S if at_s is None else at_s
    books.settle(Settled(stream, seq, rejected, points=1, window=window(at_s)))


def report(books: Books, produced: int, acked: list[tuple[int, int]], *evicted: Eviction, at_s: int = 0,
           cut: PowerLoss | None = None, epoch: Epoch = EPOCH) -> None:  # fmt: skip
    account = ClassAccount(epoch, P1, produced, IntervalSet(acked), evicted, cut)
    books.report(VanAccount("van-1", (T + at_s) * NS, {(epoch, P1): account}))


def seen(spans: list[Span]) -> list[tuple[int, int, str, str, int]]:
    return [(s.first_unix_s - T, s.last_unix_s - T, s.state, s.reason, s.envelopes) for s in spans]


def look(
    books: Books, first_s: int, last_s: int, backlog: Backlog | None = None
) -> list[tuple[int, int, str, str, int]]:
    return seen(timeline("van-1", T + first_s, T + last_s, books, backlog))


def test_what_is_stored_is_one_span_and_nothing_else_is_said() -> None:
    books = Books()
    for seq in range(12):
        settle(books, seq)
    report(books, 12, [(0, 11)], at_s=120)
    assert look(books, 0, 119) == [(0, 119, "stored", "", 0)]


def test_what_the_van_gave_up_is_told_for_its_seconds() -> None:
    """Envelopes 3 to 5 are gone; the tombstone names the whole segment, 2 to 7, and the neighbours know better."""
    books = Books()
    for seq in (0, 1, 2, 6, 7):
        settle(books, seq)
    report(books, 8, [(0, 2), (6, 7)], Eviction(3, 5, "quota"), at_s=80)
    assert look(books, 0, 79) == [
        (0, 29, "stored", "", 0),
        (30, 59, "evicted", "quota", 3),
        (60, 79, "stored", "", 0),
    ]
    gone = Tombstone(EPOCH, P1, Eviction(3, 5, "quota"), (T + 20) * NS, (T + 79) * NS)
    assert books.note_gone("van-1", gone) == STREAM
    assert look(books, 30, 59) == [(30, 59, "evicted", "quota", 3)]


def test_a_tombstone_places_a_gap_that_has_no_neighbours() -> None:
    """All that was there before is gone: without the tombstone nobody could say when it was."""
    books = Books()
    settle(books, 40)
    report(books, 41, [(40, 40)], Eviction(10, 39, "quota"), at_s=410)
    books.note_gone(
        "van-1", Tombstone(EPOCH, P1, Eviction(10, 39, "quota"), (T + 100) * NS, (T + 400) * NS - 1)
    )
    assert (100, 399, "evicted", "quota", 30) in look(books, 0, 409)
    without = Tombstone(EPOCH, P1, Eviction(1, 2, "quota"))
    assert books.note_gone("van-1", without) is None


def test_what_the_cloud_refused_has_its_own_time() -> None:
    books = Books()
    settle(books, 0)
    settle(books, 1, "codec")
    settle(books, 2)
    report(books, 3, [(0, 2)], at_s=30)
    assert look(books, 0, 29) == [
        (0, 9, "stored", "", 0),
        (10, 19, "rejected", "codec", 1),
        (20, 29, "stored", "", 0),
    ]


def test_what_waits_is_told_and_where() -> None:
    """0 is stored, 1 lies in Kafka, 2 to 4 are spooled: the van was last heard at 50 s, and it is 60 s now."""
    books = Books()
    settle(books, 0)
    report(books, 5, [(0, 1)], at_s=50)
    backlog = Backlog({STREAM: IntervalSet([(1, 1)])})
    backlog.times[STREAM] = SeqTimes()
    backlog.times[STREAM].put(Timed(1, 1, (T + 10) * 1000, (T + 20) * 1000 - 1, 0))
    assert look(books, 0, 59, backlog) == [
        (0, 9, "stored", "", 0), (10, 19, "waiting", "in_kafka", 1), (20, 50, "waiting", "spooled", 3), (51, 59, "unheard", "", 0),
    ]  # fmt: skip


def test_what_nobody_can_account_for_is_no_silence() -> None:
    """Acked by the bridge and nowhere: with a look into Kafka it is unaccounted, without one it may still lie there."""
    books = Books()
    for seq in (0, 1, 3):
        settle(books, seq)
    report(books, 4, [(0, 3)], at_s=40)
    assert look(books, 20, 29, Backlog()) == [(20, 29, "unaccounted", "", 1)]
    assert look(books, 20, 29) == [(20, 29, "waiting", "in_kafka", 1)]


def test_a_van_that_was_off_and_one_without_samples_are_silent() -> None:
    """Epoch 1 ends at 30 s, epoch 2 begins at 100 s; in it there are reports but no samples from 110 s to 200 s."""
    books, later = Books(), Epoch(2, 9)
    for seq in range(3):
        settle(books, seq)
    report(books, 3, [(0, 2)], at_s=30)
    stream = StreamKey("van-1", later, P1)
    settle(books, 0, stream=stream, at_s=100)
    for seq, at_s in enumerate(range(110, 200, 30), start=1):
        instant = Window((T + at_s) * NS, (T + at_s) * NS)
        books.settle(Settled(stream, seq, points=1, window=instant))
    settle(books, 4, stream=stream, at_s=200)
    report(books, 5, [(0, 4)], at_s=210, epoch=later)
    assert look(books, 0, 209) == [
        (0, 29, "stored", "", 0), (30, 99, "silent", "off", 0),
        (100, 109, "stored", "", 0), (110, 199, "silent", "no_samples", 0), (200, 209, "stored", "", 0),
    ]  # fmt: skip


def test_a_power_cut_is_told_with_its_bound() -> None:
    """Four synced; the cut took at most 2 s, of unknown number; the van is back at 100 s."""
    books, later = Books(), Epoch(2, 9)
    for seq in range(4):
        settle(books, seq)
    report(books, 4, [(0, 3)], at_s=40, cut=PowerLoss(4, 262144, 2.0, (T + 40) * NS))
    settle(books, 0, stream=StreamKey("van-1", later, P1), at_s=100)
    report(books, 1, [(0, 0)], at_s=110, epoch=later)
    assert look(books, 0, 109) == [
        (0, 39, "stored", "", 0), (40, 42, "lost", "power", 0), (43, 99, "silent", "off", 0), (100, 109, "stored", "", 0),
    ]  # fmt: skip


def test_samples_dropped_before_sealing_stand_out_of_what_is_stored() -> None:
    books = Books()
    settle(books, 0)
    books.settle(Settled(STREAM, 1, points=1, window=window(10), shed=("queue_full",)))
    settle(books, 2)
    assert look(books, 0, 29) == [
        (0, 9, "stored", "", 0),
        (10, 19, "shed", "queue_full", 0),
        (20, 29, "stored", "", 0),
    ]


def test_a_lost_event_is_told_beside_the_samples() -> None:
    books, stream = Books(), StreamKey("van-1", EPOCH, P0)
    for seq in range(3):
        settle(books, seq)
    for seq, at_s in ((0, 0), (2, 20)):
        books.settle(Settled(stream, seq, window=Window((T + at_s) * NS, (T + at_s) * NS)))
    account = ClassAccount(EPOCH, P0, 3, IntervalSet([(0, 0), (2, 2)]), (Eviction(1, 1, "corrupt"),))
    books.report(VanAccount("van-1", (T + 30) * NS, {(EPOCH, P0): account}))
    spans = timeline("van-1", T, T + 29, books)
    assert seen(spans) == [(0, 29, "stored", "", 0), (0, 20, "evicted", "corrupt", 1)]
    assert spans[1].delivery_class == "p0"
    assert sentence(spans[1]) == "evicted(corrupt), 1 envelopes of p0: the van gave the envelopes up"


def test_an_unknown_van_is_unheard_and_a_backward_range_is_refused() -> None:
    assert look(Books(), 0, 9) == [(0, 9, "unheard", "", 0)]
    with pytest.raises(ValueError, match="no range"):
        timeline("van-1", 10, 9, Books())


@given(fates=st.lists(st.sampled_from(["stored", "rejected", "evicted", "waiting", "nowhere"]), min_size=1, max_size=30),
       order=st.randoms(use_true_random=False))  # fmt: skip
def test_every_second_has_one_span_and_the_right_one(fates: list[str], order) -> None:  # type: ignore[no-untyped-def]
    """A stored envelope at both ends, so that everything between has neighbours."""
    fates = ["stored", *fates, "stored"]
    books, seqs = Books(), list(range(len(fates)))
    order.shuffle(seqs)
    for seq in seqs:
        if fates[seq] in ("stored", "rejected"):
            settle(books, seq, "codec" if fates[seq] == "rejected" else "")
    acked = [(seq, seq) for seq, fate in enumerate(fates) if fate in ("stored", "rejected", "nowhere")]
    evicted = [Eviction(seq, seq, "quota") for seq, fate in enumerate(fates) if fate == "evicted"]
    report(books, len(fates), acked, *evicted, at_s=len(fates) * BATCH_S)
    spans = timeline("van-1", T, T + len(fates) * BATCH_S - 1, books, Backlog())
    assert [s.first_unix_s for s in spans[1:]] == [s.last_unix_s + 1 for s in spans[:-1]]
    assert (spans[0].first_unix_s, spans[-1].last_unix_s) == (T, T + len(fates) * BATCH_S - 1)
    wanted = {"nowhere": "unaccounted"}
    for seq, fate in enumerate(fates):
        middle = T + seq * BATCH_S + BATCH_S // 2
        assert next(s.state for s in spans if s.first_unix_s <= middle <= s.last_unix_s) == wanted.get(
            fate, fate
        )
    again = CloudAccount.decode(books.clouds[STREAM].encode())
    assert again.encode() == books.clouds[STREAM].encode()
    again.merge(books.clouds[STREAM])
    assert again.encode() == books.clouds[STREAM].encode()


def test_the_index_is_bounded_and_forgets_the_oldest() -> None:
    times = StreamTimes()
    for seq in range(0, 2 * (TIMED_MAX + COVERED_MAX), 2):
        times.note((seq, seq), window(seq * BATCH_S), STORED)
    assert (len(times.seqs), len(times.covered)) == (TIMED_MAX, COVERED_MAX)
    assert list(times.covered)[-1] == (T + seq * BATCH_S, T + seq * BATCH_S + 9)
    record = CloudAccount(STREAM, times=times).encode()
    assert len(record) < 64 * 1024


def test_a_record_whose_times_run_backwards_is_refused() -> None:
    for times in (
        {"times": [account_pb2.TimedRange(range={"first": 3, "last": 2})]},
        {"times": [account_pb2.TimedRange(first_unix_ms=2, last_unix_ms=1)]},
        {"covered": [account_pb2.SecondsRange(first_unix_s=2, last_unix_s=1)]},
    ):
        record = account_pb2.CloudAccount(van="van-1", delivery_class=2, **times).SerializeToString()  # type: ignore[arg-type]
        with pytest.raises(EnvelopeError):
            CloudAccount.decode(record)


def test_a_clock_that_jumps_does_not_spread_its_envelopes_over_the_years() -> None:
    """Ten years on between 4 and 5: each half keeps its own time, and nothing of the years between is stored."""
    books = Books()
    for seq in range(10):
        settle(books, seq, at_s=seq * BATCH_S + (315_360_000 if seq >= 5 else 0))
    assert [(item.first, item.last) for item in books.clouds[STREAM].times.seqs] == [(0, 4), (5, 9)]
    assert look(books, 60, 70)[0][2] == "silent"


def test_shed_samples_are_in_the_sheet() -> None:
    books = Books()
    for shed in ({"queue_full": 3}, {"queue_full": 5, "unknown_signal": 1}, {"queue_full": 4}):
        books.report(VanAccount("van-1", 1, {}, {EPOCH: EpochSamples(100, shed)}))
    books.report(VanAccount("van-1", 1, {}, {Epoch(2, 1): EpochSamples(10, {"queue_full": 2})}))
    told = VanAccount.decode(books.vans["van-1"].encode())
    sheet = join({"van-1": VanReport.as_reported((), told.samples)}, {}, {})
    assert sheet.total.shed_by_reason == {"queue_full": 7, "unknown_signal": 1}
    assert sheet.vans["van-1"].samples_produced == 110
