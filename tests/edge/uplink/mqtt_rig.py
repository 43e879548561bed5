"""The van's link on a desk, for the tests of it: a broker, a tiny bridge, a whole uplink, a certificate authority.

The broker is the real Mosquitto; the bridge is a paho client that answers each envelope with a durable ack.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.settings import MqttSection, UplinkSection
from edge.uplink.thread import Uplink
from tests.edge.uplink.memory_outbox import MemoryOutbox
from vantel import topics
from vantel.acks import Ack
from vantel.identity import DeliveryClass, Epoch
from vantel.intervals import IntervalSet
from vantel.payloads import Death
from vantel_rig.process import Process
from vantel_rig.servers.mosquitto import Mosquitto

P0, P1, P2 = DeliveryClass
WAIT_S = 120.0  # for what must come; a busy machine may take long, and nobody waits longer than it takes

VAN = "van-1"
EPOCH = Epoch(3, 4)
FAST = UplinkSection(
    inflight_max=8,
    resend_after_s=0.3,
    resend_after_s_max=2,
    backoff_s_min=0.05,
    backoff_s_max=0.2,
    stable_after_s=5,
)


class Broker:
    """A Mosquitto with our own lines in its configuration."""

    def __init__(self, folder: Path) -> None:
        self.server = Mosquitto(folder)
        self.process: Process | None = None

    def start(self, extra: Sequence[str] = (), replace: tuple[str, str] = ("", "")) -> Broker:
        self.process = self.server.configure()
        config = self.server.folder / "mosquitto.conf"
        text = config.read_text().replace(*replace) if replace[0] else config.read_text()
        config.write_text(text + "\n".join(extra) + "\n")
        self.process.start()
        self.process.wait_ready(self.ready, WAIT_S)
        return self

    def ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0):
                return True
        except OSError:
            return False

    @property
    def port(self) -> int:
        return self.server.port

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()

    def restart(self) -> None:
        assert self.process is not None
        self.process.start()
        self.process.wait_ready(self.ready, WAIT_S)

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop()


class Bridge:
    """Notes what it gets; sends a durable ack for it at once while acking is on."""

    def __init__(self, port: int, client_id: str = "bridge") -> None:
        self.got: list[tuple[str, bytes]] = []
        self.acking = True
        self.subscribed = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe("v1/+/+/up/+", qos=1)
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = self._on_message
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 300
        self.client.connect("127.0.0.1", port, clean_start=False, properties=properties)
        self.client.loop_start()
        assert self.subscribed.wait(WAIT_S)

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        self.got.append((message.topic.rsplit("/", 1)[1], bytes(message.payload)))
        if self.acking and not message.topic.endswith("/death"):
            label, seq = message.payload.decode().split("/")[:2]
            self.ack(DeliveryClass.from_label(label), int(seq))

    def ack(
        self, delivery_class: DeliveryClass, *seqs: int, van: str = VAN, rebirth: tuple[int, ...] = ()
    ) -> None:
        durable = {(EPOCH, delivery_class): IntervalSet((s, s) for s in seqs)} if seqs else {}
        self.down("ack", Ack(van, durable, rebirth).encode())

    def down(self, leaf: str, payload: bytes) -> None:
        self.client.publish(topics.down(VAN, leaf), payload, qos=1)

    def names(self) -> list[str]:
        return ["/".join(p.decode().split("/")[:2]) for leaf, p in list(self.got) if leaf != "death"]

    def deaths(self) -> list[Death]:
        return [Death.decode(payload) for leaf, payload in list(self.got) if leaf == "death"]

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Rig:
    """An uplink in its thread, and its outbox."""

    def __init__(
        self, mqtt: MqttSection, settings: UplinkSection = FAST, **hooks: Callable[..., None]
    ) -> None:
        self.outbox = MemoryOutbox(VAN, EPOCH)
        self.rebirths: list[int] = []
        self.commands: list[bytes] = []
        keys = {"on_rebirth": self.rebirths.extend, "on_command": self.commands.append, **hooks}
        self.uplink = Uplink(VAN, EPOCH, mqtt, settings, self.outbox, **keys)  # type: ignore[arg-type]
        self.stop_event = threading.Event()
        self.thread = threading.Thread(target=self.uplink.run, args=(self.stop_event,), daemon=True)

    def start(self) -> Rig:
        self.thread.start()
        return self

    def add(
        self, delivery_class: DeliveryClass, count: int = 1, size: int = 0, t_mono_s: float | None = None
    ) -> None:
        for _ in range(count):
            self.outbox.append(delivery_class, size=size, t_mono_s=t_mono_s)
        self.uplink.wake()

    def stop(self) -> None:
        self.stop_event.set()
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive()

    def __getitem__(self, counter: str) -> int:
        return int(self.uplink.counters()[counter])


def until(condition: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.01)


class Packets:
    """Reads MQTT packets off a socket."""

    def __init__(self, link: socket.socket) -> None:
        self.link, self.data = link, b""

    def next(self, timeout_s: float = WAIT_S) -> tuple[int, bytes]:
        while True:
            if len(self.data) >= 2:
                length, shift, at = 0, 0, 1
                while at < len(self.data):
                    length |= (self.data[at] & 127) << shift
                    shift, at = shift + 7, at + 1
                    if not self.data[at - 1] & 128:
                        if len(self.data) >= at + length:
                            packet = (self.data[0] >> 4, self.data[at : at + length])
                            self.data = self.data[at + length :]
                            return packet
                        break
            self.link.settimeout(timeout_s)
            data = self.link.recv(65536)
            if not data:
                raise EOFError
            self.data += data

    def publish_mid(self) -> int:
        kind, body = self.next()
        assert kind == 3, f"packet type {kind}"
        topic = int.from_bytes(body[:2], "big")
        return int.from_bytes(body[2 + topic : 4 + topic], "big")

    def silent(self, seconds: float) -> bool:
        try:
            self.next(seconds)
        except TimeoutError:
            return True
        return False


def mosquitto_account(user: str, password: str) -> str:
    """A line of Mosquitto's password file (PBKDF2-SHA512, as mosquitto_passwd writes it)."""
    salt = b"0123456789ab"
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"{user}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"


class Wire:
    """One TCP connection carried to a port, until it is cut."""

    def __init__(self, port: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ends: list[socket.socket] = []
        self.threads = [threading.Thread(target=self._accept, args=(port,), daemon=True)]
        self.threads[0].start()

    def _accept(self, port: int) -> None:
        near, _ = self.listener.accept()
        far = socket.create_connection(("127.0.0.1", port))
        self.ends = [near, far]
        for source, sink in ((near, far), (far, near)):
            thread = threading.Thread(target=self._carry, args=(source, sink), daemon=True)
            thread.start()
            self.threads.append(thread)

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        while data := source.recv(65536):
            sink.sendall(data)

    def cut(self) -> None:
        for end in self.ends:
            end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        for end in (self.listener, *self.ends):
            end.close()
        for thread in self.threads:
            thread.join(2.0)


class Authority:
    """A throw-away certificate authority by openssl."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.certificate, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.certificate,
        )  # fmt: skip

    def issue(self, name: str, host: str) -> tuple[Path, Path]:
        certificate, key, request = (self.folder / f"{name}.{end}" for end in ("crt", "prv", "csr"))
        _openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", key, "-out", request,
        )  # fmt: skip
        extension = self.folder / f"{name}.ext"
        kind = "IP" if host[0].isdigit() else "DNS"
        extension.write_text(f"subjectAltName={kind}:{host}\n")
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
            "-days", "2", "-extfile", extension, "-out", certificate,
        )  # fmt: skip
        return certificate, key


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
