"""The VSS overlay that says which bus signals become which catalog names.

A .vspec file (YAML of the COVESA Vehicle Signal Specification), in which a node has an entry `dbc:` with the bus signal
and, if need be, its unit, or scale and offset to the unit of the catalog:

    Vehicle.Speed:
      type: sensor
      datatype: float
      dbc: {signal: can0.ESP.VehicleSpeed, scale: 1.0, offset: 0.0}

What else a node says (unit, datatype, min, max) must not contradict the catalog, which decides.

-> map of bus signal to SignalMap, with the line of each. Every mistake is a RecordingError with file, line and fix.
"""

from __future__ import annotations

import difflib
import math
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from edge.settings import SignalMap
from edge.sources.errors import RecordingError
from vantel.catalog import builtin
from vantel.units import UnitError, canonical

_Pairs = dict[str, tuple[int, yaml.Node]]
KEYS = ("signal", "scale", "offset", "unit")
DATATYPES = (
    "boolean",
    "string",
    "float",
    "double",
    *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)),
)
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
        told = getattr(cause, "problem", None) or str(cause).partition("\n")[0]
        raise RecordingError(
            path, f"not YAML: {told}", "correct this line", mark.line + 1 if mark else None
        ) from cause
    if not isinstance(root, yaml.MappingNode):
        raise RecordingError(path, "it is no overlay", "begin each entry with a catalog name and a colon")
    mapping: dict[str, SignalMap] = {}
    lines: dict[str, int] = {}
    for name, (line, node) in _pairs(path, root, "write a catalog name").items():
        parts = _pairs(path, node, "write such as datatype") if isinstance(node, yaml.MappingNode) else {}
        _check_description(path, name, parts)
        _, dbc = parts.get("dbc", (line, None))
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
    for key, (where, value) in _pairs(path, node, f"known are {', '.join(KEYS)}").items():
        if key == "transform":
            raise RecordingError(path, f"{name}: transform is not known here", _LINEAR_FIX, where)
        if key not in KEYS:
            raise RecordingError(path, f"{name}: unknown key {key}", f"known are {', '.join(KEYS)}", where)
        if not isinstance(value, yaml.ScalarNode):
            raise RecordingError(path, f"{name}: {key} is a list or a table", "write one value", where)
        found[key] = _number(path, f"{name}: {key}", value) if key in {"scale", "offset"} else value.value
    if found.get("scale") == 0.0:
        raise RecordingError(path, f"{name}: scale 0 makes all values the same", "correct it", line)
    if "signal" not in found:
        raise RecordingError(path, f"{name}: dbc names no signal", "write signal: can0.Message.Signal", line)
    bus_signal = found.pop("signal")
    try:
        return SignalMap(signal=name, **found), bus_signal
    except ValidationError as cause:
        told = cause.errors()[0]["msg"].removeprefix("Value error, ")
        fix = f"the catalog has {name} in {builtin().by_name(name).unit or 'no unit'}"
        raise RecordingError(path, f"{name}: {told}", fix, line) from None


def _check_description(path: Path, name: str, parts: _Pairs) -> None:
    """Refuse a type, unit or range that is none, and a unit that is not the catalog's."""
    line, datatype = parts.get("datatype", (0, None))
    if datatype is not None and str(datatype.value).removesuffix("[]") not in DATATYPES:
        fix = f"known are {', '.join(DATATYPES)}"
        raise RecordingError(path, f"{name}: unknown datatype {datatype.value!r}", fix, line)
    line, unit = parts.get("unit", (0, None))
    if unit is not None and name in builtin():
        known = builtin().by_name(name).unit
        fix = f"the catalog has {known or 'no unit'}; that of the bus signal is written dbc: {{signal: ..., unit: ...}}"
        try:
            same = canonical(unit.value) == known
        except UnitError as cause:
            raise RecordingError(path, f"{name}: {cause}", fix, line) from None
        if not same:
            raise RecordingError(path, f"{name}: unit {unit.value}", fix, line)
    low, high = (
        _number(path, f"{name}: {key}", parts[key][1]) if key in parts else None for key in ("min", "max")
    )
    if low is not None and high is not None and low > high:
        raise RecordingError(path, f"{name}: min {low:g} is above max {high:g}", "swap them", parts["min"][0])


def _number(path: Path, what: str, node: yaml.Node) -> float:
    try:
        value = float(node.value)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise RecordingError(path, f"{what} is no number", "write such as 0.1", node.start_mark.line + 1)
    return value


def _pairs(path: Path, node: yaml.MappingNode, fix: str) -> _Pairs:
    """Line and value of each key. YAML lets a key stand twice, and the last would win in silence."""
    found: _Pairs = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise RecordingError(path, "a key is a list or a table", fix, line)
        if key.value in found:
            first = found[key.value][0]
            raise RecordingError(
                path, f"{key.value} stands in line {first} already", "remove one of them", line
            )
        found[key.value] = line, value
    return found
