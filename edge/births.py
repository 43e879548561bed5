"""Births: the catalog in use, made of what the sources declare and told to the cloud.

Each is kept on disk by its hash, so that an old one can be told again when the cloud asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import structlog

from edge.model import Source
from edge.queues import Outgoing
from vantel.catalog import Catalog, CatalogError, Signal, assemble
from vantel.identity import DeliveryClass, PayloadKind
from vantel.payloads import Birth

CATALOGS_MAX = 32
AGENT_VERSION = "0.1.0"

_log = structlog.get_logger("births")


class Births:
    """Makes births; remembers the last CATALOGS_MAX catalogs of this van in a folder."""

    def __init__(self, folder: Path, catalog: Catalog, boot_id: bytes, sources: Sequence[str]) -> None:
        self._folder = folder
        self._catalog = catalog
        self._boot_id = boot_id
        self._sources = tuple(sources)

    def remember(self) -> None:
        """Keep the catalog in use; a disk that cannot be written costs only the memory of old catalogs."""
        path = self._path(self._catalog.hash)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".tmp")
            temporary.write_bytes(self._catalog.encode())
            temporary.replace(path)
            kept = sorted(self._folder.glob("*.catalog"), key=lambda p: p.stat().st_mtime, reverse=True)
            for old in kept[CATALOGS_MAX:]:
                old.unlink()
        except OSError as cause:
            _log.warning(
                "catalog not kept", path=str(path), cause=cause.strerror, fix="check the state directory"
            )

    def current(self, t_mono_ns: int) -> Outgoing:
        """Birth of the catalog in use."""
        return self._birth(self._catalog, t_mono_ns)

    def again(self, hashes: Sequence[int], t_mono_ns: int) -> list[Outgoing]:
        """Births for the hashes that the cloud does not know; those that this van never had are left out."""
        births = []
        for catalog_hash in dict.fromkeys(hashes):
            catalog = self.find(catalog_hash)
            if catalog is None:
                _log.warning("asked for an unknown catalog", catalog_hash=f"{catalog_hash:016x}")
            else:
                births.append(self._birth(catalog, t_mono_ns))
        return births

    def find(self, catalog_hash: int) -> Catalog | None:
        """A catalog that this van has had; None for one that it does not remember."""
        if catalog_hash == self._catalog.hash:
            return self._catalog
        try:
            return Catalog.decode(self._path(catalog_hash).read_bytes())
        except (OSError, CatalogError):
            return None

    def _birth(self, catalog: Catalog, t_mono_ns: int) -> Outgoing:
        birth = Birth(catalog.encode(), catalog.hash, AGENT_VERSION, t_mono_ns, self._boot_id, self._sources)
        return Outgoing(DeliveryClass.P0, PayloadKind.BIRTH, birth.encode(), catalog.hash)

    def _path(self, catalog_hash: int) -> Path:
        return self._folder / f"{catalog_hash:016x}.catalog"


def catalog_of(parts: Sequence[Source]) -> tuple[Catalog, list[np.ndarray]]:
    """The catalog in use and, for each source, int32[signals of the source]: its rows in the catalog."""
    _make_way(parts)
    try:
        return _assembled(parts)
    except CatalogError as cause:
        declaring = [source for source in parts if isinstance(source, Declaring)]
        if not any(source.signals() for source in declaring):
            raise
        # other processes declared more than a catalog holds: the van goes on without theirs
        _log.error(
            "declared signals left out", cause=str(cause), fix="remove signals from the declarations file"
        )
        for source in declaring:
            source.leave_out([signal.name for part in parts for signal in part.signals()])
        return _assembled(parts)


@runtime_checkable
class Declaring(Protocol):
    """A source whose signals other processes declare, also while the agent runs: it gives way to every other source."""

    def leave_out(self, names: Sequence[str]) -> None:
        """Names that it must not have."""
        ...

    def restart_due(self) -> bool:
        """Whether new signals wait for a catalog that has them."""
        ...


def _make_way(parts: Sequence[Source]) -> None:
    """A name that two sources have is left to the one that the settings name it for."""
    names = [signal.name for part in parts if not isinstance(part, Declaring) for signal in part.signals()]
    for source in parts:
        if isinstance(source, Declaring):
            source.leave_out(names)
            names += [signal.name for signal in source.signals()]


def _assembled(parts: Sequence[Source]) -> tuple[Catalog, list[np.ndarray]]:
    declared: list[Signal] = []
    owner: dict[str, str] = {}
    for source in parts:
        for signal in source.signals():
            if signal.name in owner:
                raise ValueError(
                    f"signal {signal.name} comes from {owner[signal.name]} and from {source.name}: "
                    "rename or map one of them"
                )
            owner[signal.name] = source.name
            declared.append(signal)
    catalog = assemble(declared)
    row = {signal.name: at for at, signal in enumerate(catalog.signals)}
    rows = [np.array([row[s.name] for s in source.signals()], dtype=np.int32) for source in parts]
    return catalog, rows
