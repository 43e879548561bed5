"""Receive stamps of frames on the van's monotonic clock.

(software Unix ns, hardware counter ns, the two clocks now) -> int64 monotonic ns. The kernel's software stamp is taken
when the driver hands the frame over, some microseconds to milliseconds late and jittering; a controller's own stamp
has the spacing of the bus but counts from anywhere. Where it is there, the least delay seen so far puts it on the clock
(the lower envelope, let up by DRIFT so that a drifting crystal is followed). Pure; never fails on data.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from vantel.kernel import kernel

DRIFT = 200e-6
"""Seconds a second by which a crystal may run slow; CAN asks for far better."""
ASIDE_NS = 50_000_000
"""Delay above which the counter was reset, or is not what it seems."""
PAST_NS = 10_000_000_000
"""A frame cannot have waited longer; its stamp is of a clock that was stepped."""


_OFFSET, _HARDWARE, _LAST, _REPLACED, _KNOWN = range(5)
_read = types.Array(types.int64, 1, "C", readonly=True)


@kernel(numba.void(_read, _read, numba.int64, numba.int64, numba.int64[::1], numba.int64[::1]))
def put_on_clock(software, hardware, now_unix, now_mono, state, out):  # type: ignore[no-untyped-def]
    """software, hardware: int64[n] ns, 0 for none -> out int64[n] monotonic ns, not descending, from call to call too.

    state int64[5]: offset of the hardware clock, its last stamp, last stamp given, stamps replaced, offset known.
    """
    # Unix stamps and monotonic time are joined at the moment of reading: a step of the clock spoils one reading.
    to_mono = now_mono - now_unix
    least = np.int64(0)
    stamped = 0
    for i in range(software.shape[0]):
        stamp = software[i] + to_mono
        if software[i] == 0 or stamp > now_mono or stamp < now_mono - PAST_NS:
            state[_REPLACED] += 1
            stamp = now_mono
        elif hardware[i] > 0:
            delay = stamp - hardware[i]
            if stamped == 0 or delay < least:
                least = delay
            stamped += 1
        out[i] = stamp
    if stamped > 0:
        passed = hardware[hardware.shape[0] - 1] - state[_HARDWARE]
        raised = state[_OFFSET] + np.int64(DRIFT * max(0, passed))
        if state[_KNOWN] == 0 or abs(least - state[_OFFSET]) > ASIDE_NS:
            state[_OFFSET], state[_KNOWN] = least, 1
        else:
            state[_OFFSET] = min(least, raised)
        state[_HARDWARE] = hardware[hardware.shape[0] - 1]
    for i in range(software.shape[0]):
        if stamped > 0 and hardware[i] > 0 and out[i] != now_mono:
            mapped = hardware[i] + state[_OFFSET]
            if abs(out[i] - mapped) <= ASIDE_NS:
                out[i] = mapped
        state[_LAST] = max(state[_LAST], out[i])
        out[i] = state[_LAST]


class ReceiveStamps:
    """Stamps of one interface; state is what put_on_clock() carries from call to call."""

    def __init__(self) -> None:
        self.state = np.zeros(5, np.int64)
        self.state[_LAST] = np.iinfo(np.int64).min

    @property
    def replaced(self) -> int:
        """Frames without a usable stamp, which got the time of reading."""
        return int(self.state[_REPLACED])

    @property
    def last_ns(self) -> int:
        """The latest stamp given."""
        return int(self.state[_LAST])

    def monotonic(
        self,
        software_ns: NDArray[np.int64],
        hardware_ns: NDArray[np.int64],
        now_unix_ns: int,
        now_mono_ns: int,
    ) -> NDArray[np.int64]:
        """Monotonic ns of frames read now; not later than now, and not descending."""
        out = np.empty(len(software_ns), np.int64)
        put_on_clock(software_ns, hardware_ns, now_unix_ns, now_mono_ns, self.state, out)
        return out
