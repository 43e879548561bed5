"""Keeps the ledger topic whole: what a late record of another worker leaves out is published again.

When a partition changes hands, the worker that lost it may still wait for the database, and then writes the accounts
of its last batch as it knew them. Accounts merge in any order, but compaction keeps only the newest record of a key, and
that one lacks what the new owner has written since. So every worker reads the ledger as it grows; an account whose
newest record still says less than the books after a round goes out again, merged. One round a ROUND_S; own records are
known by their hash, so that a single worker decodes none of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import structlog

from cloud.kafka.clients import KafkaError, KafkaUnavailable
from cloud.kafka.compacted import CompactedTopic, pause
from cloud.kafka.topics import LEDGER
from cloud.ledger.accounts import Books, CloudAccount, VanAccount
from cloud.settings import KafkaSection
from cloud.worker.delivery import Delivery
from vantel.identity import StreamKey

ROUND_S = 2.0
_log = structlog.get_logger("ledger")


class LedgerWatch:
    """Reader of the ledger topic for a worker. catch_up() when partitions changed hands; run() in a task."""

    def __init__(self, kafka: KafkaSection, books: Books, delivery: Delivery) -> None:
        self._books, self._delivery = books, delivery
        self._topic = CompactedTopic(kafka, LEDGER, self.take)
        self._reading = asyncio.Lock()
        self._short: dict[str, StreamKey | str] = {}  # key -> stream or van; as many as the books hold
        self.repaired = 0

    async def catch_up(self) -> None:
        """All that is in the topic now is in the books. KafkaUnavailable when Kafka or the topic is not there."""
        async with self._reading:
            await self._topic.catch_up()

    async def run(self, stop: asyncio.Event) -> None:
        """Rounds until stop; a Kafka that is away is met at the next round."""
        while not stop.is_set():
            await pause(stop, ROUND_S)
            before = dict(self._short)
            try:
                await self.catch_up()
            except (KafkaUnavailable, KafkaError, OSError):
                await self._topic.close()
                continue
            # one that fell short only now may be answered by a record of ours that is on its way
            await self.repair(before.keys() & self._short.keys())

    async def close(self) -> None:
        """Close the consumer."""
        await self._topic.close()

    def take(self, key: str, value: bytes | None) -> None:
        """A record of the topic, in its order."""
        if value is None:
            return
        if self._delivery.published.get(key.encode()) == hash(value):
            self._short.pop(key, None)
        elif not self._books.absorb(key, value):
            _log.warning("passed over a ledger record that is none", key=key)
        elif (what := shortfall(self._books, key, value)) is None:
            self._short.pop(key, None)
        else:
            self._short[key] = what

    async def repair(self, keys: Collection[str] | None = None) -> None:
        """Publish again the accounts of these keys, or of all, whose newest record says less than the books."""
        short = [what for key, what in sorted(self._short.items()) if keys is None or key in keys]
        if not short:
            return
        _log.info("accounts published again: another worker wrote less than is known", accounts=len(short))
        self.repaired += len(short)
        await self._delivery.publish_accounts(
            [what for what in short if isinstance(what, StreamKey)],
            [what for what in short if isinstance(what, str)],
        )


def shortfall(books: Books, key: str, value: bytes) -> StreamKey | str | None:
    """The stream or van whose record says less than the books; None when it says all that counts.

    Compares what the residual is made of, not bytes: workers of two releases may encode one account differently.
    """
    if key.endswith("|van"):
        van = VanAccount.decode(value)
        told = dict(van.streams)
        van.merge(books.vans[van.van])
        return None if van.streams == told else van.van
    account = CloudAccount.decode(value)
    mine = books.clouds[account.stream]
    missing = mine.stored.difference(account.stored) or mine.rejected_all.difference(account.rejected_all)
    return account.stream if missing else None
