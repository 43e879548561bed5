"""Goal: the checksum rule of a message is found out from its frames; a frame that breaks it is counted and told, none that keeps it.

Method: frames made by rules in public use, written here by themselves; a flipped bit; messages without any rule; the
recorded Toyota minute; the detector behind the channel.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable
from pathlib import Path

import cantools
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.detector import Detector
from edge.model import SampleBlock, TextTable
from edge.settings import DetectorSection, RecordingSection
from edge.sources.can_channel import CanChannel
from edge.sources.checksums import Checksums, checksum_byte
from edge.sources.chunks import SlotTable
from edge.sources.recordings import open_recording
from vantel.catalog import assemble
from vantel_rig.drives import DRIVES

ID = 0x1D2
DBC = f"""VERSION ""
BU_: X
BO_ {ID} WHEELS: 8 X
 SG_ COUNT : 0|8@1+ (1,0) [0|0] "" X
 SG_ CHECKSUM : 63|8@0+ (1,0) [0|0] "" X
"""


def crc8(polynomial: int, start: int, end: int) -> Callable[[bytes], int]:
    def rule(data: bytes) -> int:
        crc = start
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = (crc << 1 ^ polynomial if crc & 0x80 else crc << 1) & 0xFF
        return crc ^ end

    return rule


RULES: dict[str, Callable[[bytes], int]] = {
    "sum with id and length": lambda data: sum(data) + (ID >> 8) + (ID & 0xFF) + 8,
    "complement of the sum": lambda data: ~sum(data),
    "exclusive or": lambda data: functools.reduce(operator.xor, data),
    "CRC-8 SAE J1850": crc8(0x1D, 0xFF, 0xFF),
    "AUTOSAR profile 1, data id first": lambda data: crc8(0x1D, 0xFF, 0xFF)(b"\x12\x34" + data),
    "CRC-8 H2F": crc8(0x2F, 0xFF, 0xFF),
}


def frames(
    rule: Callable[[bytes], int] | None, n: int = 600, byte: int = 7, seed: int = 1
) -> NDArray[np.uint8]:
    """uint8[n, 8]: a counter, a value that wanders, a constant, and the checksum in one byte."""
    random = np.random.default_rng(seed)
    payload = np.zeros((n, 8), np.uint8)
    rest = [at for at in range(8) if at != byte]
    payload[:, rest[0]] = np.arange(n) % 16
    payload[:, rest[1]] = 100 + random.integers(-3, 4, n).cumsum() % 50
    payload[:, rest[2]] = 0x5A
    for row in payload:
        row[byte] = random.integers(256) if rule is None else rule(row[rest].tobytes()) & 0xFF
    return payload


def database(text: str = DBC) -> cantools.database.can.Database:
    return cantools.database.load_string(text, "dbc")  # type: ignore[return-value]


def errors(payload: NDArray[np.uint8], cut: int = 0, text: str = DBC) -> list[tuple[int, float]]:
    """(frame, errors so far) of each sample."""
    checks, told = Checksums([(Path("x.dbc"), database(text))]), []
    for first, last in ((0, cut), (cut, len(payload))):
        part = np.ascontiguousarray(payload[first:last])
        found = checks.feed(np.full(len(part), ID, np.uint32), np.full(len(part), 8, np.int64), part)
        if found is not None:
            told += zip((found.frame + first).tolist(), found.errors.tolist(), strict=True)
    return told


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_flipped_bit_is_counted_at_its_frame_and_nothing_else_is(name: str) -> None:
    payload = frames(RULES[name])
    clean = errors(payload)
    assert clean
    assert {count for _, count in clean} == {0.0}
    for at in (200, 301, 302):
        payload[at, at % 7] ^= 0x10
    told = errors(payload, cut=250)
    assert [at for at, count in told if count and (at, count - 1) not in told][:1] == [200]
    assert {at: count for at, count in told if at in (200, 301, 302)} == {200: 1.0, 301: 2.0, 302: 3.0}
    assert told[-1][1] == 3.0


def test_a_checksum_first_in_the_frame_is_found_too() -> None:
    text = DBC.replace("63|8@0+", "0|8@1+").replace("COUNT : 0|8", "COUNT : 8|8")
    payload = frames(RULES["CRC-8 SAE J1850"], byte=0)
    payload[400, 5] ^= 1
    assert errors(payload, text=text)[-1] == (pytest.approx(600, abs=64), 1.0)


def test_what_follows_no_rule_is_never_judged() -> None:
    constants = np.random.default_rng(2).integers(0, 256, 16)
    payload = frames(RULES["CRC-8 H2F"])
    payload[:, 7] ^= constants[payload[:, 0]].astype(np.uint8)
    assert errors(payload) == errors(frames(None)) == errors(np.zeros((600, 8), np.uint8)) == []


def test_a_rule_that_changed_is_found_out_anew() -> None:
    payload = np.concatenate(
        [frames(RULES["exclusive or"], 300), frames(RULES["complement of the sum"], 600)]
    )
    told = errors(payload)
    assert told[-1][1] <= 64
    assert told[-1][0] > 800


@pytest.mark.parametrize(
    ("line", "byte"),
    [
        ("SG_ CHECKSUM : 63|8@0+", 7),
        ("SG_ Wheels_CRC : 8|8@1+", 1),
        ("SG_ ESP_CRC8 : 8|8@1+", 1),
        ("SG_ CHECKSUM : 60|4@0+", None),
        ("SG_ CHECKSUM : 12|8@1+", None),
        ("SG_ Crcumference : 8|8@1+", None),
    ],
)
def test_the_name_tells_and_only_a_whole_byte_counts(line: str, byte: int | None) -> None:
    (message,) = database(DBC.replace("SG_ CHECKSUM : 63|8@0+", line)).messages
    assert checksum_byte(message) == byte


def test_the_attribute_of_a_dbc_tells_too() -> None:
    text = DBC.replace("CHECKSUM", "Foo") + (
        'BA_DEF_ SG_ "GenSigFuncType" ENUM "NoFunction","CHK","CNTR";\n'
        'BA_DEF_DEF_ "GenSigFuncType" "NoFunction";\n'
        f'BA_ "GenSigFuncType" SG_ {ID} Foo 1;\n'
    )
    (message,) = database(text).messages
    assert checksum_byte(message) == 7


def test_an_error_is_an_event_that_names_the_message() -> None:
    slots = SlotTable(Path("x.log"), {})
    channel = CanChannel("can0", ("can0",), [(Path("x.dbc"), database())], slots, checksums=True)
    payload = frames(RULES["sum with id and length"])
    payload[400, 2] ^= 0x40
    n = len(payload)
    samples = channel.decode(np.full(n, ID, np.uint32), np.full(n, 8, np.int64), payload)
    catalog = assemble(slots.signals)
    order = {signal.name: slot for slot, signal in enumerate(catalog.signals)}
    rows = np.array([order[signal.name] for signal in slots.signals], np.int32)
    detector = Detector(catalog, DetectorSection(incidents_per_day_max=1e-40, robust_z_min=1e9))
    events = detector.step(SampleBlock(rows[samples.slot], samples.label * 20_000_000, samples.value))
    told = [(e.channel, catalog.by_id(e.signal_id).name, e.t_mono_ns // 20_000_000) for e in events]
    assert told == [("rate", "can0.WHEELS.ChecksumErrors", 400)]


def test_messages_of_a_recorded_car_keep_the_rule_that_they_have() -> None:
    """37 messages of the Toyota have a sum; the channel says so when it is asked to, and adds nothing else."""
    recording = DRIVES["rav4"]()[0] | {"checksums": True}
    reader = open_recording(RecordingSection.model_validate(recording), TextTable())
    counts: dict[int, float] = {}
    for chunk in itertools.islice(reader.chunks(), 2):
        counts.update(zip(chunk.slot.tolist(), chunk.value.tolist(), strict=True))
    names = {slot: signal.name for slot, signal in enumerate(reader.slots.signals)}
    told = {names[slot]: count for slot, count in counts.items() if names[slot].endswith("ChecksumErrors")}
    assert len(told) > 30
    assert set(told.values()) == {0.0}


def test_any_frames_do_no_harm() -> None:
    checks = Checksums([(Path("x.dbc"), database())])
    random = np.random.default_rng(3)
    for width in (8, 64):
        n = 2000
        ids = random.choice(np.array([ID, 0, 2**32 - 1], np.uint32), n)
        checks.feed(ids, random.integers(0, 70, n), random.integers(0, 256, (n, width), np.uint8))
