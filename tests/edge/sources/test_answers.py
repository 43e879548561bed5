"""UDS, OBD-II and J1939 by listening.

Goal: answers of several frames become the values that are publicly known for a recorded car; broken sequences are
counted and harm nothing; mistakes in the file are told with their line.
Method: the recorded polling of an electric car against the decode that came with it; frames written here for the rest.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cantools
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.model import TextTable
from edge.sources.answer_file import load_answers
from edge.sources.answers import Answers, trouble_codes
from edge.sources.can_channel import CanChannel
from edge.sources.chunks import SlotTable
from edge.sources.dbc_kernel import EXTENDED
from edge.sources.errors import RecordingError
from edge.sources.isotp import IsoTp
from edge.sources.j1939 import Transport, trouble_code

EV6 = "can/ev6_uds_2023"
COLUMNS = {
    "soc_bms_pct": "Battery.StateOfCharge", "pack_current_a": "Battery.Current", "pack_voltage_v": "Battery.Voltage",
    "temp_max_c": "Battery.TemperatureMax", "temp_min_c": "Battery.TemperatureMin",
    "cell_v_max": "Battery.CellVoltageMax", "cell_v_max_no": "Battery.CellNumberMax",
    "cell_v_min": "Battery.CellVoltageMin", "cell_v_min_no": "Battery.CellNumberMin",
    "aux_12v": "Battery.AuxiliaryVoltage", "tyre_psi_fl": "Tyres.PressureFL", "tyre_temp_c_fl": "Tyres.TemperatureFL",
    "tyre_psi_fr": "Tyres.PressureFR", "tyre_psi_rr": "Tyres.PressureRR", "tyre_psi_rl": "Tyres.PressureRL",
    "tyre_temp_c_rl": "Tyres.TemperatureRL",
}  # fmt: skip


def frames(rows: list[tuple[int, bytes]]) -> tuple[Any, Any, Any]:
    payload = np.zeros((len(rows), 64), np.uint8)
    for at, (_, data) in enumerate(rows):
        payload[at, : len(data)] = np.frombuffer(data, np.uint8)
    return (
        np.array([key for key, _ in rows], np.uint32),
        np.array([len(data) for _, data in rows], np.int64),
        payload,
    )


def isotp_frames(key: int, whole: bytes) -> list[tuple[int, bytes]]:
    """Frames as a control unit sends them."""
    if len(whole) <= 7:
        return [(key, bytes([len(whole)]) + whole.ljust(7, b"\xaa"))]
    out = [(key, bytes([0x10 | len(whole) >> 8, len(whole) & 0xFF]) + whole[:6])]
    rest = [whole[at : at + 7] for at in range(6, len(whole), 7)]
    return out + [(key, bytes([0x20 | (n + 1) & 15]) + part.ljust(7, b"\xaa")) for n, part in enumerate(rest)]


def bam_frames(group: int, source: int, data: bytes) -> list[tuple[int, bytes]]:
    count = -(-len(data) // 7)
    control = bytes([0x20, len(data) & 0xFF, len(data) >> 8, count, 0xFF]) + group.to_bytes(3, "little")
    out = [(EXTENDED | 0x1CECFF00 | source, control)]
    return out + [
        (EXTENDED | 0x1CEBFF00 | source, bytes([n + 1]) + data[7 * n : 7 * n + 7].ljust(7, b"\xff"))
        for n in range(count)
    ]


def test_a_recorded_car_gives_the_values_that_came_with_it(data: Path, play: Callable[..., Any]) -> None:
    played = play([{
        "path": data / EV6 / "ev6_uds_gnss.log.gz", "dbc": {"can2": data / EV6 / "gnss.dbc"},
        "answers": data / EV6 / "ev6.answers.toml",
    }])  # fmt: skip
    samples: dict[str, dict[int, float]] = {}
    for name, t, value in played.samples:
        samples.setdefault(name, {})[t] = value
    with (data / EV6 / "ev6_uds_decoded.csv").open() as file:
        rows = list(csv.DictReader(file))
    compared = 0
    for row in rows:
        t_ns = int(row["t_unix"].replace(".", "").ljust(19, "0"))
        for column, name in COLUMNS.items():
            if row[column]:
                digits = len(row[column].partition(".")[2])
                assert f"{samples[f'can1.{name}'][t_ns]:.{digits}f}" == row[column], (column, row["t_unix"])
                compared += 1
        if row["did_0102_cells_v"]:
            cells = [samples[f"can1.Cells.Cell{n + 1}"][t_ns] for n in range(32)]
            assert [f"{cell:.2f}" for cell in cells] == row["did_0102_cells_v"].split()
            compared += 32
    assert compared > 1500
    assert all(
        len(samples[f"can1.{name}"]) == sum(bool(row[column]) for row in rows)
        for column, name in COLUMNS.items()
    )
    assert played.source.counters["answers_unknown"] > 0


@given(whole=st.binary(min_size=1, max_size=4095), noise=st.binary(max_size=8), break_at=st.integers(0, 400))
def test_any_answer_comes_together_again_and_a_broken_one_is_counted(
    whole: bytes, noise: bytes, break_at: int
) -> None:
    parts = isotp_frames(0x7E8, whole)
    other = (0x7E0, b"\x30\x00\x00")  # flow control of the tester, on another id
    mixed = [frame for part in parts for frame in (part, other, (0x7E9, b"\x21" + noise[:7]))]
    isotp = IsoTp([0x7E8])
    arrays = frames(mixed)
    got = [data for _, _, data in isotp.feed(isotp.rows(arrays[0]), *arrays)]
    assert got == [whole]
    assert not isotp.counts
    if len(parts) > 2:
        cut = 1 + break_at % (len(parts) - 1)
        arrays = frames(parts[:cut] + parts[cut + 1 :] + isotp_frames(0x7E8, b"\x62\x01\x01\x05"))
        got = [data for _, _, data in isotp.feed(isotp.rows(arrays[0]), *arrays)]
        assert got == [b"\x62\x01\x01\x05"]
        assert isotp.counts["answers_broken"] == 1


def test_a_consecutive_frame_out_of_turn_spoils_the_answer() -> None:
    parts = isotp_frames(0x7E8, bytes(range(40)))
    isotp = IsoTp([0x7E8])
    arrays = frames([*parts[:2], parts[1], *parts[2:]])  # one twice: the bytes would suffice
    assert not list(isotp.feed(isotp.rows(arrays[0]), *arrays))
    assert isotp.counts == {"answers_broken": 1}


def test_a_connection_to_one_address_gives_the_id_with_that_address() -> None:
    """A parameter group below 0xF000 carries its destination; RTS, and a packet that is sent again."""
    data, packet = bytes(range(20)), EXTENDED | 0x1CEB1703
    control = bytes([0x10, 20, 0, 3, 0xFF]) + (0xEF00).to_bytes(3, "little")
    rows = [(EXTENDED | 0x1CEC1703, control)]
    rows += [(packet, bytes([n + 1]) + data[7 * n : 7 * n + 7].ljust(7, b"\xff")) for n in (0, 1, 1, 2)]
    assert list(Transport().feed(*frames(rows))) == [(4, EXTENDED | 0x18EF1703, data)]


@given(
    rows=st.lists(
        st.tuples(st.sampled_from([0x7E8, 0x9CECFF03, 0x9CEBFF03, 0x98FECA03]), st.binary(max_size=64)),
        max_size=60,
    )
)
def test_any_frames_at_all_raise_nothing(rows: list[tuple[int, bytes]]) -> None:
    channel, _, _ = channel_of(OBD)
    channel.decode(*frames(rows))


OBD = """
[[answers]]
name = "Rpm"
response = [0x7E8, 0x7E9]
pid = 0x0C
length = 2
  [[answers.signals]]
  name = "EngineSpeed"
  byte = 0
  bytes = 2
  scale = 0.25
  unit = "rpm"

[[answers]]
name = "Speed"
response = 0x7E8
pid = 0x0D
length = 1
  [[answers.signals]]
  name = "Speed"
  byte = 0
  unit = "km/h"
  [[answers.signals]]
  name = "Top"
  byte = 0
  bit = 6
  bits = 2

[trouble_codes]
response = [0x7E8, 0x7E9]
"""


def channel_of(text: str, **more: Any) -> tuple[CanChannel, SlotTable, TextTable]:
    path = Path("x.toml")
    texts, slots = TextTable(), SlotTable(Path("log"), {})
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.toml"
        path.write_text(text)
        answers = Answers(load_answers(path), path, texts.code)
    return (
        CanChannel("can0", ("can0",), [], slots, answers=answers, j1939=True, code_of=texts.code, **more),
        slots,
        texts,
    )


def values(
    channel: CanChannel, slots: SlotTable, rows: list[tuple[int, bytes]]
) -> list[tuple[str, int, float]]:
    found = channel.decode(*frames(rows))
    names = [signal.name for signal in slots.signals]
    return [
        (names[s], r, v)
        for s, r, v in zip(found.slot.tolist(), found.label.tolist(), found.value.tolist(), strict=True)
    ]


def test_several_pids_in_one_answer_and_answers_that_say_no() -> None:
    channel, slots, _ = channel_of(OBD)
    rows = [
        (0x7E8, bytes.fromhex("06 41 0C 0B B8 0D C8 AA")),
        (0x7E9, bytes.fromhex("04 41 0C 10 00 AA AA AA")),
        (0x7E8, bytes.fromhex("03 7F 01 12 AA AA AA AA")),
        (0x7E8, bytes.fromhex("03 41 2F 80 AA AA AA AA")),
        (0x7E8, bytes.fromhex("03 41 0C 80 AA AA AA AA")),
    ]
    assert values(channel, slots, rows) == [
        ("can0.Rpm.EngineSpeed", 0, 750.0), ("can0.Speed.Speed", 0, 200.0), ("can0.Speed.Top", 0, 3.0),
        ("can0.Rpm.EngineSpeed", 1, 1024.0),
    ]  # fmt: skip
    assert channel.counts == {"answers_negative": 1, "answers_unknown": 1, "answers_short": 1}


def test_trouble_codes_of_all_control_units() -> None:
    channel, slots, texts = channel_of(OBD)
    told = values(channel, slots, isotp_frames(0x7E8, bytes.fromhex("59 02 FF 03 01 1C 2F C1 00 87 08")))
    assert [(n, texts.text(v) if n.endswith("List") else v) for n, _, v in told] == [
        ("can0.DTC.DTCCount", 2.0), ("can0.DTC.DTCList", "P0301-1C U0100-87"),
    ]  # fmt: skip
    told = values(channel, slots, isotp_frames(0x7E9, bytes.fromhex("43 01 05 62")))
    assert (told[0][2], texts.text(told[1][2])) == (3.0, "P0301-1C U0100-87 P0562")
    told = values(channel, slots, isotp_frames(0x7E8, bytes.fromhex("43 00")))
    assert (told[0][2], texts.text(told[1][2])) == (1.0, "P0562")
    assert trouble_codes(b"\x62\x01\x01") is None
    assert [s.type.name for s in slots.signals] == ["UINT64", "STRING"]


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("pid = 0x0D", "pid = 0x0D\ndid = 1", 14, "one of them"),
        ("bytes = 2", "bytes = 9", 7, "less than or equal to 8"),
        ("bits = 2", "bits = 3", 23, "bits of one byte"),
        ("pid = 0x0D", "pid = 0x0C", 14, "described twice"),
        ("unit = \"rpm\"", "unti = \"rpm\"", 7, "unti"),
        ("scale = 0.25", "scale = 0.25.1", 11, "not TOML"),
    ],
)  # fmt: skip
def test_mistakes_in_the_file_are_told_with_their_line(
    tmp_path: Path, old: str, new: str, line: int, told: str
) -> None:
    path = tmp_path / "x.toml"
    path.write_text(OBD.replace(old, new))
    with pytest.raises(RecordingError, match=told) as caught:
        load_answers(path)
    assert f"x.toml, line {line}:" in str(caught.value)


def test_broadcasts_of_several_packets_are_decoded_as_frames_are() -> None:
    signals = "\n".join(f' SG_ S{n} : {8 * n}|16@1+ (0.5,-1) [0|0] "" A' for n in range(0, 40, 2))
    database = cantools.database.load_string(
        f'VERSION ""\nNS_ :\nBS_:\nBU_: A\nBO_ {EXTENDED | 0x18FD00FE} Long: 40 A\n{signals}\n', "dbc"
    )
    slots = SlotTable(Path("log"), {})
    channel = CanChannel("can0", ("can0",), [(Path("x"), database)], slots, j1939=True)
    body = bytes((7 * n) % 250 for n in range(40))
    one, two = bam_frames(0xFD00, 3, body), bam_frames(0xFD00, 4, body[::-1])
    interleaved = [frame for pair in zip(one, two, strict=True) for frame in pair]
    found = values(channel, slots, [*interleaved, (EXTENDED | 0x18FEF103, bytes(8))])
    wanted = [*database.messages[0].decode(body).items(), *database.messages[0].decode(body[::-1]).items()]
    assert [(f"can0.Long.{n}", v) for n, v in wanted] == [(n, v) for n, _, v in found]
    assert {row for _, row, _ in found} == {len(interleaved) - 2, len(interleaved) - 1}
    assert channel.counts == {"frames_unknown": 1}


def test_broken_broadcasts_are_counted() -> None:
    transport = Transport()
    good = bam_frames(0xFECA, 3, bytes(20))
    short = (good[0][0], good[0][1][:5])
    assert not list(
        transport.feed(*frames([short, good[0], good[0], (good[1][0], b"\x09" + bytes(7)), good[2]]))
    )
    assert transport.counts == {"transport_broken": 3}
    assert len(list(transport.feed(*frames([*good[:2], good[1], *good[2:]])))) == 1


def test_active_trouble_codes_of_a_j1939_bus() -> None:
    channel, slots, texts = channel_of("")
    spn, fmi = 0x7FF13, 9
    code = bytes([spn & 0xFF, spn >> 8 & 0xFF, (spn >> 16) << 5 | fmi, 1])
    assert trouble_code(code) == f"{spn}-{fmi}"
    found = values(channel, slots, [(EXTENDED | 0x18FECA00, b"\x04\xff" + code + b"\xff\xff")])
    told = {n: texts.text(v) if n.endswith("List") else v for n, _, v in found}
    assert told == {
        "can0.DM1.ProtectLamp": 0.0, "can0.DM1.AmberWarningLamp": 1.0, "can0.DM1.RedStopLamp": 0.0,
        "can0.DM1.MalfunctionLamp": 0.0, "can0.DM1.DTCCount": 1.0, "can0.DM1.DTCList": f"00:{spn}-{fmi}",
    }  # fmt: skip
    more = bam_frames(0xFECA, 0x21, b"\x40\xff" + code + bytes([100, 0, 3, 1]))
    told = {n: v for n, _, v in values(channel, slots, more)}
    assert (told["can0.DM1.DTCCount"], told["can0.DM1.MalfunctionLamp"]) == (3.0, 1.0)
    assert texts.text(told["can0.DM1.DTCList"]) == f"00:{spn}-{fmi} 21:{spn}-{fmi} 21:100-3"
    told = {
        n: v
        for n, _, v in values(channel, slots, [(EXTENDED | 0x18FECA00, b"\x00\xff" + bytes(4) + b"\xff\xff")])
    }
    assert told["can0.DM1.DTCCount"] == 2.0
