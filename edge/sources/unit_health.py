"""States of systemd units to levels of health, and levels to a tree. Pure.

A unit that the settings name is meant to run: failed, absent or inactive is an error, except a oneshot that ended well. A
restart, or a change of state that has not ended, is a warning for hold_s. The level of a group is the worst of its units, the root the
worst of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edge.health_events import ERROR, OK, STALE, WARN

STATES = ("UNKNOWN", "INACTIVE", "ACTIVATING", "ACTIVE", "RELOADING", "DEACTIVATING", "FAILED")
"""Labels of a unit's state: org.freedesktop.systemd1(5), property ActiveState."""
TRANSIENT = frozenset({"activating", "reloading", "deactivating"})


@dataclass(frozen=True, slots=True)
class UnitState:
    """What systemd says of a unit: LoadState, ActiveState, and of services NRestarts, Result and Type."""

    load: str
    active: str
    restarts: int = 0
    result: str = "success"
    kind: str = "simple"

    @property
    def code(self) -> int:
        """Place in STATES."""
        name = self.active.upper()
        return STATES.index(name) if name in STATES else 0

    @property
    def watchdog(self) -> bool:
        """The last end of it was by its watchdog."""
        return self.result == "watchdog"


class UnitLevels:
    """Levels of units over time: remembers when each was last restarted."""

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self._restarts: dict[str, int] = {}
        self._warned_s: dict[str, float] = {}

    def level(self, name: str, state: UnitState | None, now_s: float) -> int:
        """Level of a unit now; None: systemd could not be asked."""
        if state is None:
            return STALE
        before = self._restarts.get(name, state.restarts)
        self._restarts[name] = state.restarts
        if state.restarts > before:
            self._warned_s[name] = now_s
        if state.active == "failed" or state.load != "loaded":
            return ERROR
        if state.active == "inactive":
            return OK if state.kind == "oneshot" and state.result == "success" else ERROR
        held = now_s - self._warned_s.get(name, float("-inf")) < self._hold_s
        return WARN if held or state.active in TRANSIENT or state.code == 0 else OK


def worst(levels: Iterable[int]) -> int:
    """The worst level, OK of none."""
    return max(levels, default=OK)


def tree(levels: Mapping[str, int], groups: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Level of each group, and of the root under the name ""."""
    return {"": worst(levels.values())} | {
        group: worst(levels[unit] for unit in units) for group, units in groups.items()
    }
