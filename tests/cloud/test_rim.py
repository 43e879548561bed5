"""Goal: the small parts at the rim say clearly what is wrong: connections that are refused, health, logs.

Method: settings and files on disk, a real HTTP server on a free port, standard error read back.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter

from cloud.bridge import run_bridge
from cloud.connection import (
    ConnectionRefused,
    check_url,
    is_loopback,
    optional_tls,
    password_of,
    read_secret,
    tls_of_files,
)
from cloud.http import Health, StatusServer
from cloud.log import Seldom
from cloud.settings import CloudSettings, HttpSection, KafkaSection, MqttSection, TlsFiles


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST."])
def test_loopback_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "localhost.example.org", "0.0.0.0", "broker", "::", ""])  # noqa: S104
def test_everything_else_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_plaintext_outside_loopback_is_refused_with_key_and_fix() -> None:
    with pytest.raises(
        ConnectionRefused, match=r"mqtt to broker\.example: plaintext.*mqtt\.ca_file.*mqtt\.plaintext"
    ):
        optional_tls("mqtt", "broker.example", TlsFiles())
    assert optional_tls("mqtt", "broker.example", TlsFiles(plaintext="anywhere")) is None
    assert optional_tls("mqtt", "127.0.0.1", TlsFiles()) is None
    with pytest.raises(ConnectionRefused, match=r"influx to db\.example: plaintext.*https"):
        check_url("influx", "http://db.example:8086", "loopback")
    assert check_url("influx", "https://db.example", "loopback")
    assert not check_url("influx", "http://localhost:8086", "loopback")
    with pytest.raises(ConnectionRefused, match="give a URL"):
        check_url("influx", "db.example:8086", "loopback")


@pytest.mark.parametrize(
    "settings",
    [
        CloudSettings(mqtt=MqttSection(host="broker.example")),
        CloudSettings(kafka=KafkaSection(bootstrap="127.0.0.1:1,kafka.example:9092")),
        CloudSettings(mqtt=MqttSection(ca_file=Path("nothing.pem"))),
        CloudSettings(mqtt=MqttSection(username="a", password_file=Path("nothing"))),
    ],
)
def test_the_bridge_refuses_before_it_opens_anything(settings: CloudSettings) -> None:
    with pytest.raises(ConnectionRefused):
        asyncio.run(run_bridge(settings, asyncio.Event()))


def test_files_that_do_not_serve_are_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    with pytest.raises(ConnectionRefused, match=r"kafka\.ca_file .*bad\.pem.*PEM"):
        tls_of_files("kafka", TlsFiles(ca_file=bad))
    with pytest.raises(ConnectionRefused, match=r"kafka\.certificate_file .*bad\.pem"):
        tls_of_files("kafka", TlsFiles(certificate_file=bad, key_file=bad))
    with pytest.raises(ConnectionRefused, match=r"key_file is set without kafka\.certificate_file"):
        tls_of_files("kafka", TlsFiles(key_file=bad))
    with pytest.raises(ConnectionRefused, match=r"without mqtt\.username"):
        password_of("mqtt", TlsFiles(password_file=bad))
    empty = tmp_path / "empty"
    empty.write_text("\n")
    with pytest.raises(ConnectionRefused, match="empty"):
        read_secret(empty, "mqtt.password_file")
    with pytest.raises(ConnectionRefused, match="No such file"):
        read_secret(tmp_path / "none", "mqtt.password_file")
    empty.write_text("secret word\r\n")
    assert read_secret(empty, "mqtt.password_file") == "secret word"


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_health_and_metrics_answer_and_a_taken_port_is_named() -> None:
    registry = CollectorRegistry()
    Counter("things", "Things", registry=registry).inc(3)
    state = Health(details={"lag": 5})

    async def body() -> None:
        nonlocal state
        server = StatusServer("127.0.0.1", 0, "http.bridge_port", lambda: state, registry)
        await server.start()
        url = f"http://127.0.0.1:{server.port}"
        code, text = await asyncio.to_thread(get, f"{url}/healthz")
        assert (code, json.loads(text)) == (200, {"status": "ok", "problems": [], "lag": 5})
        state = Health(("kafka: away",))
        code, text = await asyncio.to_thread(get, f"{url}/healthz")
        assert (code, json.loads(text)) == (503, {"status": "failing", "problems": ["kafka: away"]})
        assert "things_total 3.0" in (await asyncio.to_thread(get, f"{url}/metrics"))[1]
        await server.close()

    asyncio.run(body())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = CloudSettings(http=HttpSection(bridge_port=taken.getsockname()[1]))
        with pytest.raises(ConnectionRefused, match=r"set http\.bridge_port to a free port"):
            asyncio.run(run_bridge(settings, asyncio.Event()))


def test_repeated_words_pass_once_a_period_with_their_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr("cloud.log.time.monotonic", lambda: now_s)
    seldom = Seldom(period_s=10.0)
    assert seldom.allow("a") == 0
    assert seldom.allow("a") is None
    assert seldom.allow("b") == 0
    now_s = 9.9
    assert seldom.allow("a") is None
    now_s = 10.0
    assert seldom.allow("a") == 2
    for number in range(5000):
        seldom.allow(f"k{number}")
    assert len(seldom._seen) <= 1000


def test_logs_of_ours_and_of_libraries_leave_in_one_form() -> None:
    program = """
import logging, structlog
from cloud.log import configure
from cloud.settings import LogSection
configure(LogSection(format="json"))
structlog.get_logger("x").info("ours", van="van-1")
for _ in range(5):
    logging.getLogger("aiokafka").error("theirs %s", 1)
logging.getLogger("aiokafka").info("inner life")
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [("ours", "info"), ("theirs 1", "error")]
    assert lines[0]["van"] == "van-1"
    assert lines[1]["logger"] == "aiokafka"
    assert all(re.match(r"\d{4}-\d\d-\d\dT", line["timestamp"]) for line in lines)
    assert ran.stdout == ""
    assert logging.getLogger().level >= 0
