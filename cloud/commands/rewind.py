"""The workers take from Kafka again what came since a time: for a database that was restored from an older copy.

A time -> committed offsets of the workers' group, moved back to the first record of each class topic that is not older;
never forward, so that nothing is passed over. An offset above the end of its partition goes to the first record, too. Kafka lets this be done only while no worker runs. What comes again gives the same points, and duplicates in the ledger.
"""

from __future__ import annotations

import asyncio

from cloud.kafka.clients import AIOKafkaConsumer, KafkaError, TopicPartition, answered
from cloud.settings import CloudSettings
from cloud.worker.lag import group_standing

NS_A_MS = 1_000_000
COMMIT_S_MAX = 20.0


class RewindError(RuntimeError):
    """The offsets cannot be moved; the text says what to do."""


async def rewind(settings: CloudSettings, since_unix_ns: int) -> int:
    """Move the offsets back; how many records the workers will take again. RewindError, KafkaUnavailable."""
    async with group_standing(settings.kafka, "rewind") as (consumer, standing):
        committed, starts, ends, places = standing
        asked = dict.fromkeys(ends, since_unix_ns // NS_A_MS)
        found = await answered(consumer.offsets_for_times(asked), "ask for the offsets of a time")
        first = {tp: found[tp].offset if found[tp] is not None else ends[tp] for tp in ends}
        back = {tp: min(place, max(first[tp], starts[tp])) for tp, place in places.items()}
        await _commit(settings, consumer, {tp: back[tp] for tp in ends if back[tp] != committed[tp]})
        return sum(places[tp] - back[tp] for tp in ends)


async def _commit(
    settings: CloudSettings, consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, int]
) -> None:
    if not offsets:
        return
    try:
        await asyncio.wait_for(consumer.commit(offsets), COMMIT_S_MAX)
    except (KafkaError, asyncio.TimeoutError) as cause:
        raise RewindError(
            f"Kafka does not let the offsets of group {settings.kafka.group} be moved ({type(cause).__name__}); stop every worker of it first, "
            "and wait kafka.session_timeout_s for one that was killed"
        ) from cause
