"""Mosquitto on a loopback port, with the bounds that production has.

From a folder to a broker that answers an MQTT 5 CONNECT. Nobody signs in: only loopback is bound. Without
persistence a restart forgets sessions and queued messages, which is the harder case and therefore the default.
Sizes are bytes. Source: mosquitto.conf(5) of 2.0.
"""

from __future__ import annotations

import getpass
import socket
from pathlib import Path

from vantel_rig.ports import HeldPort
from vantel_rig.process import Process
from vantel_rig.programs import find_server

QUEUED_MESSAGES_MAX = 20_000
QUEUED_BYTES_MAX = 256 * 1024 * 1024
MEMORY_BYTES_MAX = 1024 * 1024 * 1024
PACKET_BYTES_MAX = 300_000
INFLIGHT_MESSAGES_MAX = 2_000
KEEPALIVE_S_MAX = 300

_CONNECT = (
    bytes.fromhex("101700044d5154540502000500000a") + b"vantel-rig"
)  # MQTT 5, clean start, keep-alive 5 s


class Mosquitto:
    """The broker between vans and bridge."""

    name = "mosquitto"
    ready_s_max = 60.0

    def __init__(self, folder: Path, persistence: bool = False) -> None:
        self.folder = folder
        self.persistence = persistence
        self.port = 0

    def configure(self) -> Process:
        """Chooses the port, writes the configuration and returns the process to start."""
        program = find_server("mosquitto")
        self.folder.mkdir(parents=True, exist_ok=True)
        held = HeldPort()
        self.port = held.port
        config = self.folder / "mosquitto.conf"
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            f"user {getpass.getuser()}",  # as root it would change to an account that may not read our folder
            "log_dest stderr",
            "log_type error",
            "log_type warning",
            "log_type notice",
            "connection_messages false",
            "set_tcp_nodelay true",
            f"max_queued_messages {QUEUED_MESSAGES_MAX}",
            f"max_queued_bytes {QUEUED_BYTES_MAX}",
            f"memory_limit {MEMORY_BYTES_MAX}",
            f"max_packet_size {PACKET_BYTES_MAX}",
            f"max_inflight_messages {INFLIGHT_MESSAGES_MAX}",
            f"max_keepalive {KEEPALIVE_S_MAX}",
            f"persistence {'true' if self.persistence else 'false'}",
        ]
        if self.persistence:
            lines += [f"persistence_location {self.folder}/", "autosave_interval 1"]
        config.write_text("\n".join(lines) + "\n")
        held.release()
        return Process(self.name, [program.path, "-c", config], program.env, self.folder / "mosquitto.log")

    def ready(self) -> bool:
        """Whether a CONNECT is answered with success."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as link:
                link.sendall(_CONNECT)
                answer = link.recv(64)
                link.sendall(b"\xe0\x00")
        except OSError:
            return False
        return len(answer) >= 4 and answer[0] == 0x20 and answer[3] == 0

    def clashed(self, log: str) -> bool:
        """Whether the log says that another process has our port."""
        return "Address already in use" in log
