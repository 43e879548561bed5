"""Gauges of the agent's health report: what the dashboards and alerts of the fleet look at, measurement `agent`.

What uplink and campaigns count, processor and memory of the process, the spool's size, space left on its disk, and how
long the van's certificate still lasts by the van's own clock: 0 for one that cannot be read, so that the same alert fires.
"""

from __future__ import annotations

import contextlib
import resource
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from vantel.certificate import expiry_unix_s

RSS_UNIT_BYTES = 1024.0  # getrusage(2): ru_maxrss is in kilobytes


def gauges_of(
    uplink: Mapping[str, float],
    campaigns: Mapping[str, float],
    spool_bytes: int,
    state_dir: Path,
    certificate_file: Path | None,
) -> dict[str, float]:
    """All gauges by name, units at the end of the name."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    gauges = {f"uplink_{name}": value for name, value in uplink.items()}
    gauges |= {f"campaigns_{name}": value for name, value in campaigns.items()}
    gauges["cpu_s"] = usage.ru_utime + usage.ru_stime
    gauges["rss_bytes_max"] = usage.ru_maxrss * RSS_UNIT_BYTES
    gauges["spool_bytes"] = float(spool_bytes)
    with contextlib.suppress(OSError):  # absent then; the spool itself says that its disk is gone
        gauges["disk_free_bytes"] = float(shutil.disk_usage(state_dir).free)
    if certificate_file is not None:
        try:
            gauges["certificate_left_s"] = expiry_unix_s(certificate_file.read_text("ascii")) - time.time()
        except (OSError, ValueError):
            gauges["certificate_left_s"] = 0.0  # a certificate that cannot be read is as good as expired
    return gauges
