"""Rates of the spool: appending, reading, recovery.

Goal: the numbers of docs/decisions, on the disk of --dir. Method: P1 envelopes of a usual size until --mib are there,
with upkeep as the agent does it; reading all of them; reopening. Recovery is measured with the files in the page
cache; a cold disk adds its own reading time. P0 is timed one by one, since each waits for the disk.

    python tests/bench/spool.py --mib 1024 --json spool.json
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from edge.settings import SpoolSection
from edge.spool import Spool
from vantel.envelope import ClockStamp
from vantel.identity import DeliveryClass, PayloadKind

CLOCK = ClockStamp(bytes(16), 0, 1)


def measure(directory: Path, total_mib: int, payload_bytes: int) -> dict[str, float]:
    """One run; keys carry their units."""
    section = SpoolSection(bytes_max=8 << 30, keep_free_bytes=0)
    payload = np.random.default_rng(1).bytes(payload_bytes)
    spool = Spool.open(directory, "van-1", section)
    count = total_mib * 1024 * 1024 // payload_bytes
    p0_s: list[float] = []
    started_s = time.perf_counter()
    for number in range(count):
        spool.append(DeliveryClass.P1, PayloadKind.BATCH, payload, CLOCK)
        if number % 64 == 0:
            spool.maintain()
    append_s = time.perf_counter() - started_s
    for _ in range(200):
        at_s = time.perf_counter()
        spool.append(DeliveryClass.P0, PayloadKind.EVENT, payload[:200], CLOCK)
        p0_s.append(time.perf_counter() - at_s)
    started_s, after, read = time.perf_counter(), -1, 0
    while read < 20_000 and (entry := spool.next_after(DeliveryClass.P1, after)) is not None:
        assert spool.load(entry) is not None
        after, read = entry.ordinal, read + 1
    read_s = time.perf_counter() - started_s
    spool.close()
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    again = Spool.open(directory, "van-1", section)
    open_s, open_cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    gib = again.recovery.bytes / (1 << 30)
    again.close()
    return {
        "payload_bytes": payload_bytes,
        "envelopes": count,
        "append_per_s": count / append_s,
        "append_mib_per_s": total_mib / append_s,
        "p0_append_ms_p50": float(np.percentile(p0_s, 50)) * 1e3,
        "p0_append_ms_p99": float(np.percentile(p0_s, 99)) * 1e3,
        "read_per_s": read / read_s,
        "recovered_gib": gib,
        "recovery_s_per_gib": again.recovery.seconds / gib,
        "open_s_per_gib": open_s / gib,
        "open_processor_s_per_gib": open_cpu_s / gib,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--payload-bytes", type=int, default=4096)
    parser.add_argument(
        "--dir", type=Path, default=None, help="where to put the spool; default: a temporary folder"
    )
    parser.add_argument(
        "--json", type=Path, default=None, help="write the result here instead of printing it"
    )
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="spool-bench-", dir=options.dir))
    try:
        text = json.dumps(measure(directory / "spool", options.mib, options.payload_bytes), indent=2)
    finally:
        shutil.rmtree(directory)
    if options.json is not None:
        options.json.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)  # noqa: T201 - the result


if __name__ == "__main__":
    main()
