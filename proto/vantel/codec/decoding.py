"""Bytes to columns, codec format 1 (docs/format.md, section 7).

One stream of the range coder -> list of Column, exact to the bit. Every count is checked against the limits before
memory is taken for it, so that arbitrary bytes cost bounded time and memory and end as columns or as a CodecError.
Columns with one time vector share one read-only array. Pure.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vantel.codec import format as fmt
from vantel.codec import layout as at
from vantel.codec.stream import Reader
from vantel.columns import Column


def decode(data: bytes) -> list[Column]:
    """Columns in the order in which they were coded. CorruptError, TruncatedError or UnsupportedError otherwise."""
    reader = Reader(data)
    count = reader.first("the number of columns", fmt.COLUMNS_MAX)
    vector_count = reader.number("the number of time vectors", count)
    lengths = reader.bounded(at.BITS, vector_count, "a time vector's length", fmt.SAMPLES_MAX)
    if int(lengths.sum()) > fmt.SAMPLES_MAX:
        raise reader.refuse(f"more than {fmt.SAMPLES_MAX} stamps")
    vectors = _vectors(reader, lengths)
    ids = reader.bounded(at.BITS, count, "a signal id", fmt.SIGNAL_ID_MAX)
    places = reader.bounded(at.BITS, count, "the place of a time vector", max(vector_count - 1, 0))
    codes = reader.bounded(at.BITS, count, "a type", fmt.TYPE_STRING)
    marked = reader.bounded(at.BITS, count, "a mark", 1)
    if len(np.unique(ids)) != count or len(np.unique(places)) != vector_count:
        raise reader.refuse("a signal stands in two columns, or no column uses a time vector")
    if count and int(lengths[places].sum()) > fmt.SAMPLES_MAX:
        raise reader.refuse(f"more than {fmt.SAMPLES_MAX} samples")
    columns = []
    for signal_id, place, code, mark in zip(
        ids.tolist(), places.tolist(), codes.tolist(), marked.tolist(), strict=True
    ):
        stamps = vectors[place]
        n = len(stamps)
        quality = reader.bounded(at.BITS, n, "a quality", 255).astype(np.uint8) if mark else None
        values = _texts(reader, n) if code == fmt.TYPE_STRING else _numbers(reader, code, n)
        columns.append(Column(signal_id, stamps, values, quality))
    reader.end()
    return columns


def decode_values(data: bytes, *, count_max: int = fmt.SAMPLES_MAX) -> NDArray[Any]:
    """The array that encode_values took, of the same type. More than count_max values are refused before memory is taken."""
    reader = Reader(data, typed=True)
    if reader.code > fmt.TYPE_BOOL:
        raise reader.refuse(f"type {reader.code} is not one of numbers")
    values = _numbers(
        reader, reader.code, reader.first("the number of values", min(count_max, fmt.SAMPLES_MAX))
    )
    reader.end()
    return values


def decode_times(data: bytes, *, count_max: int = fmt.SAMPLES_MAX) -> NDArray[np.int64]:
    """The stamps that encode_times took."""
    reader = Reader(data)
    n = reader.first("the number of stamps", min(count_max, fmt.SAMPLES_MAX))
    stamps = reader.integers(at.TIMES, n)
    reader.end()
    return stamps


def _vectors(reader: Reader, lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Time vectors, strictly ascending, read-only."""
    vectors = []
    origin = reader.integers(at.TIMES, 1)[0] if lengths.any() else np.int64(0)
    for n in lengths.tolist():
        with np.errstate(over="ignore"):
            stamps = reader.integers(at.TIMES, n) + origin
        if not bool((stamps[1:] > stamps[:-1]).all()):
            raise reader.refuse("a time vector does not ascend strictly")
        stamps.flags.writeable = False
        vectors.append(stamps)
    return vectors


def _numbers(reader: Reader, code: int, n: int) -> NDArray[Any]:
    """n values of a numeric type or truth values."""
    if code == fmt.TYPE_BOOL:
        return reader.bounded(at.BITS, n, "a truth value", 1).astype(np.bool_)
    dtype = fmt.NUMBER_TYPES[code]
    numbers = reader.values(dtype, n)
    if dtype.kind == "f" and dtype.itemsize == 4:
        return numbers.astype(np.int32).view(dtype)
    if dtype.itemsize == 8:
        return numbers.view(dtype)
    narrow = numbers.astype(dtype)
    if not np.array_equal(narrow.astype(np.int64), numbers):
        raise reader.refuse(f"a number does not fit {dtype}")
    return narrow


def _texts(reader: Reader, n: int) -> NDArray[Any]:
    """n texts from a table."""
    size = reader.number("a table of texts", n)
    lengths = reader.bounded(at.BITS, size, "a text's length", fmt.STRING_BYTES_MAX)
    total = int(lengths.sum())
    if total > fmt.TEXT_BYTES_MAX:
        raise reader.refuse(f"texts of more than {fmt.TEXT_BYTES_MAX} bytes")
    data = reader.bounded(at.BITS, total, "a byte", 255).astype(np.uint8).tobytes()
    table = np.empty(size, dtype=object)
    place = 0
    for k, length in enumerate(lengths.tolist()):
        try:
            table[k] = data[place : place + length].decode()
        except UnicodeDecodeError as cause:
            raise reader.refuse(f"a text is not UTF-8: {cause.reason}") from None
        place += length
    codes = reader.bounded(at.BITS, n, "a text's code", max(size - 1, 0))
    if n and not size:
        raise reader.refuse("codes of texts without a table")
    return table[codes]
