"""Goal: the link keeps to its receive maximum even when the broker does not, connects by TLS with a certificate and a
password, says clearly what a broker refuses, and comes back by itself.

Method: the real Mosquitto with a configuration for each case; certificates by openssl, made for the test.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from cloud.bridge.happenings import Connected, Delivery, Disconnected, Published, Subscribed
from cloud.mqtt import IN_FLIGHT_BYTES_MAX, PACKET_BYTES_MAX, MqttLink, receive_maximum_of
from cloud.settings import MqttSection
from vantel_rig.process import Process
from vantel_rig.servers.mosquitto import Mosquitto

pytestmark = pytest.mark.servers
FILTER = "v1/+/+/up/+"


class Broker:
    """Mosquitto with the rig's configuration and lines of one's own."""

    def __init__(self, folder: Path) -> None:
        self._server = Mosquitto(folder)
        self._process: Process | None = None
        self.port = 0

    def start(self, more: str = "", without: str = "") -> None:
        process = self._server.configure()
        config = self._server.folder / "mosquitto.conf"
        lines = [line for line in config.read_text().splitlines() if not without or without not in line]
        config.write_text("\n".join([*lines, *more.split("\n")]) + "\n")
        self.port = self._server.port
        self._process = process
        self.start_again()

    def start_again(self) -> None:
        assert self._process is not None
        self._process.start()
        give_up_s = time.monotonic() + 60
        while not listens(self.port):
            assert self._process.running, self._process.log_tail()
            assert time.monotonic() < give_up_s
            time.sleep(0.02)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()

    def send(self, topic: str, payloads: list[bytes]) -> None:
        """Publish from a van, waiting for all PUBACKs."""
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.max_inflight_messages = 500
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        for info in [client.publish(topic, payload, qos=1) for payload in payloads]:
            info.wait_for_publish(120)
        client.disconnect()
        client.loop_stop()


def listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    running = Broker(tmp_path / "broker")
    yield running
    running.kill()


class Seen:
    """A link with what it told."""

    def __init__(self, **mqtt_keys: Any) -> None:
        self.all: list[Any] = []
        section = MqttSection(**{"backoff_s_min": 0.1, "backoff_s_max": 0.3, **mqtt_keys})
        self.link = MqttLink(section, [FILTER], [], self._take)

    def _take(self, lot: list[Any]) -> None:
        for item in lot:
            self.all.append(item)
            if isinstance(item, Disconnected):
                self.link.release()

    def of(self, kind: Any) -> list[Any]:
        return [item for item in self.all if isinstance(item, kind)]

    async def until(self, true: Callable[[], bool], timeout_s: float = 120.0) -> None:
        give_up_s = time.monotonic() + timeout_s
        while not true():
            assert time.monotonic() < give_up_s, self.all[-5:]
            await asyncio.sleep(0.02)

    async def refused(self) -> str:
        """Start, wait for the first failure, stop; why."""
        self.link.start()
        await self.until(lambda: bool(self.of(Disconnected)))
        await self.link.stop(60.0)
        return str(self.of(Disconnected)[0].why)


def test_the_receive_maximum_holds_also_against_a_broker_that_passes_it(broker: Broker) -> None:
    broker.start()
    seen = Seen(port=broker.port, receive_maximum=50)

    async def body() -> None:
        seen.link.start()
        await seen.until(lambda: bool(seen.of(Subscribed)))
        await asyncio.to_thread(broker.send, "v1/1/a/up/p1", [b"%d" % n for n in range(400)])
        acked = 0
        give_up_s = time.monotonic() + 120
        while acked < 400 and time.monotonic() < give_up_s:
            came = seen.of(Delivery)
            assert len(came) - acked <= 51
            for delivery in came[acked : acked + 7]:
                seen.link.puback(delivery.connection, delivery.mid)
                acked += 1
            await asyncio.sleep(0.005)
        assert [delivery.payload for delivery in seen.of(Delivery)] == [b"%d" % n for n in range(400)]
        await seen.link.stop(60.0)
        assert not seen.link._thread.is_alive()

    asyncio.run(body())


def test_what_was_not_acknowledged_comes_again_and_old_pubacks_reach_nobody(broker: Broker) -> None:
    broker.start()

    async def body() -> None:
        first = Seen(port=broker.port)
        first.link.start()
        await first.until(lambda: bool(first.of(Subscribed)))
        await asyncio.to_thread(broker.send, "v1/1/a/up/p1", [b"one", b"two", b"three"])
        await first.until(lambda: len(first.of(Delivery)) == 3)
        one = first.of(Delivery)[0]
        first.link.puback(one.connection + 5, first.of(Delivery)[1].mid)
        first.link.puback(one.connection, one.mid)
        await first.link.stop(60.0)
        again = Seen(port=broker.port)
        again.link.start()
        await again.until(lambda: len(again.of(Delivery)) == 2)
        await asyncio.sleep(0.3)
        assert [delivery.payload for delivery in again.of(Delivery)] == [b"two", b"three"]
        assert again.of(Connected)[0].session_present
        await again.link.stop(60.0)

    asyncio.run(body())


def test_it_comes_back_and_answers_publishes(broker: Broker) -> None:
    broker.start()

    async def body() -> None:
        seen = Seen(port=broker.port)
        seen.link.start()
        await seen.until(lambda: len(seen.of(Subscribed)) == 1)
        seen.link.publish(seen.of(Connected)[0].connection, "v1/1/a/down/ack", b"x", 41)
        await seen.until(lambda: seen.of(Published) == [Published(seen.of(Connected)[0].connection, 41, "")])
        broker.kill()
        await seen.until(lambda: any("nobody listens" in item.why for item in seen.of(Disconnected)))
        await asyncio.to_thread(broker.start_again)
        await seen.until(lambda: len(seen.of(Subscribed)) == 2)
        connections = [item.connection for item in seen.of(Connected)]
        assert connections == sorted(set(connections))
        await seen.link.stop(60.0)

    asyncio.run(body())


def test_a_second_bridge_with_the_same_name_is_explained(broker: Broker) -> None:
    broker.start()

    async def body() -> None:
        seen, other = Seen(port=broker.port), Seen(port=broker.port)
        seen.link.start()
        await seen.until(lambda: bool(seen.of(Subscribed)))
        other.link.start()
        await seen.until(lambda: any("mqtt.client_id" in item.why for item in seen.of(Disconnected)))
        await seen.link.stop(60.0)
        await other.link.stop(60.0)

    asyncio.run(body())


def test_refusals_name_the_fix(broker: Broker, tmp_path: Path) -> None:
    rights = tmp_path / "acl"
    rights.write_text("topic write v1/#\n")
    passwords = tmp_path / "passwords"
    passwords.write_text("somebody:nothing\n")
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    broker.start(f"acl_file {rights}\npassword_file {passwords}")

    async def body() -> None:
        why = await Seen(port=broker.port, username="somebody", password_file=wrong).refused()
        assert "access list" in why or "mqtt.username" in why
        why = await Seen(port=1).refused()
        assert "nobody listens" in why

    asyncio.run(body())


def test_tls_with_certificates(broker: Broker, tmp_path: Path) -> None:
    ca, other = Authority(tmp_path, "ca"), Authority(tmp_path, "other")
    certificate, key = ca.issue("server", "127.0.0.1")
    bridge_certificate, bridge_key = ca.issue("bridge", "bridge")
    broker.start(
        f"cafile {ca.certificate}\ncertfile {certificate}\nkeyfile {key}\nrequire_certificate true\n"
        "use_identity_as_username true",
        without="allow_anonymous",
    )
    mine = {"certificate_file": bridge_certificate, "key_file": bridge_key}

    async def body() -> None:
        seen = Seen(port=broker.port, ca_file=ca.certificate, **mine)
        seen.link.start()
        await seen.until(lambda: bool(seen.of(Subscribed)))
        connection = seen.of(Connected)[0].connection
        for number in range(20):
            seen.link.publish(connection, "v1/1/a/up/p1", bytes([number]) * 100_000, number)
        await seen.until(lambda: len(seen.of(Delivery)) == 20)
        assert [item.payload for item in seen.of(Delivery)] == [bytes([n]) * 100_000 for n in range(20)]
        await seen.link.stop(60.0)
        why = await Seen(port=broker.port, ca_file=other.certificate, **mine).refused()
        assert "mqtt.ca_file" in why
        why = await Seen(port=broker.port, host="localhost", ca_file=ca.certificate, **mine).refused()
        assert "give mqtt.host as it stands in the server's certificate" in why
        assert "TLS" in await Seen(port=broker.port, ca_file=ca.certificate).refused()

    asyncio.run(body())


def test_the_receive_maximum_is_bounded_in_bytes() -> None:
    assert receive_maximum_of(MqttSection(receive_maximum=10)) == 10
    assert receive_maximum_of(MqttSection(receive_maximum=65_535)) * PACKET_BYTES_MAX <= IN_FLIGHT_BYTES_MAX


class Authority:
    """A throw-away certificate authority by openssl."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.certificate, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        openssl(
            "req", "-x509", *NEW_KEY, "-days", "2", "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.certificate
        )  # fmt: skip

    def issue(self, name: str, host: str) -> tuple[Path, Path]:
        certificate, key, request, extension = (
            self.folder / f"{name}.{end}" for end in ("crt", "prv", "csr", "ext")
        )
        openssl("req", *NEW_KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        extension.write_text(f"subjectAltName={'IP' if host[0].isdigit() else 'DNS'}:{host}\n")
        openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
            "-days", "2", "-extfile", extension, "-out", certificate,
        )  # fmt: skip
        return certificate, key


NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def test_a_message_with_an_expiry_does_not_wait_for_a_van_that_was_away_too_long(broker: Broker) -> None:
    broker.start()
    topic = "v1/1/a/down/command"

    async def body() -> None:
        away = Seen(port=broker.port, client_id="van-a", session_expiry_s=60)
        away.link._filters = [topic]
        away.link.start()
        await away.until(lambda: bool(away.of(Subscribed)))
        await away.link.stop(60.0)
        page = Seen(port=broker.port, client_id="page", session_expiry_s=0)
        page.link._filters = []
        page.link.start()
        await page.until(lambda: bool(page.of(Subscribed)))
        connection = page.of(Connected)[0].connection
        page.link.publish(connection, topic, b"late", 1, 1)
        page.link.publish(connection, topic, b"in time", 2, 60)
        await page.until(lambda: len(page.of(Published)) == 2)
        await asyncio.sleep(2.5)
        back = Seen(port=broker.port, client_id="van-a", session_expiry_s=60)
        back.link._filters = [topic]
        back.link.start()
        await back.until(lambda: bool(back.of(Delivery)))
        await asyncio.sleep(0.3)
        assert [delivery.payload for delivery in back.of(Delivery)] == [b"in time"]
        await back.link.stop(60.0)
        await page.link.stop(60.0)

    asyncio.run(body())
