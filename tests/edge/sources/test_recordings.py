"""Formats of recordings, good and bad.

Goal: every readable line becomes exactly its samples; what cannot be read is skipped and counted, or refused with
file, line, cause and fix.
Method: independent parses of the recorded CSV and tegrastats files in this file; small files written here for each
shape of line of a format, and for each way in which a file can be broken.
"""

from __future__ import annotations

import csv
import gzip
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.sources.decimal_time import parse_ns
from edge.sources.errors import RecordingError
from edge.sources.mf4_reader import is_there
from edge.sources.tegrastats import parse_line

S = 1_000_000_000
DBC = 'VERSION ""\nBU_: A\n' + "".join(
    f'BO_ {number} {name}: {size} A\n SG_ X : 0|{8 * size}@1+ (1,0) [0|0] "" A\n'
    for number, name, size in ((0x123, "Std", 2), (0x80000000 + 0x1ABCDE, "Ext", 1), (0x80000000 + 0x123, "Twin", 1),
                               (0x124, "Fd", 8))
)  # fmt: skip


@pytest.fixture
def dbc(tmp_path: Path) -> Path:
    path = tmp_path / "bus.dbc"
    path.write_text(DBC)
    return path


@pytest.mark.parametrize("file", ["imu_104hz", "gnss_ublox_10hz", "gnss_qcom_0.5hz", "magnetometer_10hz"])
def test_csv_against_an_independent_parse(data: Path, play: Any, bits: Any, file: str) -> None:
    path = data / "imu_gnss" / "rav4_2016" / f"{file}.csv.gz"
    with gzip.open(path, "rt") as text:
        rows = list(csv.DictReader(text))
    columns = list(rows[0])[1:]
    expected = [
        (f"x.{c}", int(Decimal(row["t_unix"]) * 10**9), float(row[c])) for row in rows for c in columns
    ]
    samples = play([{"path": path, "name": "x"}]).samples
    assert [s[:2] for s in samples] == [s[:2] for s in expected]
    assert bits([s[2] for s in samples]) == bits([s[2] for s in expected])


def test_csv_cells(play: Any, tmp_path: Path) -> None:
    """Empty, text, broken and missing cells; a header with blanks and units; another time column."""
    path = tmp_path / "log.csv"
    path.write_text(
        "mode;speed (m/s);at_ms\n"
        "AUTO;1.5;1000\n"
        ";;1001\n"
        "MANUAL;oops;1002\n"
        "AUTO;-0.0;1003.25\n"
        "AUTO;2\n"
        "AUTO;3;when\n"
        "MANUAL;nan;1004\n"
    )
    recording = {"path": path, "time_column": "at_ms", "time_unit": "ms", "text_columns": ["mode"]}
    played = play([recording])
    text = played.texts.text
    assert [(t, text(v)) for t, v in played.of("log.mode")] == [
        (S, "AUTO"), (1_002_000_000, "MANUAL"), (1_003_250_000, "AUTO"), (1_004_000_000, "MANUAL")
    ]  # fmt: skip
    speed = played.of("log.speed_(m/s)")
    assert [t for t, _ in speed] == [S, 1_003_250_000, 1_004_000_000]
    assert [repr(v) for _, v in speed] == ["1.5", "-0.0", "nan"]
    assert {k: v for k, v in played.source.counters.items() if k != "samples_emitted"} == {
        "cells_bad": 1,
        "lines_bad": 2,
    }


def test_csv_map_and_wrong_columns(play: Any, tmp_path: Path) -> None:
    path = tmp_path / "gnss.csv"
    path.write_text("t,lat_deg,v_mps\n1,48.5,10\n")
    mapping = {
        "lat_deg": "Vehicle.CurrentLocation.Latitude",
        "gnss.v_mps": {"signal": "Vehicle.Speed", "scale": 3.6},
    }
    samples = play([{"path": path, "map": mapping}]).samples
    assert samples == [("Vehicle.CurrentLocation.Latitude", S, 48.5), ("Vehicle.Speed", S, 36.0)]
    for wrong, words in (
        ({"time_column": "tt"}, "did you mean 't'"),
        ({"text_columns": ["lat"]}, "did you mean 'lat_deg'"),
        ({"map": {"lat": "Vehicle.Speed"}}, "did you mean lat_deg"),
    ):
        with pytest.raises(RecordingError, match=words):
            play([{"path": path, **wrong}])


@given(st.integers(0, 2**60), st.sampled_from([("s", 9), ("ms", 6), ("us", 3), ("ns", 0)]))
def test_times_are_exact_to_the_ns(t_ns: int, unit: tuple[str, int]) -> None:
    name, digits = unit
    whole, part = divmod(t_ns, 10**digits)
    text = f"{whole}.{part:0{digits}d}" if digits else str(whole)
    assert parse_ns(text, name) == t_ns
    assert parse_ns(str(Decimal(t_ns).scaleb(-digits).normalize()), name) == t_ns


@pytest.mark.parametrize(
    ("text", "t_ns"),
    [
        ("1533226488.300593", 1533226488300593000),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01 02:00:00+02:00", 0),
        ("01:00:00.25", 3_600_250_000_000),
        ("-1.5", -1_500_000_000),
    ],
)
def test_times_of_other_forms(text: str, t_ns: int) -> None:
    assert parse_ns(text, "s") == t_ns


@pytest.mark.parametrize(
    "text", ["", "x", "nan", "inf", "1e99", "1e999999", "12:00", "1.2.3", "99999999999999999999"]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|range"):
        parse_ns(text, "s")


def test_tegrastats_against_an_independent_parse(data: Path, play: Any) -> None:
    """By splitting at blanks; 03-22-2025 01:22:35 is 1742606555."""
    path = data / "jetson" / "agx_orin_maxn_part1.tegrastats.log.gz"
    played = play([{"path": path, "name": "board"}])
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    rail, tj, used, core = [], [], [], []
    for number, line in enumerate(lines):
        words = line.split()
        t_ns = (1_742_606_555 + number) * S
        rail.append((t_ns, int(words[words.index("VDD_GPU_SOC") + 1].split("mW")[0]) / 1000.0))
        tj.append((t_ns, float(next(w for w in words if w.startswith("tj@"))[3:-1])))
        used.append((t_ns, float(words[words.index("RAM") + 1].split("/")[0]) * 1048576))
        loads = re.split(r"[\[\],]", words[words.index("CPU") + 1])[1:-1]
        core.append((t_ns, float(loads[11].split("%")[0])))
    board = "Vehicle.Robovan.Board."
    assert played.of(f"{board}Rail.VDD_GPU_SOC.Power") == rail
    assert played.of(f"{board}Temperature.TJ") == tj
    assert played.of(f"{board}Memory.Used") == used
    assert played.of(f"{board}CPU11.Utilization") == core
    assert len(rail) == 600
    assert not [s for s in played.source.signals() if "CV0" in s.name], "cv0 reads -256: the sensor is absent"


def test_tegrastats_of_every_board(data: Path, play: Any, tmp_path: Path) -> None:
    lines = dict(
        line.split("|") for line in (data / "jetson/tegrastats_board_lines.txt").read_text().splitlines()
    )
    found = {board: {name: value for name, _, _, value in parse_line(line)} for board, line in lines.items()}
    assert found["nano"]["Rail.POM_5V_IN.Power"] == 1022
    assert found["nano"]["EMC.Frequency"] == 204
    assert found["tx2"]["CPU3.Utilization"] == 1
    assert "CPU1.Utilization" not in found["tx2"]
    assert found["agx_xavier"]["Rail.GPU.Power"] == 0
    assert found["agx_xavier"]["Temperature.GPU"] == 37.5
    assert found["orin_nx"]["VIC.Frequency"] == 729
    assert found["orin_nx"]["Temperature.tj"] == 48.875
    assert found["agx_orin"]["Rail.VIN_SYS_5V0.Power"] == 4442
    assert "GPU.Frequency" not in found["agx_orin"]
    assert found["tx1"]["APE.Frequency"] == 25
    assert found["tx1"]["Temperature.Tdiode"] == 42.75
    seven = parse_line(
        "RAM 1/2MB (lfb 1x4MB) CPU [12%@1190,off] GR3D_FREQ 7%@[1300,1301] cpu@-256C gpu@45.1C"
    )
    assert {n: v for n, _, _, v in seven} == {
        "Memory.Used": 1, "Memory.Total": 2, "CPU0.Utilization": 12, "CPU0.Frequency": 1190,
        "GPU.Utilization": 7, "GPU.Frequency": 1300, "Temperature.gpu": 45.1,
    }  # fmt: skip
    thor = parse_line("RAM 1/2MB CPU [1%@100] GR3D_FREQ @[1575,1575,1575] VDD_GPU 500mW/400mW")
    assert {n: v for n, _, _, v in thor}["GPU.Frequency"] == 1575
    path = tmp_path / "undated.log"
    path.write_text(f"{lines['nano']}\nnot a line\n{lines['nano']}\n")
    played = play([{"path": path, "start_unix_s": 100.0}])
    assert [t for t, _ in played.of("Vehicle.Robovan.Board.APE.Frequency")] == [100 * S, 101 * S]
    assert played.source.counters["lines_bad"] == 1


def test_candump_lines_of_every_form(play: Any, tmp_path: Path, dbc: Path) -> None:
    path = tmp_path / "bus.log"
    path.write_text(
        "(1.000000001) can0 123#0102\n"
        "(2.5) can0 001ABCDE#07 R\n"
        "(3.000000) can0 00000123#08 T\n"
        "(4.000000) can0 124##10102030405060708\n"
        "(5.000000) can0 123#R\n"
        "(6.000000) can0 20000080#0000000000000000\n"
        "(7.000000) can0 123#010\n"
        "garbage\n"
        "\n"
        "(8.000000)  can0  123   [2]  03 04\n"
        "(9.000000) can0 123#05"
    )
    played = play([{"path": path, "dbc": [dbc]}])
    assert played.samples == [
        ("can0.Std.X", S + 1, float(0x0201)),
        ("can0.Ext.X", 2_500_000_000, 7.0),
        ("can0.Twin.X", 3 * S, 8.0),
        ("can0.Fd.X", 4 * S, float(0x0807060504030201)),
        ("can0.Std.X", 8 * S, float(0x0403)),
    ]
    counters = played.source.counters
    assert (counters["lines_bad"], counters["frames_remote"], counters["frames_error"]) == (2, 1, 1)
    assert counters["signals_truncated"] == 1


VECTOR = """date {date}
base {base}  timestamps absolute
{events}internal events logged
// version 13.0.0
Begin Triggerblock {date}
   0.000000 Start of measurement
   0.015991 CAN 1 Status:chip status error active
   1.000000 1  {std}             Rx   d 2 {a} {b}  Length = 240000 BitCount = 124 ID = 291
   1.100000 2  {ext}x       Tx   d 1 {b}
   1.200000 1  {std}             Rx   r
   1.300000 1  ErrorFrame
   1.400000 1  {std}             Rx   d 2 zz {a}
   1.500000 CANFD   1 Rx        124                                   1 0 8  8 01 02 03 04 05 06 07 08   103000  130 223000 80006659 50a80250 50a80250 20011736 20010205
   1.600000 CANFD   1 Rx        124  Symbolic_Name                    1 0 8  8 09 02 03 04 05 06 07 08   103000  130 223000 80006659 50a80250 50a80250 20011736 20010205
   2.000000 1  Statistic: D 3 R 0 XD 0 XR 0 E 0 O 0 B 0.09%
   2.000000 1  {std}             Rx   d 2 {b} {a}
End TriggerBlock
"""


@pytest.mark.parametrize(
    "digits",
    [
        {"base": "hex", "std": "123", "ext": "1ABCDE", "a": "0A", "b": "10", "events": ""},
        {"base": "dec", "std": "291", "ext": "1752286", "a": "10", "b": "16", "events": "no "},
    ],
)
@pytest.mark.parametrize("date", ["Mon Oct 30 10:11:12.345 am 2023", "Mon Okt 30 10:11:12.345 2023"])
def test_vector_asc(play: Any, tmp_path: Path, dbc: Path, digits: dict[str, str], date: str) -> None:
    path = tmp_path / "drive.asc"
    path.write_text(VECTOR.format(date=date, **digits))
    text = path.read_text()
    if digits["base"] == "dec":
        path.write_text(text.replace(" 124 ", " 292 "))
    played = play([{"path": path, "dbc": [dbc], "start_unix_s": 50.0}])
    assert played.samples == [
        ("can0.Std.X", 50 * S, float(0x100A)),
        ("can1.Ext.X", 50_100_000_000, 16.0),
        ("can0.Fd.X", 50_500_000_000, float(0x0807060504030201)),
        ("can0.Fd.X", 50_600_000_000, float(0x0807060504030209)),
        ("can0.Std.X", 51 * S, float(0x0A10)),
    ]
    counters = played.source.counters
    assert (counters["lines_bad"], counters["frames_remote"], counters["frames_error"]) == (1, 1, 1)
    dated = play([{"path": path, "dbc": [dbc]}]).samples
    from datetime import datetime

    started = datetime(2023, 10, 30, 10, 11, 12, 345_000).timestamp()  # the header is in local time
    assert dated[0][1] == round((started + 1.0) * 1000) * 1_000_000
    assert [t - dated[0][1] for _, t, _ in dated] == [t - 50 * S for _, t, _ in played.samples]


def test_asc_with_times_relative_to_the_event_before(play: Any, tmp_path: Path, dbc: Path) -> None:
    path = tmp_path / "relative.asc"
    path.write_text(
        "date Mon Oct 30 10:11:12 2023\nbase hex  timestamps relative\ninternal events logged\n"
        "   0.500000 Start of measurement\n   0.250000 1  123  Rx   d 2 01 00\n"
        "   0.100000 1  Statistic: D 3 R 0\n   0.000100 1  123  Rx   d 2 02 00\n"
    )
    samples = play([{"path": path, "dbc": [dbc]}]).samples
    assert [v for _, _, v in samples] == [1.0, 2.0]
    assert samples[1][1] - samples[0][1] == 100_100_000


@pytest.mark.parametrize("suffix", [".blf", ".asc", ".trc", ".csv", ".log"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_format_that_python_can_writes(
    play: Any, tmp_path: Path, dbc: Path, suffix: str, packed: bool
) -> None:
    """Classic, 29-bit, FD, remote and error frames. A .trc and an .asc say their start in a coarser way."""
    path = tmp_path / f"log{suffix}"
    fd = suffix in (".blf", ".asc", ".log")
    frames: list[dict[str, Any]] = [
        {"arbitration_id": 0x123, "is_extended_id": False, "data": b"\x01\x02"},
        {"arbitration_id": 0x123, "is_extended_id": False, "is_remote_frame": True, "dlc": 2},
        {"arbitration_id": 0x1ABCDE, "is_extended_id": True, "data": b"\x03"},
        {"is_error_frame": True, "is_extended_id": False, "dlc": 0},
        {"arbitration_id": 0x124, "is_extended_id": False, "is_fd": fd, "data": bytes(12 if fd else 8)},
    ]
    with can.Logger(path) as writer:
        for k, frame in enumerate(frames):
            if suffix != ".trc" or k in (0, 2, 4):
                writer.on_message_received(can.Message(timestamp=1_700_000_000 + k / 8, channel=0, **frame))
    if packed:
        target = tmp_path / f"log{suffix}.gz"
        target.write_bytes(gzip.compress(path.read_bytes()))
        path = target
    played = play([{"path": path, "dbc": [dbc], "format": "can"}])
    start = played.samples[0][1]
    assert [(name.partition(".")[2], t - start, v) for name, t, v in played.samples] == [
        ("Std.X", 0, 513.0),
        ("Ext.X", S // 4, 3.0),
        ("Fd.X", S // 2, 0.0),
    ]
    if suffix in (".blf", ".csv", ".log"):
        assert start == 1_700_000_000 * S


def test_name_of_the_settings_replaces_the_channel(play: Any, tmp_path: Path, dbc: Path) -> None:
    path = tmp_path / "bus.log"
    path.write_text("(1.0) can0 123#0102\n(2.0) vcan7 123#0102\n(3.0) slcan 123#0102\n")
    samples = play([{"path": path, "dbc": [dbc], "name": "front"}]).samples
    assert [name for name, _, _ in samples] == ["front0.Std.X", "front7.Std.X", "front_slcan.Std.X"]
    by_channel = play([{"path": path, "dbc": {"vcan7": dbc}}])
    assert [name for name, _, _ in by_channel.samples] == ["vcan7.Std.X"]


def test_names_that_differ_only_in_case_stay_apart(play: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("t,Speed,SPEED\n1,2,3\n")
    assert [(name, value) for name, _, value in play([{"path": path}]).samples] == [
        ("x.Speed", 2.0),
        ("x.SPEED_2", 3.0),
    ]


BROKEN = {
    "empty.log": (b"", "empty"),
    "text.log": (b"hello\nworld\n", "no CAN frame"),
    "short.blf": (b"LOGG", "cannot read it as .blf"),
    "wrong.blf": (b"x" * 500, "cannot read it as .blf"),
    "none.asc": (b"date Mon Oct 30 10:11:12 2023\nbase hex  timestamps absolute\n", "no CAN frame"),
    "date.asc": (b"date Mon Foo 99 10:11:12 2023\nbase hex  timestamps absolute\n", "cannot read it as .asc"),
    "drive.mf4": (b"MDF     4.10", "cannot read it as .mf4" if is_there() else "asammdf"),
    "one.csv": (b"t\n1\n", "fewer than 2 columns"),
    "notime.csv": (b"t,v\nx,1\n", "no row could be read"),
    "nothing.csv": (b"t,v\n1,\n", "no sample"),
    "broken.csv.gz": (b"\x1f\x8b\x08\x00garbage", "cannot read on"),
    "cut.log.gz": (gzip.compress(b"(1.0) can0 123#0102\n" * 5000)[:-20], "cannot read on"),
    "what.dat": (b"\x00\x01", "set format"),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_broken_recording_is_refused_with_cause_and_fix(
    play: Any, tmp_path: Path, dbc: Path, name: str
) -> None:
    content, words = BROKEN[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(RecordingError) as caught:
        play([{"path": path, "dbc": [dbc]}])
    assert name in str(caught.value)
    assert words in str(caught.value)
    assert "; " in str(caught.value)


def test_missing_recording_and_missing_dbc(play: Any, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"gone\.csv.*No such file"):
        play([{"path": tmp_path / "gone.csv"}])
    log = tmp_path / "bus.log"
    log.write_text("(1.0) can0 123#0102\n")
    with pytest.raises(RecordingError, match="needs a DBC"):
        play([{"path": log}])


def test_same_files_same_stream(data: Path, play: Any) -> None:
    recording = {"path": data / "jetson/agx_orin_maxn_part1.tegrastats.log.gz"}
    one, two = play([recording]), play([recording])
    assert one.samples == two.samples
    assert [b.position for b in one.blocks] == [b.position for b in two.blocks]
