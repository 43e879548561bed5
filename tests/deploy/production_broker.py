"""The files of deploy/broker on a free loopback port: the shipped configuration, certificates of its script, bare clients.

Of mosquitto.conf only the listener's port, the folder and the account are put in; everything else is as it ships.
"""

from __future__ import annotations

import getpass
import os
import queue
import socket
import ssl
import subprocess
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from vantel_rig.ports import HeldPort
from vantel_rig.process import Process
from vantel_rig.programs import find_server

BROKER = Path(__file__).parents[2] / "deploy" / "broker"
WAIT_S_MAX = 120.0
DENIED = 0x87


class Certificates:
    """A CA and what it signed, by deploy/broker/make_certificates.sh."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.make("ca")

    @property
    def ca(self) -> Path:
        """What clients and broker trust."""
        return self.folder / "ca.pem"

    def make(self, *arguments: str, days: int = 2) -> str:
        """Run the script; what it said. CalledProcessError when it refused."""
        command = [BROKER / "make_certificates.sh", self.folder, *arguments]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env={**os.environ, "DAYS": str(days)}
        )
        return done.stdout

    def settings(self, name: str) -> dict[str, str]:
        """The TLS keys of an mqtt section for one name."""
        return {
            "ca_file": str(self.ca),
            "certificate_file": str(self.folder / f"{name}.pem"),
            "key_file": str(self.folder / f"{name}.key"),
        }


class ProductionBroker:
    """A real Mosquitto with the shipped files; a context manager."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        self.folder, self.certificates, self.port = folder, certificates, 0

    def __enter__(self) -> ProductionBroker:
        self.folder.mkdir(parents=True)
        certificates = self.certificates
        certificates.make("server", "localhost", "127.0.0.1")
        for name in ("ca.pem", "server.pem", "server.key"):
            (self.folder / name).write_bytes((certificates.folder / name).read_bytes())
        (self.folder / "acl").write_bytes((BROKER / "acl").read_bytes())
        (self.folder / "acl").chmod(0o600)
        held = HeldPort()
        self.port = held.port
        shipped = (BROKER / "mosquitto.conf").read_text(encoding="utf-8")
        assert shipped.count("\nlistener ") == 1, "one listener, with TLS"
        text = shipped.replace("listener 8883", f"listener {self.port} 127.0.0.1")
        text = text.replace("/etc/mosquitto/vantel", str(self.folder)) + f"user {getpass.getuser()}\n"
        config = self.folder / "mosquitto.conf"
        config.write_text(text, encoding="utf-8")
        program = find_server("mosquitto")
        self.process = Process(
            "mosquitto", [program.path, "-c", config], program.env, self.folder / "mosquitto.log"
        )
        held.release()
        self.process.start()
        self.process.wait_ready(self._listens, WAIT_S_MAX)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()

    def _listens(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0):
                return True
        except OSError:
            return False


class Client:
    """A bare MQTT 5 client with the certificate of one name: it tries what no program of ours would."""

    def __init__(self, broker: ProductionBroker, name: str, client_id: str | None = None) -> None:
        self.name = name
        self.got: queue.Queue[str] = queue.Queue()
        self._answers: queue.Queue[int] = queue.Queue()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id or name, protocol=mqtt.MQTTv5
        )
        tls = broker.certificates.settings(name)
        context = ssl.create_default_context(cafile=tls["ca_file"])
        context.load_cert_chain(tls["certificate_file"], tls["key_file"])
        self._client.tls_set_context(context)
        self._client.on_connect = lambda _c, _d, _f, reason, _p: self._answers.put(reason.value)
        self._client.on_publish = lambda _c, _d, _m, reason, _p: self._answers.put(reason.value)
        self._client.on_subscribe = lambda *_: self._answers.put(0)
        self._client.on_message = lambda _c, _d, message: self.got.put(message.topic)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        self.connected = self._answers.get(timeout=WAIT_S_MAX)

    @property
    def up(self) -> bool:
        """Still connected."""
        return self._client.is_connected()

    def publish(self, topic: str, retain: bool = False) -> bool:
        """Whether the broker took a QoS 1 message."""
        self._client.publish(topic, b"x", qos=1, retain=retain)
        return self._answers.get(timeout=WAIT_S_MAX) != DENIED

    def subscribe(self, *filters: str) -> None:
        """Ask for topics, allowed or not."""
        self._client.subscribe([(name, 1) for name in filters])
        self._answers.get(timeout=WAIT_S_MAX)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()
