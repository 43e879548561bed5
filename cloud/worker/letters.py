"""Dead letters: what was refused, whole, with its reason. Value <-> bytes of a record of the dead-letter topic. Pure.

message is the MQTT payload as it came, or, for a line that the database refused, that line; for a record that is no
bundle, the record. Times in Unix ns.
"""

from __future__ import annotations

from dataclasses import dataclass

from vantel.payloads import parse
from vantel.telemetry.v1 import account_pb2

DETAIL_CHARS_MAX = 2000
RECORD_MESSAGE_BYTES_MAX = 900_000
"""A larger record that is no bundle is cut here, so that its dead letter fits into a record."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One refused message, line or record."""

    van: str
    reason: str
    detail: str
    message: bytes
    topic: str = ""
    received_unix_ns: int = 0
    refused_unix_ns: int = 0
    catalog_hash: int = 0
    mqtt_topic: str = ""

    @property
    def key(self) -> bytes:
        """Key of the record: the van."""
        return self.van.encode()

    def encode(self) -> bytes:
        """Value of the record."""
        return account_pb2.DeadLetter(
            van=self.van,
            reason=self.reason,
            detail=self.detail[:DETAIL_CHARS_MAX],
            message=self.message[:RECORD_MESSAGE_BYTES_MAX],
            topic=self.topic,
            received_unix_ns=self.received_unix_ns,
            refused_unix_ns=self.refused_unix_ns,
            catalog_hash=self.catalog_hash,
            mqtt_topic=self.mqtt_topic,
        ).SerializeToString()

    @classmethod
    def decode(cls, data: bytes) -> DeadLetter:
        """Inverse of encode; EnvelopeError("malformed") for anything else."""
        pb = parse(account_pb2.DeadLetter, data)
        return cls(
            pb.van, pb.reason, pb.detail, pb.message, pb.topic, pb.received_unix_ns, pb.refused_unix_ns,
            pb.catalog_hash, pb.mqtt_topic,
        )  # fmt: skip
