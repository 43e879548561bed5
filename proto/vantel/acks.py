"""The durable ack: bridge -> van, sent once Kafka has the envelopes with acks=all. Frees spool space, nothing else does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vantel.envelope import EnvelopeError
from vantel.identity import DeliveryClass, Epoch
from vantel.intervals import IntervalSet
from vantel.payloads import parse, ranges_from_pb, ranges_to_pb
from vantel.telemetry.v1 import downlink_pb2

ACK_BYTES_MAX = 256 * 1024


@dataclass(frozen=True, slots=True)
class Ack:
    """Durable intervals by (epoch, class), and the catalogs that the cloud wants to hear again."""

    van: str
    durable: Mapping[tuple[Epoch, DeliveryClass], IntervalSet]
    rebirth_catalog_hashes: tuple[int, ...] = field(default=())

    def encode(self) -> bytes:
        """MQTT payload."""
        pb = downlink_pb2.Ack(van=self.van, rebirth_catalog_hashes=self.rebirth_catalog_hashes)
        for (epoch, delivery_class), intervals in self.durable.items():
            item = pb.classes.add(
                delivery_class=int(delivery_class),
                ranges=ranges_to_pb(intervals),
            )
            item.epoch.counter, item.epoch.random = epoch
        return pb.SerializeToString()

    @classmethod
    def decode(cls, data: bytes) -> Ack:
        """Inverse of encode. EnvelopeError for anything else; an unknown class is left out (a newer cloud)."""
        if len(data) > ACK_BYTES_MAX:
            raise EnvelopeError(
                "oversize", f"an ack of {len(data)} bytes, at most {ACK_BYTES_MAX} are allowed"
            )
        pb = parse(downlink_pb2.Ack, data)
        durable: dict[tuple[Epoch, DeliveryClass], IntervalSet] = {}
        for item in pb.classes:
            if int(item.delivery_class) in set(DeliveryClass):
                key = (Epoch(item.epoch.counter, item.epoch.random), DeliveryClass(item.delivery_class))
                durable.setdefault(key, IntervalSet()).update(ranges_from_pb(item.ranges))
        return cls(pb.van, durable, tuple(pb.rebirth_catalog_hashes))
