"""What a catalog may hold and had better not: findings with the rule, the reason and the fix.

Catalog -> Finding. Errors are what makes values wrong or names clash; warnings are what makes a signal harder to use. VSS's own
signals are taken as they are; the rules of its style (CamelCase, booleans begin with Is) hold for what we add to its tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from vantel.catalog import LOCAL_ID_FIRST, Catalog, Signal, SignalType, builtin
from vantel.units import UnitError, canonical, conversion

_PART = re.compile(r"[A-Z][A-Za-z0-9]*|[A-Z0-9]+(?:_[A-Z0-9]+)*|[A-Z][A-Za-z0-9_]*")
_FLOATS = {SignalType.FLOAT64, SignalType.FLOAT32}


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding; rule is its short name."""

    level: Literal["error", "warning"]
    signal: str
    rule: str
    text: str


def lint(catalog: Catalog) -> Iterator[Finding]:
    """All findings, in the order of the catalog."""
    for signal in catalog:
        yield from _unit(signal)
        yield from _labels(signal)
        yield from _range(signal)
        if signal.name.startswith("Vehicle.Robovan."):
            yield from _style(signal)
        if signal.id >= LOCAL_ID_FIRST:
            yield from _shadow(signal)


def _unit(signal: Signal) -> Iterator[Finding]:
    try:
        spelled = canonical(signal.unit)
    except UnitError as cause:
        # a local signal keeps what its DBC says: no value is wrong for it
        level: Literal["error", "warning"] = "warning" if signal.id >= LOCAL_ID_FIRST else "error"
        yield Finding(level, signal.name, "unit-unknown", str(cause))
        return
    if spelled != signal.unit:
        yield Finding(
            "warning", signal.name, "unit-spelling", f"unit {signal.unit} is spelled {spelled} in VSS"
        )
    if signal.unit and signal.type in {SignalType.BOOL, SignalType.ENUM}:
        yield Finding("error", signal.name, "unit-of-state", f"a {signal.type.name.lower()} has no unit")


def _labels(signal: Signal) -> Iterator[Finding]:
    if signal.type is SignalType.ENUM and not signal.labels:
        yield Finding("warning", signal.name, "enum-without-labels", "the page can only show its codes")
    named = [label for label in signal.labels if label]
    if len(set(named)) != len(named):
        yield Finding("error", signal.name, "label-twice", "two codes have the same label")


def _range(signal: Signal) -> Iterator[Finding]:
    low, high = signal.policy.min, signal.policy.max
    if signal.type in {SignalType.BOOL, SignalType.ENUM, SignalType.STRING} and (
        low is not None or high is not None
    ):
        yield Finding(
            "error", signal.name, "range-of-state", "a state has no plausible range; remove min and max"
        )
    if signal.name.startswith("Vehicle.Robovan.") and signal.type in _FLOATS and low is None and high is None:
        yield Finding("warning", signal.name, "no-range", "a broken sensor or mapping would not be noticed")


def _style(signal: Signal) -> Iterator[Finding]:
    last = signal.name.rpartition(".")[2]
    if signal.type is SignalType.BOOL and not last.startswith(("Is", "Has")):
        yield Finding("error", signal.name, "boolean-name", f"begin the last part with Is: Is{last}")
    for part in signal.name.split("."):
        if not _PART.fullmatch(part):
            yield Finding("error", signal.name, "name-style", f"{part} is not CamelCase of A-Z, a-z, 0-9")


def _shadow(signal: Signal) -> Iterator[Finding]:
    """A local name that looks like a built-in one: it would stand beside it in every query."""
    last = signal.name.rpartition(".")[2].lower()
    if len(last) < 8 or signal.name.startswith("Vehicle."):
        return
    for known in builtin():
        if known.name.rpartition(".")[2].lower() == last and _comparable(signal.unit, known.unit):
            yield Finding("warning", signal.name, "built-in-name", f"is it {known.name}? then map it")
            return


def _comparable(a: str, b: str) -> bool:
    try:
        conversion(a, b)
    except UnitError:
        return False
    return True
