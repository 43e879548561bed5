"""Kafka on loopback ports: one node that is broker and controller at once.

From a folder to a broker that names itself in a metadata answer, which it does once it takes requests. The folder is
formatted by Kafka's own StorageTool, once for each version; later folders get a copy, which saves a second Java start.
Topics are never created by asking for them. Sizes are bytes, times in names carry their unit.
Source: Kafka's protocol guide (ApiVersions, Metadata) and its broker settings.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from vantel_rig.ports import HeldPort
from vantel_rig.process import Process, ProcessError
from vantel_rig.programs import find_java, kafka_libraries, local_dir
from vantel_rig.servers.kafka_listeners import Listeners, SecureListener

CLUSTER_ID = "dmFudGVsLWxvY2FsLXJpZw"  # 16 bytes in base64, as Kafka wants it
HEAP_MIB_MAX = 512
MESSAGE_BYTES_MAX = 1_048_588
FORMAT_S_MAX = 180.0

_CONFIG = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{addresses}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{addresses}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
log.dirs={folder}/data
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
message.max.bytes={message_bytes_max}
log.segment.bytes=67108864
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=2
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
{more}"""

_LOGGING = """\
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{HH:mm:ss.SSS} %p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
"""


class Kafka:
    """The log between bridge and worker."""

    name = "kafka"
    ready_s_max = 180.0

    def __init__(self, folder: Path, secure: Sequence[SecureListener] = ()) -> None:
        """secure: listeners with TLS beside the plain one; `ports` has theirs by name."""
        self.folder = folder
        self.port = 0
        self._secure = Listeners(secure)

    @property
    def ports(self) -> dict[str, int]:
        """Ports of the secure listeners."""
        return self._secure.ports

    def configure(self) -> Process:
        """Chooses the ports, formats the folder when it is new and returns the process to start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        held, held_controller = HeldPort(), HeldPort()
        held_secure = self._secure.hold()
        self.port = held.port
        text = _CONFIG.format(
            folder=self.folder,
            port=self.port,
            controller_port=held_controller.port,
            message_bytes_max=MESSAGE_BYTES_MAX,
            addresses=self._secure.addresses(),
            protocols=self._secure.protocols(),
            more=self._secure.lines(self.folder),
        )
        (self.folder / "server.properties").write_text(text)
        (self.folder / "log4j2.properties").write_text(_LOGGING)
        if not (self.folder / "data" / "meta.properties").exists():
            if self._secure.all:
                _format(
                    self.folder / "server.properties", self.folder / "log4j2.properties", self._secure.scram()
                )
            else:
                shutil.copytree(_formatted(), self.folder / "data", dirs_exist_ok=True)
        for one in (held, held_controller, *held_secure):
            one.release()
        argv = [
            *_java(self.folder / "log4j2.properties"),
            f"-Xmx{HEAP_MIB_MAX}m",
            f"-Xms{HEAP_MIB_MAX // 2}m",
        ]
        argv += ["kafka.Kafka", str(self.folder / "server.properties")]
        return Process(self.name, argv, find_java().env, self.folder / "kafka.log", self.folder)

    def ready(self) -> bool:
        """Whether the broker lists itself, so that clients can produce at once."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2.0) as link:
                return _brokers(link) > 0
        except (OSError, struct.error):
            return False

    def clashed(self, log: str) -> bool:
        """Whether the log says that another process has one of our ports."""
        return "Address already in use" in log


def _java(log_config: Path) -> list[str]:
    """The Java command up to the main class. Start-up time matters here, peak speed does not."""
    java, libraries = find_java(), kafka_libraries()
    options = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.awt.headless=true"]
    return [str(java.path), *options, f"-Dlog4j2.configurationFile={log_config}", "-cp", f"{libraries}/*"]


def _formatted() -> Path:
    """A formatted data folder to copy; made on first use and guarded against a second maker."""
    done = local_dir() / "kafka" / "formatted"
    if done.is_dir():
        return done
    with (local_dir() / "kafka" / "formatted.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.is_dir():
            return done
        new = done.with_name(f"formatted.{os.getpid()}")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        config, log_config = new / "format.properties", new / "log4j2.properties"
        config.write_text(
            _CONFIG.format(
                folder=new,
                port=9092,
                controller_port=9093,
                message_bytes_max=MESSAGE_BYTES_MAX,
                addresses="",
                protocols="",
                more="",
            )
        )
        log_config.write_text(_LOGGING)
        _format(config, log_config, [])
        (new / "data").rename(done)
        shutil.rmtree(new)
    return done


def _format(config: Path, log_config: Path, scram: list[str]) -> None:
    """Format the folder that a settings file names; ProcessError with the tool's words when it fails."""
    argv = [
        *_java(log_config),
        "kafka.tools.StorageTool",
        "format",
        "-t",
        CLUSTER_ID,
        "-c",
        str(config),
        *scram,
    ]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=FORMAT_S_MAX, check=False)
    if ran.returncode != 0:
        raise ProcessError(f"format Kafka by {config}: status {ran.returncode}:\n{ran.stdout}{ran.stderr}")


def _brokers(link: socket.socket) -> int:
    """The number of brokers in a Metadata (version 1) answer about no topic."""
    client = b"vantel-rig"
    body = struct.pack(">hhih", 3, 1, 7, len(client)) + client + struct.pack(">i", 0)
    link.sendall(struct.pack(">i", len(body)) + body)
    answer = b""
    while len(answer) < 12:
        part = link.recv(4096)
        if not part:
            return 0
        answer += part
    correlation, brokers = struct.unpack_from(">ii", answer, 4)
    return int(brokers) if correlation == 7 else 0
