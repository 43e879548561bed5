"""Bytes to columns, codec format 1 (docs/format.md, section 7).

Header + zlib of the raw block -> list of Column, exact to the bit. Every size is checked against the limits before
memory is taken for it, so that arbitrary bytes cost bounded time and memory and end as columns or as a CodecError.
Columns with one time vector share one read-only array. Pure.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vantel.codec import format as fmt
from vantel.codec.errors import CorruptError, TruncatedError, UnsupportedError
from vantel.codec.kernels import TRUNCATED, decode_times
from vantel.columns import Column


def decode(data: bytes) -> list[Column]:
    """Columns in the order in which they were coded. CorruptError, TruncatedError or UnsupportedError otherwise."""
    return _Block(_inflate(data)).columns()


def _inflate(data: bytes) -> bytes:
    """The raw block, checked against the header."""
    head = data[: fmt.HEADER_BYTES]
    if not fmt.MAGIC.startswith(head[:2]):
        raise CorruptError("decode: the data does not begin with the magic of coded columns")
    if len(head) > 2 and head[2] != fmt.FORMAT:
        raise UnsupportedError(f"decode: format {head[2]}, this decoder knows {fmt.FORMAT}; update it")
    if len(head) > 3 and head[3] != fmt.METHOD_ZLIB:
        raise UnsupportedError(f"decode: compression method {head[3]} is unknown; update the decoder")
    if len(head) < fmt.HEADER_BYTES:
        raise TruncatedError(f"decode: {len(data)} bytes, the header alone has {fmt.HEADER_BYTES}")
    raw_bytes = int.from_bytes(head[4:8], "little")
    if raw_bytes > fmt.RAW_BYTES_MAX:
        raise CorruptError(f"decode: {raw_bytes} bytes declared, at most {fmt.RAW_BYTES_MAX} are allowed")
    inflater = zlib.decompressobj()
    try:
        # one byte more than declared shows a stream that is too long without unpacking the rest of it
        raw = inflater.decompress(data[fmt.HEADER_BYTES :], raw_bytes + 1)
    except zlib.error as cause:
        raise CorruptError(f"decode: the compressed part is damaged: {cause}") from None
    if len(raw) > raw_bytes:
        raise CorruptError(f"decode: unpacks to more than the {raw_bytes} bytes declared")
    if not inflater.eof:
        raise TruncatedError("decode: the compressed part ends too early")
    if len(raw) < raw_bytes:
        raise CorruptError(f"decode: unpacks to {len(raw)} bytes, {raw_bytes} were declared")
    if inflater.unused_data:
        raise CorruptError(f"decode: {len(inflater.unused_data)} bytes too many behind the compressed part")
    return raw


class _Block:
    """Reading position in a raw block. Whatever goes past its end is corrupt: the checksum of zlib has passed."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._view = np.frombuffer(raw, np.uint8)
        self._at = 0

    def columns(self) -> list[Column]:
        """Read the whole block."""
        vector_count, column_count = self._varint(), self._varint()
        if column_count > fmt.COLUMNS_MAX or vector_count > column_count:
            raise CorruptError(f"decode: {column_count} columns with {vector_count} time vectors")
        vectors, samples = [], 0
        for _ in range(vector_count):
            vectors.append(self._times(fmt.SAMPLES_MAX - samples))
            samples += len(vectors[-1])
        columns: list[Column] = []
        used: set[int] = set()
        seen: set[int] = set()
        samples = 0
        for _ in range(column_count):
            signal_id, index = self._varint(), self._varint()
            if signal_id > fmt.SIGNAL_ID_MAX or signal_id in seen:
                raise CorruptError(f"decode: signal id {signal_id} is too large or stands in two columns")
            if index >= vector_count:
                raise CorruptError(f"decode: signal {signal_id} names time vector {index} of {vector_count}")
            seen.add(signal_id)
            used.add(index)
            samples += len(vectors[index])
            if samples > fmt.SAMPLES_MAX:
                raise CorruptError(f"decode: more than {fmt.SAMPLES_MAX} samples")
            columns.append(self._column(signal_id, vectors[index]))
        if len(used) != vector_count or self._at != len(self._raw):
            raise CorruptError("decode: the block has time vectors or bytes that no column uses")
        return columns

    def _varint(self) -> int:
        number = shift = 0
        for byte in self._raw[self._at : self._at + fmt.VARINT_BYTES_MAX]:
            self._at += 1
            number |= (byte & 127) << shift
            if byte < 128:
                if number >> 64:
                    break
                return number
            shift += 7
        raise CorruptError("decode: a number has more than 64 bits or runs past the end of the block")

    def _bytes(self, count: int) -> bytes:
        if count > len(self._raw) - self._at:
            raise CorruptError("decode: the block ends within a column")
        self._at += count
        return self._raw[self._at - count : self._at]

    def _times(self, samples_left: int) -> NDArray[np.int64]:
        n = self._varint()
        # a stamp takes a byte at least, so a longer vector cannot be there and no memory is taken for it
        if n > samples_left or n > len(self._raw) - self._at:
            raise CorruptError(f"decode: a time vector of {n} stamps is more than there can be")
        stamps = np.empty(n, np.int64)
        end = int(decode_times(self._view, self._at, stamps))
        if end < 0:
            cause = "runs past the end of the block" if end == TRUNCATED else "does not ascend strictly"
            raise CorruptError(f"decode: a time vector {cause}")
        self._at = end
        stamps.flags.writeable = False
        return stamps

    def _column(self, signal_id: int, stamps: NDArray[np.int64]) -> Column:
        mark = self._bytes(1)[0]
        n = len(stamps)
        quality = self._quality(n) if mark & fmt.FLAG_QUALITY else None
        code, plain = mark & fmt.TYPE_MASK, bool(mark & fmt.FLAG_PLAIN)
        if plain and code not in fmt.NUMBER_TYPES:
            raise UnsupportedError(
                f"decode: signal {signal_id} has a flag that is unknown; update the decoder"
            )
        if code in fmt.NUMBER_TYPES:
            return Column(signal_id, stamps, self._numbers(fmt.NUMBER_TYPES[code], n, plain), quality)
        if code == fmt.TYPE_BOOL:
            return Column(signal_id, stamps, self._booleans(n), quality)
        if code == fmt.TYPE_STRING:
            return Column(signal_id, stamps, self._strings(n), quality)
        raise UnsupportedError(f"decode: signal {signal_id} has values of type {code}; update the decoder")

    def _quality(self, n: int) -> NDArray[np.uint8]:
        runs = self._varint()
        if not 0 < runs <= n:
            raise CorruptError(f"decode: {runs} runs of quality in {n} samples")
        lengths, marks = [], []
        for _ in range(runs):
            lengths.append(self._varint())
            marks.append(self._bytes(1)[0])
        if min(lengths) == 0 or sum(lengths) != n:
            raise CorruptError(f"decode: runs of quality add up to {sum(lengths)} of {n} samples")
        return np.repeat(np.array(marks, np.uint8), lengths)

    def _words(self, kind: np.dtype[Any], n: int) -> NDArray[Any]:
        """Inverse of planes(): words[n] of an unsigned type."""
        width = kind.itemsize
        split = np.frombuffer(self._bytes(n * width), np.uint8).reshape(width, n)
        words: NDArray[Any] = split.T.copy(order="C").view(f"<u{width}").reshape(n)
        return words

    def _numbers(self, kind: np.dtype[Any], n: int, plain: bool) -> NDArray[Any]:
        if plain:
            values: NDArray[Any] = np.frombuffer(self._bytes(n * kind.itemsize), kind).copy()
            return values
        words = self._words(kind, n)
        if kind.kind == "f":
            np.bitwise_xor.accumulate(words, out=words)
        else:
            one = words.dtype.type(1)
            words = (words >> one) ^ (~(words & one) + one)
            np.add.accumulate(words, out=words)
        return words.view(kind)

    def _booleans(self, n: int) -> NDArray[np.bool_]:
        packed = np.frombuffer(self._bytes((n + 7) // 8), np.uint8)
        bits = np.unpackbits(packed, bitorder="little")
        if bits[n:].any():
            raise CorruptError("decode: bits behind the last truth value are not zero")
        return bits[:n].astype(np.bool_)

    def _strings(self, n: int) -> NDArray[Any]:
        size = self._varint()
        if size > n:
            raise CorruptError(f"decode: a table of {size} texts for {n} samples")
        table = np.empty(size, dtype=object)
        for at in range(size):
            length = self._varint()
            if length > fmt.STRING_BYTES_MAX:
                raise CorruptError(
                    f"decode: a text of {length} bytes, at most {fmt.STRING_BYTES_MAX} are allowed"
                )
            try:
                table[at] = self._bytes(length).decode()
            except UnicodeDecodeError as cause:
                raise CorruptError(f"decode: a text is not UTF-8: {cause.reason}") from None
        width = next(kind for limit, kind in fmt.TABLE_WIDTHS if size <= limit)
        codes = self._words(width, n)
        if n and int(codes.max()) >= size:
            raise CorruptError("decode: a text code lies outside its table")
        return table[codes.astype(np.int64)]
