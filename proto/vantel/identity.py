"""Identity of an envelope: (van, epoch, class, seq).

seq starts at 0 for each class of each epoch; an epoch is one start of one agent (docs/format.md, section 1).
"""

from __future__ import annotations

import enum
import re
import secrets
from typing import NamedTuple

from vantel.telemetry.v1 import identity_pb2

VAN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,31}")
"""A van id is a pseudonym, never a VIN; one topic level, safe as a tag value, a certificate name and a file name."""


class DeliveryClass(enum.IntEnum):
    """Delivery class: P0 events, P1 telemetry, P2 bulk."""

    P0 = identity_pb2.DELIVERY_CLASS_P0
    P1 = identity_pb2.DELIVERY_CLASS_P1
    P2 = identity_pb2.DELIVERY_CLASS_P2

    @property
    def label(self) -> str:
        """Name in topics, folders and metrics: p0, p1, p2."""
        return f"p{self.value - 1}"

    @classmethod
    def from_label(cls, label: str) -> DeliveryClass:
        """Inverse of label; ValueError for anything else."""
        if label not in ("p0", "p1", "p2"):
            raise ValueError(f"delivery class {label!r} is none of p0, p1, p2")
        return cls(int(label[1]) + 1)


class PayloadKind(enum.IntEnum):
    """What the payload of an envelope is."""

    BATCH = identity_pb2.PAYLOAD_KIND_BATCH
    EVENT = identity_pb2.PAYLOAD_KIND_EVENT
    BIRTH = identity_pb2.PAYLOAD_KIND_BIRTH
    HEALTH = identity_pb2.PAYLOAD_KIND_HEALTH
    TOMBSTONE = identity_pb2.PAYLOAD_KIND_TOMBSTONE
    COMMAND_RESULT = identity_pb2.PAYLOAD_KIND_COMMAND_RESULT
    CAPTURE_SUMMARY = identity_pb2.PAYLOAD_KIND_CAPTURE_SUMMARY
    CAPTURE_PART = identity_pb2.PAYLOAD_KIND_CAPTURE_PART
    CAMPAIGN_REPORT = identity_pb2.PAYLOAD_KIND_CAMPAIGN_REPORT
    DIAGNOSTICS = identity_pb2.PAYLOAD_KIND_DIAGNOSTICS


class Epoch(NamedTuple):
    """One start of one agent: durable counter (0 when the disk cannot be written) and random bits."""

    counter: int
    random: int

    @property
    def text(self) -> str:
        """Short form for people, file names and keys, for example 12-9f3c1b2a."""
        return f"{self.counter}-{self.random:08x}"

    @classmethod
    def from_text(cls, text: str) -> Epoch:
        """Inverse of text; ValueError when it is not one."""
        counter, _, random = text.partition("-")
        try:
            return cls(int(counter), int(random, 16))
        except ValueError:
            raise ValueError(f"{text!r} is no epoch, such as 12-9f3c1b2a") from None

    @classmethod
    def fresh(cls, counter: int) -> Epoch:
        """New epoch: 32 random bits beside a durable counter, 64 where there is none (counter 0)."""
        return cls(counter, secrets.randbits(32 if counter else 64))


class StreamKey(NamedTuple):
    """One sequence of envelopes: the unit of acks and of the ledger."""

    van: str
    epoch: Epoch
    delivery_class: DeliveryClass

    @property
    def text(self) -> str:
        """Key in the compacted ledger topic, for example van-1|12-9f3c1b2a|p1."""
        return f"{self.van}|{self.epoch.text}|{self.delivery_class.label}"


def check_van_id(van: str) -> str:
    """Return van if it is a legal van id; ValueError says what is wrong."""
    if not VAN_ID.fullmatch(van):
        raise ValueError(
            f"van id {van!r}: 1 to 32 letters, digits or dashes, starting with a letter or digit"
        )
    return van
