"""The pipeline thread and the way of blocks into it.

Goal: what sources emit from their own threads is in the rings at once and comes out once, in the order of each source; while
the pipeline is held up, sources are not: what the queue cannot hold is shed and counted, the rest comes out in order.
Method: the real pipeline; it is held up by a command that takes long, as a full spool holds it up.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edge.batcher import ClosedBatch
from edge.clock import VanClock
from edge.detector_state import DetectorStore
from edge.model import SampleBlock, TextTable
from edge.pipeline import Pipeline
from edge.pipeline_thread import PipelineThread, Surroundings
from edge.queues import BoundedQueue, Outgoing, block_bytes
from edge.settings import EdgeSettings
from edge.tail.service import Tail
from vantel.catalog import Catalog, Signal

CATALOG = Catalog([Signal(name=f"source{at}.Count", id=70_000 + at, group="source") for at in range(3)])
WAIT_S = 60.0


@contextmanager
def running(
    tmp_path: Path, obey: Callable[[], None], bytes_max: int
) -> Iterator[tuple[PipelineThread, Pipeline, list[ClosedBatch]]]:
    settings = EdgeSettings(van={"id": "van-1", "state_dir": tmp_path}, sources=[{"kind": "probe"}])
    pipeline = Pipeline(CATALOG, settings, TextTable(), 0, 0)
    outgoing: BoundedQueue[Outgoing | ClosedBatch] = BoundedQueue(1 << 30)
    around = Surroundings(
        VanClock(), Tail(tmp_path, CATALOG, TextTable(), None), DetectorStore(settings.van, bytes(16), kept=False), None,
        original=False, replayed=False, obey=obey, finished=lambda: False,
    )  # fmt: skip
    judging, stop, batches = (
        PipelineThread(pipeline, outgoing, around, bytes_max, threading.Event()),
        threading.Event(),
        [],
    )
    thread = threading.Thread(target=judging.run, args=(stop,))
    thread.start()
    try:
        yield judging, pipeline, batches
    finally:
        stop.set()
        thread.join(WAIT_S)
    assert not thread.is_alive()
    batches += [item for item in outgoing.get_waiting(0.0) if isinstance(item, ClosedBatch)]


def block(slot: int, first: int, count: int) -> SampleBlock:
    stamps = time.monotonic_ns() + np.arange(count)
    return SampleBlock(
        np.full(count, slot, np.int32), stamps, np.arange(first, first + count, dtype=np.float64)
    )


def values_of(batches: list[ClosedBatch], slot: int) -> list[float]:
    found = [c for batch in batches for c in batch.columns if c.signal_id == CATALOG.signals[slot].id]
    return [v for column in found for v in np.asarray(column.values).tolist()]


def test_blocks_of_many_threads_come_out_once_in_order_and_are_in_the_rings_at_once(tmp_path: Path) -> None:
    with running(tmp_path, lambda: None, 1 << 30) as (judging, pipeline, batches):

        def emit(slot: int) -> None:
            for at in range(200):
                judging.put(block(slot, 5 * at, 5))
                time.sleep(0.0005)

        threads = [threading.Thread(target=emit, args=(slot,)) for slot in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
        time.sleep(0.2)  # asleep: nobody has the state
        judging.put(block(0, 1000, 1))
        last = pipeline.rings.last(0)
    assert last is not None
    assert last[1] == 1000.0
    assert values_of(batches, 0) == list(range(1001))
    assert [values_of(batches, slot) for slot in (1, 2)] == [list(range(1000))] * 2
    assert not judging.shed_total


def test_a_pipeline_that_is_held_up_holds_up_no_source_and_what_is_shed_is_counted(tmp_path: Path) -> None:
    held, free = threading.Event(), threading.Event()

    def obey() -> None:
        held.set()
        free.wait(WAIT_S)

    room = 3 * block_bytes(block(0, 0, 10))
    with running(tmp_path, obey, room) as (judging, _, batches):
        assert held.wait(WAIT_S)
        began = time.monotonic()
        for at in range(5):
            judging.put(block(0, 10 * at, 10))
        assert time.monotonic() - began < WAIT_S / 2
        assert judging.shed_total == {"queue_full": 20}
        assert len(judging) == 3
        free.set()
        while len(judging):
            time.sleep(0.01)
        judging.put(block(0, 100, 10))
    assert values_of(batches, 0) == [*range(30), *range(100, 110)]
    assert sum((Counter(batch.shed) for batch in batches), Counter()) <= Counter(queue_full=20)
