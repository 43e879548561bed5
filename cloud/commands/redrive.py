"""Dead letters driven in again: from the dead-letter topic back to the class topic they came from.

A message that is still bad becomes a dead letter again; one that is good now is stored, and stored wins over rejected
in its account. Refused lines are written by hand or by a later tool: a line has no identity, so driving it in would be
in no account. Reads up to the end as it was at the call, so that what it makes itself is not read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from cloud.kafka.clients import answered, end_offsets, open_consumer, partitions_of
from cloud.kafka.publish import Publisher
from cloud.kafka.topics import BY_CLASS, DEADLETTER
from cloud.settings import CloudSettings, KafkaSection
from cloud.worker.delivery import Outgoing
from cloud.worker.letters import DeadLetter
from cloud.worker.outcome import BUNDLE, LINE_REFUSED
from cloud.worker.steps.open import Incoming, pack
from vantel.envelope import EnvelopeError
from vantel.identity import DeliveryClass
from vantel.topics import parse_up, shard_of

POLL_MS = 500
LOT = 200
IDLE_POLLS_MAX = 40


async def letters(kafka: KafkaSection) -> AsyncIterator[DeadLetter]:
    """Every dead letter that is in the topic now; what is none is passed over."""
    partitions = await partitions_of(kafka, DEADLETTER)
    consumer = await open_consumer(kafka, "deadletter-reader")
    try:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await end_offsets(consumer, partitions)
        idle = 0
        while idle < IDLE_POLLS_MAX:
            places = [
                await answered(consumer.position(tp), "ask for the place") >= end for tp, end in ends.items()
            ]
            if all(places):
                return
            lots = await consumer.getmany(timeout_ms=POLL_MS, max_records=LOT)
            idle = 0 if lots else idle + 1
            for tp, records in lots.items():
                for record in records:
                    if record.offset < ends[tp]:
                        try:
                            letter = DeadLetter.decode(record.value or b"")
                        except EnvelopeError:
                            continue
                        yield letter
    finally:
        await consumer.stop()


def way_back(letter: DeadLetter) -> Outgoing | None:
    """The record that drives a dead letter in again; None for one that has no way back."""
    if letter.reason in (LINE_REFUSED, BUNDLE) or not letter.message or not letter.van:
        return None
    topic = letter.topic
    if topic not in BY_CLASS.values():
        try:
            parsed = parse_up(letter.mqtt_topic)
            topic = BY_CLASS[DeliveryClass.from_label(parsed.leaf)]
        except ValueError:
            return None
    shard = shard_of(letter.van)
    message = Incoming(topic, letter.van, letter.message, letter.received_unix_ns)
    return Outgoing(topic, str(shard).encode(), pack(shard, [message]))


async def drive_in(
    kafka: KafkaSection, publisher: Publisher, wanted: Callable[[DeadLetter], bool]
) -> dict[str, int]:
    """Drive in what is wanted; counts of what was driven and what had no way back."""
    counts = {"letters": 0, "driven": 0, "no_way_back": 0}
    lot: list[Outgoing] = []
    async for letter in letters(kafka):
        if not wanted(letter):
            continue
        counts["letters"] += 1
        record = way_back(letter)
        if record is None:
            counts["no_way_back"] += 1
            continue
        counts["driven"] += 1
        lot.append(record)
        if len(lot) >= LOT:
            await publisher.publish(lot)
            lot = []
    await publisher.publish(lot)
    return counts


async def redrive(
    settings: CloudSettings,
    reason: str | None = None,
    van: str | None = None,
    catalog_hash: int | None = None,
) -> dict[str, int]:
    """Drive in the dead letters with this reason, van and catalog hash (None: any)."""
    publisher = await Publisher(settings.kafka, "redrive").open()
    try:
        return await drive_in(
            settings.kafka,
            publisher,
            lambda letter: (
                reason in (None, letter.reason)
                and van in (None, letter.van)
                and catalog_hash in (None, letter.catalog_hash)
            ),
        )
    finally:
        await publisher.close()
