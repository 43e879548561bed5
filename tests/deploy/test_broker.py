"""The broker that ships: TLS, and an access list that keeps vans, bridge and operators' tools apart.

Goal: van A can neither write nor read as B; only the bridge writes acks, only the operators' tools write commands and
campaigns; certificates that are wrong, expired or another van's are refused with a clear line in the van's log; with
right ones the whole path from agent to Kafka and the durable ack works.
Method: the shipped files on a real Mosquitto; bare clients for the table of rights; agent and bridge as processes.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.production_broker import WAIT_S_MAX, Certificates, Client, ProductionBroker
from vantel import topics
from vantel_rig.cloud_side import CloudSide
from vantel_rig.stack import Stack
from vantel_rig.van import Van

pytestmark = pytest.mark.servers

A, B = "van-a", "van-b"
BRIDGE, PAGE, OPERATOR, CAMPAIGN = "vantel-bridge-0", "vantel-page", "vantel-operator", "vantel-campaign"
EVERYBODY = (A, B, BRIDGE, PAGE, OPERATOR, CAMPAIGN)
FAST = {"backoff_s_min": 0.1, "backoff_s_max": 0.3, "resend_after_s": 2.0}
UP = ("p0", "p1", "p2", "death")
DOWN = ("ack", "command", "campaign")


def up(van: str, leaf: str) -> str:
    return topics.death(van).replace("/death", f"/{leaf}")


TOPICS = {
    *(up(name, leaf) for name in EVERYBODY for leaf in UP),
    *(topics.down(name, leaf) for name in EVERYBODY for leaf in DOWN),
    "v1/0/up", "v1", "elsewhere", "$SYS/broker/uptime", "$CONTROL/dynamic-security/v1",
}  # fmt: skip
MAY_WRITE = {
    A: {up(A, leaf) for leaf in UP},
    B: {up(B, leaf) for leaf in UP},
    BRIDGE: {topics.down(name, "ack") for name in EVERYBODY if name != BRIDGE},
    PAGE: {topics.down(name, "command") for name in EVERYBODY if name != PAGE},
    OPERATOR: {topics.down(name, "command") for name in EVERYBODY if name != OPERATOR},
    CAMPAIGN: {topics.down(name, "campaign") for name in EVERYBODY if name != CAMPAIGN},
}
"""All that anybody may write. Programs stand beside vans in it only since the list does not know which ids exist."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProductionBroker]:
    folder = tmp_path_factory.mktemp("broker")
    certificates = Certificates(folder / "certificates")
    for arguments in (
        ("van", A),
        ("van", B),
        ("bridge", "0"),
        ("operator", "page"),
        ("operator", "operator"),
        ("operator", "campaign"),
    ):
        certificates.make(*arguments)
    with ProductionBroker(folder / "mosquitto", certificates) as running:
        yield running


@pytest.fixture
def client(broker: ProductionBroker) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def connect(name: str, client_id: str | None = None) -> Client:
        clients.append(Client(broker, name, client_id))
        return clients[-1]

    yield connect
    for each in clients:
        each.close()


@pytest.mark.parametrize("name", EVERYBODY)
def test_who_may_write_what(client: Callable[..., Client], name: str) -> None:
    writer = client(name)
    assert {topic for topic in TOPICS if writer.publish(topic)} == MAY_WRITE[name]


def test_who_may_read_what(client: Callable[..., Client]) -> None:
    clients = {name: client(name) for name in EVERYBODY}
    for each in clients.values():
        each.subscribe("#", "v1/+/+/up/+", "v1/+/+/down/+", *(topics.down(B, leaf) for leaf in DOWN))
        each.subscribe("$SYS/#", "$CONTROL/#")
    for name, each in clients.items():
        for topic in MAY_WRITE[name]:
            assert each.publish(topic)
    expected: dict[str, set[str]] = {name: set() for name in EVERYBODY}
    expected[BRIDGE] = {up(name, leaf) for name in (A, B) for leaf in UP}
    for van in (A, B):
        expected[van] = {topics.down(van, leaf) for leaf in DOWN}
    got: dict[str, set[str]] = {name: set() for name in EVERYBODY}
    for name in (A, B, BRIDGE):
        while got[name] < expected[name]:
            got[name].add(clients[name].got.get(timeout=WAIT_S_MAX))
    time.sleep(0.3)  # whatever was wrongly delivered was sent before what has come by now
    for name, each in clients.items():
        while not each.got.empty():
            got[name].add(each.got.get())
    assert got == expected


def test_the_certificate_decides_who_a_client_is(client: Callable[..., Client]) -> None:
    real = client(B)
    liar = client(A, client_id=B)
    assert liar.connected == 0
    assert not liar.publish(up(B, "p1"))
    assert liar.publish(up(A, "p1"))
    time.sleep(0.2)
    assert real.up, "a client that named itself B has not thrown B out"


def test_nothing_can_be_left_behind_for_others(client: Callable[..., Client]) -> None:
    van = client(A)
    van.publish(up(A, "p1"), retain=True)
    bridge = client(BRIDGE)
    bridge.subscribe("v1/+/+/up/+")
    time.sleep(0.3)
    assert bridge.got.empty()


@pytest.mark.parametrize("name", ["+", "#", "van-a/up", "v/#"])
def test_a_name_with_wildcards_has_no_rights(
    broker: ProductionBroker, client: Callable[..., Client], name: str
) -> None:
    plain = "odd-" + name.encode().hex()
    sign(broker.certificates, plain, name)
    odd = client(plain)
    if odd.connected == 0:
        assert not [topic for topic in TOPICS if odd.publish(topic)]


def sign(certificates: Certificates, file: str, name: str) -> None:
    """A certificate as a careless CA would sign it; our script refuses such names."""
    folder = certificates.folder
    request = folder / f"{file}.csr"
    subject = "/CN=" + name.replace("/", "\\/")
    for command in (
        ["req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", folder / f"{file}.key", "-out", request],
        ["x509", "-req", "-in", request, "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-set_serial", "99",
         "-days", "2", "-out", folder / f"{file}.pem"],
    ):  # fmt: skip
        subprocess.run(["openssl", *map(str, command)], check=True, capture_output=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("van", "a+b"), ("van", "a/b"), ("van", "#"), ("van", "v" * 33), ("van", ""), ("van", "vantel-bridge-0"),
        ("van", "ca"), ("bridge", "x"), ("operator", "root"), ("server", "a,DNS:b"), ("server",), ("thing", "x"),
    ],
)  # fmt: skip
def test_the_script_refuses_names_that_could_mean_more(
    broker: ProductionBroker, arguments: tuple[str, ...]
) -> None:
    before = sorted(broker.certificates.folder.iterdir())
    with pytest.raises(subprocess.CalledProcessError) as refused:
        broker.certificates.make(*arguments)
    assert refused.value.stderr.startswith("make_certificates: ")
    assert sorted(broker.certificates.folder.iterdir()) == before


def test_the_script_keeps_what_is_there(broker: ProductionBroker) -> None:
    before = (broker.certificates.folder / f"{A}.pem").read_bytes()
    assert "there already" in broker.certificates.make("van", A)
    assert "there already" in broker.certificates.make("ca")
    assert (broker.certificates.folder / f"{A}.pem").read_bytes() == before


def van_settings(broker: ProductionBroker, name: str, **mqtt: Any) -> dict[str, Any]:
    """Sections of a van with the certificate of a name."""
    tls = {**broker.certificates.settings(name), "host": "localhost", **mqtt}
    return {"mqtt": tls, "uplink": FAST, "batch": {"window_s": 1.0}, "log": {"format": "text"}}


@pytest.fixture
def start_van(broker: ProductionBroker, tmp_path: Path) -> Iterator[Callable[..., Van]]:
    vans: list[Van] = []

    def start(van_id: str, **sections: Any) -> Van:
        vans.append(Van(van_id, tmp_path / van_id, broker.port, [{"kind": "probe"}], **sections))
        return vans[-1].start()

    yield start
    for van in vans:
        van.stop()


def says(van: Van, text: str, timeout_s: float = WAIT_S_MAX) -> None:
    """Wait until the van's log has a text."""
    give_up_s = time.monotonic() + timeout_s
    while text not in van.tail(1000):
        assert van.alive, van.tail()
        assert time.monotonic() < give_up_s, f"no {text!r} in the log:\n{van.tail()}"
        time.sleep(0.05)


def other_ca(broker: ProductionBroker, tmp_path: Path) -> Certificates:
    other = Certificates(tmp_path / "other-ca")
    other.make("van", A)
    return other


def test_a_certificate_of_another_ca_is_refused(
    broker: ProductionBroker, start_van: Callable[..., Van], tmp_path: Path
) -> None:
    foreign = other_ca(broker, tmp_path).settings(A)
    settings = van_settings(
        broker, A, certificate_file=foreign["certificate_file"], key_file=foreign["key_file"]
    )
    van = start_van(A, **settings)
    says(van, "the broker does not know the CA that signed mqtt.certificate_file")
    assert not van.status().get("connected")


def test_a_van_does_not_talk_to_a_broker_of_another_ca(
    broker: ProductionBroker, start_van: Callable[..., Van], tmp_path: Path
) -> None:
    van = start_van(A, **van_settings(broker, A, ca_file=other_ca(broker, tmp_path).settings(A)["ca_file"]))
    says(van, "check mqtt.ca_file")


def test_an_expired_certificate_is_refused(broker: ProductionBroker, start_van: Callable[..., Van]) -> None:
    broker.certificates.make("van", "van-old", days=-1)
    van = start_van("van-old", **van_settings(broker, "van-old"))
    says(van, "the broker says that mqtt.certificate_file has expired")
    assert not van.status().get("connected")


def test_no_certificate_is_refused(broker: ProductionBroker, start_van: Callable[..., Van]) -> None:
    settings = van_settings(broker, A)
    settings["mqtt"] = {"ca_file": settings["mqtt"]["ca_file"], "host": "localhost"}
    says(start_van(A, **settings), "set mqtt.certificate_file")


def test_a_server_certificate_is_no_client(broker: ProductionBroker, start_van: Callable[..., Van]) -> None:
    says(start_van("server", **van_settings(broker, "server")), "extendedKeyUsage clientAuth")


def test_another_vans_topic_is_refused(
    broker: ProductionBroker, start_van: Callable[..., Van], client: Callable[..., Client]
) -> None:
    bridge = client(BRIDGE)
    bridge.subscribe("v1/+/+/up/+")
    van = start_van(B, **van_settings(broker, A))  # B by its settings, A by its certificate
    says(van, "(0x87); it does not let this certificate or user send as this van.id")
    time.sleep(0.3)
    assert bridge.got.empty(), "nothing arrived under the name of B"
    assert van.status()["uplink"]["acked"] == 0


@pytest.mark.e2e
def test_agent_to_kafka_and_back_over_tls(
    broker: ProductionBroker, start_van: Callable[..., Van], vantel_stack: Stack, tmp_path: Path
) -> None:
    tls = {
        **broker.certificates.settings(BRIDGE),
        "host": "localhost",
        "port": broker.port,
        "client_id": BRIDGE,
    }
    side = CloudSide(vantel_stack, tmp_path / "cloud", mqtt=tls)
    side.provision()
    side.launch("bridge")
    try:
        side.wait_healthy("bridge")
        van = start_van(A, **van_settings(broker, A))
        give_up_s = time.monotonic() + WAIT_S_MAX
        while van.status().get("uplink", {}).get("acked", 0) < 3:
            assert time.monotonic() < give_up_s, f"no durable acks:\n{van.tail()}\n{side.tail('bridge')}"
            time.sleep(0.1)
        assert van.drain(WAIT_S_MAX)
        assert "refused" not in van.tail(1000)
    finally:
        side.stop()


def test_a_bridge_without_its_certificate_says_what_is_missing(
    broker: ProductionBroker, vantel_stack: Stack, tmp_path: Path
) -> None:
    tls = {"ca_file": str(broker.certificates.ca), "host": "localhost", "port": broker.port}
    side = CloudSide(vantel_stack, tmp_path / "cloud", mqtt=tls)
    side.launch("bridge")
    try:
        give_up_s = time.monotonic() + WAIT_S_MAX
        while "a certificate of ours" not in side.tail("bridge") and "certificate_file" not in side.tail(
            "bridge"
        ):
            assert time.monotonic() < give_up_s, side.tail("bridge")
            time.sleep(0.1)
    finally:
        side.stop()


def test_openssl_is_there() -> None:
    assert shutil.which("openssl"), "the script needs the package openssl"
