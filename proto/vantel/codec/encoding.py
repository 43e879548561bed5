"""Columns to bytes, codec format 1 (docs/format.md, section 7).

list of Column (times in monotonic ns, values in the unit of the signal) -> header + zlib of the raw block. Exact to the
bit. Columns that the format cannot hold raise InvalidArgumentError with the signal and the reason. Pure.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vantel.codec import format as fmt
from vantel.codec.errors import InvalidArgumentError
from vantel.codec.kernels import encode_times
from vantel.columns import Column


def encode(columns: Sequence[Column], *, level: int = 6) -> bytes:
    """Coded columns, in the order given. level: of zlib, 0 (fast) to 9 (small)."""
    if not 0 <= level <= 9:
        raise InvalidArgumentError(f"encode: level {level} is not within 0 to 9")
    if len(columns) > fmt.COLUMNS_MAX:
        raise InvalidArgumentError(
            f"encode: {len(columns)} columns, at most {fmt.COLUMNS_MAX} fit; split them"
        )
    times: dict[bytes, int] = {}
    vectors: list[bytes] = []
    parts: list[bytes] = []
    seen: set[int] = set()
    samples = 0
    for column in columns:
        stamps = _stamps(column)
        if column.signal_id in seen:
            raise _invalid(column, "stands in two columns; join them")
        seen.add(column.signal_id)
        samples += len(stamps)
        if samples > fmt.SAMPLES_MAX:
            raise InvalidArgumentError(f"encode: more than {fmt.SAMPLES_MAX} samples; split the columns")
        key = stamps.tobytes()
        index = times.setdefault(key, len(vectors))
        if index == len(vectors):
            vectors.append(_time_vector(stamps))
        parts.append(_column(column, index, len(stamps)))
    raw = b"".join([varint(len(vectors)), varint(len(columns)), *vectors, *parts])
    if len(raw) > fmt.RAW_BYTES_MAX:
        raise InvalidArgumentError(
            f"encode: {len(raw)} bytes before compression, at most {fmt.RAW_BYTES_MAX} fit; split the columns"
        )
    header = fmt.MAGIC + bytes((fmt.FORMAT, fmt.METHOD_ZLIB)) + len(raw).to_bytes(4, "little")
    return header + zlib.compress(raw, level)


def varint(number: int) -> bytes:
    """Base-128 varint of a number from 0 to 2**64 - 1, low bits first."""
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _invalid(column: Column, cause: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"encode: signal {column.signal_id}: {cause}")


def _stamps(column: Column) -> NDArray[np.int64]:
    """Checked stamps of a column."""
    if not 0 <= column.signal_id <= fmt.SIGNAL_ID_MAX:
        raise _invalid(column, "the id does not lie within 0 to 2**32 - 1")
    stamps = np.asarray(column.t_ns)
    if stamps.ndim != 1 or stamps.dtype.kind != "i" or stamps.dtype.itemsize != 8:
        raise _invalid(column, f"times are {stamps.dtype}{list(stamps.shape)}, not int64[n]")
    if np.shape(column.values) != stamps.shape:
        raise _invalid(column, f"{len(stamps)} times but values of shape {list(np.shape(column.values))}")
    if len(stamps) > 1 and not bool((stamps[1:] > stamps[:-1]).all()):
        raise _invalid(column, "times do not ascend strictly")
    return np.ascontiguousarray(stamps, dtype=np.dtype("<i8"))


def _time_vector(stamps: NDArray[np.int64]) -> bytes:
    out = np.empty(fmt.VARINT_BYTES_MAX * len(stamps), np.uint8)
    return varint(len(stamps)) + out[: encode_times(stamps, out)].tobytes()


def _column(column: Column, time_index: int, n: int) -> bytes:
    """Header, quality and values of one column."""
    code, body = _values(column)
    quality = _quality(column, n)
    flags = fmt.FLAG_QUALITY if quality else 0
    return b"".join([varint(column.signal_id), varint(time_index), bytes((code | flags,)), quality, body])


def _quality(column: Column, n: int) -> bytes:
    """Runs of equal quality; empty when all samples are good."""
    if column.quality is None:
        return b""
    quality = np.asarray(column.quality)
    if quality.shape != (n,) or quality.dtype != np.uint8:
        raise _invalid(column, f"quality is {quality.dtype}{list(quality.shape)}, not uint8[{n}]")
    if not quality.any():
        return b""
    firsts = np.flatnonzero(np.concatenate([[True], quality[1:] != quality[:-1]]))
    lengths = np.diff(firsts, append=n)
    runs = [
        varint(int(length)) + bytes((int(quality[first]),))
        for first, length in zip(firsts, lengths, strict=True)
    ]
    return varint(len(runs)) + b"".join(runs)


def _values(column: Column) -> tuple[int, bytes]:
    """Type code with its plain flag, and bytes of the values."""
    values = np.asarray(column.values)
    if values.dtype.kind in "OU":
        return fmt.TYPE_STRING, _strings(column, values)
    if values.dtype.kind == "b":
        return fmt.TYPE_BOOL, np.packbits(values, bitorder="little").tobytes()
    code = fmt.NUMBER_CODES.get(f"{values.dtype.kind}{values.dtype.itemsize}")
    if code is None:
        raise _invalid(column, f"values of type {values.dtype} cannot be coded")
    width = values.dtype.itemsize
    words = np.ascontiguousarray(values, dtype=fmt.NUMBER_TYPES[code]).view(f"<u{width}")
    residues = words.copy()
    if values.dtype.kind == "f":
        # decimal steps of a sensor come back again and again: whole words repeat, their XOR does not (decision 0002)
        if 10 * len(np.unique(words)) <= fmt.PLAIN_DISTINCT_TENTHS_MAX * len(words):
            return code | fmt.FLAG_PLAIN, words.tobytes()
        residues[1:] ^= words[:-1]
    else:
        residues[1:] -= words[:-1]
        residues = zigzag(residues)
    return code, planes(residues)


def zigzag(words: NDArray[Any]) -> NDArray[Any]:
    """Two's complement words to words that are small when the number is small, either sign."""
    width_bits = 8 * words.dtype.itemsize
    sign = words >> words.dtype.type(width_bits - 1)
    folded: NDArray[Any] = (words << words.dtype.type(1)) ^ (~sign + words.dtype.type(1))
    return folded


def planes(words: NDArray[Any]) -> bytes:
    """Bytes of little-endian words[n], plane by plane: all lowest bytes first."""
    split: NDArray[np.uint8] = words.view(np.uint8).reshape(len(words), words.dtype.itemsize)
    return bytes(split.T.tobytes())


def _strings(column: Column, values: NDArray[Any]) -> bytes:
    """Table of the distinct strings in the order of their first use, then the codes."""
    table: dict[str, int] = {}
    codes = np.empty(len(values), np.uint32)
    for at, text in enumerate(values.tolist()):
        if not isinstance(text, str):
            raise _invalid(column, f"value {at} is {type(text).__name__}, not str")
        codes[at] = table.setdefault(text, len(table))
    entries = [varint(len(table))]
    for text in table:
        try:
            data = text.encode()
        except UnicodeEncodeError as cause:
            raise _invalid(column, f"text {text!r} has no UTF-8 form: {cause.reason}") from None
        if len(data) > fmt.STRING_BYTES_MAX:
            raise _invalid(column, f"a text of {len(data)} bytes, at most {fmt.STRING_BYTES_MAX} fit")
        entries += (varint(len(data)), data)
    width = next(kind for size, kind in fmt.TABLE_WIDTHS if len(table) <= size)
    return b"".join(entries) + planes(codes.astype(width))
