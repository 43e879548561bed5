"""What a bad link does to one direction of IP packets. Pure: time comes in, every choice comes from the seed.

From (arrival time, packet bytes) to the times at which copies of the packet come out: none for a lost packet, two for
a duplicated one. A packet first waits for its turn at the rate; one that would find more than queue_bytes_max ahead
of it is dropped from the tail, as in a modem. Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """One direction of a link. loss, duplicate and reorder are shares of the packets, 0 to 1."""

    rate_bit_s: float = 64_000.0
    delay_s: float = 1.0
    loss: float = 0.3
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_s: float = 0.2
    queue_bytes_max: int = 64_000
    outages_s: tuple[tuple[float, float], ...] = ()
    """(from, to) in seconds since the link was made: what arrives in between is lost."""

    def __post_init__(self) -> None:
        """ValueError for a share outside 0 to 1, a rate that is not positive or a negative time."""
        if not all(0.0 <= share <= 1.0 for share in (self.loss, self.duplicate, self.reorder)):
            raise ValueError("loss, duplicate and reorder are shares: 0 to 1")
        if (
            self.rate_bit_s <= 0.0
            or self.delay_s < 0.0
            or self.reorder_s < 0.0
            or self.queue_bytes_max < 1500
        ):
            raise ValueError("rate_bit_s > 0, delay_s and reorder_s >= 0, queue_bytes_max >= 1500 are needed")


class Impairment:
    """The state of one direction. profile may be set while packets pass."""

    def __init__(self, profile: LinkProfile, seed: int) -> None:
        self.profile, self._rng = profile, Random(seed)
        self._free_s = 0.0
        self.carried = self.lost = self.dropped = 0

    def departures_s(self, now_s: float, packet_bytes: int) -> tuple[float, ...]:
        """When the packet comes out, now_s being seconds since the link was made; () if never.

        Four numbers are drawn for each packet, whatever becomes of it, so that one changed share moves no other choice.
        """
        profile = self.profile
        loses, doubles, strays, how_far = (self._rng.random() for _ in range(4))
        waits_s = max(0.0, self._free_s - now_s)
        if waits_s * profile.rate_bit_s / 8.0 + packet_bytes > profile.queue_bytes_max:
            self.dropped += 1
            return ()
        self._free_s = now_s + waits_s + packet_bytes * 8.0 / profile.rate_bit_s
        if loses < profile.loss or any(start <= now_s < end for start, end in profile.outages_s):
            self.lost += 1
            return ()
        self.carried += 1
        out_s = self._free_s + profile.delay_s
        if strays < profile.reorder:
            out_s += how_far * profile.reorder_s
        return (out_s, out_s) if doubles < profile.duplicate else (out_s,)
