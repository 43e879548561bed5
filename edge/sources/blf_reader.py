"""BLF logs by python-can, without the two ways in which a damaged size misleads its reader.

An object is as long as its header says. python-can believes a length below that of the header itself: it then stays at one
object for ever, giving the same frame again and again, or reads the rest of the file as that object and leaves it out
without a word. Both are refused here as BLFParseError. Source: python-can's own struct of the object header.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import can
from can.io.blf import OBJ_HEADER_BASE_STRUCT, BLFParseError

_SEARCHED_BYTES = 8
"""An object begins within so many bytes after the one before."""


class BlfReader(can.BLFReader):
    """Messages of a log; closes the file with stop()."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(_Forward(file))  # type: ignore[arg-type]

    def _parse_data(self, data: bytes) -> Iterator[can.Message]:
        _check_sizes(data)
        return super()._parse_data(data)  # type: ignore[no-any-return]


class _Forward:
    """A file that is not read to its end by a negative length."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.close = file.close

    def read(self, size: int) -> bytes:
        if size < 0:
            raise BLFParseError("an object or the head of the file is shorter than its own header")
        return self._file.read(size)


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
