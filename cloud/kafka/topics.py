"""The Kafka topics in one table: name, key, cleanup. Created by `vantel-cloud provision`."""

from __future__ import annotations

from typing import NamedTuple

from vantel.identity import DeliveryClass


class KafkaTopic(NamedTuple):
    """A topic; compacted ones keep the last record of a key for ever, with one partition."""

    name: str
    key: str
    compacted: bool


BY_CLASS = {delivery_class: f"vantel.{delivery_class.label}" for delivery_class in DeliveryClass}
DEADLETTER = "vantel.deadletter"
LAST = "vantel.last"
CATALOG = "vantel.catalog"
LEDGER = "vantel.ledger"
ACKEVENTS = "vantel.ackevents"
CAMPAIGN = "vantel.campaign"

TOPICS = (
    KafkaTopic(BY_CLASS[DeliveryClass.P0], "shard", compacted=False),
    KafkaTopic(BY_CLASS[DeliveryClass.P1], "shard", compacted=False),
    KafkaTopic(BY_CLASS[DeliveryClass.P2], "shard", compacted=False),
    KafkaTopic(DEADLETTER, "van", compacted=False),
    KafkaTopic(LAST, "van", compacted=True),
    KafkaTopic(CATALOG, "catalog hash, 16 hex digits", compacted=True),
    KafkaTopic(LEDGER, "van|epoch|class|writer, or van|van|writer for the van's own end", compacted=True),
    KafkaTopic(ACKEVENTS, "event id, 16 hex digits", compacted=True),
    KafkaTopic(
        CAMPAIGN, "set|van: the signed set it shall have, or report|van: its last word", compacted=True
    ),
)
