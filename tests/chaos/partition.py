"""Goal: a van whose network really goes away: packets vanish, connections stay half-open on both sides.

Method: a network namespace for the agents, joined to ours by a pair of virtual links, and a relay from our end of the
pair to the broker on loopback. A partition takes the link down. Needs root and the `ip` command.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading

SUBNETS = "10.213"
"""Of these 256 an island takes one that nobody has: beside another run, or what a killed one left behind."""
CHUNK_BYTES = 65_536


def missing() -> str:
    """Why there can be no partition here; empty when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "the command ip is missing (Debian package iproute2)"
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return "" if probe.returncode == 0 else "this kernel or container gives no network namespaces"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _free_subnet() -> str:
    """First three numbers of a network that no link of this machine is in; the search begins at a number of this process."""
    links = subprocess.run(["ip", "-4", "-o", "addr"], check=True, capture_output=True, text=True).stdout
    first = os.getpid()
    for number in range(first, first + 256):
        subnet = f"{SUBNETS}.{number % 256}"
        if f" {subnet}." not in links:
            return subnet
    raise OSError(f"all networks of {SUBNETS} are taken; ip netns list shows what was left behind")


class Island:
    """A context manager: within it, program() runs on the island, whose only way out is the relay to one port of ours."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._name = f"vantel-{os.getpid()}"
        self._ours, self._theirs = f"vt{os.getpid() % 100_000}a", f"vt{os.getpid() % 100_000}b"
        self._subnet = ""
        self._listener: socket.socket | None = None

    @property
    def port(self) -> int:
        """The broker's port as the island sees it, at our address."""
        assert self._listener is not None
        return int(self._listener.getsockname()[1])

    @property
    def mqtt(self) -> dict[str, object]:
        """Settings of a van on the island."""
        return {"host": f"{self._subnet}.1", "port": self.port, "plaintext": "anywhere", "keepalive_s": 5}

    def program(self, *argv: str) -> list[str]:
        """A command that runs on the island."""
        return ["ip", "netns", "exec", self._name, *argv]

    def __enter__(self) -> Island:
        self._subnet = _free_subnet()
        _ip("netns", "add", self._name)
        try:
            _ip("link", "add", self._ours, "type", "veth", "peer", "name", self._theirs, "netns", self._name)
            _ip("addr", "add", f"{self._subnet}.1/24", "dev", self._ours)
            _ip("link", "set", self._ours, "up")
            _ip("-n", self._name, "addr", "add", f"{self._subnet}.2/24", "dev", self._theirs)
            _ip("-n", self._name, "link", "set", self._theirs, "up")
            _ip("-n", self._name, "link", "set", "lo", "up")
            self._listener = socket.create_server((f"{self._subnet}.1", 0))
        except BaseException:
            self._remove()
            raise
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._listener is not None:
            self._listener.close()
        self._remove()

    def cut(self) -> None:
        """From now on no packet passes."""
        _ip("link", "set", self._ours, "down")

    def join(self) -> None:
        """Packets pass again."""
        _ip("link", "set", self._ours, "up")

    def _remove(self) -> None:
        subprocess.run(["ip", "link", "del", self._ours], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", self._name], capture_output=True, check=False)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                island, _ = listener.accept()
                try:
                    broker = socket.create_connection(("127.0.0.1", self._broker_port), timeout=2.0)
                except OSError:
                    island.close()
                    continue
                broker.settimeout(None)
                for source, target in ((island, broker), (broker, island)):
                    threading.Thread(target=_carry, args=(source, target), daemon=True).start()


def _carry(source: socket.socket, target: socket.socket) -> None:
    """Bytes one way until either side ends; then both end."""
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
