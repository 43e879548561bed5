"""Catalogs as things to look at: where one comes from, what two differ in, and what VSS says of a signal.

A reference is "builtin", an edge settings file (.toml: the catalog that its sources make), or a catalog file as the agent keeps
them (state_dir/catalogs/HASH.catalog). -> vantel.catalog.Catalog. CatalogError, another ValueError of a source, or OSError for anything else.
"""

from __future__ import annotations

import csv
import functools
import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

from vantel.catalog import Catalog, CatalogError, Policy, Signal, builtin

_SHOWN = ("id", "type", "unit", "group", "labels", "scale", "offset", "simulated")


def load_catalog(reference: str) -> Catalog:
    """The catalog of a reference."""
    if reference == "builtin":
        return builtin()
    path = Path(reference)
    if path.suffix == ".toml":
        return _catalog_of_settings(path)
    try:
        return Catalog.decode(path.read_bytes())
    except CatalogError as cause:
        raise CatalogError(f"{path}: {cause}; give builtin, a .toml or a .catalog file") from None


def _catalog_of_settings(path: Path) -> Catalog:
    from edge import sources
    from edge.births import catalog_of
    from edge.clock import VanClock
    from edge.model import TextTable
    from edge.settings import SettingsError, load

    try:
        sections = load(path).sources
    except SettingsError as cause:
        raise CatalogError(str(cause)) from None
    clock, texts = VanClock(), TextTable()
    return catalog_of([sources.build(section, clock, texts, 0) for section in sections])[0]


@functools.lru_cache(maxsize=1)
def descriptions() -> dict[str, str]:
    """What VSS says of each of its signals, and the overlay's comments."""
    folder = resources.files("vantel").joinpath("vss")
    with folder.joinpath("vss_6.0.csv.gz").open("rb") as packed:
        text = gzip.decompress(packed.read()).decode("utf-8")
    found = {row["Signal"]: row["Desc"] for row in csv.DictReader(io.StringIO(text))}
    overlay = folder.joinpath("overlay.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(io.StringIO(overlay)):
        if row["comment"]:
            found[row["name"]] = " ".join(filter(None, [found.get(row["name"], ""), f"({row['comment']})"]))
    return found


def as_dict(signal: Signal) -> dict[str, Any]:
    """A signal as JSON; limits that are not set are left out."""
    out: dict[str, Any] = {"name": signal.name}
    for key in _SHOWN:
        value = getattr(signal, key)
        out[key] = value.name.lower() if key == "type" else list(value) if key == "labels" else value
    limits = {item.name: getattr(signal.policy, item.name) for item in fields(Policy)}
    out["policy"] = {key: value for key, value in limits.items() if value is not None}
    if signal.name in descriptions():
        out["description"] = descriptions()[signal.name]
    return out


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which a catalog differs from another: what is "added", "removed", or the name of a field."""

    name: str
    what: str
    before: Any = None
    after: Any = None


def differences(before: Catalog, after: Catalog) -> Iterator[Difference]:
    """In the order of names."""
    old = {signal.name: as_dict(signal) for signal in before}
    new = {signal.name: as_dict(signal) for signal in after}
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield Difference(name, "removed", old[name])
        elif name not in old:
            yield Difference(name, "added", None, new[name])
        else:
            for key in (*_SHOWN, "policy"):
                if old[name][key] != new[name][key]:
                    yield Difference(name, key, old[name][key], new[name][key])
