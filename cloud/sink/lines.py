"""Line protocol of InfluxDB: fields with stamps -> lines, as bytes. Pure.

Fields of one group with one stamp share a line (many fields on a line cost the database a quarter of a line each).
Numbers are always floats, written with the shortest text that reads back to the same 64 bits; NaN and infinities have
no text and are counted. Texts are escaped; a text above TEXT_BYTES_MAX is counted with them. Stamps are Unix ns.
Lines come in order of group and time, fields in order of their names, so equal input in any order gives equal bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TEXT_BYTES_MAX = 60_000
"""The database refuses a text field of 64 KiB."""

Value = float | bool | str
_KEY = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ ", "\n": "_", "\r": "_", "\t": "_"})
_MEASUREMENT = str.maketrans({",": "\\,", " ": "\\ "})
_TEXT = str.maketrans({'"': '\\"', "\\": "\\\\"})


class Line(NamedTuple):
    """One line without its line end, and how many field values of signals and events it holds."""

    text: bytes
    fields: int


@dataclass(frozen=True, slots=True)
class FieldColumn:
    """Values of one field. t_ns: int64[n], ascending, Unix ns; values: n floats, bools or strs, all of one kind."""

    group: str
    name: str
    t_ns: NDArray[np.int64]
    values: Sequence[float] | Sequence[bool] | Sequence[str]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Lines, and how many values had no text form."""

    lines: list[Line]
    unrepresentable: int


def field_text(value: Value) -> str | None:
    """Text of one field value; None when it has none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode().translate(_TEXT)
        return f'"{text}"' if len(text.encode()) <= TEXT_BYTES_MAX else None
    return repr(value) if math.isfinite(value) else None


def series(measurement: str, van: str, group: str) -> str:
    """Measurement and tags; an empty group is no tag, for the database refuses an empty tag value."""
    tags = f",group={group.translate(_KEY)}" if group else ""
    return f"{measurement.translate(_MEASUREMENT)}{tags},van={van.translate(_KEY)}"


def encode_columns(measurement: str, van: str, columns: Iterable[FieldColumn]) -> Encoded:
    """Lines of many fields with many stamps each."""
    by_group: dict[str, list[FieldColumn]] = {}
    for column in columns:
        by_group.setdefault(column.group, []).append(column)
    lines: list[Line] = []
    unrepresentable = 0
    for group in sorted(by_group):
        texts: list[str] = []
        stamps: list[NDArray[np.int64]] = []
        for column in sorted(by_group[group], key=lambda item: item.name):
            column_texts, kept = _texts(column)
            texts += column_texts
            stamps.append(column.t_ns if kept is None else column.t_ns[kept])
            unrepresentable += len(column.t_ns) - len(column_texts)
        if texts:
            lines += _merge(series(measurement, van, group), texts, np.concatenate(stamps))
    return Encoded(lines, unrepresentable)


def encode_point(
    measurement: str, van: str, group: str, fields: Mapping[str, Value], t_ns: int, counted: bool = True
) -> Encoded:
    """One line of several fields. counted False: its fields are not counted as points."""
    texts = {name: field_text(fields[name]) for name in sorted(fields)}
    good = [f"{name.translate(_KEY)}={text}" for name, text in texts.items() if text is not None]
    if not good:
        return Encoded([], len(texts))
    text = f"{series(measurement, van, group)} {','.join(good)} {t_ns}"
    return Encoded([Line(text.encode(), len(good) if counted else 0)], len(texts) - len(good))


def _texts(column: FieldColumn) -> tuple[list[str], list[int] | None]:
    """name=value of every value that has a text, and the places of those when some have none."""
    key = f"{column.name.translate(_KEY)}="
    values = column.values
    if len(values) and type(values[0]) is float and all(map(math.isfinite, values)):  # type: ignore[arg-type]
        return [key + text for text in map(repr, values)], None
    texts = [field_text(value) for value in values]
    kept = [at for at, text in enumerate(texts) if text is not None]
    return [key + str(texts[at]) for at in kept], kept


def _merge(head: str, texts: list[str], t_ns: NDArray[np.int64]) -> list[Line]:
    """One line for each stamp."""
    order = np.argsort(t_ns, kind="stable")
    ordered = t_ns[order]
    firsts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    bounds = [*firsts.tolist(), len(texts)]
    stamps = ordered[firsts].tolist()
    sorted_texts = [texts[at] for at in order.tolist()]
    return [
        Line(f"{head} {','.join(sorted_texts[first:last])} {stamp}".encode(), last - first)
        for first, last, stamp in zip(bounds, bounds[1:], stamps, strict=False)
    ]
