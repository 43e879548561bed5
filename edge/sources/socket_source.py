"""Samples from other processes of the van over a Unix socket: the rim around edge.sources.socket_client.

One thread serves all clients without blocking on any. Who connects is known by SO_PEERCRED; only the users of the settings
are let in. Each client and all together have a rate: past it the socket is not read, so that the client's send waits
(back-pressure) and nobody else notices. What is read is bounded by RECEIVE_BYTES a turn and client, what waits by the
buffer of the kernel. A client that dies, sends garbage or never reads its answers loses its own connection only.
"""

from __future__ import annotations

import os
import selectors
import socket
import stat
import struct
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from edge.clock import VanClock
from edge.model import TEXT_CHARS_MAX, Emit, SampleBlock, TextTable
from edge.settings.sources import SocketSource as SocketSection
from edge.sources.declarations import Declarations
from edge.sources.socket_client import Allowance, ClientStream
from vantel.catalog import Signal
from vantel.source_socket import encode_answer, framed

RECEIVE_BYTES = 256 * 1024
LOOK_S = 0.1
DECLARE_S_MAX = 10.0
"""A connection that has declared nothing after so long is closed: it holds a place of another client."""
TEXTS_MAX = 4096
"""Different strings that all clients together may send; the agent has one table of strings for all sources."""
_CREDENTIALS = struct.Struct("3i")
_log = structlog.get_logger("socket")


@dataclass(frozen=True, slots=True)
class _Connection:
    """A client that is let in."""

    link: socket.socket
    stream: ClientStream
    since_s: float
    process: int


class SocketSource:
    """One [[sources]] of kind socket."""

    replayed = False
    simulated = False

    def __init__(self, settings: SocketSection, clock: VanClock, texts: TextTable) -> None:
        self.name = settings.name
        self.counts: Counter[str] = Counter()
        self._settings = settings
        self._clock = clock
        self._texts = texts
        self._codes: dict[str, int] = {}
        self._users = frozenset(settings.users) or frozenset({0, os.getuid()})
        self._declarations = Declarations(settings.declarations, settings.name)
        self._together = Allowance(settings.samples_per_s_max)
        self._connections: dict[int, _Connection] = {}
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))

    @property
    def counters(self) -> dict[str, int]:
        """Samples, clients, and what was refused, by reason."""
        return {"clients_connected": len(self._connections), **self.counts}

    def signals(self) -> Sequence[Signal]:
        """Signals that were declared before this start."""
        return self._declarations.signals

    def leave_out(self, names: Sequence[str]) -> None:
        """Names of other sources; see Declarations."""
        self._declarations.leave_out(names)

    def restart_due(self) -> bool:
        """Whether the agent should start anew for signals declared since; True only once."""
        due = self._declarations.restart_due(time.time())
        if due:
            self._declarations.restarting(time.time())
        return due

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Serve until stop."""
        listener = listening(self._settings.path)
        try:
            with selectors.DefaultSelector() as ready, listener:
                ready.register(listener, selectors.EVENT_READ)
                while not stop.is_set():
                    self._turn(ready, listener, emit)
        finally:
            for connection in self._connections.values():
                connection.link.close()
            self._connections.clear()
            self._settings.path.unlink(missing_ok=True)

    def _turn(self, ready: selectors.BaseSelector, listener: socket.socket, emit: Emit) -> None:
        """Everyone who has something, once; blocks of one turn go on as one."""
        blocks: list[SampleBlock] = []
        delay_s = self._together.delay_s(time.monotonic())
        if delay_s > 0:
            self.counts["turns_throttled"] += 1
            time.sleep(min(LOOK_S, delay_s))
            return
        events = ready.select(LOOK_S)
        waiting = 0
        for key, _ in events:
            if key.fileobj is listener:
                self._welcome(ready, listener)
                continue
            connection = self._connections[key.fd]
            if connection.stream.allowance.delay_s(time.monotonic()) > 0:
                self.counts["reads_throttled"] += 1
                waiting += 1
                continue
            blocks += self._read(ready, connection)
        if blocks:
            block = joined(blocks)
            self._together.take(len(block))
            self.counts["samples_emitted"] += len(block)
            emit(block)
        self._part_silent(ready)
        if blocks or waiting:
            # what comes within gather_s makes one block; a throttled client must not keep this thread busy
            time.sleep(self._settings.gather_s or (0.001 if waiting else 0.0))

    def _welcome(self, ready: selectors.BaseSelector, listener: socket.socket) -> None:
        try:
            link, _ = listener.accept()
        except OSError:
            return
        link.setblocking(False)
        process, user, _ = _CREDENTIALS.unpack(
            link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        refusal = ""
        if user not in self._users:
            self.counts["refused_user"] += 1
            refusal = f"user {user} may not send; add it to users of source {self.name} in the settings"
        elif self._held_by(process) >= max(1, self._settings.clients_max // 2):
            self.counts["refused_process"] += 1
            refusal = (
                f"process {process} has half of the places already; one connection carries all its signals"
            )
        elif len(self._connections) >= self._settings.clients_max:
            self.counts["refused_clients_max"] += 1
            refusal = f"{self._settings.clients_max} clients are connected; raise clients_max in the settings"
        if refusal:
            _log.warning("client refused", source=self.name, cause=refusal)
            _answer(link, framed(encode_answer(refusal)))
            link.close()
            return
        stream = ClientStream(
            self._declarations, self._settings.client_samples_per_s_max, self._code_of, self.counts
        )
        self._connections[link.fileno()] = _Connection(link, stream, time.monotonic(), process)
        ready.register(link, selectors.EVENT_READ)
        self.counts["clients_welcomed"] += 1

    def _held_by(self, process: int) -> int:
        return sum(connection.process == process for connection in self._connections.values())

    def _read(self, ready: selectors.BaseSelector, connection: _Connection) -> list[SampleBlock]:
        try:
            size = connection.link.recv_into(self._buffer)
        except BlockingIOError:
            return []
        except OSError:
            size = 0
        if size == 0:
            if connection.stream.incomplete_bytes:
                self.counts["messages_cut"] += 1
            self._part(ready, connection)
            return []
        blocks, answers, goes_on = connection.stream.feed(
            bytes(self._buffer[:size]), self._clock.mono_ns(), time.time()
        )
        if answers and not _answer(connection.link, answers):
            self.counts["answers_not_taken"] += 1
            goes_on = False
        if not goes_on:
            _log.warning("client parted", source=self.name, client=connection.stream.name)
            self._part(ready, connection)
        return blocks

    def _part_silent(self, ready: selectors.BaseSelector) -> None:
        now = time.monotonic()
        for connection in list(self._connections.values()):
            if not connection.stream.has_declared and now - connection.since_s > DECLARE_S_MAX:
                self.counts["refused_silent"] += 1
                self._part(ready, connection)

    def _code_of(self, text: str) -> int:
        """Code of a text; that of the empty text once the clients have used up theirs."""
        text = text[:TEXT_CHARS_MAX]
        code = self._codes.get(text)
        if code is None:
            if len(self._codes) >= TEXTS_MAX:
                self.counts["texts_left_out"] += 1
                return 0
            code = self._codes[text] = self._texts.code(text)
        return code

    def _part(self, ready: selectors.BaseSelector, connection: _Connection) -> None:
        ready.unregister(connection.link)
        del self._connections[connection.link.fileno()]
        connection.link.close()


def _answer(link: socket.socket, data: bytes) -> bool:
    """Whether the client took it; one that reads nothing is not waited for."""
    try:
        return link.send(data) == len(data)
    except OSError:
        return False


def joined(blocks: list[SampleBlock]) -> SampleBlock:
    """One block in order of time; of equal times the earlier block first."""
    if len(blocks) == 1:
        return blocks[0]
    t_ns = np.concatenate([block.t_mono_ns for block in blocks])
    slot = np.concatenate([block.slot for block in blocks])
    value = np.concatenate([block.value for block in blocks])
    if (t_ns[1:] < t_ns[:-1]).any():
        order = np.argsort(t_ns, kind="stable")
        slot, t_ns, value = slot[order], t_ns[order], value[order]
    return SampleBlock(slot, t_ns, value)


def listening(path: Path) -> socket.socket:
    """A listening socket at path, in place of one that nobody serves any more; OSError for anything else there.

    Everyone may connect; who is let in is decided by the credentials of the peer.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise OSError(f"{path} is no socket; remove it, or set another path")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise OSError(f"{path} is served by another process; end it, or set another path")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(16)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
