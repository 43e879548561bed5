"""Whole recordings through the replay.

Goal: every frame of the recorded drives, on every channel and in every log format, gives exactly the samples that
cantools gives, in order, with exact stamps.
Method: an independent pass in this file with cantools (and python-can for BLF and ASC) over the same bytes; candump
times are read as decimals here. The .asc is written by python-can from the RAV4 log.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import can
import cantools
import numpy as np
import pytest
from cantools.database.can import Database
from cantools.database.errors import DecodeError

from edge.sources.errors import RecordingError

Expected = list[tuple[str, int, float]]


def rav4(data: Path) -> dict[str, Any]:
    folder = data / "can" / "rav4_2016"
    return {
        "path": folder / "rav4_can.log.gz",
        "dbc": {"can0": folder / "toyota_new_mc_pt_generated.dbc", "can1": folder / "toyota_adas.dbc"},
    }


def candump_frames(path: Path) -> Iterator[tuple[str, int, bool, bytes, int]]:
    """(channel, id, extended, data, t_ns) of a candump log, by plain string work."""
    with gzip.open(path, "rt") as file:
        for line in file:
            stamp, channel, frame = line.split()[:3]
            digits, _, payload = frame.partition("#")
            t_ns = int(Decimal(stamp.strip("()")) * 10**9)
            yield channel, int(digits, 16), len(digits) > 3, bytes.fromhex(payload), t_ns


def python_can_frames(path: Path, **options: Any) -> Iterator[tuple[str, int, bool, bytes, int]]:
    for message in can.LogReader(path, **options):
        if not message.is_error_frame and not message.is_remote_frame:
            t_ns = round(message.timestamp * 1e6) * 1000
            yield (
                f"can{message.channel}",
                message.arbitration_id,
                message.is_extended_id,
                bytes(message.data),
                t_ns,
            )


def decode(
    frames: Iterator[tuple[str, int, bool, bytes, int]], dbc: dict[str, Database]
) -> tuple[Expected, Counter[str]]:
    samples: Expected = []
    counts: Counter[str] = Counter()
    for channel, number, extended, payload, t_ns in frames:
        counts["frames"] += 1
        try:
            message = dbc[channel].get_message_by_frame_id(number, force_extended_id=extended)
        except KeyError:
            counts["unknown"] += 1
            continue
        try:
            decoded = message.decode(payload, decode_choices=False, allow_truncated=True)
        except DecodeError:
            counts["undecodable"] += 1
            continue
        samples += [
            (f"{channel}.{message.name}.{name}", t_ns, float(value)) for name, value in decoded.items()
        ]
    return samples, counts


def assert_same(ours: Expected, theirs: Expected, bits: Callable[..., list[int]]) -> None:
    """Equal in order of time; samples of one time in the order of the file."""
    theirs = sorted(theirs, key=lambda sample: sample[1])
    assert len(ours) == len(theirs)
    assert [s[:2] for s in ours] == [s[:2] for s in theirs]
    assert bits([s[2] for s in ours]) == bits([s[2] for s in theirs])


@pytest.fixture(scope="module")
def rav4_expected(data: Path) -> tuple[Expected, Counter[str]]:
    recording = rav4(data)
    dbc = {
        channel: cantools.database.load_file(path, strict=False) for channel, path in recording["dbc"].items()
    }
    return decode(candump_frames(recording["path"]), dbc)


def test_rav4_both_buses(data: Path, play: Any, bits: Any, rav4_expected: Any) -> None:
    expected, counts = rav4_expected
    played = play([rav4(data)])
    assert_same(played.samples, expected, bits)
    assert played.source.counters["frames"] == counts["frames"] == 98_680
    assert played.source.counters["frames_unknown"] == counts["unknown"] == 98_680 - 38_863 - 39_000
    assert {s.name for s in played.source.signals()} == {name for name, _, _ in expected}
    assert {s.group for s in played.source.signals()} == {"can0", "can1"}


def test_rav4_agrees_with_the_recorder_of_the_drive(data: Path, play: Any) -> None:
    """The reference values were decoded by the logger itself, with other software."""
    played = play([rav4(data)])
    angle = played.of("can0.STEER_ANGLE_SENSOR.STEER_ANGLE")
    fraction = played.of("can0.STEER_ANGLE_SENSOR.STEER_FRACTION")
    ours = {t: a + f for (t, a), (_, f) in zip(angle, fraction, strict=True)}
    with gzip.open(data / "can/rav4_2016/reference/steering_angle_deg.csv.gz", "rt") as file:
        rows = [line.split(",") for line in file][1:]
    reference = {int(Decimal(row[0]) * 10**9): float(row[1]) for row in rows}
    common = sorted(set(ours) & set(reference))
    assert len(common) > 4_000
    assert np.allclose([ours[t] for t in common], [reference[t] for t in common], atol=1e-6)


def test_rav4_as_vector_asc_written_by_python_can(
    data: Path, play: Any, bits: Any, tmp_path: Path, rav4_expected: Any
) -> None:
    path = tmp_path / "drive.asc"
    with can.ASCWriter(path) as writer:
        for channel, number, extended, payload, t_ns in islice(candump_frames(rav4(data)["path"]), 20_000):
            writer(can.Message(timestamp=t_ns / 1e9, arbitration_id=number, is_extended_id=extended, data=payload,
                               channel=int(channel[3:])))  # fmt: skip
    packed = tmp_path / "drive.asc.gz"
    packed.write_bytes(gzip.compress(path.read_bytes(), 1))
    recording = rav4(data)
    dbc = {channel: cantools.database.load_file(p, strict=False) for channel, p in recording["dbc"].items()}
    expected, _ = decode(python_can_frames(path, relative_timestamp=False), dbc)
    for copy in (path, packed):
        assert_same(play([{**recording, "path": copy}]).samples, expected, bits)
    # against the source of the .asc: the same values at the same distances (python-can writes whole ms for the start)
    original = rav4_expected[0][: len(expected)]
    shift = original[0][1] - expected[0][1]
    assert abs(shift) < 1_000_000_000
    assert [(name, t + shift) for name, t, _ in expected] == [(name, t) for name, t, _ in original]


def test_obd_blf_with_two_databases_for_all_channels(data: Path, play: Any, bits: Any) -> None:
    folder = data / "can" / "obd_gnss_2024"
    files = [folder / "canedge-internal-can9.dbc", folder / "OBD-v4.4.dbc"]
    both = cantools.database.Database(strict=False)
    for file in files:
        both.add_dbc_file(file)
    path = folder / "obd_gnss_imu_10min.blf"
    frames = list(python_can_frames(path))
    expected, counts = decode(iter(frames), dict.fromkeys({frame[0] for frame in frames}, both))
    played = play([{"path": path, "dbc": files}])
    assert_same(played.samples, expected, bits)
    counters = played.source.counters
    assert counters["frames"] == 23_230
    assert counters["frames_undecodable"] == counts["undecodable"] == 172
    assert counters["frames_unknown"] == counts["unknown"]


def test_ev6_with_a_database_that_defines_every_name_twice(data: Path, play: Any, bits: Any) -> None:
    folder = data / "can" / "ev6_uds_2023"
    path, dbc = folder / "ev6_uds_gnss.log.gz", folder / "gnss.dbc"
    database = cantools.database.load_file(dbc)
    frames = (frame for frame in candump_frames(path) if frame[0] == "can2")
    expected, _ = decode(frames, {"can2": database})
    played = play([{"path": path, "dbc": {"can2": dbc}}])
    assert_same(played.samples, expected, bits)
    assert played.source.counters["frames_without_dbc"] == 7_611 - 6_296


def test_drive_of_several_recordings_is_merged_by_time(
    data: Path, play: Any, bits: Any, rav4_expected: Any
) -> None:
    imu = data / "imu_gnss" / "rav4_2016" / "imu_104hz.csv.gz"
    played = play([rav4(data), {"path": imu, "name": "imu"}])
    times = [t for _, t, _ in played.samples]
    assert times == sorted(times)
    assert_same([s for s in played.samples if s[0].startswith("can")], rav4_expected[0], bits)
    assert len(played.of("imu.gx_fwd_rps")) == len(gzip.decompress(imu.read_bytes()).splitlines()) - 1
    assert all(len(block) <= 4096 for block in played.blocks)
    assert all(block.t_mono_ns[-1] - block.t_mono_ns[0] < 50_000_000 for block in played.blocks)


def test_large_recordings_are_read_in_pieces_and_give_the_same_stream(data: Path, play: Any) -> None:
    """With a cache of 0 bytes every pass reads the files again."""
    imu = {"path": data / "imu_gnss/rav4_2016/imu_104hz.csv.gz", "name": "imu"}
    cached, streamed = (play([rav4(data), imu], cached_bytes_max=size) for size in (1 << 26, 0))
    assert streamed.source._timeline._cached is None
    assert cached.source._timeline._cached is not None
    assert len(cached.blocks) == len(streamed.blocks)
    for one, two in zip(cached.blocks, streamed.blocks, strict=True):
        assert one.position == two.position
        assert (one.slot == two.slot).all()
        assert (one.t_mono_ns == two.t_mono_ns).all()
        assert (one.value.view(np.uint64) == two.value.view(np.uint64)).all()


def test_database_that_matches_nothing_is_refused_by_name(data: Path, play: Any) -> None:
    recording = {"path": rav4(data)["path"], "dbc": data / "can/ev6_uds_2023/gnss.dbc"}
    with pytest.raises(RecordingError) as caught:
        play([{**recording, "dbc": [recording["dbc"]]}])
    text = str(caught.value)
    assert "rav4_can.log.gz" in text
    assert "gnss.dbc" in text
    assert "0x24" in text
    assert "dbc =" in text


def test_map_gives_catalog_names_and_units(data: Path, play: Any, rav4_expected: Any) -> None:
    recording = {
        **rav4(data),
        "map": {"SPEED.SPEED": {"signal": "Vehicle.Speed", "scale": 2.0, "offset": 1.0}},
    }
    played = play([recording])
    expected = [(t, value * 2.0 + 1.0) for name, t, value in rav4_expected[0] if name == "can0.SPEED.SPEED"]
    assert expected
    assert played.of("Vehicle.Speed") == expected


def test_map_may_name_a_signal_that_the_recording_lacks(data: Path, play: Any) -> None:
    mapping = {
        "SPEED.SPEED": "Vehicle.Speed",
        "PCS_HUD.FCW": "Vehicle.ADAS.ObstacleDetection.Front.Center.Distance",
    }
    names = {signal.name for signal in play([{**rav4(data), "map": mapping}]).source.signals()}
    assert "Vehicle.Speed" in names
    assert not names & {"Vehicle.ADAS.ObstacleDetection.Front.Center.Distance", "can0.SPEED.SPEED"}


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"SPEED.SPED": "Vehicle.Speed"}, ["SPEED.SPED", "did you mean", "SPEED.SPEED"]),
        ({"SPEED.SPEED": "Vehicle.Sped"}, ["SPEED.SPEED", "did you mean Vehicle.Speed"]),
        ({"SPEED.SPEED": "Vehicle.Speed", "WHEEL_SPEEDS.WHEEL_SPEED_FR": "Vehicle.Speed"}, ["both become"]),
        ({"SPEED.SPEED": "Vehicle.CurrentLocation.Timestamp"}, ["text"]),
    ],
)
def test_wrong_map_names_the_key_and_the_nearest(
    data: Path, play: Any, mapping: Any, words: list[str]
) -> None:
    with pytest.raises(RecordingError) as caught:
        play([{**rav4(data), "map": mapping}])
    assert all(word in str(caught.value) for word in words), str(caught.value)
