"""Captures while they are made: triggers in, summaries (P0) and pieces of the body (P2) out. Pure.

Owned by the pipeline thread. The past goes out at the trigger, then a piece every PIECE_NS of stream time, so that a
kill loses at most what was not spooled yet. Windows that overlap become one capture with all their signals and
triggers, also when the first has just been finished: it is opened again. Samples that come later than GRACE_NS are not
in it. Depends on samples and triggers alone.
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
from vantel.captures import (
    TRIGGERS_MAX,
    CaptureGap,
    CapturePart,
    CaptureState,
    CaptureSummary,
    CaptureTrigger,
)
from vantel.identity import DeliveryClass, PayloadKind
from vantel.payloads import Batch

PIECE_NS = 1_000_000_000
GRACE_NS = 250_000_000
LENGTH_NS_MAX = 600_000_000_000
"""A capture that would become longer by merging ends at the trigger, and the next begins there."""
OPEN_MAX = 8
RECENT_MAX = 8
"""Finished captures that a window may still reach back into."""
RECENT_NS = 60_000_000_000
"""After a restart: finished for so long at most."""
PIECE_SAMPLES_MAX = 12_000
"""So that no piece comes near PAYLOAD_BYTES_MAX, whatever the samples are."""
LAST_VALUES_MAX = 4_000
SLOW_NS = 400_000_000
"""A signal whose samples are further apart is slow, and gives its last value before the window."""

Encode = Callable[[Rows, int, int], Batch]
"""(rows, start ns, end ns) -> batch of full fidelity."""


@dataclass(slots=True)
class Open:
    """A capture that is being made, or was a moment ago. muted: it was complete before a restart, and is gone through
    again. waits: its body waits for an unmetered link. broken_ns: from when on samples lack, until the next one comes."""

    id: str
    triggers: list[CaptureTrigger]
    start_ns: int
    end_ns: int
    rules: Rules
    since_ns: np.ndarray
    next_ns: int
    owners: dict[str, int] = field(default_factory=dict)
    muted: bool = False
    waits: bool = False
    broken_ns: int | None = None
    gaps: list[CaptureGap] = field(default_factory=list)
    parts: int = 0
    samples: int = 0
    bytes: int = 0

    def summary(self, state: CaptureState, ids: np.ndarray) -> CaptureSummary:
        """As it stands."""
        wanted = tuple(int(signal_id) for signal_id in ids[self.rules.wanted])
        return CaptureSummary(
            self.id, state, tuple(self.triggers), self.start_ns, self.end_ns, wanted, self.parts, self.samples, self.bytes,
            tuple(self.gaps), self.waits,
        )  # fmt: skip

    def whole_again(self, t_ns: int, reason: str) -> None:
        """Samples come again from t_ns on."""
        if self.broken_ns is not None:
            if t_ns > self.broken_ns:
                self.gaps.append(CaptureGap(self.broken_ns, t_ns, reason))
            self.broken_ns = None


class Recorder:
    """All open captures of one stream."""

    def __init__(self, rings: Rings, signal_ids: np.ndarray, catalog_hash: int, encode: Encode) -> None:
        """signal_ids: int64, by row of the catalog."""
        self._rings, self._ids, self._hash, self._encode = rings, signal_ids, catalog_hash, encode
        self._open: list[Open] = []
        self._recent: list[Open] = []
        self.finished: dict[str, int] = {}
        """Captures that were complete before the agent started, and their ends; a replay that repeats them sends
        nothing again."""
        self.spent: dict[str, int] = {}
        """Bytes of bodies by campaign since the owner of this dictionary last emptied it."""
        self.dropped = 0

    @property
    def open(self) -> int:
        """Captures that are being made."""
        return len(self._open)

    def id_of(self, cause: CaptureTrigger) -> str:
        """Id of the open capture that has this trigger; empty when there is none."""
        return next((item.id for item in self._open if cause in item.triggers), "")

    def trigger(
        self, cause: CaptureTrigger, before_ns: int, after_ns: int, rules: Rules, clock_ns: int, waits: bool = False
    ) -> list[Outgoing]:  # fmt: skip
        """A condition became true, or a command asks: open a capture, or make one wider that the window overlaps.

        waits: the body may go over an unmetered link only; where windows merge, the one that may go at once decides.
        """
        start, end = cause.t_mono_ns - before_ns, cause.t_mono_ns + after_ns
        for item in (*self._open, *reversed(self._recent)):
            if start > item.end_ns or end < item.start_ns:
                continue
            if max(end, item.end_ns) - min(start, item.start_ns) <= LENGTH_NS_MAX:
                return self._join(item, cause, start, end, rules, waits)
            if item in self._open:
                item.end_ns = min(item.end_ns, max(cause.t_mono_ns, item.next_ns))
            start = max(start, item.end_ns)
        if len(self._open) >= OPEN_MAX:
            self.dropped += 1
            return []
        text = f"{cause.campaign}|{cause.version}|{cause.t_mono_ns}"
        capture_id = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        since = np.where(rules.wanted, start, NOT_WANTED)
        first_ns = max(start, min(cause.t_mono_ns, clock_ns) - GRACE_NS)
        item = Open(capture_id, [cause], start, end, rules, since, first_ns, {cause.campaign: 1}, waits=waits)
        item.muted = capture_id in self.finished
        self._open.append(item)
        opened = self._told(item, CaptureState.OPEN)
        return [*opened, *self._last_values(item), *self._piece(item, first_ns)]

    def adopt(self, summary: CaptureSummary, covered_ns: int, now_ns: int, rules: Rules) -> list[Outgoing]:
        """A capture of before a restart: what is left of its window still comes, and its gaps say what is missing.

        covered_ns: up to where the body is there. One whose window has passed is only remembered, for windows that overlap it.
        """
        since = np.where(rules.wanted, max(now_ns, covered_ns), NOT_WANTED)
        item = Open(summary.capture_id, list(summary.triggers), summary.start_mono_ns, summary.end_mono_ns, rules, since, max(now_ns, covered_ns))  # fmt: skip
        item.parts, item.samples, item.bytes = summary.parts, summary.samples, summary.body_bytes
        item.owners = {trigger.campaign: 1 for trigger in summary.triggers}
        item.gaps, item.waits = list(summary.gaps), summary.body_waits
        item.broken_ns = covered_ns
        if now_ns >= item.end_ns:
            self._recent.append(item)
            return []
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
            out += self._finish(item, clock_ns)
        return out

    def _finish(self, item: Open, clock_ns: int | None = None) -> list[Outgoing]:
        """clock_ns: where the stream ended, when it did."""
        out = self._piece(item, item.end_ns)
        item.whole_again(item.end_ns, "restart")
        if clock_ns is not None and clock_ns < item.end_ns:
            item.gaps.append(CaptureGap(max(clock_ns, item.start_ns), item.end_ns, "stop"))
        self._open.remove(item)
        self._recent = [*self._recent, item][-RECENT_MAX:]
        state = CaptureState.INTERRUPTED if item.gaps else CaptureState.COMPLETE
        return [*out, *self._told(item, state)]

    def _join(
        self, item: Open, cause: CaptureTrigger, start: int, end: int, rules: Rules, waits: bool
    ) -> list[Outgoing]:
        """Merge, and open again what was finished."""
        opened = item in self._recent
        if opened and len(self._open) >= OPEN_MAX:
            self.dropped += 1
            return []
        if opened:
            self._recent.remove(item)
            self._open.append(item)
            item.muted = max(end, item.end_ns) <= self.finished.get(item.id, Rings.NEVER)
        released = item.waits and not waits
        item.waits &= waits
        past = self._widen(item, cause, start, end, rules)
        return [*(self._told(item, CaptureState.OPEN) if opened or released else []), *past]

    def _widen(self, item: Open, cause: CaptureTrigger, start: int, end: int, rules: Rules) -> list[Outgoing]:
        """The window grows at both ends, and signals that are new, or were wanted later, get their past now."""
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
        return self._send(item, (slot[keep], t[keep], value[keep]), item.start_ns, item.next_ns, past=True)

    def _piece(self, item: Open, until_ns: int) -> list[Outgoing]:
        rows = gather(self._rings, item.since_ns, until_ns)
        start = item.next_ns if item.parts else item.start_ns
        item.since_ns[item.since_ns < until_ns] = until_ns
        item.next_ns = max(item.next_ns, until_ns)
        if len(rows[0]):
            item.whole_again(int(rows[1][0]), "restart")
        return self._send(item, rows, start, until_ns)

    def _send(
        self, item: Open, rows: Rows, start_ns: int, end_ns: int, *, last_values: bool = False, past: bool = False
    ) -> list[Outgoing]:  # fmt: skip
        """past: of a window that grew, so that the end of the batch does not say how far the body has come."""
        if not last_values:
            rows = item.rules.apply(rows)
        out: list[Outgoing] = []
        for first in range(0, len(rows[0]), PIECE_SAMPLES_MAX):
            slot, t, value = (column[first : first + PIECE_SAMPLES_MAX] for column in rows)
            whole = not past and first + PIECE_SAMPLES_MAX >= len(rows[0])
            end = max(end_ns, int(t.max()) + 1) if whole else int(t.max()) + 1
            batch = self._encode((slot, t, value), min(start_ns, int(t.min())), end)
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


def ended(summary: CaptureSummary, covered_ns: int) -> CaptureSummary:
    """A capture whose window passed while the agent was away. covered_ns: up to where its body is there."""
    gap = CaptureGap(max(covered_ns, summary.start_mono_ns), summary.end_mono_ns, "restart")
    return replace(summary, state=CaptureState.INTERRUPTED, gaps=(*summary.gaps, gap))
