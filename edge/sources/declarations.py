"""Signals that other processes declared on the socket: which of them the catalog in use has, and which come with the next start.

The catalog of an agent is fixed while it runs. A signal declared for the first time is therefore remembered in a file, and
the agent starts anew by itself (`restart_due`), which costs a birth and a second of samples, once for each new set. Bounds:
SIGNALS_MAX signals, RESTARTS_MAX restarts within RESTARTS_WITHIN_S, TEXT_BYTES_MAX of names and labels, so that no client
can fill the catalog or keep the agent from its work. A file that cannot be read is no file; one that cannot be written
is told, and its signals are lost with the restart.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from vantel.catalog import Catalog, CatalogError, Signal, SignalType, builtin
from vantel.units import UnitError, conversion

SIGNALS_MAX = 1000
TEXT_BYTES_MAX = 64 * 1024
RESTARTS_MAX, RESTARTS_WITHIN_S = 3, 600.0
QUIET_S = 1.0
"""A restart waits until nothing new was declared for so long: clients often come together."""
_log = structlog.get_logger("socket")


class DeclarationError(ValueError):
    """A declaration that is refused as a whole; the text says why and what would do."""


@dataclass(frozen=True, slots=True)
class Binding:
    """Declared signals by their place: slot int32[n] of the source (-1: after the next start), linear map float64[n]."""

    slot: NDArray[np.int32]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    is_text: NDArray[np.bool_]

    @property
    def waiting(self) -> int:
        """Signals that are not collected yet."""
        return int(np.count_nonzero(self.slot < 0))


class Declarations:
    """The declared signals of one source. signals is fixed; bind() may add to what the next start has."""

    def __init__(self, path: Path, source: str) -> None:
        self._path = path
        self._source = source
        self._taken: frozenset[str] = frozenset()
        known, self._restarts = self._load()
        self._all = {signal.name.lower(): signal for signal in known}
        self.signals: tuple[Signal, ...] = tuple(known)
        self._slot = {signal.name.lower(): at for at, signal in enumerate(known)}
        self._new_at_s: float | None = None

    def leave_out(self, names: Collection[str]) -> None:
        """Names that other sources of this agent have: they keep them. To be called before signals is used."""
        self._taken = frozenset(name.lower() for name in names)
        self.signals = tuple(signal for signal in self.signals if signal.name.lower() not in self._taken)
        self._slot = {signal.name.lower(): at for at, signal in enumerate(self.signals)}

    def bind(self, declared: tuple[Signal, ...], now_s: float) -> Binding:
        """Slots and conversions of a declaration; DeclarationError when something of it cannot be."""
        named = [self._resolve(signal) for signal in declared]
        if len({signal.name.lower() for signal, _, _ in named}) != len(named):
            raise DeclarationError("a name is declared twice")
        new = [signal for signal, _, _ in named if signal.name.lower() not in self._all]
        if new:
            self._remember(new, now_s)
        slots = [self._slot.get(signal.name.lower(), -1) for signal, _, _ in named]
        return Binding(
            np.array(slots, np.int32),
            np.array([scale for _, scale, _ in named], np.float64),
            np.array([offset for _, _, offset in named], np.float64),
            np.array([signal.type is SignalType.STRING for signal, _, _ in named], np.bool_),
        )

    def restart_due(self, now_s: float) -> bool:
        """Whether the agent should start anew to take in what was declared. now_s: Unix time."""
        recent = [at for at in self._restarts if 0 <= now_s - at < RESTARTS_WITHIN_S]
        return self._new_at_s is not None and now_s - self._new_at_s >= QUIET_S and len(recent) < RESTARTS_MAX

    def restarting(self, now_s: float) -> None:
        """The agent starts anew now: counted in the file."""
        self._restarts = [*self._restarts[-RESTARTS_MAX:], now_s]
        self._save()

    def _resolve(self, signal: Signal) -> tuple[Signal, float, float]:
        """(signal as it goes into the catalog, scale, offset) of a declared one."""
        target = builtin().by_name(signal.name) if signal.name in builtin() else None
        if target is None:
            group = signal.group or self._source.lower()
            target = Signal(
                f"{self._source}.{signal.name}", 0, signal.unit, signal.type, group, labels=signal.labels
            )
            self._check(target)
            before = self._all.get(target.name.lower())
            if before is not None and (before.name, before.type) != (target.name, target.type):
                raise DeclarationError(
                    f"{signal.name} is {before.name} of type {before.type.name.lower()} since its first declaration; "
                    f"use another name, or remove it from {self._path} and restart the agent"
                )
            target = before or target
        if target.name.lower() in self._taken:
            raise DeclarationError(f"{target.name} comes from another source of this agent; use another name")
        if signal.unit == target.unit or not signal.unit:
            return target, 1.0, 0.0
        try:
            return target, *conversion(signal.unit, target.unit)
        except UnitError as cause:
            raise DeclarationError(
                f"{signal.name}: {cause}; the catalog has it in {target.unit or 'no unit'}"
            ) from None

    def _check(self, signal: Signal) -> None:
        try:
            Catalog([_numbered(signal)])
        except CatalogError as cause:
            raise DeclarationError(str(cause)) from None

    def _remember(self, new: list[Signal], now_s: float) -> None:
        size = sum(_text_bytes(signal) for signal in [*self._all.values(), *new])
        if len(self._all) + len(new) > SIGNALS_MAX or size > TEXT_BYTES_MAX:
            raise DeclarationError(
                f"{len(self._all)} signals are declared, at most {SIGNALS_MAX} with {TEXT_BYTES_MAX} bytes of names and "
                f"labels are allowed; remove those no longer sent from {self._path} and restart the agent"
            )
        self._all.update({signal.name.lower(): signal for signal in new})
        self._new_at_s = now_s
        self._save()
        _log.info("new signals declared", source=self._source, signals=[signal.name for signal in new][:20])

    def _load(self) -> tuple[list[Signal], list[float]]:
        try:
            raw = json.loads(self._path.read_text(encoding="utf-8"))
            signals = [_from_json(entry) for entry in raw["signals"][:SIGNALS_MAX]]
            Catalog(_numbered(signal, at) for at, signal in enumerate(signals, start=1))
            return signals, [float(at) for at in raw.get("restarts_unix_s", [])]
        except FileNotFoundError:
            return [], []
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as cause:
            _log.error("declared signals not read", path=str(self._path), cause=str(cause),
                       fix="correct or remove the file; clients declare again")  # fmt: skip
            return [], []

    def _save(self) -> None:
        known = [_to_json(signal) for signal in self._all.values()]
        text = json.dumps({"signals": known, "restarts_unix_s": self._restarts}, indent=1)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_suffix(".tmp")
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self._path)
        except OSError as cause:
            _log.error("declared signals not kept", path=str(self._path), cause=cause.strerror,
                       fix="make the folder writable for the agent")  # fmt: skip


def _numbered(signal: Signal, at: int = 1) -> Signal:
    """With an id, so that a catalog can check it."""
    return Signal(signal.name, at, signal.unit, signal.type, signal.group, labels=signal.labels)


def _text_bytes(signal: Signal) -> int:
    return len(signal.name) + len(signal.unit) + len(signal.group) + sum(map(len, signal.labels))


def _to_json(signal: Signal) -> dict[str, Any]:
    return {"name": signal.name, "unit": signal.unit, "type": signal.type.name.lower(), "group": signal.group,
            "labels": list(signal.labels)}  # fmt: skip


def _from_json(entry: dict[str, Any]) -> Signal:
    kind = SignalType[str(entry["type"]).upper()]
    return Signal(
        str(entry["name"]), 0, str(entry["unit"]), kind, str(entry["group"]), labels=tuple(entry["labels"])
    )
