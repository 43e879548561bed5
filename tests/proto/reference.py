"""Slow, independent readers of the contract's bytes, in plain Python with explicit masks.

Written from docs/format.md, sharing no line with vantel: CRC-32C bit by bit, and a decoder of codec format 1 that gives
plain tuples. Only for bytes that are legal; it checks little. Values come as bit patterns (integers), truth values or
text, so that NaN payloads can be compared.
"""

from __future__ import annotations

import zlib

MASK64 = (1 << 64) - 1
WIDTH_BITS = {1: 64, 2: 32, 3: 8, 4: 16, 5: 32, 6: 64, 7: 8, 8: 16, 9: 32, 10: 64}

PlainColumn = tuple[int, int, list[int], list[int] | list[bool] | list[str], list[int] | None]
"""(signal id, type code, stamps, values, quality)."""


def crc32c(data: bytes) -> int:
    """CRC-32C, one bit at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 * (crc & 1))
    return crc ^ 0xFFFFFFFF


class Cursor:
    """Bytes with a reading position."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        assert self.at + count <= len(self.data)
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        number = shift = 0
        while True:
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                assert number <= MASK64
                return number


def unzigzag(folded: int) -> int:
    return folded >> 1 if folded % 2 == 0 else -((folded + 1) >> 1)


def signed64(number: int) -> int:
    number &= MASK64
    return number - (1 << 64) if number >> 63 else number


def read_times(cursor: Cursor) -> list[int]:
    stamps: list[int] = []
    step = 0
    for i in range(cursor.varint()):
        change = unzigzag(cursor.varint())
        if i == 0:
            stamps.append(signed64(change))
        else:
            step += change
            stamps.append(signed64(stamps[-1] + step))
    return stamps


def read_words(cursor: Cursor, n: int, width_bytes: int) -> list[int]:
    planes = [cursor.take(n) for _ in range(width_bytes)]
    return [sum(planes[k][i] << (8 * k) for k in range(width_bytes)) for i in range(n)]


def read_numbers(cursor: Cursor, code: int, n: int, plain: bool) -> list[int]:
    """Bit patterns of the values."""
    bits = WIDTH_BITS[code]
    if plain:
        return [int.from_bytes(cursor.take(bits // 8), "little") for _ in range(n)]
    previous = 0
    out = []
    for word in read_words(cursor, n, bits // 8):
        previous = previous ^ word if code <= 2 else (previous + unzigzag(word)) & ((1 << bits) - 1)
        out.append(previous)
    return out


def read_strings(cursor: Cursor, n: int) -> list[str]:
    table = [cursor.take(cursor.varint()).decode("utf-8") for _ in range(cursor.varint())]
    width = 1 if len(table) <= 256 else 2 if len(table) <= 65_536 else 4
    return [table[code] for code in read_words(cursor, n, width)]


def decode(data: bytes) -> list[PlainColumn]:
    """Columns of codec format 1."""
    assert data[:4] == b"VC\x01\x01"
    raw = zlib.decompress(data[8:])
    assert len(raw) == int.from_bytes(data[4:8], "little")
    cursor = Cursor(raw)
    vector_count, column_count = cursor.varint(), cursor.varint()
    vectors = [read_times(cursor) for _ in range(vector_count)]
    columns: list[PlainColumn] = []
    for _ in range(column_count):
        signal_id, stamps, mark = cursor.varint(), vectors[cursor.varint()], cursor.take(1)[0]
        n, code = len(stamps), mark & 0x3F
        quality: list[int] | None = None
        if mark & 0x80:
            quality = []
            for _ in range(cursor.varint()):
                length = cursor.varint()
                quality += [cursor.take(1)[0]] * length
        values: list[int] | list[bool] | list[str]
        if code == 11:
            packed = cursor.take((n + 7) // 8)
            values = [bool(packed[i // 8] >> (i % 8) & 1) for i in range(n)]
        elif code == 12:
            values = read_strings(cursor, n)
        else:
            values = read_numbers(cursor, code, n, bool(mark & 0x40))
        columns.append((signal_id, code, stamps, values, quality))
    assert cursor.at == len(raw)
    return columns
