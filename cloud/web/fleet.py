"""State of the fleet in memory: what the compacted topics and vantel.p0 say, and what of it changed since when.

Records of Kafka -> rows of the list (one a van) and the whole of one van. Every change gives its van a new version, so
that a page asks for what is newer than the version it has. What is not known is None, never a guess. Times: Unix ms.
"""

from __future__ import annotations

import time
from typing import Any

import structlog

from cloud.last_values import LastValues
from cloud.ledger.accounts import Books
from cloud.ledger.sheet import VanReport, evicted_of, join_stream
from cloud.ledger.timeline import SILENT, STORED, UNHEARD, WAITING, sentence, timeline
from cloud.web.events import EventBook, event_of
from cloud.worker.steps.open import readable
from cloud.worker.steps.validate import CatalogBook
from vantel.catalog import Catalog, CatalogError, Signal
from vantel.commands import CommandResult
from vantel.envelope import Envelope, EnvelopeError
from vantel.identity import DeliveryClass, PayloadKind, StreamKey
from vantel.intervals import IntervalSet
from vantel.payloads import Death

LATITUDE, LONGITUDE, SPEED = (
    "Vehicle.CurrentLocation.Latitude", "Vehicle.CurrentLocation.Longitude", "Vehicle.Speed",
)  # fmt: skip
SHORT = {"lat": LATITUDE, "lon": LONGITUDE, "speed": SPEED}
SEGMENTS_MAX = 400
RESULTS_MAX = 1000
STREAMS_SHOWN_MAX = 12
GAPS_MAX = 400
_KINDS = {WAITING: "waiting", SILENT: "silence", UNHEARD: "silence"}
"""What a gap is to people; every other state is loss."""
_log = structlog.get_logger("fleet")


class Fleet:
    """All vans. Single-threaded: lives in the event loop."""

    def __init__(self, events: EventBook) -> None:
        self.events = events
        self.books = Books()
        self.catalogs = CatalogBook(0.0)
        self.results: dict[str, CommandResult] = {}
        self.version = 0
        self._vans: dict[str, LastValues] = {}
        self._deaths: dict[str, tuple[int, bool]] = {}
        self._versions: dict[str, int] = {}
        self._place_ids: dict[int, dict[str, int]] = {}

    def __len__(self) -> int:
        return len(self._vans)

    def __contains__(self, van: object) -> bool:
        return van in self._vans

    def take_last(self, key: str, value: bytes | None, stamp_unix_ms: int) -> None:
        """A record of vantel.last: last values, or the end of a session."""
        if value is None:
            return
        van, _, what = key.partition("|")
        try:
            if what:
                self._deaths[van] = (stamp_unix_ms, Death.decode(value).graceful)
            else:
                self.put(LastValues.decode(value))
        except (ValueError, EnvelopeError) as cause:
            _log.warning("passed over a record of the last values that is none", key=key, cause=str(cause))
            return
        self.touch(van)

    def put(self, last: LastValues) -> None:
        """Take in last values."""
        mine = self._vans.setdefault(last.van, last)
        if mine is not last:
            mine.merge(last)
        self.touch(last.van)

    def take_p0(self, topic: str, value: bytes | None) -> None:
        """A record of vantel.p0: events and results of commands; the rest is not for the page."""
        for incoming, envelope, clock in readable(topic, value):
            try:
                if envelope.kind is PayloadKind.EVENT:
                    if self.events.add(event_of(envelope, clock, incoming.received_unix_ns)):
                        self.touch(envelope.van)
                elif envelope.kind is PayloadKind.COMMAND_RESULT:
                    self._take_result(envelope)
            except EnvelopeError as cause:
                _log.warning("passed over a payload that is none", van=envelope.van, cause=str(cause))

    def _take_result(self, envelope: Envelope) -> None:
        result = CommandResult.decode(envelope.payload)
        self.results[result.command_id] = result
        while len(self.results) > RESULTS_MAX:
            del self.results[next(iter(self.results))]
        self.touch(envelope.van)

    def take_catalog(self, key: str, value: bytes | None) -> None:
        """A record of the catalog topic."""
        if value is None:
            return
        try:
            self.catalogs.learn(value)
        except CatalogError as cause:
            _log.warning("passed over a catalog record that is none", key=key, cause=str(cause))

    def take_ledger(self, key: str, value: bytes | None) -> None:
        """A record of the ledger topic."""
        if value is not None:
            self.books.absorb(key, value)

    def take_ack(self, key: str, value: bytes | None) -> None:
        """A record of the acknowledgements."""
        van = self.events.absorb_ack(key, value)
        if van is not None:
            self.touch(van)

    def touch(self, van: str) -> None:
        """Something about a van changed; a van that only an event named is listed, too."""
        if van not in self._vans:
            self._vans[van] = LastValues(van)
        self.version += 1
        self._versions.pop(van, None)
        self._versions[van] = self.version

    def rows_since(self, version: int) -> list[list[Any]]:
        """Rows of the vans that changed after a version, newest change first."""
        rows = []
        for van in reversed(self._versions):
            if self._versions[van] <= version:
                break
            rows.append(self.row(van))
        return rows

    def row(self, van: str) -> list[Any]:
        """[van, last heard, state, open events, worst severity, lat, lon, speed, flags, bytes today, place time]."""
        last = self._vans[van]
        place = self._place(last)
        count, worst = self.events.open_of(van)
        today = int(time.time() // 86_400)
        flags = ("r" if last.replayed else "") + ("s" if last.simulated else "") + ("w" if last.full else "")
        return [
            van, last.t_received_unix_ms or None, self._session(last), count, worst, place.get("lat"), place.get("lon"),
            place.get("speed"), flags, last.day_bytes if last.day == today else 0, place.get("t"),
        ]  # fmt: skip

    def _session(self, last: LastValues) -> str:
        """up; left (said goodbye) or lost (its will came) when nothing came after it; empty: never heard."""
        death = self._deaths.get(last.van)
        if death is not None and death[0] >= last.t_received_unix_ms:
            return "left" if death[1] else "lost"
        return "up" if last.t_received_unix_ms else ""

    def _place(self, last: LastValues) -> dict[str, Any]:
        ids = self._ids_of(last.catalog_hash)
        found: dict[str, Any] = {}
        for name, signal_id in ids.items():
            value = last.values.get(signal_id)
            if value is not None and isinstance(value.value, float):
                found[name] = value.value
                if name == "lat":
                    found["t"] = value.t_unix_ms
        return found

    def _ids_of(self, catalog_hash: int) -> dict[str, int]:
        if catalog_hash not in self._place_ids:
            catalog = self.catalog(catalog_hash)
            if catalog is None:
                return {}
            by_name = {signal.name: signal.id for signal in catalog.signals}
            self._place_ids[catalog_hash] = {k: by_name[name] for k, name in SHORT.items() if name in by_name}
        return self._place_ids[catalog_hash]

    def catalog(self, catalog_hash: int) -> Catalog | None:
        """A catalog, None while it is unknown."""
        return self.catalogs.get(catalog_hash)

    def signal(self, van: str, name: str) -> Signal | None:
        """A signal of the catalog that a van uses now."""
        catalog = self.catalog(self._vans[van].catalog_hash)
        try:
            return None if catalog is None else catalog.by_name(name)
        except CatalogError:
            return None

    def van(self, van: str) -> dict[str, Any]:
        """Everything about one van: row, signals, values, agent, ledger."""
        last = self._vans[van]
        catalog = self.catalog(last.catalog_hash)
        return {
            "van": van,
            "row": self.row(van),
            "catalog": f"{last.catalog_hash:016x}" if last.catalog_hash else None,
            "signals": [_signal(signal) for signal in catalog.signals] if catalog else [],
            "datum": {1: "WGS84", 2: "GCJ-02"}.get(last.datum),
            **self.news(van),
        }

    def news(self, van: str) -> dict[str, Any]:
        """What of a van changes from second to second."""
        last = self._vans[van]
        return {
            "values": {str(key): value for key, value in last.values.items()},
            "gauges": last.gauges,
            "gauges_t": last.t_gauges_unix_ms or None,
            "epoch": last.epoch,
            "clock": {"source": last.clock_source, "error_ns": last.clock_error_ns},
            "ledger": self.ledger(van),
        }

    def ledger(self, van: str) -> list[dict[str, Any]]:
        """The van's streams, newest epoch first: envelopes by where they are, in the order of their numbers."""
        reported = self.books.vans.get(van)
        accounts = dict(reported.streams) if reported else {}
        report = VanReport.as_reported(tuple(accounts.values()))
        streams = {StreamKey(van, *key) for key in accounts}
        streams |= {stream for stream in self.books.clouds if stream.van == van}
        rows = []
        for stream in sorted(streams, reverse=True)[:STREAMS_SHOWN_MAX]:
            key = (stream.epoch, stream.delivery_class)
            account, cloud = accounts.get(key), self.books.clouds.get(stream)
            spooled = report.spooled.get(key, IntervalSet())
            sheet, residual = join_stream(account, spooled, cloud, IntervalSet())
            stored = cloud.stored if cloud else IntervalSet()
            parts: list[tuple[int, int, str]] = [(a, b, "stored") for a, b in stored]
            parts += [(a, b, "rejected") for a, b in (cloud.rejected_all if cloud else IntervalSet())]
            gone = evicted_of(account).difference(stored) if account else IntervalSet()
            parts += [(a, b, "evicted") for a, b in gone]
            parts += [(a, b, "waiting") for a, b in spooled.difference(stored)]
            parts += [(a, b, "missing") for a, b in residual]
            rows.append(
                {
                    "epoch": stream.epoch.text, "class": stream.delivery_class.label, "parts": sorted(parts)[:SEGMENTS_MAX],
                    **{name: getattr(sheet, name) for name in ("produced", "stored", "rejected", "evicted", "spooled", "residual")},
                    "reasons": {**sheet.rejected_by_reason, **sheet.evicted_by_reason},
                }
            )  # fmt: skip
        return rows

    def gaps(self, van: str, from_ms: int, to_ms: int) -> list[dict[str, Any]]:
        """Where samples of a van are not stored, and why: silence, waiting or loss. The newest GAPS_MAX, oldest first."""
        spans = timeline(van, from_ms // 1000, to_ms // 1000, self.books)
        return [
            {
                "from": span.first_unix_s * 1000, "to": (span.last_unix_s + 1) * 1000,
                "kind": _KINDS.get(span.state, "loss"), "text": sentence(span),
            }
            for span in spans
            if span.state != STORED and span.delivery_class == DeliveryClass.P1.label
        ][-GAPS_MAX:]  # fmt: skip


def _signal(signal: Signal) -> dict[str, Any]:
    return {
        "id": signal.id, "name": signal.name, "unit": signal.unit, "group": signal.group or "other", "type": signal.type.name,
        "labels": signal.labels[:64], "min": signal.policy.min, "max": signal.policy.max, "simulated": signal.simulated,
    }  # fmt: skip
