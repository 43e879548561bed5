"""What each van may be told: durable intervals by epoch and class, coalesced into acks. Pure.

add() for each envelope that Kafka has -> due() names the vans to write to -> take() builds the Ack. Cumulative since the
bridge started, within bounds: the oldest vans, epochs and intervals are forgotten first. What was added since the last
ack is always in the next one, whatever is forgotten. Times are seconds of any steady clock, given by the caller.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from dataclasses import dataclass, field

from vantel.acks import Ack
from vantel.identity import DeliveryClass, Epoch, StreamKey
from vantel.intervals import IntervalSet

VANS_MAX = 50_000
STREAMS_PER_VAN_MAX = 64
RANGES_PER_STREAM_MAX = 200
REBIRTHS_PER_VAN_MAX = 32

_Stream = tuple[Epoch, DeliveryClass]


@dataclass(slots=True)
class _VanPage:
    """streams: newest last. fresh: added since the last ack. due_s: None when there is nothing to say."""

    streams: OrderedDict[_Stream, IntervalSet] = field(default_factory=OrderedDict)
    fresh: dict[_Stream, IntervalSet] = field(default_factory=dict)
    fresh_count: int = 0
    rebirths: dict[int, None] = field(default_factory=dict)
    due_s: float | None = None


class AckBook:
    """One page for each van."""

    def __init__(self, p0_s_max: float, s_max: float, envelopes_max: int, vans_max: int = VANS_MAX) -> None:
        """p0_s_max, s_max: an ack leaves so long after the first envelope it is for; or at envelopes_max at once."""
        self._wait_s = {DeliveryClass.P0: p0_s_max, DeliveryClass.P1: s_max, DeliveryClass.P2: s_max}
        self._urgent_s = p0_s_max
        self._envelopes_max, self._vans_max = envelopes_max, vans_max
        self._pages: OrderedDict[str, _VanPage] = OrderedDict()
        self._queue: list[tuple[float, str]] = []

    def add(self, stream: StreamKey, seq: int, now_s: float) -> None:
        """An envelope is durable."""
        page = self._page(stream.van)
        key = (stream.epoch, stream.delivery_class)
        page.fresh.setdefault(key, IntervalSet()).add(seq)
        page.fresh_count += 1
        full = page.fresh_count >= self._envelopes_max
        self._schedule(stream.van, page, now_s if full else now_s + self._wait_s[stream.delivery_class])

    def ask_rebirth(self, van: str, catalog_hash: int, now_s: float) -> None:
        """The next ack of this van, which is soon, asks for a catalog."""
        page = self._page(van)
        if len(page.rebirths) < REBIRTHS_PER_VAN_MAX:
            page.rebirths[catalog_hash] = None
            self._schedule(van, page, now_s + self._urgent_s)

    def repeat(self, van: str, now_s: float) -> None:
        """The last ack of a van may be lost: say it again soon."""
        page = self._pages.get(van)
        if page is not None:
            self._schedule(van, page, now_s + self._urgent_s)

    def due(self, now_s: float, vans_max: int) -> list[str]:
        """Vans whose ack is due, longest waiting first; take() each of them."""
        found: list[str] = []
        while self._queue and self._queue[0][0] <= now_s and len(found) < vans_max:
            due_s, van = heapq.heappop(self._queue)
            page = self._pages.get(van)
            if page is not None and page.due_s == due_s:
                found.append(van)
        return found

    def dirty(self) -> list[str]:
        """All vans that have something to be told."""
        return [van for van, page in self._pages.items() if page.due_s is not None]

    def next_due_s(self) -> float | None:
        """When due() will next have something; None when nothing waits."""
        while self._queue:
            due_s, van = self._queue[0]
            page = self._pages.get(van)
            if page is not None and page.due_s == due_s:
                return due_s
            heapq.heappop(self._queue)
        return None

    def take(self, van: str) -> Ack:
        """The ack to send now; afterwards nothing waits for this van."""
        page = self._page(van)
        durable: dict[_Stream, IntervalSet] = {}
        for key, fresh in page.fresh.items():
            told = page.streams.pop(key, IntervalSet())
            told.update(fresh)
            durable[key] = told.copy()
            _forget_lowest(told)
            page.streams[key] = told
        while len(page.streams) > STREAMS_PER_VAN_MAX:
            page.streams.popitem(last=False)
        for key in reversed(page.streams):
            if key not in durable:
                durable[key] = page.streams[key].copy()
        ack = Ack(van, durable, tuple(page.rebirths))
        page.fresh, page.fresh_count, page.rebirths, page.due_s = {}, 0, {}, None
        return ack

    def __len__(self) -> int:
        """Vans in the book."""
        return len(self._pages)

    def _page(self, van: str) -> _VanPage:
        page = self._pages.get(van)
        if page is None:
            page = self._pages[van] = _VanPage()
            if len(self._pages) > self._vans_max:
                # its van sends again what it was not told about
                self._pages.popitem(last=False)
        else:
            self._pages.move_to_end(van)
        return page

    def _schedule(self, van: str, page: _VanPage, due_s: float) -> None:
        if page.due_s is None or due_s < page.due_s:
            page.due_s = due_s
            heapq.heappush(self._queue, (due_s, van))


def _forget_lowest(told: IntervalSet) -> None:
    """Keep the highest intervals: the low ones were told long ago, and a lost ack is repaired by a resend."""
    for first, last in list(told)[: max(0, len(told) - RANGES_PER_STREAM_MAX)]:
        told.remove(first, last)
