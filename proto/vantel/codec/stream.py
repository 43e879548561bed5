"""A stream of the range coder as an object: numbers and arrays in, bytes out, and back. What Python calls for each array.

Writer and Reader hold the state that the kernels share. Reader.end tells a stream that is cut from one that is damaged
(docs/format.md, section 7.2).
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vantel.codec import arrays, floats, kernels
from vantel.codec import format as fmt
from vantel.codec import layout as at
from vantel.codec.coder import DECISIONS_ROOM, TOP, WINDOW_BYTES, end_bytes
from vantel.codec.errors import CodecError, CorruptError, TruncatedError, UnsupportedError

Line = tuple[int, int]
"""Bit patterns of a step and an offset: floats may be whole numbers times the one plus the other."""
NO_LINE: Line = (0, 0)
WORKSPACE_VALUES_MAX = 16_384
"""Longer arrays bring their own memory, so that a thread keeps at most 2 MB."""


def _kind_and_width(dtype: np.dtype[Any]) -> tuple[int, int]:
    bits = 8 * dtype.itemsize
    if dtype.kind == "f":
        return floats.FLOAT64 if bits == 64 else floats.FLOAT32, -bits
    return floats.WHOLE, bits if dtype.kind == "u" else -bits


KIND_AND_WIDTH = {dtype: _kind_and_width(dtype) for dtype in fmt.NUMBER_TYPES.values()}
"""What the array kernels want to know of a type: its kind, and the bits of a word, negative where its highest bit is a sign."""


def line_of(state: NDArray[np.int64]) -> Line:
    """What the floats that were coded last are made of, as far as it is known."""
    return int(state[3]), int(state[4])


class Writer:
    """Codes numbers and arrays into one stream. level 0 looks for the cheap forms only, 1 for all."""

    def __init__(self, values: int, level: int) -> None:
        """values: how many numbers will be coded at most, all arrays together."""
        self._models = np.empty(at.MODELS + DECISIONS_ROOM, np.int32)
        self._out = np.empty(fmt.BYTES_PER_VALUE_MAX * values + 256, np.uint8)
        self._state = np.array((0, TOP, 0, 0, 0), np.int64)
        self._level = level
        kernels.begin_stream(self._state, self._out, self._models)

    def number(self, number: int) -> None:
        """A count or a length, 0 to 2**63 - 1."""
        kernels.encode_count(self._state, self._out, self._models, number)

    def values(self, values: NDArray[Any], line: Line = NO_LINE) -> Line:
        """Numbers of a type of format.NUMBER_TYPES, in native order and one piece. line is tried first; the one for next time."""
        self._array(at.VALUES, *KIND_AND_WIDTH[values.dtype], words_of(values), line)
        return line_of(self._state) if values.dtype.kind == "f" and len(values) else line

    def integers(self, part: int, numbers: NDArray[np.int64]) -> None:
        """Whole numbers, with the models of a region of layout.py."""
        self._array(part, floats.WHOLE, -64, numbers)

    def _array(
        self, part: int, kind: int, width: int, words: NDArray[np.int64], line: Line = NO_LINE
    ) -> None:
        n = len(words)
        if n:
            scratch = np.empty(arrays.SCRATCH_ARRAYS * n + arrays.SCRATCH_EXTRA, np.int64)
            kernels.encode_array(
                self._state,
                self._out,
                self._models,
                kernels.WITHIN,
                part,
                kind,
                width,
                self._level,
                _plain(words),
                scratch,
                *line,
            )

    def finish(self) -> bytes:
        """The stream."""
        return self._out[: kernels.finish_stream(self._state, self._out)].tobytes()


class _Workspace(threading.local):
    """Arrays for one array alone, kept between calls: to make them anew would cost as much as a short array."""

    def __init__(self) -> None:
        self.state = np.empty(5, np.int64)
        self.models = np.empty(at.MODELS + DECISIONS_ROOM, np.int32)
        self.grow(1024)

    def grow(self, n: int) -> None:
        """Room for n values."""
        self.out = np.empty(fmt.BYTES_PER_VALUE_MAX * n + 256, np.uint8)
        self.scratch = np.empty(arrays.SCRATCH_ARRAYS * n + arrays.SCRATCH_EXTRA, np.int64)
        self.room = n


_workspace = _Workspace()


def one_array(
    words: NDArray[np.int64], code: int, part: int, kind: int, width: int, level: int, line: Line = NO_LINE
) -> tuple[bytes, NDArray[np.int64]]:
    """A whole stream of one array: its type unless code is kernels.NO_TYPE, its length, its words. And what line_of takes now."""
    work = _workspace
    if len(words) > work.room:
        if len(words) > WORKSPACE_VALUES_MAX:
            work = _Workspace()
        work.grow(len(words))
    length = kernels.encode_array(
        work.state, work.out, work.models, code, part, kind, width, level, _plain(words), work.scratch, *line
    )
    return work.out[:length].tobytes(), work.state


class Reader:
    """Reads what a Writer wrote, from bytes of any origin."""

    def __init__(self, data: bytes, *, typed: bool = False) -> None:
        """typed: the stream is one array and begins with its type."""
        # a copy: Numba takes much longer to look at an array that may not be written
        self._data = np.frombuffer(bytearray(data), np.uint8)
        self._models = np.empty(at.MODELS, np.int32)
        self._state = np.empty(5, np.int64)
        if not data:
            raise TruncatedError("decode: there are no bytes")
        if not kernels.open_stream(self._state, self._data, self._models, typed):
            raise UnsupportedError(
                "decode: the data says that it has a newer format than 1; update the decoder"
            )
        self.code = int(self._state[3])
        """Type of the one array, where the stream has one."""

    def refuse(self, cause: str) -> CodecError:
        """The error for bytes that contradict the format: truncated, if the reader is past their end."""
        if int(self._state[2]) > len(self._data):
            return TruncatedError(f"decode: the data ends too early ({len(self._data)} bytes)")
        return CorruptError(f"decode: {cause}")

    def first(self, what: str, number_max: int) -> int:
        """The count that a stream begins with, checked as number does."""
        return self._checked(int(self._state[4]), what, number_max)

    def number(self, what: str, number_max: int) -> int:
        """A count that must not be above number_max; checked before anybody takes memory for it."""
        number = int(kernels.decode_count(self._state, self._data, self._models))
        return self._checked(number, what, number_max)

    def _checked(self, number: int, what: str, number_max: int) -> int:
        if not 0 <= number <= number_max:
            raise self.refuse(f"{what} is {number}, at most {number_max} are allowed")
        return number

    def values(self, dtype: np.dtype[Any], n: int) -> NDArray[np.int64]:
        """Words of n numbers of a type: bit patterns of floats, sign extended, or the numbers."""
        return self._array(at.VALUES, *KIND_AND_WIDTH[dtype], n)

    def integers(self, part: int, n: int) -> NDArray[np.int64]:
        """Whole numbers, as Writer.integers takes them."""
        return self._array(part, floats.WHOLE, -64, n)

    def bounded(self, part: int, n: int, what: str, number_max: int) -> NDArray[np.int64]:
        """Whole numbers that must lie within 0 to number_max."""
        numbers = self._array(part, floats.WHOLE, -64, n)
        if n and (int(numbers.min()) < 0 or int(numbers.max()) > number_max):
            raise self.refuse(f"{what} goes beyond {number_max}")
        return numbers

    def _array(self, part: int, kind: int, width: int, n: int) -> NDArray[np.int64]:
        words = np.empty(n, np.int64)
        if n:
            scratch = np.empty(2 * n + 256 + 2 * (n // 8 + 2), np.int64)
            if not kernels.decode_array(
                self._state, self._data, self._models, part, kind, width, words, scratch
            ):
                raise self.refuse("an array contradicts the format")
        return words

    def end(self) -> None:
        """The stream must end here.

        Its last bytes are the first multiple of their unit above the low end of the range, and the range holds four units.
        So no stream is the beginning of another (Shannon, Fano, Elias), what is less than a unit above the low end is
        whole, and zeros in the place of bytes that were cut off lie two units above it or more.
        """
        code, rng, pos, *_ = self._state.tolist()
        tail = end_bytes.py_func(rng)
        missing = pos - WINDOW_BYTES + tail - len(self._data)
        unit = 1 << (48 - 8 * tail)
        if missing > 0 or code >= (unit if missing == 0 else 2 * unit):
            raise TruncatedError(f"decode: the data ends too early ({len(self._data)} bytes)")
        if missing < 0:
            raise CorruptError(f"decode: {-missing} bytes too many behind the end")


def _plain(words: NDArray[np.int64]) -> NDArray[np.int64]:
    """The words as kernels take them: a copy of those that may not be written, or lie across the bounds of words."""
    return words if words.flags.carray else words.copy()


def words_of(values: NDArray[Any]) -> NDArray[np.int64]:
    """The words that a kernel takes: bit patterns of floats, float32 sign extended, or the numbers."""
    if values.dtype.itemsize == 8:
        return values.view(np.int64)
    return (values.view(np.int32) if values.dtype.kind == "f" else values).astype(np.int64)
