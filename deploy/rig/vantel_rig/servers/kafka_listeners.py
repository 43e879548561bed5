"""Further listeners of the rig's Kafka, with TLS, beside the plain one that it always has.

Name, certificate and who may come -> lines of Kafka's settings. A listener with users is SASL_SSL and takes them by PLAIN
and by SCRAM-SHA-512 (SCRAM secrets are written into the folder when it is formatted); one with a CA of its clients is SSL
and takes whoever shows a certificate of that CA.
Source: Kafka's documentation of SSL (PEM key and trust stores), SASL/PLAIN and SASL/SCRAM.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vantel_rig.ports import HeldPort

_KEYSTORE = """\
listener.name.{name}.ssl.keystore.type=PEM
listener.name.{name}.ssl.keystore.location={keystore}
"""
_BY_AUTHORITY = """\
listener.name.{name}.ssl.truststore.type=PEM
listener.name.{name}.ssl.truststore.location={client_ca}
listener.name.{name}.ssl.client.auth=required
"""
_BY_USER = """\
listener.name.{name}.ssl.client.auth=none
listener.name.{name}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.{name}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required {users};
listener.name.{name}.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""
_WORD = re.compile(r"[A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True)
class SecureListener:
    """One listener. name: lower-case letters; certificate, key: PEM, as the broker shows it; users: passwords by name.

    client_ca: PEM; with it clients are known by their certificate, and there are no users.
    """

    name: str
    certificate: Path
    key: Path
    users: Mapping[str, str] = field(default_factory=dict)
    client_ca: Path | None = None

    @property
    def protocol(self) -> str:
        """Kafka's name of it."""
        return "SASL_SSL" if self.client_ca is None else "SSL"

    def lines(self, folder: Path) -> str:
        """Settings of the listener; its key store is written into the folder."""
        if not all(_WORD.fullmatch(word) for pair in self.users.items() for word in pair):
            raise ValueError("users and passwords of the rig's Kafka are of letters, digits and dashes")
        keystore = folder / f"{self.name}.pem"
        keystore.write_bytes(self.key.read_bytes() + self.certificate.read_bytes())
        shown = _KEYSTORE.format(name=self.name, keystore=keystore)
        if self.client_ca is not None:
            return shown + _BY_AUTHORITY.format(name=self.name, client_ca=self.client_ca)
        users = " ".join(f'user_{name}="{password}"' for name, password in self.users.items())
        return shown + _BY_USER.format(name=self.name, users=users)


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
        return "".join(f",{listener.name.upper()}:{listener.protocol}" for listener in self.all)

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
