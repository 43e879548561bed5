"""nginx in front of InfluxDB 1.x: the write address of InfluxDB 2 becomes that of InfluxDB 1.

`POST /api/v2/write?bucket=B&org=O&precision=P` goes on as `/write?db=B&precision=p` (`ns` is `n` there, `us` is `u`;
a bucket `B/R` names the retention policy R); all other paths pass unchanged. Bodies up to 25 MB, gzip included.
Its worker is started again by its master, so nothing here retries: an InfluxDB that is down shows as status 502.
"""

from __future__ import annotations

import getpass
import grp
import os
from pathlib import Path

from vantel_rig.ports import HeldPort
from vantel_rig.process import Process
from vantel_rig.programs import find_server
from vantel_rig.servers.influxdb import answers

_CONFIG = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
{user}
events {{ worker_connections 512; }}

http {{
  access_log off;
  client_max_body_size 25m;
  client_body_buffer_size 1m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;

  map $arg_precision $precision_1x {{
    default n;
    us u;
    ms ms;
    s s;
  }}
  map $arg_bucket $target_1x {{
    default "db=$arg_bucket";
    "~^(?<database>.+?)(?:/|%2[Ff])(?<policy>.+)$" "db=$database&rp=$policy";
  }}

  upstream influxdb {{
    # Without max_fails=0 one refused connection during a restart closes the address for ten seconds.
    server 127.0.0.1:{influx_port} max_fails=0;
    keepalive 16;
  }}

  server {{
    listen 127.0.0.1:{port}{tls};
    location / {{
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_read_timeout 60s;
      proxy_pass http://influxdb;
    }}
    location = /api/v2/write {{
      set $args "$target_1x&precision=$precision_1x";
      rewrite ^ /write break;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_read_timeout 60s;
      proxy_pass http://influxdb;
    }}
  }}
}}
"""


class Nginx:
    """The address that the sink writes to and the readers ask."""

    name = "nginx"
    ready_s_max = 120.0  # ready means that InfluxDB behind it answers too

    def __init__(self, folder: Path, influx_port: int, tls: tuple[Path, Path] | None = None) -> None:
        """tls: certificate and key, PEM; None: plaintext."""
        self._tls = tls
        self.folder = folder
        self.influx_port = influx_port
        self.port = 0

    def configure(self) -> Process:
        """Chooses the port, writes the configuration and returns the process to start."""
        program = find_server("nginx")
        self.folder.mkdir(parents=True, exist_ok=True)
        held = HeldPort()
        self.port = held.port
        # As root the worker would change to an account that cannot write its bodies into our folder.
        user = f"user {getpass.getuser()} {grp.getgrgid(os.getgid()).gr_name};" if os.geteuid() == 0 else ""
        tls = (
            f" ssl;\n    ssl_certificate {self._tls[0]};\n    ssl_certificate_key {self._tls[1]}"
            if self._tls
            else ""
        )
        config = self.folder / "nginx.conf"
        config.write_text(
            _CONFIG.format(
                folder=self.folder, port=self.port, influx_port=self.influx_port, user=user, tls=tls
            )
        )
        held.release()
        return Process(
            self.name, [program.path, "-p", self.folder, "-c", config], program.env, self.folder / "nginx.log"
        )

    def ready(self) -> bool:
        """Whether /ping is answered by InfluxDB through us."""
        return answers(self.port, "/ping", 204, secure=self._tls is not None)

    def clashed(self, log: str) -> bool:
        """Whether the log says that another process has our port."""
        return "Address already in use" in log
