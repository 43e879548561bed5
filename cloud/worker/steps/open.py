"""First step: a Kafka record to bundled messages, a bundled message to envelope and clock stamp. Pure.

Record value -> Bundle -> (van of the topic, message bytes, time of receipt); message bytes -> (Envelope, ClockStamp).
What is no bundle, or no message, is a Reject with the reason of the contract: bundle, oversize, truncated, corrupt,
malformed, unsupported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cloud.worker.outcome import BUNDLE, Reject
from vantel.envelope import ClockStamp, Envelope, EnvelopeError, open_message
from vantel.payloads import parse
from vantel.telemetry.v1 import envelope_pb2

BUNDLE_MESSAGES_MAX = 10_000
"""Far above what a bridge packs; a record with more is none of ours."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message as it stands in Kafka. van: the one that the MQTT topic named, the broker vouches for it."""

    topic: str
    van: str
    message: bytes
    received_unix_ns: int


def open_bundle(topic: str, value: bytes | None) -> list[Incoming] | Reject:
    """The messages of one Kafka record in their order."""
    if not value:
        return Reject(BUNDLE, f"a record of {topic} is empty")
    try:
        bundle = parse(envelope_pb2.Bundle, value)
    except EnvelopeError as cause:
        return Reject(BUNDLE, f"a record of {topic} is no bundle: {cause.detail}")
    if not 0 < len(bundle.messages) <= BUNDLE_MESSAGES_MAX:
        return Reject(BUNDLE, f"a record of {topic} has {len(bundle.messages)} messages")
    return [Incoming(topic, item.van, item.message, item.received_unix_ns) for item in bundle.messages]


def pack(shard: int, messages: list[Incoming]) -> bytes:
    """Inverse of open_bundle: the value of a Kafka record."""
    bundle = envelope_pb2.Bundle(shard=shard)
    for item in messages:
        bundle.messages.add(van=item.van, message=item.message, received_unix_ns=item.received_unix_ns)
    return bundle.SerializeToString()


def open_incoming(incoming: Incoming) -> tuple[Envelope, ClockStamp] | Reject:
    """Envelope and clock stamp of one message."""
    try:
        return open_message(incoming.message)
    except EnvelopeError as cause:
        return Reject(cause.reason, cause.detail)


def readable(topic: str, value: bytes | None) -> Iterator[tuple[Incoming, Envelope, ClockStamp]]:
    """The messages of a record that have an identity, for readers beside the worker: what it refuses is passed over."""
    opened = open_bundle(topic, value)
    for incoming in [] if isinstance(opened, Reject) else opened:
        message = open_incoming(incoming)
        if not isinstance(message, Reject) and message[0].van == incoming.van:
            yield incoming, *message
