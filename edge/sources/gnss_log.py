"""What a GNSS receiver sent, recorded byte for byte (NMEA 0183, UBX, or both), as a recording.

From bytes to chunks under catalog names; stamps are the receiver's own time, so that what comes before its first full time is
left out and counted. Lines with "#" before the first message are a header. The same parsers as the live source.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from edge.settings import RecordingSection
from edge.sources.chunks import Chunk, SlotTable, legal_group
from edge.sources.errors import RecordingError
from edge.sources.gnss_decoding import ReceiverDecoder
from edge.sources.gnss_report import SIGNALS
from vantel.catalog import builtin

READ_BYTES = 1024


class GnssRecording:
    """One file."""

    def __init__(self, section: RecordingSection, name: str) -> None:
        self.path = section.path
        self.counts: Counter[str] = Counter()
        self.slots = SlotTable(section.path, section.map)
        self._name = name
        self._slot_of: dict[str, int] = {}

    def chunks(self) -> Iterator[Chunk]:
        """Samples in file order."""
        self.counts.clear()
        left_out: Counter[str] = Counter()
        decoder = ReceiverDecoder()
        for data in self._pieces():
            slots: list[int] = []
            t_ns: list[int] = []
            values: list[float] = []
            for report in decoder.feed(data):
                if report.t_unix_ns is None:
                    left_out["samples_without_time"] += len(report.values)
                    continue
                slots += [self._slot(key) for key in report.values]
                t_ns += [report.t_unix_ns] * len(report.values)
                values += report.values.values()
            if slots:
                slot = np.array(slots, dtype=np.int32)
                yield Chunk(slot, np.array(t_ns, dtype=np.int64), self.slots.apply(slot, np.array(values)))
        self.counts.update(decoder.counts + left_out)

    def finish(self) -> None:
        """No message with a time at all: another format."""
        if not self.slots.signals:
            raise RecordingError(
                self.path,
                "no message of a GNSS receiver with a time in it",
                "set format = to what the file is",
            )
        self.slots.check_map()

    def _pieces(self) -> Iterator[bytes]:
        try:
            with gzip.open(self.path) if self.path.suffix == ".gz" else self.path.open("rb") as file:
                while data := file.read(READ_BYTES):
                    yield data
        except (OSError, EOFError) as cause:
            raise RecordingError(self.path, str(cause), "give a file that can be read") from cause

    def _slot(self, key: str) -> int:
        slot = self._slot_of.get(key)
        if slot is None:
            quantity = SIGNALS[key]
            keys = (f"{self._name}.{quantity.local}", quantity.local)
            slot = self.slots.add(
                quantity.name, keys, unit=quantity.unit, group=legal_group(self._name), kind=quantity.kind
            )
            signal = self.slots.signals[slot]
            if signal.name in builtin():
                self.slots.signals[slot] = replace(builtin().by_name(signal.name), id=0)
            self._slot_of[key] = slot
        return slot
