"""Metrics of the bridge, in one registry of its own; names end in their unit."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LATENCY_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_MESSAGES = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class BridgeMetrics:
    """All counters and gauges of a bridge."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.messages = Counter(
            "vantel_bridge_messages", "MQTT messages received", ["leaf"], registry=registry
        )
        self.received_bytes = Counter(
            "vantel_bridge_received_bytes", "Payload bytes received over MQTT", registry=registry
        )
        self.bundles = Counter(
            "vantel_bridge_bundles", "Bundles that Kafka has", ["delivery_class"], registry=registry
        )
        self.bundle_messages = Histogram(
            "vantel_bridge_bundle_messages", "Messages in a bundle", registry=registry, buckets=_MESSAGES
        )
        self.dead_letters = Counter(
            "vantel_bridge_dead_letters", "Refused messages", ["reason"], registry=registry
        )
        self.produce_s = Histogram(
            "vantel_bridge_produce_seconds",
            "From the close of a record to Kafka's answer",
            registry=registry,
            buckets=_LATENCY_S,
        )
        self.in_flight = Gauge(
            "vantel_bridge_in_flight_records", "Records without Kafka's answer", registry=registry
        )
        self.in_flight_bytes = Gauge(
            "vantel_bridge_in_flight_bytes", "Bytes of those records", registry=registry
        )
        self.unacked = Gauge(
            "vantel_bridge_unacked_messages", "MQTT messages without PUBACK", registry=registry
        )
        self.acks = Counter("vantel_bridge_acks", "Durable acks sent to vans", registry=registry)
        self.acks_refused = Counter(
            "vantel_bridge_acks_refused", "Durable acks that the broker refused", registry=registry
        )
        self.rebirths = Counter("vantel_bridge_rebirths", "Catalogs asked for", registry=registry)
        self.connected = Gauge("vantel_bridge_mqtt_connected", "1 while connected to MQTT", registry=registry)
        self.connections = Counter(
            "vantel_bridge_mqtt_connections", "MQTT connections made", registry=registry
        )
        self.rebuilds = Counter(
            "vantel_bridge_producer_rebuilds", "Kafka producers built anew after an error", registry=registry
        )
        self.dropped_qos0 = Counter(
            "vantel_bridge_dropped_qos0",
            "QoS 0 messages dropped because the bridge was full",
            registry=registry,
        )
