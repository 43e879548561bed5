"""Live values of the running agent for `vantel-edge tail`: a Unix socket in state_dir that only its owner may open.

Why a socket: nothing is written to the van's flash, nothing is computed while nobody looks, and it leaves no open port.
The pipeline thread offers a copy of the newest values at most every OFFER_S, and only while somebody looks; the tail
thread sends them. Protocol, JSON lines: the client sends {"signals": [pattern, ...]}; back come one line that says
which signals these are, then one line of values every PERIOD_S. Bounds: LOOKERS_MAX clients, SIGNALS_MAX signals each,
one unsent line each; a client that takes nothing for SLOW_S_MAX is dropped. Ages are in seconds.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import math
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from edge.model import TextTable
from edge.rings import Rings
from vantel.catalog import Catalog, Signal, SignalType

SOCKET_FILE = "tail.sock"
PERIOD_S = 0.1
IDLE_S = 0.5
"""Without a client; a stop is seen this late."""
OFFER_S = 0.05
LOOKERS_MAX = 4
SIGNALS_MAX = 200
REQUEST_BYTES_MAX = 64 * 1024
SLOW_S_MAX = 5.0

_log = structlog.get_logger("tail")


@dataclass(slots=True)
class _Looker:
    """One client."""

    link: socket.socket
    since_s: float
    asked: bytes = b""
    slots: list[int] | None = None
    unsent: bytes = b""


@dataclass(slots=True)
class _Newest:
    """Times and values by slot, as they were offered; replaced whole, never changed."""

    t_ns: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    value: NDArray[np.float64] = field(default_factory=lambda: np.empty(0, np.float64))


class Tail:
    """offer() is for the pipeline thread, run() is the body of the tail thread."""

    def __init__(
        self, state_dir: Path, catalog: Catalog, texts: TextTable, now_ns: Callable[[], int] | None
    ) -> None:
        """now_ns: the clock of the samples; None: their newest stamp is now, for a replay on its own clock."""
        self._state_dir, self._catalog, self._texts, self._now_ns = state_dir, catalog, texts, now_ns
        self._wanted = threading.Event()
        self._newest = _Newest()
        self._offered_s = 0.0
        self._lookers: list[_Looker] = []

    def offer(self, rings: Rings) -> None:
        """Take a copy of the newest values if somebody looks."""
        if not self._wanted.is_set():
            return
        now_s = time.monotonic()
        if now_s - self._offered_s >= OFFER_S:
            self._offered_s = now_s
            self._newest = _Newest(*rings.newest())

    def run(self, stop: threading.Event) -> None:
        """Serve until stop. A socket that cannot be made costs the tail, not the agent."""
        try:
            server = self._listen()
        except OSError as cause:
            _log.warning("no live values for vantel-edge tail", cause=cause.strerror or str(cause),
                         fix="check space and owner of van.state_dir")  # fmt: skip
            return
        with server:
            try:
                while not stop.is_set():
                    self._step(server)
            finally:
                for looker in list(self._lookers):
                    self._drop(looker)
                with contextlib.suppress(OSError):
                    (self._state_dir / SOCKET_FILE).unlink()

    def _listen(self) -> socket.socket:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            os.fchmod(server.fileno(), 0o600)  # before bind: there is no moment at which others may connect
            fresh = self._state_dir / f"{SOCKET_FILE}.new"
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()
            with _short_path(self._state_dir) as path:
                server.bind(f"{path}.new")
            server.listen(LOOKERS_MAX)
            fresh.replace(self._state_dir / SOCKET_FILE)  # what is there listens
        except OSError:
            server.close()
            raise
        return server

    def _step(self, server: socket.socket) -> None:
        """One period: new clients, their requests, a line of values for each."""
        wait_s = PERIOD_S if self._lookers else IDLE_S
        readable, _, _ = select.select([server, *(one.link for one in self._lookers)], [], [], wait_s)
        if server in readable:
            link, _ = server.accept()
            link.setblocking(False)
            self._lookers.append(_Looker(link, time.monotonic()))
            if len(self._lookers) > LOOKERS_MAX:
                self._drop(self._lookers[-1])
        for looker in list(self._lookers):
            try:
                if looker.link in readable:
                    self._hear(looker)
                if looker.slots is not None and not looker.unsent:
                    looker.unsent = _line(self._values(looker.slots))
                self._send(looker)
            except (OSError, ValueError):
                self._drop(looker)
        if readable:  # the period is kept, whatever woke us
            time.sleep(PERIOD_S / 2)

    def _hear(self, looker: _Looker) -> None:
        """Read the request; ValueError or OSError ends the client."""
        got = looker.link.recv(REQUEST_BYTES_MAX)
        looker.asked += got
        if not got or len(looker.asked) > REQUEST_BYTES_MAX or looker.slots is not None:
            raise ValueError("the client left, or says more than one request")
        if b"\n" not in looker.asked:
            return
        request = json.loads(looker.asked)
        patterns = request.get("signals") if isinstance(request, dict) else None
        if not isinstance(patterns, list):
            raise ValueError("no request")
        chosen, unknown = choose(self._catalog.signals, [str(pattern) for pattern in patterns])
        looker.slots = chosen
        signals = [self._catalog.signals[slot] for slot in chosen]
        told = [{"name": s.name, "unit": s.unit, "simulated": s.simulated} for s in signals]
        looker.unsent = _line({"signals": told, "unknown": unknown})
        self._wanted.set()

    def _send(self, looker: _Looker) -> None:
        now_s = time.monotonic()
        if looker.unsent:
            with contextlib.suppress(BlockingIOError):
                looker.unsent = looker.unsent[looker.link.send(looker.unsent) :]
                looker.since_s = now_s
        if now_s - looker.since_s > SLOW_S_MAX:
            raise ValueError("the client takes nothing, or asks nothing")

    def _drop(self, looker: _Looker) -> None:
        looker.link.close()
        self._lookers.remove(looker)
        if not any(one.slots is not None for one in self._lookers):
            self._wanted.clear()
            self._newest = _Newest()

    def _values(self, slots: list[int]) -> dict[str, Any]:
        """[age in seconds, value] of each signal; null before its first sample."""
        newest = self._newest
        if not len(newest.t_ns):
            return {"t_unix_s": time.time(), "values": [None] * len(slots)}
        now_ns = int(newest.t_ns.max()) if self._now_ns is None else self._now_ns()
        values: list[list[Any] | None] = []
        for slot in slots:
            t_ns = int(newest.t_ns[slot])
            never = t_ns == Rings.NEVER
            plain = self._plain(self._catalog.signals[slot], float(newest.value[slot]))
            values.append(None if never else [round((now_ns - t_ns) / 1e9, 3), plain])
        return {"t_unix_s": time.time(), "values": values}

    def _plain(self, signal: Signal, value: float) -> float | bool | str:
        """A value as JSON has it; what is no finite number goes as text."""
        if signal.type is SignalType.STRING:
            return self._texts.text(value) if math.isfinite(value) else repr(value)
        if not math.isfinite(value):
            return repr(value)
        if signal.type is SignalType.BOOL:
            return bool(value)
        if signal.type is SignalType.ENUM and 0 <= value < len(signal.labels):
            return signal.labels[int(value)]
        return value


def choose(signals: tuple[Signal, ...], patterns: list[str]) -> tuple[list[int], list[str]]:
    """Slots that names or patterns with * and ? mean, at most SIGNALS_MAX, in order; and the patterns that mean none."""
    chosen: dict[int, None] = {}
    unknown = []
    for pattern in patterns:
        found = [
            slot
            for slot, s in enumerate(signals)
            if s.name == pattern or fnmatch.fnmatchcase(s.name, pattern)
        ]
        chosen.update(dict.fromkeys(found))
        if not found:
            unknown.append(pattern)
    return list(chosen)[:SIGNALS_MAX], unknown


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message, allow_nan=False).encode() + b"\n"


@contextlib.contextmanager
def _short_path(state_dir: Path) -> Iterator[str]:
    """The socket's path within the 108 bytes that a socket address has, however deep the folder lies."""
    folder = os.open(state_dir, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET_FILE}"
    finally:
        os.close(folder)


class TailError(Exception):
    """There are no live values; the text says why and what to do."""


def look(
    state_dir: Path, patterns: list[str], timeout_s: float = 5.0
) -> tuple[list[dict[str, Any]], Iterator[dict[str, Any]]]:
    """Ask the running agent: the signals meant, and its lines of values for as long as one reads them."""
    try:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(timeout_s)
        with _short_path(state_dir) as path:
            link.connect(path)
        link.sendall(_line({"signals": patterns}))
        reader = link.makefile("rb")
        head = json.loads(reader.readline() or b"null")
    except (ConnectionResetError, BrokenPipeError):
        head = None
    except (FileNotFoundError, ConnectionRefusedError) as cause:
        raise TailError(
            f"no agent runs with van.state_dir {state_dir}; start it or name the right settings"
        ) from cause
    except (OSError, ValueError) as cause:
        raise TailError(
            f"ask the agent at {state_dir}: {cause}; run this as the agent's user, for example with sudo"
        ) from cause
    if head is None:
        raise TailError(f"the agent takes no more than {LOOKERS_MAX} at once; end another vantel-edge tail")
    if head["unknown"]:
        raise TailError(
            f"the agent has no signal {', '.join(head['unknown'])}; vantel-edge tail '*' shows all it has"
        )
    return head["signals"], _lines(link, reader, timeout_s)


def _lines(link: socket.socket, reader: Any, timeout_s: float) -> Iterator[dict[str, Any]]:
    with link, reader:
        while True:
            try:
                line = reader.readline()
            except OSError as cause:
                raise TailError(f"the agent says nothing for {timeout_s:.0f} s; is it stopped?") from cause
            if not line:
                raise TailError("the agent has left")
            yield json.loads(line)
