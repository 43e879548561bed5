"""Goal: the Faust app is built as the guards need it, from settings alone, and Faust stays out of import time; the plain
consumer commits what is acked of the present assignment and nothing else.

Method: the app is built without a broker and its settings are read back; the book of acks is played by hand.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cloud.kafka.clients import TopicPartition
from cloud.settings import CloudSettings
from cloud.worker.consumer_adapter import Acked
from cloud.worker.faust_adapter import build_app
from cloud.worker.worker import Runtime


def built(settings: CloudSettings, folder: Path) -> Any:
    async def build() -> Any:
        return build_app(settings, Runtime(settings), folder)

    return asyncio.run(build())


def test_importing_the_worker_does_not_import_faust() -> None:
    code = "import sys, cloud.worker.worker, cloud.worker.consumer_adapter, cloud.worker.faust_adapter; sys.exit('faust' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_only_acks_of_the_present_assignment_are_committed() -> None:
    one, two = TopicPartition("vantel.p1", 0), TopicPartition("vantel.p1", 1)
    acked = Acked()
    acked.reassigned()
    first = acked.assignment
    acked.ack(first, one, 4)
    acked.ack(first, one, 5)
    acked.ack(first, two, 0)
    assert acked.due() == {one: 6, two: 1}
    acked.committed(first, {one: 6, two: 1})
    acked.ack(first, one, 6)
    assert acked.due() == {one: 7}
    acked.reassigned()
    acked.ack(first, one, 7)
    assert acked.due() == {}, "an ack of a batch that another worker may hold now"
    acked.ack(acked.assignment, one, 6)
    acked.committed(first, {one: 7})
    assert acked.due() == {one: 7}, "a commit of the assignment before says nothing about this one"


def test_the_app_is_set_up_for_acks_in_order(tmp_path: Path) -> None:
    app = built(CloudSettings(kafka={"group": "g-1", "bootstrap": "127.0.0.1:1,127.0.0.1:2"}), tmp_path)
    conf = app.conf
    assert (conf.id, conf.broker_session_timeout, conf.broker_commit_interval) == ("g-1", 6.0, 1.0)
    assert [str(url) for url in conf.broker] == ["kafka://127.0.0.1:1", "kafka://127.0.0.1:2"]
    assert str(conf.processing_guarantee.value) == "at_least_once"
    assert (conf.consumer_auto_offset_reset, conf.stream_wait_empty, conf.web_enabled) == (
        "earliest",
        False,
        False,
    )
    assert 512 <= conf.stream_buffer_maxsize <= 1024
    assert {topic for agent in app.agents.values() for topic in agent.channel.topics} == {
        "vantel.p0", "vantel.p1", "vantel.p2",
    }  # fmt: skip
    assert all(agent.concurrency == 1 for agent in app.agents.values())
    assert not app.tables


@pytest.mark.parametrize("security", ["ssl", "sasl_ssl"])
def test_the_app_takes_tls_and_password(tmp_path: Path, security: str) -> None:
    (tmp_path / "password").write_text("secret\n")
    named = {"username": "worker", "password_file": tmp_path / "password"} if security == "sasl_ssl" else {}
    app = built(
        CloudSettings(kafka={"security": security, "bootstrap": "kafka.example.org:9093", **named}), tmp_path
    )
    credentials = app.conf.broker_credentials
    assert credentials.protocol.value == security.upper()
    if named:
        assert (credentials.username, credentials.password) == ("worker", "secret")
        assert credentials.mechanism.value == "SCRAM-SHA-512"
