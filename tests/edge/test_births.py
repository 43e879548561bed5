"""Births.

Goal: the catalog in use is told, and an older one is told again when the cloud asks, also after a restart.
Method: two runs on one folder with different catalogs.
"""

from __future__ import annotations

from pathlib import Path

from edge.births import CATALOGS_MAX, Births
from vantel.catalog import Catalog, Signal, assemble
from vantel.payloads import Birth

BOOT = bytes(range(16))


def catalog(name: str) -> Catalog:
    return assemble([Signal(name=name, group="test"), Signal(name="Vehicle.Speed")])


def test_birth_holds_the_whole_catalog(tmp_path: Path) -> None:
    births = Births(tmp_path, catalog("a.b"), BOOT, ["replay"])
    birth = Birth.decode(births.current(5).payload)
    assert Catalog.decode(birth.catalog).hash == birth.catalog_hash == catalog("a.b").hash
    assert (birth.t_mono_ns, birth.boot_id, birth.sources) == (5, BOOT, ("replay",))


def test_an_old_catalog_is_told_again_after_a_restart(tmp_path: Path) -> None:
    old = catalog("a.old")
    Births(tmp_path, old, BOOT, []).remember()
    now = Births(tmp_path, catalog("a.new"), BOOT, [])
    again = now.again([old.hash, old.hash, 12345], 7)
    assert [item.catalog_hash for item in again] == [old.hash]
    assert Catalog.decode(Birth.decode(again[0].payload).catalog).hash == old.hash


def test_the_memory_of_catalogs_is_bounded(tmp_path: Path) -> None:
    for number in range(CATALOGS_MAX + 5):
        Births(tmp_path, catalog(f"a.n{number}"), BOOT, []).remember()
    assert len(list(tmp_path.glob("*.catalog"))) == CATALOGS_MAX


def test_a_folder_that_cannot_be_made_costs_only_the_memory(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way", encoding="utf-8")
    births = Births(blocked / "catalogs", catalog("a.b"), BOOT, [])
    births.remember()
    assert births.current(1).payload
