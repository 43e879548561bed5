"""Records to Kafka, in order, until Kafka has each of them.

submit(record) -> record.done() once, after Kafka's answer with acks=all. Kafka away: records wait, done() is not called.
A producer that fails (out of order sequence, fenced, any other error) is given up, a new one sends everything
unanswered again in the old order: that may double records, which the worker's dedupe counts, but loses none. The caller
bounds how much is submitted: at most what the broker delivers without PUBACK.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from cloud.bridge.metrics import BridgeMetrics
from cloud.kafka import clients as kafka
from cloud.kafka.clients import AIOKafkaProducer, KafkaError, KafkaUnavailable
from cloud.log import Seldom
from cloud.settings import KafkaSection

BACKOFF_S_MIN = 0.2
BACKOFF_S_MAX = 10.0

_log = structlog.get_logger("bridge")


@dataclass(eq=False, slots=True)
class Record:
    """One Kafka record and what to do when it is durable."""

    topic: str
    key: bytes
    value: bytes
    done: Callable[[], None]
    submitted_mono_s: float = field(default_factory=time.monotonic)


class KafkaSender:
    """Owns the producer. run() in one task; submit() from the same event loop."""

    def __init__(self, section: KafkaSection, metrics: BridgeMetrics) -> None:
        self.answered_mono_s = float("-inf")
        self.problem = ""
        self._section, self._metrics = section, metrics
        self._waiting: deque[Record] = deque()
        self._flying: dict[Record, asyncio.Future[object]] = {}
        self._wake = asyncio.Event()
        self._seldom = Seldom()
        self._failure: BaseException | None = None
        self._crash: BaseException | None = None
        self._answers = 0

    def submit(self, record: Record) -> None:
        """Take a record; it is sent after all that were submitted before it."""
        self._waiting.append(record)
        self._metrics.in_flight.inc()
        self._metrics.in_flight_bytes.inc(len(record.value))
        self._wake.set()

    def __len__(self) -> int:
        """Records without Kafka's answer."""
        return len(self._waiting) + len(self._flying)

    def oldest_s(self) -> float:
        """Age of the oldest record without an answer; 0 when there is none."""
        oldest = next(iter(self._flying), self._waiting[0] if self._waiting else None)
        return time.monotonic() - oldest.submitted_mono_s if oldest else 0.0

    async def run(self) -> None:
        """Send until cancelled; an exception other than Kafka's is a bug and leaves."""
        failures = 0
        while True:
            producer = None
            answers_before = self._answers
            try:
                producer = await kafka.open_producer(self._section, "bridge")
                self.answered_mono_s = time.monotonic()
                await self._pump(producer)
            except (KafkaError, KafkaUnavailable, OSError) as cause:
                self._report(cause)
            finally:
                self._take_back()
                if producer is not None:
                    await kafka.abandon(producer)
            self._metrics.rebuilds.inc()
            failures = 0 if self._answers > answers_before else min(failures + 1, 20)
            ceiling_s = min(BACKOFF_S_MAX, BACKOFF_S_MIN * 2.0**failures)
            await asyncio.sleep(random.uniform(0.0, ceiling_s))

    async def _pump(self, producer: AIOKafkaProducer) -> None:
        """Send all that waits, then all that comes; raises the first failure of the producer."""
        self._failure = None
        while True:
            while self._waiting and self._failure is None and self._crash is None:
                record = self._waiting[0]
                try:
                    future = await producer.send(record.topic, record.value, record.key)
                except kafka.KafkaTimeoutError as cause:
                    # the producer is full because Kafka does not answer; it keeps trying what it holds
                    self._report(cause)
                    continue
                self._waiting.popleft()
                self._flying[record] = future
                future.add_done_callback(lambda done, record=record: self._answered(record, done))
            if self._crash is not None:
                raise self._crash
            if self._failure is not None:
                raise self._failure
            self._wake.clear()
            await self._wake.wait()

    def _answered(self, record: Record, future: asyncio.Future[object]) -> None:
        """Kafka's answer to one record of the present producer."""
        failure = None if future.cancelled() else future.exception()
        if self._flying.get(record) is not future or future.cancelled():
            return
        if failure is not None:
            self._failure = failure
            self._wake.set()
            return
        del self._flying[record]
        self._answers += 1
        now_s = self.answered_mono_s = time.monotonic()
        self.problem = ""
        self._metrics.in_flight.dec()
        self._metrics.in_flight_bytes.dec(len(record.value))
        self._metrics.produce_s.observe(now_s - record.submitted_mono_s)
        try:
            record.done()
        except Exception as cause:  # a bug of ours: it must end run(), not vanish in a callback
            self._crash = cause
            self._wake.set()

    def _take_back(self) -> None:
        """What has no answer goes back in front, in the old order."""
        self._waiting.extendleft(reversed(self._flying))
        self._flying.clear()

    def _report(self, cause: BaseException) -> None:
        self.problem = str(cause) or type(cause).__name__
        held = self._seldom.allow(type(cause).__name__)
        if held is not None:
            _log.warning(
                "Kafka does not take records, they wait and nothing is acknowledged",
                cause=self.problem,
                waiting=len(self),
                held=held,
            )
