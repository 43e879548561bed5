"""The clocks of the agent: monotonic time for samples, and the stamp that maps it to UTC.

A van's clock runs at rate 1. For a replay at speed s the whole van lives on a virtual clock that runs s times as fast
from the moment it was started, so that periods, windows and hold times keep their meaning; timers of the spool and
the uplink stay on real time.
"""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

from vantel.envelope import ClockStamp
from vantel.telemetry.v1 import envelope_pb2

_TIME_ERROR = 5
_TIMEX_BYTES = 208
_MAXERROR_OFFSET = 24


class VanClock:
    """Monotonic and Unix time of a van, both in ns, running speed times as fast as real time since construction."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self.boot_id = read_boot_id()
        self._anchor_mono_ns = time.monotonic_ns()
        self.anchor_unix_ns = time.time_ns()
        self._offset_ns = self.anchor_unix_ns - self._anchor_mono_ns

    def mono_ns(self) -> int:
        """Monotonic time of the van."""
        elapsed = time.monotonic_ns() - self._anchor_mono_ns
        return self._anchor_mono_ns + (elapsed if self.speed == 1.0 else int(elapsed * self.speed))

    def real_delay_s(self, t_mono_ns: int) -> float:
        """Real seconds until the van's clock shows t_mono_ns; negative when it is past."""
        return (t_mono_ns - self.mono_ns()) / self.speed / 1e9

    def stamp(self) -> ClockStamp:
        """Mapping of the van's monotonic clock to UTC, as it is known now."""
        error_ns = ntp_error_ns()
        source = envelope_pb2.CLOCK_SOURCE_NONE if error_ns is None else envelope_pb2.CLOCK_SOURCE_NTP
        return ClockStamp(self.boot_id, self._offset_ns, int(source), error_ns or 0)

    def recording_stamp(self) -> ClockStamp:
        """Stamp of samples whose monotonic time is the Unix time of a recording."""
        return ClockStamp(self.boot_id, 0, int(envelope_pb2.CLOCK_SOURCE_RECORDING), 0)


def read_boot_id() -> bytes:
    """Kernel boot id, 16 bytes; zeros where the kernel does not tell."""
    try:
        return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)


def ntp_error_ns() -> int | None:
    """Error bound of the kernel clock in ns when something disciplines it (adjtimex(2)), else None."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        timex = ctypes.create_string_buffer(_TIMEX_BYTES)
        state = libc.adjtimex(timex)
    except (OSError, AttributeError):
        return None
    if state < 0 or state == _TIME_ERROR:
        return None
    error_us = int.from_bytes(timex.raw[_MAXERROR_OFFSET : _MAXERROR_OFFSET + 8], "little")
    return error_us * 1000
