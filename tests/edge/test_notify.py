"""Goal: systemd hears exactly what sd_notify(3) asks for, and nothing breaks when it does not listen.

Method: a real datagram socket, by path and in the abstract namespace, in the place of systemd.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@vantel-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0"))
        listener.settimeout(2.0)
        yield name, listener


def test_messages(systemd: tuple[str, socket.socket]) -> None:
    name, listener = systemd
    notifier = Notifier(
        {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
    )
    notifier.ready("42 signals")
    notifier.status("two\nlines become one")
    notifier.watchdog(0.0)
    notifier.extend_timeout(1.5)
    notifier.stopping("sealing")
    assert [listener.recv(4096) for _ in range(5)] == [
        b"READY=1\nSTATUS=42 signals",
        b"STATUS=two lines become one",
        b"WATCHDOG=1",
        b"EXTEND_TIMEOUT_USEC=1500000",
        b"STOPPING=1\nSTATUS=sealing",
    ]
    assert notifier.failures == 0


def test_watchdog_is_due_three_times_a_timeout(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "30000000"})
    assert notifier.due(100.0)
    assert notifier.due(101.0), "due until it is fed"
    notifier.watchdog(101.0)
    assert not notifier.due(110.9)
    assert notifier.due(111.0)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "30000000"},
        {"NOTIFY_SOCKET": "/nowhere/notify"},
        {"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "vsock:2:1234", "WATCHDOG_USEC": "30000000"},
    ],
)
def test_no_watchdog_no_ping(environ: dict[str, str]) -> None:
    assert not Notifier(environ).due(1e9)


def test_nobody_listening_is_counted_not_raised(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    notifier.ready("x")
    notifier.status("x")
    assert notifier.failures == 2


def test_a_full_socket_does_not_block(systemd: tuple[str, socket.socket]) -> None:
    name, _ = systemd
    notifier = Notifier({"NOTIFY_SOCKET": name})
    for _ in range(20_000):
        notifier.status("x" * 500)
        if notifier.failures:
            return
    pytest.fail("the socket never filled: the test does not test")


def test_status_beat_without_systemd() -> None:
    notifier = Notifier({})
    assert [t for t in range(10) if notifier.status_due(float(t), 3.0)] == [0, 3, 6, 9]
