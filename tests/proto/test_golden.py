"""Golden files and the worked example of docs/format.md.

Goal: bytes that an older release wrote keep their meaning for ever, and the document describes the real bytes.
Method: decode committed bytes and compare with committed JSON, by vantel and by the independent reference; read the hex
blocks of the document and compare them with what the code makes. Golden files are never rewritten (make_golden.py).
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vantel import codec
from vantel.acks import Ack
from vantel.columns import Column
from vantel.envelope import ClockStamp, Envelope, compose_message, open_message, seal
from vantel.identity import DeliveryClass, Epoch, PayloadKind
from vantel.payloads import Batch, Birth, Death, Event, Health, Tombstone

HERE = Path(__file__).parent
V1 = HERE / "golden" / "v1"
DOCUMENT = HERE.parents[1] / "docs" / "format.md"
PAYLOADS = {
    "ack": Ack, "batch": Batch, "birth": Birth, "death": Death, "event": Event, "health": Health,
    "tombstone": Tombstone,
}  # fmt: skip
PUBLISHED = "d3f1a886b27893f6"
"""Checksum over the golden bytes of v1, by name. New files change it; the old ones must not."""

SAME_MEANING = {"columns-drive_in_words": "columns-drive"}
"""Other name of the same columns."""


def newest(name: str) -> str:
    """The last of NAME, NAME.2, NAME.3 ...: what today's encoder makes of these columns. It is free; a decoder reads all."""
    stem = name.partition(".")[0]
    stem = SAME_MEANING.get(stem, stem)
    later = [path.stem for path in V1.glob(f"{stem}.*.bin")]
    return max(later, key=lambda found: int(found.rpartition(".")[2]), default=stem)


def golden(prefix: str) -> list[str]:
    names = sorted(path.stem for path in V1.glob(f"{prefix}*.bin"))
    assert names, f"no golden files {prefix}* in {V1.name}"
    return names


def bytes_and_meaning(name: str) -> tuple[bytes, object]:
    return (V1 / f"{name}.bin").read_bytes(), json.loads((V1 / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def shown() -> Callable[[object], object]:
    spec = importlib.util.spec_from_file_location("make_golden", HERE / "golden" / "make_golden.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.shown  # type: ignore[no-any-return]


def test_the_files_are_those_that_were_published() -> None:
    digest = hashlib.sha256()
    for path in sorted(V1.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    assert digest.hexdigest()[:16] == PUBLISHED


@pytest.mark.parametrize("name", golden("columns"))
def test_golden_columns(
    name: str, as_plain: Callable[..., list[tuple[object, ...]]], reference: ModuleType
) -> None:
    data, meaning = bytes_and_meaning(name)
    assert isinstance(meaning, list)
    expected = [(c["signal_id"], c["type"], c["t_ns"], c["values"], c["quality"]) for c in meaning]
    columns = codec.decode(data)
    assert as_plain(columns) == expected
    assert [(c[0], c[2], c[3], c[4]) for c in reference.decode(data)] == [(e[0], *e[2:]) for e in expected]
    today, _ = bytes_and_meaning(newest(name))
    assert codec.encode(columns) == today, "one form for one meaning, on every processor"


@pytest.mark.parametrize("name", golden("payload"))
def test_golden_payloads(name: str, shown: Callable[[object], object]) -> None:
    data, meaning = bytes_and_meaning(name)
    payload = PAYLOADS[name.partition("-")[2]].decode(data)
    told = json.loads(json.dumps(shown(payload)))
    assert isinstance(meaning, dict)
    younger = {field: told.pop(field) for field in told.keys() - meaning.keys()}
    assert not any(younger.values()), "a field that came later is not set in what was sent before"
    assert told == meaning
    assert payload.encode() == data


def test_golden_message(shown: Callable[[object], object]) -> None:
    data, meaning = bytes_and_meaning("message")
    envelope, clock = open_message(data)
    assert json.loads(json.dumps([shown(envelope), shown(clock)])) == meaning
    assert compose_message(seal(envelope), clock) == data


def blocks_of(document: str) -> dict[str, bytes]:
    """Hex blocks ```hex name ... ``` of the document; what follows # on a line is a remark."""
    found = {}
    for name, body in re.findall(r"```hex ([\w-]+)\n(.*?)```", document, re.DOTALL):
        found[name] = bytes.fromhex("".join(line.partition("#")[0] for line in body.splitlines()))
    return found


def test_the_worked_example_of_the_document(reference: ModuleType) -> None:
    blocks = blocks_of(DOCUMENT.read_text(encoding="utf-8"))
    stamps = np.array([1_000_000_000, 1_010_000_000, 1_020_000_001])
    columns = [
        Column(1058, stamps, np.array([12.5, 12.75, 13.0])),
        Column(1050, stamps, np.array(["on", "off", "on"], dtype=object), np.array([0, 0, 2], np.uint8)),
    ]
    assert codec.encode(columns) == blocks["columns"]
    (speed, state) = codec.decode(blocks["columns"])
    assert (speed.signal_id, speed.t_ns.tolist(), speed.values.tolist()) == (
        1058,
        stamps.tolist(),
        [12.5, 12.75, 13.0],
    )
    assert state.values.tolist() == ["on", "off", "on"]
    assert state.quality is not None
    assert state.quality.tolist() == [0, 0, 2]
    envelope = Envelope(
        "van-1", Epoch(12, 0x9F3C1B2A), DeliveryClass.P1, 300, PayloadKind.BATCH, b"hello", 0x0123456789ABCDEF
    )
    clock = ClockStamp(bytes(range(16)), 1_700_000_000_000_000_000, 2, 5_000_000)
    assert seal(envelope) == blocks["envelope"]
    assert compose_message(seal(envelope), clock) == blocks["message"]
    crc = reference.crc32c(blocks["envelope"][:-4])
    rotated = ((crc >> 15) | (crc << 17)) & 0xFFFFFFFF
    assert ((rotated + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little") == blocks["envelope"][-4:]
