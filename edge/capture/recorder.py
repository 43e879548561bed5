"""Captures while they are made: triggers in, summaries (P0) and pieces of the body (P2) out. Pure.

Owned by the pipeline thread. The past goes out at the trigger, then a piece every PIECE_NS of stream time, so that a
kill loses at most what was not spooled yet. Windows that overlap become one capture with all their signals and
triggers. Samples that come later than GRACE_NS are not in it. Depends on samples and triggers alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from edge.capture.gather import NOT_WANTED, Rows, gather, last_before
from edge.capture.rules import Rules
from edge.queues import Outgoing
from edge.rings import Rings
from vantel.captures import TRIGGERS_MAX, CapturePart, CaptureState, CaptureSummary, CaptureTrigger
from vantel.identity import DeliveryClass, PayloadKind
from vantel.payloads import Batch

PIECE_NS = 1_000_000_000
GRACE_NS = 250_000_000
LENGTH_NS_MAX = 600_000_000_000
"""A capture that would become longer by merging ends, and the next begins."""
OPEN_MAX = 8
PIECE_SAMPLES_MAX = 12_000
"""So that no piece comes near PAYLOAD_BYTES_MAX, whatever the samples are."""
LAST_VALUES_MAX = 4_000
SLOW_NS = 400_000_000
"""A signal whose samples are further apart is slow, and gives its last value before the window."""

Encode = Callable[[Rows, int, int], Batch]
"""(rows, start ns, end ns) -> batch of full fidelity."""


@dataclass(slots=True)
class Open:
    """A capture that is being made. muted: it was complete before a restart, and is gone through again."""

    id: str
    triggers: list[CaptureTrigger]
    start_ns: int
    end_ns: int
    rules: Rules
    since_ns: np.ndarray
    next_ns: int
    owners: dict[str, int] = field(default_factory=dict)
    muted: bool = False
    interrupted: bool = False
    parts: int = 0
    samples: int = 0
    bytes: int = 0

    def summary(self, state: CaptureState, ids: np.ndarray) -> CaptureSummary:
        """As it stands."""
        wanted = tuple(int(signal_id) for signal_id in ids[self.rules.wanted])
        return CaptureSummary(
            self.id, state, tuple(self.triggers), self.start_ns, self.end_ns, wanted, self.parts, self.samples, self.bytes
        )  # fmt: skip


class Recorder:
    """All open captures of one stream."""

    def __init__(self, rings: Rings, signal_ids: np.ndarray, catalog_hash: int, encode: Encode) -> None:
        """signal_ids: int64, by row of the catalog."""
        self._rings, self._ids, self._hash, self._encode = rings, signal_ids, catalog_hash, encode
        self._open: list[Open] = []
        self.finished: set[str] = set()
        """Captures that were complete before the agent started; a replay that repeats them sends nothing again."""
        self.spent: dict[str, int] = {}
        """Bytes of bodies by campaign since the owner of this dictionary last emptied it."""
        self.dropped = 0

    @property
    def open(self) -> int:
        """Captures that are being made."""
        return len(self._open)

    def trigger(
        self, cause: CaptureTrigger, before_ns: int, after_ns: int, rules: Rules, clock_ns: int
    ) -> list[Outgoing]:
        """A condition became true, or a command asks: open a capture or make an open one wider."""
        start, end = cause.t_mono_ns - before_ns, cause.t_mono_ns + after_ns
        for item in self._open:
            if start <= item.end_ns and end - item.start_ns <= LENGTH_NS_MAX:
                return self._widen(item, cause, start, end, rules)
        if len(self._open) >= OPEN_MAX:
            self.dropped += 1
            return []
        text = f"{cause.campaign}|{cause.version}|{cause.t_mono_ns}"
        capture_id = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        since = np.where(rules.wanted, start, NOT_WANTED)
        first_ns = max(start, min(cause.t_mono_ns, clock_ns) - GRACE_NS)
        item = Open(capture_id, [cause], start, end, rules, since, first_ns, {cause.campaign: 1})
        item.muted = capture_id in self.finished
        self._open.append(item)
        opened = self._told(item, CaptureState.OPEN)
        return [*opened, *self._last_values(item), *self._piece(item, first_ns)]

    def adopt(self, summary: CaptureSummary, now_ns: int, rules: Rules) -> list[Outgoing]:
        """A capture that a restart interrupted: what is left of its window still comes, and its end says what is missing."""
        since = np.where(rules.wanted, now_ns, NOT_WANTED)
        item = Open(summary.capture_id, list(summary.triggers), summary.start_mono_ns, summary.end_mono_ns, rules, since, now_ns)  # fmt: skip
        item.parts, item.samples, item.bytes = summary.parts, summary.samples, summary.body_bytes
        item.interrupted = True
        item.owners = {trigger.campaign: 1 for trigger in summary.triggers}
        self._open.append(item)
        return self.step(now_ns)

    def step(self, clock_ns: int) -> list[Outgoing]:
        """The stream has come to clock_ns: pieces that are due, and captures that are whole."""
        out: list[Outgoing] = []
        for item in list(self._open):
            while item.next_ns + PIECE_NS < min(clock_ns - GRACE_NS, item.end_ns):
                out += self._piece(item, item.next_ns + PIECE_NS)
            if clock_ns - GRACE_NS >= item.end_ns:
                out += self._finish(item)
        return out

    def close(self, clock_ns: int) -> list[Outgoing]:
        """The stream has ended: what there is of each window."""
        out: list[Outgoing] = []
        for item in list(self._open):
            item.interrupted |= clock_ns < item.end_ns
            out += self._finish(item)
        return out

    def _finish(self, item: Open) -> list[Outgoing]:
        out = self._piece(item, item.end_ns)
        self._open.remove(item)
        state = CaptureState.INTERRUPTED if item.interrupted else CaptureState.COMPLETE
        return [*out, *self._told(item, state)]

    def _widen(self, item: Open, cause: CaptureTrigger, start: int, end: int, rules: Rules) -> list[Outgoing]:
        """Merge: the window grows at both ends, and signals that are new, or were wanted later, get their past now."""
        item.triggers = [*item.triggers, cause][:TRIGGERS_MAX]
        item.owners[cause.campaign] = 1
        new = rules.wanted & ~item.rules.wanted
        past = np.where(new, start, NOT_WANTED)
        if start < item.start_ns:
            past[item.rules.wanted] = start
            upto = np.where(new, item.next_ns, item.start_ns)
        else:
            upto = np.full(len(past), item.next_ns)
        item.rules.merge(rules)
        item.since_ns[new] = np.maximum(start, item.next_ns)
        item.start_ns, item.end_ns = min(start, item.start_ns), max(end, item.end_ns)
        slot, t, value = gather(self._rings, past, item.next_ns)
        keep = t < upto[slot]
        return self._send(item, (slot[keep], t[keep], value[keep]), item.start_ns, item.next_ns)

    def _piece(self, item: Open, until_ns: int) -> list[Outgoing]:
        rows = gather(self._rings, item.since_ns, until_ns)
        start = item.next_ns if item.parts else item.start_ns
        item.since_ns[item.since_ns < until_ns] = until_ns
        item.next_ns = max(item.next_ns, until_ns)
        return self._send(item, rows, start, until_ns)

    def _send(
        self, item: Open, rows: Rows, start_ns: int, end_ns: int, last_values: bool = False
    ) -> list[Outgoing]:
        if not last_values:
            rows = item.rules.apply(rows)
        out: list[Outgoing] = []
        for first in range(0, len(rows[0]), PIECE_SAMPLES_MAX):
            slot, t, value = (column[first : first + PIECE_SAMPLES_MAX] for column in rows)
            batch = self._encode((slot, t, value), min(start_ns, int(t.min())), max(end_ns, int(t.max()) + 1))
            payload = CapturePart(item.id, item.parts, batch, last_values).encode()
            item.parts, item.samples, item.bytes = (
                item.parts + 1,
                item.samples + len(t),
                item.bytes + len(payload),
            )
            for name in item.owners:
                self.spent[name] = self.spent.get(name, 0) + (0 if item.muted else len(payload))
            out.append(Outgoing(DeliveryClass.P2, PayloadKind.CAPTURE_PART, payload, self._hash))
        return [] if item.muted else out

    def _last_values(self, item: Open) -> list[Outgoing]:
        last_t, last_value, earlier_t = last_before(self._rings, item.start_ns)
        known = last_t != Rings.NEVER
        earlier = np.where(earlier_t != Rings.NEVER, earlier_t, item.start_ns - 2 * SLOW_NS)
        slow = (last_t < item.start_ns - SLOW_NS) | (earlier < last_t - SLOW_NS) | (earlier_t == Rings.NEVER)
        slow = known & (slow | item.rules.wanted)
        found = np.flatnonzero(slow)[:LAST_VALUES_MAX].astype(np.int32)
        rows = found, last_t[found], last_value[found]
        return self._send(item, rows, item.start_ns, item.start_ns, last_values=True)

    def _told(self, item: Open, state: CaptureState) -> list[Outgoing]:
        if item.muted:
            return []
        summary = item.summary(state, self._ids)
        return [Outgoing(DeliveryClass.P0, PayloadKind.CAPTURE_SUMMARY, summary.encode(), self._hash)]


def ended(summary: CaptureSummary) -> CaptureSummary:
    """A capture whose window passed while the agent was away."""
    return replace(summary, state=CaptureState.INTERRUPTED)
