"""BLF logs by python-can, without the ways in which a damaged or missing part misleads its reader.

An object is as long as its header says. python-can believes a length below that of the header itself: it then stays at one
object for ever, giving the same frame again and again, or reads the rest of the file as that object and leaves it out
without a word. Both are refused here as BLFParseError. A file that breaks off gives python-can's reader what stands
before the break, also without a word: counted here. Source: python-can's own structs of the object headers.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from typing import IO

import can
from can.io.blf import OBJ_HEADER_BASE_STRUCT, BLFParseError

_SEARCHED_BYTES = 8
"""An object begins within so many bytes after the one before."""
_PADDING_BYTES_MAX = 3
"""Behind an object; nobody misses it at the end of the file."""


class BlfReader(can.BLFReader):
    """Messages of a log; closes the file with stop(). counts: frames_cut is 1 when the log ends within an object."""

    def __init__(self, file: IO[bytes], counts: Counter[str]) -> None:
        self._forward = _Forward(file)
        self._counts = counts
        super().__init__(self._forward)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[can.Message]:  # type: ignore[override]
        try:
            yield from super().__iter__()
        except struct.error:  # not even the header of an object is whole
            if not self._forward.short:
                raise
            self.stop()
        if self._forward.short or self._tail.startswith(b"LOBJ"):
            self._counts["frames_cut"] += 1

    def _parse_data(self, data: bytes) -> Iterator[can.Message]:
        _check_sizes(data)
        return super()._parse_data(data)  # type: ignore[no-any-return]


class _Forward:
    """A file that is not read to its end by a negative length, and that tells when it had less than was asked for."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.close = file.close
        self.short = False

    def read(self, size: int) -> bytes:
        if size < 0:
            raise BLFParseError("an object or the head of the file is shorter than its own header")
        data = self._file.read(size)
        ends_here = not data and size == OBJ_HEADER_BASE_STRUCT.size
        if len(data) < size and size > _PADDING_BYTES_MAX and not ends_here:
            self.short = True
        return data


def _check_sizes(data: bytes) -> None:
    """BLFParseError when an object of an unpacked container says that it ends before its header does."""
    at = 0
    while (at := data.find(b"LOBJ", at, at + _SEARCHED_BYTES)) >= 0:
        if len(data) - at < OBJ_HEADER_BASE_STRUCT.size:
            return
        size = OBJ_HEADER_BASE_STRUCT.unpack_from(data, at)[3]
        if size < OBJ_HEADER_BASE_STRUCT.size:
            raise BLFParseError(f"an object of {size} bytes is shorter than its own header")
        at += size
