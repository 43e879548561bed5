"""Dead letters that were refused for want of a catalog, driven in again by themselves when it comes.

At the start the dead-letter topic is read once: letters whose catalog is known by now and whose envelope still waits
go in again, the other hashes are remembered. Later a catalog that comes late starts one pass for its hash. Several
workers may do so at once; duplicates change nothing.
"""

from __future__ import annotations

import asyncio

import structlog

from cloud.commands.redrive import drive_in
from cloud.kafka.clients import KafkaError, KafkaUnavailable
from cloud.kafka.publish import Publisher
from cloud.ledger.accounts import Books
from cloud.settings import KafkaSection
from cloud.worker.delivery import Delivery
from cloud.worker.letters import DeadLetter
from cloud.worker.outcome import CATALOG_UNKNOWN
from vantel.envelope import EnvelopeError, open_message

HASHES_MAX = 10_000
RETRY_S = 2.0
_log = structlog.get_logger("late_catalogs")


class LateCatalogs:
    """Runs the passes one after another; run() in a task."""

    def __init__(self, kafka: KafkaSection, publisher: Publisher, delivery: Delivery, books: Books) -> None:
        self._kafka, self._publisher, self._delivery, self._books = kafka, publisher, delivery, books
        self._come: dict[int, None] = {}
        self._wake = asyncio.Event()
        self._driving: frozenset[int] = frozenset()
        delivery.on_late_catalog = self._late

    async def run(self, stop: asyncio.Event) -> None:
        """One pass at the start to learn which hashes are missed, then one for each lot of late catalogs."""
        await self._pass(stop, remember=True)
        while not stop.is_set():
            await self._wake.wait()
            self._wake.clear()
            self._driving, self._come = frozenset(self._come), {}
            if self._driving:
                await self._pass(stop, remember=False)

    async def _pass(self, stop: asyncio.Event, remember: bool) -> None:
        while not stop.is_set():
            try:
                counts = await drive_in(
                    self._kafka, self._publisher, self._remember if remember else self._wanted
                )
                if counts["driven"]:
                    _log.info("catalogs came late, their dead letters are driven in", driven=counts["driven"])
                return
            except (KafkaError, KafkaUnavailable, OSError) as cause:
                _log.warning("cannot read the dead letters, trying again", cause=str(cause))
                await asyncio.sleep(RETRY_S)

    def _late(self, catalog_hash: int) -> None:
        if len(self._come) < HASHES_MAX:
            self._come[catalog_hash] = None
        self._wake.set()

    def _wanted(self, letter: DeadLetter) -> bool:
        return (
            letter.reason == CATALOG_UNKNOWN
            and letter.catalog_hash in self._driving
            and not self._is_past(letter)
        )

    def _remember(self, letter: DeadLetter) -> bool:
        """First pass: drives nothing in itself; a hash whose catalog is known asks for a pass of its own."""
        if letter.reason == CATALOG_UNKNOWN and not self._is_past(letter):
            self._delivery.remember_letter(letter.catalog_hash)
        return False

    def _is_past(self, letter: DeadLetter) -> bool:
        try:
            envelope, _ = open_message(letter.message)
        except EnvelopeError:
            return True
        return self._books.is_settled_beyond(CATALOG_UNKNOWN, envelope.stream, envelope.seq)
