"""A stream of the range coder as an object: numbers and arrays in, bytes out, and back. What Python calls for each array.

Writer and Reader hold the state that the kernels share. Reader.end tells a stream that is cut from one that is damaged:
a whole stream has exactly one byte more than the coder renewed (docs/format.md, section 7.2).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vantel.codec import arrays, floats
from vantel.codec import format as fmt
from vantel.codec import layout as at
from vantel.codec.coder import COUNT_MAX, NEW_CELL, P_MAX, TOP
from vantel.codec.errors import CodecError, CorruptError, TruncatedError, UnsupportedError

WINDOW_TAIL_BYTES = 5
"""Zeros that a decoder reads behind a whole stream."""
_NEW_MODELS = np.full(at.CELLS, NEW_CELL, np.int32)
_NEW_MODELS[at.NEWER] = P_MAX << 8 | COUNT_MAX


class Writer:
    """Codes numbers and arrays into one stream. level 0 looks for the cheap forms only, 1 for all."""

    def __init__(self, values: int, level: int) -> None:
        """values: how many numbers will be coded at most, all arrays together."""
        self._models = _NEW_MODELS.copy()
        self._out = np.empty(fmt.BYTES_PER_VALUE_MAX * values + 256, np.uint8)
        self._state = np.array((0, TOP, 0), np.int64)
        self._level = level
        arrays.encode_bit(self._state, self._out, self._models, at.NEWER, 0)

    def number(self, number: int) -> None:
        """A count or a length, 0 to 2**63 - 1."""
        arrays.encode_number(self._state, self._out, self._models, at.COUNT, number)

    def kind(self, code: int) -> None:
        """A type code, 0 to 15."""
        arrays.encode_kind(self._state, self._out, self._models, code)

    def values(self, values: NDArray[Any]) -> None:
        """Numbers of a type of format.NUMBER_TYPES, in native order and one piece."""
        self._array(at.VALUES, kind_of(values.dtype), width_of(values.dtype), words_of(values))

    def integers(self, part: int, numbers: NDArray[np.int64]) -> None:
        """Whole numbers, with the models of a region of layout.py."""
        self._array(part, floats.WHOLE, -64, numbers)

    def _array(self, part: int, kind: int, width: int, words: NDArray[np.int64]) -> None:
        n = len(words)
        if n:
            scratch = np.empty(4 * n + arrays.SCRATCH_EXTRA, np.int64)
            arrays.encode_array(
                self._state,
                self._out,
                self._models,
                part,
                kind,
                width,
                self._level,
                words,
                scratch,
                np.empty(n),
            )

    def finish(self) -> bytes:
        """The stream."""
        return self._out[: arrays.finish_stream(self._state, self._out)].tobytes()


class Reader:
    """Reads what a Writer wrote, from bytes of any origin."""

    def __init__(self, data: bytes) -> None:
        self._data = np.frombuffer(data, np.uint8)
        self._models = _NEW_MODELS.copy()
        self._state = np.empty(3, np.int64)
        if not data:
            raise TruncatedError("decode: there are no bytes")
        arrays.begin_stream(self._state, self._data)
        if arrays.decode_bit(self._state, self._data, self._models, at.NEWER):
            raise UnsupportedError(
                "decode: the data says that it has a newer format than 1; update the decoder"
            )

    def refuse(self, cause: str) -> CodecError:
        """The error for bytes that contradict the format: truncated, if the reader is past their end."""
        if int(self._state[2]) > len(self._data):
            return TruncatedError(f"decode: the data ends too early ({len(self._data)} bytes)")
        return CorruptError(f"decode: {cause}")

    def number(self, what: str, number_max: int) -> int:
        """A count that must not be above number_max; checked before anybody takes memory for it."""
        number = int(arrays.decode_number(self._state, self._data, self._models, at.COUNT))
        if not 0 <= number <= number_max:
            raise self.refuse(f"{what} is {number}, at most {number_max} are allowed")
        return number

    def kind(self) -> int:
        """A type code."""
        return int(arrays.decode_kind(self._state, self._data, self._models))

    def values(self, dtype: np.dtype[Any], n: int) -> NDArray[np.int64]:
        """Words of n numbers of a type: bit patterns of floats, sign extended, or the numbers."""
        return self._array(at.VALUES, kind_of(dtype), width_of(dtype), n)

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
            if not arrays.decode_array(
                self._state, self._data, self._models, part, kind, width, words, scratch
            ):
                raise self.refuse("an array contradicts the format")
        return words

    def end(self) -> None:
        """The stream must end here."""
        missing = int(self._state[2]) - WINDOW_TAIL_BYTES - len(self._data)
        if missing > 0:
            raise TruncatedError(f"decode: the data ends too early ({len(self._data)} bytes)")
        if missing < 0:
            raise CorruptError(f"decode: {-missing} bytes too many behind the end")


def kind_of(dtype: np.dtype[Any]) -> int:
    """Kind of an array kernel for a type of format.NUMBER_TYPES."""
    if dtype.kind != "f":
        return floats.WHOLE
    return floats.FLOAT64 if dtype.itemsize == 8 else floats.FLOAT32


def words_of(values: NDArray[Any]) -> NDArray[np.int64]:
    """The words that a kernel takes: bit patterns of floats, float32 sign extended, or the numbers."""
    if values.dtype.itemsize == 8:
        return values.view(np.int64)
    return (values.view(np.int32) if values.dtype.kind == "f" else values).astype(np.int64)


def width_of(dtype: np.dtype[Any]) -> int:
    """Bits of a word, negative where its highest bit is a sign."""
    bits = 8 * dtype.itemsize
    return bits if dtype.kind == "u" else -bits
