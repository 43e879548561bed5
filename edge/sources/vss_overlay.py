"""The VSS overlay that says which bus signals become which catalog names.

A .vspec file (YAML of the COVESA Vehicle Signal Specification), in which a node has an entry `dbc:` with the bus signal
and, if need be, its unit, or scale and offset to the unit of the catalog:

    Vehicle.Speed:
      type: sensor
      datatype: float
      dbc: {signal: can0.ESP.VehicleSpeed, scale: 1.0, offset: 0.0}

-> map of bus signal to SignalMap, with the line of each. Every mistake is a RecordingError with file, line and fix.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from edge.settings import SignalMap
from edge.sources.errors import RecordingError
from vantel.catalog import builtin

KEYS = ("signal", "scale", "offset", "unit")
_LINEAR_FIX = "write unit:, or scale: and offset:; nothing else is computed on the van"


def load_overlay(path: Path) -> tuple[dict[str, SignalMap], dict[str, int]]:
    """(bus signal to catalog name, bus signal to line)."""
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    except OSError as cause:
        raise RecordingError(
            path, f"cannot read it: {cause.strerror}", "correct {key}", key="overlay"
        ) from cause
    except (yaml.YAMLError, UnicodeDecodeError) as cause:
        mark = getattr(cause, "problem_mark", None)
        told = getattr(cause, "problem", None) or str(cause)
        raise RecordingError(
            path, f"not YAML: {told}", "correct this line", mark.line + 1 if mark else None
        ) from cause
    if not isinstance(root, yaml.MappingNode):
        raise RecordingError(path, "it is no overlay", "begin each entry with a catalog name and a colon")
    mapping: dict[str, SignalMap] = {}
    lines: dict[str, int] = {}
    for key, node in root.value:
        name, line = str(key.value), key.start_mark.line + 1
        dbc = _value(node, "dbc")
        if dbc is None:
            continue  # a node that describes a signal and maps nothing
        if name not in builtin():
            near = difflib.get_close_matches(name, [signal.name for signal in builtin()], n=1)
            fix = f"did you mean {near[0]}?" if near else "docs/signals.md lists them"
            raise RecordingError(path, f"no signal {name} in the catalog", fix, line)
        target, entry = _entry(path, name, dbc)
        where = dbc.start_mark.line + 1
        if entry in mapping:
            first = f"{entry} becomes {mapping[entry].signal} in line {lines[entry]} already"
            raise RecordingError(path, first, "remove one of them", where)
        mapping[entry], lines[entry] = target, where
    return mapping, lines


def _entry(path: Path, name: str, node: yaml.Node) -> tuple[SignalMap, str]:
    """What the entry dbc: of a node says."""
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        raise RecordingError(
            path, f"{name}: dbc is no table", "write dbc: {signal: can0.Message.Signal}", line
        )
    found: dict[str, Any] = {}
    for key, value in node.value:
        where = key.start_mark.line + 1
        if key.value == "transform":
            raise RecordingError(path, f"{name}: transform is not known here", _LINEAR_FIX, where)
        if key.value not in KEYS:
            raise RecordingError(
                path, f"{name}: unknown key {key.value}", f"known are {', '.join(KEYS)}", where
            )
        found[key.value] = value.value
        if key.value in {"scale", "offset"}:
            try:
                found[key.value] = float(value.value)
            except (TypeError, ValueError):
                raise RecordingError(
                    path, f"{name}: {key.value} is no number", "write such as 0.1", where
                ) from None
    if not isinstance(found.get("signal"), str):
        raise RecordingError(path, f"{name}: dbc names no signal", "write signal: can0.Message.Signal", line)
    bus_signal = found.pop("signal")
    try:
        return SignalMap(signal=name, **found), bus_signal
    except ValidationError as cause:
        told = cause.errors()[0]["msg"].removeprefix("Value error, ")
        fix = f"the catalog has {name} in {builtin().by_name(name).unit or 'no unit'}"
        raise RecordingError(path, f"{name}: {told}", fix, line) from None


def _value(node: yaml.Node, key: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == key:
                return value
    return None
