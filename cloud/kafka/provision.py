"""Creates the Kafka topics of cloud.kafka.topics; run again at will.

Settings -> topics with partitions, retention or compaction, and durability. What exists is left as it is: a topic that
differs from what we would create is named in a warning, since changing it is an operator's decision. KafkaUnavailable
when Kafka does not answer, ProvisionError when it refuses.
"""

from __future__ import annotations

import structlog

from cloud.kafka.clients import (
    KafkaUnavailable,
    NewTopic,
    TopicAlreadyExistsError,
    answered,
    error_of_code,
    open_admin,
)
from cloud.kafka.topics import TOPICS, KafkaTopic
from cloud.settings import CloudSettings, KafkaSection

_log = structlog.get_logger("provision")

RECORD_BYTES_MAX = 1_048_588
COMPACT_AFTER_S = 3600


class ProvisionError(Exception):
    """Kafka refused a topic; the text names it and the cause."""


def partitions_wanted(topic: KafkaTopic, kafka: KafkaSection) -> int:
    """One partition for a compacted topic (its readers read all of it, in order), else as the settings say."""
    return 1 if topic.compacted else kafka.partitions


def topic_config(topic: KafkaTopic, kafka: KafkaSection) -> dict[str, str]:
    """Settings of one topic."""
    config = {
        "max.message.bytes": str(RECORD_BYTES_MAX),
        # with acks=all, a record counts as written only on a majority of replicas
        "min.insync.replicas": str(kafka.replication // 2 + 1),
        "unclean.leader.election.enable": "false",
        # the broker's clock, so that retention does not depend on the clock of a bridge
        "message.timestamp.type": "LogAppendTime",
    }
    if topic.compacted:
        return config | {
            "cleanup.policy": "compact",
            "segment.ms": str(COMPACT_AFTER_S * 1000),
            "min.cleanable.dirty.ratio": "0.1",
        }
    return config | {"cleanup.policy": "delete", "retention.ms": str(int(kafka.retention_h * 3_600_000))}


async def provision_topics(settings: CloudSettings) -> list[str]:
    """Create what is missing; names of the topics created, in the order of cloud.kafka.topics."""
    kafka = settings.kafka
    admin = await open_admin(kafka)
    try:
        described = await answered(admin.describe_topics(None), "list the topics")
        there = {item["topic"]: len(item["partitions"]) for item in described}
        for topic in TOPICS:
            has = there.get(topic.name)
            if has is not None and has != partitions_wanted(topic, kafka):
                wanted = partitions_wanted(topic, kafka)
                _log.warning(
                    "topic differs from the settings, left as it is", topic=topic.name, has=has, wanted=wanted
                )
        missing = [topic for topic in TOPICS if topic.name not in there]
        if not missing:
            return []
        new = [
            NewTopic(
                topic.name,
                partitions_wanted(topic, kafka),
                kafka.replication,
                topic_configs=topic_config(topic, kafka),
            )
            for topic in missing
        ]
        answer = await answered(admin.create_topics(new), "create the topics")
        return _created([tuple(item) for item in answer.topic_errors])
    finally:
        await admin.close()


def _created(errors: list[tuple[object, ...]]) -> list[str]:
    """Names that Kafka created; ProvisionError for the first refusal. Another provisioner may have been faster."""
    created = []
    for name, code, *detail in errors:
        error = error_of_code(code)
        if error is TopicAlreadyExistsError:
            continue
        if code != 0:
            said = next((str(text) for text in detail if text), error.__name__)
            raise ProvisionError(
                f"create topic {name}: {said}; check kafka.replication against the number of brokers, and the rights"
            )
        created.append(str(name))
    order = [topic.name for topic in TOPICS]
    return sorted(created, key=order.index)


__all__ = ["KafkaUnavailable", "ProvisionError", "provision_topics", "topic_config"]
