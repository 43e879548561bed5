"""What one MQTT message is: to be forwarded, a notice of death, or refused. Pure.

(topic, payload) -> Forward, Presence or Refuse. The bridge refuses only what has no identity that can be trusted: what
it can name goes on to the worker, which owns the account of every envelope and writes rejections into it
(docs/decisions, the bridge). Never raises: bad data is a value.
"""

from __future__ import annotations

from dataclasses import dataclass

from vantel import topics
from vantel.catalog import Catalog, CatalogError
from vantel.envelope import MESSAGE_BYTES_MAX, EnvelopeError, open_message
from vantel.identity import DeliveryClass, PayloadKind, StreamKey
from vantel.payloads import Birth, Death


@dataclass(frozen=True, slots=True)
class Forward:
    """A message with a trustworthy identity. lane: the class of its topic, which decides the Kafka topic."""

    shard: int
    lane: DeliveryClass
    stream: StreamKey
    seq: int
    catalog_hash: int
    """The catalog that is needed to read it; 0 for none, and for a birth, which brings its own."""
    born: Catalog | None = None
    """The catalog that a valid birth carries."""


@dataclass(frozen=True, slots=True)
class Presence:
    """The end of a session, said by the van or, as its will, by the broker."""

    van: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """A message for the dead letters. van: as the topic names it, empty when the topic names none."""

    reason: str
    detail: str
    van: str = ""


def judge(topic: str, payload: bytes) -> Forward | Presence | Refuse:
    """Decide on one message."""
    try:
        place = topics.parse_up(topic)
    except ValueError as cause:
        return Refuse("topic", str(cause))
    if len(payload) > MESSAGE_BYTES_MAX:
        return Refuse("oversize", f"{len(payload)} bytes, at most {MESSAGE_BYTES_MAX} are allowed", place.van)
    if place.leaf == "death":
        return _death(place.van, payload)
    try:
        envelope, _ = open_message(payload)
    except EnvelopeError as cause:
        return Refuse(cause.reason, cause.detail, place.van)
    if envelope.van != place.van:
        return Refuse("van_mismatch", f"envelope of {envelope.van} on the topic of {place.van}", place.van)
    lane = DeliveryClass.from_label(place.leaf)
    if envelope.kind is PayloadKind.BIRTH:
        return Forward(place.shard, lane, envelope.stream, envelope.seq, 0, _catalog(envelope.payload))
    return Forward(place.shard, lane, envelope.stream, envelope.seq, envelope.catalog_hash)


def _death(van: str, payload: bytes) -> Presence | Refuse:
    try:
        death = Death.decode(payload)
    except EnvelopeError as cause:
        return Refuse(cause.reason, cause.detail, van)
    if death.van != van:
        return Refuse("van_mismatch", f"death of {death.van!r} on the topic of {van}", van)
    return Presence(van)


def _catalog(payload: bytes) -> Catalog | None:
    """The catalog of a birth if it is what its hash says; else None, and the worker says what is wrong with it."""
    try:
        birth = Birth.decode(payload)
        catalog = Catalog.decode(birth.catalog)
    except (EnvelopeError, CatalogError):
        return None
    return catalog if catalog.hash == birth.catalog_hash else None
