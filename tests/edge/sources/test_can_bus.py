"""Live CAN buses.

Goal: frames that arrive become the samples that cantools gives, on the van's clock, and everything that goes wrong on a
bus is counted or told as a signal, while the source goes on.
Method: real sockets. No SocketCAN in most test kernels, so the reading code works on loopback UDP, whose datagrams are
struct can_frame; receive stamps and drop counts are the kernel's there too. python-can by its virtual bus; vcan where
the kernel has it. Lost interfaces by a reader that fails.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import can
import numpy as np
import pytest

from edge.clock import VanClock
from edge.model import SampleBlock, TextTable
from edge.settings import CanSource as CanSection
from edge.sources.can_bus import CanBus
from edge.sources.can_bus_state import BUS_OFF, ERROR_FRAMES, NAMES, PASSIVE, RATE, STATE, STATES, BusState
from edge.sources.can_interface import open_reader
from edge.sources.can_socket import ERROR_FRAME, FRAMES_MAX, REMOTE_FRAME, FrameSocket, open_udp
from edge.sources.dbc_file import load_database
from edge.sources.dbc_kernel import EXTENDED
from edge.sources.errors import RecordingError
from edge.sources.receive_stamps import ASIDE_NS, ReceiveStamps

from .can_datagrams import classic, fd, free_port

DBC = """VERSION ""
NS_ :
BS_:
BU_: A
BO_ 291 Wheel: 8 A
 SG_ Speed : 7|16@0+ (0.01,-3) [0|0] "km/h" A
 SG_ Angle : 16|12@1- (0.1,0) [0|0] "deg" A
BO_ 2147484209 Wide: 24 A
 SG_ Far : 180|12@1+ (0.5,0) [0|0] "" A
"""
WAIT_S = 120.0


class Running:
    """A source in its thread."""

    def __init__(self, bus: CanBus) -> None:
        self.bus = bus
        self.blocks: list[SampleBlock] = []

    def of(self, name: str) -> list[tuple[int, float]]:
        slot = [signal.name for signal in self.bus.signals()].index(name)
        return [
            (t, v)
            for block in list(self.blocks)
            for s, t, v in zip(
                block.slot.tolist(), block.t_mono_ns.tolist(), block.value.tolist(), strict=True
            )
            if s == slot
        ]

    def until(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT_S
        while not done():
            assert time.monotonic() < end, (self.bus.counters, len(self.blocks))
            time.sleep(0.005)


@contextmanager
def running(bus: CanBus) -> Iterator[Running]:
    run, stop = Running(bus), threading.Event()
    thread = threading.Thread(target=bus.run, args=(run.blocks.append, stop))
    thread.start()
    try:
        yield run
    finally:
        stop.set()
        thread.join(WAIT_S)
        assert not thread.is_alive()


@pytest.fixture
def dbc(tmp_path: Path) -> Path:
    path = tmp_path / "van.dbc"
    path.write_text(DBC)
    return path


def udp_section(dbc: Path, **more: Any) -> CanSection:
    return CanSection.model_validate(
        {
            "kind": "can",
            "name": "can0",
            "interface": "udp",
            "channel": f"127.0.0.1:{free_port()}",
            "dbc": dbc,
            **more,
        }
    )


@contextmanager
def sender(section: CanSection) -> Iterator[Callable[[bytes], int]]:
    host, _, port = section.channel.partition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect((host, int(port)))
        yield out.send


def test_frames_become_the_samples_of_cantools_on_the_vans_clock(dbc: Path) -> None:
    section, database = udp_section(dbc), load_database(dbc)
    random = np.random.default_rng(3)
    payloads = [random.integers(0, 256, 8, np.uint8).tobytes() for _ in range(300)]
    with running(CanBus(section, VanClock(), TextTable())) as run, sender(section) as send:
        run.until(lambda: bool(run.of("can0.Bus.IsUp")))
        began = time.monotonic_ns()
        for data in payloads:
            send(classic(0x123, data))
        send(fd(0x231 | EXTENDED, bytes(range(24))))
        run.until(lambda: run.bus.counters.get("frames", 0) == 301)
        run.until(lambda: bool(run.of("can0.Wide.Far")))
        ended = time.monotonic_ns()
    wanted = [database.decode_message(0x123, data) for data in payloads]
    assert [v for _, v in run.of("can0.Wheel.Speed")] == [one["Speed"] for one in wanted]
    assert [v for _, v in run.of("can0.Wheel.Angle")] == [one["Angle"] for one in wanted]
    far = database.decode_message("Wide", bytes(range(24)))["Far"]
    assert [v for _, v in run.of("can0.Wide.Far")] == [far]
    stamps = [t for t, _ in run.of("can0.Wheel.Speed")]
    assert stamps == sorted(stamps)
    slack = 20_000_000  # the kernel's Unix clock is disciplined while the test runs
    assert began - slack <= stamps[0] <= stamps[-1] <= ended + slack
    assert "stamps_replaced" not in run.bus.counters
    times = [t for block in run.blocks for t in block.t_mono_ns.tolist()]
    assert times == sorted(times)


def test_what_is_no_data_frame_is_counted_by_reason_and_the_rest_goes_on(dbc: Path) -> None:
    section = udp_section(dbc)
    with running(CanBus(section, VanClock(), TextTable())) as run, sender(section) as send:
        run.until(lambda: bool(run.of("can0.Bus.IsUp")))
        for datagram in (b"", b"x", bytes(15), bytes(17), bytes(71), bytes(73), bytes(2000),
                         struct.pack("<IB3x8s", 0x123, 9, b""), struct.pack("<IB3x64s", 0x123, 65, b"")):  # fmt: skip
            send(datagram)
        send(classic(0x123 | REMOTE_FRAME, b""))
        send(classic(0x7FF, bytes(8)))
        send(classic(0x123 | EXTENDED, bytes(8)))
        send(classic(0x123, b"\x01\x02"))
        send(classic(0x123, b""))
        send(classic(ERROR_FRAME | 0x40, bytes(8)))
        send(classic(0x123, bytes(8)))
        run.until(lambda: len(run.of("can0.Wheel.Angle")) == 1)
        run.until(lambda: BUS_OFF in [v for _, v in run.of("can0.Bus.State")])
    counted = {k: v for k, v in run.bus.counters.items() if k not in ("samples_emitted",) and v}
    assert counted == {
        "frames": 7, "frames_malformed": 9, "frames_remote": 1, "frames_error": 1, "frames_unknown": 2,
        "signals_truncated": 3,
    }  # fmt: skip
    assert [v for _, v in run.of("can0.Wheel.Speed")] == [0x0102 * 0.01 - 3, -3.0]


def until_stamped(reader: FrameSocket, send: Callable[[bytes], object]) -> None:
    """The kernel begins to stamp some time after the first socket of the machine asks for it."""
    deadline = time.monotonic() + 60
    stamped = False
    while not stamped:
        assert time.monotonic() < deadline, "the kernel stamps nothing"
        send(classic(0x123, bytes(8)))
        time.sleep(0.01)
        received = reader.read()
        stamped = received is not None and bool((received.software_ns > 0).all())


def test_frames_that_the_kernel_dropped_are_counted(dbc: Path) -> None:
    section = udp_section(dbc, receive_bytes_max=1)
    reader = open_udp(section.channel, 1)
    sent = 2000
    with sender(section) as send:
        until_stamped(reader, send)
        for _ in range(sent):
            send(classic(0x123, bytes(8)))
        got = dropped = 0
        while (received := reader.read()) is not None:
            got, dropped = got + len(received.ids), dropped + received.dropped
            assert (received.software_ns > 0).all()
        assert 0 < got < sent
        send(classic(0x123, bytes(8)))  # the count comes with the next frame
        time.sleep(0.05)
        received = reader.read()
        assert received is not None
        assert got + dropped + received.dropped == sent
    reader.close()


def test_a_read_takes_no_more_than_its_memory_and_keeps_the_order(dbc: Path) -> None:
    section = udp_section(dbc)
    reader = open_udp(section.channel, 8 << 20)
    with sender(section) as send:
        for at in range(FRAMES_MAX + 10):
            send(classic(at, at.to_bytes(8, "little")))
        time.sleep(0.05)
        first, second = reader.read(), reader.read()
        assert reader.read() is None
    assert first is not None
    assert second is not None
    ids = np.concatenate([first.ids, second.ids])
    assert (ids == np.arange(FRAMES_MAX + 10)).all()
    data = np.concatenate([first.payload, second.payload])[:, :8].copy().view(np.uint64)[:, 0]
    assert (data == ids).all()
    reader.close()


def test_a_lost_interface_is_told_and_found_again(dbc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.sources.can_bus.REOPEN_S", 0.01)
    section = udp_section(dbc)
    opened: list[Any] = []

    def flaky(given: CanSection) -> Any:
        """Not there, then there, then gone in the middle, then there for good."""
        opened.append(given)
        if len(opened) == 1:
            raise OSError(19, "No such device")
        reader = open_reader(given)
        if len(opened) == 2:

            def gone() -> None:
                raise OSError(100, "Network is down")

            reader.wait = lambda _: True  # type: ignore[method-assign]
            reader.frames.receive = gone  # type: ignore[attr-defined, method-assign, assignment]
        return reader

    with running(CanBus(section, VanClock(), TextTable(), flaky)) as run, sender(section) as send:
        run.until(lambda: len(opened) == 3)
        run.until(lambda: run.of("can0.Bus.IsUp")[-1:] and run.of("can0.Bus.IsUp")[-1][1] == 1.0)
        send(classic(0x123, bytes(8)))
        run.until(lambda: bool(run.of("can0.Wheel.Speed")))
    ups = [v for _, v in run.of("can0.Bus.IsUp")]
    assert ups[0] == 0.0
    assert ups[-1] == 1.0
    assert run.bus.counters["interface_lost"] == 1


def test_python_can_reads_any_other_interface(dbc: Path) -> None:
    section = CanSection.model_validate(
        {"kind": "can", "channel": "vantel-test", "interface": "virtual", "dbc": dbc, "name": "can0"}
    )
    with running(CanBus(section, VanClock(), TextTable())) as run:
        run.until(lambda: bool(run.of("can0.Bus.IsUp")))
        with can.Bus("vantel-test", "virtual") as bus:
            bus.send(can.Message(arbitration_id=0x123, data=bytes(8), is_extended_id=False))
            bus.send(can.Message(is_error_frame=True))
            bus.send(can.Message(arbitration_id=0x123, is_remote_frame=True, is_extended_id=False))
            run.until(lambda: run.bus.counters.get("frames", 0) == 3)
            run.until(lambda: bool(run.of("can0.Wheel.Speed")))
    assert run.of("can0.Wheel.Speed")[0][1] == -3.0
    assert (run.bus.counters["frames_error"], run.bus.counters["frames_remote"]) == (1, 1)


def test_an_interface_that_python_can_does_not_know_is_told_not_raised(dbc: Path) -> None:
    section = CanSection.model_validate({"kind": "can", "interface": "nonesuch", "dbc": dbc})
    with pytest.raises(OSError, match="nonesuch"):
        open_reader(section)


def test_vcan(dbc: Path) -> None:
    section = CanSection.model_validate({"kind": "can", "channel": "vcan0", "dbc": dbc})
    try:
        reader = open_reader(section)
    except OSError as cause:
        pytest.skip(f"no vcan0 in this kernel: {cause}")
    with can.Bus("vcan0", "socketcan") as bus:
        bus.send(can.Message(arbitration_id=0x123, data=bytes(8), is_extended_id=False))
        assert reader.wait(WAIT_S)
        received = reader.read()
    reader.close()
    assert received is not None
    assert received.ids.tolist() == [0x123]
    assert (received.software_ns > 0).all()


def test_signals_are_chosen_mapped_and_carry_scale_and_offset(dbc: Path) -> None:
    section = udp_section(dbc, signals=["Wheel.Sp*"], map={"Wheel.Speed": "Vehicle.Speed"})
    names = {signal.name: signal for signal in CanBus(section, VanClock(), TextTable()).signals()}
    assert set(names) == {"Vehicle.Speed", *(f"can0.Bus.{name}" for name in NAMES)}
    assert (names["Vehicle.Speed"].scale, names["Vehicle.Speed"].offset) == (0.01, -3.0)
    with pytest.raises(RecordingError, match="did you mean"):
        CanBus(udp_section(dbc, map={"Wheel.Sped": "Vehicle.Speed"}), VanClock(), TextTable())


def test_states_of_the_controller() -> None:
    state = BusState("can0", 5)
    state.up(True)
    assert dict(zip(*(part.tolist() for part in state.samples(0)), strict=True))[5 + STATE] == STATES.index(
        "ERROR_ACTIVE"
    )
    assert not len(state.samples(1)[0])
    data = np.zeros((1, 64), np.uint8)
    data[0, 1] = 0x20
    state.errors(np.array([0x04], np.uint32), data)
    assert [part.tolist() for part in state.samples(2)] == [[5 + STATE], [float(PASSIVE)]]
    state.errors(np.array([0x40], np.uint32), data)
    assert state.samples(3)[1].tolist() == [float(BUS_OFF)]
    data[0, 6:8] = 96, 12
    state.errors(np.array([0x100 | 0x200], np.uint32), data)
    slots, values = state.samples(2_000_000_000)
    told = dict(zip((slots - 5).tolist(), values.tolist(), strict=True))
    assert (told[STATE], told[2], told[3], told[ERROR_FRAMES]) == (1.0, 96.0, 12.0, 3.0)


def test_the_load_of_a_bus_is_told_in_frames_a_second_once_there_is_a_second_to_count_in() -> None:
    state, second = BusState("can0", 0), 1_000_000_000
    state.frames(1000, 0)
    assert RATE not in state.samples(5 * second)[0].tolist()
    state.frames(3500, 0)
    assert RATE not in state.samples(5 * second + 1)[0].tolist()
    slots, values = state.samples(7 * second)
    assert dict(zip(slots.tolist(), values.tolist(), strict=True))[RATE] == 1250.0


def test_hardware_stamps_give_the_spacing_of_the_bus() -> None:
    """A counter that began at its own time and drifts by 50 ppm; software stamps jitter by up to 2 ms."""
    random = np.random.default_rng(1)
    stamps, real = ReceiveStamps(), np.arange(20_000, dtype=np.int64) * 125_000 + 1_000_000_000_000
    hardware = ((real - real[0]) * (1 + 50e-6)).astype(np.int64) + 7_000_000
    software = real + 20_000 + random.exponential(200_000, len(real)).astype(np.int64).clip(0, 2_000_000)
    unix_ns = 1_700_000_000_000_000_000
    out = []
    for at in range(0, len(real), 25):
        part = slice(at, at + 25)
        now = int(software[part].max()) + 10_000
        out.append(stamps.monotonic(software[part] + unix_ns, hardware[part], now + unix_ns, now))
    error = np.concatenate(out)[2000:] - real[2000:]
    assert stamps.replaced == 0
    assert error.std() < 0.2 * (software - real)[2000:].std()
    assert (error > 0).all() and (error < 1_000_000).all()


def test_stamps_that_cannot_be_are_replaced_by_the_time_of_reading() -> None:
    stamps = ReceiveStamps()
    now = 50_000_000_000
    software = np.array([0, now + 1, now - 20_000_000_000, now - 1000], np.int64)
    none = np.zeros(4, np.int64)
    assert stamps.monotonic(software, none, now, now).tolist() == [now] * 4  # in order
    assert stamps.replaced == 3
    # a counter that was reset is taken up anew
    stamps = ReceiveStamps()
    hardware = np.array([10**12, 10**12 + 1000], np.int64)
    first = stamps.monotonic(np.array([now - 2000, now - 1000], np.int64), hardware, now, now)
    assert first.tolist() == [now - 2000, now - 1000]
    again = stamps.monotonic(np.array([now - 2000, now - 1000], np.int64), hardware - 2 * ASIDE_NS, now, now)
    assert again.tolist() == [now - 1000, now - 1000]
