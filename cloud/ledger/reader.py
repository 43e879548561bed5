"""What others have written into the ledger topic, read by a worker before it goes on where they stopped."""

from __future__ import annotations

import structlog

from cloud.kafka.compacted import CompactedTopic
from cloud.kafka.topics import LEDGER
from cloud.ledger.accounts import Books
from cloud.ledger.keys import LedgerKeys
from cloud.settings import KafkaSection

_log = structlog.get_logger("ledger")


class LedgerReader:
    """Reader of the ledger topic into the books: catch_up() whenever partitions changed hands."""

    def __init__(self, kafka: KafkaSection, books: Books, keys: LedgerKeys) -> None:
        self._books, self._keys = books, keys
        self._topic = CompactedTopic(kafka, LEDGER, self.take)

    async def catch_up(self) -> None:
        """All that is in the topic now is in the books. KafkaUnavailable when Kafka or the topic is not there."""
        await self._topic.catch_up()

    async def close(self) -> None:
        """Close the consumer."""
        await self._topic.close()

    def take(self, key: str, value: bytes | None) -> None:
        """A record of the topic, in its order."""
        if value is None:
            self._keys.note(key, self._topic.stamp_unix_ms, deleted=True)
        elif self._books.absorb(key, value):
            self._keys.note(key, self._topic.stamp_unix_ms)
        else:
            _log.warning("passed over a ledger record that is none", key=key)
