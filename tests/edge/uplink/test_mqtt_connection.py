"""Goal: a link that cannot work says why in one line and is tried again; the end of a session is told.
Method: brokers that refuse, are not there, or are no brokers; the will and the goodbye seen by a second client.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from tests.edge.uplink.mqtt_rig import EPOCH, VAN, WAIT_S, Bridge, Broker, Rig, Wire, mosquitto_account, until
from vantel.payloads import Death
from vantel_rig.ports import HeldPort

pytestmark = pytest.mark.servers


def test_refused_credentials_are_one_clear_line_and_are_tried_again(
    broker: Broker, start: Callable[..., Rig], tmp_path: Path
) -> None:
    password_file = tmp_path / "password"
    password_file.write_text("wrong\n")
    accounts = tmp_path / "accounts"
    accounts.write_text(mosquitto_account("van-1", "right"))
    broker.start([f"password_file {accounts}"], replace=("allow_anonymous true", "allow_anonymous false"))
    with structlog.testing.capture_logs() as logs:
        rig = start(broker.port, username="van-1", password_file=password_file).start()
        until(lambda: rig["connect_failures"] >= 4, "tried again")
    lines = [log["cause"] for log in logs if log["event"] == "not connected"]
    assert len(lines) == 1, "one line for one reason"
    assert f"127.0.0.1:{broker.port}" in lines[0]
    assert "Not authorized" in lines[0] or "Bad user name or password" in lines[0]
    assert "password" in lines[0]
    assert rig.uplink.last_error == lines[0]
    assert rig["connects"] == 0
    password_file.write_text("right\n")  # a mended password is used without a restart
    until(lambda: rig.uplink.connected, "connected with the right password")


def test_a_broker_that_is_not_there_or_not_a_broker(start: Callable[..., Rig]) -> None:
    held = HeldPort()
    port = held.release()
    rig = start(port).start()
    until(lambda: rig["connect_failures"] >= 2, "tried again")
    assert "nobody listens there" in rig.uplink.last_error
    with socket.create_server(("127.0.0.1", port), reuse_port=False) as listener:
        for answer in (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"\x20\x03\x00\x00\x7f",
            b"\x20\xff\xff\xff\xff\x01",
            b"",
        ):
            failures = rig["connect_failures"]
            link, _ = listener.accept()
            link.sendall(answer)
            link.close()
            until(lambda n=failures: rig["connect_failures"] > n, "the failure was seen")
        assert rig.thread.is_alive()
        assert not rig.uplink.connected


def test_goodbye_is_graceful_and_a_lost_van_is_reported_by_its_will(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start()
    cloud = bridge()
    rig = start(broker.port).start()
    until(lambda: rig.uplink.connected, "connected")
    rig.uplink.goodbye()
    rig.thread.join(WAIT_S)
    assert not rig.thread.is_alive()
    until(cloud.deaths, "death")
    time.sleep(0.3)
    assert cloud.deaths() == [Death(VAN, EPOCH, graceful=True)], "the will came although the van said goodbye"
    with Wire(broker.port) as wire:
        lost = start(wire.port).start()
        until(lambda: lost.uplink.connected, "connected")
        wire.cut()
        until(lambda: len(cloud.deaths()) >= 2, "will")
    assert cloud.deaths()[1] == Death(VAN, EPOCH, graceful=False)


def test_two_agents_with_one_id_are_named(broker: Broker, start: Callable[..., Rig]) -> None:
    broker.start()
    one, two = start(broker.port).start(), start(broker.port).start()
    until(lambda: one["connects"] + two["connects"] >= 4, "they take the session from each other")
    assert "van.id" in one.uplink.last_error + two.uplink.last_error
