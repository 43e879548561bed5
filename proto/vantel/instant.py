"""Points in time as people write them: the one parser, with one policy, of all commands and files.

ISO 8601 (UTC where it names no zone), Unix seconds, or, where there is a now, an age such as 90s, 15m, 2h, 3d. Pure.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timezone

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
UNIX_S_MAX = 1 << 33
"""In the year 2242; what lies behind it is no time of a van, but milliseconds taken for seconds."""
FORMS = "2026-11-26T08:00 (UTC where it names no zone), Unix seconds"
AGES = ", or an age such as 90s, 15m, 2h, 3d"


def unix_ns(text: str, now_s: float | None = None) -> int:
    """Unix ns of a text. now_s: what ages are before; without it none is understood. ValueError says what is wrong."""
    plain = text.strip()
    age = re.fullmatch(r"([0-9]{1,9})([smhd])", plain)
    if age and now_s is not None:
        return max(round((now_s - int(age[1]) * SECONDS[age[2]]) * 1e9), 0)
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]*)?", plain):
        return _checked(float(plain), text)
    try:
        # Python 3.10 does not read the Z
        when = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", plain))
    except ValueError:
        raise ValueError(f"{text!r} is no time; give {FORMS}{AGES if now_s is not None else ''}") from None
    return unix_ns_of(when)


def unix_ns_of(when: datetime) -> int:
    """Unix ns of a date and time, UTC where it names no zone. ValueError when it is before 1970 or far in the future."""
    utc = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    return _checked(utc.timestamp(), when.isoformat())


def _checked(unix_s: float, text: str) -> int:
    if not math.isfinite(unix_s) or unix_s < 0:
        raise ValueError(f"{text!r} is before 1970")
    if unix_s > UNIX_S_MAX:
        raise ValueError(f"{text!r} is too far in the future; Unix times are in seconds")
    return round(unix_s * 1e6) * 1000
