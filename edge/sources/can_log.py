"""Frames out of CAN logs, in chunks of arrays.

From candump -L text (own reader: decimal stamps are kept to the digit, a bad line is skipped) or any format python-can
reads (.asc, .blf, .trc, .mf4, its own .csv; also with .gz) to FrameChunk. python-can gives float64 seconds, which
resolve 0.24 us of Unix time, so those stamps are rounded to 1 us. Error and remote frames are counted and left out.
Raises RecordingError when the file cannot be read at all.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import can
import numpy as np
import structlog
from can.io.blf import BLFParseError
from numpy.typing import NDArray

from edge.sources import mf4_reader
from edge.sources.blf_reader import BlfReader
from edge.sources.dbc_kernel import EXTENDED, PAYLOAD_BYTES
from edge.sources.decimal_time import NS_MAX
from edge.sources.errors import RecordingError

FRAMES_PER_CHUNK = 8192
BLOCK_BYTES = 1 << 20
BAD_LINES_LOGGED_MAX = 5
_ID_MASK = 0x1FFF_FFFF
_ERROR_FLAG = 0x2000_0000
_HEX_PER_PAYLOAD = 2 * PAYLOAD_BYTES

_LINE = re.compile(
    rb"\s*\((\d+)(?:\.(\d+))?\)\s+(\S+)\s+([0-9A-Fa-f]{1,8})#(?:#[0-9A-Fa-f])?"
    rb"((?:[0-9A-Fa-f]{2}){0,64})(?:\s+[RTrt])?\s*"
)
_REMOTE = re.compile(rb"\s*\(\d+(?:\.\d+)?\)\s+\S+\s+[0-9A-Fa-f]+#[Rr][0-9A-Fa-f]?(?:\s+[RTrt])?\s*")
_LONG_LINE = re.compile(
    rb"\s*\((\d+)(?:\.(\d+))?\)\s+(\S+)\s+(?:[RT]X\s+\S+\s+\S+\s+)?([0-9A-Fa-f]{1,8})\s+\[\d+\]"
    rb"\s*((?:[0-9A-Fa-f]{2}\s*){0,64})(?:'.*')?\s*"
)

_RELATIVE = re.compile(r"\s*base\s+\w+\s+timestamps\s+relative", re.IGNORECASE)
_ASC_TIME = re.compile(r"\s*(\d+\.\d+)\s+")
HEADER_LINES_MAX = 20

READ_ERRORS = (
    ValueError, IndexError, KeyError, OverflowError, struct.error, zlib.error, EOFError, OSError, BLFParseError,
)  # fmt: skip
_log = structlog.get_logger("replay")


@dataclass(frozen=True, slots=True)
class FrameChunk:
    """Data frames in the order of the log.

    channel: int64[n], index into names. ids: uint32[n] with EXTENDED set for 29-bit frames. lengths: int64[n] bytes.
    payload: uint8[n, 64], zeros after the length. t_ns: int64[n], Unix time or time since the start of the log.
    """

    names: list[str]
    channel: NDArray[np.int64]
    ids: NDArray[np.uint32]
    lengths: NDArray[np.int64]
    payload: NDArray[np.uint8]
    t_ns: NDArray[np.int64]


SECONDS_DIGITS_MAX = 10
"""More is no time; and a longer number would take its time to be read."""


def read_frames(path: Path, counts: Counter[str], start_given: bool) -> Iterator[FrameChunk]:
    """Chunks of a CAN log. start_given: the settings say when it began, so a log without a usable date is fine."""
    suffix = inner_suffix(path)
    frames = (
        _candump(path, counts)
        if suffix in (".log", ".txt", "")
        else _by_python_can(path, counts, start_given)
    )
    chunk = _Collector()
    for frame in frames:
        chunk.add(*frame)
        if len(chunk) >= FRAMES_PER_CHUNK:
            yield chunk.take()
    if len(chunk):
        yield chunk.take()


def inner_suffix(path: Path) -> str:
    """Ending of the file name without .gz, lower case."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def open_binary(path: Path) -> IO[bytes]:
    """The file, unpacked if its name ends in .gz. RecordingError when it cannot be opened or is empty."""
    try:
        if path.stat().st_size == 0:
            raise RecordingError(path, "the file is empty", "record again or leave it out")
        return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]
    except OSError as cause:
        raise RecordingError(path, f"cannot open: {cause.strerror}", "correct {key}", key="path") from cause


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(line number, line) of a text file; RecordingError when reading fails on the way."""
    number = 0
    with open_binary(path) as file:
        try:
            for line in file:
                number += 1
                yield number, line
        except (OSError, EOFError, zlib.error) as cause:
            raise RecordingError(
                path, f"cannot read on: {cause}", "the file is damaged; copy it again", number
            ) from cause


class BadLines:
    """Counts lines that were skipped and logs the first few."""

    def __init__(self, path: Path, counts: Counter[str]) -> None:
        self._path = path
        self._counts = counts

    def add(self, number: int, line: bytes, cause: str) -> None:
        """One more skipped line."""
        self._counts["lines_bad"] += 1
        if self._counts["lines_bad"] <= BAD_LINES_LOGGED_MAX:
            _log.warning("line skipped", file=str(self._path), line=number, cause=cause, text=repr(line[:80]))


class _Collector:
    """Frames one by one into a chunk."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._index: dict[str, int] = {}
        self._clear()

    def _clear(self) -> None:
        self._channel: list[int] = []
        self._ids: list[int] = []
        self._lengths: list[int] = []
        self._hex: list[bytes] = []
        self._t_ns: list[int] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, name: str, key: int, data_hex: bytes, t_ns: int) -> None:
        """key: id with EXTENDED. data_hex: two digits a byte."""
        index = self._index.get(name)
        if index is None:
            index = self._index[name] = len(self._names)
            self._names.append(name)
        self._channel.append(index)
        self._ids.append(key)
        self._lengths.append(len(data_hex) // 2)
        self._hex.append(data_hex.ljust(_HEX_PER_PAYLOAD, b"0"))
        self._t_ns.append(t_ns)

    def take(self) -> FrameChunk:
        """The chunk so far; starts a new one with the same channel names."""
        payload = np.frombuffer(bytes.fromhex(b"".join(self._hex).decode("ascii")), dtype=np.uint8)
        chunk = FrameChunk(
            list(self._names),
            np.array(self._channel, dtype=np.int64),
            np.array(self._ids, dtype=np.uint32),
            np.array(self._lengths, dtype=np.int64),
            payload.reshape(-1, PAYLOAD_BYTES),
            np.array(self._t_ns, dtype=np.int64),
        )
        self._clear()
        return chunk


def _candump(path: Path, counts: Counter[str]) -> Iterator[tuple[str, int, bytes, int]]:
    """(channel, key, data in hex, t_ns) of candump -L text; the longer form of candump -t a is read too."""
    bad = BadLines(path, counts)
    names: dict[bytes, str] = {}
    for number, line in read_lines(path):
        match = _LINE.fullmatch(line) or _LONG_LINE.fullmatch(line)
        if match is None:
            if _REMOTE.fullmatch(line):
                counts["frames_remote"] += 1
            elif line.strip():
                bad.add(number, line, "not a line of candump -L")
            continue
        seconds, fraction, channel, digits, data = match.groups()
        if len(seconds) > SECONDS_DIGITS_MAX or int(seconds) * 1_000_000_000 > NS_MAX:
            bad.add(number, line, "the time is out of range")
            continue
        key = int(digits, 16)
        if len(digits) > 3:
            if key & _ERROR_FLAG:
                counts["frames_error"] += 1
                continue
            key = (key & _ID_MASK) | EXTENDED
        t_ns = int(seconds) * 1_000_000_000 + (int(fraction.ljust(9, b"0")[:9]) if fraction else 0)
        name = names.get(channel)
        if name is None:
            name = names[channel] = channel.decode("ascii", errors="replace")
        counts["frames"] += 1
        yield name, key, data if b" " not in data else b"".join(data.split()), t_ns


class _PatientAscReader(can.ASCReader):
    """ASCReader that skips a broken line instead of ending: its two line parsers may answer None."""

    bad: BadLines
    lines: _CountedLines

    def _process_classic_can_frame(self, line: str, msg_kwargs: dict[str, Any]) -> can.Message:
        try:
            return super()._process_classic_can_frame(line, msg_kwargs)
        except (ValueError, IndexError) as cause:
            self.bad.add(self.lines.number, line.encode(), str(cause))
            return None  # type: ignore[return-value]

    def _process_fd_can_frame(self, line: str, msg_kwargs: dict[str, Any]) -> can.Message:
        try:
            return super()._process_fd_can_frame(line, msg_kwargs)
        except (ValueError, IndexError) as cause:
            self.bad.add(self.lines.number, line.encode(), str(cause))
            return None  # type: ignore[return-value]


class _CountedLines:
    """Text lines of a file for a reader of python-can, with the number of the last one.

    An .asc with "timestamps relative" counts each time from the event before; python-can takes it as from the start of
    the log, so such times are summed up here.
    """

    def __init__(self, path: Path, cut: Counter[str] | None = None) -> None:
        """cut: counts a last line without an end, which is then left out."""
        self.number = 0
        self._cut = cut
        self._lines = read_lines(path)
        self._relative = False
        self._elapsed_s = Decimal(0)

    def __iter__(self) -> _CountedLines:
        return self

    def __next__(self) -> str:
        self.number, raw = next(self._lines)
        if self._cut is not None and not raw.endswith(b"\n"):
            self._cut["frames_cut"] += 1  # 0A may be what is left of A4
            raise StopIteration
        line = raw.decode("utf-8", errors="replace")
        if self.number <= HEADER_LINES_MAX and _RELATIVE.match(line):
            self._relative = True
        elif self._relative and (match := _ASC_TIME.match(line)):
            self._elapsed_s += Decimal(match.group(1))
            return f"{self._elapsed_s} {line[match.end() :]}"
        return line

    def close(self) -> None:
        """Close the file."""
        self._lines.close()  # type: ignore[attr-defined]


def _by_python_can(
    path: Path, counts: Counter[str], start_given: bool
) -> Iterator[tuple[str, int, bytes, int]]:
    """(channel, key, data in hex, t_ns) of a log that python-can reads."""
    lines: _CountedLines | None = None
    try:
        reader, lines = _reader(path, counts, start_given)
        for message in reader:
            if message.is_error_frame or message.is_remote_frame:
                counts["frames_error" if message.is_error_frame else "frames_remote"] += 1
                continue
            channel = message.channel
            name = channel if isinstance(channel, str) else f"can{0 if channel is None else channel}"
            key = message.arbitration_id | (EXTENDED if message.is_extended_id else 0)
            t_ns = round(message.timestamp * 1e6) * 1000
            if not (0 <= message.arbitration_id <= _ID_MASK and abs(t_ns) <= NS_MAX):
                raise ValueError(
                    f"id {message.arbitration_id:X} or time {message.timestamp:g} s is out of range"
                )
            counts["frames"] += 1
            yield (
                name,
                key,
                message.data[:PAYLOAD_BYTES].hex().encode(),
                t_ns,
            )
    except RecordingError:
        raise
    except READ_ERRORS as cause:
        if lines is not None and counts["frames"] and next(lines, None) is None:
            counts["frames_cut"] += 1  # the last line: whoever wrote it lost its power there
            return
        line = lines.number if lines is not None else None
        raise RecordingError(
            path, f"cannot read it as {inner_suffix(path)}: {cause or type(cause).__name__}",
            "the file is damaged or of another format; set format = or convert it", line,
        ) from cause  # fmt: skip


def _reader(path: Path, counts: Counter[str], start_given: bool) -> tuple[Any, _CountedLines | None]:
    suffix = inner_suffix(path)
    if suffix == ".asc":
        lines = _CountedLines(path, counts)
        # With start_unix_s the header's date is not used, so one in a foreign language does no harm.
        reader = _PatientAscReader(lines, relative_timestamp=start_given)  # type: ignore[arg-type]
        reader.bad, reader.lines = BadLines(path, counts), lines
        return reader, lines
    if suffix == ".blf":
        return BlfReader(open_binary(path), counts), None
    if suffix in (".trc", ".csv"):
        lines = _CountedLines(path)
        return (can.TRCReader if suffix == ".trc" else can.CSVReader)(lines), lines  # type: ignore[arg-type]
    if suffix == ".mf4":
        if not mf4_reader.is_there():
            raise RecordingError(path, "reading .mf4 needs the package asammdf",
                                 "pip install vantel[mf4], or convert the log to .blf, .asc or candump")  # fmt: skip
        return mf4_reader.read_messages(path), None
    raise RecordingError(path, f"no CAN log format has the ending {suffix!r}",
                         "use .log (candump), .asc, .blf, .trc or .mf4, or set format")  # fmt: skip
