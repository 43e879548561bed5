"""What the machine knows of the time: the kernel's NTP state, chrony, and a PTP hardware clock under ptp4l.

Each returns a reading or None, within about a second, and never raises for a machine that lacks it. The kernel's state
(adjtimex(2)) covers systemd-timesyncd, ntpd, and chrony with rtcsync; chronyc is asked only when the kernel says nothing.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from edge.clock.choice import Reading, Source

COMMAND_S_MAX = 1.0
_TIME_ERROR = 5
_TIMEX_BYTES = 208
_MAXERROR_OFFSET = 24
_NS = 10**9


def wall_reading() -> Reading:
    """The wall clock, whatever it is worth. error_ns_max: half of the time that reading both clocks took."""
    before_ns = time.monotonic_ns()
    t_unix_ns = time.time_ns()
    after_ns = time.monotonic_ns()
    middle_ns = (before_ns + after_ns) // 2
    return Reading(Source.NONE, t_unix_ns - middle_ns, (after_ns - before_ns) // 2 + 1, middle_ns)


def kernel_error_ns() -> int | None:
    """Bound of the error of the wall clock when something disciplines it, else None."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        timex = ctypes.create_string_buffer(_TIMEX_BYTES)
        state = libc.adjtimex(timex)
    except (OSError, AttributeError):
        return None
    if state < 0 or state == _TIME_ERROR:
        return None
    return int.from_bytes(timex.raw[_MAXERROR_OFFSET : _MAXERROR_OFFSET + 8], "little") * 1000


def command_output(*arguments: str) -> str:
    """What a command prints; "" if there is none, it fails or takes too long."""
    if shutil.which(arguments[0]) is None:
        return ""
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=COMMAND_S_MAX, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def chrony_error_ns(tracking: str) -> int | None:
    """Bound from `chronyc -c tracking`: |offset| + root delay / 2 + root dispersion (chronyc(1), "tracking")."""
    fields = tracking.strip().split(",")
    try:
        if len(fields) < 14 or fields[13] == "Not synchronised" or int(fields[2]) == 0:
            return None
        offset_s, delay_s, dispersion_s = float(fields[4]), float(fields[10]), float(fields[11])
    except ValueError:
        return None
    return round((abs(offset_s) + delay_s / 2 + dispersion_s) * _NS) + 1


def ntp_reading() -> Reading | None:
    """From the kernel, else from chrony."""
    error_ns = kernel_error_ns()
    if error_ns is None:
        error_ns = chrony_error_ns(command_output("chronyc", "-c", "tracking"))
    if error_ns is None:
        return None
    wall = wall_reading()
    return Reading(Source.NTP, wall.offset_ns, error_ns + wall.error_ns_max, wall.t_mono_ns)


def ptp_state(answers: str) -> tuple[int, int] | None:
    """(TAI minus UTC in s, bound of the hardware clock's error in ns) from ptp4l's management; None when not locked.

    answers: output of pmc(8) for TIME_STATUS_NP, TIME_PROPERTIES_DATA_SET and CURRENT_DATA_SET.
    """
    values: Mapping[str, str] = dict(re.findall(r"^\s+(\w+)\s+(\S+)\s*$", answers, re.MULTILINE))
    try:
        if values["gmPresent"] != "true" or values["currentUtcOffsetValid"] != "1":
            return None
        offset_ns, delay_ns = abs(float(values["master_offset"])), float(values["meanPathDelay"])
        return int(values["currentUtcOffset"]), round(offset_ns + delay_ns) + 1
    except (KeyError, ValueError):
        return None


def ptp_reading(device: Path) -> Reading | None:
    """From a PTP hardware clock (/dev/ptpN, in TAI) that ptp4l keeps."""
    questions = [f"GET {name}" for name in ("TIME_STATUS_NP", "TIME_PROPERTIES_DATA_SET", "CURRENT_DATA_SET")]
    state = ptp_state(command_output("pmc", "-u", "-b", "0", *questions))
    if state is None:
        return None
    try:
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        before_ns = time.monotonic_ns()
        t_tai_ns = time.clock_gettime_ns((~fd << 3) | 3)  # FD_TO_CLOCKID of clock_getres(2)
        after_ns = time.monotonic_ns()
    except OSError:
        return None
    finally:
        os.close(fd)
    middle_ns = (before_ns + after_ns) // 2
    utc_offset_s, error_ns = state
    bracket_ns = (after_ns - before_ns) // 2 + 1
    return Reading(Source.PTP, t_tai_ns - utc_offset_s * _NS - middle_ns, error_ns + bracket_ns, middle_ns)
