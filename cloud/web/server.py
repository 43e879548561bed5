"""The HTTP side of the page: static files, JSON, streams, CSV, acknowledgements. aiohttp's only other user is cloud.http.

No login: it listens on loopback and answers only to names of loopback, or of the reverse proxy that the settings name,
so that a foreign page cannot reach it by a name that it controls. What changes something wants JSON and our own origin.
Nothing is loaded from elsewhere, and the Content-Security-Policy says so. A slow reader loses its stream, not our memory.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from cloud.connection import ConnectionRefused
from cloud.query import QueryError
from cloud.settings import WebSection
from cloud.web.captures import CAPTURES_SHOWN, Captures, TooLarge
from cloud.web.fleet import Fleet
from cloud.web.history import BadRange, History, ask_of
from cloud.web.live_views import LiveViews
from vantel.identity import VAN_ID

TICK_S = 0.5
BEAT_S = 5.0
BEATS_MISSED_MAX = 3
"""A page that hears nothing for so many beats takes its stream for lost."""
WRITE_S_MAX = 10.0
ACK_S_MAX = 10.0
EVENTS_SHOWN = 500
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_log = structlog.get_logger("web")

Acknowledge = Callable[[str, bytes], Awaitable[None]]
"""(event id, record): returns when the acknowledgement is durable."""


class Site:
    """The web application; start() it in the loop, close() it at the end."""

    def __init__(
        self, settings: WebSection, fleet: Fleet, views: LiveViews, history: History, acknowledge: Acknowledge,
        health: Callable[[], list[str]],
    ) -> None:  # fmt: skip
        """health: what is wrong now, for people; shown on the page and by /healthz."""
        self._settings, self.fleet, self._views, self._history = settings, fleet, views, history
        self._acknowledge, self._health = acknowledge, health
        self._captures = Captures(history, fleet.catalog)
        self.host, self.port = settings.host, settings.port
        self.ready = False
        self._files = _static_files()
        self._viewers = 0
        self._snapshot: tuple[tuple[int, int], bytes] = ((-1, -1), b"")
        app = web.Application(middlewares=[self._guard], client_max_size=64 * 1024)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/api/config", self._config)
        app.router.add_get("/api/fleet", self._fleet_list)
        app.router.add_get("/api/stream", self._stream)
        app.router.add_get("/api/events", self._events)
        app.router.add_post("/api/events/{id}/ack", self._ack)
        app.router.add_get("/api/van/{van}", self._van)
        app.router.add_get("/api/van/{van}/stream", self._van_stream)
        app.router.add_get("/api/van/{van}/history", self._van_history)
        app.router.add_get("/api/van/{van}/captures", self._van_captures)
        app.router.add_get("/api/van/{van}/captures/{id}.csv", self._capture_csv)
        app.router.add_get("/{name:[a-z_.]*}", self._static)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)

    async def start(self) -> None:
        """Listen; ConnectionRefused when the port is taken."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self.port).start()
        except OSError as cause:
            await self._runner.cleanup()
            raise ConnectionRefused(
                f"listen on {self.host}:{self.port}: {cause.strerror or cause}; set web.port to a free port, or 0"
            ) from cause
        self.port = self._runner.addresses[0][1]
        _log.info("the page", url=f"http://{self.host}:{self.port}/", login="none; loopback only")

    async def close(self) -> None:
        """Stop listening; open streams end."""
        await self._runner.cleanup()

    def _origins(self) -> set[str]:
        names = ("127.0.0.1", "localhost", "[::1]")
        known = {f"http://{name}:{self.port}" for name in names}
        return known | ({self._settings.public_origin} if self._settings.public_origin else set())

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        origins = self._origins()
        hosts = {urlsplit(origin).netloc for origin in origins}
        origin = request.headers.get("Origin")
        site = request.headers.get("Sec-Fetch-Site", "none")
        api = request.path.startswith("/api/")
        if request.host not in hosts:
            refused = (
                f"host {request.host[:100]!r} is not this page's; set web.public_origin for a reverse proxy"
            )
            return web.json_response({"error": refused}, status=403)
        if (origin is not None and origin not in origins) or (api and site not in {"same-origin", "none"}):
            return web.json_response({"error": "another site's page may not ask this one"}, status=403)
        if request.method == "POST" and (request.content_type != "application/json" or origin is None):
            return web.json_response({"error": "send JSON, with an Origin header"}, status=415)
        try:
            response = await handler(request)
        except web.HTTPException as cause:
            response = web.json_response({"error": cause.reason}, status=cause.status)
        if not response.prepared:
            response.headers.update(self._headers())
        return response

    def _headers(self) -> dict[str, str]:
        tiles = ""
        if self._settings.tile_url:
            parts = urlsplit(self._settings.tile_url)
            tiles = f" {parts.scheme}://{parts.netloc}"
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
            f"img-src 'self'{tiles}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return {
            "Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
        }  # fmt: skip

    async def _static(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"] or "index.html"
        if name not in self._files:
            raise web.HTTPNotFound(reason="no such page")
        kind = TYPES["." + name.rsplit(".", 1)[1]]
        return web.Response(body=self._files[name], content_type=kind, charset="utf-8")

    async def _healthz(self, _: web.Request) -> web.StreamResponse:
        problems = self._health() if self.ready else ["still reading what Kafka holds"]
        body = {
            "status": "failing" if problems else "ok",
            "problems": problems,
            "vans": len(self.fleet),
            "viewers": self._viewers,
        }
        return web.json_response(body, status=503 if problems else 200)

    async def _config(self, _: web.Request) -> web.StreamResponse:
        settings = self._settings
        return web.json_response(
            {
                "title": settings.title,
                "tile_url": settings.tile_url,
                "stale_after_s": settings.stale_after_s,
                "silent_after_s": BEATS_MISSED_MAX * BEAT_S,
            }
        )

    async def _fleet_list(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=self._first(), content_type="application/json")

    def _first(self) -> bytes:
        """Everything that a list needs at its start; rows are encoded once for all that ask while nothing changes."""
        key = (self.fleet.version, self.fleet.events.version)
        if self._snapshot[0] != key:
            events = [self.event(item) for item in self.fleet.events.newest(EVENTS_SHOWN)]
            self._snapshot = (key, _encode({"rows": self.fleet.rows_since(0), "events": events[::-1]}))
        return _joined(self._beat(first=True), self._snapshot[1])

    def _beat(self, first: bool = False) -> bytes:
        """What every message of the fleet's stream begins with: the server's time, and what is wrong now."""
        problems = self._health() if self.ready else ["still reading what Kafka holds"]
        return _encode({"now": _now_ms(), "first": first, "ready": self.ready, "problems": problems})

    def event(self, item: Any) -> dict[str, Any]:
        """An event for JSON."""
        events = self.fleet.events
        return dict(item.as_dict(self.fleet.catalog(item.catalog_hash), events.acked_unix_ms(item.id)))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        van = request.query.get("van")
        count = _number(request, "count", EVENTS_SHOWN, 1, 5000)
        found = self.fleet.events.newest(count, van, request.query.get("open") == "1")
        return web.json_response({"now": _now_ms(), "events": [self.event(item) for item in found]})

    async def _ack(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        event = self.fleet.events.get(request.match_info["id"])
        if event is None:
            raise web.HTTPNotFound(reason="no such event here; it may be too old")
        acked = self.fleet.events.acked_unix_ms(event.id)
        if acked is None:
            acked = _now_ms()
            record = json.dumps({"t": acked, "van": event.van}).encode()
            try:
                await asyncio.wait_for(self._acknowledge(event.id, record), ACK_S_MAX)
            except asyncio.TimeoutError:
                raise web.HTTPServiceUnavailable(
                    reason="Kafka does not take it; it is not acknowledged"
                ) from None
            self.fleet.take_ack(event.id, record)
        return web.json_response({"id": event.id, "acked": acked})

    def _known(self, request: web.Request) -> str:
        van = request.match_info["van"]
        if not VAN_ID.fullmatch(van) or van not in self.fleet:
            raise web.HTTPNotFound(reason="nothing was ever heard of this van")
        return van

    async def _van(self, request: web.Request) -> web.StreamResponse:
        van = self._known(request)
        events = [self.event(item) for item in self.fleet.events.newest(EVENTS_SHOWN, van)]
        return web.json_response({"now": _now_ms(), "events": events, **self.fleet.van(van)})

    async def _van_history(self, request: web.Request) -> web.StreamResponse:
        van = self._known(request)
        now_ms = _now_ms()
        from_ms = _number(request, "from", now_ms - 600_000, 0, 1 << 43)
        to_ms = _number(request, "to", now_ms, 0, 1 << 43)
        points = _number(request, "points", 600, 10, 2000)
        signals = []
        for name in dict.fromkeys(request.query.getall("signal", [])):
            signal = self.fleet.signal(van, name)
            if signal is None:
                return web.json_response({"error": f"this van has no signal {name[:200]!r}"}, status=404)
            signals.append(signal)
        try:
            answer = await self._history.ask(ask_of(van, signals, from_ms, to_ms, points))
        except BadRange as cause:
            return web.json_response({"error": str(cause)}, status=400)
        except (QueryError, OSError) as cause:
            return _not_read("history", van, cause)
        return web.json_response({**answer, "gaps": self.fleet.gaps(van, from_ms, to_ms)})

    async def _van_captures(self, request: web.Request) -> web.StreamResponse:
        van = self._known(request)
        try:
            found = await self._captures.newest(van)
        except (QueryError, OSError) as cause:
            return _not_read("captures", van, cause)
        return web.json_response(
            {"captures": [item.as_dict() for item in found], "cut": len(found) >= CAPTURES_SHOWN}
        )

    async def _capture_csv(self, request: web.Request) -> web.StreamResponse:
        """A table of every stored sample. A download that cannot end whole is broken off, never cut short in silence."""
        van, capture_id = self._known(request), request.match_info["id"]
        try:
            capture = await self._captures.one(van, capture_id)
            if capture is None:
                return web.json_response({"error": f"nothing is stored of capture {capture_id}"}, status=404)
            if not capture.signals:
                return web.json_response(
                    {"error": "the catalog of this capture is not known here"}, status=409
                )
            await self._captures.check_size(van, capture)
        except TooLarge as cause:
            return web.json_response({"error": str(cause)}, status=413)
        except (QueryError, OSError) as cause:
            return _not_read("capture", van, cause)
        except ValueError as cause:
            return web.json_response({"error": str(cause)}, status=400)
        name = f"{van}-capture-{capture.id}.csv"
        headers = {
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{name}"',
        }
        response = web.StreamResponse(headers=headers | self._headers())
        await response.prepare(request)
        try:
            async for piece in self._captures.csv(van, capture):
                await asyncio.wait_for(response.write(piece), WRITE_S_MAX)
        except (QueryError, OSError, asyncio.TimeoutError) as cause:
            _log.warning("download broken off", van=van, capture=capture.id, cause=str(cause)[:500])
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Changes of the whole fleet: everything first, then at most two messages a second."""
        seen = (self.fleet.version, self.fleet.events.version)
        first = True

        def news() -> bytes | None:
            nonlocal seen, first
            if first:
                first = False
                return self._first()
            then, seen = seen, (self.fleet.version, self.fleet.events.version)
            if then == seen:
                return None
            events = [self.event(item) for item in self.fleet.events.changed_since(then[1])]
            return _joined(self._beat(), _encode({"rows": self.fleet.rows_since(then[0]), "events": events}))

        return await self._send_stream(request, news, self._beat)

    async def _van_stream(self, request: web.Request) -> web.StreamResponse:
        """Values of one van once a second at most; while it is open, the van is asked for full rate."""
        van = self._known(request)
        seen = b""

        def news() -> bytes | None:
            nonlocal seen
            live = self._views.state(van, time.monotonic())
            body = _encode({**self.fleet.news(van), "live": live})
            if body == seen:
                return None
            seen = body
            return _joined(beat(), body)

        def beat() -> bytes:
            return _encode({"now": _now_ms()})

        self._views.join(van, time.monotonic())
        try:
            return await self._send_stream(request, news, beat)
        finally:
            self._views.leave(van)

    async def _send_stream(
        self, request: web.Request, news: Callable[[], bytes | None], beat: Callable[[], bytes]
    ) -> web.StreamResponse:
        """Send news as they come; a beat when there were none for BEAT_S, which also finds readers that are gone."""
        if self._viewers >= self._settings.viewers_max:
            raise web.HTTPServiceUnavailable(reason="too many viewers; close a page")
        headers = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no", **self._headers()}
        response = web.StreamResponse(headers=headers)
        self._viewers += 1
        try:
            await response.prepare(request)
            beat_s = time.monotonic()
            while request.transport is not None and not request.transport.is_closing():
                body = news()
                if body is None and time.monotonic() - beat_s >= BEAT_S:
                    body = beat()
                if body is not None:
                    beat_s = time.monotonic()
                    await asyncio.wait_for(response.write(b"data: " + body + b"\n\n"), WRITE_S_MAX)
                await asyncio.sleep(TICK_S)
        except (ConnectionError, asyncio.TimeoutError) as cause:
            _log.debug("a stream ended", cause=repr(cause))
        finally:
            self._viewers -= 1
        return response


def _static_files() -> dict[str, bytes]:
    """The front end, in memory: nothing else of the disk can be asked for."""
    folder = resources.files("cloud.web").joinpath("static")
    return {
        item.name: item.read_bytes()
        for item in folder.iterdir()
        if "." + item.name.rsplit(".", 1)[-1] in TYPES
    }


def _not_read(what: str, van: str, cause: Exception) -> web.Response:
    _log.warning(f"{what} not read", van=van, cause=str(cause)[:500])
    return web.json_response({"error": "the database does not answer this"}, status=502)


def _encode(tree: dict[str, Any]) -> bytes:
    return json.dumps(tree, separators=(",", ":")).encode()


def _joined(first: bytes, second: bytes) -> bytes:
    """Two JSON objects, neither empty, as one."""
    return first[:-1] + b"," + second[1:]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _number(request: web.Request, name: str, default: int, low: int, high: int) -> int:
    """A whole number of the query string; 400 for anything else."""
    text = request.query.get(name)
    if text is None:
        return default
    try:
        value = int(float(text))
    except (ValueError, OverflowError):
        raise web.HTTPBadRequest(reason=f"{name} is no number") from None
    if not low <= value <= high:
        raise web.HTTPBadRequest(reason=f"{name} must lie within {low} and {high}")
    return value
