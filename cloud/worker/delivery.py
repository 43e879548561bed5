"""From records of Kafka to points that are certainly written, and an account of every message. Framework-free.

take(records) returns when each message is written or in the dead letters and its account is in the ledger topic, except
for those that wait for a catalog: outlast() deals with them. The caller acks after both, in order. Whatever raises here
must end the process with nothing acked: replay changes nothing. Lines go to the sink in lots of LOT_BYTES, decoding runs
in a thread, so that the event loop never blocks. Times: received and refused in Unix ns, waits in monotonic s.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cloud.kafka.topics import CAMPAIGN, DEADLETTER, LEDGER
from cloud.last_values import News
from cloud.ledger.accounts import Books, Settled
from cloud.ledger.keys import LedgerKeys, van_key
from cloud.sink.sink import Refusal, Sink
from cloud.worker.core import Digest, digest
from cloud.worker.letters import DeadLetter
from cloud.worker.outcome import CATALOG_UNKNOWN, LINE_REFUSED, SIGNAL_UNKNOWN, Reject, Retry
from cloud.worker.steps.open import Incoming, open_bundle
from cloud.worker.steps.validate import RETRY_AFTER_S, CatalogBook
from vantel.catalog import CatalogError
from vantel.identity import StreamKey

LOT_BYTES = 4 * 1024 * 1024
RETRY_GROWTH = 1.5
RETRY_AFTER_S_MAX = 1.0
COLUMNS_NAMED_MAX = 20
LETTERED_HASHES_MAX = 10_000


class Record(NamedTuple):
    """A record of one of the class topics."""

    topic: str
    value: bytes | None


class Outgoing(NamedTuple):
    """A record to publish; None deletes the key of a compacted topic."""

    topic: str
    key: bytes
    value: bytes | None


Publish = Callable[[Sequence[Outgoing]], Awaitable[None]]
"""Returns when Kafka has all of them with acks=all; raises when that can never be."""


@dataclass(slots=True)
class Tally:
    """Counts for the metrics, since the start of the process."""

    envelopes: Counter[str] = field(default_factory=Counter)
    letters: Counter[str] = field(default_factory=Counter)
    points: int = 0
    lines: int = 0
    agent_lines: int = 0
    duplicates: int = 0
    records: int = 0
    waits: int = 0


class Delivery:
    """The worker without its framework."""

    def __init__(self, sink: Sink, publish: Publish, books: Books, catalogs: CatalogBook) -> None:
        self._sink, self._publish, self._books, self._catalogs = sink, publish, books, catalogs
        self.tally = Tally()
        self.alive_mono_s = time.monotonic()
        self._ledger_lock = asyncio.Lock()
        self.ledger_keys = LedgerKeys()
        self.lettered_hashes: set[int] = set()
        self.on_late_catalog: Callable[[int], None] = lambda _: None
        """Called with the hash of a catalog that came after messages had been refused for want of it."""
        self.on_news: Callable[[News], None] = lambda _: None
        """Called with what a message says about its van, once it is stored."""

    async def deliver(self, records: Sequence[Record]) -> None:
        """Everything in these records is dealt with when this returns."""
        await self.outlast(await self.take(records), asyncio.Event())

    async def take(self, records: Sequence[Record]) -> list[Incoming]:
        """Deal with these records, except for the messages returned, which wait for their catalogs."""
        queue: deque[Incoming] = deque()
        letters: list[DeadLetter] = []
        for record in records:
            opened = open_bundle(record.topic, record.value)
            if isinstance(opened, Reject):
                letters.append(self._letter(Incoming(record.topic, "", record.value or b"", 0), opened))
                self.tally.envelopes["rejected"] += 1
            else:
                queue.extend(opened)
        await self._publish_letters(letters)
        self.tally.records += len(records)
        return await self._work_off(queue)

    async def outlast(self, waiting: list[Incoming], give_up: asyncio.Event) -> None:
        """Deal with messages that wait for their catalogs, until they came or never will; give_up ends the wait."""
        after_s = RETRY_AFTER_S
        while waiting:
            self.tally.waits += 1
            self.alive_mono_s = time.monotonic()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(give_up.wait(), after_s)
            after_s = min(after_s * RETRY_GROWTH, RETRY_AFTER_S_MAX)
            waiting = await self._work_off(deque(waiting), patient=not give_up.is_set())

    async def _work_off(self, queue: deque[Incoming], patient: bool = True) -> list[Incoming]:
        """Digest and store a queue in lots; the messages that have to wait."""
        waiting: list[Incoming] = []
        while queue:
            self.alive_mono_s = time.monotonic()
            now_s = self.alive_mono_s if patient else math.inf
            digests = await asyncio.to_thread(self._digest_lot, queue, now_s)
            for item in digests:
                if item.catalog:
                    self._told(item.catalog_hash)
            waiting += [item.incoming for item in digests if isinstance(item.outcome, Retry)]
            await self._store([item for item in digests if not isinstance(item.outcome, Retry)])
        self.alive_mono_s = time.monotonic()
        return waiting

    def learn(self, encoded: bytes) -> bool:
        """Take a catalog of the catalog topic; False when the bytes are none."""
        try:
            self._told(self._catalogs.learn(encoded))
        except CatalogError:
            return False
        return True

    def remember_letter(self, catalog_hash: int) -> None:
        """A message was refused for want of this catalog: when it comes, on_late_catalog is called."""
        if len(self.lettered_hashes) < LETTERED_HASHES_MAX:
            self.lettered_hashes.add(catalog_hash)
        if catalog_hash in self._catalogs:
            self._told(catalog_hash)

    def _digest_lot(self, queue: deque[Incoming], now_s: float) -> list[Digest]:
        """Digest messages until a lot of lines is there. Runs in a thread."""
        digests: list[Digest] = []
        size = 0
        while queue and size < LOT_BYTES:
            item = digest(queue.popleft(), self._catalogs, now_s)
            if item.catalog:
                self._catalogs.learn(item.catalog)
            digests.append(item)
            size += sum(len(line.text) for line in item.lines)
        return digests

    def _told(self, catalog_hash: int) -> None:
        if catalog_hash in self.lettered_hashes and catalog_hash in self._catalogs:
            self.lettered_hashes.discard(catalog_hash)
            self.on_late_catalog(catalog_hash)

    async def _store(self, digests: list[Digest]) -> None:
        """Write, then dead letters, then the ledger: each awaited."""
        if not digests:
            return
        places = [(item, at) for item in digests for at in range(len(item.lines))]
        refusals = await self._sink.write([item.lines[at].text for item, at in places])
        refused: dict[int, list[tuple[int, Refusal]]] = {}
        for refusal in refusals:
            item, at = places[refusal.at]
            refused.setdefault(id(item), []).append((at, refusal))
        letters: list[DeadLetter] = []
        settled: list[Settled] = []
        for item in digests:
            mine = refused.get(id(item), [])
            letters += self._letters_of(item, mine)
            one = item.settled(
                lines_refused=len(mine),
                points_refused=sum(item.lines[at].fields for at, _ in mine),
                all_refused=bool(mine) and len(mine) == len(item.lines),
            )
            self._count(item, one, len(mine))
            if one is not None:
                settled.append(one)
        await self._publish_letters(letters)
        await self._publish_ledger(settled, digests)
        for item in digests:
            if item.news is not None:
                self.on_news(item.news)

    async def _publish_letters(self, letters: list[DeadLetter]) -> None:
        if not letters:
            return
        await self._publish([Outgoing(DEADLETTER, letter.key, letter.encode()) for letter in letters])
        for letter in letters:
            self.tally.letters[letter.reason] += 1
            if letter.reason == CATALOG_UNKNOWN:
                self.remember_letter(letter.catalog_hash)

    async def _publish_ledger(self, settled: list[Settled], digests: list[Digest]) -> None:
        """Settle the accounts and publish those that changed."""
        streams: dict[StreamKey, None] = {}
        vans: dict[str, None] = {}
        for one in settled:
            if not self._books.settle(one):
                self.tally.duplicates += 1
            streams[one.stream] = None
        for item in digests:
            if item.report is not None:
                self._books.report(item.report)
                vans[item.report.van] = None
            if item.tombstone is not None:
                gone = self._books.note_gone(item.incoming.van, item.tombstone)
                streams |= {gone: None} if gone is not None else {}
        await self.publish_accounts(streams, vans)
        reports = {
            item.stream.van: item.campaigns for item in digests if item.campaigns and item.stream is not None
        }
        if reports:
            async with self._ledger_lock:
                await self._publish(
                    [Outgoing(CAMPAIGN, f"report|{van}".encode(), report) for van, report in reports.items()]
                )

    async def publish_accounts(self, streams: Iterable[StreamKey], vans: Iterable[str]) -> None:
        """Accounts as they are now, one record each; then the records of earlier writers that say no more go.

        One call at a time: an older record of an account written after a newer one would be what compaction keeps.
        """
        async with self._ledger_lock:
            accounts = {stream.text: self._books.clouds[stream].encode() for stream in streams}
            accounts |= {van_key(van): self._books.vans[van].encode() for van in vans}
            keys = self.ledger_keys
            old = keys.superseded(accounts)
            records = [Outgoing(LEDGER, keys.mine(name).encode(), value) for name, value in accounts.items()]
            if records:
                await self._publish(records)
            if old:
                await self._publish([Outgoing(LEDGER, key.encode(), None) for key in old])

    def _letters_of(self, item: Digest, refusals: list[tuple[int, Refusal]]) -> list[DeadLetter]:
        """Dead letters of one message: itself when refused, its refused lines, its refused columns."""
        if isinstance(item.outcome, Reject):
            return [self._letter(item.incoming, item.outcome, catalog_hash=item.catalog_hash)]
        letters = [
            self._letter(item.incoming, Reject(LINE_REFUSED, refusal.text), message=item.lines[at].text)
            for at, refusal in refusals
        ]
        if item.columns_refused:
            named = "; ".join(item.columns_refused[:COLUMNS_NAMED_MAX])
            reject = Reject(SIGNAL_UNKNOWN, f"{len(item.columns_refused)} columns refused: {named}")
            letters.append(self._letter(item.incoming, reject, catalog_hash=item.catalog_hash))
        return letters

    def _letter(
        self, incoming: Incoming, reject: Reject, message: bytes | None = None, catalog_hash: int = 0
    ) -> DeadLetter:
        return DeadLetter(
            incoming.van, reject.reason, reject.detail, incoming.message if message is None else message,
            incoming.topic, incoming.received_unix_ns, time.time_ns(), catalog_hash,
        )  # fmt: skip

    def _count(self, item: Digest, one: Settled | None, refused: int) -> None:
        stored = one is not None and not one.rejected
        self.tally.envelopes["stored" if stored else "rejected"] += 1
        self.tally.lines += len(item.lines) - refused
        if one is not None and stored:
            self.tally.points += one.points
            self.tally.agent_lines += sum(line.fields == 0 for line in item.lines)
