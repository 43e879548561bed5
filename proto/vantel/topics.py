"""MQTT topics and shards, version v1. The only place that spells a topic.

v1/{shard}/{van}/up/{p0|p1|p2|death} and v1/{shard}/{van}/down/{ack|campaign|command};
shard = crc32c(van) mod 64, fixed for v1.
"""

from __future__ import annotations

from typing import NamedTuple

from vantel.crc32c import crc32c
from vantel.identity import VAN_ID, DeliveryClass

SHARD_COUNT = 64
UP_LEAVES = ("p0", "p1", "p2", "death")


class UpTopic(NamedTuple):
    """A parsed uplink topic; leaf is p0, p1, p2 or death."""

    shard: int
    van: str
    leaf: str


def shard_of(van: str) -> int:
    """Shard of a van, 0 to 63."""
    return crc32c(van.encode()) % SHARD_COUNT


def up(van: str, delivery_class: DeliveryClass) -> str:
    """Topic on which a van sends envelopes of one class."""
    return f"v1/{shard_of(van)}/{van}/up/{delivery_class.label}"


def death(van: str) -> str:
    """Topic of the will of a van."""
    return f"v1/{shard_of(van)}/{van}/up/death"


def down(van: str, leaf: str) -> str:
    """Topic on which a van listens; leaf is ack, campaign or command."""
    return f"v1/{shard_of(van)}/{van}/down/{leaf}"


def up_filter(shard: int) -> str:
    """Subscription for everything that the vans of one shard send."""
    return f"v1/{shard}/+/up/+"


def parse_up(topic: str) -> UpTopic:
    """Parse an uplink topic; ValueError (saying what is wrong) for a foreign topic, a bad van id or a wrong shard."""
    parts = topic.split("/")
    if len(parts) != 5 or parts[0] != "v1" or parts[3] != "up" or parts[4] not in UP_LEAVES:
        raise ValueError(f"topic {topic!r} is not v1/<shard>/<van>/up/<p0|p1|p2|death>")
    van = parts[2]
    if not VAN_ID.fullmatch(van):
        raise ValueError(f"topic {topic!r} names an illegal van id")
    if parts[1] != str(shard_of(van)):
        raise ValueError(f"topic {topic!r}: van {van} belongs to shard {shard_of(van)}")
    return UpTopic(int(parts[1]), van, parts[4])


def parse_shards(text: str) -> tuple[int, ...]:
    """Shards of a settings value such as "0-31" or "0,2,8-15"; ValueError names the bad part."""
    shards: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        try:
            bounds = range(int(first), int(last if dash else first) + 1)
        except ValueError:
            raise ValueError(
                f"shards {text!r}: {part!r} is neither a number nor a range such as 0-31"
            ) from None
        if not bounds or bounds[0] < 0 or bounds[-1] >= SHARD_COUNT:
            raise ValueError(
                f"shards {text!r}: {part!r} must lie within 0-{SHARD_COUNT - 1}, first before last"
            )
        shards.update(bounds)
    return tuple(sorted(shards))
