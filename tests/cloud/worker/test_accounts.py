"""Goal: every envelope is counted once, in any order of deliveries and records; the joined sheet has no hidden loss.

Method: hypothesis plays deliveries against a plain dict; merges are compared in both orders; sheets are built by hand.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.ledger.accounts import (
    KEPT_FACTOR_MAX,
    VAN_EPOCHS_MAX,
    VAN_STREAMS_MAX,
    Books,
    CloudAccount,
    EpochSamples,
    Settled,
    VanAccount,
    merge_class_accounts,
)
from cloud.ledger.keys import van_key
from cloud.ledger.sheet import Backlog, Ends, VanReport, join, join_stream
from vantel.envelope import EnvelopeError
from vantel.identity import DeliveryClass, Epoch, StreamKey
from vantel.intervals import IntervalSet
from vantel.payloads import ClassAccount, Eviction, PowerLoss

P1 = DeliveryClass.P1
EPOCH = Epoch(1, 2)
STREAM = StreamKey("van-1", EPOCH, P1)
DELIVERIES = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from(["", "codec", "catalog_unknown"])), max_size=40
)


def settle(deliveries: list[tuple[int, str]]) -> CloudAccount:
    account = CloudAccount(STREAM)
    for seq, reason in deliveries:
        account.settle(Settled(STREAM, seq, reason, points=seq + 1, samples=2))
    return account


@given(deliveries=DELIVERIES)
def test_deliveries_are_counted_once_and_stored_wins(deliveries: list[tuple[int, str]]) -> None:
    account = settle(deliveries)
    stored = {seq for seq, reason in deliveries if not reason}
    last_reason = {seq: reason for seq, reason in deliveries if seq not in stored}
    assert account.stored == IntervalSet((seq, seq) for seq in stored)
    assert account.points == sum(seq + 1 for seq in stored)
    assert account.samples == 2 * len(stored)
    for reason in ("codec", "catalog_unknown"):
        wanted = IntervalSet((seq, seq) for seq, said in last_reason.items() if said == reason)
        assert account.rejected.get(reason, IntervalSet()) == wanted
    after = [
        at for at, (seq, _) in enumerate(deliveries) if any(s == seq and not r for s, r in deliveries[:at])
    ]
    assert account.duplicates == len(after)


@given(one=DELIVERIES, other=DELIVERIES)
def test_merging_records_in_any_order_gives_the_same(
    one: list[tuple[int, str]], other: list[tuple[int, str]]
) -> None:
    left, right = settle(one), settle(other)
    left.merge(settle(other))
    right.merge(settle(one))
    assert left.encode() == right.encode()
    again = CloudAccount.decode(left.encode())
    again.merge(left)
    assert again.encode() == left.encode()
    assert not left.rejected_all.intersection(left.stored)


@given(deliveries=DELIVERIES)
def test_an_account_survives_its_record(deliveries: list[tuple[int, str]]) -> None:
    account = settle(deliveries)
    assert CloudAccount.decode(account.encode()).encode() == account.encode()


@given(data=st.binary(max_size=60))
def test_records_that_are_none_are_refused(data: bytes) -> None:
    books = Books()
    for key in ("van-1|1-00000002|p1", "van-1|van"):
        assert books.absorb(key, data) in (True, False)
    if books.clouds or books.vans:
        return
    with pytest.raises(EnvelopeError):
        CloudAccount.decode(b"\xff")


def class_account(produced: int, acked: list[tuple[int, int]], *evicted: Eviction) -> ClassAccount:
    return ClassAccount(EPOCH, P1, produced, IntervalSet(acked), evicted)


def test_reports_of_a_van_merge_in_any_order() -> None:
    old = class_account(5, [(0, 1)], Eviction(3, 4, "quota"))
    new = class_account(9, [(0, 3)])
    for pair in itertools.permutations([old, new]):
        merged = merge_class_accounts(*pair)
        assert merged == class_account(9, [(0, 3)], Eviction(4, 4, "quota"))


CUT = PowerLoss(10, 262144, 1.0)


def test_a_power_cut_is_carried_through_merges_and_records() -> None:
    before = ClassAccount(EPOCH, P1, 15, IntervalSet([(0, 3)]))
    after = ClassAccount(EPOCH, P1, 10, IntervalSet([(0, 3)]), (), CUT)
    for pair in itertools.permutations([before, after]):
        merged = merge_class_accounts(*pair)
        assert (merged.produced, merged.power_loss) == (15, CUT)
    books = Books()
    for report in (after, before):
        books.report(VanAccount("van-1", 1, {(EPOCH, P1): report}))
    again = Books()
    assert again.absorb(van_key("van-1"), books.vans["van-1"].encode())
    assert again.vans["van-1"].streams[EPOCH, P1].power_loss == CUT


def test_what_a_power_cut_took_is_lost_for_that_reason_and_not_spooled_for_ever() -> None:
    """Ten synced, five more reported before the cut; of those the cloud got 11 and a later one, 17."""
    account = ClassAccount(EPOCH, P1, 15, IntervalSet([(0, 3)]), (), CUT)
    report = VanReport.as_reported((account,))
    assert list(report.spooled[EPOCH, P1]) == [(4, 9)]
    cloud = CloudAccount(STREAM, IntervalSet([(0, 3), (11, 11), (17, 17)]))
    ledger = join({"van-1": report}, {STREAM: cloud}, {})
    assert (ledger.total.produced, ledger.total.stored, ledger.total.spooled) == (18, 6, 6)
    assert ledger.total.evicted_by_reason == {"power": 6}
    assert ledger.balanced
    told = {"first": 10, "bytes_max": 262144, "seconds_max": 1.0, "after_unix_ns": 0}
    assert ledger.as_dict()["power_losses"] == {STREAM.text: told}


def test_a_power_cut_does_not_excuse_what_kafka_had() -> None:
    account = ClassAccount(EPOCH, P1, 12, IntervalSet([(0, 11)]), (), CUT)
    cloud = {STREAM: CloudAccount(STREAM, IntervalSet([(0, 10)]))}
    ledger = join({"van-1": VanReport.as_reported((account,))}, cloud, {})
    assert ledger.as_dict()["residual_at"] == {STREAM.text: [[11, 11]]}


def started_often(books: Books, counters: range, stored: bool) -> None:
    """One envelope and one report an epoch; the cloud has it, or not yet."""
    for counter in counters:
        stream = StreamKey("van-1", Epoch(counter, 1), P1)
        if stored:
            books.settle(Settled(stream, 0))
        account = ClassAccount(stream.epoch, P1, 1, IntervalSet())
        samples = {stream.epoch: EpochSamples(5)}
        books.report(VanAccount("van-1", counter, {(stream.epoch, P1): account}, samples))


def test_the_account_of_a_van_is_bounded_and_forgets_first_what_the_cloud_has() -> None:
    books = Books()
    started_often(books, range(VAN_STREAMS_MAX + 50), stored=True)
    account = books.vans["van-1"]
    assert len(account.streams) == VAN_STREAMS_MAX
    assert min(account.streams)[0].counter == 50
    assert len(account.samples) == VAN_EPOCHS_MAX
    again = Books()
    assert again.absorb(van_key("van-1"), account.encode())
    assert again.vans["van-1"].streams == account.streams
    started_often(books, range(VAN_STREAMS_MAX + 50, VAN_STREAMS_MAX * (KEPT_FACTOR_MAX + 2)), stored=False)
    assert len(account.streams) == VAN_STREAMS_MAX * KEPT_FACTOR_MAX


def test_a_loss_is_told_however_often_the_van_was_started_since() -> None:
    """And so are a power cut's, what still waits, and what was shed."""
    books = Books()
    old = {
        Epoch(1, 1): class_account(9, [(0, 3)], Eviction(4, 6, "quota")),  # 7 and 8 wait on the van
        Epoch(2, 1): ClassAccount(EPOCH, P1, 3, IntervalSet(), (), CUT),
    }
    streams = {(epoch, P1): replace(account, epoch=epoch) for epoch, account in old.items()}
    samples = {Epoch(1, 1): EpochSamples(100, {"queue_full": 7})}
    for seq in (0, 1, 2, 3):
        books.settle(Settled(StreamKey("van-1", Epoch(1, 1), P1), seq))
    for seq in (0, 1, 2, 12):
        books.settle(Settled(StreamKey("van-1", Epoch(2, 1), P1), seq))
    books.report(VanAccount("van-1", 1, streams, samples))
    started_often(books, range(3, 3 + VAN_STREAMS_MAX + 50), stored=True)
    total = Ends(Backlog(), books).joined({}).total
    assert total.evicted_by_reason == {"quota": 3, "power": 2}
    assert (total.spooled, total.shed_by_reason) == (2, {"queue_full": 7})


def test_a_van_whose_state_was_wiped_is_heard_though_its_epochs_count_from_one_again() -> None:
    books = Books()
    started_often(books, range(1000, 1000 + VAN_STREAMS_MAX), stored=True)
    account = ClassAccount(Epoch(1, 77), P1, 5, IntervalSet(), (Eviction(0, 1, "quota"),))
    books.report(VanAccount("van-1", 9999, {(Epoch(1, 77), P1): account}))
    total = Ends(Backlog(), books).joined({}).total
    assert (total.evicted, total.spooled) == (2, 3)


def test_a_sheet_counts_an_envelope_where_it_is_best_known() -> None:
    cloud = CloudAccount(STREAM, IntervalSet([(0, 4)]), {"codec": IntervalSet([(5, 5)])}, points=50)
    account = class_account(12, [(0, 8)], Eviction(4, 4, "quota"), Eviction(10, 10, "quota"))
    row, residual = join_stream(account, IntervalSet([(8, 9)]), cloud, IntervalSet([(5, 8)]))
    assert (row.produced, row.stored, row.rejected, row.in_kafka, row.spooled, row.evicted) == (
        12,
        5,
        1,
        3,
        1,
        1,
    )
    assert (row.residual, list(residual)) == (1, [(11, 11)])
    assert row.evicted_by_reason == {"quota": 1}
    assert row.rejected_by_reason == {"codec": 1}
    assert row.points == 50


@given(
    produced=st.integers(0, 20),
    stored=st.sets(st.integers(0, 19)),
    rejected=st.sets(st.integers(0, 19)),
    kafka=st.sets(st.integers(0, 19)),
    spooled=st.sets(st.integers(0, 19)),
)
def test_a_sheet_adds_up(
    produced: int, stored: set[int], rejected: set[int], kafka: set[int], spooled: set[int]
) -> None:
    def intervals(numbers: set[int]) -> IntervalSet:
        return IntervalSet((number, number) for number in numbers)

    cloud = CloudAccount(STREAM, intervals(stored), {"codec": intervals(rejected - stored)})
    row, residual = join_stream(class_account(produced, []), intervals(spooled), cloud, intervals(kafka))
    assert row.produced == row.stored + row.rejected + row.evicted + row.spooled + row.in_kafka + row.residual
    known = stored | rejected | kafka | spooled
    assert residual == intervals(set(range(produced)) - known)


def test_a_ledger_joins_all_vans_and_names_the_residual() -> None:
    lost = class_account(3, [(0, 2)])
    clouds = {STREAM: CloudAccount(STREAM, IntervalSet([(0, 1)]))}
    other = StreamKey("van-2", EPOCH, P1)
    clouds[other] = CloudAccount(other, IntervalSet([(0, 9)]))
    ledger = join({"van-1": VanReport((lost,), {})}, clouds, {})
    assert not ledger.balanced
    assert ledger.as_dict()["residual_at"] == {STREAM.text: [[2, 2]]}
    assert ledger.vans["van-2"].stored == 10
    assert ledger.total.produced == 13
    reported = VanReport.as_reported((class_account(5, [(0, 1)], Eviction(2, 2, "quota")),))
    assert list(reported.spooled[EPOCH, P1]) == [(3, 4)]


def test_what_was_refused_for_another_reason_since_is_not_driven_in_again() -> None:
    books = Books()
    for seq, reason in enumerate(["", "catalog_unknown", "codec"]):
        books.settle(Settled(STREAM, seq, reason))
    past = [books.is_settled_beyond("catalog_unknown", STREAM, seq) for seq in range(4)]
    assert past == [True, False, True, False]
