"""Bundles: messages of one shard and lane that arrive close together become one Kafka record. Pure.

add() and due() -> closed bundles, in the order of receipt within a shard and lane. A bundle closes when its window
ends, at messages_max, or before a message that would take it over bytes_max; one message alone always fits. Times are
seconds of any steady clock, given by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from vantel.identity import DeliveryClass
from vantel.telemetry.v1 import envelope_pb2

ENTRY_OVERHEAD_BYTES_MAX = 64
"""Van id, receive time and protobuf framing around a message in a bundle."""

Ticket = TypeVar("Ticket")


class Lane(NamedTuple):
    """What a bundle is made of: one shard, one class."""

    shard: int
    delivery_class: DeliveryClass


@dataclass(slots=True)
class Bundle(Generic[Ticket]):
    """An open or closed bundle; tickets stand for its messages, in the same order."""

    lane: Lane
    opened_s: float
    messages: list[envelope_pb2.BundledMessage] = field(default_factory=list)
    tickets: list[Ticket] = field(default_factory=list)
    size_bytes: int = 0

    def encode(self) -> bytes:
        """Value of the Kafka record."""
        return envelope_pb2.Bundle(shard=self.lane.shard, messages=self.messages).SerializeToString()


class Bundler(Generic[Ticket]):
    """The open bundles, at most one for each shard and lane."""

    def __init__(self, window_s: float, messages_max: int, bytes_max: int) -> None:
        self._window_s, self._messages_max, self._bytes_max = window_s, messages_max, bytes_max
        self._open: dict[Lane, Bundle[Ticket]] = {}

    def add(
        self, lane: Lane, van: str, message: bytes, received_unix_ns: int, ticket: Ticket, now_s: float
    ) -> list[Bundle[Ticket]]:
        """Take a message; bundles that are closed by it, in order."""
        closed = []
        size_bytes = len(message) + ENTRY_OVERHEAD_BYTES_MAX
        bundle = self._open.get(lane)
        if bundle is not None and bundle.size_bytes + size_bytes > self._bytes_max:
            closed.append(self._open.pop(lane))
            bundle = None
        if bundle is None:
            bundle = self._open[lane] = Bundle(lane, now_s)
        bundle.messages.append(
            envelope_pb2.BundledMessage(van=van, message=message, received_unix_ns=received_unix_ns)
        )
        bundle.tickets.append(ticket)
        bundle.size_bytes += size_bytes
        if len(bundle.messages) >= self._messages_max or bundle.size_bytes >= self._bytes_max:
            closed.append(self._open.pop(lane))
        return closed

    def due(self, now_s: float) -> list[Bundle[Ticket]]:
        """Bundles whose window has ended."""
        lanes = [lane for lane, bundle in self._open.items() if now_s >= bundle.opened_s + self._window_s]
        return [self._open.pop(lane) for lane in lanes]

    def next_due_s(self) -> float | None:
        """When the oldest window ends; None when nothing is open."""
        if not self._open:
            return None
        return min(bundle.opened_s for bundle in self._open.values()) + self._window_s

    def flush(self) -> list[Bundle[Ticket]]:
        """Close everything."""
        bundles = list(self._open.values())
        self._open.clear()
        return bundles
