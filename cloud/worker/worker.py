"""The worker: takes bundles from the class topics, hands them to Delivery, acks strictly in order. Knows no framework.

An adapter (Faust, or a plain Kafka consumer) brings records and takes acks; which one, the settings say. Either way acks
come only after all of a batch is written, and os._exit ends the process on whatever is unexpected, within the task that
met it, before any finaliser can ack. Exit codes: 0 stopped, 70 unexpected error, 75 stalled, 78 the database refuses us.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Coroutine, Sequence
from typing import Any, NoReturn, Protocol, TypeVar

import structlog

from cloud.certificates import CertificateMetrics
from cloud.http import Health, StatusServer
from cloud.kafka.clients import KafkaUnavailable, TopicPartition, ssl_of
from cloud.kafka.compacted import CompactedTopic
from cloud.kafka.publish import Publisher, publish_last
from cloud.kafka.topics import BY_CLASS, CATALOG, LAST
from cloud.last_values import LastBoard
from cloud.ledger.accounts import Books
from cloud.ledger.reader import LedgerReader
from cloud.log import Seldom
from cloud.settings import CloudSettings
from cloud.sink.influx import InfluxWriter
from cloud.sink.sink import Sink, SinkStopped
from cloud.worker.ack_queue import AckQueue
from cloud.worker.delivery import Delivery, Record
from cloud.worker.lag import LagWatch, Progress, beat, start_watchdog
from cloud.worker.late_catalogs import LateCatalogs
from cloud.worker.metrics import WorkerMetrics
from cloud.worker.steps.open import Incoming
from cloud.worker.steps.validate import CatalogBook

EXIT_ERROR = 70
EXIT_SETTINGS = 78
STOP_S_MAX = 4.5
RETRY_S = 1.0
KAFKA_SILENT_S_MAX = 30.0
T = TypeVar("T")
_log = structlog.get_logger("worker")


class Event(Protocol):
    """A record as the adapter brings it."""

    @property
    def value(self) -> bytes | None: ...  # noqa: D102

    def ack(self) -> object:
        """All of it is dealt with; called in the order in which the records of a topic were brought."""


class Adapter(Protocol):
    """Brings the records of the class topics to Runtime.handle, one batch of a topic at a time, and commits acks."""

    crash_reason: BaseException | None

    async def start(self) -> None:
        """Join the group."""

    async def wait_until_stopped(self) -> object:
        """Returns when it has ended by itself."""

    async def stop(self) -> None:
        """Commit what is acked, and leave the group."""


class Runtime:
    """What the batches share: delivery, readers of the compacted topics, signs of life. Decides nothing."""

    def __init__(self, settings: CloudSettings) -> None:
        """ConnectionRefused when the settings do not allow the connections."""
        self.settings = settings
        self.stop = asyncio.Event()
        self.progress = Progress()
        self.books = Books()
        self.catalogs = CatalogBook(settings.worker.catalog_wait_s_max)
        self.publisher = Publisher(settings.kafka, "worker")
        self.sink = Sink(InfluxWriter(settings.influx), settings.influx)
        self.delivery = Delivery(self.sink, self.publisher.publish, self.books, self.catalogs)
        self.late = LateCatalogs(settings.kafka, self.publisher, self.delivery, self.books)
        self.board = LastBoard(settings.worker.last_period_s)
        self.delivery.on_news = self.board.take
        self.acks = {topic: AckQueue() for topic in BY_CLASS.values()}
        self._ledger = LedgerReader(settings.kafka, self.books, self.delivery.ledger_keys)
        self._catalog = CompactedTopic(settings.kafka, CATALOG, self._take_catalog)
        self._last = CompactedTopic(settings.kafka, LAST, self.board.absorb)
        self._seldom = Seldom()
        self._assigned = 0
        self._caught_up = 0
        self._catching_up = asyncio.Lock()

    async def open(self) -> None:
        """Connect, and read both compacted topics; waits for Kafka as long as it takes."""
        ssl_of(self.settings.kafka)
        while not self.stop.is_set():
            try:
                await self.publisher.open()
                await self._catalog.catch_up()
                await self._ledger.catch_up()
                await self._last.catch_up()
                await self._last.close()
                return
            except KafkaUnavailable as cause:
                held = self._seldom.allow("kafka")
                if held is not None:
                    _log.warning("waiting for Kafka", cause=str(cause), held=held)
                await self.publisher.close()
                await asyncio.sleep(RETRY_S)

    def tasks(self) -> list[asyncio.Task[None]]:
        """Start what runs beside the agents."""
        running = [
            self._catalog.tail(self.stop),
            LagWatch(self.settings.kafka, self.progress).run(),
            beat(self.progress),
            self.late.run(self.stop),
            publish_last(self.board, self.settings.kafka, self.stop),
        ]
        return [asyncio.create_task(item) for item in running]

    def assigned(self, partitions: set[TopicPartition]) -> None:
        """Partitions changed hands: what others wrote into the ledger must be read before the next batch."""
        self.progress.mine = frozenset(TopicPartition(tp.topic, tp.partition) for tp in partitions)
        self.progress.moved_s = time.monotonic()
        self.delivery.ledger_keys.begin()
        self._assigned += 1

    async def handle(self, topic: str, events: Sequence[Event]) -> None:
        """One batch of records of one topic: written when this returns; acked in order, when all of it is done."""
        records = [Record(topic, event.value) for event in events]
        waiting = await self.or_leave(self._take(records))
        give_up = asyncio.Event()
        rest = (
            asyncio.create_task(self.or_leave(self.delivery.outlast(waiting, give_up))) if waiting else None
        )
        held_bytes = sum(len(record.value or b"") for record in records)
        await self.acks[topic].add(events, rest, give_up, held_bytes)

    async def _take(self, records: list[Record]) -> list[Incoming]:
        await self._catch_up()
        return await self.delivery.take(records)

    async def or_leave(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of work, or the end of the process: an exception that left an agent would make Faust ack."""
        try:
            return await work
        except SinkStopped as cause:
            _log.critical(
                "the database refuses us, stopping; nothing is lost, nothing is committed", cause=str(cause)
            )
            leave(EXIT_SETTINGS)
        except Exception:
            _log.critical(
                "unexpected error, leaving; a fresh process goes on from the last commit", exc_info=True
            )
            leave(EXIT_ERROR)

    def health(self) -> Health:
        """Healthy when partitions are ours, Kafka answers and the database takes what we write."""
        problems = []
        if not self.progress.mine:
            problems.append("no partitions are assigned to this worker yet")
        if time.monotonic() - self.progress.answered_s > KAFKA_SILENT_S_MAX:
            problems.append(f"Kafka at {self.settings.kafka.bootstrap} does not answer")
        if self.sink.state.trouble:
            problems.append(self.sink.state.trouble)
        for tp, offset in sorted(self.progress.beyond.items()):
            problems.append(
                f"offset {offset} of {tp.topic} {tp.partition} is committed, but the topic ends before it: was Kafka restored "
                "from an older copy? It is read anew from its first record"
            )
        details = {"lag": sum(self.progress.lag.values()), "partitions": len(self.progress.mine)}
        return Health(tuple(problems), details)

    def waited_s(self) -> float:
        """Last time that an honest wait, for database or catalog, showed life."""
        waiting = self.sink.state.tried_mono_s if self.sink.state.trouble else float("-inf")
        return max(waiting, self.delivery.alive_mono_s)

    async def close(self) -> None:
        """Close what open() opened."""
        self.stop.set()
        for closing in (
            self._catalog.close(),
            self._ledger.close(),
            self._last.close(),
            self.publisher.close(),
        ):
            await asyncio.wait({asyncio.ensure_future(closing)}, timeout=1.0)

    async def _catch_up(self) -> None:
        async with self._catching_up:
            while self._caught_up != self._assigned:
                target = self._assigned
                try:
                    await self._ledger.catch_up()
                    self._caught_up = target
                except KafkaUnavailable as cause:
                    _log.warning("waiting for the ledger topic", cause=str(cause))
                    await asyncio.sleep(RETRY_S)

    def _take_catalog(self, key: str, value: bytes | None) -> None:
        if value is not None and not self.delivery.learn(value):
            _log.warning("passed over a catalog record that is none", key=key)


def leave(code: int) -> NoReturn:
    """End the process now: no finaliser of a framework may run, for it would ack or commit."""
    sys.stderr.flush()
    os._exit(code)


def run_worker(settings: CloudSettings) -> int:
    """Run until SIGTERM or SIGINT; the exit code. ConnectionRefused for settings that cannot work."""
    return asyncio.run(_run(settings))


def adapter_of(settings: CloudSettings, runtime: Runtime) -> Adapter:
    """The adapter that worker.adapter names; the other one is not even imported."""
    if settings.worker.adapter == "aiokafka":
        from cloud.worker.consumer_adapter import ConsumerAdapter

        return ConsumerAdapter(settings, runtime)
    from cloud.worker.faust_adapter import FaustAdapter

    return FaustAdapter(settings, runtime)


async def _run(settings: CloudSettings) -> int:
    runtime = Runtime(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop_soon, runtime)
    metrics = WorkerMetrics(runtime.delivery, runtime.sink.state, runtime.progress, runtime.catalogs)
    metrics.registry.register(CertificateMetrics({"kafka": settings.kafka, "influx": settings.influx}))
    server = StatusServer(
        settings.http.host, settings.http.worker_port, "http.worker_port", runtime.health, metrics.registry
    )
    await server.start()
    tasks: list[asyncio.Task[None]] = []
    off = threading.Event()
    adapter: Adapter | None = None
    try:
        await runtime.open()
        if not runtime.stop.is_set():
            adapter = adapter_of(settings, runtime)
            tasks = runtime.tasks()
            off = start_watchdog(runtime.progress, settings.worker.stalled_after_s, runtime.waited_s)
            await adapter.start()
            _log.info(
                "worker started",
                group=settings.kafka.group,
                topics=sorted(BY_CLASS.values()),
                adapter=settings.worker.adapter,
            )
            await _until_stopped(runtime, adapter)
    finally:
        off.set()
        if adapter is not None:
            await adapter.stop()
        for task in tasks:
            task.cancel()
        await runtime.close()
        await server.close()
    if adapter is not None and adapter.crash_reason is not None:
        _log.critical(
            "the adapter crashed", adapter=settings.worker.adapter, cause=repr(adapter.crash_reason)
        )
        return EXIT_ERROR
    return 0


async def _until_stopped(runtime: Runtime, adapter: Adapter) -> None:
    """Until a signal, or until the adapter has stopped by itself."""
    waits = [asyncio.create_task(runtime.stop.wait()), asyncio.create_task(adapter.wait_until_stopped())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await wait


def _stop_soon(runtime: Runtime) -> None:
    """Stop in order; what hangs (a write that the database does not answer) is left after STOP_S_MAX."""
    runtime.stop.set()

    def end() -> None:
        time.sleep(STOP_S_MAX)
        _log.warning("left with a write unanswered; it is not committed and will be repeated")
        leave(0)

    threading.Thread(target=end, name="stop", daemon=True).start()
