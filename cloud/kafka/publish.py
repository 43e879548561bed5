"""Publishing to Kafka for the worker and its tools: all of a list, durably, before it returns.

Outgoing records -> one idempotent acks=all producer, opened at the first use. Records that share a key keep their
order. A Kafka that is away, or a producer that is broken, is met with a new producer, for ever: nothing can be acked
without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from cloud.kafka.clients import AIOKafkaProducer, KafkaError, KafkaUnavailable, abandon, open_producer
from cloud.kafka.topics import LAST
from cloud.last_values import LastBoard
from cloud.log import Seldom
from cloud.settings import KafkaSection
from cloud.worker.delivery import Outgoing

RETRY_S = 0.5
LAST_ROUND_S = 0.1
LAST_BYTES_A_ROUND_MAX = 1024 * 1024
"""Last values published in one round; what is left over waits for the next and goes out with its newest state."""
_log = structlog.get_logger("publish")


class Publisher:
    """One producer and a name for the logs of Kafka."""

    def __init__(self, kafka: KafkaSection, name: str) -> None:
        self._kafka, self._name = kafka, name
        self._producer: AIOKafkaProducer | None = None
        self._opening = asyncio.Lock()
        self._seldom = Seldom()

    async def open(self) -> Publisher:
        """Connect; KafkaUnavailable when Kafka does not answer."""
        async with self._opening:
            if self._producer is None:
                self._producer = await open_producer(self._kafka, self._name)
        return self

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Returns when Kafka has them all. After an error all go again by a new producer: the readers bear doubles."""
        while records:
            try:
                await self._publish_once(records)
                return
            except (KafkaError, KafkaUnavailable, OSError) as cause:
                held = self._seldom.allow("publish")
                if held is not None:
                    _log.warning("cannot publish, trying again", cause=repr(cause), held=held)
            await self.close()
            await asyncio.sleep(RETRY_S)

    async def close(self) -> None:
        """Give up what is not sent and close: what matters was awaited."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await abandon(producer)

    async def _publish_once(self, records: Sequence[Outgoing]) -> None:
        await self.open()
        producer = self._producer
        if producer is None:
            raise KafkaUnavailable("publish: the producer was closed by another task")
        sends = [await producer.send(topic, value, key=key) for topic, key, value in records]
        results = await asyncio.gather(*sends, return_exceptions=True)
        failed = [result for result in results if isinstance(result, BaseException)]
        if failed:
            raise failed[0]


async def publish_last(board: LastBoard, kafka: KafkaSection, stop: asyncio.Event) -> None:
    """Publish last values as they fall due, with a producer of their own: nothing that is acked waits for them."""
    publisher = Publisher(kafka, "worker-last")
    try:
        while not stop.is_set():
            due = board.due(LAST_BYTES_A_ROUND_MAX)
            await publisher.publish([Outgoing(LAST, van.encode(), record) for van, record in due])
            await asyncio.sleep(LAST_ROUND_S)
    finally:
        await publisher.close()
