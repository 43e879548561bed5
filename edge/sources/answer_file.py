"""The file that says what UDS and OBD-II answers mean: DIDs, PIDs, their signals, trouble codes.

TOML -> AnswerFile. Every mistake is a RecordingError with file, line and fix. Example: docs/can.md.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from cantools.database import conversion
from cantools.database.can import Message, Signal
from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from edge.settings.sources import Byte, Id, Section
from edge.settings.tree import tomllib
from edge.sources.dbc_kernel import EXTENDED
from edge.sources.errors import RecordingError
from edge.sources.isotp import channel_of

FIRST_BYTES_MAX = 1785
ADDRESS_HELP = "first byte of each frame, where the bus uses extended or mixed addressing"
_TABLE = re.compile(r"^\s*\[\[\s*answers\s*(?:\.\s*(signals)\s*)?\]\]")


class AnswerSignal(Section):
    """A value in an answer; byte 0 is the first after the DID or PID. count > 1: so many in a row, numbered from 1."""

    name: str
    byte: Annotated[int, Field(ge=0, lt=FIRST_BYTES_MAX)]
    bytes: Annotated[int, Field(ge=1, le=8)] = 1
    bit: Annotated[int, Field(ge=0, le=7)] = 0
    bits: Annotated[int, Field(ge=1, le=64)] | None = None
    signed: bool = False
    kind: Literal["integer", "float"] = "integer"
    byte_order: Literal["big", "little"] = "big"
    scale: int | float = 1
    offset: int | float = 0
    unit: str = ""
    count: Annotated[int, Field(ge=1, le=512)] = 1

    @model_validator(mode="after")
    def _fits(self) -> AnswerSignal:
        if self.bits is not None and self.bit + self.bits > 8:
            raise ValueError("bit and bits choose bits of one byte; for more give bytes")
        if self.kind == "float" and self.bytes not in (4, 8):
            raise ValueError('kind = "float" needs bytes = 4 or 8')
        if self.byte + self.bytes * self.count > FIRST_BYTES_MAX:
            raise ValueError(f"lies behind byte {FIRST_BYTES_MAX} of the answer")
        return self


class Answer(Section):
    """One DID (UDS, ReadDataByIdentifier) or one PID (OBD-II, current data) of one control unit or more."""

    name: str
    response: Id | list[Id]
    extended: bool = False
    address: Byte | None = Field(None, description=ADDRESS_HELP)
    did: Annotated[int, Field(ge=0, le=0xFFFF)] | None = None
    pid: Annotated[int, Field(ge=0, le=0xFF)] | None = None
    length: Annotated[int, Field(ge=1, le=FIRST_BYTES_MAX)] | None = Field(
        None,
        description="bytes after the DID or PID; needed only to read on to a second one in the same answer",
    )
    signals: Annotated[list[AnswerSignal], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_kind(self) -> Answer:
        if (self.did is None) == (self.pid is None):
            raise ValueError("give did = (UDS) or pid = (OBD-II), one of them")
        return self

    @model_validator(mode="after")
    def _named_once(self) -> Answer:
        names = [_name(one, at) for one in self.signals for at in range(one.count)]
        if twins := {name for name, times in Counter(names).items() if times > 1}:
            raise ValueError(f"two signals are called {min(twins)}; rename one of them")
        return self

    @property
    def head(self) -> bytes:
        """First bytes of such an answer: service and identifier."""
        if self.did is not None:
            return bytes((0x62, self.did >> 8, self.did & 0xFF))
        return bytes((0x41, self.pid or 0))

    def responses(self) -> list[int]:
        """Channels of the frames, as edge.sources.isotp has them."""
        return responses(self.response, self.extended, self.address)

    def message(self, number: int) -> Message:
        """The answer after its head as a message of cantools with this id."""
        signals = [_signal(one, at) for one in self.signals for at in range(one.count)]
        size = max(-(-_end_bit(signal) // 8) for signal in signals)
        return Message(number, self.name, size, signals, strict=False)


class TroubleCodeAnswers(Section):
    """Control units whose answers to requests for trouble codes (UDS 0x19 02, OBD-II 0x03, 0x07, 0x0A) are read."""

    name: str = "DTC"
    response: Id | list[Id]
    extended: bool = False
    address: Byte | None = Field(None, description=ADDRESS_HELP)

    def responses(self) -> list[int]:
        """Channels of the frames, as edge.sources.isotp has them."""
        return responses(self.response, self.extended, self.address)


class AnswerFile(Section):
    """The whole file."""

    answers: Annotated[list[Answer], Field(max_length=2000)] = Field(default_factory=list)
    trouble_codes: TroubleCodeAnswers | None = None


def responses(given: int | list[int], extended: bool, address: int | None) -> list[int]:
    """Ids as frames carry them, with the address of extended or mixed addressing."""
    ids = given if isinstance(given, list) else [given]
    return [channel_of(key | EXTENDED if extended or key > 0x7FF else key, address) for key in ids]


def load_answers(path: Path) -> AnswerFile:
    """Read and check a file."""
    try:
        text = path.read_text(encoding="utf-8")
        tree = tomllib.loads(text)
    except OSError as cause:
        raise RecordingError(
            path, f"cannot read it: {cause.strerror}", "correct {key}", key="answers"
        ) from cause
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        found = re.search(r"at line (\d+)", str(cause))
        line = int(found[1]) if found else None
        raise RecordingError(path, f"not TOML: {cause}", "correct this line", line) from cause
    try:
        file = AnswerFile.model_validate(tree)
    except ValidationError as cause:
        error = cause.errors()[0]
        line = _line_of(text, error["loc"])
        raise RecordingError(path, _told(error), "correct this entry", line) from cause
    _refuse_twins(path, text, file)
    return file


def _told(error: ErrorDetails) -> str:
    """A mistake in words; for a key that is not known the one that was meant."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{key}: {error['msg'].removeprefix('Value error, ')}"
    known = {
        name for part in (AnswerFile, Answer, AnswerSignal, TroubleCodeAnswers) for name in part.model_fields
    }
    near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
    return f"{key}: unknown key" + (f", did you mean {near[0]}?" if near else "")


def _refuse_twins(path: Path, text: str, file: AnswerFile) -> None:
    """An answer that is described twice, and an id both with and without an address in front of its data."""
    seen: dict[tuple[int, bytes], int] = {}
    plain = {key for answer in file.answers for key in answer.responses() if answer.address is None}
    for at, answer in enumerate(file.answers):
        for key in answer.responses():
            if (key, answer.head) in seen:
                raise RecordingError(
                    path, f"{answer.name}: the answer of 0x{key & ~EXTENDED & 0xFFFF_FFFF:X} is described twice", "remove one of them",
                    _line_of(text, ("answers", at)),
                )  # fmt: skip
            seen[key, answer.head] = at
            if answer.address is not None and key & 0xFFFF_FFFF in plain:
                raise RecordingError(
                    path, f"{answer.name}: 0x{key & ~EXTENDED & 0xFFFF_FFFF:X} answers with and without an address",
                    "give address = to all its answers, or to none", _line_of(text, ("answers", at)),
                )  # fmt: skip


def _line_of(text: str, place: tuple[int | str, ...]) -> int | None:
    """Line of the n-th [[answers]], and of the m-th [[answers.signals]] in it."""
    if len(place) < 2 or place[0] != "answers":
        return None
    answer, signal = -1, -1
    wanted = (place[1], place[3] if len(place) > 3 and place[2] == "signals" else -1)
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _TABLE.match(line):
            answer, signal = (answer, signal + 1) if found[1] else (answer + 1, -1)
            if (answer, signal) == wanted:
                return number
    return None


def _name(one: AnswerSignal, at: int) -> str:
    return one.name if one.count == 1 else f"{one.name}{at + 1}"


def _signal(one: AnswerSignal, at: int) -> Signal:
    first = 8 * (one.byte + at * one.bytes)
    length = 8 * one.bytes if one.bits is None else one.bits
    small = one.bits is not None or one.byte_order == "little"
    return Signal(
        _name(one, at),
        first + one.bit if small else first + 7,
        length,
        "little_endian" if small else "big_endian",
        one.signed,
        conversion=conversion.BaseConversion.factory(one.scale, one.offset, None, one.kind == "float"),
        unit=one.unit,
    )


def _end_bit(signal: Signal) -> int:
    start = signal.start if signal.byte_order == "little_endian" else signal.start - 7
    return int(start + signal.length)
