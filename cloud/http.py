"""Health and metrics of a cloud process over HTTP on loopback: GET /healthz and GET /metrics.

A function that says what is wrong now -> 200 or 503 with JSON; a Prometheus registry -> its text. Runs in the event
loop of the process it reports on, so an answer also shows that the loop turns. A port in use raises ConnectionRefused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from cloud.connection import ConnectionRefused

_log = structlog.get_logger("http")


@dataclass(frozen=True, slots=True)
class Health:
    """State of a process: healthy when there is no problem; details are for people."""

    problems: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


class StatusServer:
    """The small HTTP server; start() it in the loop, close() it at the end."""

    def __init__(
        self, host: str, port: int, key: str, health: Callable[[], Health], registry: CollectorRegistry
    ) -> None:
        """key: the settings key of the port, for messages. port 0 takes a free one."""
        self.host, self.port, self._key = host, port, key
        self._health, self._registry = health, registry
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)

    async def start(self) -> None:
        """Listen; ConnectionRefused when the port is taken."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self.port).start()
        except OSError as cause:
            await self._runner.cleanup()
            raise ConnectionRefused(
                f"listen on {self.host}:{self.port}: {cause.strerror or cause}; set {self._key} to a free port, or 0"
            ) from cause
        self.port = self._runner.addresses[0][1]
        _log.info("health and metrics", url=f"http://{self.host}:{self.port}/healthz")

    async def close(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        health = self._health()
        status = "failing" if health.problems else "ok"
        body = {"status": status, "problems": list(health.problems), **health.details}
        return web.json_response(body, status=503 if health.problems else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )
