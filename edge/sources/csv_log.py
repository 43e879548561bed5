"""CSV recordings: GNSS, IMU, decoded logs; one time column, any other columns become signals.

From text (comma, semicolon, tab or blanks; plain or .gz) to chunks. Times are exact decimals, in time_unit. An empty
cell is no sample; a cell that is no number is counted (cells_bad) and skipped; a row with too few cells or without a
time is counted (lines_bad) and skipped, for it may be cut off in the middle of a number.
Raises RecordingError for a header that does not fit the settings.
"""

from __future__ import annotations

import csv
import difflib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import structlog

from edge.model import TextTable
from edge.settings import RecordingSection
from edge.sources.can_log import BAD_LINES_LOGGED_MAX, BadLines, read_lines
from edge.sources.chunks import Chunk, SlotTable, legal_group, legal_name
from edge.sources.decimal_time import parse_ns
from edge.sources.errors import RecordingError
from vantel.catalog import SignalType

ROWS_PER_CHUNK = 4096
_log = structlog.get_logger("replay")


class CsvRecording:
    """One CSV file."""

    def __init__(self, section: RecordingSection, name: str, texts: TextTable) -> None:
        self.path: Path = section.path
        self.counts: Counter[str] = Counter()
        self.slots = SlotTable(section.path, section.map)
        self._section = section
        self._texts = texts
        self._rows = 0
        header, self._delimiter = self._header()
        self._columns = len(header)
        self._time_at = self._find(header, section.time_column, "time_column") if section.time_column else 0
        text_at = {self._find(header, column, "text_columns") for column in section.text_columns}
        self._names = header
        self._slot_of: dict[int, int] = {}
        self._is_text = text_at
        group = legal_group(name)
        for at, column in enumerate(header):
            if at != self._time_at:
                local = f"{legal_name(name)}.{legal_name(column)}"
                kind = SignalType.STRING if at in text_at else SignalType.FLOAT64
                self._slot_of[at] = self.slots.add(
                    local, (column, f"{name}.{column}", local), group=group, kind=kind
                )
        self.slots.check_map()

    def chunks(self) -> Iterator[Chunk]:
        """Samples row by row, in the order of the columns."""
        self.counts.clear()
        self._rows = 0
        bad = BadLines(self.path, self.counts)
        collector = _Collector()
        lines = read_lines(self.path)
        header_seen = False
        for number, line in lines:
            cells = self._split(line)
            if not cells:
                continue
            if not header_seen:
                header_seen = True
                continue
            if len(cells) < self._columns:
                bad.add(number, line, f"{len(cells)} cells where the header has {self._columns}")
                continue
            try:
                t_ns = parse_ns(cells[self._time_at], self._section.time_unit)
            except ValueError as cause:
                bad.add(number, line, str(cause))
                continue
            self._rows += 1
            self._row(number, t_ns, cells, collector)
            if len(collector) >= ROWS_PER_CHUNK:
                yield collector.take(self.slots)
        if len(collector):
            yield collector.take(self.slots)

    def finish(self) -> None:
        """A file of which no row could be read is not what the settings say."""
        if not self._rows:
            raise RecordingError(
                self.path, f"no row could be read ({self.counts['lines_bad']} bad)",
                f"check time_column ({self._names[self._time_at]!r}) and time_unit",
            )  # fmt: skip

    def _row(self, number: int, t_ns: int, cells: list[str], collector: _Collector) -> None:
        for at, slot in self._slot_of.items():
            cell = cells[at].strip()
            if not cell:
                continue
            if at in self._is_text:
                collector.add(slot, t_ns, float(self._texts.code(cell)))
                continue
            try:
                # float() takes 1_000 for a number, no logger writes that
                value = float(cell.replace("_", "?"))
            except ValueError:
                self.counts["cells_bad"] += 1
                if self.counts["cells_bad"] <= BAD_LINES_LOGGED_MAX:
                    _log.warning("cell skipped", file=str(self.path), line=number, column=self._names[at],
                                 cause=f"{cell[:40]!r} is no number",
                                 fix="name the column in text_columns to keep it as text")  # fmt: skip
                continue
            collector.add(slot, t_ns, value)

    def _header(self) -> tuple[list[str], str | None]:
        """Names of the columns and the delimiter, None for runs of blanks."""
        for _, line in read_lines(self.path):
            text = line.decode("utf-8-sig", errors="replace").strip()
            if text:
                counted = {mark: text.count(mark) for mark in ",;\t"}
                delimiter = max(counted, key=lambda mark: counted[mark])
                self._delimiter = delimiter if counted[delimiter] else None
                header = self._split(text.encode())
                if len(header) < 2:
                    raise RecordingError(self.path, f"the header {text[:60]!r} has fewer than 2 columns",
                                         "a CSV recording needs a time and a value column")  # fmt: skip
                return [name.strip() for name in header], self._delimiter
        raise RecordingError(self.path, "the file is empty", "record again or remove it from the settings")

    def _split(self, line: bytes) -> list[str]:
        text = line.decode("utf-8-sig", errors="replace").strip("\r\n")
        if not text.strip():
            return []
        if self._delimiter is None:
            return text.split()
        if '"' not in text:
            return text.split(self._delimiter)
        try:
            return next(csv.reader([text], delimiter=self._delimiter))
        except csv.Error:
            return [text]  # one cell is too few: counts as a bad line

    def _find(self, header: list[str], column: str, key: str) -> int:
        if column in header:
            return header.index(column)
        near = difflib.get_close_matches(column, header, n=1, cutoff=0.0)[0]
        raise RecordingError(self.path, f"{key}: no column {column!r}", f"did you mean {near!r}?")


class _Collector:
    """Samples one by one into a chunk."""

    def __init__(self) -> None:
        self._slot: list[int] = []
        self._t_ns: list[int] = []
        self._value: list[float] = []

    def __len__(self) -> int:
        return len(self._slot)

    def add(self, slot: int, t_ns: int, value: float) -> None:
        """One sample."""
        self._slot.append(slot)
        self._t_ns.append(t_ns)
        self._value.append(value)

    def take(self, slots: SlotTable) -> Chunk:
        """The chunk so far; starts a new one."""
        slot = np.array(self._slot, dtype=np.int32)
        value = slots.apply(slot, np.array(self._value, dtype=np.float64))
        chunk = Chunk(slot, np.array(self._t_ns, dtype=np.int64), value)
        self.__init__()  # type: ignore[misc]
        return chunk
