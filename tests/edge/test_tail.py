"""Goal: `vantel-edge tail` shows what the running agent has, with its age, costs nothing while nobody looks, and no client
can hold the agent up or grow its memory.

Method: the tail thread on real rings and a real socket, with clients that behave and that do not; the command as a
process beside an agent; sparklines by example.
"""

from __future__ import annotations

import json
import math
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.model import SampleBlock, TextTable
from edge.rings import Rings
from edge.settings import RingSection
from edge.tail import service as tail_module
from edge.tail.screen import Screen, as_json, sparkline
from edge.tail.service import LOOKERS_MAX, SOCKET_FILE, Tail, TailError, look
from vantel.catalog import Signal, SignalType, assemble
from vantel_rig.ports import HeldPort
from vantel_rig.van import Van

SIGNALS = [
    Signal("a.speed", unit="m/s"),
    Signal("a.door", type=SignalType.BOOL),
    Signal("a.mode", type=SignalType.ENUM, labels=("off", "on")),
    Signal("a.text", type=SignalType.STRING),
    Signal("b.never"),
]


class Desk:
    """A tail that runs, and the thread that would be the pipeline."""

    def __init__(self, folder: Path) -> None:
        self.texts = TextTable()
        self.catalog = assemble(SIGNALS)
        self.now_ns = 10_000_000_000
        self.folder = folder
        self.rings = Rings(len(SIGNALS), RingSection(bytes_max=100_000))
        self.tail = Tail(folder, self.catalog, self.texts, lambda: self.now_ns)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.tail.run, args=(self.stop,), daemon=True)
        self.thread.start()
        while not (folder / SOCKET_FILE).exists():
            time.sleep(0.01)

    def push(self, name: str, value: float, t_ns: int) -> None:
        slot = [signal.name for signal in self.catalog.signals].index(name)
        block = SampleBlock(np.array([slot], np.int32), np.array([t_ns], np.int64), np.array([value]))
        self.rings.push(block)

    def offer_until(self, lines: Iterator[dict[str, object]]) -> list[object]:
        """The first line that has values."""
        for line in lines:
            self.tail.offer(self.rings)
            values = line["values"]
            assert isinstance(values, list)
            if any(values):
                return values
        raise AssertionError("no line")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    deep = tmp_path / ("long-name-" * 12) / ("long-name-" * 12)  # far beyond the length of a socket address
    deep.mkdir(parents=True)
    made = Desk(deep)
    yield made
    made.stop.set()
    made.thread.join(120)
    assert not made.thread.is_alive()
    assert not (deep / SOCKET_FILE).exists()


def test_values_types_and_ages(desk: Desk) -> None:
    desk.push("a.speed", 3.5, 9_000_000_000)
    desk.push("a.door", 1.0, 9_500_000_000)
    desk.push("a.mode", 1.0, 10_000_000_000)
    desk.push("a.text", float(desk.texts.code("hello")), 10_000_000_000)
    signals, lines = look(desk.folder, ["a.*", "b.never"])
    by_name = dict(zip([s["name"] for s in signals], desk.offer_until(lines), strict=True))
    assert by_name == {
        "a.speed": [1.0, 3.5], "a.door": [0.5, True], "a.mode": [0.0, "on"], "a.text": [0.0, "hello"], "b.never": None,
    }  # fmt: skip
    assert {s["name"]: s["unit"] for s in signals}["a.speed"] == "m/s"
    line = json.loads(as_json(signals, {"t_unix_s": 1.0, "values": list(by_name.values())}))
    assert line["signals"]["a.speed"] == {"value": 3.5, "age_s": 1.0, "unit": "m/s"}
    assert line["signals"]["b.never"] is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_shown_as_such(desk: Desk, value: float) -> None:
    desk.push("a.speed", value, 10_000_000_000)
    _, lines = look(desk.folder, ["a.speed"])
    assert desk.offer_until(lines) == [[0.0, repr(value)]]


def test_a_stream_that_stands_still_grows_old(desk: Desk) -> None:
    desk.push("a.speed", 1.0, 10_000_000_000)
    _, lines = look(desk.folder, ["a.speed"])
    desk.offer_until(lines)
    desk.now_ns += 7_000_000_000
    next(lines)
    assert next(lines)["values"] == [[7.0, 1.0]]


def test_nothing_is_copied_while_nobody_looks(desk: Desk) -> None:
    desk.push("a.speed", 1.0, 1)
    desk.tail.offer(desk.rings)
    assert not len(desk.tail._newest.t_ns)
    _, lines = look(desk.folder, ["a.speed"])
    desk.offer_until(lines)
    lines.close()  # type: ignore[attr-defined]
    give_up_s = time.monotonic() + 120
    while desk.tail._wanted.is_set():
        assert time.monotonic() < give_up_s
        time.sleep(0.02)
    assert not len(desk.tail._newest.t_ns)


def test_only_the_owner_may_open_it(desk: Desk) -> None:
    assert stat.S_IMODE((desk.folder / SOCKET_FILE).stat().st_mode) == 0o600


def test_unknown_signals_and_too_many_lookers_are_told(desk: Desk) -> None:
    with pytest.raises(TailError, match=r"no signal a\.sped"):
        look(desk.folder, ["a.sped"])
    held = [look(desk.folder, ["a.speed"]) for _ in range(LOOKERS_MAX)]
    time.sleep(0.3)
    with pytest.raises(TailError, match=f"no more than {LOOKERS_MAX}"):
        look(desk.folder, ["a.speed"])
    assert next(held[0][1])["values"] == [None]


def test_no_agent(tmp_path: Path) -> None:
    with pytest.raises(TailError, match="no agent runs"):
        look(tmp_path, ["a"])
    with pytest.raises(TailError, match="no agent runs"):
        look(tmp_path / "nowhere", ["a"])


@pytest.mark.parametrize("said", [b"rubbish\n", b"[]\n", b'{"signals": 1}\n', b"x" * 70_000, b""])
def test_bad_clients_are_dropped_and_the_next_is_served(
    desk: Desk, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "SLOW_S_MAX", 0.3)
    bad = socket.socket(socket.AF_UNIX)
    with tail_module._short_path(desk.folder) as path:
        bad.connect(path)
    bad.settimeout(120)
    bad.sendall(said)
    with pytest.raises((ConnectionResetError, AssertionError)):
        assert bad.recv(1)
    bad.close()
    monkeypatch.setattr(tail_module, "SLOW_S_MAX", 120.0)
    assert len(look(desk.folder, ["a.speed"])[0]) == 1


def test_a_client_that_reads_nothing_holds_one_line_and_is_dropped(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "SLOW_S_MAX", 0.5)
    monkeypatch.setattr(tail_module, "PERIOD_S", 0.001)
    lazy = socket.socket(socket.AF_UNIX)
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    with tail_module._short_path(desk.folder) as path:
        lazy.connect(path)
    lazy.sendall(json.dumps({"signals": ["*"]}).encode() + b"\n")
    give_up_s = time.monotonic() + 120
    while not desk.tail._lookers:
        time.sleep(0.01)
    while desk.tail._lookers:
        assert all(len(one.unsent) < 10_000 for one in list(desk.tail._lookers))
        assert time.monotonic() < give_up_s, "a client that reads nothing is kept"
        time.sleep(0.01)
    lazy.close()


def test_a_folder_that_cannot_be_written_costs_only_the_tail(tmp_path: Path) -> None:
    (tmp_path / SOCKET_FILE).mkdir()
    Tail(tmp_path, assemble(SIGNALS), TextTable(), None).run(threading.Event())


def test_sparklines() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([5.0, 5.0]) == "▁▁"
    assert sparkline([0.0, math.nan, 1.0]) == "▁ █"
    assert sparkline([math.nan]) == sparkline([]) == ""


def test_the_screen_marks_what_is_stale_and_what_never_came() -> None:
    screen = Screen([{"name": n, "unit": "V", "simulated": n == "s"} for n in ("fresh", "s", "never")])
    screen.add({"t_unix_s": 0, "values": [[0.1, 1.0], [9.0, 2.0], None]})
    table = screen.table()
    assert list(table.columns[0].cells) == ["fresh", "s (simulated)", "never"]
    assert list(table.columns[1].cells) == ["1", "2", "-"]
    assert list(table.columns[3].cells) == ["0.1 s", "9.0 s", "never"]
    assert [str(row.style) for row in table.rows] == ["", "yellow", "dim"]


@pytest.mark.once
def test_the_command_beside_an_agent(tmp_path: Path) -> None:
    van = Van("van-1", tmp_path / "van", HeldPort().release(), [{"kind": "probe"}]).start()
    try:
        van.wait_ready()
        argv = [sys.executable, "-m", "edge", "tail", "*Probe", "--config", str(van.config), "--seconds", "1"]
        done = subprocess.run([*argv, "--json"], capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line)["signals"] for line in done.stdout.splitlines()]
        seen = [line["Vehicle.Robovan.TestBench.Probe"] for line in lines]
        values = [one["value"] for one in seen if one is not None]
        assert len(set(values)) > 1, "it moves"
        assert all(one["age_s"] < 30 for one in seen if one)
        shown = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=240)
        assert shown.returncode == 0
        assert "TestBench.Probe" in shown.stdout
        wrong = subprocess.run(
            [*argv[:4], "nothing", *argv[5:]], capture_output=True, text=True, check=False, timeout=240
        )
        assert wrong.returncode == 65
        assert "no signal nothing" in wrong.stderr
    finally:
        assert van.stop() == 0
    assert not (tmp_path / "van" / "state" / SOCKET_FILE).exists()
