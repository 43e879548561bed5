"""How many bytes of P1 and P2 may lack their PUBACK, so that P0 does not wait behind them in the buffers of a slow link.

From the delays of PUBACKs to bytes. A window in messages alone puts seconds of telemetry before an alarm: 16 messages
of 28 kB are 7 s at 512 kbit/s. The window doubles each round until the first cut and then grows by a message a round,
while a PUBACK takes at most QUEUE_S_MAX longer than the shortest one of the connection; when one takes longer it is cut
to CUT of itself, once for each window (congestion control by delay: Brakmo and Peterson, "TCP Vegas", 1995). Pure; times
in seconds. Never below BYTES_MIN: where loss makes the delays, and not a queue, the link still gets work.
"""

from __future__ import annotations

import math

BYTES_MIN = 16 * 1024
BYTES_START = 32 * 1024
BYTES_MAX = 16 * 1024 * 1024
QUEUE_S_MAX = 0.3
CUT = 0.75


class BulkWindow:
    """The window of one connection. One message may always be on its way."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """A new connection: nothing is known of its link."""
        self.bytes_max = float(BYTES_START)
        self.in_flight_bytes = 0
        self._shortest_s = math.inf
        self._judged_s = -math.inf

    @property
    def open(self) -> bool:
        """Whether one more message may go."""
        return self.in_flight_bytes == 0 or self.in_flight_bytes < self.bytes_max

    def sent(self, size_bytes: int) -> None:
        """A message is on its way."""
        self.in_flight_bytes += size_bytes

    def answered(self, size_bytes: int, sent_s: float, now_s: float) -> None:
        """Its PUBACK, whatever it says."""
        self.in_flight_bytes = max(0, self.in_flight_bytes - size_bytes)
        delay_s = now_s - sent_s
        self._shortest_s = min(self._shortest_s, delay_s)
        if delay_s <= self._shortest_s + QUEUE_S_MAX:
            growth = 1.0 if self._judged_s == -math.inf else min(1.0, size_bytes / self.bytes_max)
            self.bytes_max = min(BYTES_MAX, self.bytes_max + size_bytes * growth)
        elif sent_s > self._judged_s:  # what was sent before the last cut says nothing about it
            self.bytes_max = max(BYTES_MIN, self.bytes_max * CUT)
            self._judged_s = now_s
