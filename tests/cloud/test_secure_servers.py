"""Goal: a fleet's own Kafka (TLS with a password or a certificate of the client) and InfluxDB (TLS) work end to end, and
each mistake has one clear line.

Method: the real Kafka with listeners of SASL_SSL, one of them with an expired certificate, and one of SSL that wants a
certificate of its clients; nginx that ends TLS in front of
the real InfluxDB; `vantel-cloud check` as a process; then a van, bridge, worker and database over these connections.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud.query import InfluxQuery
from tests.cloud.secure_servers import SecureServers, secure_servers
from tests.cloud.test_check import check
from tests.deploy.production_broker import Certificates
from vantel_rig.cloud_side import CloudSide
from vantel_rig.stack import Stack
from vantel_rig.van import Van

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def servers(vantel_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServers]:
    with secure_servers(vantel_stack, tmp_path_factory.mktemp("secure")) as running:
        yield running


@pytest.fixture
def mqtt(vantel_stack: Stack) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": vantel_stack.mqtt_port}


@pytest.mark.e2e
@pytest.mark.parametrize("by", ["password", "certificate"])
def test_a_van_reaches_the_database_over_tls(
    vantel_stack: Stack, servers: SecureServers, tmp_path: Path, by: str
) -> None:
    kafka = servers.section_kafka() if by == "password" else servers.section_mutual(group="by-certificate")
    cloud = CloudSide(
        vantel_stack, tmp_path / "cloud", kafka=kafka, influx=servers.section_influx(bucket=f"secure-{by}")
    )
    van = Van(f"van-{by}", tmp_path / "van", vantel_stack.mqtt_port, [{"kind": "probe"}])
    try:
        cloud.start()
        van.start()
        query = InfluxQuery(cloud.settings.influx)
        give_up_s = time.monotonic() + 180
        while van.id not in query.count_points_by_van():
            assert time.monotonic() < give_up_s, cloud.tail("worker")
            time.sleep(0.3)
    finally:
        if van.alive:
            van.stop()
        cloud.stop()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_kafka_takes_the_right_name_and_password(
    servers: SecureServers, mqtt: dict[str, Any], tmp_path: Path, mechanism: str
) -> None:
    _, trials = check(
        tmp_path,
        {"mqtt": mqtt, "kafka": servers.section_kafka(mechanism), "influx": servers.section_influx()},
    )
    assert trials["kafka"]["good"][0] == "connected"
    assert not [problem for problem in trials["kafka"]["problems"] if "topics are missing" not in problem]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_is_named(
    servers: SecureServers, mqtt: dict[str, Any], tmp_path: Path, mechanism: str
) -> None:
    (tmp_path / "password").write_text("wrong")
    kafka = servers.section_kafka(mechanism, password_file=str(tmp_path / "password"))
    code, trials = check(tmp_path, {"mqtt": mqtt, "kafka": kafka, "influx": servers.section_influx()})
    assert code == 65
    (problem,) = trials["kafka"]["problems"]
    assert "vantel refused" in problem
    assert "kafka.password_file" in problem
    assert "\n" not in problem


def test_a_mechanism_that_the_server_lacks_is_named(
    servers: SecureServers, mqtt: dict[str, Any], tmp_path: Path
) -> None:
    kafka = servers.section_kafka("SCRAM-SHA-256")
    problem = check(tmp_path, {"mqtt": mqtt, "kafka": kafka, "influx": servers.section_influx()})[1]["kafka"][
        "problems"
    ][0]
    assert "set kafka.sasl_mechanism" in problem or "SCRAM-SHA-256" in problem


def test_certificates_that_do_not_hold_are_named(
    servers: SecureServers, mqtt: dict[str, Any], tmp_path: Path
) -> None:
    other = {"ca_file": str(Certificates(tmp_path / "other").ca)}
    expired_kafka = {"bootstrap": f"localhost:{servers.kafka['expired']}"}
    expired_influx = {"url": f"https://localhost:{servers.https['expired']}"}
    for keys_kafka, keys_influx, said in (
        (other, other, "ca_file: it must hold the CA"),
        (expired_kafka, expired_influx, "renew the certificate on the server"),
    ):
        tree = {
            "mqtt": mqtt,
            "kafka": servers.section_kafka(**keys_kafka),
            "influx": servers.section_influx(**keys_influx),
        }
        code, trials = check(tmp_path, tree)
        assert code == 65
        for name in ("kafka", "influx"):
            (problem,) = trials[name]["problems"]
            assert said in problem
            assert "\n" not in problem
    assert trials["mqtt"]["fine"]


def test_a_kafka_that_does_not_take_our_certificate_is_named(
    servers: SecureServers, mqtt: dict[str, Any], tmp_path: Path
) -> None:
    """No certificate, and one that another CA signed: TLS 1.3 tells it only after the handshake."""
    other = Certificates(tmp_path / "other")
    other.make("bridge", "0")
    strange = {key: path for key, path in other.settings("vantel-bridge-0").items() if key != "ca_file"}
    bare = servers.section_mutual()
    del bare["certificate_file"], bare["key_file"]
    for kafka in (bare, servers.section_mutual(**strange)):
        code, trials = check(tmp_path, {"mqtt": mqtt, "kafka": kafka, "influx": servers.section_influx()})
        assert code == 65
        (problem,) = trials["kafka"]["problems"]
        assert "set kafka.certificate_file and kafka.key_file" in problem
        assert "\n" not in problem
