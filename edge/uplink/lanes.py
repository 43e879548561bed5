"""What the uplink sends next: lanes, window, resend times. Pure decisions; time, randomness and the spool come in.

From (what the spool holds, what the broker answered, what the cloud acked, now) to the next envelope to send. Order:
P0, then live P1 (appended within live_age_s_max), then P1 that is due again, then the backlog oldest first, P2 last.
Where live data fills the link, the backlog still has backlog_bytes_s_min (edge.uplink.backlog_share).
A PUBACK only frees a slot of the window; an envelope is tracked until its durable ack and sent again after
resend_after_s * 2^n without one. A class whose byte budget is spent waits in the spool (edge.uplink.budget). A refusal (0x10 nobody subscribed, or 0x80 and above) means not delivered: its class
pauses with full jitter, then one message at a time feels its way. Bounds: WAITING_MAX tracked envelopes, a few
hundred bytes each; message bytes are never held here. Times are monotonic seconds.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from random import Random
from typing import NamedTuple

from edge.settings import UplinkSection
from edge.spool.index import Entry
from edge.uplink.backlog_share import BacklogShare
from edge.uplink.backoff import ceiling_s, full_jitter_s
from edge.uplink.budget import Budget, unlimited
from edge.uplink.bulk_window import BulkWindow
from edge.uplink.outbox import Outbox
from edge.uplink.tracking import ClassBooks, Tracked
from vantel.identity import DeliveryClass, Epoch
from vantel.intervals import IntervalSet

WAITING_MAX = 4096
"""Envelopes that are sent and lack their durable ack; at this bound nothing new is sent until acks arrive."""

WAITING_P0_RESERVE = 512
"""Part of WAITING_MAX that only P0 may use: a cloud that acks nothing must not keep an alarm from leaving."""

SESSION_LOST_RESEND_S = 5.0
"""A broker that forgot our session has likely forgotten our messages too; the durable acks on the way get this long."""

_P0, _P1, _P2 = DeliveryClass.P0, DeliveryClass.P1, DeliveryClass.P2


class Flight(NamedTuple):
    """A message without PUBACK."""

    delivery_class: DeliveryClass
    ordinal: int
    bytes: int
    sent_s: float


class Lane(enum.Enum):
    """Where a choice came from; skip() and sent() move that lane's cursor."""

    FRESH = "fresh"  # never sent on this connection, append order
    LIVE = "live"  # never sent, young P1
    AGAIN = "again"  # tracked, due


class Choice(NamedTuple):
    """The envelope to send next."""

    entry: Entry
    lane: Lane


class Schedule:
    """Decides what to send. Owned by the uplink thread; reads the outbox, changes only its own books."""

    def __init__(
        self, outbox: Outbox, settings: UplinkSection, rng: Random, budget: Budget | None = None
    ) -> None:
        self._outbox, self._settings, self._rng = outbox, settings, rng
        self._budget = budget or unlimited()
        self._classes = {c: ClassBooks() for c in DeliveryClass}
        self._in_flight: dict[int, Flight] = {}  # by packet id
        self._bulk = BulkWindow()
        self._now_s = 0.0
        self._share = BacklogShare(settings.backlog_bytes_s_min)
        self._live_after = -1
        self._rewinds = 0
        self._window = 0

    @property
    def window(self) -> int:
        """Messages that may lack their PUBACK at one time; 0 while there is no connection."""
        return self._window

    @property
    def in_flight(self) -> int:
        """Messages without PUBACK."""
        return len(self._in_flight)

    @property
    def tracked(self) -> int:
        """Sent envelopes without durable ack, at most WAITING_MAX."""
        return sum(len(state.tracked) for state in self._classes.values())

    def connected(self, receive_max: int, session_present: bool, now_s: float) -> None:
        """A connection stands; receive_max is the broker's. A lost session brings resends forward."""
        self._window = max(1, min(self._settings.inflight_max, receive_max))
        self._share.spent()
        for state in self._classes.values():
            state.hold_until_s, state.refusals = -math.inf, 0
            state.after = -1  # look at everything anew: another broker may take what was skipped
            if not session_present:
                soon_s = now_s + min(SESSION_LOST_RESEND_S, self._settings.resend_after_s)
                for item in list(state.tracked.values()):
                    if soon_s < item.due_s < math.inf:
                        state.schedule(item, soon_s)

    def disconnected(self, now_s: float) -> None:
        """The connection is gone: what lacks its PUBACK is sent again first thing on the next one."""
        for flight in self._in_flight.values():
            state = self._classes[flight.delivery_class]
            if (item := state.tracked.get(flight.ordinal)) is not None:
                state.schedule(item, now_s)
        for state in self._classes.values():
            state.in_flight = 0
        self._in_flight.clear()
        self._bulk.reset()
        self._window = 0

    def choose(self, now_s: float) -> Choice | None:
        """The next envelope to send, if the windows, the pauses and the budget allow one now."""
        self._now_s = now_s
        if (rewinds := self._outbox.rewinds) != self._rewinds:
            self._rewinds, self._live_after = rewinds, -1
            for state in self._classes.values():
                state.after = -1
        free = self._window - len(self._in_flight)
        if free <= 0:
            return None
        if self._open(_P0, now_s) and (choice := self._fresh(_P0, WAITING_MAX) or self._again(_P0, now_s)):
            return choice
        if free == 1 and self._window > 1:
            return None  # the last slot is kept for P0, which then never waits for the PUBACK of bulk
        if not self._bulk.open:
            return None
        bound = WAITING_MAX - WAITING_P0_RESERVE
        if self._open(_P1, now_s) and self._affordable(choice := self._telemetry(now_s, bound)):
            return choice
        if self._open(_P2, now_s):
            choice = self._again(_P2, now_s) or self._fresh(_P2, bound)
            return choice if self._affordable(choice) else None
        return None

    def sent(self, choice: Choice, mid: int) -> bool:
        """The choice was handed to the connection under this packet id. True if it had been sent before."""
        entry = choice.entry
        state = self._classes[entry.stream[1]]
        self._budget.spent(entry.stream[1], entry.bytes)
        self._pass(choice)
        if choice.lane is Lane.FRESH and state is self._classes[_P1]:
            self._share.spent()
        item = state.tracked.setdefault(entry.ordinal, Tracked(entry))
        item.sends += 1
        item.due_s = math.inf
        state.in_flight += 1
        self._in_flight[mid] = Flight(entry.stream[1], entry.ordinal, entry.bytes, self._now_s)
        if entry.stream[1] is not _P0:
            self._bulk.sent(entry.bytes)
        return item.sends > 1

    def confirmed(self, mid: int, now_s: float) -> bool:
        """PUBACK: the slot is free, the class flows; the durable ack has resend_after_s * 2^n. False: unknown mid."""
        found = self._landed(mid, now_s)
        if found is None:
            return False
        state, item = found
        state.refusals, state.hold_until_s = 0, -math.inf
        if item is not None:
            item.refusals = 0
            item.confirms += 1  # sends that never arrived say nothing about how long the cloud takes
            first_s, cap_s = self._settings.resend_after_s, self._settings.resend_after_s_max
            state.schedule(item, now_s + ceiling_s(item.confirms, first_s, cap_s))
        return True

    def refused(self, mid: int, now_s: float) -> bool:
        """PUBACK that says not delivered: the class pauses, the envelope waits by its own count. False: unknown mid."""
        found = self._landed(mid, now_s)
        if found is None:
            return False
        state, item = found
        if now_s >= state.hold_until_s:  # the rest of a window that was refused as a whole is one refusal
            state.refusals += 1
            state.hold_until_s = now_s + self._jitter_s(state.refusals)
        if item is not None:
            item.refusals += 1
            state.schedule(item, now_s + self._jitter_s(item.refusals))
        return True

    def postpone(self, choice: Choice, now_s: float) -> None:
        """The spool had no bytes for the choice: gone, or not readable just now; then it is tried again later."""
        entry = choice.entry
        state = self._classes[entry.stream[1]]
        self._pass(choice)
        if not self._waits(entry):
            state.tracked.pop(entry.ordinal, None)
            return
        item = state.tracked.setdefault(entry.ordinal, Tracked(entry))
        item.refusals += 1
        first_s, cap_s = self._settings.backoff_s_min, self._settings.backoff_s_max
        state.schedule(item, now_s + ceiling_s(item.refusals, first_s, cap_s))

    def skip(self, choice: Choice) -> None:
        """The choice can never be sent on this connection: leave it out until the next one."""
        self._pass(choice)
        self._classes[choice.entry.stream[1]].tracked.pop(choice.entry.ordinal, None)

    def acked(self, durable: Mapping[tuple[Epoch, DeliveryClass], IntervalSet]) -> None:
        """Forget what the cloud has. Slots of the window stay taken until their PUBACK."""
        for stream, seqs in durable.items():
            tracked = self._classes[stream[1]].tracked
            mine = [(n, item.entry.seq) for n, item in tracked.items() if item.entry.stream == stream]
            for ordinal in [n for n, seq in mine if seq in seqs]:
                del tracked[ordinal]

    def _open(self, delivery_class: DeliveryClass, now_s: float) -> bool:
        """Not pausing, and after a refusal only one message at a time."""
        state = self._classes[delivery_class]
        return now_s >= state.hold_until_s and not (state.refusals and state.in_flight)

    def _affordable(self, choice: Choice | None) -> bool:
        """There is something to send, and its class has bytes left for it."""
        return choice is not None and self._budget.allows(choice.entry.stream[1], choice.entry.bytes)

    def _telemetry(self, now_s: float, bound: int) -> Choice | None:
        """P1: live, due again, backlog; but the backlog first when its share has come due."""
        live, backlog = self._live(now_s, bound), self._fresh(_P1, bound)
        if live is None:
            return self._again(_P1, now_s) or backlog
        if backlog is None or backlog.entry.ordinal == live.entry.ordinal:
            return live
        return backlog if self._share.due(backlog.entry.bytes, now_s) else live

    def _again(self, delivery_class: DeliveryClass, now_s: float) -> Choice | None:
        """The tracked envelope that is most overdue."""
        item = self._classes[delivery_class].earliest()
        return Choice(item.entry, Lane.AGAIN) if item is not None and item.due_s <= now_s else None

    def _fresh(self, delivery_class: DeliveryClass, bound: int) -> Choice | None:
        """The oldest envelope that is not tracked."""
        state = self._classes[delivery_class]
        if self.tracked >= bound:
            return None
        entry = self._outbox.next_after(delivery_class, state.after)
        while entry is not None and entry.ordinal in state.tracked:
            state.after = entry.ordinal  # it went by the live lane and is looked after by its resend time
            entry = self._outbox.next_after(delivery_class, state.after)
        return Choice(entry, Lane.FRESH) if entry is not None else None

    def _live(self, now_s: float, bound: int) -> Choice | None:
        """The oldest P1 envelope that is young and not tracked."""
        if self.tracked >= bound:
            return None
        tracked = self._classes[_P1].tracked
        horizon_s = now_s - self._settings.live_age_s_max
        self._live_after = max(self._live_after, self._classes[_P1].after)
        entry = self._outbox.next_after(_P1, self._live_after)
        while entry is not None and (entry.ordinal in tracked or entry.t_appended_mono_s < horizon_s):
            if entry.ordinal in tracked:
                self._live_after = entry.ordinal
            else:
                self._live_after = self._first_young(entry.ordinal, horizon_s) - 1
            entry = self._outbox.next_after(_P1, self._live_after)
        return Choice(entry, Lane.LIVE) if entry is not None else None

    def _first_young(self, old: int, horizon_s: float) -> int:
        """Smallest ordinal behind which nothing is old. old: ordinal of an old one. Doubling steps, then bisection."""

        def is_old(ordinal: int) -> bool:
            entry = self._outbox.next_after(_P1, ordinal - 1)
            return entry is not None and entry.t_appended_mono_s < horizon_s

        step = 1
        while is_old(old + step):
            old += step
            step *= 2
        young = old + step
        while young - old > 1:
            middle = (old + young) // 2
            if is_old(middle):
                old = middle
            else:
                young = middle
        return young

    def _pass(self, choice: Choice) -> None:
        """Move the cursor of the lane behind its choice."""
        ordinal = choice.entry.ordinal
        if choice.lane is Lane.FRESH:
            self._classes[choice.entry.stream[1]].after = ordinal
        elif choice.lane is Lane.LIVE:
            self._live_after = ordinal

    def _landed(self, mid: int, now_s: float) -> tuple[ClassBooks, Tracked | None] | None:
        """Free the slot of a packet id; its envelope is None when the durable ack came first."""
        flight = self._in_flight.pop(mid, None)
        if flight is None:
            return None
        if flight.delivery_class is not _P0:
            self._bulk.answered(flight.bytes, flight.sent_s, now_s)
        state = self._classes[flight.delivery_class]
        state.in_flight -= 1
        return state, state.tracked.get(flight.ordinal)

    def _waits(self, entry: Entry) -> bool:
        found = self._outbox.next_after(entry.stream[1], entry.ordinal - 1)
        return found is not None and found.ordinal == entry.ordinal

    def _jitter_s(self, failures: int) -> float:
        return full_jitter_s(failures, self._settings.backoff_s_min, self._settings.backoff_s_max, self._rng)
