"""Goal: `vantel-edge check --broker` makes the agent's own connection, names what is wrong with it, and leaves a running
agent and its waiting messages alone.

Method: the command as a process on the real Mosquitto with the files that ship; an agent of the rig beside it.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import tomli_w
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.deploy.production_broker import WAIT_S_MAX, Certificates, Client, ProductionBroker
from vantel import topics
from vantel_rig.ports import HeldPort
from vantel_rig.van import Van

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProductionBroker]:
    folder = tmp_path_factory.mktemp("broker")
    certificates = Certificates(folder / "certificates")
    for arguments in (("van", "van-a"), ("van", "van-b"), ("operator", "page")):
        certificates.make(*arguments)
    with ProductionBroker(folder / "mosquitto", certificates) as running:
        yield running


def settings_of(broker: ProductionBroker, folder: Path, name: str, **mqtt: Any) -> Path:
    tls = {"host": "localhost", "port": broker.port, **broker.certificates.settings(name), **mqtt}
    tree = {
        "van": {"id": "van-a", "state_dir": str(folder / "state")},
        "mqtt": {key: value for key, value in tls.items() if value is not None},
        "sources": [{"kind": "probe"}],
    }
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "edge.toml"
    config.write_text(tomli_w.dumps(tree), encoding="utf-8")
    return config


def check(config: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "edge", "check", "--broker", "--config", str(config)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=240)


def test_the_right_certificate_is_fine(broker: ProductionBroker, tmp_path: Path) -> None:
    done = check(settings_of(broker, tmp_path, "van-a"))
    assert done.returncode == 0, done.stderr
    assert "connected" in done.stdout
    assert "may write its own topics" in done.stdout


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        ("van-b", {}, "knows the certificate or user under another name than van.id"),
        ("van-a", {"certificate_file": None, "key_file": None}, "set mqtt.certificate_file"),
        ("van-a", {"port": 0}, "nobody listens there"),
        ("van-a", {"host": "10.9.9.9", "ca_file": None, "certificate_file": None, "key_file": None}, "plaintext outside"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    broker: ProductionBroker, tmp_path: Path, name: str, keys: dict[str, Any], said: str
) -> None:
    if keys.get("port") == 0:
        keys = {"port": HeldPort().release()}
    done = check(settings_of(broker, tmp_path, name, **keys))
    assert done.returncode == 65
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_listener_that_is_no_broker(broker: ProductionBroker, tmp_path: Path) -> None:
    """A TCP connect would call this fine."""
    plain = {"ca_file": None, "certificate_file": None, "key_file": None, "host": "127.0.0.1"}
    done = check(settings_of(broker, tmp_path, "van-a", **plain))
    assert done.returncode == 65
    assert "is it an MQTT 5 broker, with TLS as set here" in done.stderr


def test_a_connected_agent_is_left_alone(broker: ProductionBroker, tmp_path: Path) -> None:
    tls = {"host": "localhost", **broker.certificates.settings("van-a")}
    van = Van("van-a", tmp_path / "van", broker.port, [{"kind": "probe"}], mqtt=tls)
    van.start()
    try:
        give_up_s = time.monotonic() + WAIT_S_MAX
        while not van.status().get("connected"):
            assert time.monotonic() < give_up_s, van.tail()
            time.sleep(0.05)
        done = check(van.config)
        assert done.returncode == 0, done.stderr
        assert "the running agent is connected" in done.stdout
        time.sleep(0.3)
        assert van.status()["connected"]
        assert van.tail(100).count("connected  ") == 1, "it never lost its connection"
    finally:
        van.stop()


def test_what_waits_for_the_agent_still_waits_after_a_check(broker: ProductionBroker, tmp_path: Path) -> None:
    session_of(broker, "van-a")
    page = Client(broker, "vantel-page")
    assert page.publish(topics.down("van-a", "command"))
    page.close()
    assert check(settings_of(broker, tmp_path, "van-a")).returncode == 0
    assert session_of(broker, "van-a") == [topics.down("van-a", "command")]


def session_of(broker: ProductionBroker, van: str) -> list[str]:
    """Take a van's session up again, as the agent does; what waited in it."""
    got: list[str] = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=van, protocol=paho.MQTTv5)
    tls = broker.certificates.settings(van)
    client.tls_set(tls["ca_file"], tls["certificate_file"], tls["key_file"])
    client.on_message = lambda _c, _d, message: got.append(message.topic)
    client.on_connect = lambda *_: client.subscribe(topics.down(van, "command"), qos=1)
    # The broker sends what waited at once after CONNACK, so it has come before the answer to our SUBSCRIBE.
    subscribed = threading.Event()
    client.on_subscribe = lambda *_: subscribed.set()
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3600
    client.connect("localhost", broker.port, properties=properties, clean_start=False)
    client.loop_start()
    assert subscribed.wait(WAIT_S_MAX)
    client.disconnect()
    client.loop_stop()
    return got
