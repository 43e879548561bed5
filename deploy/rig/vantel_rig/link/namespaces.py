"""Two network namespaces, each with a TUN device, and the thread that carries packets between them. Needs root.

BadLink.van() and BadLink.cloud() move the calling thread into that end; what is started inside (threads, processes,
sockets) stays there. The namespaces belong to the link and vanish with it; the machine's own network is not touched.
Sources: setns(2), Linux Documentation/networking/tuntap.rst.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import heapq
import itertools
import os
import secrets
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from vantel_rig.link.impairment import Impairment, LinkProfile

VAN_ADDRESS, CLOUD_ADDRESS = "10.77.0.1", "10.77.0.2"
MTU_BYTES = 1400
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI, _CLONE_NEWNET = 0x400454CA, 0x1, 0x1000, 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def missing() -> str:
    """Why no bad link can be made here; "" when it can."""
    if os.geteuid() != 0:
        return "a bad link needs root, for network namespaces"
    if shutil.which("ip") is None:
        return "a bad link needs the ip command (Debian package iproute2)"
    if not Path("/dev/net/tun").exists():
        return "a bad link needs /dev/net/tun (kernel module tun)"
    name = f"vantel-{secrets.token_hex(4)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespace can be made here: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "delete", name], check=True)
    return ""


class BadLink:
    """A link with its two ends; a context manager."""

    van_address, cloud_address = VAN_ADDRESS, CLOUD_ADDRESS

    def __init__(self, profile: LinkProfile, seed: int) -> None:
        self.up, self.down = Impairment(profile, seed), Impairment(profile, seed + 1)
        name = f"vantel-{secrets.token_hex(4)}"
        self._names = (f"{name}-v", f"{name}-c")
        self._tuns: list[int] = []
        self._stop, self._cut = threading.Event(), threading.Event()
        self._flows: set[tuple[int, int, int]] = (
            set()
        )  # of the van, since the last rebind; as many as it opens
        self._forgotten: set[tuple[int, int, int]] = set()
        self._thread = threading.Thread(target=self._carry, name="bad-link", daemon=True)

    def __enter__(self) -> BadLink:
        try:
            for name, mine, other in zip(
                self._names, (VAN_ADDRESS, CLOUD_ADDRESS), (CLOUD_ADDRESS, VAN_ADDRESS), strict=True
            ):
                _ip("netns", "add", name)
                with _inside(name):
                    self._tuns.append(_tun("bad0"))
                    _ip("link", "set", "lo", "up")
                    _ip("address", "add", mine, "peer", other, "dev", "bad0")
                    _ip("link", "set", "bad0", "mtu", str(MTU_BYTES), "up")
        except BaseException:
            self._give_back()
            raise
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5.0)
        self._give_back()

    def van(self) -> contextlib.AbstractContextManager[None]:
        """The calling thread is on the van."""
        return _inside(self._names[0])

    def cloud(self) -> contextlib.AbstractContextManager[None]:
        """The calling thread is in the cloud."""
        return _inside(self._names[1])

    def cut(self) -> None:
        """From now on every packet is lost, without a word to either end: half-open connections."""
        self._cut.set()

    def heal(self) -> None:
        """The end of a cut."""
        self._cut.clear()

    def rebind(self) -> None:
        """A NAT on the way forgets its flows: packets of those that stand vanish both ways, new ones pass."""
        self._forgotten |= self._flows

    def _passes(self, packet: bytes, from_van: bool) -> bool:
        """Whether cut and NAT let a packet through; remembers the flow of the van that it belongs to."""
        if packet[0] >> 4 != 4 or self._cut.is_set():
            return False
        at = (packet[0] & 15) * 4
        near, far = struct.unpack_from("!HH", packet, at)
        flow = (packet[9], near, far) if from_van else (packet[9], far, near)
        if from_van and flow not in self._forgotten:
            self._flows.add(flow)
        return flow not in self._forgotten

    def _carry(self) -> None:
        began_s, order = time.monotonic(), itertools.count()
        waiting: list[
            tuple[float, int, int, bytes]
        ] = []  # bounded by queue_bytes_max and the delay at the rate
        ways = {self._tuns[0]: (self.up, self._tuns[1]), self._tuns[1]: (self.down, self._tuns[0])}
        while not self._stop.is_set():
            now_s = time.monotonic() - began_s
            left_s = min(0.1, max(0.0, waiting[0][0] - now_s)) if waiting else 0.1
            ready, _, _ = select.select(list(ways), [], [], left_s)
            now_s = time.monotonic() - began_s
            for tun in ready:
                way, other = ways[tun]
                packet = os.read(tun, 65_536)
                if not self._passes(packet, tun == self._tuns[0]):
                    continue
                for out_s in way.departures_s(now_s, len(packet)):
                    heapq.heappush(waiting, (out_s, next(order), other, packet))
            while waiting and waiting[0][0] <= now_s:
                _, _, other, packet = heapq.heappop(waiting)
                if not self._cut.is_set():
                    with contextlib.suppress(OSError):  # a device without room loses it, as a modem would
                        os.write(other, packet)

    def _give_back(self) -> None:
        for tun in self._tuns:
            os.close(tun)
        self._tuns.clear()
        for name in self._names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _tun(name: str) -> int:
    """A TUN device of the calling thread's namespace; its file descriptor works from everywhere."""
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return tun


@contextlib.contextmanager
def _inside(name: str) -> Iterator[None]:
    """Move the calling thread into the namespace, and back at the end."""
    here, other = Path("/proc/thread-self/ns/net"), Path(f"/run/netns/{name}")
    with here.open("rb") as home, other.open("rb") as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, f"setns: {os.strerror(code)}")
