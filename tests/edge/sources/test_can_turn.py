"""A reading of a live bus in one kernel call.

Goal: it gives the same samples, counts and states as the steps one by one, which every other test compares with cantools.
Method: the same datagrams to two buses on loopback UDP, one of which hides from CanBus that its reader is a socket: recorded
frames of a drive, and among them at random frames of CAN FD, remote and error frames, unknown ids, short payloads, datagrams
that are no frame, and messages that only cantools decodes; in readings small and so large that their samples find no room.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.clock import VanClock
from edge.model import SampleBlock, TextTable
from edge.settings import CanSource as CanSection
from edge.sources.can_bus import CanBus
from edge.sources.can_bus_state import BUS_OFF
from edge.sources.can_interface import FrameReader, open_reader
from edge.sources.can_socket import ERROR_FRAME, REMOTE_FRAME, Received
from edge.sources.dbc import ROOM_SAMPLES
from edge.sources.dbc_kernel import EXTENDED

from .can_datagrams import classic, fd, free_port

DATA = Path(__file__).parents[2] / "data" / "can"
DBC = DATA / "rav4_2016" / "toyota_new_mc_pt_generated.dbc"
RARE = 0x411
"""A message of this DBC that has a signal no kernel decodes."""
MANY = 0x1C4
BIG_READING = 512
BUS_OFF_FRAME = classic(ERROR_FRAME | 0x40, bytes(8))
WAIT_S = 60.0


class Hidden:
    """A reader of a socket that does not look like one, so that CanBus takes the steps one by one."""

    def __init__(self, reader: FrameReader) -> None:
        self._reader = reader
        self.send: Callable[[int, bytes], None] | None = None

    def wait(self, timeout_s: float) -> bool:
        return self._reader.wait(timeout_s)

    def read(self) -> Received | None:
        return self._reader.read()

    def close(self) -> None:
        self._reader.close()


class Bus:
    """A bus whose turns the test makes, and the way to it."""

    def __init__(self, hidden: bool, **more: object) -> None:
        port = free_port()
        section = CanSection.model_validate(
            {
                "kind": "can",
                "name": "can0",
                "interface": "udp",
                "channel": f"127.0.0.1:{port}",
                "dbc": DBC,
                **more,
            }
        )
        self.bus = CanBus(
            section, VanClock(), TextTable(), (lambda s: Hidden(open_reader(s))) if hidden else open_reader
        )
        self.blocks: list[SampleBlock] = []
        self._sent = 0
        self.bus.turn(self.blocks.append)
        self.out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.out.connect(("127.0.0.1", port))

    def hear(self, datagrams: list[bytes]) -> None:
        """Send them, which on loopback puts them into the buffer nearly at once, and let the bus have its turns."""
        for datagram in datagrams:
            self.out.send(datagram)
        self._sent += len(datagrams)
        end = time.monotonic() + WAIT_S
        while self.heard() < self._sent:
            assert time.monotonic() < end, (self._sent, self.bus.counters)
            self.bus.turn(self.blocks.append)

    def heard(self) -> int:
        return sum(self.bus.counters.get(name, 0) for name in ("frames", "frames_malformed"))

    def close(self) -> None:
        self.bus.close()
        self.out.close()

    def samples(self) -> tuple[list[int], list[bytes]]:
        """Slots and values, bit by bit, without the state of the bus, which is told by the clock."""
        first = next(n for n, s in enumerate(self.bus.signals()) if ".Bus." in s.name)
        slots = np.concatenate([block.slot for block in self.blocks])
        values = np.concatenate([block.value for block in self.blocks])
        kept = slots < first
        return slots[kept].tolist(), [value.tobytes() for value in values[kept]]

    def state(self) -> float:
        """State of the controller that was told last."""
        slot = next(n for n, s in enumerate(self.bus.signals()) if s.name.endswith(".Bus.State"))
        return float(np.concatenate([block.value[block.slot == slot] for block in self.blocks])[-1])


def datagrams(random: np.random.Generator, count: int) -> list[bytes]:
    """Frames of every kind; most are of messages of the DBC."""
    ids = np.array([0x25, 0x24, 0xAA, 0xB4, 0x224, MANY, 0x2C1, 0x260], np.uint32)
    out = []
    for kind in random.random(count):
        data = random.integers(0, 256, 8, np.uint8).tobytes()
        can_id = int(random.choice(ids))
        length = 8 if random.random() < 0.9 else int(random.integers(0, 9))
        if kind < 0.9:
            out.append(classic(can_id, data[:length]))
        elif kind < 0.92:
            out.append(fd(can_id, (data * 8)[: int(random.integers(0, 65))]))
        elif kind < 0.94:
            out.append(classic(int(random.integers(0, 0x800)), data))
        elif kind < 0.96:
            out.append(bytes(int(random.integers(0, 90))))
        elif kind < 0.965:
            out.append(classic(can_id | REMOTE_FRAME, b""))
        elif kind < 0.97:
            out.append(classic(ERROR_FRAME | int(random.choice([0x40, 0x100, 0x4])), data))
        elif kind < 0.98:
            out.append(classic(RARE, data))
        else:
            out.append(classic(can_id | EXTENDED, data))
    return out


@pytest.mark.parametrize(
    "more", [{}, {"map": {"WHEEL_SPEEDS.WHEEL_SPEED_FL": "Vehicle.Chassis.Axle.Row1.Wheel.Left.Speed"}}]
)
def test_a_turn_in_one_call_gives_what_the_steps_give(more: dict[str, object]) -> None:
    random = np.random.default_rng(11)
    whole, steps = Bus(hidden=False, **more), Bus(hidden=True, **more)
    try:
        for _ in range(120):
            some = datagrams(random, int(random.choice([1, 3, 30, 100])))
            whole.hear(some)
            steps.hear(some)
        whole.hear([BUS_OFF_FRAME])
        steps.hear([BUS_OFF_FRAME])
        # more than one reading, each with more samples than a room has
        flood = [classic(MANY, random.bytes(8)) for _ in range(2 * BIG_READING)]
        whole.hear(flood)
        steps.hear(flood)
    finally:
        whole.close()
        steps.close()
    slots, values = whole.samples()
    assert (slots, values) == steps.samples()
    assert whole.state() == steps.state() == BUS_OFF
    assert len(slots) > 4 * ROOM_SAMPLES
    counted = whole.bus.counters
    assert counted == steps.bus.counters
    for reason in (
        "frames_malformed",
        "frames_remote",
        "frames_error",
        "frames_unknown",
        "signals_truncated",
    ):
        assert counted[reason] > 0, reason
    stamps = np.concatenate([block.t_mono_ns for block in whole.blocks])
    assert (np.diff(stamps) >= 0).all()


def test_samples_that_were_given_are_not_written_over() -> None:
    """Blocks are parts of one memory; what a later reading brings must not be seen in an earlier block."""
    bus = Bus(hidden=False)
    random = np.random.default_rng(2)
    held: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    try:
        for _ in range(400):
            bus.hear([classic(0xAA, random.bytes(8)) for _ in range(20)])
            held += [(b.slot.copy(), b.t_mono_ns.copy(), b.value.copy()) for b in bus.blocks[len(held) :]]
    finally:
        bus.close()
    assert sum(len(slot) for slot, _, _ in held) > 2 * ROOM_SAMPLES
    for block, (slot, stamps, value) in zip(bus.blocks, held, strict=True):
        assert np.array_equal(block.slot, slot)
        assert np.array_equal(block.t_mono_ns, stamps)
        assert np.array_equal(block.value, value)


def test_a_new_socket_begins_its_drops_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel counts by socket: after fewer drops than on the one before, the difference must not go round."""
    monkeypatch.setattr("edge.sources.can_bus.REOPEN_S", 0.0)
    bus = Bus(hidden=False, receive_bytes_max=1)
    sent = 0
    try:
        for flood in (600, 60):  # the first drops more than the second
            for _ in range(flood):
                bus.out.send(classic(0xAA, bytes(8)))
            bus.bus.turn(bus.blocks.append)
            bus.out.send(classic(0xAA, bytes(8)))  # tells of the drops before it
            sent += flood + 1
            end = time.monotonic() + WAIT_S
            while bus.heard() + bus.bus.counters.get("frames_dropped", 0) != sent:
                assert time.monotonic() < end, (sent, bus.bus.counters)
                bus.bus.turn(bus.blocks.append)
            bus.bus.close()
            bus.bus.turn(bus.blocks.append)  # opens it again
        assert 0 < bus.bus.counters["frames_dropped"] < sent
    finally:
        bus.close()
