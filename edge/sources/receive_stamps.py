"""Receive stamps of frames on the van's monotonic clock.

(software Unix ns, hardware counter ns, the two clocks now) -> int64 monotonic ns. The kernel's software stamp is taken
when the driver hands the frame over, some microseconds to milliseconds late and jittering; a controller's own stamp
has the spacing of the bus but counts from anywhere. Where it is there, the least delay seen so far puts it on the clock
(the lower envelope, let up by DRIFT so that a drifting crystal is followed). Pure; never fails on data.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DRIFT = 200e-6
"""Seconds a second by which a crystal may run slow; CAN asks for far better."""
ASIDE_NS = 50_000_000
"""Delay above which the counter was reset, or is not what it seems."""
PAST_NS = 10_000_000_000
"""A frame cannot have waited longer; its stamp is of a clock that was stepped."""


class ReceiveStamps:
    """Stamps of one interface."""

    def __init__(self) -> None:
        self._offset_ns: float | None = None
        self._last_hardware_ns = 0
        self.replaced = 0
        """Frames without a usable stamp, which got the time of reading."""

    def monotonic(
        self,
        software_ns: NDArray[np.int64],
        hardware_ns: NDArray[np.int64],
        now_unix_ns: int,
        now_mono_ns: int,
    ) -> NDArray[np.int64]:
        """Monotonic ns of frames read now; not later than now."""
        # Unix stamps and monotonic time are joined at the moment of reading: a step of the clock spoils one reading.
        stamps = software_ns - (now_unix_ns - now_mono_ns)
        bad = (software_ns == 0) | (stamps > now_mono_ns) | (stamps < now_mono_ns - PAST_NS)
        if bad.any():
            self.replaced += int(bad.sum())
            stamps[bad] = now_mono_ns
        valid = (hardware_ns > 0) & ~bad
        if valid.any():
            stamps[valid] = self._by_hardware(stamps[valid], hardware_ns[valid])
        return stamps

    def _by_hardware(self, software: NDArray[np.int64], hardware: NDArray[np.int64]) -> NDArray[np.int64]:
        delay = software - hardware
        least = float(delay.min())
        if self._offset_ns is None or abs(least - self._offset_ns) > ASIDE_NS:
            self._offset_ns = least
        else:
            passed = max(0, int(hardware[-1]) - self._last_hardware_ns)
            self._offset_ns = min(least, self._offset_ns + DRIFT * passed)
        self._last_hardware_ns = int(hardware[-1])
        if (delay - self._offset_ns > ASIDE_NS).any():
            return software
        return hardware + np.int64(self._offset_ns)
