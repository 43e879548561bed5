"""Goal: a database that was restored from an older copy gets back what it lacks; a Kafka that was, or whose retention was
shorter than the workers' absence, stops no worker and loses nothing that it still has.

Method: a real worker on real Kafka and InfluxDB, on both adapters; the database is emptied, offsets are set outside the log.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.admin import RecordsToDelete

from cloud.commands.rewind import RewindError, rewind
from cloud.kafka.clients import end_offsets, open_admin, open_consumer, partitions_of
from cloud.kafka.topics import BY_CLASS
from cloud.worker.lag import unread
from vantel.identity import DeliveryClass
from vantel_rig.content import content_hash, points_of

pytestmark = pytest.mark.servers
P0 = DeliveryClass.P0


def test_an_emptied_database_is_filled_again_from_kafka(worker_run: Callable[..., Any], bench: Any) -> None:
    run, van = worker_run(), f"rewind-{time.time_ns()}"
    old_ns = time.time_ns()
    run.publish(bench.record(van, [bench.birth(van, 0)], P0), bench.record(van, [bench.speeds(van, 0)]))
    time.sleep(1.1)  # Kafka's times are milliseconds
    since_ns = time.time_ns()
    run.publish(*[bench.record(van, [bench.speeds(van, seq)]) for seq in (1, 2)])
    run.start().drained()
    before = points_of(run.settings.influx, van)
    with pytest.raises(RewindError, match="stop every worker") as refused:
        asyncio.run(rewind(run.settings, since_ns))
    assert "\n" not in str(refused.value), "one line that says what to do, not the library's advice"
    assert run.process.stop(60) == 0
    asked_s = time.time()
    run.query.query(f'DROP DATABASE "{run.settings.influx.bucket}"')
    run.query.ensure_database()
    assert asyncio.run(rewind(run.settings, since_ns)) == 2
    left = asyncio.run(unread(run.settings.kafka, "test"))
    assert left.records == 2
    assert since_ns / 1e9 - 0.01 <= left.since_unix_s < asked_s, (
        "told is what Kafka had before the oldest of them"
    )
    assert asyncio.run(rewind(run.settings, time.time_ns())) == 0, "never forward"
    assert asyncio.run(rewind(run.settings, old_ns)) >= 2
    run.start().drained()
    asked_s = time.time()
    run.wait(
        lambda: (
            (left := asyncio.run(unread(run.settings.kafka, "test"))).records == 0
            and left.since_unix_s >= asked_s
        )
    )
    assert content_hash(points_of(run.settings.influx, van)) == content_hash(before)
    row = run.sheet().vans[van]
    assert (row.stored, row.duplicates, row.residual) == (4, 4, 0)


async def move(run: Any, above: bool) -> None:
    """Committed offsets above the end, or below the first record that Kafka's retention has left."""
    consumer = await open_consumer(run.settings.kafka, "test", run.settings.kafka.group)
    parts = [await partitions_of(run.settings.kafka, topic) for topic in BY_CLASS.values()]
    partitions = [tp for part in parts for tp in part]
    consumer.assign(partitions)
    ends = await end_offsets(consumer, partitions)
    await consumer.commit({tp: end + 100 if above else min(1, end) for tp, end in ends.items()})
    await consumer.stop()
    if not above:
        admin = await open_admin(run.settings.kafka)
        await admin.delete_records({tp: RecordsToDelete(before_offset=end) for tp, end in ends.items()})
        await admin.close()


@pytest.mark.parametrize("above", [True, False], ids=["above the end", "below the start"])
def test_offsets_outside_the_log_stop_no_worker(
    worker_run: Callable[..., Any], bench: Any, above: bool
) -> None:
    run, van = worker_run(), f"outside-{time.time_ns()}"
    run.publish(*[bench.record(van, [bench.speeds(van, seq)]) for seq in range(3)])
    asyncio.run(move(run, above))
    run.start()
    run.publish(
        bench.record(van, [bench.birth(van, 0)], P0), *[bench.record(van, [bench.speeds(van, seq)]) for seq in (3, 4)]
    )  # fmt: skip
    run.wait(lambda: van in (vans := run.sheet().vans) and vans[van].stored == (6 if above else 3))
    run.drained()
    run.wait(lambda: json.loads(run.health())["status"] == "ok")
    assert run.process.running
    row = run.sheet().vans[van]
    assert (row.in_kafka, row.residual) == (0, 0)
