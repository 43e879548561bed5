"""Goal: acks, rebirths and commands come through; settings that cannot work are refused; TLS works; sizes are right.
Method: the real Mosquitto, certificates made on the spot, packets counted on the wire.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge.settings import MqttSection, SettingsError
from edge.spool.index import Entry
from edge.uplink import connection
from edge.uplink.mqtt import Waker, publish_bytes
from tests.edge.uplink.mqtt_rig import FAST, Authority, Bridge, Broker, Rig, until
from vantel.identity import DeliveryClass

P0, P1, P2 = DeliveryClass

pytestmark = pytest.mark.servers


def test_downlink_acks_rebirths_and_commands(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start()
    cloud = bridge()
    cloud.acking = False
    campaigns: list[bytes] = []
    rig = start(broker.port, on_campaign=campaigns.append).start()
    rig.add(P1, 1)
    until(cloud.names, "sent")
    cloud.ack(P1, 0, van="van-2")
    cloud.down("ack", b"\xff\xff garbage")
    cloud.ack(P1, rebirth=(7, 8))
    cloud.down("command", b"\x01do")
    cloud.down("campaign", b"collect")
    until(lambda: campaigns, "campaign")
    until(lambda: rig.commands, "command")
    assert (rig.rebirths, rig.commands, campaigns) == ([7, 8], [b"\x01do"], [b"collect"])
    assert (rig["acks_foreign"], rig["acks_bad"], rig["acked"]) == (1, 1, 0)
    assert not rig.outbox.empty, "an ack for another van freed space"
    cloud.ack(P1, 0)
    until(lambda: rig.outbox.empty, "acked")


def test_what_was_sent_down_while_the_van_was_away_arrives(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start()
    cloud = bridge()
    first = start(broker.port).start()
    until(lambda: first.uplink.connected, "connected")
    first.stop()
    until(cloud.deaths, "gone")
    cloud.down("command", b"while away")
    time.sleep(0.2)
    second = start(broker.port).start()  # a new process of the agent: the session must outlive it
    until(lambda: second.commands, "the broker kept it for this van")
    assert second.commands == [b"while away"]


def test_a_callback_that_raises_costs_nothing(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    def explode(_data: object) -> None:
        raise RuntimeError("boom")

    broker.start()
    cloud = bridge()
    rig = start(broker.port, on_command=explode, on_rebirth=explode).start()
    until(lambda: rig.uplink.connected, "connected")
    cloud.down("command", b"x")
    cloud.ack(P1, rebirth=(1,))
    until(lambda: rig["callback_failures"] == 2, "both failed")
    rig.add(P1, 10)
    until(lambda: rig.outbox.empty, "goes on")
    assert rig["connects"] == 1


def test_an_envelope_larger_than_the_broker_takes_is_reported(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start(replace=("max_packet_size 300000", "max_packet_size 20000"))
    cloud = bridge()
    told: list[Entry] = []
    rig = start(broker.port, on_oversize=told.append)
    rig.add(P1, 1, size=30_000)
    rig.add(P1, 3)
    rig.start()
    until(lambda: rig.outbox.backlog()[P1][0] == 1, "the others went")
    assert {entry.seq for entry in told} == {0}
    assert sorted(cloud.names()) == ["p1/1", "p1/2", "p1/3"]
    assert rig["connects"] == 1, "the broker was made to drop us"


def test_no_durable_ack_builds_the_connection_anew(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start()
    cloud = bridge()
    cloud.acking = False
    rig = start(broker.port, FAST.model_copy(update={"stalled_after_s": 0.2})).start()
    rig.add(P1)
    until(lambda: rig["rebuilds"] >= 2, "built anew")
    assert cloud.deaths() == [], "the van told its death although it lives"
    assert not rig.uplink.stalled, "an outage of the cloud must not restart the agent"
    cloud.acking = True
    until(lambda: rig.outbox.empty, "acked")


@pytest.mark.parametrize(
    ("host", "keys", "said"),
    [
        ("broker.example.org", {}, "mqtt.ca_file"),
        ("10.0.0.1", {}, 'mqtt.plaintext = "anywhere"'),
        ("10.0.0.1", {"ca_file": "/nowhere/ca.pem"}, "mqtt.ca_file /nowhere/ca.pem: No such file"),
        ("127.0.0.1", {"certificate_file": "/nowhere/van.pem"}, "mqtt.certificate_file"),
        ("127.0.0.1", {"key_file": "/nowhere/key.pem"}, "mqtt.certificate_file"),
        (
            "127.0.0.1",
            {"password_file": "/nowhere/password"},
            "mqtt.password_file /nowhere/password: No such file",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(host: str, keys: dict[str, Path], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Rig(MqttSection(host=host, **keys))  # type: ignore[arg-type]
    assert said in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_plaintext_stays_on_this_machine(host: str) -> None:
    assert connection.tls_context(MqttSection(host=host)) is None
    assert connection.tls_context(MqttSection(host="10.0.0.1", plaintext="anywhere")) is None


def test_tls_with_certificates(broker: Broker, start: Callable[..., Rig], tmp_path: Path) -> None:
    ca, other_ca = Authority(tmp_path, "ca"), Authority(tmp_path, "other")
    certificate, key = ca.issue("server", "127.0.0.1")
    van_certificate, van_key = ca.issue("van-1", "van-1")
    broker.start(
        [f"cafile {ca.certificate}", f"certfile {certificate}", f"keyfile {key}", "require_certificate true",
         "use_identity_as_username true"],
        replace=("allow_anonymous true", "allow_anonymous false"),
    )  # fmt: skip
    mine = {"certificate_file": van_certificate, "key_file": van_key}
    rig = start(broker.port, ca_file=ca.certificate, **mine).start()
    rig.add(P1, 1, size=100_000)
    until(lambda: rig.uplink.connected, "connected by TLS")
    until(
        lambda: rig["refused"] > 0, "a large message went through and was answered"
    )  # nobody subscribes here
    for keys, said in (
        ({"ca_file": other_ca.certificate, **mine}, "mqtt.ca_file"),
        ({"ca_file": ca.certificate, "host": "localhost", **mine}, "mqtt.host"),
        ({"ca_file": ca.certificate}, "TLS"),
    ):
        bad = start(broker.port, **keys).start()
        until(lambda bad=bad: bad["connect_failures"] >= 1, "refused")
        assert said in bad.uplink.last_error
        assert not bad.uplink.connected
        bad.stop()
    assert (
        connection.tls_context(MqttSection(ca_file=ca.certificate)).minimum_version >= ssl.TLSVersion.TLSv1_2
    )  # type: ignore[union-attr]


def test_waker_takes_any_number_of_calls_and_survives_its_close() -> None:
    waker = Waker()
    for _ in range(100_000):
        waker.wake()
    waker.clear()
    waker.close()
    waker.wake()


@pytest.mark.parametrize("size", [0, 80, 90, 100, 127, 128, 16_000, 16_400, 2_097_100, 2_097_200])
def test_publish_bytes_is_what_goes_over_the_wire(size: int) -> None:
    topic, payload = "v1/7/van-1/up/p1", b"x" * size
    near, far = socket.socketpair()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    with near, far:
        client._sock = near
        counted: list[int] = []

        def count() -> None:
            total = 0
            while data := far.recv(1 << 20):
                total += len(data)
            counted.append(total)

        reader = threading.Thread(target=count)
        reader.start()
        client.publish(topic, payload, qos=1)
        near.shutdown(socket.SHUT_WR)
        reader.join(10.0)
        client._sock = None
    assert counted == [publish_bytes(topic, payload)]
