"""Bytes of a receiver to checked reports, whatever they are: the one way for a live port and for a recorded file.

A port may carry NMEA and UBX at once: once a NAV-PVT has come, sentences are counted and not read, or every quantity would
be there twice. Never raises on data; counts say what was left out, by reason.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from edge.sources.gnss_nmea import NmeaReader
from edge.sources.gnss_report import Report, checked
from edge.sources.gnss_stream import Message, ReceiverStream
from edge.sources.gnss_ubx import UbxReader


class ReceiverDecoder:
    """State of one receiver."""

    def __init__(self) -> None:
        self._stream = ReceiverStream()
        self._nmea, self._ubx = NmeaReader(), UbxReader()
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> Counter[str]:
        """Messages, and what was left out, by reason."""
        return self._stream.counts + self._counts

    def feed(self, data: bytes) -> Iterator[Report]:
        """Reports of the messages that data completes."""
        for message in self._stream.feed(data):
            report = self._report(message)
            if report is not None:
                yield replace(report, values=checked(report.values, self._counts))

    def _report(self, message: Message) -> Report | None:
        try:
            if isinstance(message, str):
                if self._ubx.has_fixes:
                    self._counts["sentences_not_needed"] += 1
                    return None
                return self._nmea.read(message)
            return self._ubx.read(message[:2], message[2])
        except (ValueError, IndexError):
            self._counts["sentence_odd" if isinstance(message, str) else "frame_odd"] += 1
        except struct.error:
            self._counts["frame_odd"] += 1
        return None
