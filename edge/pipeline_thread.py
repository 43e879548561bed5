"""The pipeline thread, and the way of blocks into it: rings at once, everything else in rounds.

What a source emits is put into the rings by the source's own thread if the sampling state is free (a lock, held for one
block), else it waits in a queue, bounded in bytes, for the pipeline thread. That thread takes the state once a round of
JUDGE_S, judges what came in it as one block, and obeys, all between two blocks; a block that comes after a pause is judged at
once. So a block costs no second wake-up, and a stalled spool stops neither the sources nor their count of what was shed.
Blocks of a replay always wait in the queue and are taken and judged one by one, in their order.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from edge.batcher import ClosedBatch
from edge.clock import VanClock
from edge.clock.choice import STEP_NS
from edge.detector_state import DetectorStore
from edge.fault_file import FaultFile
from edge.faults import FaultError
from edge.model import SampleBlock
from edge.pipeline import Pipeline
from edge.queues import BoundedQueue, Outgoing, block_bytes
from edge.tail.service import Tail
from edge.waiting import merged

JUDGE_S = 0.04
"""A round. An event is later by so much; a sample is in its ring at once."""
ROUND_AT_S = 0.001
"""Rounds begin this long after the multiples of JUDGE_S, at which buses that gather for a part of it read."""
IDLE_S = 0.1
"""Without a block for so long the pipeline is told what time it is."""
BLOCKS_MAX = 64
"""More than that do not wait to be judged: they stay in the queue, whose bytes are bounded."""

_log = structlog.get_logger("agent")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the thread works for. fault_file: faults that a rig adds. original: stamps are those of a recording.

    replayed: some source is a replay. obey: commands that came, carried out between two blocks. finished: whether no
    source is left that could emit.
    """

    clock: VanClock
    tail: Tail
    learned: DetectorStore
    fault_file: FaultFile | None
    original: bool
    replayed: bool
    obey: Callable[[], None]
    finished: Callable[[], bool]


class PipelineThread:
    """run() is its body. put(), shed() and the flags are for any thread; forward() for this one, or before it starts."""

    def __init__(
        self,
        pipeline: Pipeline,
        outgoing: BoundedQueue[Outgoing | ClosedBatch],
        around: Surroundings,
        bytes_max: int,
        stop_spool: threading.Event,
    ) -> None:
        """bytes_max: of the queue. stop_spool: nothing is spooled any more."""
        self._pipeline, self._outgoing, self._around, self._stop_spool = (
            pipeline,
            outgoing,
            around,
            stop_spool,
        )
        self._queue: BoundedQueue[SampleBlock] = BoundedQueue(bytes_max)
        self._waiting: list[SampleBlock] = []
        self._state = threading.Lock()  # whoever has it may touch the pipeline and what waits
        self._due = threading.Event()
        self._asleep = False
        self._failure: Exception | None = None
        self._shed: dict[str, int] = {}
        self._shed_total: dict[str, int] = {}
        self._shed_lock = threading.Lock()
        self.beats = 0
        self.done = threading.Event()
        """The sources have ended, and the last window is closed."""

    def __len__(self) -> int:
        """Blocks in the queue."""
        return len(self._queue)

    @property
    def shed_total(self) -> dict[str, int]:
        """Samples shed so far, by reason."""
        with self._shed_lock:
            return dict(self._shed_total)

    def put(self, block: SampleBlock, wait_until: threading.Event | None = None) -> None:
        """Take a block of a source. One that finds the queue full is shed and counted; with wait_until it waits instead,
        until that is set. Nobody may change its arrays any more."""
        if not self._take_now(block) and not self._queue.put(block, block_bytes(block), wait_until):
            self.shed("queue_full", len(block))
        if self._asleep:
            self._due.set()

    def shed(self, reason: str, samples: int) -> None:
        """Count samples that no batch will hold; the next batch tells the cloud."""
        with self._shed_lock:
            self._shed_total[reason] = self._shed_total.get(reason, 0) + samples
            self._shed[reason] = self._shed.get(reason, 0) + samples

    def run(self, stop: threading.Event) -> None:
        """Until stop is set and all that came is judged. The last window is closed when the sources have ended, too."""
        busy = closed = False
        while True:
            self.beats += 1
            came = self._wait(busy)
            if self._failure is not None:
                raise self._failure
            with self._state:
                busy = self._round()
                closed = closed and not busy
                leaving = stop.is_set() and not len(self._queue)
                if not busy and (leaving or self._around.finished()):
                    self.forward([] if closed else self._pipeline.close())
                    closed = True
                    if leaving:
                        self._around.learned.offer(self._pipeline.detector, last=True)
                    self.done.set()
                    if leaving:
                        return
                elif not came and not busy and not self._around.original:
                    self.forward(self._pipeline.idle(self._around.clock.mono_ns()))
            if len(self._queue):
                self._take_now()  # what came meanwhile

    def forward(self, items: Sequence[Outgoing | ClosedBatch]) -> None:
        """Hand payloads to the spool; waits for room."""
        for item in items:
            while not self._outgoing.put(item, item.bytes_held, self._stop_spool):
                if self._stop_spool.is_set():
                    _log.error("payload not spooled before the stop", kind=type(item).__name__)
                    return

    def _wait(self, busy: bool) -> bool:
        """The rest of a round, or for a block; False when there was none for IDLE_S."""
        if busy and not len(self._queue) and not self._around.replayed:
            time.sleep(JUDGE_S - (time.monotonic() - ROUND_AT_S) % JUDGE_S)
            return True
        self._asleep = True
        came = bool(self._waiting) or len(self._queue) > 0 or self._due.wait(IDLE_S)
        self._asleep = False
        self._due.clear()
        return came

    def _take_now(self, block: SampleBlock | None = None) -> bool:
        """Put what is in the queue into the rings, then this block; False when that is for the pipeline thread."""
        if self._around.replayed or not self._state.acquire(blocking=False):
            return False
        try:
            if len(self._queue):
                for queued in self._queue.get_waiting(0.0):
                    self._take(queued)
                if len(self._queue):
                    return False
            if len(self._waiting) >= BLOCKS_MAX:
                return False
            if block is not None:
                self._take(block)
        except Exception as cause:  # it is the pipeline that failed, not the source
            self._failure = cause
        finally:
            self._state.release()
        return True

    def _take(self, block: SampleBlock) -> None:
        self._waiting.append(self._pipeline.take(block))
        self._around.tail.offer(self._pipeline.rings)

    def _round(self) -> bool:
        """Judge all that has come, then obey; whether anything had come. Nothing is taken meanwhile that is not judged."""
        busy = bool(self._waiting)
        for block in self._queue.get_waiting(0.0):
            busy = True
            self._take(block)
            if block.position:
                self._judge()
        self._judge()
        if self._around.fault_file is not None:
            self._add_faults(self._around.fault_file)
        self._around.obey()
        self._follow_clock()
        return busy

    def _judge(self) -> None:
        blocks, self._waiting = merged(self._waiting), []
        for block in blocks:
            with self._shed_lock:
                shed, self._shed = self._shed, {}
            self.forward(self._pipeline.judge(block, shed))
            self._around.learned.offer(self._pipeline.detector)
            if shed:  # no batch has told it yet
                with self._shed_lock:
                    self._shed = dict(Counter(self._shed) + Counter(shed))

    def _add_faults(self, file: FaultFile) -> None:
        """Faults that the rig added since the last look; one that cannot be injected is told and left out."""
        for fault in file.new():
            try:
                self._pipeline.faults.add(fault)
            except FaultError as cause:
                _log.error("fault not injected", cause=str(cause))

    def _follow_clock(self) -> None:
        """A jump of the clock cuts the batch; samples keep their monotonic time."""
        offset_ns = self._around.clock.mapping.offset_ns
        moved_ns = offset_ns - self._pipeline.offset_ns
        if not self._around.original and abs(moved_ns) > STEP_NS:
            _log.warning("clock jumped", moved_s=moved_ns / 1e9, effect="the open batch is cut")
            self.forward(self._pipeline.rebase(offset_ns))
