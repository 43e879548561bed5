"""The signal catalog.

Goal: built-in ids never change, a van's catalog and its hash depend on its signals alone, illegal catalogs are refused.
Method: a checksum over the committed (id, name, type) rows, permutations, tables of bad signals, arbitrary bytes.
"""

from __future__ import annotations

import ast
import csv
import dataclasses
import gzip
import hashlib
import importlib.util
import math
import random
from importlib import resources
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vantel.catalog import (
    CATALOG_BYTES_MAX,
    ENTRIES_MAX,
    LOCAL_ID_FIRST,
    SIGNAL_NAME,
    Catalog,
    CatalogError,
    Policy,
    Signal,
    SignalType,
    assemble,
    builtin,
)
from vantel.telemetry.v1 import catalog_pb2

PUBLISHED = (1648, "77192f41d7d566be")
"""Rows published so far and the checksum of their id, name, type and labels. A change here breaks vans in the field:
add the new count beside it, never replace it."""

SIGNALS = [
    Signal("can0.Wheel.FL", unit="km/h", group="can0"),
    Signal("Vehicle.Speed", scale=3.6, offset=-1.0),
    Signal("can0.Gear", type=SignalType.ENUM, labels=("P", "R", "", "D"), group="can0"),
    Signal("a", policy=Policy(0.0, 5.0, 1.0, 2.0, 3.0), simulated=True, unit="°C"),
]


def rows() -> list[dict[str, str]]:
    text = resources.files("vantel").joinpath("vss/catalog.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_published_ids_never_change() -> None:
    count, expected = PUBLISHED
    first = sorted(rows(), key=lambda row: int(row["id"]))[:count]
    listing = "\n".join(f"{row['id']} {row['name']} {row['type']} {row['labels']}" for row in first)
    assert hashlib.sha256(listing.encode()).hexdigest()[:16] == expected


def test_builtin_has_vss_and_the_overlay() -> None:
    catalog = builtin()
    assert catalog is builtin()
    assert all(0 < signal.id < LOCAL_ID_FIRST for signal in catalog)
    assert len({signal.group for signal in catalog}) <= 16, "the group is a tag: it bounds the series count"
    assert catalog.by_name("Vehicle.Speed").unit == "km/h"
    assert catalog.by_name("Vehicle.Speed").group == "vehicle"
    assert catalog.by_name("Vehicle.CurrentLocation.Latitude").type is SignalType.FLOAT64
    level = catalog.by_name("Vehicle.ADAS.ActiveAutonomyLevel")
    assert level.type is SignalType.ENUM
    assert level.labels[0] == "SAE_0"
    probe = catalog.by_name("Vehicle.Robovan.TestBench.Probe")
    assert (probe.type, probe.group, probe.policy) == (SignalType.FLOAT64, "testbench", Policy())
    assert catalog.by_id(probe.id) is probe


def test_units_are_those_of_vss_and_three_of_ours() -> None:
    vss = {row["unit"] for row in rows() if ".Robovan." not in row["name"]}
    ours = {row["unit"] for row in rows()} - vss
    assert ours == {"m/s", "Hz", "dB", "dBm", "ratio", "Ohm", "bytes", "bytes/s", "uT"}


def test_assemble_takes_builtin_ids_and_gives_local_ones_by_name() -> None:
    catalog = assemble(SIGNALS)
    assert [signal.name for signal in catalog] == ["Vehicle.Speed", "a", "can0.Gear", "can0.Wheel.FL"]
    assert [signal.id for signal in catalog][1:] == [LOCAL_ID_FIRST, LOCAL_ID_FIRST + 1, LOCAL_ID_FIRST + 2]
    speed, known = catalog.by_name("Vehicle.Speed"), builtin().by_name("Vehicle.Speed")
    assert speed == dataclasses.replace(known, scale=3.6, offset=-1.0)
    assert assemble(catalog) == catalog


def test_a_policy_overrides_field_by_field() -> None:
    known = builtin().by_name("Vehicle.Speed").policy
    mine = assemble([Signal("Vehicle.Speed", policy=Policy(max=60.0, stuck_s_max=0.0))]).signals[0].policy
    assert mine == dataclasses.replace(known, max=60.0, stuck_s_max=0.0)
    assert known.min is not None


def test_the_hash_is_of_the_signals_not_of_their_order() -> None:
    catalog = assemble(SIGNALS)
    for seed in range(10):
        shuffled = SIGNALS.copy()
        random.Random(seed).shuffle(shuffled)
        assert assemble(shuffled).encode() == catalog.encode()
        assert assemble(shuffled).hash == catalog.hash
    assert catalog.hash == int.from_bytes(hashlib.sha256(catalog.encode()).digest()[:8], "big")
    for at, change in enumerate(
        [{"unit": "m/s"}, {"offset": 0.0}, {"labels": ("P", "R", "N", "D")}, {"simulated": False}]
    ):
        changed = SIGNALS.copy()
        changed[at] = dataclasses.replace(changed[at], **change)  # type: ignore[arg-type]
        assert assemble(changed).hash != catalog.hash


def test_encode_and_decode() -> None:
    for catalog in (assemble(SIGNALS), builtin(), Catalog([])):
        again = Catalog.decode(catalog.encode())
        assert again.signals == catalog.signals
        assert (again.hash, again.encode(), again) == (catalog.hash, catalog.encode(), catalog)
        assert catalog.hash != 0


LEGAL = Signal("ok", id=7)
BAD = {
    "id 0": [dataclasses.replace(LEGAL, id=0)],
    "id too large": [dataclasses.replace(LEGAL, id=2**32)],
    "id twice": [LEGAL, Signal("other", id=7)],
    "name twice": [LEGAL, Signal("OK", id=8)],
    "no name": [Signal("", id=1)],
    "quote": [Signal('a"b', id=1)],
    "apostrophe": [Signal("a'b", id=1)],
    "backslash": [Signal("a\\b", id=1)],
    "line end": [Signal("a\n", id=1)],
    "space at the end": [Signal("a ", id=1)],
    "not ASCII": [Signal("ä", id=1)],
    "long name": [Signal("a" * 257, id=1)],
    "group": [Signal("a", id=1, group="No Group")],
    "group with line end": [Signal("a", id=1, group="a\n")],
    "labels without ENUM": [Signal("a", id=1, labels=("x",))],
    "label with line end": [Signal("a", id=1, type=SignalType.ENUM, labels=("x\n",))],
    "long unit": [Signal("a", id=1, unit="x" * 33)],
    "unit with a control character": [Signal("a", id=1, unit="\t")],
    "scale": [Signal("a", id=1, scale=math.nan)],
    "policy": [Signal("a", id=1, policy=Policy(min=-math.inf))],
    "crossed limits": [Signal("a", id=1, policy=Policy(min=2.0, max=1.0))],
    "negative duration": [Signal("a", id=1, policy=Policy(silence_s_max=-1.0))],
    "too many": [Signal(f"s{i}", id=i + 1) for i in range(ENTRIES_MAX + 1)],
}


@pytest.mark.parametrize("signals", BAD.values(), ids=BAD.keys())
def test_an_illegal_catalog_is_refused(signals: list[Signal]) -> None:
    with pytest.raises(CatalogError):
        Catalog(signals)
    pb = catalog_pb2.Catalog()
    for signal in signals:
        if signal.id < 2**32:
            entry = pb.entries.add(
                id=signal.id, name=signal.name, unit=signal.unit, type=int(signal.type), group=signal.group,
                scale=signal.scale, offset=signal.offset, labels=signal.labels,
            )  # fmt: skip
            for name in ("min", "max", "silence_s_max"):
                if getattr(signal.policy, name) is not None:
                    setattr(entry.policy, name, getattr(signal.policy, name))
    if pb.entries:
        with pytest.raises(CatalogError):
            Catalog.decode(pb.SerializeToString())


def test_assemble_refuses_a_stolen_id_a_doubled_name_and_more_than_a_birth_holds() -> None:
    speed = builtin().by_name("Vehicle.Speed")
    with pytest.raises(CatalogError, match="leave the id 0"):
        assemble([Signal("mine", id=speed.id)])
    with pytest.raises(CatalogError, match="leave the id 0"):
        assemble([Signal("Vehicle.Speed", id=speed.id + 1)])
    with pytest.raises(CatalogError, match=r"Vehicle\.Speed"):
        assemble([Signal("Vehicle.Speed"), Signal("Vehicle.Speed")])
    with pytest.raises(CatalogError, match=str(CATALOG_BYTES_MAX)):
        assemble([Signal(f"can0.Message{i}.{'x' * 100}") for i in range(3_000)])


def test_unknown_signals_are_named_with_the_nearest() -> None:
    with pytest.raises(CatalogError, match=r"'Vehicle\.Sped'; did you mean Vehicle\.Speed\?"):
        builtin().by_name("Vehicle.Sped")
    with pytest.raises(CatalogError, match=r"no signal '\?\?'$"):
        builtin().by_name("??")
    with pytest.raises(CatalogError, match="id 65535"):
        builtin().by_id(65_535)
    assert "Vehicle.Speed" in builtin()
    assert "vehicle.speed" not in builtin()


def test_a_type_of_a_newer_van_reads_as_float64_and_none_is_refused() -> None:
    pb = catalog_pb2.Catalog()
    entry = pb.entries.add(id=1, name="a", type=99, labels=["x"], scale=1.0)  # type: ignore[arg-type]
    catalog = Catalog.decode(pb.SerializeToString())
    assert catalog.signals[0].type is SignalType.FLOAT64
    assert catalog.encode() == pb.SerializeToString()
    entry.type = 0  # type: ignore[assignment]
    with pytest.raises(CatalogError, match="no type"):
        Catalog.decode(pb.SerializeToString())


def test_entries_must_ascend() -> None:
    pb = catalog_pb2.Catalog()
    for signal_id in (2, 1):
        pb.entries.add(id=signal_id, name=f"s{signal_id}", type=1, scale=1.0)
    with pytest.raises(CatalogError, match="ascending"):
        Catalog.decode(pb.SerializeToString())


@settings(max_examples=300)
@given(st.binary(max_size=80))
def test_arbitrary_bytes_decode_or_are_a_catalog_error(data: bytes) -> None:
    try:
        catalog = Catalog.decode(data)
    except CatalogError:
        return
    assert catalog.encode() == data


@given(st.from_regex(SIGNAL_NAME, fullmatch=True))
def test_legal_names_are_printable_ascii(name: str) -> None:
    assert name.isascii()
    assert name.isprintable()
    assert name == name.strip()
    assert not set(name) & set("\"'`\\")
    assert Catalog([Signal(name, id=1)]).by_name(name).id == 1


def load_script() -> ModuleType:
    path = Path(str(resources.files("vantel"))) / "vss" / "make_catalog.py"
    spec = importlib.util.spec_from_file_location("make_catalog", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


VSS_6_0 = (1267, "6e8947c75e7ff794c75382343b69083abbda87d32d6d1842b06e86adc9cc95db")
"""Leaves of the export of tag v6.0 (commit 20c609bf95c7) by vss-tools 6.0.0, and SHA-256 of the csv."""


def test_vss_is_there_whole_and_the_catalog_is_made_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(str(resources.files("vantel"))) / "vss"
    export = gzip.decompress((folder / "vss_6.0.csv.gz").read_bytes())
    assert hashlib.sha256(export).hexdigest() == VSS_6_0[1]
    leaves = [row for row in csv.DictReader(export.decode().splitlines()) if row["Type"] != "branch"]
    assert len(leaves) == VSS_6_0[0]
    for row in leaves:
        signal = builtin().by_name(row["Signal"])
        assert signal.unit == row["Unit"], signal.name
        assert not signal.labels or list(signal.labels) == ast.literal_eval(row["Allowed"])
    assert {signal.name for signal in builtin()} - {row["Signal"] for row in leaves} == {
        signal.name for signal in builtin() if signal.name.startswith("Vehicle.Robovan.")
    }
    script = load_script()
    copy = tmp_path / "catalog.csv"
    copy.write_bytes((folder / "catalog.csv").read_bytes())
    monkeypatch.setattr(script, "CATALOG", copy)
    script.main([str(folder / "vss_6.0.csv.gz"), str(folder / "overlay.csv")])
    assert copy.read_bytes() == (folder / "catalog.csv").read_bytes()


@pytest.mark.parametrize(
    "part",
    [
        "Lidar.Front",
        "Lidar.Rear",
        "Camera.Front",
        "Camera.RearLeft",
        "Radar.Front",
        "RemoteAssistance",
        "Cargo.Door.Left",
    ],
)
def test_the_overlay_has_what_vss_lacks_for_a_van_without_a_driver(part: str) -> None:
    names = [s.name for s in builtin() if s.name.startswith(f"Vehicle.Robovan.{part}.")]
    assert any(name.endswith((".State", ".IsOpen")) for name in names)


def test_the_script_gives_ids_to_new_names_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = load_script()
    vss = tmp_path / "vss.csv"
    vss_header = "Signal,Type,DataType,Deprecated,Unit,Min,Max,Desc,Comment,Allowed,Default\n"
    overlay = tmp_path / "overlay.csv"
    overlay_header = "name,type,unit,min,max,labels,group,comment\n"
    monkeypatch.setattr(script, "CATALOG", tmp_path / "catalog.csv")

    def run(vss_names: list[str], overlay_rows: list[str]) -> dict[str, dict[str, str]]:
        vss.write_text(vss_header + "".join(f"{name},sensor,float,,,,,,,,\n" for name in vss_names))
        overlay.write_text(overlay_header + "".join(row + "\n" for row in overlay_rows))
        script.main([str(vss), str(overlay)])
        with (tmp_path / "catalog.csv").open(newline="") as lines:
            return {row["name"]: row for row in csv.DictReader(lines)}

    first = run(["Vehicle.B", "Vehicle.C"], ["Vehicle.Robovan.X,BOOL,,,,,adas,", "Vehicle.B,,,0,9,,,"])
    assert {name: row["id"] for name, row in first.items()} == {
        "Vehicle.B": "1", "Vehicle.C": "2", "Vehicle.Robovan.X": "3",
    }  # fmt: skip
    assert (first["Vehicle.B"]["min"], first["Vehicle.B"]["max"]) == ("0", "9")
    second = run(["Vehicle.A", "Vehicle.C"], ["Vehicle.Robovan.X,BOOL,,,,,adas,"])
    assert {name: row["id"] for name, row in second.items()} == {
        "Vehicle.B": "1", "Vehicle.C": "2", "Vehicle.Robovan.X": "3", "Vehicle.A": "4",
    }  # fmt: skip
    with pytest.raises(SystemExit, match="must not become"):
        run(["Vehicle.A"], ["Vehicle.Robovan.X,FLOAT64,,,,,adas,"])
    with pytest.raises(SystemExit, match="only limits"):
        run(["Vehicle.A"], ["Vehicle.A,FLOAT64,,,,,adas,"])
    with pytest.raises(SystemExit, match="has no type"):
        run(["Vehicle.A"], ["Vehicle.Robovan.Y,,,,,,adas,"])
    with pytest.raises(SystemExit, match=r"Vehicle\.A stands there twice"):
        run(["Vehicle.A"], ["Vehicle.A,,,0,9,,,", "Vehicle.A,,,0,8,,,"])
    with pytest.raises(SystemExit, match="no type FLOAT; known are"):
        run(["Vehicle.A"], ["Vehicle.Robovan.Y,FLOAT,,,,,adas,"])
    with pytest.raises(SystemExit, match="min 9 is above max 0"):
        run(["Vehicle.A"], ["Vehicle.A,,,9,0,,,"])
