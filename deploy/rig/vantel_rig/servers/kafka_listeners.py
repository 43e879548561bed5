"""Further listeners of the rig's Kafka, with TLS and passwords, beside the plain one that it always has.

Name, certificate and users -> lines of Kafka's settings. Each listener is SASL_SSL and takes its users by PLAIN and by
SCRAM-SHA-512; SCRAM secrets are written into the folder when it is formatted.
Source: Kafka's documentation of SSL (PEM key stores), SASL/PLAIN and SASL/SCRAM.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vantel_rig.ports import HeldPort

_LINES = """\
listener.name.{name}.ssl.keystore.type=PEM
listener.name.{name}.ssl.keystore.location={keystore}
listener.name.{name}.ssl.client.auth=none
listener.name.{name}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.{name}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required {users};
listener.name.{name}.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""
_WORD = re.compile(r"[A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True)
class SecureListener:
    """One listener. name: lower-case letters; users: passwords by name; certificate, key: PEM, as the broker shows it."""

    name: str
    certificate: Path
    key: Path
    users: Mapping[str, str]

    def lines(self, folder: Path) -> str:
        """Settings of the listener; its key store is written into the folder."""
        if not all(_WORD.fullmatch(word) for pair in self.users.items() for word in pair):
            raise ValueError("users and passwords of the rig's Kafka are of letters, digits and dashes")
        keystore = folder / f"{self.name}.pem"
        keystore.write_bytes(self.key.read_bytes() + self.certificate.read_bytes())
        users = " ".join(f'user_{name}="{password}"' for name, password in self.users.items())
        return _LINES.format(name=self.name, keystore=keystore, users=users)


class Listeners:
    """The further listeners of one broker: their ports, and what they add to its settings."""

    def __init__(self, listeners: Sequence[SecureListener] = ()) -> None:
        self.all = tuple(listeners)
        self.ports: dict[str, int] = {}

    def hold(self) -> list[HeldPort]:
        """Choose a port for each; the caller releases them when the broker is about to start."""
        held = {listener.name: HeldPort() for listener in self.all}
        self.ports = {name: port.port for name, port in held.items()}
        return list(held.values())

    def addresses(self) -> str:
        """What follows in listeners= and advertised.listeners=."""
        return "".join(f",{name.upper()}://127.0.0.1:{port}" for name, port in self.ports.items())

    def protocols(self) -> str:
        """What follows in listener.security.protocol.map=."""
        return "".join(f",{listener.name.upper()}:SASL_SSL" for listener in self.all)

    def lines(self, folder: Path) -> str:
        """Settings of all listeners."""
        return "".join(listener.lines(folder) for listener in self.all)

    def scram(self) -> list[str]:
        """Arguments of the storage tool that write the users into a new folder."""
        users = {name: password for listener in self.all for name, password in listener.users.items()}
        return [
            word
            for name, password in sorted(users.items())
            for word in ("-S", f"SCRAM-SHA-512=[name={name},password={password}]")
        ]
