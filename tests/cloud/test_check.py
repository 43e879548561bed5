"""Goal: vantel-cloud check finds each connection that does not work and says what to mend; where all is well it exits 0.

Method: the command as a process on the real Mosquitto (as it ships, with TLS), Kafka and InfluxDB; the recorded answers
of InfluxDB 2.9.1 for tokens and buckets; listeners that speak nothing of what is asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from cloud.query import InfluxQuery
from cloud.settings import InfluxSection
from tests.cloud.worker.conftest import InfluxDouble
from tests.deploy.production_broker import Certificates, ProductionBroker
from vantel_rig.ports import HeldPort
from vantel_rig.stack import Stack

pytestmark = pytest.mark.servers
Answer = tuple[int, dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProductionBroker]:
    folder = tmp_path_factory.mktemp("broker")
    certificates = Certificates(folder / "certificates")
    for arguments in (("van", "van-a"), ("bridge", "0"), ("operator", "page")):
        certificates.make(*arguments)
    with ProductionBroker(folder / "mosquitto", certificates) as running:
        yield running


@pytest.fixture
def tree(vantel_stack: Stack, broker: ProductionBroker) -> dict[str, dict[str, Any]]:
    """Settings with which everything works."""
    InfluxQuery(InfluxSection(url=vantel_stack.influx_url)).ensure_database()
    tls = broker.certificates.settings("vantel-bridge-0")
    return {
        "mqtt": {"host": "localhost", "port": broker.port, **tls},
        "kafka": {"bootstrap": vantel_stack.kafka_bootstrap},
        "influx": {"url": vantel_stack.influx_url},
    }


def command(tmp_path: Path, tree: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    config = tmp_path / "cloud.toml"
    config.write_text(tomli_w.dumps(tree), encoding="utf-8")
    argv = [sys.executable, "-m", "cloud", *arguments, "--config", str(config)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=240)


def check(tmp_path: Path, tree: dict[str, Any]) -> Answer:
    done = command(tmp_path, tree, "check", "--json")
    report = json.loads(done.stdout)
    assert report["fine"] == (done.returncode == 0)
    return done.returncode, {item["connection"]: item for item in report["connections"]}


def test_what_works_is_told_and_missing_topics_have_a_fix(
    tmp_path: Path, tree: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Stack(tmp_path_factory.mktemp("fresh")) as fresh:
        tree["kafka"]["bootstrap"] = fresh.kafka_bootstrap
        code, trials = check(tmp_path, tree)
        assert code == 65
        assert "run vantel-cloud provision" in trials["kafka"]["problems"][0]
        assert trials["mqtt"]["good"] == ["connected", "subscribed to v1/0/+/up/+", "may write acks"]
        assert trials["influx"]["good"] == ["may write", "may read"]
        assert command(tmp_path, tree, "provision").returncode == 0
        code, trials = check(tmp_path, tree)
        assert code == 0, trials
        done = command(tmp_path, tree, "check")
    assert done.returncode == 0
    assert done.stderr == ""
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["mqtt", "kafka", "influx"]


def test_nothing_is_stored_by_a_check(tmp_path: Path, tree: dict[str, Any], vantel_stack: Stack) -> None:
    tree["influx"]["bucket"] = "untouched"
    query = InfluxQuery(InfluxSection(url=vantel_stack.influx_url, bucket="untouched"))
    query.ensure_database()
    check(tmp_path, tree)
    assert query.query("SHOW MEASUREMENTS") == []


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        ("vantel-page", {}, "write v1/"),
        ("van-a", {}, "write v1/"),
        ("vantel-bridge-0", {"ca_file": "other"}, "check mqtt.ca_file"),
        ("vantel-bridge-0", {"certificate_file": None, "key_file": None}, "certificate"),
        ("vantel-bridge-0", {"key_file": "nowhere.key"}, "mqtt.key_file"),
    ],
)
def test_the_broker_refuses(
    tmp_path: Path, tree: dict[str, Any], broker: ProductionBroker, name: str, keys: dict[str, Any], said: str
) -> None:
    if keys.get("ca_file"):
        keys = {"ca_file": str(Certificates(tmp_path / "other").ca)}
    mqtt = {**tree["mqtt"], **broker.certificates.settings(name), **keys}
    tree["mqtt"] = {key: value for key, value in mqtt.items() if value is not None}
    code, trials = check(tmp_path, tree)
    assert code == 65
    assert said in trials["mqtt"]["problems"][0]
    assert trials["influx"]["fine"], "one that fails hides no other"


def test_nobody_there_and_plaintext(tmp_path: Path, tree: dict[str, Any]) -> None:
    held = HeldPort()
    port = held.release()
    tree["mqtt"] |= {"port": port}
    tree["kafka"] |= {"bootstrap": f"127.0.0.1:{port}"}
    tree["influx"] |= {"url": f"http://127.0.0.1:{port}"}
    code, trials = check(tmp_path, tree)
    assert code == 65
    for name in ("mqtt", "kafka"):
        assert f"is {name}." in trials[name]["problems"][0]
        assert "nobody listens there" in trials[name]["problems"][0]
    assert "influx.url" in trials["influx"]["problems"][0]
    tree = {
        "mqtt": {"host": "10.1.2.3"},
        "kafka": {"bootstrap": "10.1.2.3:9092"},
        "influx": {"url": "http://10.1.2.3"},
    }
    code, trials = check(tmp_path, tree)
    assert code == 65
    for name, trial in trials.items():
        assert "plaintext outside loopback is refused" in trial["problems"][0]
        assert f"{name}.plaintext" in trial["problems"][0]


def test_tls_towards_a_kafka_that_speaks_none(
    tmp_path: Path, tree: dict[str, Any], broker: ProductionBroker
) -> None:
    tree["kafka"] |= {"security": "ssl", "ca_file": str(broker.certificates.ca)}
    code, trials = check(tmp_path, tree)
    assert code == 65
    assert "does the server speak TLS on this port" in trials["kafka"]["problems"][0]
    tree["kafka"] |= {"bootstrap": f"localhost:{broker.port}"}  # TLS it is, but not of Kafka
    assert "kafka" in check(tmp_path, tree)[1]["kafka"]["problems"][0].lower()


@pytest.mark.parametrize(
    ("token", "bucket", "said"),
    [("wrong", "vantel", "influx.token_file"), ("right", "other", "influx.bucket 'other'")],
)
def test_token_and_bucket(tmp_path: Path, tree: dict[str, Any], token: str, bucket: str, said: str) -> None:
    double = InfluxDouble(token="right")
    try:
        (tmp_path / "token").write_text(token)
        tree["influx"] = {"url": double.url, "token_file": str(tmp_path / "token"), "bucket": bucket}
        code, trials = check(tmp_path, tree)
        assert code == 65
        assert said in trials["influx"]["problems"][0]
        assert not double.points
    finally:
        double.close()
