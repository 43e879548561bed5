"""Goal: the schedule sends in the right order, never passes its bounds, forgets nothing and never repeats an acked one.

Method: tables with injected time for each rule; a state machine (hypothesis) that throws appends, PUBACKs, refusals,
durable acks, evictions and lost connections at it in any order, checks the bounds after each step, and at the end lets
everything through: all must be acked. The outbox is the tests' own, in memory.
"""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import edge.uplink
from edge.progress import Progress
from edge.settings import UplinkSection
from edge.spool.index import Entry
from edge.uplink import Choice, Schedule
from tests.edge.memory_outbox import MemoryOutbox
from vantel.acks import Ack
from vantel.identity import DeliveryClass, Epoch
from vantel.intervals import IntervalSet

P0, P1, P2 = DeliveryClass
EPOCH = Epoch(1, 2)
SETTINGS = UplinkSection(inflight_max=4, resend_after_s=30, resend_after_s_max=100, live_age_s_max=30)


class Bench:
    """A schedule, its outbox, a clock, and a broker that takes what it is given."""

    def __init__(self, settings: UplinkSection = SETTINGS, seed: int = 0) -> None:
        self.outbox = MemoryOutbox("van-1", EPOCH)
        self.schedule = Schedule(self.outbox, settings, Random(seed))
        self.now_s = 1000.0
        self.mid = 0
        self.open: dict[int, Entry] = {}

    def add(self, delivery_class: DeliveryClass, count: int = 1, age_s: float = 0.0) -> None:
        for _ in range(count):
            self.outbox.append(delivery_class, t_mono_s=self.now_s - age_s)

    def connect(self, receive_max: int = 65_535, session_present: bool = True) -> None:
        self.schedule.connected(receive_max, session_present, self.now_s)

    def send(self) -> Entry | None:
        choice = self.schedule.choose(self.now_s)
        return None if choice is None else self.hand_over(choice)

    def hand_over(self, choice: Choice) -> Entry:
        self.mid += 1
        self.schedule.sent(choice, self.mid)
        self.open[self.mid] = choice.entry
        return choice.entry

    def send_all(self) -> list[str]:
        """Send and PUBACK until nothing goes; what went, as p0/seq."""
        went = []
        while (entry := self.send()) is not None:
            went.append(name(entry))
            self.puback()
        return went

    def puback(self, mid: int | None = None) -> None:
        mid = min(self.open) if mid is None else mid
        del self.open[mid]
        assert self.schedule.confirmed(mid, self.now_s)

    def refuse(self, mid: int | None = None) -> None:
        mid = min(self.open) if mid is None else mid
        del self.open[mid]
        assert self.schedule.refused(mid, self.now_s)

    def drop(self) -> None:
        self.open.clear()
        self.schedule.disconnected(self.now_s)

    def ack(self, delivery_class: DeliveryClass, *seqs: int) -> None:
        ack = Ack("van-1", {(EPOCH, delivery_class): IntervalSet((s, s) for s in seqs)})
        self.outbox.ack(ack)
        self.schedule.acked(ack.durable)


def name(entry: Entry) -> str:
    return f"{entry.stream[1].label}/{entry.seq}"


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
    monkeypatch.setattr(edge.uplink, "WAITING_MAX", 20)
    monkeypatch.setattr(edge.uplink, "WAITING_P0_RESERVE", 5)
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


class AnyOrder(RuleBasedStateMachine):
    """Everything that can happen to a schedule, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(
            UplinkSection(inflight_max=3, resend_after_s=5, resend_after_s_max=20, backoff_s_max=4)
        )
        self.up = False
        self.window = 0

    @rule(
        delivery_class=st.sampled_from(DeliveryClass),
        count=st.integers(1, 5),
        age_s=st.sampled_from([0.0, 100.0]),
    )
    def append(self, delivery_class: DeliveryClass, count: int, age_s: float) -> None:
        if delivery_class is P1 and self.bench.outbox.entries[P1]:
            last_s = self.bench.outbox.entries[P1][-1].t_appended_mono_s
            age_s = min(age_s, self.bench.now_s - last_s)  # time of append never runs back
        self.bench.add(delivery_class, count, age_s)

    @rule(seconds=st.sampled_from([0.1, 1.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.bench.now_s += seconds

    @precondition(lambda self: not self.up)
    @rule(receive_max=st.integers(1, 5), session_present=st.booleans())
    def connect(self, receive_max: int, session_present: bool) -> None:
        self.bench.connect(receive_max, session_present)
        self.up, self.window = True, min(3, receive_max)

    @precondition(lambda self: self.up)
    @rule()
    def disconnect(self) -> None:
        self.bench.drop()
        self.up = False

    @precondition(lambda self: self.up)
    @rule()
    def send(self) -> None:
        choice = self.bench.schedule.choose(self.bench.now_s)
        if choice is None:
            return
        # The outbox may have settled it behind the schedule's back (eviction); then load says None.
        if self.bench.outbox.load(choice.entry) is None:
            self.bench.schedule.postpone(choice, self.bench.now_s)
            return
        fresh_p0 = [
            e for e in self.bench.outbox.entries[P0] if (P0, e.ordinal) not in self.bench.outbox.settled
        ]
        tracked_p0 = self.bench.schedule._classes[P0]
        if choice.entry.stream[1] is not P0 and not tracked_p0.refusals:
            assert all(e.ordinal in tracked_p0.tracked for e in fresh_p0), "a new P0 was passed over"
        assert choice.entry not in self.bench.open.values(), "sent again while its PUBACK is awaited"
        self.bench.hand_over(choice)

    @precondition(lambda self: self.bench.open)
    @rule(data=st.data())
    def puback(self, data: st.DataObject) -> None:
        self.bench.puback(data.draw(st.sampled_from(sorted(self.bench.open))))

    @precondition(lambda self: self.bench.open)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        self.bench.refuse(data.draw(st.sampled_from(sorted(self.bench.open))))

    @rule(
        delivery_class=st.sampled_from(DeliveryClass),
        seqs=st.lists(st.integers(0, 30), min_size=1, max_size=4),
    )
    def durable_ack(self, delivery_class: DeliveryClass, seqs: list[int]) -> None:
        produced = len(self.bench.outbox.entries[delivery_class])
        if known := [s for s in seqs if s < produced]:
            self.bench.ack(delivery_class, *known)

    @precondition(lambda self: any(self.bench.outbox.entries.values()))
    @rule(data=st.data())
    def evict(self, data: st.DataObject) -> None:
        entries = [e for items in self.bench.outbox.entries.values() for e in items]
        self.bench.outbox.evict(data.draw(st.sampled_from(entries)))

    @invariant()
    def bounded(self) -> None:
        assert self.bench.schedule.in_flight == len(self.bench.open) <= self.window
        assert self.up or not self.bench.open

    def teardown(self) -> None:
        """However it got here, a good connection delivers everything."""
        bench = self.bench
        bench.drop()
        bench.connect()
        for _ in range(5000):
            if bench.outbox.empty:
                return
            choice = bench.schedule.choose(bench.now_s)
            if choice is None:
                bench.now_s += 1.0
            elif bench.outbox.load(choice.entry) is None:
                bench.schedule.postpone(choice, bench.now_s)
            else:
                entry = bench.hand_over(choice)
                bench.puback()
                bench.ack(entry.stream[1], entry.seq)
        pytest.fail(f"never delivered: {bench.outbox.backlog()}")


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = hypothesis_settings(max_examples=150, stateful_step_count=40, deadline=None)


class Least(Random):
    """Draws the lower end."""

    def uniform(self, a: float, b: float) -> float:
        return min(a, b)


def test_progress_rebuilds_ever_more_rarely_while_the_cloud_is_silent_and_never_stalls() -> None:
    progress = Progress(300.0, 90.0, Least())
    now_s, gaps = 0.0, []
    for _ in range(7):
        progress.connected(now_s)
        start_s = now_s
        progress.answered()
        while not progress.must_rebuild(now_s, waiting=True, unanswered=3):
            now_s += 10.0
        gaps.append(now_s - start_s)
        assert not progress.stalled(now_s)
    assert gaps == [300, 600, 1200, 2400, 4800, 4800, 4800]
    assert "bridge" in progress.text


def test_progress_stalls_after_two_connections_without_any_answer() -> None:
    progress = Progress(300.0, 90.0, Least())
    now_s = 0.0
    for expected in (False, True):
        progress.connected(now_s)
        while not progress.must_rebuild(now_s, waiting=True, unanswered=1):
            now_s += 10.0
        assert progress.stalled(now_s) is expected
    progress.answered()
    assert not progress.stalled(now_s)


def test_progress_with_nothing_to_send_is_fine_and_a_silent_thread_is_not() -> None:
    progress = Progress(300.0, 90.0, Least())
    assert not progress.stalled(1e9), "not started yet"
    progress.connected(0.0)
    assert not any(progress.must_rebuild(float(t), waiting=False, unanswered=0) for t in range(10_000))
    assert not progress.stalled(10_000.0)
    assert progress.stalled(9_999.0 + 91.0)
