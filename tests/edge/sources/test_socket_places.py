"""Places of the Unix socket: no more clients than the settings allow, and no process takes them all.

Method: the source in its thread, clients in processes of their own, told apart by SO_PEERCRED.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.edge.sources.test_socket_source import SIGNALS, Served, until
from vantel.client import Client


@contextmanager
def other_process(path: Path) -> Iterator[None]:
    """A client in a process of its own, until the block ends."""
    script = (
        "import sys, time; from vantel.client import Client\n"
        f"with Client(sys.argv[1], 'other', {SIGNALS!r}): time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(path)])
    try:
        yield
    finally:
        child.kill()
        child.wait()


def test_no_more_clients_than_the_settings_allow(tmp_path: Path) -> None:
    with Served(tmp_path, clients_max=2) as running, other_process(running.path), other_process(running.path):
        until(lambda: running.source.counters.get("clients_welcomed") == 2)
        with pytest.raises(PermissionError, match="clients_max"):
            Client(str(running.path), "y", SIGNALS)


def test_one_process_cannot_take_every_place(tmp_path: Path) -> None:
    with Served(tmp_path, clients_max=4) as running, ExitStack() as held:
        for name in ("a", "b"):
            held.enter_context(Client(str(running.path), name, SIGNALS))
        with pytest.raises(PermissionError, match="half of the places"):
            Client(str(running.path), "c", SIGNALS)
        assert running.source.counters["refused_process"] == 1
        with other_process(running.path):
            until(lambda: running.source.counters.get("clients_welcomed") == 3)
