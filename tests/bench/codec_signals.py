"""Signals to measure codecs on: recordings of a folder, or arrays of an .npz.

Folder -> list of Signal. CAN logs (candump, BLF, gzip too) are decoded with the DBC files beside them: of those, a
channel takes the one that knows most of its frames. CSV files give a signal a column, the first column is the time in s.
tegrastats logs have one line a second. What is shorter than 64 samples is left out.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import can
import cantools
import numpy as np
from numpy.typing import NDArray

from edge.sources.tegrastats import parse_line

SAMPLES_MIN = 64
TIME_PREFIX = "t|"
"""Key of the times of a signal in an .npz: this, then the key of the signal; int64 ns."""
_CANDUMP = re.compile(r"\((\d+\.\d+)\) (\S+) ([0-9A-Fa-f]+)#([0-9A-Fa-f]*)$")

Frame = tuple[float, str, int, bytes]
"""(s, channel, id, data)."""


@dataclass(frozen=True)
class Signal:
    """values [n]; t_ns int64[n] or None where a source has no stamps of its own."""

    name: str
    group: str
    values: NDArray[Any]
    t_ns: NDArray[np.int64] | None = None


def load(path: Path) -> list[Signal]:
    """Signals of an .npz file, or of all recordings below a folder."""
    found = _npz(path) if path.suffix == ".npz" else _folder(path)
    return [signal for signal in found if len(signal.values) >= SAMPLES_MIN]


def _npz(path: Path) -> Iterator[Signal]:
    with np.load(path) as arrays:
        for key in arrays.files:
            if not key.startswith(TIME_PREFIX) and arrays[key].ndim == 1 and arrays[key].dtype.kind in "fiub":
                group = re.split(r"[|/]", key)[0] if re.search(r"[|/]", key) else "npz"
                stamps = arrays[TIME_PREFIX + key] if TIME_PREFIX + key in arrays.files else None
                yield Signal(key, group, arrays[key], stamps)


def _folder(root: Path) -> Iterator[Signal]:
    for path in sorted(p for p in root.rglob("*") if p.is_file() and "reference" not in p.parts):
        name = path.name.removesuffix(".gz")
        group = path.relative_to(root).parts[0] + "/" + re.sub(r"_\d+(\.\d+)?hz|_20\d\d|\..*", "", name)
        if name.endswith(".csv") and path.name != "MANIFEST.csv":
            yield from _csv(path, group)
        elif name.endswith(".tegrastats.log"):
            yield from _tegrastats(path, group)
        elif name.endswith((".log", ".blf")) and list(path.parent.glob("*.dbc")):
            yield from _can(path, group)


def _text(path: Path) -> io.StringIO:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8", "replace")
    return io.StringIO(text, newline="")


def _csv(path: Path, group: str) -> Iterator[Signal]:
    with _text(path) as lines:
        header, *rows = csv.reader(lines)
    for at, name in enumerate(header[1:], 1):
        try:
            pairs = [(float(row[0]), float(row[at])) for row in rows if len(row) > at and row[at]]
        except ValueError:
            continue
        if pairs:
            stamps, values = np.array(pairs).T
            yield Signal(name, group, values.copy(), np.rint(stamps * 1e9).astype(np.int64))


def _tegrastats(path: Path, group: str) -> Iterator[Signal]:
    columns: dict[str, list[float]] = {}
    with _text(path) as lines:
        for line in lines:
            for name, _unit, _factor, number in parse_line(line):
                columns.setdefault(name, []).append(number)
    for name, numbers in columns.items():
        yield Signal(name, group, np.array(numbers))


def _can(path: Path, group: str) -> Iterator[Signal]:
    frames = list(_frames(path))
    counts = Counter((channel, number) for _, channel, number, _ in frames)
    databases = []
    for dbc in sorted(path.parent.glob("*.dbc")):
        database = cantools.database.load_file(dbc, strict=False)
        databases.append({message.frame_id: message for message in database.messages})
    best = {
        channel: max(
            databases, key=lambda known: sum(n for (c, i), n in counts.items() if c == channel and i in known)
        )
        for channel in {channel for channel, _ in counts}
    }
    columns: dict[str, tuple[list[float], list[float]]] = {}
    for t_s, channel, number, data in frames:
        message = best[channel].get(number)
        if message is None:
            continue
        try:
            decoded = message.decode(data, decode_choices=False)
        except (cantools.Error, ValueError):
            continue
        for name, value in decoded.items():
            if isinstance(value, (int, float)):
                stamps, values = columns.setdefault(f"{message.name}.{name}", ([], []))
                stamps.append(t_s)
                values.append(float(value))
    for name, (stamps, values) in columns.items():
        yield Signal(name, group, np.array(values), np.rint(np.array(stamps) * 1e9).astype(np.int64))


def _frames(path: Path) -> Iterable[Frame]:
    if path.name.endswith(".blf"):
        with can.BLFReader(path) as reader:
            for frame in reader:
                yield frame.timestamp, str(frame.channel), frame.arbitration_id, bytes(frame.data)
        return
    with _text(path) as lines:
        for line in lines:
            if match := _CANDUMP.match(line.strip()):
                t_s, channel, number, data = match.groups()
                if len(data) % 2 == 0:
                    yield float(t_s), channel, int(number, 16), bytes.fromhex(data)
