"""Writes the golden files of a format version once: bytes as today's code makes them, and JSON of what they mean.

Run by hand from any folder when a format or payload gets a new feature, or the encoder chooses otherwise: it adds files that
are missing, as NAME.2, NAME.3 ... where there are older bytes of the same meaning, and never touches one that exists. Golden
bytes must decode for ever; see tests/proto/test_golden.py.

    python tests/proto/golden/make_golden.py
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from vantel import codec
from vantel.acks import Ack
from vantel.catalog import Policy, Signal, SignalType, assemble
from vantel.columns import Column
from vantel.envelope import ClockStamp, Envelope, compose_message, seal
from vantel.identity import DeliveryClass, Epoch, PayloadKind
from vantel.intervals import IntervalSet
from vantel.payloads import (
    Batch,
    Birth,
    ClassAccount,
    Death,
    Event,
    Eviction,
    Fidelity,
    Health,
    Severity,
    Tombstone,
)

FOLDER = Path(__file__).parent / "v1"
EPOCH = Epoch(12, 0x9F3C1B2A)
T = np.array([1_000_000_000, 1_010_000_000, 1_020_000_001, 1_029_999_999, 1_500_000_000])


def columns() -> dict[str, list[Column]]:
    """Column lists by feature."""
    ints = [np.dtype(kind) for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")]
    ends = np.array([-(2**63), -1, 0, 1, 2**63 - 1])
    floats = np.array([0x7FF8000000000001, 0xFFF0000000000001, 1 << 63, 0x3FF0000000000000, 1], np.uint64)
    narrow = np.array([0x7FC00001, 0xFF800001, 1 << 31, 0x3F800000, 1], np.uint32)
    rng = np.random.default_rng(6)
    long_times = np.cumsum(rng.integers(9_000_000, 11_000_000, 600)) + 10**15
    drive = [
        Column(1058, long_times, np.cumsum(rng.normal(0, 0.1, 600)).round(2)),
        Column(65_536, long_times, rng.integers(-300, 300, 600).astype(np.int16)),
        Column(65_537, long_times[::10], np.cumsum(rng.normal(size=60)).astype(np.float32)),
    ]
    own = np.random.default_rng(7)
    raw = np.rint(2000 + np.cumsum(own.normal(size=200)) * 8)
    times = [
        Column(1, ends, np.zeros(5)),
        Column(2, T[:1], np.zeros(1)),
        Column(3, T[:0], np.zeros(0)),
        Column(4, ends, np.ones(5)),
    ]
    zeros = [
        Column(1, T, np.array([1.5, 1.5, -0.0, 0.0, 1.5])),
        Column(2, T, np.array([2.25, 2.25, 2.25, 0.1, 0.1], np.float32), np.array([0, 0, 0, 1, 1], np.uint8)),
    ]
    return {
        "empty": [],
        "floats": [Column(1, T, floats.view(np.float64)), Column(2, T, narrow.view(np.float32))],
        "integers": [
            Column(10 + at, T, np.array([np.iinfo(d).min, np.iinfo(d).max, 0, 1, np.iinfo(d).max], d))
            for at, d in enumerate(ints)
        ],
        "states": [
            Column(1048, T, np.array([True, False, False, True, True])),
            Column(1050, T[:3], np.array(["", "Zürich", ""], dtype=object)),
        ],
        "many_texts": [
            Column(7, long_times[:300], np.array([f"text {i}" for i in range(300)], dtype=object))
        ],
        "quality": [
            Column(1, T, np.arange(5.0), np.array([0, 0, 1, 2, 2], np.uint8)),
            Column(2, T, np.arange(5.0), np.array([1, 1, 1, 1, 1], np.uint8)),
        ],
        "times": times,
        "zeros_and_repeats": zeros,
        "steps": [
            Column(1, long_times[:200], raw * 0.005 - 163.84),
            Column(2, long_times[:200], (raw.astype(np.float32) / np.float32(131)) - np.float32(15.25)),
            Column(3, long_times[:200], np.where(raw % 40 == 0, np.nan, raw / 131 - 15.3371)),
            Column(4, long_times[:200], np.cumsum(own.normal(size=200) * 2.0**52).astype(np.int64)),
            Column(
                5, long_times[:200], np.cumsum(np.cumsum(own.normal(size=200) * 2.0**48)).astype(np.int64)
            ),
            Column(6, long_times[:200], np.cumsum(own.integers(0, 1500, 200)).astype(np.uint32)),
        ],
        "drive": drive,
        "mantissas": [
            Column(1, long_times[:200], 3.7 * np.sin(np.arange(200) * 0.01)),
            Column(2, long_times[:200], np.rint(1e6 * np.sin(np.arange(200) * 0.01)).astype(np.int32)),
            Column(3, long_times[:200], np.cumsum(rng.normal(0, 1e-3, 200)).astype(np.float32)),
            Column(4, long_times[:200], rng.normal(size=200)),
            Column(5, long_times[:200], rng.normal(size=200).astype(np.float32).astype(np.float64)),
        ],
    }


def column_json(column: Column) -> dict[str, object]:
    """A column as JSON; numbers as bit patterns."""
    values = np.asarray(column.values)
    if values.dtype.kind == "O":
        kind, shown = "str", values.tolist()
    elif values.dtype.kind == "b":
        kind, shown = "bool", values.tolist()
    else:
        kind, shown = values.dtype.name, values.view(f"u{values.dtype.itemsize}").tolist()
    quality = None if column.quality is None else column.quality.tolist()
    return {
        "signal_id": column.signal_id, "t_ns": column.t_ns.tolist(), "type": kind, "values": shown, "quality": quality,
    }  # fmt: skip


def payloads() -> dict[str, Batch | Event | Birth | Tombstone | Health | Death | Ack]:
    """One payload of each kind."""
    catalog = assemble(
        [
            Signal("can0.Gear", type=SignalType.ENUM, labels=("P", "R", "N", "D"), group="can0"),
            Signal("can0.Brake.Pressure", unit="bar", scale=0.1, policy=Policy(0.0, 250.0, None, 5.0, 1.0)),
        ]
    )
    account = ClassAccount(
        EPOCH, DeliveryClass.P1, 900, IntervalSet([(0, 700), (702, 800)]), (Eviction(701, 701, "quota"),)
    )  # fmt: skip
    return {
        "batch": Batch(
            10**10, 2 * 10**10, codec.encode(columns()["quality"]), 10, Fidelity.FULL, 1, {"queue_full": 4}
        ),
        "event": Event(
            1058, "robust_z", 10**10 + 5, 70.25, 51.5, 8.0, 20.0, Severity.CRITICAL, "fault-1", "first-1"
        ),
        "birth": Birth(catalog.encode(), catalog.hash, "0.1.0", 77, bytes(range(16)), ("replay", "system")),
        "tombstone": Tombstone(EPOCH, DeliveryClass.P2, Eviction(3, 9, "disk_full")),
        "health": Health(10**10, (account,), 123_456, {"queue_full": 4}, {"cpu_percent": 12.5}),
        "death": Death("van-1", EPOCH, True),
        "ack": Ack(
            "van-1", {(EPOCH, DeliveryClass.P1): IntervalSet([(0, 700), (702, 800)])}, (catalog.hash,)
        ),
    }


def message() -> tuple[Envelope, ClockStamp]:
    """One message with every field set."""
    envelope = Envelope(
        "van-1", EPOCH, DeliveryClass.P0, 300, PayloadKind.EVENT, payloads()["event"].encode(), 0xFEDCBA9876543210,
        True, True,
    )  # fmt: skip
    return envelope, ClockStamp(bytes(range(16)), 1_700_000_000_000_000_000, 4, 2_000)


def shown(value: object) -> object:
    """A value as JSON: bytes as hex, interval sets as pairs, dataclasses as objects.

    What is None is left out, so that the published meanings hold when a payload gets another optional field.
    """
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, IntervalSet):
        return [list(pair) for pair in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {name: shown(part) for name, part in parts.items() if part is not None}
    if isinstance(value, dict):
        return [[shown(k), shown(v)] for k, v in value.items()]
    if isinstance(value, tuple | list):
        return [shown(item) for item in value]
    return value


def write(name: str, data: bytes, meaning: object) -> None:
    """Write a pair of files unless the newest of this name has these bytes."""
    path = FOLDER / f"{name}.bin"
    generation = 1
    while path.exists():
        if path.read_bytes() == data:
            return
        generation += 1
        path = FOLDER / f"{name}.{generation}.bin"
    path.write_bytes(data)
    path.with_suffix(".json").write_text(json.dumps(meaning, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """Add what is missing."""
    FOLDER.mkdir(exist_ok=True)
    for name, items in columns().items():
        write(f"columns-{name}", codec.encode(items), [column_json(item) for item in items])
    for name, payload in payloads().items():
        write(f"payload-{name}", payload.encode(), shown(payload))
    envelope, clock = message()
    write("message", compose_message(seal(envelope), clock), [shown(envelope), shown(clock)])


if __name__ == "__main__":
    main()
