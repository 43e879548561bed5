"""The bridge: MQTT in, Kafka out, durable acks back to the vans. Pure parts here; sockets only in cloud/mqtt.py and kafka.py."""

from __future__ import annotations

import asyncio

from cloud.settings import CloudSettings

__all__ = ["run_bridge"]


async def run_bridge(settings: CloudSettings, stop: asyncio.Event) -> None:
    """Run until stop is set, then leave within 5 s with nothing durable left unacknowledged."""
    from cloud.bridge.bridge import Bridge

    await Bridge(settings).run(stop)
