"""Polling of UDS and OBD-II.

Goal: a bus is asked exactly what the settings say, answers of several frames get their flow control, silence and
refusals are counted, and without the settings key nothing is ever sent.
Method: python-can's virtual bus with a scripted control unit on it, that hears every frame the agent sends; times by
numbers given to the pure part.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import can
import numpy as np
import pytest
from pydantic import ValidationError

from edge.clock import VanClock
from edge.model import TextTable
from edge.settings import CanSource as CanSection
from edge.settings.sources import PollRequest, PollSection
from edge.sources import can_interface
from edge.sources.can_bus import CanBus
from edge.sources.dbc_kernel import EXTENDED
from edge.sources.polling import PAD, Frame, Poller, responders
from tests.edge.sources.test_can_bus import Running, running

ANSWERS = """
[[answers]]
name = "Engine"
response = [0x7E8, 0x7E9]
pid = 0x0C
signals = [{ name = "Speed", byte = 0, bytes = 2, scale = 0.25, unit = "rpm" }]
[[answers]]
name = "Battery"
response = 0x7EC
did = 0x0101
signals = [{ name = "Voltage", byte = 14, bytes = 2, scale = 0.1, unit = "V" }]
[[answers]]
name = "Gear"
response = 0x612
address = 0xF1
did = 0xD031
signals = [{ name = "Ratio", byte = 7, scale = 0.5 }]
[trouble_codes]
response = 0x7E8
"""
BATTERY = bytes((0x62, 0x01, 0x01)) + bytes(14) + (3605).to_bytes(2, "big") + bytes(40)
GEAR = bytes((0x62, 0xD0, 0x31)) + bytes(7) + b"\x09"
Script = Callable[[int, bytes], list[tuple[int, bytes]]]


class ControlUnit(threading.Thread):
    """Hears every frame on a virtual bus, and answers as the script says."""

    def __init__(self, channel: str, script: Script) -> None:
        super().__init__(daemon=True)
        self.heard: list[tuple[int, bytes]] = []
        self._script = script
        self._bus = can.Bus(channel, "virtual")
        self._leave = threading.Event()

    def run(self) -> None:
        while not self._leave.is_set():
            if (frame := self._bus.recv(0.02)) is not None:
                self.heard.append((frame.arbitration_id, bytes(frame.data)))
                for key, data in self._script(frame.arbitration_id, bytes(frame.data)):
                    self.say(key, data)

    def say(self, key: int, data: bytes) -> None:
        self._bus.send(can.Message(arbitration_id=key, data=data, is_extended_id=False))

    def close(self) -> None:
        self._leave.set()
        self.join(10)
        self._bus.shutdown()


def in_frames(whole: bytes, address: bytes = b"") -> list[bytes]:
    """First frame and consecutive frames."""
    size = 7 - len(address)
    first = address + bytes([0x10 | len(whole) >> 8, len(whole) & 0xFF]) + whole[: size - 1]
    rest = [whole[at : at + size] for at in range(size - 1, len(whole), size)]
    return [first, *(address + bytes([0x20 | (n + 1) & 15]) + part for n, part in enumerate(rest))]


@contextmanager
def polled(
    tmp_path: Path, script: Script, poll: dict[str, Any] | None
) -> Iterator[tuple[Running, ControlUnit]]:
    (tmp_path / "answers.toml").write_text(ANSWERS)
    channel = f"polling-{tmp_path.name}"
    unit = ControlUnit(channel, script)
    unit.start()
    section = CanSection.model_validate({
        "kind": "can", "name": "obd", "channel": channel, "interface": "virtual",
        "answers": tmp_path / "answers.toml", **({} if poll is None else {"poll": poll}),
    })  # fmt: skip
    try:
        with running(CanBus(section, VanClock(), TextTable())) as run:
            yield run, unit
    finally:
        unit.close()


def script(key: int, data: bytes) -> list[tuple[int, bytes]]:
    """Two units know the engine's speed, one the battery, one sits behind an address, one says no."""
    if (key, data[:3]) == (0x7DF, b"\x02\x01\x0c"):
        return [(0x7E8, b"\x04\x41\x0c\x10\x00"), (0x7E9, b"\x04\x41\x0c\x20\x00")]
    if (key, data[:4]) == (0x7E4, b"\x03\x22\x01\x01"):
        return [(0x7EC, b"\x03\x7f\x22\x78"), (0x7EC, in_frames(BATTERY)[0])]
    if key == 0x7E4 and data[0] >> 4 == 3:
        return [(0x7EC, frame) for frame in in_frames(BATTERY)[1:]]
    if (key, data[:5]) == (0x6F1, b"\x18\x03\x22\xd0\x31"):
        return [(0x612, in_frames(GEAR, b"\xf1")[0])]
    if (key, data[:2]) == (0x6F1, b"\x18\x30"):
        return [(0x612, frame) for frame in in_frames(GEAR, b"\xf1")[1:]]
    if (key, data[:2]) == (0x7E0, b"\x01\x03"):
        return [(0x7E8, b"\x03\x7f\x03\x22")]
    return []


def test_a_bus_is_asked_and_its_answers_become_samples(tmp_path: Path) -> None:
    requests = [
        {"pid": 0x0C, "period_s": 0.2},
        {"request": 0x7E4, "did": 0x0101, "period_s": 0.2},
        {
            "request": 0x6F1,
            "response": 0x612,
            "address": 0x18,
            "response_address": 0xF1,
            "did": 0xD031,
            "period_s": 0.2,
        },
        {"request": 0x7E0, "trouble_codes": "obd", "period_s": 0.2},
        {"request": 0x7E5, "did": 0xF190, "period_s": 0.2},
    ]
    with polled(tmp_path, script, {"requests": requests, "answer_s_max": 0.1}) as (run, unit):
        for name in ("obd.Engine.Speed", "obd.Battery.Voltage", "obd.Gear.Ratio"):
            run.until(lambda name=name: len(run.of(name)) >= 2)  # type: ignore[misc]
        run.until(lambda: run.bus.counters.get("polls_timed_out", 0) >= 2)
        counted = run.bus.counters
    assert {v for _, v in run.of("obd.Engine.Speed")} == {1024.0, 2048.0}
    assert {v for _, v in run.of("obd.Battery.Voltage")} == {360.5}
    assert {v for _, v in run.of("obd.Gear.Ratio")} == {4.5}
    assert counted["answers_negative"] >= 2
    assert counted["polls_answered"] >= 6
    flow = {(key, data) for key, data in unit.heard if b"\x30" in (data[:1], data[1:2])}
    assert flow == {
        (0x7E4, b"\x30\x00\x00".ljust(8, b"\xcc")),
        (0x6F1, b"\x18\x30\x00\x00".ljust(8, b"\xcc")),
    }
    assert {key for key, _ in unit.heard} == {0x7DF, 0x7E4, 0x6F1, 0x7E0, 0x7E5}
    assert all(len(data) == 8 for _, data in unit.heard)


def test_without_the_key_nothing_is_ever_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is heard: requests of a tester, first frames that wait for flow control, error and remote frames."""
    sent: list[object] = []
    with polled(tmp_path, lambda *_: [], None) as (run, unit):
        run.until(lambda: bool(run.of("obd.Bus.IsUp")))
        opened = can_interface.open_reader(
            CanSection.model_validate({"kind": "can", "channel": "other", "interface": "virtual"})
        )
        assert opened.send is None
        opened.close()
        random = np.random.default_rng(1)
        for key in (0x7DF, 0x7E0, 0x7E8, 0x7EC, 0x612):
            unit.say(key, b"\x02\x01\x0c")
            unit.say(key, in_frames(BATTERY)[0])
            unit.say(key, in_frames(GEAR, b"\xf1")[0])
            for _ in range(100):
                unit.say(key, random.bytes(8))
        unit.say(0x7E8, b"\x04\x41\x0c\x10\x00")
        run.until(lambda: bool(run.of("obd.Engine.Speed")))
        time.sleep(0.3)
    assert unit.heard == []
    assert not sent
    monkeypatch.setattr(can_interface, "FrameSender", lambda *_: sent.append("sender"))
    for name, make in (("open_socketcan", "vcan0"), ("open_udp", "127.0.0.1:1")):
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        monkeypatch.setattr(can_interface, name, lambda *_, probe=probe: can_interface.FrameSocket(probe))
        interface = "udp" if name == "open_udp" else "socketcan"
        reader = can_interface.open_reader(
            CanSection.model_validate({"kind": "can", "channel": make, "interface": interface})
        )
        assert reader.send is None
        reader.close()
    assert not sent


def heard(*frames: tuple[int, bytes]) -> tuple[Any, Any, Any]:
    payload = np.zeros((len(frames), 64), np.uint8)
    for at, (_, data) in enumerate(frames):
        payload[at, : len(data)] = list(data)
    keys, sizes = [key for key, _ in frames], [len(data) for _, data in frames]
    return np.array(keys, np.uint32), np.array(sizes, np.int64), payload


def poller(*requests: dict[str, Any], **more: Any) -> Poller:
    section = PollSection(requests=[PollRequest.model_validate(one) for one in requests], **more)
    return Poller(section, 0.0)


def test_one_request_at_a_time_by_its_period_and_a_silent_unit_delays_nobody() -> None:
    one = poller(
        {"pid": 0x0C, "request": 0x7E0}, {"pid": 0x0D, "request": 0x7E1}, answer_s_max=0.2, gap_s=0.0
    )
    asked = [(at / 100, f.key) for at in range(400) for f in one.tick(at / 100)]
    assert [key for _, key in asked] == [0x7E0, 0x7E1] * 4
    assert [t for t, key in asked if key == 0x7E0] == [0.0, 1.0, 2.0, 3.0]
    assert one.counts == {"polls_sent": 8, "polls_timed_out": 8}
    assert one.wait_s(3.99) == pytest.approx(0.01)


def test_an_answer_that_breaks_off_or_is_put_off_ends_in_time() -> None:
    one = poller({"did": 0x0101, "request": 0x7E4, "period_s": 60}, answer_s_max=0.2)
    assert one.tick(0.0) == [Frame(0x7E4, b"\x03\x22\x01\x01" + bytes([PAD]) * 4)]
    assert one.hear(0.1, *heard((0x7EC, b"\x03\x7f\x22\x78"))) == []
    assert one.wait_s(0.1) == pytest.approx(5.0)
    assert len(one.hear(4.0, *heard((0x7EC, in_frames(BATTERY)[0])))) == 1
    assert one.hear(4.5, *heard((0x7EC, in_frames(BATTERY)[1]))) == []
    assert one.tick(5.4) == []
    assert one.counts["polls_timed_out"] == 0
    assert one.tick(5.6) == []
    assert one.counts["polls_timed_out"] == 1


def test_the_conversation_of_another_tester_gets_no_flow_control() -> None:
    one = poller({"did": 0x0101, "request": 0x7E4})
    first = in_frames(b"\x62\x02\x02" + bytes(40))[0]
    assert one.hear(0.0, *heard((0x7EC, in_frames(BATTERY)[0]))) == []  # nothing was asked yet
    one.tick(0.0)
    assert one.hear(0.1, *heard((0x7EC, first), (0x7ED, in_frames(BATTERY)[0]))) == []
    assert len(one.hear(0.1, *heard((0x7EC, in_frames(BATTERY)[0])))) == 1


def test_a_bus_that_sleeps_is_left_asleep() -> None:
    one = poller({"pid": 0x0C}, quiet_s_max=2.0, answer_s_max=0.1)
    assert one.tick(0.0) == []
    one.hear(1.0, *heard((0x123, b"x")))
    assert len(one.tick(1.5)) == 1
    one.hear(1.55, *heard((0x7E8, b"\x04\x41\x0c\x10\x00")))  # an answer keeps nobody awake
    assert [f for at in range(20, 600) for f in one.tick(at / 10)][1:] == []


def test_who_answers_by_the_standard() -> None:
    functional = responders(PollRequest(pid=1))
    assert functional == {0x7E8 + n: 0x7E0 + n for n in range(8)}
    assert responders(PollRequest(pid=1, request=0x7E3)) == {0x7EB: 0x7E3}
    wide = PollRequest(did=1, request=0x18DA10F1)
    assert responders(wide) == {0x18DAF110 | EXTENDED: 0x18DA10F1 | EXTENDED}
    everyone = PollRequest(pid=1, request=0x18DB33F1, response=[0x18DAF110, 0x18DAF118])
    assert responders(everyone)[0x18DAF118 | EXTENDED] == 0x18DA18F1 | EXTENDED


@pytest.mark.parametrize(("change", "told"), [
    ({"poll": {"requests": [{"pid": 1, "did": 2}]}}, "one of them"),
    ({"poll": {"requests": [{"pid": 1, "request": 0x123}]}}, "give response ="),
    ({"poll": {"requests": [{"did": 1, "request": 0x7E0, "address": 1}]}}, "give response ="),
    ({"poll": {"requests": []}}, "at least 1"),
    ({"interface": "udp", "channel": "127.0.0.1:1"}, "socketcan"),
    ({"answers": None}, "answers ="),
])  # fmt: skip
def test_mistakes_in_the_settings_are_told(change: dict[str, Any], told: str) -> None:
    good = {"kind": "can", "interface": "virtual", "answers": "a.toml", "poll": {"requests": [{"pid": 1}]}}
    assert CanSection.model_validate(good).poll is not None
    with pytest.raises(ValidationError, match=told):
        CanSection.model_validate({**good, **change})


def test_a_question_to_everybody_waits_for_everybody() -> None:
    one = poller({"trouble_codes": "obd"}, answer_s_max=0.2)
    codes = b"\x43\x06" + bytes(range(1, 13))
    one.tick(0.0)
    one.hear(0.05, *heard((0x7E8, b"\x04\x43\x01\x03\x01")))
    wanted = [Frame(0x7E1, b"\x30\x00\x00" + bytes([PAD]) * 5)]
    assert one.hear(0.1, *heard((0x7E9, in_frames(codes)[0]))) == wanted
    assert one.hear(0.1, *heard((0x7E9, in_frames(codes)[1]), (0x7E9, in_frames(codes)[2]))) == []
    assert one.tick(1.0) == []
    assert one.counts == {"polls_sent": 1, "polls_answered": 1}
