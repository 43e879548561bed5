"""Samples of other processes over the Unix socket.

Goal: what a client sends arrives under catalog names, units and stamps; a client that floods, lies, dies or sends garbage
loses its own connection and harms no other; nothing that a client declares keeps the agent from its work.
Method: a real socket with the source in its thread; clients are the Python client, raw bytes, and the C++ client where a
compiler is there. Credentials are checked with the real user id, let in or not by the settings.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.births import catalog_of
from edge.clock import VanClock
from edge.model import SampleBlock, TextTable
from edge.settings.sources import ProbeSource, SocketSource
from edge.sources import build, socket_source
from edge.sources.declarations import RESTARTS_MAX, DeclarationError, Declarations
from edge.sources.socket_client import Allowance, ClientStream
from vantel.catalog import Signal, SignalType
from vantel.client import Client
from vantel.source_socket import Declaration, Samples, encode_declaration, encode_samples, framed

CLIENTS = Path(__file__).parents[3] / "deploy" / "clients"
SIGNALS = [
    ("path_cost", "", "float64"),
    ("Vehicle.Speed", "m/s", "float64"),
    ("mode", "", "enum", "planning", ("IDLE", "BUSY")),
    ("note", "", "string"),
]
PATH_COST, SPEED, MODE, NOTE = "stack.path_cost", "Vehicle.Speed", "stack.mode", "stack.note"


class Served:
    """A socket source that runs; all that it emitted."""

    def __init__(self, folder: Path, **keys: Any) -> None:
        self.path = folder / "samples.sock"
        self.declarations = folder / "declared.json"
        given = {"kind": "socket", "path": self.path, "declarations": self.declarations, "gather_s": 0.0}
        self.texts = TextTable()
        self.source = build(SocketSource.model_validate(given | keys), VanClock(), self.texts, 0)
        self.blocks: list[SampleBlock] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.source.run, args=(self.blocks.append, self._stop))

    def __enter__(self) -> Served:
        self._thread.start()
        until(self._listens)
        return self

    def _listens(self) -> bool:
        """By the kernel's table, for a probing client would count as one."""
        sockets = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
        return any(row[-1] == str(self.path) and int(row[3], 16) & 0x10000 for row in sockets[1:])

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def of(self, name: str) -> list[tuple[int, float]]:
        names = [signal.name for signal in self.source.signals()]
        return [
            (t, value)
            for block in list(self.blocks)
            for slot, t, value in zip(
                block.slot.tolist(), block.t_mono_ns.tolist(), block.value.tolist(), strict=True
            )
            if names[slot] == name
        ]

    def raw(self) -> socket.socket:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(120)
        link.connect(str(self.path))
        return link


def until(true: Any, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)


def declared_before(folder: Path) -> None:
    """Signals that the catalog in use has from the start."""
    first = Declarations(folder / "declared.json", "stack")
    named = [Signal(n, unit=u, type=SignalType[k.upper()], group=(r or [""])[0], labels=tuple(r[1]) if r else ())
             for n, u, k, *r in SIGNALS]  # fmt: skip
    assert first.bind(tuple(named), 0.0).waiting == len(SIGNALS)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    declared_before(tmp_path)
    with Served(tmp_path) as running:
        yield running


def test_samples_arrive_with_name_unit_and_stamp(served: Served) -> None:
    now = time.monotonic_ns()
    with Client(str(served.path), "planner", SIGNALS) as van:
        assert van.waiting == 0
        van.send({"path_cost": 4.25, "Vehicle.Speed": 10.0, "mode": 1.0}, now)
        van.send_many([("note", 1.0, now), ("note", 0.0, now + 1)], ["red light", "tram"])
        until(lambda: len(served.of(NOTE)) == 2)
    assert served.of(PATH_COST) == [(now, 4.25)]
    assert served.of(SPEED) == [(now, pytest.approx(36.0))]
    assert served.of(MODE) == [(now, 1.0)]
    assert [served.texts.text(code) for _, code in served.of(NOTE)] == ["tram", "red light"]
    catalog, _ = catalog_of([served.source])
    assert catalog.by_name(SPEED).unit == "km/h"
    assert catalog.by_name(MODE).labels == ("IDLE", "BUSY")
    assert catalog.by_name(MODE).group == "planning"


def test_a_stamp_of_the_future_becomes_now_and_an_old_sample_is_left_out(served: Served) -> None:
    now = time.monotonic_ns()
    with Client(str(served.path), "planner", SIGNALS) as van:
        van.send({"path_cost": 1.0}, now + 3_600_000_000_000)
        van.send({"path_cost": 2.0}, now - 3_600_000_000_000)
        van.send({"path_cost": 3.0})
        until(lambda: len(served.of(PATH_COST)) == 2)
    stamps = {value: t for t, value in served.of(PATH_COST)}
    assert set(stamps) == {1.0, 3.0}
    assert now <= stamps[1.0] <= time.monotonic_ns()
    assert served.source.counters["stamps_replaced"] == 1
    assert served.source.counters["samples_too_old"] == 1


def test_new_signals_wait_for_the_next_start_and_are_there_then(tmp_path: Path) -> None:
    with Served(tmp_path) as first:
        with Client(str(first.path), "planner", SIGNALS) as van:
            assert van.waiting == len(SIGNALS)
            van.send({"path_cost": 1.0})
            until(lambda: first.source.counters.get("samples_waiting") == 1)
        assert first.source.signals() == ()
        until(first.source.restart_due)
    with Served(tmp_path) as second:
        with Client(str(second.path), "planner", SIGNALS) as van:
            assert van.waiting == 0
            van.send({"path_cost": 2.0})
            until(lambda: second.of(PATH_COST))
        assert not second.source.restart_due()


GARBAGE = {
    "a length out of bounds": b"\xff\xff\xff\x7f" + bytes(100),
    "no protobuf": framed(b"\xff\xff\xff\xff\x01hello"),
    "an empty message": framed(b""),
    "samples before a declaration": framed(
        encode_samples(Samples(np.zeros(1, np.uint32), None, np.zeros(1)))
    ),
    "uneven columns": framed(b"\x12\x06\x0a\x04\0\0\0\0"),
    "a signal that was not declared": framed(encode_declaration(Declaration("x", (Signal("path_cost"),))))
    + framed(encode_samples(Samples(np.full(1, 7, np.uint32), None, np.zeros(1)))),
    "an illegal name": framed(encode_declaration(Declaration("x", (Signal('a"b'),)))),
    "a unit of something else": framed(
        encode_declaration(Declaration("x", (Signal("Vehicle.Speed", unit="Celsius"),)))
    ),
    "a name twice": framed(encode_declaration(Declaration("x", (Signal("q"), Signal("Q"))))),
    "random bytes": np.random.default_rng(3).bytes(300_000),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_ends_its_own_connection_and_no_other(served: Served, what: str) -> None:
    with Client(str(served.path), "good", SIGNALS) as good, served.raw() as bad:
        good.send({"path_cost": 1.0})
        try:
            bad.sendall(GARBAGE[what])
            while bad.recv(65_536):
                pass
        except ConnectionError:
            pass
        refused = {name: n for name, n in served.source.counters.items() if name.startswith("refused_")}
        assert sum(refused.values()) == 1, refused
        good.send({"path_cost": 2.0})
        until(lambda: [value for _, value in served.of(PATH_COST)] == [1.0, 2.0])
        assert served.source.counters["clients_connected"] == 1


def test_a_refusal_says_why(served: Served) -> None:
    with pytest.raises(PermissionError, match="Celsius cannot become km/h"):
        Client(str(served.path), "wrong", [("Vehicle.Speed", "Celsius", "float64")])
    with pytest.raises(PermissionError, match="use another name"):
        Client(str(served.path), "wrong", [("path_cost", "", "bool")])


def test_a_client_that_dies_within_a_message_is_counted(served: Served) -> None:
    with Client(str(served.path), "good", SIGNALS) as good:
        with served.raw() as dying:
            dying.sendall(framed(encode_declaration(Declaration("dying", (Signal("path_cost"),))))[:9])
        until(lambda: served.source.counters.get("messages_cut") == 1)
        good.send({"path_cost": 1.0})
        until(lambda: served.of(PATH_COST))


def test_a_flood_waits_and_the_others_keep_their_rate(tmp_path: Path) -> None:
    declared_before(tmp_path)
    with Served(tmp_path, client_samples_per_s_max=2_000.0) as running:
        done = threading.Event()

        def flood() -> None:
            with Client(str(running.path), "flood", SIGNALS, timeout_s=120) as van:
                while not done.is_set():
                    van.send_many([("path_cost", 0.0, time.monotonic_ns())] * 500)

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            with Client(str(running.path), "good", SIGNALS) as good:
                for at in range(100):
                    good.send({"Vehicle.Speed": float(at)})
                    time.sleep(0.01)
                until(lambda: len(running.of(SPEED)) == 100)
                arrived = len(running.of(PATH_COST))
        finally:
            done.set()
            thread.join(120)
        # a second's worth at the start, then the rate, for as long as it took
        assert running.source.counters["reads_throttled"] > 0
        assert arrived > 0
        assert [value for _, value in running.of(SPEED)] == pytest.approx([3.6 * at for at in range(100)])


def test_one_client_cannot_use_up_the_strings_of_all_sources(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_source, "TEXTS_MAX", 3)
    with Client(str(served.path), "x", SIGNALS) as van:
        texts = [f"text {at}" for at in range(5)]
        van.send_many([("note", float(at), time.monotonic_ns()) for at in range(5)], texts)
        until(lambda: len(served.of(NOTE)) == 5)
    assert [served.texts.text(code) for _, code in served.of(NOTE)] == [*texts[:3], "", ""]
    assert served.source.counters["texts_left_out"] == 2
    assert served.texts.code("of another source") > 0


def test_who_declares_nothing_loses_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_source, "DECLARE_S_MAX", 0.2)
    with Served(tmp_path, clients_max=1) as running, running.raw() as silent:
        assert silent.recv(1) == b""
        assert running.source.counters["refused_silent"] == 1
        monkeypatch.setattr(socket_source, "DECLARE_S_MAX", 120.0)
        with Client(str(running.path), "x", SIGNALS):
            pass


def test_an_allowance_gives_its_rate() -> None:
    bucket = Allowance(1000.0)
    taken, now = 0, 0.0
    while now < 10.0:
        wait = bucket.delay_s(now)
        if wait == 0:
            bucket.take(300)
            taken += 300
        now += max(wait, 0.01)
    assert 10_000 <= taken <= 11_400


def test_only_the_users_of_the_settings_are_let_in(tmp_path: Path) -> None:
    with Served(tmp_path, users=[os.getuid() + 1]) as running:
        with pytest.raises(PermissionError, match=f"user {os.getuid()} may not send"):
            Client(str(running.path), "x", SIGNALS)
        assert running.source.counters["refused_user"] == 1
    with Served(tmp_path, users=[os.getuid()]) as running, Client(str(running.path), "x", SIGNALS):
        pass


def test_the_socket_takes_the_place_of_a_dead_one_and_of_nothing_else(tmp_path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(str(tmp_path / "samples.sock"))
    dead.close()
    with Served(tmp_path) as running:
        section = SocketSource(kind="socket", path=running.path, declarations=tmp_path / "other.json")
        with pytest.raises(OSError, match="served by another process"):
            build(section, VanClock(), TextTable(), 0).run(lambda _: None, threading.Event())
    assert not running.path.exists()
    running.path.write_text("precious")
    with pytest.raises(OSError, match="is no socket"):
        build(section, VanClock(), TextTable(), 0).run(lambda _: None, threading.Event())
    assert running.path.read_text() == "precious"


# What clients declare


def test_declared_signals_give_way_to_those_of_other_sources(tmp_path: Path) -> None:
    probe = build(ProbeSource(kind="probe"), VanClock(), TextTable(), 0)
    name = probe.signals()[0].name
    Declarations(tmp_path / "declared.json", "stack").bind((Signal(name), Signal("own")), 0.0)
    source = Served(tmp_path).source
    catalog, rows = catalog_of([source, probe])
    assert [signal.name for signal in source.signals()] == ["stack.own"]
    assert len(catalog) == 2
    assert sorted(row.tolist() for row in rows) == [[0], [1]]


def test_restarts_and_signals_are_bounded(tmp_path: Path) -> None:
    now = 1000.0
    for at in range(RESTARTS_MAX + 2):
        table = Declarations(tmp_path / "d.json", "stack")
        table.bind((Signal(f"n{at}"),), now)
        assert not table.restart_due(now)
        assert table.restart_due(now + 2.0) == (at < RESTARTS_MAX)
        if at < RESTARTS_MAX:
            table.restarting(now + 2.0)
        now += 5.0
    assert table.restart_due(now + 1000.0)
    with pytest.raises(DeclarationError, match="at most"):
        table.bind(tuple(Signal(f"many{at}") for at in range(1001)), now)
    with pytest.raises(DeclarationError, match="at most"):
        table.bind(tuple(Signal(f"{at}{'x' * 200}") for at in range(400)), now)


@pytest.mark.parametrize("text", ["", "[]", '{"signals": 5}', '{"signals": [{"name": "a"}]}', '{"signals": [{"name": "a\\"", "unit": "", "type": "bool", "group": "", "labels": []}]}'])  # fmt: skip
def test_a_broken_file_of_declarations_is_no_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "d.json").write_text(text)
    assert Declarations(tmp_path / "d.json", "stack").signals == ()


def test_a_stream_gives_the_same_however_it_is_cut(tmp_path: Path) -> None:
    declared_before(tmp_path)
    now = 10**12
    stamps = np.arange(50, dtype=np.int64) * 1000 + now - 10**9
    declared = Declaration("x", (Signal("path_cost"), Signal("Vehicle.Speed", unit="m/s")))
    messages = framed(encode_declaration(declared)) + b"".join(
        framed(encode_samples(Samples(np.arange(50, dtype=np.uint32) % 2, stamps + at, np.arange(50.0))))
        for at in range(5)
    )

    def play(size: int) -> list[tuple[list[int], list[int], list[float]]]:
        stream = ClientStream(Declarations(tmp_path / "declared.json", "stack"), 1e9, len, Counter())
        blocks = []
        for first in range(0, len(messages), size):
            got, _, goes_on = stream.feed(messages[first : first + size], now, 0.0)
            assert goes_on
            blocks += got
        return [(b.slot.tolist(), b.t_mono_ns.tolist(), b.value.tolist()) for b in blocks]

    assert play(1) == play(7) == play(len(messages))
    assert len(play(13)) == 5


# The clients that others copy


@pytest.mark.parametrize("language", ["python", "c++"])
def test_the_example_client_is_heard(tmp_path: Path, language: str) -> None:
    command = [sys.executable, str(CLIENTS / "example.py")]
    if language == "c++":
        compiler = shutil.which("g++") or shutil.which("clang++")
        if compiler is None:
            pytest.skip("no C++ compiler (g++, clang++) on the PATH")
        command = [str(tmp_path / "example")]
        subprocess.run(
            [compiler, "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", str(CLIENTS / "example.cpp"), "-o", command[0]],
            check=True, timeout=240,
        )  # fmt: skip
    name = "Vehicle.Robovan.Drive.SpeedTarget"
    Declarations(tmp_path / "declared.json", "stack").bind((Signal("path_cost"), Signal(name)), 0.0)
    with Served(tmp_path) as running:
        subprocess.run([*command, str(running.path), "5"], check=True, timeout=240)
        until(lambda: len(running.of(name)) == 5)
        assert [value for _, value in running.of(name)] == pytest.approx([18.0] * 5)
        assert [value for _, value in running.of(PATH_COST)] == pytest.approx(
            np.sin(0.1 * np.arange(5)).tolist()
        )
        stamps = [t for t, _ in running.of(PATH_COST)]
        assert stamps == sorted(stamps)
        assert not {"stamps_replaced", "samples_too_old"} & set(+Counter(running.source.counters))
        assert abs(stamps[-1] - time.monotonic_ns()) < 60e9
    with Served(tmp_path / "other", users=[os.getuid() + 1]) as closed:
        done = subprocess.run(
            [*command, str(closed.path), "1"], check=False, timeout=240, capture_output=True, text=True
        )
        assert done.returncode == 1
        assert "may not send" in done.stderr
