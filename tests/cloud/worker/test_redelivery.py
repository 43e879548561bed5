"""Goal: however often, late and disordered messages come, the database holds the same; a wrong clock loses and overwrites
nothing, and what the retention refuses is counted as rejected.

Method: the same drive of batches and events is delivered to a real worker, Kafka and InfluxDB under several van names:
once in order; each message ten times; in an order drawn from a seed; 7 days late; all of it at once. The rig's content
hash of each equals that of the first. Then one van with four clocks, against a bucket that keeps five years.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from cloud.worker.delivery import Outgoing
from vantel.identity import DeliveryClass
from vantel_rig.content import content_hash, difference, points_of

pytestmark = pytest.mark.servers
P0, P1 = DeliveryClass.P0, DeliveryClass.P1
BATCHES, EVENTS = 40, 10
DAY_NS = 86_400 * 10**9
YEAR_NS = 365 * DAY_NS
LATE = {"copies": 1, "shuffled": False, "received_ns": time.time_ns() + 7 * DAY_NS}
FATES: dict[str, dict[str, Any]] = {
    "calm": {"copies": 1, "shuffled": False, "received_ns": 1},
    "ten times": {"copies": 10, "shuffled": False, "received_ns": 1},
    "shuffled": {"copies": 1, "shuffled": True, "received_ns": 1},
    "late": LATE,
    "all": {**LATE, "copies": 10, "shuffled": True},
}


def drive(bench: Any, van: str, copies: int, shuffled: bool, received_ns: int) -> list[Outgoing]:
    """Records of a drive, five messages in each; its birth comes first whatever the order."""
    messages = [(P1, bench.speeds(van, seq)) for seq in range(BATCHES)]
    messages += [(P0, bench.event(van, seq + 1, t_mono_ns=seq * 10**9)) for seq in range(EVENTS)]
    messages = [message for message in messages for _ in range(copies)]
    if shuffled:
        random.Random(van).shuffle(messages)
    records = [bench.record(van, [bench.birth(van, 0)], P0)]
    for delivery_class in (P0, P1):
        mine = [message for told, message in messages if told is delivery_class]
        records += [
            bench.record(van, mine[at : at + 5], delivery_class, received_ns) for at in range(0, len(mine), 5)
        ]
    return records


def test_copies_disorder_and_delay_change_no_point(worker_run: Callable[..., Any], bench: Any) -> None:
    run = worker_run(worker={"catalog_wait_s_max": 30.0})
    vans = {fate: f"again-{place}" for place, fate in enumerate(FATES)}
    for fate, how in FATES.items():
        run.publish(*drive(bench, vans[fate], **how))
    run.start().drained(90.0)
    calm = points_of(run.settings.influx, vans["calm"])
    assert len(calm) == BATCHES * 20 + EVENTS * 8
    sheet = run.sheet()
    for fate, van in vans.items():
        found = points_of(run.settings.influx, van)
        assert content_hash(found) == content_hash(calm), f"{fate}: {difference(calm, found)}"
        row = sheet.vans[van]
        assert (row.stored, row.points, row.residual) == (BATCHES + EVENTS + 1, len(calm), 0), fate
        copies = FATES[fate]["copies"]
        assert row.duplicates >= (copies - 1) * (BATCHES + EVENTS), fate


def test_a_wrong_clock_loses_and_overwrites_nothing(worker_run: Callable[..., Any], bench: Any) -> None:
    """Right, ten years slow, ten years fast, 1970: two of them are older than the bucket keeps."""
    run = worker_run()
    run.query.query(f'ALTER RETENTION POLICY "autogen" ON "{run.settings.influx.bucket}" DURATION 260w')
    now_ns, van = time.time_ns(), f"clock-{time.time_ns()}"
    offsets_ns = [now_ns, now_ns - 10 * YEAR_NS, now_ns + 10 * YEAR_NS, 0]
    messages = [bench.speeds(van, seq, offset_ns=offset_ns) for seq, offset_ns in enumerate(offsets_ns)]
    run.publish(bench.record(van, [bench.birth(van, 0)], P0), bench.record(van, messages))
    run.start().drained()
    row = run.sheet().vans[van]
    assert (row.produced, row.stored, row.residual) == (5, 3, 0)
    assert row.rejected_by_reason == {"line_refused": 2}
    assert run.query.count_points_by_van()[van] == row.points == 40
    letters = run.letters(van)
    assert len(letters) == row.lines_refused == 40
    assert all(letter.reason == "line_refused" and "retention" in letter.detail for letter in letters)
