"""DBC files (also KCD, SYM, ARXML) read by cantools, with every mistake told by file, line and fix.

Path -> Database. Raises RecordingError. What cantools accepts but decodes by halves (two definitions of one id or
name, signals that overlap or do not fit) is told as doubts, with the line where it stands.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cantools
from cantools.database.can import Database, Message
from cantools.database.errors import Error as CantoolsError

from edge.sources.dbc_repair import Repair, repaired
from edge.sources.errors import RecordingError

DBC_BYTES_MAX = 12 * 1024 * 1024
"""cantools takes about 64 bytes of memory for each byte of a DBC, and 1.5 s of a core for each MiB."""
MESSAGE_BYTES_MAX = 4096
"""A message of several frames has 4,095 at most (ISO 15765-2)."""
# One line for each message that is defined twice; which one counts is written in docs/decisions/0003-dbc-and-stamps.md.
logging.getLogger("cantools").setLevel(logging.ERROR)
_MESSAGE = re.compile(r"^\s*BO_\s+(\d+)\s+(\w+)\s*:")
_BEGINS = re.compile(r"^\s*(BO_|SG_)\s")
_WHOLE = re.compile(
    r"^\s*(?:BO_\s+\d+\s+\w+\s*:\s*\d+\s+\w+|"
    r"SG_\s+\w+\s*(?:M|m\d+M?)?\s*:\s*\d+\s*\|\s*\d+\s*@\s*[01]\s*[+-]\s*\([^)]*\)\s*\[[^]]*\]\s*\"[^\"]*\"\s*\w+)"
)
_LENGTH = re.compile(r"^\s*BO_\s+\d+\s+(\w+)\s*:\s*(\d+)")
_PLACE = re.compile(r"^\s*SG_\s+(\w+)[^:]*:\s*(\d+)\s*\|\s*(\d+)")
_BYTE_ORDER = re.compile(r"^\s*SG_\s+(\w+)[^:]*:\s*\d+\s*\|\s*\d+\s*@\s*([^01\s])")
_SCALE = re.compile(r"^\s*SG_\s+(\w+)[^:]*:[^(]*\(\s*([^,]+),")
_IN_MESSAGE = re.compile(r"in message (\w+)")
_AT_LINE = re.compile(r"at line (\d+)", re.IGNORECASE)


def load_database(path: Path) -> Database:
    """Read a file; UTF-8, else the code page of Windows, in which DBC files are written."""
    return _read(path)[0]


def load_with_doubts(path: Path) -> tuple[Database, list[str]]:
    """Read a file; with what a reader of it should know, one sentence each with its line, nothing for a clean file."""
    database, text, repairs = _read(path)
    told = [f"{path}, line {repair.line}: {repair.sentence}" for repair in repairs]
    return database, [*told, *_doubts(path, text, database)]


def _read(path: Path) -> tuple[Database, str, Sequence[Repair]]:
    """With the text as cantools took it."""
    text = read_text(path)
    suffix = path.suffix.lower().removeprefix(".")
    kind = suffix if suffix in ("dbc", "kcd", "sym", "arxml") else None
    repairs: Sequence[Repair] = ()
    if kind == "dbc":
        text, repairs = repaired(text)
        _refuse_long_messages(path, text)
    try:
        database = cantools.database.load_string(text, kind, strict=False)
    except (CantoolsError, ValueError, KeyError, IndexError, TypeError, RecursionError) as cause:
        raise RecordingError(
            path,
            f"not a usable DBC: {cause}",
            "repair it or name another by {key}",
            _line_of(text, str(cause)),
            key="dbc",
        ) from cause
    if not isinstance(database, Database) or not database.messages:
        raise RecordingError(path, "the DBC defines no CAN message", "name another by {key}", key="dbc")
    if kind == "dbc":
        _refuse_skipped_lines(path, text, database)
    return database, text, repairs


def _line_of(text: str, cause: str) -> int | None:
    """The line that cantools names, or that of the message it names."""
    if found := _AT_LINE.search(cause.replace(", column", " column")):
        return int(found[1])
    if found := _IN_MESSAGE.search(cause):
        for number, line in enumerate(text.splitlines(), start=1):
            if (begun := _MESSAGE.match(line)) and begun[2] == found[1]:
                return number
    return None


def _refuse_long_messages(path: Path, text: str) -> None:
    """cantools takes memory for every bit that a message or a place of a signal claims, before it looks whether they fit."""
    for number, line in enumerate(text.splitlines(), start=1):
        if (message := _LENGTH.match(line)) and _exceeds(message[2], MESSAGE_BYTES_MAX):
            told = f"message {message[1]} is longer than {MESSAGE_BYTES_MAX} bytes"
        elif (signal := _PLACE.match(line)) and any(
            _exceeds(n, 8 * MESSAGE_BYTES_MAX) for n in signal.group(2, 3)
        ):
            told = f"signal {signal[1]} begins or ends beyond bit {8 * MESSAGE_BYTES_MAX}"
        else:
            continue
        raise RecordingError(path, told, "a message has 64 bytes at most, of several frames 4095", number)


def _exceeds(digits: str, most: int) -> bool:
    """Whether a number, of however many digits, is greater."""
    return len(digits) > len(str(most)) or int(digits) > most


def _refuse_skipped_lines(path: Path, text: str, database: Database) -> None:
    """cantools passes over a definition that breaks off at the end of the file; that signal would be missed for ever."""
    begun = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if _BEGINS.match(line)]
    for number, line in begun:
        if wrong := _BYTE_ORDER.match(line):
            raise RecordingError(
                path, f"signal {wrong[1]} has byte order {wrong[2]!r}", "write @1 for Intel or @0 for Motorola", number
            )  # fmt: skip
    defined = len(database.messages) + sum(len(message.signals) for message in database.messages)
    if len(begun) > defined:
        for number, line in begun:
            if not _WHOLE.match(line):
                raise RecordingError(
                    path,
                    f"a definition breaks off: {line.strip()[:60]!r}",
                    "copy the whole file again",
                    number,
                )


def read_text(path: Path) -> str:
    """The text of the file; RecordingError when it cannot be read or is longer than DBC_BYTES_MAX."""
    try:
        if path.stat().st_size > DBC_BYTES_MAX:
            raise RecordingError(
                path,
                f"the DBC has more than {DBC_BYTES_MAX >> 20} MiB",
                "leave out the messages that nobody collects",
            )
        data = path.read_bytes()
    except OSError as cause:
        raise RecordingError(
            path, f"cannot read the DBC: {cause.strerror}", "correct {key}", key="dbc"
        ) from cause
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _doubts(path: Path, text: str, database: Database) -> Iterator[str]:
    """What cantools decodes by halves, and signals that never change."""
    lines: dict[int, list[int]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _MESSAGE.match(line):
            lines.setdefault(int(found[1]), []).append(number)
        elif (scale := _SCALE.match(line)) and _is_zero(scale[2]):
            yield f"{path}, line {number}: signal {scale[1]} has scale 0 and never changes; write its real scale"
    for frame_id, places in lines.items():
        if len(places) > 1:
            yield (
                f"{path}, line {places[-1]}: id 0x{frame_id & 0x1FFFFFFF:X} is defined again (first in line {places[0]}); "
                "the last one counts; remove the other"
            )
    names: dict[str, Message] = {}
    for message in database.messages:
        where = lines.get(_dbc_id(message), [0])[-1]
        twin = names.setdefault(message.name, message)
        if twin is not message:
            yield (
                f"{path}, line {where}: message {message.name} has the name of id 0x{twin.frame_id:X} too; "
                "its signals get _2; rename one of them"
            )
        if (cause := odd(message)) is not None:
            yield f"{path}, line {where}: {cause}; cantools refuses to decode it; correct the start bits or lengths"


def odd(message: Message) -> str | None:
    """Why cantools in its strict mode refuses the message; None when it does not."""
    try:
        message.refresh(strict=True)
    except CantoolsError as cause:
        message.refresh(strict=False)
        return str(cause).rstrip(".")
    return None


def _is_zero(number: str) -> bool:
    try:
        return float(number) == 0.0
    except ValueError:
        return False


def _dbc_id(message: Message) -> int:
    return int(message.frame_id) | (0x8000_0000 if message.is_extended_frame else 0)
