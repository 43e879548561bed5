"""The backlog's share of a link that live data alone can fill. Pure: time comes in.

From (an envelope of the backlog that waits behind live ones, its bytes, now) to whether its turn has come. A token
bucket: it fills at bytes_s_min while the backlog is passed over, and holds one envelope, so that what is overdue is
never sent in a burst: live data waits for one envelope at most. What the link carries beyond live is the backlog's anyway.
"""

from __future__ import annotations


class BacklogShare:
    """The bucket. Owned by one thread; times in monotonic seconds."""

    def __init__(self, bytes_s_min: float) -> None:
        self._bytes_s_min = bytes_s_min
        self._passed_over_since_s: float | None = None

    def due(self, entry_bytes: int, now_s: float) -> bool:
        """The backlog's first envelope would be passed over now: has it been for long enough to go first?"""
        if self._passed_over_since_s is None:
            self._passed_over_since_s = now_s
        return (now_s - self._passed_over_since_s) * self._bytes_s_min >= max(1, entry_bytes)

    def spent(self) -> None:
        """An envelope of the backlog was sent, or a new connection begins: the bucket is empty."""
        self._passed_over_since_s = None
