"""Batches of one topic in the order in which they were taken; acked from the front only, whatever is done first.

A batch in which some message waits for its catalog must not hold up the batches behind it: those are written at once,
and their acks wait here. An ack never passes a batch that is not done. What is held is bounded in bytes; at the bound
the front batch is told to wait no longer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

HELD_BYTES_MAX = 64 * 1024 * 1024


class Ackable(Protocol):
    """What is acked: an event of the framework."""

    def ack(self) -> object: ...  # noqa: D102


@dataclass(slots=True)
class _Batch:
    events: Sequence[Ackable]
    rest: asyncio.Task[None] | None
    give_up: asyncio.Event
    size_bytes: int


class AckQueue:
    """The acks of one topic that are still owed."""

    def __init__(self, held_bytes_max: int = HELD_BYTES_MAX) -> None:
        self._held_bytes_max = held_bytes_max
        self._batches: deque[_Batch] = deque()
        self.held_bytes = 0

    async def add(
        self,
        events: Sequence[Ackable],
        rest: asyncio.Task[None] | None,
        give_up: asyncio.Event,
        size_bytes: int,
    ) -> None:
        """Owe the acks of a batch whose remaining work is rest (None: it is done). Waits while too much is held."""
        self._batches.append(_Batch(events, rest, give_up, size_bytes))
        self.held_bytes += size_bytes
        if rest is not None:
            rest.add_done_callback(lambda _: self.ack_ready())
        self.ack_ready()
        while self._batches and self.held_bytes > self._held_bytes_max:
            front = self._batches[0]
            front.give_up.set()
            if front.rest is not None:
                await asyncio.wait({front.rest})
            self.ack_ready()

    def ack_ready(self) -> None:
        """Ack from the front as far as all is done. A batch whose work failed or was cancelled is never acked."""
        while self._batches and self._is_done(self._batches[0].rest):
            batch = self._batches.popleft()
            self.held_bytes -= batch.size_bytes
            for event in batch.events:
                event.ack()

    @staticmethod
    def _is_done(rest: asyncio.Task[None] | None) -> bool:
        return rest is None or (rest.done() and not rest.cancelled() and rest.exception() is None)
