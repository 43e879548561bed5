"""A live bus through the whole agent.

Goal: every frame that was sent on a bus is in the spool as the values that cantools gives, bit for bit, while another
bus is flooded with garbage.
Method: a real `vantel-edge run` process without a broker, two buses on loopback UDP; its spool is decoded afterwards.
"""

from __future__ import annotations

import socket
import struct
import time
from collections import Counter
from pathlib import Path

import numpy as np
from cantools.database.errors import DecodeError

from edge.births import catalog_of
from edge.clock import VanClock
from edge.model import TextTable
from edge.settings import EdgeSettings
from edge.sources import build
from edge.sources.can_log import read_frames
from edge.sources.dbc_file import load_database
from tests.edge.test_agent_process import NO_BROKER_PORT, samples_of
from vantel_rig.van import Van

CAN = Path(__file__).parents[1] / "data" / "can" / "rav4_2016"
DBC = CAN / "toyota_new_mc_pt_generated.dbc"
MAPPED_DBC = """VERSION ""
BU_: A
BO_ 291 Wheel: 8 A
 SG_ Speed : 7|16@0+ (0.01,-3) [0|0] "m/s" A
"""
OVERLAY = """Vehicle.Speed:
  type: sensor
  datatype: float
  dbc: {signal: Wheel.Speed, scale: 3.6, offset: 0.5}
"""
FRAMES = 3000
WAIT_S = 120.0


def free_ports(count: int) -> list[int]:
    probes = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def recorded_frames() -> list[tuple[int, bytes]]:
    chunk = next(read_frames(CAN / "rav4_can.log.gz", Counter(), False))
    rows = np.flatnonzero(chunk.channel == chunk.names.index("can0"))[:FRAMES]
    return [(int(chunk.ids[r]), chunk.payload[r, : chunk.lengths[r]].tobytes()) for r in rows]


def test_every_frame_of_a_bus_is_in_the_spool_while_another_bus_sends_garbage(tmp_path: Path) -> None:
    port, garbage_port = free_ports(2)
    sources = [
        {"kind": "can", "name": name, "interface": "udp", "channel": f"127.0.0.1:{at}", "dbc": str(DBC)}
        for name, at in (("can0", port), ("can1", garbage_port))
    ]
    van = Van("agent-can", tmp_path, NO_BROKER_PORT, sources)
    van.start()
    van.wait_ready()
    frames, random = recorded_frames(), np.random.default_rng(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for at, (key, data) in enumerate(frames):
            out.sendto(struct.pack("<IB3x8s", key, len(data), data), ("127.0.0.1", port))
            out.sendto(random.bytes(int(random.integers(0, 80))), ("127.0.0.1", garbage_port))
            if at % 20 == 0:
                time.sleep(0.002)
    end = time.monotonic() + WAIT_S
    while van.status()["sources"]["can0"].get("frames", 0) < len(frames):
        assert time.monotonic() < end, van.status()
        time.sleep(0.1)
    garbage = van.status()["sources"]["can1"]
    assert van.stop() == 0, van.tail()
    assert garbage["frames_malformed"] > len(frames) / 2

    wanted: dict[str, list[float]] = {}
    database = load_database(DBC)
    for key, data in frames:
        try:
            decoded = database.decode_message(key, data, decode_choices=False)
        except (KeyError, DecodeError):
            continue
        name = database.get_message_by_frame_id(key).name
        for signal, value in decoded.items():
            wanted.setdefault(f"can0.{name}.{signal}", []).append(float(value))
    settings = EdgeSettings.model_validate({"van": {"id": "agent-can"}, "sources": sources})
    catalog, _ = catalog_of([build(section, VanClock(), TextTable(), 0) for section in settings.sources])
    names = {signal.id: signal.name for signal in catalog.signals}
    found = {names[key]: [v for _, v in rows] for key, rows in samples_of(van).items()}
    got = {name: values for name, values in found.items() if name.startswith("can0.") and ".Bus." not in name}
    assert got.keys() == wanted.keys()
    for name, values in wanted.items():
        assert np.array(got[name]).view(np.uint64).tolist() == np.array(values).view(np.uint64).tolist(), name


def test_a_mapped_signal_arrives_in_the_unit_of_the_catalog(tmp_path: Path) -> None:
    """The DBC has metres a second, the catalog km/h: scale and offset of the overlay on top of those of the DBC."""
    (tmp_path / "van.dbc").write_text(MAPPED_DBC)
    (tmp_path / "van.vspec").write_text(OVERLAY)
    (port,) = free_ports(1)
    source = {
        "kind": "can", "name": "can0", "interface": "udp", "channel": f"127.0.0.1:{port}",
        "dbc": str(tmp_path / "van.dbc"), "overlay": str(tmp_path / "van.vspec"),
    }  # fmt: skip
    van = Van("agent-map", tmp_path, NO_BROKER_PORT, [source])
    van.start()
    van.wait_ready()
    raws = list(range(0, 4000, 40))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for raw in raws:
            data = raw.to_bytes(2, "big") + bytes(6)
            out.sendto(struct.pack("<IB3x8s", 291, 8, data), ("127.0.0.1", port))
    end = time.monotonic() + WAIT_S
    while van.status()["sources"]["can0"].get("frames", 0) < len(raws):
        assert time.monotonic() < end, van.status()
        time.sleep(0.1)
    assert van.stop() == 0, van.tail()
    settings = EdgeSettings.model_validate({"van": {"id": "agent-map"}, "sources": [source]})
    catalog, _ = catalog_of([build(section, VanClock(), TextTable(), 0) for section in settings.sources])
    speed = catalog.by_name("Vehicle.Speed")
    assert (speed.unit, speed.scale, speed.offset) == ("km/h", 0.01 * 3.6, -3 * 3.6 + 0.5)
    found = [value for _, value in samples_of(van)[speed.id]]
    assert found == [(raw * 0.01 - 3) * 3.6 + 0.5 for raw in raws]
