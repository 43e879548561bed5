"""The Faust adapter of the worker, the default. The only file that imports faust, and only inside build_app.

Faust acks an event when an agent raises, take() acks a whole batch, and a commit can pass a record left unacked, so:
noack_take, one agent a topic, no tables; Runtime.handle never lets an exception out. It takes no record below a committed
offset, nor commits beyond a hole, so an offset outside its log (Kafka was restored from an older copy, or its retention
went over it) counts as none: _consumer_class.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

import structlog

from cloud.connection import password_of
from cloud.kafka.clients import HEARTBEATS_A_SESSION, KafkaError, TopicPartition, ssl_of
from cloud.kafka.topics import BY_CLASS
from cloud.log import Seldom
from cloud.settings import CloudSettings, KafkaSection
from cloud.worker.worker import Runtime

RETRY_S = 1.0
_log = structlog.get_logger("worker")
BUFFER_RECORDS_MAX = 512
"""Records that Faust holds for one topic; below 512 its pausing and resuming stalls (about 0.8 s each)."""


class FaustAdapter:
    """One Faust app."""

    def __init__(self, settings: CloudSettings, runtime: Runtime) -> None:
        # Faust insists on a folder, without tables it stays empty; one name for ever leaves nothing behind after a kill
        self._folder = Path(tempfile.gettempdir()) / f"vantel-worker-{os.getuid()}"
        self._settings, self._runtime, self._seldom = settings, runtime, Seldom()
        self._app = build_app(settings, runtime, self._folder)

    @property
    def crash_reason(self) -> BaseException | None:
        """What ended Faust."""
        reason: BaseException | None = self._app.crash_reason
        return reason

    async def start(self) -> None:
        """Join the group; waits until Kafka is there, or the worker is stopped."""
        while not self._runtime.stop.is_set():
            try:
                await self._app.start()
            except (KafkaError, OSError) as cause:
                held = self._seldom.allow("kafka")
                if held is not None:
                    _log.warning(
                        "waiting for Kafka",
                        cause=f"kafka.bootstrap {self._settings.kafka.bootstrap}: {cause}",
                        held=held,
                    )
                await self._app.stop()
                await asyncio.sleep(RETRY_S)
                self._app = build_app(self._settings, self._runtime, self._folder)  # Faust starts an app once
            else:
                return

    async def wait_until_stopped(self) -> object:
        """Returns when Faust has ended by itself."""
        return await self._app.wait_until_stopped()

    async def stop(self) -> None:
        """Commit what is acked, and leave the group."""
        await self._app.stop()


def build_app(settings: CloudSettings, runtime: Runtime, folder: Path) -> Any:
    """The Faust app with one agent for each class topic. Needs no broker yet. folder: Faust insists on one."""
    import faust

    kafka, worker = settings.kafka, settings.worker
    app: Any = faust.App(
        kafka.group,
        broker=[f"kafka://{host.strip()}" for host in kafka.bootstrap.split(",")],
        broker_credentials=_credentials(faust, kafka),
        broker_session_timeout=kafka.session_timeout_s,
        broker_heartbeat_interval=kafka.session_timeout_s / HEARTBEATS_A_SESSION,
        broker_commit_interval=worker.commit_interval_s,
        broker_max_poll_interval=86_400.0,  # an outage of the database is waited out, not a reason to rebalance
        broker_max_poll_records=BUFFER_RECORDS_MAX,
        consumer_auto_offset_reset="earliest",
        processing_guarantee="at_least_once",
        stream_buffer_maxsize=BUFFER_RECORDS_MAX,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        table_standby_replicas=0,
        topic_disable_leader=True,
        topic_allow_declare=False,
        value_serializer="raw",
        key_serializer="raw",
        datadir=folder,
        web_enabled=False,
        worker_redirect_stdouts=False,
        autodiscover=False,
    )
    app.transport.Consumer = _consumer_class()
    for delivery_class, name in BY_CLASS.items():
        topic = app.topic(
            name, value_type=bytes, key_type=bytes, value_serializer="raw", key_serializer="raw"
        )
        _add_agent(app, topic, runtime, f"worker_{delivery_class.label}")

    async def assigned(_: Any, partitions: set[TopicPartition], **__: Any) -> None:
        runtime.assigned(partitions)

    app.on_partitions_assigned.connect(assigned, weak=False)
    return app


def _consumer_class() -> type:
    """Faust's consumer, which starts anew in a partition whose committed offset lies outside its log.

    Above the end it would drop every record as known, without a word, until the end has passed that offset. Below the
    start it would mark the hole as acked together with the record behind it, which only acks in order make harmless.
    """
    from faust.transport.drivers.aiokafka import Consumer

    class InsideTheLog(Consumer):  # type: ignore[misc]
        async def perform_seek(self) -> None:
            await super().perform_seek()
            mine = [tp for tp in self.assignment() if self._committed_offset.get(tp) is not None]
            starts, ends = await self.earliest_offsets(*mine), await self.highwaters(*mine)
            for tp in mine:
                if not starts[tp] <= self._committed_offset[tp] <= ends[tp]:
                    self._read_offset[tp] = self._committed_offset[tp] = None

    return InsideTheLog


def _add_agent(app: Any, topic: Any, runtime: Runtime, name: str) -> None:
    take_max, within_s = runtime.settings.worker.take_max, runtime.settings.worker.take_within_s

    async def agent(stream: Any) -> None:
        async for events in stream.noack_take(take_max, within=within_s):
            await runtime.handle(topic.get_topic_name(), events)

    app.agent(topic, name=name, concurrency=1)(agent)


def _credentials(faust: Any, kafka: KafkaSection) -> Any:
    context = ssl_of(kafka)
    if kafka.security == "sasl_ssl":
        return faust.SASLCredentials(
            username=kafka.username, password=password_of("kafka", kafka), ssl_context=context,
            mechanism=kafka.sasl_mechanism,
        )  # fmt: skip
    return None if context is None else faust.SSLCredentials(context)
