"""PUBACKs leave in the order of receipt, and only on the connection that the message came on. Pure.

receive() for each QoS 1 message, finish() when it is durable -> the packet ids to acknowledge now. MQTT 5 wants PUBACKs
in order (MQTT-4.6.0-2); a packet id means another message on the next connection, so a new connection forgets all.
"""

from __future__ import annotations

from collections import deque


class PubackOrder:
    """The unacknowledged messages of the present connection, at most the receive maximum of them."""

    def __init__(self) -> None:
        self._connection = -1
        self._order: deque[int] = deque()
        self._finished: dict[int, bool] = {}

    def connected(self, connection: int) -> None:
        """A new connection: what is unacknowledged of the old one will be delivered again."""
        self._connection = connection
        self._order.clear()
        self._finished.clear()

    def receive(self, connection: int, mid: int) -> None:
        """A message came. The same id twice before its PUBACK is one message."""
        if connection == self._connection and mid not in self._finished:
            self._order.append(mid)
            self._finished[mid] = False

    def finish(self, connection: int, mid: int) -> list[int]:
        """A message is durable: the ids that may be acknowledged now, oldest first; none for a stale connection."""
        if connection != self._connection or mid not in self._finished:
            return []
        self._finished[mid] = True
        ready = []
        while self._order and self._finished[self._order[0]]:
            ready.append(self._order.popleft())
            del self._finished[ready[-1]]
        return ready

    def __len__(self) -> int:
        """Messages without a PUBACK."""
        return len(self._order)
