"""The agent as a process.

Goal: SIGTERM seals every sample and leaves in 5 s and what the machine needs for a start; each start has a new epoch; systemd hears READY, STATUS,
WATCHDOG and STOPPING; a replay killed at random moments goes on where it was, without loss and without a gap.
Method: real `vantel-edge run` processes without a broker; their spools are opened and decoded afterwards.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.agent import Agent
from edge.pipeline import Pipeline
from edge.settings import EdgeSettings, SpoolSection
from edge.spool import Spool
from tests.edge.spool_walk import offered
from vantel import codec
from vantel.envelope import open_message
from vantel.identity import Epoch, PayloadKind
from vantel.payloads import Batch, Birth
from vantel_rig.drives import drive
from vantel_rig.van import Van

NO_BROKER_PORT = 9
LEAVE_S_MAX = 5.0
WAIT_S = 240.0


def spooled(van: Van) -> list[tuple[Epoch, PayloadKind, bytes]]:
    """Every envelope on the disk of a van that has ended, P0 first, in append order."""
    spool = Spool.open(van.folder / "state" / "spool", van.id, SpoolSection())
    found = []
    for _, message in offered(spool):
        envelope, _ = open_message(message)
        found.append((envelope.epoch, envelope.kind, envelope.payload))
    spool.close()
    return found


def samples_of(van: Van) -> dict[int, list[tuple[int, float]]]:
    samples: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for _, kind, payload in spooled(van):
        if kind is PayloadKind.BATCH:
            for column in codec.decode(Batch.decode(payload).columns):
                samples[column.signal_id] += zip(column.t_ns.tolist(), column.values.tolist(), strict=True)
    return samples


def test_a_second_agent_on_one_state_folder_leaves_with_a_word_and_touches_nothing(tmp_path: Path) -> None:
    van = Van("agent-1", tmp_path, NO_BROKER_PORT, [{"kind": "synthetic"}])
    first = Spool.open(van.folder / "state" / "spool", van.id, SpoolSection())
    before = {path: path.read_bytes() for path in (van.folder / "state").rglob("*") if path.is_file()}
    van.start()
    assert van.process.wait(WAIT_S) == 75
    log = van.log_path.read_text()
    assert "another vantel-edge holds it" in log
    assert "Traceback" not in log
    assert before == {path: path.read_bytes() for path in (van.folder / "state").rglob("*") if path.is_file()}
    first.close()


def test_sigterm_seals_every_sample_and_leaves_in_time(tmp_path: Path) -> None:
    van = Van("agent-1", tmp_path, NO_BROKER_PORT, [{"kind": "synthetic", "rate_hz": 50.0}])
    began_s = time.monotonic()
    van.start()
    van.wait_ready()
    start_s = time.monotonic() - began_s  # a busy machine shows here first
    time.sleep(3.0)
    asked_s = time.monotonic()
    assert van.stop() == 0, van.tail()
    assert time.monotonic() - asked_s < LEAVE_S_MAX + start_s
    produced = van.status()["samples_produced"]
    assert produced > 0
    assert sum(len(column) for column in samples_of(van).values()) == produced


def test_each_start_has_an_epoch_and_a_birth_of_its_own(tmp_path: Path) -> None:
    van = Van("agent-2", tmp_path, NO_BROKER_PORT, [{"kind": "probe"}])
    for _ in range(3):
        van.start()
        van.wait_ready()
        van.kill()
        (tmp_path / "state" / "status.json").unlink()
    births = [
        (epoch, Birth.decode(payload)) for epoch, kind, payload in spooled(van) if kind is PayloadKind.BIRTH
    ]
    assert [epoch.counter for epoch, _ in births] == [1, 2, 3]
    assert len({epoch.random for epoch, _ in births}) == 3
    assert len({birth.catalog_hash for _, birth in births}) == 1


def test_systemd_hears_ready_status_watchdog_and_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        monkeypatch.setenv("WATCHDOG_USEC", "1000000")
        van = Van("agent-3", tmp_path / "van", NO_BROKER_PORT, [{"kind": "probe"}])
        van.start()
        van.wait_ready()
        listener.setblocking(False)
        lines: list[str] = []
        until(lambda: lines.extend(heard(listener)) or lines.count("WATCHDOG=1") >= 2)
        van.stop()
        lines += heard(listener)
    assert lines[0] == "READY=1"
    assert any(line.startswith("STATUS=") for line in lines)
    assert "STOPPING=1" in lines


@pytest.mark.parametrize("stuck", [False, True])
def test_the_watchdog_is_fed_by_progress_not_by_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stuck: bool
) -> None:
    address = tmp_path / "notify"
    entered, release, stop = threading.Event(), threading.Event(), threading.Event()

    def held(*_: object) -> list[object]:
        entered.set()
        release.wait(WAIT_S)
        return []

    if stuck:
        monkeypatch.setattr(Pipeline, "judge", held)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        settings = EdgeSettings(
            van={"id": "agent-4", "state_dir": tmp_path / "state"},
            mqtt={"port": NO_BROKER_PORT},
            sources=[{"kind": "probe"}],
        )
        runner = threading.Thread(target=lambda: Agent(settings).run(stop, threading.Event()))
        runner.start()
        lines: list[str] = []
        try:
            until(lambda: lines.extend(heard(listener)) or "READY=1" in lines)
            if stuck:
                assert entered.wait(WAIT_S)
                heard(listener)
                time.sleep(2.0)
                pings = heard(listener).count("WATCHDOG=1")
                assert pings <= 1, "one may be on its way, for the last progress; time alone would give 15"
            else:
                until(lambda: lines.extend(heard(listener)) or lines.count("WATCHDOG=1") >= 4)
        finally:
            release.set()
            stop.set()
            runner.join(WAIT_S)


def until(true: Callable[[], object]) -> None:
    give_up_s = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < give_up_s, "it never came true"
        time.sleep(0.05)


def heard(listener: socket.socket) -> list[str]:
    """Everything that waits in the socket."""
    lines: list[str] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            lines += listener.recv(4096).decode().splitlines()
    return lines


@pytest.mark.once
def test_a_killed_replay_goes_on_where_it_was(tmp_path: Path) -> None:
    source = {**drive(1, time="original", speed=40.0, loop=False), "recordings": drive(1)["recordings"][:1]}
    calm = Van("agent-5", tmp_path / "calm", NO_BROKER_PORT, [source])
    rough = Van("agent-6", tmp_path / "rough", NO_BROKER_PORT, [source])
    for van, kills in ((calm, 0), (rough, 3)):
        van.start()
        for _ in range(kills):
            van.wait_ready()
            time.sleep(2.0)
            van.kill()
            van.restart()
        until(lambda van=van: van.status().get("sources_finished"))  # type: ignore[misc]
        assert van.stop() == 0, van.tail()
    expected, found = samples_of(calm), samples_of(rough)
    assert found == expected
    assert sum(len(column) for column in expected.values()) > 10_000


def test_sigusr1_without_a_broker_waits_for_the_cloud_until_told_to_stop(tmp_path: Path) -> None:
    van = Van("agent-7", tmp_path, NO_BROKER_PORT, [{"kind": "probe"}])
    van.start()
    van.wait_ready()
    os.kill(van.process.pid, signal.SIGUSR1)
    until(lambda: (said := van.status())["sources_finished"] and not said["queue_blocks"])
    produced = []
    for _ in range(2):  # the first may have been told while the last block was on its way
        told = van.status()
        until(lambda told=told: van.status()["t_unix_s"] != told["t_unix_s"])  # type: ignore[misc]
        produced.append(van.status()["samples_produced"])
    assert produced[0] == produced[1]
    assert van.alive
    assert van.stop() == 0
