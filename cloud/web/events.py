"""Events of the fleet as the page shows them, and who has been acknowledged.

Messages of vantel.p0 -> EventBook (the newest events_max, by id) and results of commands. The id is a function of van,
signal, channel and time, so the same event found twice is one. Acknowledgements come from a compacted topic and may
come before their event. Times: Unix ms. Pure.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from cloud.ledger.times import NS_A_MS
from vantel.catalog import Catalog, CatalogError
from vantel.envelope import ClockStamp, Envelope
from vantel.payloads import Event

ACKS_MAX = 200_000
SEVERITIES = ("", "info", "warning", "critical")


@dataclass(frozen=True, slots=True)
class FleetEvent:
    """One event with the numbers that made it fire. signal is None while its catalog is unknown."""

    id: str
    van: str
    t_unix_ms: int
    received_unix_ms: int
    signal_id: int
    catalog_hash: int
    channel: str
    value: float
    score: float
    threshold: float
    expected: float
    severity: int
    injected: str
    detector: str

    def as_dict(self, catalog: Catalog | None, acked_unix_ms: int | None) -> dict[str, Any]:
        """For JSON; numbers that JSON cannot hold are None."""
        name, unit = f"signal {self.signal_id} (catalog unknown)", ""
        if catalog is not None:
            try:
                signal = catalog.by_id(self.signal_id)
                name, unit = signal.name, signal.unit
            except CatalogError:
                name = f"signal {self.signal_id} (not in its catalog)"
        numbers = {
            key: getattr(self, key) if math.isfinite(getattr(self, key)) else None
            for key in ("value", "score", "threshold", "expected")
        }
        return {
            "id": self.id, "van": self.van, "t": self.t_unix_ms, "received": self.received_unix_ms, "signal": name,
            "unit": unit, "channel": self.channel, "severity": SEVERITIES[self.severity], "injected": self.injected,
            "detector": self.detector, "acked": acked_unix_ms, **numbers,
        }  # fmt: skip


def event_of(envelope: Envelope, clock: ClockStamp, received_unix_ns: int) -> FleetEvent:
    """The event of an envelope; EnvelopeError when its payload is none."""
    event = Event.decode(envelope.payload)
    t_unix_ns = event.t_mono_ns + clock.offset_ns
    text = f"{envelope.van}|{event.signal_id}|{event.channel}|{t_unix_ns}"
    return FleetEvent(
        hashlib.blake2b(text.encode(), digest_size=8).hexdigest(), envelope.van, t_unix_ns // NS_A_MS,
        received_unix_ns // NS_A_MS, event.signal_id, envelope.catalog_hash, event.channel[:64], event.value, event.score,
        event.threshold, event.expected, int(event.severity), event.injected[:64], event.detector[:64],
    )  # fmt: skip


class EventBook:
    """The newest events and all acknowledgements. Single-threaded."""

    def __init__(self, events_max: int) -> None:
        self._events_max = events_max
        self._events: OrderedDict[str, FleetEvent] = OrderedDict()
        self._acks: OrderedDict[str, int] = OrderedDict()
        self._open: dict[str, dict[str, int]] = {}
        self.version = 0
        self._versions: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._events)

    def get(self, event_id: str) -> FleetEvent | None:
        """One event."""
        return self._events.get(event_id)

    def add(self, event: FleetEvent) -> bool:
        """Take an event; False when it is known."""
        if event.id in self._events:
            return False
        self._events[event.id] = event
        if event.id not in self._acks:
            self._open.setdefault(event.van, {})[event.id] = event.severity
        self._touch(event.id)
        while len(self._events) > self._events_max:
            old_id, old = self._events.popitem(last=False)
            self._open.get(old.van, {}).pop(old_id, None)
            self._versions.pop(old_id, None)
        return True

    def acked_unix_ms(self, event_id: str) -> int | None:
        """When an event was acknowledged, None when nobody did."""
        return self._acks.get(event_id)

    def absorb_ack(self, event_id: str, value: bytes | None) -> str | None:
        """Take a record of the acknowledgements; the van whose count of open events changed."""
        if value is None:
            self._acks.pop(event_id, None)
            return None
        try:
            t_unix_ms = int(json.loads(value)["t"])
        except (ValueError, KeyError, TypeError):
            return None
        self._acks[event_id] = t_unix_ms
        while len(self._acks) > ACKS_MAX:
            self._acks.popitem(last=False)
        event = self._events.get(event_id)
        if event is None:
            return None
        self._open.get(event.van, {}).pop(event_id, None)
        self._touch(event_id)
        return event.van

    def changed_since(self, version: int) -> list[FleetEvent]:
        """Events that came or were acknowledged after a version, oldest change first."""
        found = []
        for event_id in reversed(self._versions):
            if self._versions[event_id] <= version:
                break
            found.append(self._events[event_id])
        return found[::-1]

    def _touch(self, event_id: str) -> None:
        self.version += 1
        self._versions.pop(event_id, None)
        self._versions[event_id] = self.version

    def acks_before(self, t_unix_ms: int, count_max: int) -> list[str]:
        """Ids acknowledged before a time whose events are no longer here: nobody needs them."""
        old = [key for key, t_ms in self._acks.items() if t_ms < t_unix_ms and key not in self._events]
        return old[:count_max]

    def open_of(self, van: str) -> tuple[int, int]:
        """How many events of a van nobody acknowledged, and the worst severity among them (0: none)."""
        mine = self._open.get(van)
        return (len(mine), max(mine.values())) if mine else (0, 0)

    def newest(self, count: int, van: str | None = None, open_only: bool = False) -> list[FleetEvent]:
        """Newest first, by the order in which they came."""
        found: list[FleetEvent] = []
        for event in reversed(self._events.values()):
            if (van is None or event.van == van) and not (open_only and event.id in self._acks):
                found.append(event)
                if len(found) >= count:
                    break
        return found


def ack_record(t_unix_ms: int, van: str) -> bytes:
    """Value of a record of the acknowledgements."""
    return json.dumps({"t": t_unix_ms, "van": van}).encode()
