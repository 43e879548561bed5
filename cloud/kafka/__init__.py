"""Kafka: clients, topics, and the reading of compacted ones."""
