"""Inertial sensors on Industrial I/O.

Goal: records of a buffer become what an independent decoder (struct) gives, turned by the mounting; a wrong mounting is told; a
device that goes or sends nonsense harms no other source.
Method: a tree of files after Documentation/ABI/testing/sysfs-bus-iio (made by hand, not recorded), its character device a named pipe,
fed with the recorded minute of a phone's IMU (104 Hz) through a whole agent; tables written by the tests as recordings.
"""

from __future__ import annotations

import gzip
import os
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edge.__main__ import app
from edge.clock import VanClock
from edge.model import SampleBlock, TextTable
from edge.settings import ImuSource as Section
from edge.settings import ReplaySource as ReplaySection
from edge.sources.errors import RecordingError
from edge.sources.imu_device import Conversion, IioBuffer, find_device
from edge.sources.imu_iio import ImuSource
from edge.sources.imu_layout import Channel, LayoutError, RecordLayout
from edge.sources.imu_mounting import GRAVITY, GravityCheck, rotation
from edge.sources.replay import ReplaySource
from tests.edge.sources.test_gnss import by_name, wait_until
from tests.edge.sources.test_live_sources import collect, flat
from tests.edge.test_agent_process import NO_BROKER_PORT
from vantel_rig.van import Van

ACCEL_SCALE, GYRO_SCALE = 0.000598, 0.000153
S = 10**9
AXES = "xyz"


def plant(
    root: Path, *, enabled: str = "0", acceleration: tuple[float, float, float] = (0.0, 0.0, GRAVITY)
) -> Path:
    """A six-axis device with its buffer; the pipe stands for the character device. Returns its folder."""
    folder = root / "sys/bus/iio/devices/iio:device0"
    files = {
        "name": "lsm6dso", "in_accel_scale": str(ACCEL_SCALE), "in_anglvel_scale": str(GYRO_SCALE),
        "sampling_frequency": "104", "current_timestamp_clock": "realtime", "buffer/length": "2", "buffer/enable": enabled,
    }  # fmt: skip
    for at, (kind, axis) in enumerate((k, a) for k in ("accel", "anglvel") for a in AXES):
        files |= {f"scan_elements/in_{kind}_{axis}_en": "0", f"scan_elements/in_{kind}_{axis}_index": str(at),
                  f"scan_elements/in_{kind}_{axis}_type": "le:s16/16>>0"}  # fmt: skip
    files |= {
        "scan_elements/in_timestamp_en": "0",
        "scan_elements/in_timestamp_index": "6",
        "scan_elements/in_timestamp_type": "le:s64/64>>0",
    }
    for axis, value in zip(AXES, acceleration, strict=True):
        files[f"in_accel_{axis}_raw"] = str(round(value / ACCEL_SCALE))
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (root / "dev").mkdir()
    os.mkfifo(root / "dev/iio:device0")
    return folder


def records(data: Path, count: int) -> list[tuple[int, ...]]:
    """Raw values of the recorded drive, turned into ISO 8855: forward, left, up."""
    text = gzip.decompress((data / "imu_gnss/rav4_2016/imu_104hz.csv.gz").read_bytes()).decode()
    rows = np.genfromtxt(text.splitlines()[1 : count + 1], delimiter=",")[:, 1:] * [1, -1, -1, 1, -1, -1]
    # the recorded accelerometer gives -9.7 on its down axis, hence +9.7 upwards
    raw = np.round(rows / ([ACCEL_SCALE] * 3 + [GYRO_SCALE] * 3)).astype(int)
    return [tuple(row) for row in raw.tolist()]


@pytest.mark.parametrize("yaw_deg", [0.0, 90.0])
def test_a_recording_goes_through_the_whole_agent(data: Path, tmp_path: Path, yaw_deg: float) -> None:
    root = tmp_path / "root"
    folder = plant(root)
    source = {
        "kind": "imu",
        "device": "lsm6dso",
        "rate_hz": 400.0,
        "mounting_deg": [0.0, 0.0, yaw_deg],
        "root": str(root),
    }
    other = {"kind": "probe", "rate_hz": 50.0}
    van = Van("imu-1", tmp_path, NO_BROKER_PORT, [source, other])
    van.start()
    van.wait_ready()
    raw = records(data, 2000)
    pipe = os.open(
        root / "dev/iio:device0", os.O_RDWR
    )  # a reader and a writer: open() of a pipe does not wait
    wait_until(lambda: (folder / "buffer/enable").read_text() == "1", lambda: None)
    wanted_ns = time.monotonic_ns()
    for at, row in enumerate(raw):
        os.write(pipe, struct.pack("<6h4xq", *row, wanted_ns + at * 2_500_000))
        if at % 40 == 0:
            time.sleep(0.1)
    wait_until(lambda: van.status()["sources"]["imu"].get("samples_emitted", 0) >= 6 * len(raw), lambda: None)
    time.sleep(0.5)
    counters = van.status()["sources"]["imu"]
    assert van.stop() == 0, van.tail()
    os.close(pipe)
    found = by_name(van, [source, other])
    values = np.array(raw) * ([ACCEL_SCALE] * 3 + [GYRO_SCALE * 180 / np.pi] * 3)
    if yaw_deg:  # the sensor's X points to the left of the van
        values = values[:, [1, 0, 2, 4, 3, 5]] * [-1, 1, 1, -1, 1, 1]
    names = ["Acceleration.Longitudinal", "Acceleration.Lateral", "Acceleration.Vertical",
             "AngularVelocity.Roll", "AngularVelocity.Pitch", "AngularVelocity.Yaw"]  # fmt: skip
    for at, name in enumerate(names):
        np.testing.assert_allclose(found[f"Vehicle.{name}"], values[:, at], rtol=0, atol=1e-9, err_msg=name)
    assert (folder / "sampling_frequency").read_text() == "400"
    assert (folder / "current_timestamp_clock").read_text() == "monotonic"
    assert len(found["Vehicle.Robovan.TestBench.Probe"]) > 50
    assert "stamps_replaced" not in counters
    assert counters.get("records_missed", 0) == 0
    assert "gravity_off" not in counters, "a driving car is upright"
    assert max(found["imu.MountingError"]) < 10


def test_settings_check_tells_of_a_wrong_mounting(tmp_path: Path) -> None:
    root = tmp_path / "root"
    plant(root, acceleration=(GRAVITY, 0.0, 0.0))
    config = tmp_path / "edge.toml"
    text = f'[van]\nid = "v"\nstate_dir = "{tmp_path}/s"\n[[sources]]\nkind = "imu"\ndevice = "lsm6dso"\nroot = "{root}"\n'
    config.write_text(text)
    said = CliRunner().invoke(app, ["check", "--config", str(config)])
    assert "gravity is 90 degrees off" in said.output
    config.write_text(text + "mounting_deg = [0, -90, 0]\n")
    said = CliRunner().invoke(app, ["check", "--config", str(config)])
    assert said.exit_code == 0, said.output
    assert "gravity" not in said.output
    config.write_text(text.replace("lsm6dso", "bmi088"))
    said = CliRunner().invoke(app, ["check", "--config", str(config)])
    assert "no IIO device 'bmi088'; there are: lsm6dso" in said.output


def test_gravity_in_the_wrong_place_is_told_while_driving(tmp_path: Path) -> None:
    section = Section(kind="imu", device="lsm6dso", root=tmp_path, mounting_deg=(180.0, 0.0, 0.0))
    folder = plant(tmp_path)
    source, blocks = ImuSource(section, VanClock()), list[SampleBlock]()
    buffer = IioBuffer(tmp_path, folder, 100.0)
    now = time.monotonic_ns()
    data = b"".join(
        struct.pack("<6h4xq", 0, 0, round(GRAVITY / ACCEL_SCALE), 0, 0, 0, now + at) for at in range(1024)
    )
    source._take(
        buffer, data, {kind: Conversion.of(folder, kind) for kind in ("accel", "anglvel")}, blocks.append
    )
    assert source.counters["gravity_off"] == 2
    errors = [block for block in blocks if len(block) == 1]
    assert [block.value[0] for block in errors] == pytest.approx([180.0, 180.0])
    buffer.close()


def test_a_buffer_that_others_set_up_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = plant(tmp_path, enabled="1")
    for axis in AXES:
        (folder / f"scan_elements/in_accel_{axis}_en").write_text("1")
    buffer = IioBuffer(tmp_path, find_device(tmp_path, "lsm6dso"), 100.0)
    assert buffer.layout.bytes_each == 6
    assert not buffer.monotonic
    assert (folder / "sampling_frequency").read_text() == "104"
    pipe = os.open(tmp_path / "dev/iio:device0", os.O_WRONLY)
    os.write(pipe, struct.pack("<6hB", 1, 2, 3, 4, 5, 6, 7))
    assert len(buffer.read(1.0)) == 12, "whole records only"
    os.close(pipe)
    buffer.close()


@pytest.mark.parametrize(
    ("files", "offset"),
    [
        ({"in_accel_offset": "-2048"}, (-2048, -2048, -2048)),
        ({"in_accel_offset": "-2048", "in_accel_y_offset": "12.5"}, (-2048, 12.5, -2048)),
    ],
)
def test_raw_values_have_the_offset_of_the_device(
    tmp_path: Path, files: dict[str, str], offset: tuple[float, ...]
) -> None:
    """sysfs-bus-iio: (raw + offset) * scale, of all axes or of one."""
    folder = plant(tmp_path)
    for name, text in files.items():
        (folder / name).write_text(text)
    raw = (0, 0, round(GRAVITY / ACCEL_SCALE))
    for axis, value, off in zip(AXES, raw, offset, strict=True):
        (folder / f"in_accel_{axis}_raw").write_text(str(round(value - off)))
    source, blocks = (
        ImuSource(Section(kind="imu", device="lsm6dso", root=tmp_path), VanClock()),
        list[SampleBlock](),
    )
    assert source.notes == [], "gravity is where the mounting says"
    buffer = IioBuffer(tmp_path, folder, 100.0)
    data = struct.pack("<6h4xq", 100, -200, 16_000, 1, 2, 3, time.monotonic_ns())
    source._take(
        buffer, data, {kind: Conversion.of(folder, kind) for kind in ("accel", "anglvel")}, blocks.append
    )
    buffer.close()
    found = np.concatenate([block.value for block in blocks])
    wanted = [(value + off) * ACCEL_SCALE for value, off in zip((100, -200, 16_000), offset, strict=True)]
    np.testing.assert_allclose(found[:3], wanted, rtol=1e-12)
    np.testing.assert_allclose(found[3:6], np.degrees(np.array([1, 2, 3]) * GYRO_SCALE), rtol=1e-12)
    (folder / "in_accel_offset").write_text("nan")
    with pytest.raises(OSError, match="in_accel_offset"):
        Conversion.of(folder, "accel")


def test_a_repeated_channel_takes_its_place() -> None:
    """A quaternion of 4 times 16 bits is aligned to 8 bytes; one of 3 has no alignment that the kernel documents."""
    channels = [Channel("in_accel_x", 0, "le:s16/16>>0"), Channel("in_rot_quaternion", 1, "le:s16/16X4>>0"),
                Channel("in_accel_y", 2, "le:s16/16>>0")]  # fmt: skip
    layout = RecordLayout(channels)
    assert layout.bytes_each == 24
    found = layout.decode(struct.pack("<h6x4hh6x", -5, 1, 2, 3, 4, 7))
    assert {name: value.tolist() for name, value in found.items()} == {"in_accel_x": [-5], "in_accel_y": [7]}
    with pytest.raises(LayoutError, match=r"3 elements .* are not supported"):
        RecordLayout([Channel("in_x", 0, "le:s16/16X3>>0")])


def test_stamps_of_another_clock_are_replaced_and_gaps_counted(tmp_path: Path) -> None:
    plant(tmp_path)
    clock = VanClock()
    source = ImuSource(Section(kind="imu", device="lsm6dso", root=tmp_path), clock)
    stamps = source._stamps(np.array([S, 2 * S]), 2)
    assert source.counters == {"stamps_replaced": 2}
    assert np.diff(stamps).tolist() == [10_000_000]
    now = clock.mono_ns() + S
    source._stamps(np.array([now, now + 10_000_000, now + 50_000_000]), 3)
    assert source.counters["records_missed"] >= 3


MAP = {
    f"a{axis}": f"Vehicle.Acceleration.{name}"
    for axis, name in zip(AXES, ("Longitudinal", "Lateral", "Vertical"), strict=True)
}


def replayed(folder: Path, rows: list[str], **keys: object) -> ReplaySource:
    path = folder / "imu.csv"
    path.write_text("\n".join(["t,ax,ay,az,mark", *rows]))
    recording = {"path": path, "map": MAP, "mounting_deg": [0.0, 0.0, 90.0]} | keys
    section = {"kind": "replay", "speed": 0, "recordings": [recording]}
    return ReplaySource(ReplaySection.model_validate(section), VanClock(), TextTable())


def test_a_recording_is_turned_as_the_live_source_is(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    raw = random.normal(size=(700, 3)) * 0.1 + (0.0, 0.0, GRAVITY)
    rows = [f"{at / 100},{x!r},{y!r},{z!r},{at}" for at, (x, y, z) in enumerate(raw.tolist())]
    rows[3:3] = ["0.025,,1.0,9.8,7"]  # an axis is missing: the two others cannot be turned
    source = replayed(tmp_path, rows)
    slot, _, value = flat(collect(source, 10**6))
    got = {signal.name: value[slot == at] for at, signal in enumerate(source.signals())}
    for name, values in zip(MAP.values(), (raw @ rotation(0, 0, 90).T).T, strict=True):
        np.testing.assert_allclose(got[name], values, rtol=0, atol=1e-12)
    assert len(got["imu.mark"]) == 701
    assert source.counters["axes_incomplete"] == 2
    assert source.notes == []


def test_a_recording_in_the_wrong_mounting_is_told(tmp_path: Path) -> None:
    rows = [f"{at / 100},0,0,9.8,{at}" for at in range(600)]
    (note,) = replayed(tmp_path, rows, mounting_deg=[30.0, 0.0, 0.0]).notes
    assert "gravity is 30 degrees off" in note
    assert replayed(tmp_path, rows, mounting_deg=[30.0, 0.0, 0.0], gravity_deg_max=40.0).notes == []


@pytest.mark.parametrize(("keys", "told"), [(["ax", "ay"], "Vertical is missing"), ([], "no signal of it")])
def test_a_recording_without_all_axes_cannot_be_turned(tmp_path: Path, keys: list[str], told: str) -> None:
    with pytest.raises(RecordingError, match=told):
        replayed(tmp_path, ["0,1,2,3,4"], map={key: MAP[key] for key in keys})


@pytest.mark.parametrize(
    "kind", ["le:s12/16>>4", "be:s12/16>>4", "le:u16/16>>0", "be:s24/32>>8", "le:s64/64>>0", "le:u8/8>>0"]
)
def test_a_layout_is_what_struct_says(kind: str) -> None:
    order, sign, bits, storage, shift = (
        kind[:2],
        kind[3],
        *map(int, kind[4:].replace("/", " ").replace(">>", " ").split()),
    )
    layout = RecordLayout([Channel("a", 0, "le:u8/8>>0"), Channel("b", 1, kind)])
    size = storage // 8
    assert layout.bytes_each == (2 if size == 1 else 2 * size)
    code = {1: "B", 2: "H", 4: "I", 8: "Q"}[size]
    for value in (0, 1, -1, -(1 << bits - 1), (1 << bits - 1) - 1):
        if sign == "u" and value < 0:
            continue
        stored = (value & (1 << bits) - 1) << shift
        packed = bytes([7]) + bytes(size - 1) + struct.pack(("<" if order == "le" else ">") + code, stored)
        found = layout.decode(packed)
        assert (found["a"].tolist(), found["b"].tolist()) == ([7], [value])


@pytest.mark.parametrize("kind", ["", "le:s16/16", "le:s20/16>>0", "xx:s16/16>>0", "le:s16/16>>9"])
def test_a_type_that_is_none_is_refused(kind: str) -> None:
    with pytest.raises(LayoutError):
        RecordLayout([Channel("in_accel_x", 0, kind)])


def test_rotation_turns_as_the_settings_say() -> None:
    for angles, start, end in (((90, 0, 0), "y", "z"), ((0, 90, 0), "z", "x"), ((0, 0, 90), "x", "y")):
        turned = rotation(*angles) @ np.eye(3)[AXES.index(start)]
        np.testing.assert_allclose(turned, np.eye(3)[AXES.index(end)], atol=1e-12)
    check = GravityCheck()
    assert check.feed(np.full((1000, 3), [0.0, 0.0, 15.0])) == [], "a van that brakes hard proves nothing"
