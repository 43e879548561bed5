"""Goal: in any order of sends, answers, acks, losses and time nothing is forgotten, doubled or out of bounds.

Method: a hypothesis state machine over the schedule, and the progress watch with injected time.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge.settings import UplinkSection
from edge.uplink.progress import Progress
from tests.edge.uplink.uplink_bench import Bench
from vantel.identity import DeliveryClass

P0, P1, P2 = DeliveryClass


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
