"""Opens one recording of a replay, by its section of the settings.

From RecordingSection to a Recording (edge.sources.chunks). The format comes from the settings, else from the file
name without .gz, and where the name leaves it open from the first lines. RecordingError for a format that cannot be told.
"""

from __future__ import annotations

import re

from edge.model import TextTable
from edge.settings import RecordingSection
from edge.sources.can_log import inner_suffix, read_lines
from edge.sources.can_recording import CanRecording
from edge.sources.chunks import Recording
from edge.sources.csv_log import CsvRecording
from edge.sources.errors import RecordingError
from edge.sources.gnss_log import GnssRecording
from edge.sources.imu_recording import MountedRecording
from edge.sources.tegrastats import TegrastatsRecording, parse_line

_CAN_SUFFIXES = (".asc", ".blf", ".trc", ".mf4")
_GNSS_SUFFIXES = (".nmea", ".ubx")
_CSV_SUFFIXES = (".csv", ".tsv")
_CANDUMP = re.compile(rb"\s*\(\d+(\.\d+)?\)\s+\S+\s+[0-9A-Fa-f]+")
_PYTHON_CAN_CSV = b"timestamp,arbitration_id,extended,remote,error,dlc,data"
_NMEA = re.compile(rb"\$[A-Z]{4,5},[\x20-\x7E]*\*[0-9A-Fa-f]{2}\s*")
LINES_LOOKED_AT_MAX = 50


def open_recording(section: RecordingSection, texts: TextTable) -> Recording:
    """The recording, its header and DBC read and checked; the rest is read by chunks()."""
    recording = _reader(section, texts)
    return MountedRecording(recording, section) if any(section.mounting_deg) else recording


def _reader(section: RecordingSection, texts: TextTable) -> Recording:
    kind = format_of(section)
    if kind == "can":
        return CanRecording(section, texts)
    if kind == "tegrastats":
        return TegrastatsRecording(section, section.name or "board")
    if kind == "gnss":
        return GnssRecording(section, section.name or "gnss")
    stem = section.path.name.removesuffix(".gz").rsplit(".", 1)[0]
    return CsvRecording(section, section.name or stem, texts)


def format_of(section: RecordingSection) -> str:
    """can, csv, gnss or tegrastats."""
    if section.format != "auto":
        return section.format
    suffix = inner_suffix(section.path)
    if suffix in _CAN_SUFFIXES:
        return "can"
    if suffix in _GNSS_SUFFIXES:
        return "gnss"
    if suffix in _CSV_SUFFIXES:
        _, first = next(read_lines(section.path), (0, b""))
        return "can" if first.strip() == _PYTHON_CAN_CSV else "csv"
    for number, line in read_lines(section.path):
        if _CANDUMP.match(line):
            return "can"
        if parse_line(line.decode("utf-8", errors="replace")):
            return "tegrastats"
        if _NMEA.fullmatch(line):
            return "gnss"
        if number >= LINES_LOOKED_AT_MAX:
            break
    if suffix == ".log" and section.dbc:
        return "can"
    raise RecordingError(
        section.path, f"cannot tell its format from the ending {suffix!r} or its first lines",
        'set format = "can", "csv", "gnss" or "tegrastats"',
    )  # fmt: skip
