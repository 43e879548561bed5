"""Decoding by DBC.

Goal: every value equals cantools' own to the last bit, in its order, for any payload and any length.
Method: cantools decodes the same bytes one frame at a time; hypothesis makes payloads for every message of every DBC
in tests/data and for a DBC written here that has the shapes those lack (floats, 64 bits, nested multiplexers, CAN FD).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cantools
import numpy as np
import pytest
from cantools.database.can import Database, Message, Signal
from cantools.database.errors import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.sources.dbc import ROOM_FRAMES, ROOM_SAMPLES, BusDecoder
from edge.sources.dbc_file import load_database, load_with_doubts
from edge.sources.dbc_kernel import EXTENDED
from edge.sources.dbc_tables import is_plain
from edge.sources.errors import RecordingError

DATA = Path(__file__).parents[2] / "data"
SHAPES = """VERSION ""
NS_ :
BS_:
BU_: A
BO_ 100 Plain: 8 A
 SG_ Wide : 0|64@1- (1,0) [0|0] "" A
BO_ 101 WideScaled: 8 A
 SG_ Wide : 0|64@1+ (3,-7) [0|0] "" A
BO_ 102 WideMotorola: 8 A
 SG_ Wide : 7|64@0- (0.1,5) [0|0] "" A
BO_ 103 Floats: 8 A
 SG_ F1 : 0|32@1- (1,0) [0|0] "" A
 SG_ F2 : 39|32@0- (0.5,1) [0|0] "" A
BO_ 104 Double: 8 A
 SG_ D : 0|64@1- (1,0) [0|0] "m" A
BO_ 105 Odd: 8 A
 SG_ M1 : 3|7@0+ (0.01,-3) [0|0] "" A
 SG_ M2 : 18|13@0- (2,1) [0|0] "" A
 SG_ I1 : 29|11@1- (0.1,0.3) [0|0] "" A
 SG_ I2 : 41|3@1+ (1,-4) [0|0] "" A
 SG_ I3 : 45|19@1+ (7,0.5) [0|0] "" A
BO_ 106 Mux: 8 A
 SG_ S0 M : 0|4@1+ (1,0) [0|0] "" A
 SG_ A m0 : 8|8@1+ (1,0) [0|0] "" A
 SG_ B m1 : 8|16@1- (0.25,0) [0|0] "" A
 SG_ C : 56|8@1+ (1,0) [0|0] "" A
BO_ 107 Nested: 8 A
 SG_ S0 M : 0|4@1+ (1,0) [0|0] "" A
 SG_ S1 m0M : 4|4@1+ (1,0) [0|0] "" A
 SG_ D1 m3 : 8|8@1- (1,0) [0|0] "" A
 SG_ D2 m5 : 8|12@1+ (0.1,0) [0|0] "" A
 SG_ E m1 : 24|8@1+ (1,0) [0|0] "" A
BO_ 108 ScaledMux: 8 A
 SG_ S0 M : 0|4@1+ (2,1) [0|0] "" A
 SG_ A m3 : 8|8@1+ (1,0) [0|0] "" A
 SG_ B m5 : 8|8@1+ (1,0) [0|0] "" A
BO_ 109 Overlap: 8 A
 SG_ A : 0|8@1+ (1,0) [0|0] "" A
 SG_ B : 4|8@1+ (1,0) [0|0] "" A
BO_ 2147483758 Fd: 64 A
 SG_ A : 479|32@1+ (1,0) [0|0] "" A
 SG_ B : 263|40@0- (0.001,0) [0|0] "" A
 SG_ C : 511|1@1+ (1,0) [0|0] "" A
SG_MUL_VAL_ 107 S1 S0 0-2;
SG_MUL_VAL_ 107 D1 S1 3-3, 7-9;
SG_MUL_VAL_ 107 D2 S1 5-5;
SG_MUL_VAL_ 107 E S0 1-1;
VAL_ 106 C 1 "one" 2 "two" ;
"""


def databases() -> dict[str, Database]:
    found = {path.name: load_database(path) for path in sorted(DATA.rglob("*.dbc"))}
    found["shapes"] = cantools.database.load_string(SHAPES, "dbc", strict=False)
    return found


DATABASES = databases()


def by_cantools(message: Message, data: bytes) -> list[tuple[str, float]] | None:
    try:
        decoded = message.decode(data, decode_choices=False, allow_truncated=True)
    except DecodeError:
        return None
    return [(name, float(value)) for name, value in decoded.items()]


def by_us(decoder: BusDecoder, keys: list[int], payloads: list[bytes]) -> list[list[tuple[str, float]]]:
    payload = np.zeros((len(keys), 64), dtype=np.uint8)
    for row, data in enumerate(payloads):
        payload[row, : len(data)] = np.frombuffer(data, dtype=np.uint8)
    lengths = np.array([len(data) for data in payloads], dtype=np.int64)
    decoded = decoder.decode(np.array(keys, dtype=np.uint32), lengths, payload)
    assert (np.diff(decoded.frame) >= 0).all()
    frames: list[list[tuple[str, float]]] = [[] for _ in keys]
    for slot, frame, value in zip(
        decoded.slot.tolist(), decoded.frame.tolist(), decoded.value.tolist(), strict=True
    ):
        frames[frame].append((decoder.signals[slot].name, value))
    return frames


def same(
    ours: list[tuple[str, float]], theirs: list[tuple[str, float]], bits: Callable[..., list[int]]
) -> bool:
    nan = float("nan")
    plain = [[(n, nan if np.isnan(v) else v) for n, v in side] for side in (ours, theirs)]
    names = [[name for name, _ in side] for side in plain]
    return names[0] == names[1] and bits([v for _, v in plain[0]]) == bits([v for _, v in plain[1]])


DECODERS = {name: BusDecoder([(Path(name), database)]) for name, database in DATABASES.items()}


@pytest.mark.parametrize("name", list(DATABASES))
@settings(max_examples=20, deadline=None)
@given(content=st.data())
def test_any_payload_decodes_as_in_cantools(name: str, content: st.DataObject) -> None:
    """All messages of one database at once, each with several payloads of any length."""
    database, decoder = DATABASES[name], DECODERS[name]
    seed = content.draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    keys, payloads = [], []
    for key, message in database._frame_id_to_message.items():
        for _ in range(3):
            length = int(random.choice([message.length, random.integers(0, 65)], p=[0.7, 0.3]))
            fill = random.integers(0, 256, min(length, 64), dtype=np.uint8)
            # small first bytes reach the branches of multiplexers, which random ones hardly ever do
            fill[: random.integers(0, 4)] &= 0x0F
            fill[:] = random.choice([fill, fill * 0, fill | 255], p=[0.8, 0.1, 0.1])
            keys.append(key)
            payloads.append(fill.tobytes())
    extra = content.draw(st.lists(st.tuples(st.sampled_from(keys), st.binary(max_size=64)), max_size=8))
    keys += [key for key, _ in extra]
    payloads += [data for _, data in extra]
    ours = by_us(decoder, keys, payloads)
    view = lambda values: np.array(values, dtype=np.float64).view(np.uint64).tolist()  # noqa: E731
    for key, data, mine in zip(keys, payloads, ours, strict=True):
        theirs = by_cantools(database._frame_id_to_message[key], data)
        assert same(mine, theirs or [], view), (hex(key), data.hex(), mine, theirs)


def branches(tree: list[Any]) -> Iterator[dict[str, int]]:
    """Values of the multiplexers that lead to each leaf of a signal tree of cantools."""
    below = [item for item in tree if isinstance(item, dict)]
    if not below:
        yield {}
    for item in below:
        for name, subtrees in item.items():
            for value, subtree in subtrees.items():
                for deeper in branches(subtree):
                    yield {name: value, **deeper}


def with_bits(data: bytearray, signal: Signal, raw: int) -> None:
    """Write a raw value into a payload, bit by bit, by the sawtooth numbers of the DBC."""
    bit = signal.start
    for place in range(signal.length):
        shift = place if signal.byte_order == "little_endian" else signal.length - 1 - place
        data[bit // 8] = data[bit // 8] & ~(1 << bit % 8) | (raw >> shift & 1) << bit % 8
        if signal.byte_order == "little_endian":
            bit += 1
        else:
            bit = bit - 1 if bit % 8 else bit + 15


def test_every_multiplexer_branch_of_every_database(bits: Callable[..., list[int]]) -> None:
    """Each leaf of each multiplexing tree, its multiplexer values written into a random payload."""
    random = np.random.default_rng(7)
    seen = 0
    for name, database in DATABASES.items():
        for key, message in database._frame_id_to_message.items():
            if not message.is_multiplexed():
                continue
            payloads = []
            for values in branches(message.signal_tree):
                data = bytearray(random.integers(0, 256, message.length, dtype=np.uint8).tobytes())
                for signal, value in values.items():
                    one = message.get_signal_by_name(signal)
                    with_bits(data, one, round((value - one.offset) / one.scale))
                payloads.append(bytes(data))
            for data_of, mine in zip(
                payloads, by_us(DECODERS[name], [key] * len(payloads), payloads), strict=True
            ):
                theirs = by_cantools(message, data_of)
                assert theirs is not None, "the payload of this test does not reach a branch"
                assert same(mine, theirs, bits), (name, message.name, data_of.hex())
                seen += 1
    assert seen > 300


def test_frames_that_cannot_be_decoded_are_counted_not_raised() -> None:
    decoder = BusDecoder([(Path("shapes"), DATABASES["shapes"])])
    frames = by_us(decoder, [106, 106, 106, 109, 0x7FF, 110, 110 | EXTENDED],
                   [b"\x0f" * 8, b"\x00" * 8, b"\x00", b"\x00" * 8, b"\x00", b"\x00", b"\xff" * 64])  # fmt: skip
    assert frames[0] == []
    assert frames[3] == []
    assert [name for name, _ in frames[1]] == ["S0", "C", "A"]
    assert [name for name, _ in frames[2]] == ["S0"]
    assert frames[4] == []
    assert frames[5] == []
    assert len(frames[6]) == 3
    assert decoder.counts == {"frames_unknown": 2, "frames_undecodable": 2, "signals_truncated": 2}


@pytest.mark.parametrize(
    ("frames", "factor"), [(3, 1), (ROOM_FRAMES, 1), (ROOM_FRAMES + 1, 1), (ROOM_FRAMES, 9)]
)
def test_samples_stay_when_more_frames_are_decoded_however_many(frames: int, factor: int) -> None:
    """Below, at and above what a decoder has memory for, in frames and in samples; counted once in each case."""
    fields = "".join(f' SG_ S{at} : {at}|1@1+ (1,0) [0|0] "" A\n' for at in range(factor))
    text = f'VERSION ""\nBU_: A\nBO_ 5 Many: 8 A\n{fields}'
    assert (frames * factor > ROOM_SAMPLES) == (factor > 1)
    path = Path("many")
    decoder = BusDecoder([(path, cantools.database.load_string(text, "dbc"))])
    ids, lengths = np.full(frames, 5, np.uint32), np.full(frames, 8, np.int64)
    ones, zeros = np.full((frames, 8), 255, np.uint8), np.zeros((frames, 8), np.uint8)
    first = decoder.decode(ids, lengths, ones)
    second = decoder.decode(ids, lengths, zeros)
    assert first.value.tolist() == [1.0] * (frames * factor)
    assert first.frame.tolist() == np.repeat(np.arange(frames), factor).tolist()
    assert second.value.tolist() == [0.0] * (frames * factor)
    assert decoder.frames_by_database == {path: 2 * frames}


def test_of_two_messages_with_one_id_the_last_wins() -> None:
    text = 'VERSION ""\nBU_: A\nBO_ 5 {}: 1 A\n SG_ {} : 0|8@1+ (1,0) [0|0] "" A\n'
    one = cantools.database.load_string(text.format("One", "X"), "dbc")
    two = cantools.database.load_string(text.format("Two", "Y"), "dbc")
    decoder = BusDecoder([(Path("one"), one), (Path("two"), two)])
    assert by_us(decoder, [5], [b"\x07"]) == [[("Y", 7.0)]]


@pytest.mark.once
def test_raw_integers_give_the_values_by_scale_and_offset() -> None:
    """What a codec needs: value == raw * scale + offset to the last bit, for every signal that is no float."""
    random = np.random.default_rng(11)
    for name, database in DATABASES.items():
        decoder = DECODERS[name]
        apart = {
            (m.name, s.name)
            for m in database.messages
            for s in m.signals
            if s.is_float or s.length > 53 or not is_plain(m)
        }
        keys = np.array(list(database._frame_id_to_message), np.uint32).repeat(8)
        payload = random.integers(0, 256, (len(keys), 64), dtype=np.uint8)
        decoded = decoder.decode(keys, np.full(len(keys), 64, np.int64), payload)
        seen = 0
        for slot, raw, value in zip(decoded.slot.tolist(), decoded.raw.view(np.int64).tolist(),
                                    decoded.value.tolist(), strict=True):  # fmt: skip
            signal = decoder.signals[slot]
            if (signal.message, signal.name) not in apart:
                assert float(raw) * signal.scale + signal.offset == value, signal
                seen += 1
        assert seen


J1939 = """VERSION ""
NS_ :
BS_:
BU_: A
BO_ 2565866750 EEC1: 8 A
 SG_ EngineSpeed : 24|16@1+ (0.125,0) [0|8031.875] "rpm" A
 SG_ Torque : 16|8@1+ (1,-125) [-125|125] "percent" A
 SG_ Mode : 0|2@1+ (1,0) [0|3] "" A
 SG_ Spare : 4|4@1+ (1,0) [0|15] "" A
BO_ 2348810494 TSC1: 8 A
 SG_ Requested : 8|16@1+ (0.125,0) [0|8031.875] "rpm" A
"""


def test_j1939_ids_match_by_parameter_group_and_what_is_not_available_is_no_value() -> None:
    database = cantools.database.load_string(J1939, "dbc")
    decoder = BusDecoder([(Path("j"), database)], j1939=True)
    eec1, tsc1 = (message.frame_id | EXTENDED for message in database.messages)
    assert (eec1, tsc1) == (0x98F004FE, 0x8C0000FE)
    good = b"\x01\x00\x7d\x00\x20\x00\x00\x00"
    other_source = (eec1 & ~0x1C0000FF) | 0x21 | 3 << 26
    other_destination = (tsc1 & ~0xFFFF) | 0x0B17
    frames = by_us(decoder, [eec1, other_source, other_destination, eec1 ^ 0x100, eec1, eec1],
                   [good, good, good, good, b"\xff" * 8, b"\x02\x00\xfe\xff\xfe\x00\x00\x00"])  # fmt: skip
    plain = database.messages[0].decode(good)
    assert dict(frames[0]) == plain == dict(frames[1])
    assert frames[2] == [("Requested", 0.125 * 0x7D00)]
    assert frames[3] == [] == frames[4]
    assert frames[5] == [("Spare", 0.0)]
    assert decoder.counts == {"frames_unknown": 1, "values_not_available": 4, "values_error": 3}
    assert decoder.knows(other_source)
    exact = BusDecoder([(Path("j"), database)])
    assert by_us(exact, [other_source, eec1], [good, b"\xff" * 8])[0] == []
    assert exact.counts == {"frames_unknown": 1}


def test_only_wanted_signals_are_given() -> None:
    decoder = BusDecoder([(Path("shapes"), DATABASES["shapes"])], wanted=lambda m, s: (m, s) == ("Odd", "I2"))
    (frame,) = by_us(decoder, [105], [b"\xff" * 8])
    assert [name for name, _ in frame] == ["I2"]


def test_doubtful_definitions_are_told_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "doubtful.dbc"
    path.write_text(
        'VERSION ""\nBU_: A\nBO_ 5 One: 1 A\n SG_ X : 0|8@1+ (1,0) [0|0] "" A\n'
        'BO_ 5 Two: 1 A\n SG_ X : 0|8@1+ (1,0) [0|0] "" A\n'
        'BO_ 6 One: 1 A\n SG_ X : 4|8@1+ (1,0) [0|0] "" A\n'
    )
    told = load_with_doubts(path)[1]
    assert [line.split(": ")[0] for line in told] == [f"{path}, line 5", f"{path}, line 7", f"{path}, line 7"]
    assert "id 0x5 is defined again (first in line 3)" in told[0]
    assert "name of id 0x5" in told[1]
    assert "does not fit" in told[2]
    assert not load_with_doubts(DATA / "can/rav4_2016/toyota_adas.dbc")[1]


def test_mistakes_of_the_field_are_put_right_and_told_with_their_line(tmp_path: Path) -> None:
    """An id above 11 bits without its flag, and names of values for a signal that is not there."""
    path = tmp_path / "field.dbc"
    path.write_text(
        'VERSION ""\nBU_: A\nBO_ 316494247 Seat: 2 A\n SG_ X : 0|8@1+ (0.5,0) [0|0] "" A\n SG_ Y : 8|8@1+ (1,0) [0|0] "" A\n'
        'BO_ 5 One: 4 A\n SG_ Z : 0|32@1- (1,0) [0|0] "" A\nCM_ SG_ 316494247 Y "of the seat";\n'
        'VAL_ 316494247 X 0 "off; not on" 1 "on" ;\nVAL_ 5 Gone 0 "a"\n 1 "b" ;\nVAL_ 6 X 0 "c";\nSIG_VALTYPE_ 5 Gone : 1;\nSIG_VALTYPE_ 5 Z : 1;\n'
    )
    database = load_database(path)
    told = [note.removeprefix(f"{path}, ") for note in load_with_doubts(path)[1]]
    assert [note.split(":")[0] for note in told] == ["line 3", "line 10", "line 12", "line 13"]
    assert "0x12DD51A7 of Seat" in told[0] and told[0].endswith("write BO_ 2463977895")
    assert told[1].split(": ")[1].startswith("VAL_ names signal Gone, which message 5 does not have")
    seat = database.get_message_by_name("Seat")
    assert (seat.is_extended_frame, seat.signals[0].choices is not None, seat.signals[1].comment) == (
        True,
        True,
        "of the seat",
    )
    assert database.get_message_by_name("One").signals[0].is_float
    (frame,) = by_us(BusDecoder([(path, database)]), [316494247 | EXTENDED], [b"\x03\x04"])
    assert frame == [("X", 1.5), ("Y", 4.0)]


@pytest.mark.parametrize(
    ("tail", "line"), [("BO_ 6 Q", 5), (" SG_ Z : 0|8@1+ (1,0) [0|", 5), ("BO_ 6 Q: 8 A\n SG_ Z :", 6)]
)
def test_a_database_that_breaks_off_is_refused_with_its_line(tmp_path: Path, tail: str, line: int) -> None:
    path = tmp_path / "cut.dbc"
    path.write_text('VERSION ""\nBU_: A\nBO_ 5 X: 8 A\n SG_ Y : 0|8@1+ (1,0) [0|0] "" A\n' + tail)
    with pytest.raises(RecordingError, match=rf"cut\.dbc, line {line}: .*breaks off"):
        load_database(path)


def test_values_keep_their_number_when_the_database_names_them() -> None:
    frames = by_us(DECODERS["shapes"], [106], [b"\x00" * 7 + b"\x02"])
    assert ("C", 2.0) in frames[0]


@pytest.mark.parametrize(
    ("content", "expected"), [(b'VERSION ""\n', "no CAN message"), (b"\x00\xff garbage", "not a usable DBC")]
)
def test_unusable_database_names_file_and_fix(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "broken.dbc"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"broken\.dbc") as caught:
        load_database(path)
    assert expected in str(caught.value)
    with pytest.raises(RecordingError, match="cannot read the DBC"):
        load_database(tmp_path / "missing.dbc")
