"""InfluxDB 1.6 to 1.8 on a loopback port.

From a folder to a server that answers /ping. It is the storage engine of 2.x with the 1.x interface; `nginx.py` in
front adds the write address of 2.x. Nothing is reported home, nothing monitored into itself.
Source: the commented default configuration that `influxd config` prints.
"""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path

from vantel_rig.ports import HeldPort
from vantel_rig.process import Process
from vantel_rig.programs import find_server

BODY_BYTES_MAX = 25_000_000

_CONFIG = """\
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"

[meta]
  dir = "{folder}/meta"
  logging-enabled = false

[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
  index-version = "inmem"

[coordinator]
  write-timeout = "10s"

[monitor]
  store-enabled = false

[http]
  enabled = true
  bind-address = "127.0.0.1:{port}"
  auth-enabled = false
  log-enabled = false
  max-body-size = {body_bytes_max}

[logging]
  level = "warn"
  suppress-logo = true
"""


class InfluxDB:
    """The store, by its own interface."""

    name = "influxdb"
    ready_s_max = 120.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0

    def configure(self) -> Process:
        """Chooses the ports, writes the configuration and returns the process to start."""
        program = find_server("influxd")
        self.folder.mkdir(parents=True, exist_ok=True)
        held, held_rpc = HeldPort(), HeldPort()
        self.port = held.port
        config = self.folder / "influxdb.toml"
        text = _CONFIG.format(
            folder=self.folder, port=self.port, rpc_port=held_rpc.port, body_bytes_max=BODY_BYTES_MAX
        )
        config.write_text(text)
        held.release()
        held_rpc.release()
        return Process(
            self.name, [program.path, "run", "-config", config], program.env, self.folder / "influxdb.log"
        )

    def ready(self) -> bool:
        """Whether /ping is answered."""
        return answers(self.port, "/ping", 204)

    def clashed(self, log: str) -> bool:
        """Whether the log says that another process has one of our ports."""
        return "address already in use" in log


def answers(port: int, path: str, status: int, secure: bool = False) -> bool:
    """Whether a GET on loopback gets this status within a second. secure: over TLS, whatever certificate it shows."""
    link = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=1.0, context=ssl._create_unverified_context())  # noqa: S323
        if secure
        else http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    )
    try:
        link.request("GET", path)
        return link.getresponse().status == status
    except (OSError, http.client.HTTPException):
        return False
    finally:
        link.close()
