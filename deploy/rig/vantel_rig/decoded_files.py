"""Files of decoded samples: Parquet, CSV and MCAP.

Rows in, one row a sample. Parquet: t (timestamp in ns, UTC), signal, value, text. CSV: t_unix_s with nine decimals,
signal, value or text. MCAP: one JSON message for all samples of one CAN message at one time, topic /channel.Message.
"""

from __future__ import annotations

import contextlib
import csv
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mcap.writer import Writer
from numpy.typing import NDArray

from vantel.catalog import Signal, SignalType

ROW_GROUP_ROWS = 1 << 20


@dataclass(frozen=True, slots=True)
class Rows:
    """Samples. slot: int32[n], index into signals. t_ns: int64[n], Unix. value: float64[n], or codes of texts."""

    signals: Sequence[Signal]
    slot: NDArray[np.int32]
    t_ns: NDArray[np.int64]
    value: NDArray[np.float64]

    def is_text(self) -> NDArray[np.bool_]:
        """Which rows are text."""
        kinds = np.array([signal.type is SignalType.STRING for signal in self.signals], np.bool_)
        found: NDArray[np.bool_] = kinds[self.slot]
        return found


class RowWriter(Protocol):
    """A file that is being written; a context manager."""

    def __enter__(self) -> RowWriter: ...

    def __exit__(self, *_: object) -> None: ...

    def write(self, rows: Rows) -> None:
        """Append rows."""
        ...


class ParquetRows(contextlib.ExitStack):
    """Columns, signal names by dictionary."""

    schema = pa.schema([
        ("t", pa.timestamp("ns", tz="UTC")), ("signal", pa.dictionary(pa.int32(), pa.string())),
        ("value", pa.float64()), ("text", pa.string()),
    ])  # fmt: skip

    def __init__(self, path: Path, text_of: Callable[[float], str]) -> None:
        super().__init__()
        self._text_of = text_of
        self._file = self.enter_context(pq.ParquetWriter(path, self.schema, compression="zstd"))
        self._held: list[Rows] = []
        self._held_rows = 0
        self.callback(self._flush)

    def write(self, rows: Rows) -> None:
        """Append rows."""
        self._held.append(rows)
        self._held_rows += len(rows.slot)
        if self._held_rows >= ROW_GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._held_rows:
            return
        signals = self._held[-1].signals  # the list only grows
        rows = Rows(signals, *(np.concatenate([getattr(part, name) for part in self._held])
                               for name in ("slot", "t_ns", "value")))  # fmt: skip
        self._held, self._held_rows = [], 0
        text = rows.is_text()
        names = pa.array([signal.name for signal in signals], pa.string())
        texts = [
            self._text_of(code) if is_text else None for code, is_text in zip(rows.value, text, strict=True)
        ]
        self._file.write_table(pa.table([
            pa.array(rows.t_ns, pa.timestamp("ns", tz="UTC")),
            pa.DictionaryArray.from_arrays(pa.array(rows.slot), names),
            pa.array(rows.value, pa.float64(), mask=text),
            pa.array(texts, pa.string()) if text.any() else pa.nulls(len(text), pa.string()),
        ], schema=self.schema))  # fmt: skip


class CsvRows(contextlib.ExitStack):
    """Text; numbers as Python writes them, so that they read back to the same bits."""

    def __init__(self, path: Path, text_of: Callable[[float], str]) -> None:
        super().__init__()
        self._text_of = text_of
        self._file = csv.writer(self.enter_context(path.open("w", encoding="utf-8", newline="")))
        self._file.writerow(("t_unix_s", "signal", "value"))

    def write(self, rows: Rows) -> None:
        """Append rows."""
        names = [signal.name for signal in rows.signals]
        for slot, t_ns, value, is_text in zip(
            rows.slot.tolist(), rows.t_ns.tolist(), rows.value.tolist(), rows.is_text().tolist(), strict=True
        ):
            told = self._text_of(value) if is_text else repr(value)
            self._file.writerow((f"{t_ns // 10**9}.{t_ns % 10**9:09d}", names[slot], told))


class McapRows(contextlib.ExitStack):
    """Messages of JSON, which Foxglove and PlotJuggler read."""

    def __init__(self, path: Path, text_of: Callable[[float], str]) -> None:
        super().__init__()
        self._text_of = text_of
        self._file = Writer(self.enter_context(path.open("wb")))
        self._file.start(profile="", library="vantel")
        self.callback(self._file.finish)
        self._schema = self._file.register_schema("vantel.samples", "jsonschema", b'{"type": "object"}')
        self._channels: dict[str, int] = {}

    def write(self, rows: Rows) -> None:
        """Append rows."""
        parts = [signal.name.rpartition(".") for signal in rows.signals]
        before: tuple[str, int] | None = None
        held: dict[str, float | str | None] = {}
        for slot, t_ns, value, is_text in zip(
            rows.slot.tolist(), rows.t_ns.tolist(), rows.value.tolist(), rows.is_text().tolist(), strict=True
        ):
            topic, _, name = parts[slot]
            if before is not None and before != (topic, t_ns):
                self._message(*before, held)
                held = {}
            before = topic, t_ns
            # JSON has neither NaN nor infinities
            held[name] = self._text_of(value) if is_text else value if math.isfinite(value) else None
        if before is not None:
            self._message(*before, held)

    def _message(self, topic: str, t_ns: int, held: dict[str, float | str | None]) -> None:
        channel = self._channels.get(topic)
        if channel is None:
            channel = self._channels[topic] = self._file.register_channel(f"/{topic}", "json", self._schema)
        self._file.add_message(channel, t_ns, json.dumps(held).encode(), t_ns)


def writer_for(path: Path) -> Callable[[Path, Callable[[float], str]], RowWriter] | None:
    """The writer of a file by its ending; None when it names no format."""
    return {".parquet": ParquetRows, ".csv": CsvRows, ".mcap": McapRows}.get(path.suffix.lower())
