"""Goal: what the tests of the worker share: a van's messages, a line reader, an InfluxDB 2.x double, the worker process.

Method: the line reader follows the published grammar of line protocol and shares no code with the encoder. The double
is a real HTTP server on loopback that gives the answers recorded of InfluxDB 2.9.1; a test may put other answers before.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import tomli_w

from cloud.commands.redrive import letters
from cloud.kafka.provision import provision_topics
from cloud.kafka.publish import Publisher
from cloud.kafka.topics import BY_CLASS
from cloud.ledger import sheet as ledger
from cloud.query import COUNTED, InfluxQuery
from cloud.settings import load
from cloud.worker.delivery import Outgoing
from cloud.worker.letters import DeadLetter
from cloud.worker.steps.open import Incoming, pack
from vantel.catalog import Catalog, Signal, SignalType, assemble
from vantel.codec import encode
from vantel.columns import Column
from vantel.envelope import ClockStamp, Envelope, compose_message, seal
from vantel.identity import DeliveryClass, Epoch, PayloadKind
from vantel.payloads import Batch, Birth, Event, Fidelity
from vantel.topics import shard_of
from vantel_rig.process import Process
from vantel_rig.stack import Stack

OFFSET_NS = 1_700_000_000_000_000_000
EPOCH = Epoch(3, 0x5EED)
CATALOG = assemble(
    [
        Signal("can0.Motion.Speed", group="can0", unit="km/h"),
        Signal("can0.Motion.Gear", group="can0", type=SignalType.ENUM, labels=("P", "R", "D")),
        Signal("can0.Doors.Open", group="can0", type=SignalType.BOOL),
        Signal("can0.Text, odd=name", group="texts", type=SignalType.STRING),
        Signal("can0.Motion.Count", group="can1", type=SignalType.UINT64),
    ]
)


class Bench:
    """Messages as a van would send them."""

    catalog: Catalog = CATALOG
    epoch = EPOCH
    offset_ns = OFFSET_NS

    def id(self, name: str) -> int:
        return self.catalog.by_name(name).id

    def message(
        self, van: str, seq: int, kind: PayloadKind, payload: bytes, delivery_class: DeliveryClass = DeliveryClass.P1,
        catalog_hash: int | None = None, offset_ns: int = OFFSET_NS, epoch: Epoch = EPOCH,
    ) -> bytes:  # fmt: skip
        needs = kind in (PayloadKind.BATCH, PayloadKind.EVENT)
        named = (self.catalog.hash if needs else 0) if catalog_hash is None else catalog_hash
        envelope = Envelope(van, epoch, delivery_class, seq, kind, payload, named)
        return compose_message(seal(envelope), ClockStamp(b"b" * 16, offset_ns, 2))

    def batch(self, columns: list[Column], fidelity: Fidelity = Fidelity.FULL) -> bytes:
        samples = sum(len(column.t_ns) for column in columns)
        return Batch(0, 10**10, encode(columns), samples, fidelity).encode()

    def speeds(self, van: str, seq: int, samples: int = 20, **options: Any) -> bytes:
        """A full-rate batch of speeds whose values and times are functions of seq."""
        t_ns = np.arange(samples, dtype=np.int64) * 10**7 + seq * 10**10
        values = np.sin(np.arange(samples) + seq * 100.0)
        column = Column(self.id("can0.Motion.Speed"), t_ns, values)
        return self.message(van, seq, PayloadKind.BATCH, self.batch([column]), **options)

    def birth(self, van: str, seq: int, catalog: Catalog | None = None, claimed: int | None = None) -> bytes:
        spoken = catalog or self.catalog
        payload = Birth(spoken.encode(), claimed or spoken.hash, "test", 0, b"b" * 16).encode()
        return self.message(van, seq, PayloadKind.BIRTH, payload, DeliveryClass.P0, catalog_hash=spoken.hash)

    def event(self, van: str, seq: int, channel: str = "range", t_mono_ns: int = 5_000_123) -> bytes:
        event = Event(self.id("can0.Motion.Speed"), channel, t_mono_ns, 99.5, 3.0, 2.0, 1.0, injected="mark")
        return self.message(van, seq, PayloadKind.EVENT, event.encode(), DeliveryClass.P0)

    def record(
        self,
        van: str,
        messages: list[bytes],
        delivery_class: DeliveryClass = DeliveryClass.P1,
        received_ns: int = 1,
    ) -> Outgoing:
        """A Kafka record as the bridge makes it."""
        shard, topic = shard_of(van), BY_CLASS[delivery_class]
        bundled = [Incoming(topic, van, message, received_ns) for message in messages]
        return Outgoing(topic, str(shard).encode(), pack(shard, bundled))


def read_line(line: bytes) -> tuple[str, dict[str, str], dict[str, Any], int]:
    """One line of line protocol: measurement, tags, fields, time. ValueError when it is none."""
    text = line.decode()

    def until(at: int, ends: str) -> tuple[str, int]:
        out = ""
        while at < len(text) and text[at] not in ends:
            if text[at] == "\\" and at + 1 < len(text) and text[at + 1] in ",= ":
                at += 1
            out += text[at]
            at += 1
        if at >= len(text) or not out:
            raise ValueError(f"unable to parse '{text}': missing fields")
        return out, at

    measurement, at = until(0, ", ")
    tags: dict[str, str] = {}
    while text[at] == ",":
        key, at = until(at + 1, "=")
        tags[key], at = until(at + 1, ", ")
    fields: dict[str, Any] = {}
    more = True
    while more:
        key, at = until(at + 1, "=")
        at += 1
        if text[at : at + 1] == '"':
            out, at = "", at + 1
            while text[at] != '"':
                at += text[at] == "\\" and text[at + 1] in '"\\'
                out += text[at]
                at += 1
            fields[key], at = out, at + 1
        else:
            raw, at = until(at, ", ")
            fields[key] = {"true": True, "false": False}.get(raw)
            if fields[key] is None:
                if raw.lower().strip("+-") in {"nan", "inf", "infinity"}:
                    raise ValueError(f"unable to parse '{text}': invalid number")
                fields[key] = float(raw)
        more = text[at] == ","
    t_ns = int(text[at + 1 :])
    if not -(2**63) + 2 <= t_ns <= 2**63 - 2:
        raise ValueError(f"unable to parse '{text}': time outside range")
    return measurement, tags, fields, t_ns


class InfluxDouble:
    """Answers as recorded of InfluxDB 2.9.1. script: answers for the next requests, each (status, headers, text),
    a function of the body that returns one or None, or "reset"."""

    def __init__(self, reset_above_bytes: int = 25_000_000, token: str = "") -> None:
        self.points: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.kinds: dict[tuple[str, str], type] = {}
        self.script: deque[Any] = deque()
        self.always: Callable[[bytes], Any] = lambda _: None
        self.bodies: list[bytes] = []
        self.reset_above_bytes, self.token = reset_above_bytes, token
        self._lock = threading.Lock()
        double = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                answer = double.answer(urlsplit(self.path).query, raw, dict(self.headers))
                if answer == "reset":
                    # an RST at once, as a server does that gives up on a body
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    self.connection.close()
                    self.close_connection = True
                    return
                status, headers, text = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                return

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                return

        self._server = Server(("127.0.0.1", 0), Door)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def answer(self, query: str, raw: bytes, headers: dict[str, str]) -> Any:
        with self._lock:
            try:
                body = gzip.decompress(raw) if headers.get("Content-Encoding") == "gzip" else raw
            except (OSError, EOFError):
                return 500, {}, '{"code":"internal error","message":"unexpected EOF"}'
            self.bodies.append(body)
            for scripted in (self.script.popleft() if self.script else None, self.always(body)):
                found = scripted(body) if callable(scripted) else scripted
                if found is not None:
                    return found
            if self.token and headers.get("Authorization") != f"Token {self.token}":
                return 401, {}, '{"code":"unauthorized","message":"unauthorized access"}'
            if parse_qs(query)["bucket"] != ["vantel"]:
                return 404, {}, '{"code":"not found","message":"bucket not found"}'
            return "reset" if len(body) > self.reset_above_bytes else self._write(body)

    def _write(self, body: bytes) -> Any:
        try:
            lines = [read_line(line) for line in body.split(b"\n") if line]
        except ValueError as cause:
            return 400, {}, json.dumps({"code": "invalid", "message": str(cause)})
        dropped = 0
        for measurement, tags, fields, t_ns in lines:
            kinds = {(measurement, name): type(value) for name, value in fields.items()}
            if any(self.kinds.get(key, kind) is not kind for key, kind in kinds.items()):
                dropped += 1
                continue
            self.kinds.update(kinds)
            self.points.setdefault((measurement, *sorted(tags.items()), t_ns), {}).update(fields)
        if dropped:
            text = (
                f"failure writing points to database: partial write: field type conflict: dropped={dropped}"
            )
            return 422, {}, json.dumps({"code": "unprocessable entity", "message": text})
        return 204, {}, ""

    def count(self) -> int:
        counted = [fields for key, fields in self.points.items() if key[0] in COUNTED]
        return sum(map(len, counted))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def reader() -> Callable[[bytes], tuple[str, dict[str, str], dict[str, Any], int]]:
    return read_line


@pytest.fixture
def influx_double() -> Iterator[InfluxDouble]:
    double = InfluxDouble()
    yield double
    double.close()


@pytest.fixture(scope="session")
def worker_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Servers of their own: these tests fill topics with rubbish and kill workers."""
    with Stack(tmp_path_factory.mktemp("worker-stack")) as stack:
        yield stack


@pytest.fixture(scope="session", params=["faust", "aiokafka"])
def adapter_stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Stack]]:
    """Both adapters of the worker, each with servers of its own: what one has stored must not help the other."""
    with Stack(tmp_path_factory.mktemp(f"worker-{request.param}")) as stack:
        yield request.param, stack


@pytest.fixture
def adapter(adapter_stack: tuple[str, Stack]) -> str:
    return adapter_stack[0]


class WorkerRun:
    """A worker process with a group and a bucket of its own, and what a test asks of Kafka and the database."""

    def __init__(self, stack: Stack, folder: Path, name: str, **sections: dict[str, Any]) -> None:
        tree: dict[str, dict[str, Any]] = {
            "kafka": {"bootstrap": stack.kafka_bootstrap, "group": name},
            "influx": {"url": stack.influx_url, "bucket": name, "backoff_s_min": 0.05, "backoff_s_max": 0.2},
            "worker": {"commit_interval_s": 0.2, "catalog_wait_s_max": 0.5},
            "http": {"worker_port": 0},
            "log": {"format": "text"},
        }
        for key, section in sections.items():
            tree.setdefault(key, {}).update(section)
        folder.mkdir(parents=True, exist_ok=True)
        self.config, self.log = folder / "cloud.toml", folder / "worker.log"
        self.config.write_text(tomli_w.dumps(tree))
        self.settings = load(self.config)
        self.process: Process | None = None
        self.starts = 0
        asyncio.run(provision_topics(self.settings))
        self.query = InfluxQuery(self.settings.influx)
        if self.settings.influx.url == stack.influx_url:
            self.query.ensure_database()

    def start(self, *argv: str) -> WorkerRun:
        arguments = [sys.executable, *(argv or ("-m", "cloud", "worker")), "--config", str(self.config)]
        self.process = Process("worker", arguments, log_path=self.log)
        self.process.start()
        self.starts += 1
        return self

    def publish(self, *records: Outgoing) -> None:
        async def send() -> None:
            publisher = await Publisher(self.settings.kafka, "test").open()
            await publisher.publish(records)
            await publisher.close()

        asyncio.run(send())

    def lag(self) -> int:
        return asyncio.run(ledger.lag(self.settings))

    def drained(self, timeout_s: float = 180.0) -> None:
        deadline = time.monotonic() + timeout_s
        while self.lag():
            assert time.monotonic() < deadline, f"not drained:\n{self.tail()}"
            assert self.process is None or self.process.running, self.tail()
            time.sleep(0.1)

    def wait(self, what: Callable[[], Any], timeout_s: float = 120.0) -> Any:
        deadline = time.monotonic() + timeout_s
        while not (found := what()):
            assert time.monotonic() < deadline, self.tail()
            time.sleep(0.1)
        return found

    def letters(self, van: str) -> list[DeadLetter]:
        async def read() -> list[DeadLetter]:
            return [letter async for letter in letters(self.settings.kafka) if letter.van == van]

        return asyncio.run(read())

    def sheet(self) -> ledger.LedgerReport:
        return asyncio.run(ledger.read_ledger(self.settings))

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    def metrics(self) -> str:
        return self._get("metrics")

    def health(self) -> str:
        return self._get("healthz")

    def _get(self, page: str) -> str:
        def told() -> list[str]:
            ports = re.findall(r"127\.0\.0\.1:(\d+)/healthz", self.log.read_text(errors="replace"))
            return ports[self.starts - 1 :]

        port = self.wait(told)[0]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=60) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as unwell:
            return unwell.read().decode()


@pytest.fixture
def worker_run(
    adapter_stack: tuple[str, Stack], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., WorkerRun]]:
    """Factory of worker runs; ends the processes after the test."""
    adapter, stack = adapter_stack
    runs: list[WorkerRun] = []

    def make(**sections: dict[str, Any]) -> WorkerRun:
        sections["worker"] = {**sections.get("worker", {}), "adapter": adapter}
        name = f"{request.node.name.split('[')[0][:40]}-{len(runs)}".replace("test_", "").replace("_", "-")
        runs.append(WorkerRun(stack, tmp_path / str(len(runs)), name, **sections))
        return runs[-1]

    yield make
    for run in runs:
        if run.process is not None and run.process.running:
            run.process.stop(8)
