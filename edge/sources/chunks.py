"""What every reader of a recording gives: chunks of samples and the signals they belong to.

Chunk -> the replay's timeline. A reader declares its signals as it meets them (a CAN log tells its channels only
while it is read); SlotTable gives them slots, makes names legal and unique, and applies the map of the settings.
A wrong key of the map raises RecordingError with the nearest name.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from edge.settings import SignalMap
from edge.sources.errors import RecordingError
from edge.sources.vss_overlay import load_overlay
from vantel.catalog import CatalogError, Policy, Signal, SignalType, builtin

NAME_CHARS_MAX = 200
UNIT_CHARS_MAX = 32
_NOT_IN_NAMES = re.compile(r"[^!#-&(-\[\]-_a-~]+")
_NOT_IN_GROUPS = re.compile(r"[^a-z0-9_]+")
_log = structlog.get_logger("replay")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Samples in file order. slot: int32[n] of the reader. t_ns: int64[n], Unix or from 0. value: float64[n]."""

    slot: NDArray[np.int32]
    t_ns: NDArray[np.int64]
    value: NDArray[np.float64]


class Recording(Protocol):
    """A recorded file. chunks() starts from the beginning at each call and resets counts."""

    path: Path
    counts: Counter[str]
    slots: SlotTable

    def chunks(self) -> Iterator[Chunk]:
        """Samples of the whole file."""
        ...

    def finish(self) -> None:
        """After one whole pass: RecordingError when the file cannot be what the settings say it is."""
        ...


def legal_name(text: str) -> str:
    """text as a part of a signal name: printable ASCII without quotes, backslash and blanks, bounded."""
    return _NOT_IN_NAMES.sub("_", text.strip())[:NAME_CHARS_MAX] or "_"


def legal_group(text: str) -> str:
    """text as a signal group."""
    return _NOT_IN_GROUPS.sub("_", text.lower())[:64] or "recording"


class SlotTable:
    """Signals of one recording by slot, with the linear map of each."""

    def __init__(
        self, path: Path, mapping: Mapping[str, SignalMap | str], overlay: Path | None = None
    ) -> None:
        """mapping: of the settings. overlay: file with more of it; RecordingError when both map one signal."""
        self._path = path
        self._overlay = overlay
        self._lines: Mapping[str, int] = {}
        self.mapping = dict(mapping)
        if overlay is not None:
            more, self._lines = load_overlay(overlay)
            if twice := [key for key in more if key in mapping]:
                raise self._error(
                    twice[0], f"{twice[0]} is mapped in the settings too", "map it in one place"
                )
            self.mapping.update(more)
        self._map_keys_used: set[str] = set()
        self._candidates: set[str] = set()
        self._taken: set[str] = set()
        self._mapped_from: dict[str, str] = {}
        self._scale: list[float] = []
        self._offset: list[float] = []
        self._linear: (
            tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]] | tuple[()] | None
        ) = None
        self.signals: list[Signal] = []

    def add(self, name: str, keys: tuple[str, ...], *, unit: str = "", group: str = "",
            kind: SignalType = SignalType.FLOAT64, scale: float = 1.0, offset: float = 0.0,
            policy: Policy | None = None) -> int:  # fmt: skip
        """Declare a signal; keys are the names by which the map may call it, the most exact first. Returns the slot.

        scale, offset: what the source's own integer was multiplied with and added to; they go into the catalog, joined
        with those of the map.
        """
        self._candidates.update(keys)
        key = next((key for key in keys if key in self.mapping), None)
        map_scale, map_offset = 1.0, 0.0
        if key is None:
            signal = Signal(
                name=self._unique(name),
                unit=_legal_unit(unit),
                type=kind,
                group=group,
                policy=policy or Policy(),
            )
        else:
            self._map_keys_used.add(key)
            entry = self.mapping[key]
            target = SignalMap(signal=entry) if isinstance(entry, str) else entry
            signal = self._target(key, target, name, kind)
            map_scale, map_offset = target.scale, target.offset
        self.signals.append(replace(signal, scale=scale * map_scale, offset=offset * map_scale + map_offset))
        self._scale.append(map_scale)
        self._offset.append(map_offset)
        self._linear = None
        return len(self.signals) - 1

    def apply(self, slot: NDArray[np.int32], value: NDArray[np.float64]) -> NDArray[np.float64]:
        """value * scale + offset for the mapped signals; the others keep every bit."""
        if self._linear is None:
            scale, offset = np.array(self._scale), np.array(self._offset)
            mapped = (scale != 1.0) | (offset != 0.0)
            self._linear = (scale, offset, mapped) if mapped.any() else ()
        if not self._linear:
            return value
        scale, offset, mapped = self._linear
        moved = mapped[slot]
        return np.where(moved, value * scale[slot] + offset[slot], value)

    def check_map(self, defined: Collection[str] = ()) -> None:
        """RecordingError when a key of the map calls no signal of the recording.

        defined: names that may be called although the recording has no sample of them.
        """
        self._candidates.update(defined)
        for key in self.mapping:
            if key in defined and key not in self._map_keys_used:
                _log.warning("mapped signal does not occur", recording=str(self._path), key=key)
            elif key not in self._map_keys_used:
                near = difflib.get_close_matches(key, sorted(self._candidates), n=1, cutoff=0.0)
                hint = f"did you mean {near[0]}?" if near else "the recording has no signals"
                raise self._error(key, f"map: no signal {key!r} in it", hint)

    def _error(self, key: str, cause: str, fix: str) -> RecordingError:
        """An error about a key of the map, where it stands."""
        if self._overlay is not None and key in self._lines:
            return RecordingError(self._overlay, cause, fix, self._lines[key])
        return RecordingError(self._path, cause, fix)

    def _target(self, key: str, target: SignalMap, name: str, kind: SignalType) -> Signal:
        try:
            signal = builtin().by_name(target.signal)
        except CatalogError as cause:
            raise self._error(key, f"map: {key!r}: {cause}", "use a name of the catalog") from cause
        if (signal.type is SignalType.STRING) != (kind is SignalType.STRING):
            fix = (
                "map a text column (text_columns) to it"
                if kind is not SignalType.STRING
                else "map it to a text signal"
            )
            raise self._error(
                key, f"map: {key!r} and {signal.name} differ, one is text, one is a number", fix
            )
        if signal.name in self._mapped_from:
            raise self._error(
                key, f"map: {self._mapped_from[signal.name]} and {name} both become {signal.name}",
                f"give the key with its channel, such as {name!r}",
            )  # fmt: skip
        self._mapped_from[signal.name] = name
        return replace(signal, id=0)

    def _unique(self, name: str) -> str:
        """Catalog names are unique without regard to case; a later twin gets a number."""
        unique, number = name, 2
        while unique.lower() in self._taken:
            unique, number = f"{name}_{number}", number + 1
        self._taken.add(unique.lower())
        return unique


def _legal_unit(unit: str) -> str:
    return "".join(char for char in unit if char.isprintable())[:UNIT_CHARS_MAX]
