"""Goal: the schedule sends in the right order, never passes its bounds, forgets nothing and never repeats an acked one.

Method: tables with injected time for each rule; a state machine (hypothesis) that throws appends, PUBACKs, refusals,
durable acks, evictions and lost connections at it in any order, checks the bounds after each step, and at the end lets
everything through: all must be acked. The outbox is the tests' own, in memory.
"""

from __future__ import annotations

import itertools
import math

import pytest

import edge.uplink.lanes
from edge.settings import UplinkSection
from edge.spool.index import Entry
from tests.edge.uplink.uplink_bench import SETTINGS, Bench, name
from vantel.identity import DeliveryClass

P0, P1, P2 = DeliveryClass


def test_order_is_p0_live_backlog_bulk() -> None:
    bench = Bench()
    bench.add(P1, 3, age_s=math.inf)
    bench.add(P1, 2, age_s=100)
    bench.add(P1, 2)
    bench.add(P2, 1)
    bench.add(P0, 2)
    bench.connect()
    assert bench.send_all() == [
        *("p0/0", "p0/1"), *("p1/5", "p1/6"), *("p1/0", "p1/1", "p1/2", "p1/3", "p1/4"), "p2/0",
    ]  # fmt: skip
    assert bench.schedule.tracked == 10


def test_p0_and_live_overtake_a_backlog_under_way() -> None:
    bench = Bench()
    bench.add(P1, 1000, age_s=100)
    bench.connect()
    for _ in range(5):
        bench.send()
        bench.puback()
    bench.add(P1)
    bench.add(P0)
    sent = []
    for _ in range(3):
        sent.append(name(bench.send() or pytest.fail("nothing was sent")))
        bench.puback()
    assert sent == ["p0/0", "p1/1000", "p1/5"]


def test_backlog_has_its_share_of_a_link_that_live_data_fills() -> None:
    bench = Bench(SETTINGS.model_copy(update={"backlog_bytes_s_min": 1.0}))
    bench.add(P1, 50, age_s=1000)  # of 5 or 6 bytes each: one is due after as many seconds
    bench.connect()
    went = []
    for _ in range(60):
        bench.add(P1)
        went.append(name(bench.send() or pytest.fail("nothing was sent")))
        bench.puback()
        bench.now_s += 1.0
    backlog = [int(n[3:]) for n in went if int(n[3:]) < 50]
    assert backlog == list(range(len(backlog))), "the backlog goes oldest first"
    assert 8 <= len(backlog) <= 10, "60 B in 60 s, less one second for each that goes"
    gaps = [a for a, b in itertools.pairwise(went) if int(a[3:]) < 50 and int(b[3:]) < 50]
    assert not gaps, "never two in a row while live data waits"


def test_live_lane_finds_its_start_without_walking_the_backlog() -> None:
    bench = Bench()
    bench.add(P1, 20_000, age_s=math.inf)
    bench.add(P1, 3)
    calls = 0
    real = bench.outbox.next_after

    def counted(delivery_class: DeliveryClass, after: int, /) -> Entry | None:
        nonlocal calls
        calls += 1
        return real(delivery_class, after)

    bench.outbox.next_after = counted  # type: ignore[method-assign]
    bench.connect()
    assert name(bench.send() or pytest.fail("nothing was sent")) == "p1/20000"
    assert calls < 60


def test_what_was_live_becomes_backlog_and_still_goes() -> None:
    bench = Bench()
    bench.connect()
    bench.add(P1, 10)
    assert [name(e) for _ in range(3) if (e := bench.send())] == ["p1/0", "p1/1", "p1/2"]
    bench.drop()
    bench.now_s += 100
    bench.add(P1, 2)
    bench.connect()
    went = bench.send_all()
    assert went[:2] == ["p1/10", "p1/11"]
    assert sorted(went) == sorted(f"p1/{n}" for n in range(12))


def test_window_is_the_smaller_of_ours_and_the_brokers_and_p0_has_the_last_slot() -> None:
    for receive_max, window in ((65_535, 4), (2, 2), (1, 1)):
        bench = Bench()
        bench.add(P1, 20)
        bench.connect(receive_max)
        while bench.send():
            pass
        assert bench.schedule.in_flight == max(1, window - 1)
        bench.add(P0, 20)
        while bench.send():
            pass
        assert bench.schedule.in_flight == window


def test_resend_times_double_to_the_cap_and_stop_at_the_durable_ack() -> None:
    bench = Bench()
    bench.add(P1)
    bench.connect()
    gaps = []
    for _ in range(4):
        bench.send()
        bench.puback()
        start_s = bench.now_s
        while bench.schedule.choose(bench.now_s) is None:
            bench.now_s += 1.0
        gaps.append(bench.now_s - start_s)
    assert gaps == [30, 60, 100, 100]
    bench.ack(P1, 0)
    bench.now_s += 1e6
    assert bench.send() is None
    assert bench.schedule.tracked == 0


def test_sends_without_puback_do_not_stretch_the_resend_time() -> None:
    bench = Bench()
    bench.add(P1)
    for _ in range(10):
        bench.connect()
        assert bench.send()
        bench.drop()
    bench.connect()
    bench.send()
    bench.puback()
    bench.now_s += 30
    assert bench.send()


def test_lost_connection_sends_unanswered_again_at_once() -> None:
    bench = Bench()
    bench.add(P1, 3)
    bench.connect()
    bench.send()
    bench.send()
    bench.puback()
    bench.drop()
    assert bench.send() is None
    assert bench.schedule.in_flight == 0
    bench.connect()
    assert set(bench.send_all()) == {"p1/1", "p1/2"}, "p1/0 had its PUBACK and waits for its durable ack"


def test_a_broker_that_forgot_the_session_is_told_again_soon() -> None:
    for session_present, went in ((True, []), (False, ["p1/0"])):
        bench = Bench()
        bench.add(P1)
        bench.connect()
        bench.send_all()
        bench.drop()
        bench.connect(session_present=session_present)
        bench.now_s += 5.0
        assert bench.send_all() == went


def test_durable_ack_before_the_puback_keeps_the_slot_until_the_puback() -> None:
    bench = Bench()
    bench.add(P1)
    bench.connect()
    bench.send()
    bench.ack(P1, 0)
    assert (bench.schedule.in_flight, bench.schedule.tracked) == (1, 0)
    bench.puback()
    assert bench.schedule.in_flight == 0
    bench.now_s += 1e6
    assert bench.send() is None


def test_a_refused_window_is_one_refusal_then_one_message_at_a_time() -> None:
    bench = Bench(UplinkSection(inflight_max=8, backoff_s_min=2, backoff_s_max=16))
    bench.add(P1, 50)
    bench.connect()
    while bench.send():
        pass
    for mid in list(bench.open):
        bench.refuse(mid)
    assert bench.send() is None, "the class pauses"
    bench.now_s += 2.0
    assert bench.send(), "the pause of one refusal is at most backoff_s_min"
    assert bench.send() is None, "and then one feels its way"
    bench.puback()
    assert bench.send()
    assert bench.send(), "a delivery opens the window"


def test_a_refused_class_does_not_hold_up_the_others() -> None:
    bench = Bench()
    bench.add(P0)
    bench.connect()
    bench.send()
    bench.refuse()
    bench.add(P1, 2)
    assert bench.send_all() == ["p1/0", "p1/1"]


def test_refusals_go_on_to_the_cap_and_never_give_up() -> None:
    bench = Bench()
    bench.add(P1)
    bench.connect()
    sends = 0
    while sends < 12:
        if bench.send():
            sends += 1
            bench.refuse()
        bench.now_s += 1.0
        assert bench.now_s < 1000 + 12 * 121


def test_bound_on_waiting_leaves_room_for_p0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge.uplink.lanes, "WAITING_MAX", 20)
    monkeypatch.setattr(edge.uplink.lanes, "WAITING_P0_RESERVE", 5)
    bench = Bench()
    bench.add(P1, 100)
    bench.add(P2, 100)
    bench.connect()
    assert len(bench.send_all()) == 15
    bench.add(P0, 100)
    assert bench.send_all() == [f"p0/{n}" for n in range(5)]
    bench.ack(P1, 0, 1, 2, 3, 4, 5, 6)
    assert [n for n in bench.send_all() if n.startswith("p0")] == [f"p0/{n}" for n in range(5, 12)]


def test_bytes_that_are_gone_are_forgotten_and_unreadable_ones_tried_again() -> None:
    bench = Bench()
    bench.add(P1, 2)
    bench.connect()
    gone = bench.schedule.choose(bench.now_s)
    assert gone is not None
    bench.outbox.evict(gone.entry)
    bench.schedule.postpone(gone, bench.now_s)
    assert bench.schedule.tracked == 0
    unreadable = bench.schedule.choose(bench.now_s)
    assert unreadable is not None
    assert unreadable.entry.seq == 1
    bench.schedule.postpone(unreadable, bench.now_s)
    assert bench.send() is None
    bench.now_s += 1.0
    assert bench.send_all() == ["p1/1"]


def test_skipped_is_tried_on_the_next_connection_only() -> None:
    bench = Bench()
    bench.add(P1, 1, age_s=100)
    bench.connect()
    choice = bench.schedule.choose(bench.now_s)
    assert choice is not None
    bench.schedule.skip(choice)
    assert bench.send() is None
    bench.drop()
    bench.connect()
    assert bench.send_all() == ["p1/0"]


def test_heap_stays_bounded_by_what_is_tracked() -> None:
    bench = Bench()
    bench.connect()
    for n in range(3000):
        bench.add(P1)
        bench.send()
        bench.puback()
        bench.ack(P1, n)
    books = bench.schedule._classes[P1]
    assert len(books.due) <= 2 * len(books.tracked) + 64
