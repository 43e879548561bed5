"""Kafka with TLS and passwords or certificates of its clients, and InfluxDB behind a TLS-ending nginx, as a fleet's own servers have them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.production_broker import Certificates
from vantel_rig.servers.kafka import Kafka
from vantel_rig.servers.kafka_listeners import SecureListener
from vantel_rig.servers.nginx import Nginx
from vantel_rig.stack import Stack

USERS = {"vantel": "correct-horse"}


@dataclass(frozen=True)
class SecureServers:
    """Ports of Kafka by listener (valid, expired, mutual) and of HTTPS (valid, expired); folder: certificates and secrets."""

    folder: Path
    kafka: dict[str, int]
    https: dict[str, int]

    def section_kafka(self, mechanism: str = "SCRAM-SHA-512", **keys: Any) -> dict[str, Any]:
        """Settings with which Kafka is reached; keys replace some."""
        right = {
            "bootstrap": f"localhost:{self.kafka['valid']}", "security": "sasl_ssl", "sasl_mechanism": mechanism,
            "username": "vantel", "password_file": str(self.folder / "password"), "ca_file": str(self.folder / "ca.pem"),
        }  # fmt: skip
        return {**right, **keys}

    def section_mutual(self, **keys: Any) -> dict[str, Any]:
        """Settings with which Kafka is reached by a certificate of the client; keys replace some."""
        right = {
            "bootstrap": f"localhost:{self.kafka['mutual']}", "security": "ssl", "ca_file": str(self.folder / "ca.pem"),
            "certificate_file": str(self.folder / "vantel-bridge-0.pem"), "key_file": str(self.folder / "vantel-bridge-0.key"),
        }  # fmt: skip
        return {**right, **keys}

    def section_influx(self, **keys: Any) -> dict[str, Any]:
        """Settings with which InfluxDB is reached."""
        return {
            "url": f"https://localhost:{self.https['valid']}",
            "ca_file": str(self.folder / "ca.pem"),
            **keys,
        }


def certificates(folder: Path) -> tuple[Certificates, Certificates]:
    """A server's certificate that holds, and one of the same CA whose last day is over."""
    valid = Certificates(folder / "valid")
    valid.make("server", "localhost", "127.0.0.1")
    valid.make("bridge", "0")
    (folder / "expired").mkdir()
    for name in ("ca.pem", "ca.key"):
        shutil.copy(valid.folder / name, folder / "expired" / name)
    expired = Certificates(folder / "expired")
    expired.make("server", "localhost", "127.0.0.1", days=0)
    return valid, expired


@contextmanager
def secure_servers(stack: Stack, folder: Path) -> Iterator[SecureServers]:
    """Kafka of its own; nginx in front of the stack's InfluxDB."""
    valid, expired = certificates(folder)
    (valid.folder / "password").write_text(USERS["vantel"])
    pairs = {
        name: (one.folder / "server.pem", one.folder / "server.key")
        for name, one in (("valid", valid), ("expired", expired))
    }
    listeners = [SecureListener(name, *pair, USERS) for name, pair in pairs.items()]
    listeners.append(SecureListener("mutual", *pairs["valid"], client_ca=valid.ca))
    kafka = Kafka(folder / "kafka", listeners)
    influx_port = int(stack.influx_direct_url.rpartition(":")[2])
    fronts = {name: Nginx(folder / f"nginx-{name}", influx_port, pair) for name, pair in pairs.items()}
    processes = []
    try:
        for server in (kafka, *fronts.values()):
            process = server.configure()
            processes.append(process)
            process.start()
        for server, process in zip((kafka, *fronts.values()), processes, strict=True):
            process.wait_ready(server.ready, server.ready_s_max)
        yield SecureServers(valid.folder, kafka.ports, {name: front.port for name, front in fronts.items()})
    finally:
        for process in processes:
            process.stop()
