"""A time range out of the batches on the disk.

Goal: every sample of the range that the spool still has, acked or not, under the names asked for, at its Unix time; each
stretch that is not there told with the reason that is true; bounded in bytes; the spool and its account untouched.
Method: a real spool on disk with batches of several starts and clocks; ranges compared with what was appended.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge.capture.disk_range import DiskRange
from edge.queues import Outgoing
from edge.settings import SpoolSection
from edge.spool import Spool
from vantel import codec
from vantel.acks import Ack
from vantel.captures import CapturePart, CaptureState, CaptureSummary
from vantel.catalog import Signal, assemble
from vantel.columns import Column
from vantel.commands import FetchRange
from vantel.envelope import ClockStamp
from vantel.identity import DeliveryClass, PayloadKind
from vantel.intervals import IntervalSet
from vantel.payloads import Batch, Fidelity

CATALOG = assemble([Signal("Van.Fast"), Signal("Van.Slow")])
OLD = assemble([Signal("Van.Aside"), Signal("Van.Slow"), Signal("Van.Fast")])
SECOND = 10**9
BOOTS = ClockStamp(b"a" * 16, 1_700_000_000 * SECOND, 1), ClockStamp(b"b" * 16, 1_700_000_500 * SECOND, 1)
UNIX = BOOTS[0].offset_ns
P1 = DeliveryClass.P1


def batch(start_s: int, clock: ClockStamp, catalog: object = CATALOG) -> bytes:
    """A second at Unix second UNIX + start_s: ten samples of Fast, one of Slow; values tell their time."""
    t = UNIX - clock.offset_ns + start_s * SECOND + np.arange(10, dtype=np.int64) * SECOND // 10
    columns = [
        Column(catalog.by_name("Van.Fast").id, t, start_s + np.arange(10) / 10),  # type: ignore[attr-defined]
        Column(catalog.by_name("Van.Slow").id, t[:1], np.array([float(start_s)])),  # type: ignore[attr-defined]
    ]
    columns.sort(key=lambda column: column.signal_id)
    return Batch(int(t[0]), int(t[0]) + SECOND, codec.encode(columns), 11, Fidelity.ROLLUP).encode()


def opened(folder: Path) -> Spool:
    """Segments of a few batches: smaller than the settings allow."""
    return Spool.open(folder, "van-1", SpoolSection().model_copy(update={"segment_bytes_max": 4096}))


def fill(spool: Spool, seconds: Sequence[int], clock: ClockStamp, catalog: object = CATALOG) -> None:
    for second in seconds:
        payload = batch(second, clock, catalog)
        spool.append(P1, PayloadKind.BATCH, payload, clock, catalog_hash=catalog.hash)  # type: ignore[attr-defined]
    spool.maintain()


def fetched(
    spool: Spool, start_s: float, end_s: float, *names: str, bytes_max: int = 10**7
) -> tuple[DiskRange, list[Outgoing]]:
    wanted = FetchRange(UNIX + round(start_s * SECOND), UNIX + round(end_s * SECOND), names)
    looks = spool.recorded(P1, wanted.start_unix_ns, wanted.end_unix_ns - 1)
    by_hash = {CATALOG.hash: CATALOG, OLD.hash: OLD}
    job = DiskRange("c", wanted, looks, CATALOG, by_hash.get, spool.missing, bytes_max)
    out: list[Outgoing] = []
    while not job.done:
        out += job.step(BOOTS[1])
    return job, out


def samples(out: Sequence[Outgoing]) -> list[tuple[str, int, float]]:
    """(name, Unix ns from UNIX on, value) in the order of time and name."""
    found = []
    for item in out:
        if item.kind is PayloadKind.CAPTURE_PART:
            for column in codec.decode(CapturePart.decode(item.payload).batch.columns):
                name = CATALOG.by_id(column.signal_id).name
                found += [
                    (name, int(t) + BOOTS[1].offset_ns - UNIX, float(v))
                    for t, v in zip(column.t_ns, column.values, strict=True)
                ]
    return sorted(found, key=lambda row: (row[1], row[0]))


def told(out: Sequence[Outgoing]) -> list[tuple[float, float, str]]:
    """Gaps of the last summary in seconds from UNIX on."""
    summary = CaptureSummary.decode(out[-1].payload)
    assert (summary.state is CaptureState.COMPLETE) == (not summary.gaps)
    off = BOOTS[1].offset_ns - UNIX
    return [
        ((g.start_mono_ns + off) / SECOND, (g.end_mono_ns + off) / SECOND, g.reason) for g in summary.gaps
    ]


def test_a_range_over_two_boots_and_two_catalogs_is_every_sample_of_it(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, range(0, 200), BOOTS[0], OLD)
    spool.close()
    spool = opened(tmp_path)
    fill(spool, range(200, 400), BOOTS[1])
    before = spool.accounts()
    job, out = fetched(spool, 150.25, 260.5, "*.Fast")
    assert samples(out) == [("Van.Fast", at * SECOND // 10, at / 10) for at in range(1503, 2605)]
    assert told(out) == []
    assert "nothing is missing" in job.text
    assert spool.accounts() == before, "reading changes no account"
    assert not samples(fetched(spool, 150, 260, "Van.Aside")[1])


def test_what_is_freed_evicted_or_was_never_there_is_told_with_its_reason(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, range(100, 150), BOOTS[1])
    fill(spool, range(180, 200), BOOTS[1])  # nothing was sampled for half a minute
    epoch = spool.epoch
    assert told(fetched(spool, 140, 190)[1]) == [(150, 180, "silent")]
    assert told(fetched(spool, 190, 210)[1]) == [(200, 210, "unsealed")]
    assert told(fetched(spool, 90, 110)[1]) == [(90, 100, "unknown")]
    job, out = fetched(spool, 300, 310)
    assert (job.samples, told(out)) == (0, [(300, 310, "unsealed")])
    segment = spool._index.segments[P1][1]  # the disk lacks a stretch in the middle
    first, last = segment.seqs[0], segment.seqs[-1]
    spool._index.remove(segment)
    assert [gap[2] for gap in told(fetched(spool, 100, 149)[1])] == ["lost"]
    spool._books.state.accounts[(epoch, P1)].evict(IntervalSet([(first, last)]), "quota")
    (gap,) = told(fetched(spool, 100, 149)[1])
    assert gap == (100 + first, 101 + last, "evicted")
    spool.ack(Ack("van-1", {(epoch, P1): IntervalSet([(first, last)])}))
    assert [gap[2] for gap in told(fetched(spool, 100, 149)[1])] == ["freed"]
    spool.close()
    spool = opened(tmp_path)
    fill(spool, range(230, 240), BOOTS[1])
    assert told(fetched(spool, 195, 235)[1]) == [(200, 230, "restart")]


def test_a_range_is_bounded_in_bytes_and_says_where_to_go_on(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, range(100, 200), BOOTS[1])
    spool.ack(Ack("van-1", {(spool.epoch, P1): IntervalSet([(0, 99)])}))
    whole = samples(fetched(spool, 100, 200)[1])
    assert len(whole) == 1100, "acked ones are read as long as they are there"
    job, out = fetched(spool, 100, 200, bytes_max=3000)
    (gap,) = told(out)
    assert gap[1:] == (200, "bound")
    assert (
        sum(len(CapturePart.decode(i.payload).encode()) for i in out if i.kind is PayloadKind.CAPTURE_PART)
        <= 3000
    )
    assert "ask for the rest with --start 2023-11-14T" in job.text
    assert samples(out) + samples(fetched(spool, gap[0], 200)[1]) == whole
