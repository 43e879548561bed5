"""Slow, independent readers of the contract's bytes, in plain Python with explicit masks.

Written from docs/format.md, sharing no line with vantel: CRC-32C bit by bit, and a decoder of codec format 1 that gives
plain tuples. Only for bytes that are legal; it checks little. Values come as bit patterns (integers), truth values or
text, so that NaN payloads can be compared.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from math import comb

from tests.proto.reference_coder import (
    BASE,
    COUNT,
    EXPONENT,
    FACTOR,
    FLAGS,
    GAP,
    LEVELS,
    MODE,
    NARROW,
    NEWER,
    PLAIN,
    PREDICTOR,
    REGION_ROWS,
    RUN,
    START,
    STEP,
    Coder,
)

MASK64 = (1 << 64) - 1
WIDTH_BITS = {0: 64, 1: 32, 2: 64, 3: 32, 4: 16, 5: 8, 6: 64, 7: 32, 8: 16, 9: 8}
VALUES, TIMES, ADJUST, BITS = range(4)

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


def wrap(number: int) -> int:
    """Two's complement of 64 bits."""
    return (number + (1 << 63) & MASK64) - (1 << 63)


def residual(coder: Coder, region: int, s: int) -> tuple[int, bool]:
    """Section 7.4: the number, and whether its class stood by itself."""
    length = s.bit_length()
    e = s if s < 4 else 2 * length + (s >> length - 2 & 1) - 2
    symbol = coder.symbol(region * REGION_ROWS + min(e, 20 + e % 2))
    c = coder.raw(7) if symbol == 15 else symbol + max((e - 20) // 2, 0)
    if c == 0:
        return 0, symbol == 15
    rest = coder.raw(c)
    size = 1 << (c - 1) | rest >> 1
    return wrap(-size if rest & 1 else size), symbol == 15


def zeros(coder: Coder, region: int, left: int) -> int:
    """Length of a run of zeros at rest, of so many residuals left."""
    symbol = coder.symbol(region * REGION_ROWS + RUN)
    if symbol == 15:
        return left
    if symbol == 14:
        return coder.raw(20)
    return coder.raw(symbol - 1) | 1 << (symbol - 1) if symbol else 0


def integers(coder: Coder, part: int, n: int) -> list[int]:
    """Section 7.4: n whole numbers."""
    predictor = coder.tree(PREDICTOR + 16 * part, 4) if n > 1 else 1
    if predictor in (6, 7):
        return levels(coder, part, n, predictor == 7)
    wide = predictor in (13, 14)
    predictor -= 12 if wide else 0
    base = wrap(coder.signed(BASE + 64 * part))
    drift = wrap(coder.signed(STEP + 64 * part)) if predictor == 15 else 0
    x = [] if predictor == 0 else [base]
    if len(x) == n:
        return x
    start = coder.tree(START + 64 * part, 6)
    s = (3 << min(start, 60 if wide else 48)) >> 2
    rest = 0
    while len(x) < n:
        if s == 0 and not rest:
            rest = zeros(coder, part, n - len(x)) + 1
        if rest > 1:
            r = 0
        else:
            r, escaped = residual(coder, part, s)
            size = 16 * min(abs(r), 1 << (58 if wide else 40))
            s = size if escaped and 7 < predictor < 13 else s + (size - s >> 1)
        rest = max(rest - 1, 0)
        x.append(wrap(r + drift + predict(x, predictor % 14, base)))
    return x


def predict(x: list[int], predictor: int, base: int) -> int:
    if predictor == 0:
        return base
    if predictor == 1 or len(x) < 2:
        return x[-1]
    if predictor == 2:
        return 2 * x[-1] - x[-2]
    if predictor > 7:
        order = min(predictor - 5, len(x))
        return sum((-1) ** (k + 1) * comb(order, k) * x[-k] for k in range(1, order + 1))
    if predictor == 3:
        return x[-1] + (wrap(x[-1] - x[-2]) >> 1)
    if predictor == 4 or len(x) < 4:
        return x[-1] + (wrap(x[-2] - x[-1]) >> 1)
    return x[-1] + (wrap(x[-2] + x[-3] + x[-4] - 3 * x[-1]) >> 2)


def levels(coder: Coder, part: int, n: int, steps: bool) -> list[int]:
    count = coder.number(COUNT)
    keys = [wrap(coder.signed(BASE + 64 * part))]
    while len(keys) < count:
        keys.append(wrap(keys[-1] + coder.number(STEP + 64 * part)))
    x = [wrap(coder.signed(BASE + 64 * part))] if steps else []
    for row in range(17):
        kinds = count if count <= 16 else (count - 1) // 16 + 1 if row == 16 else 16
        share = (32768 - 4 * (16 - kinds)) // kinds
        coder.rows[LEVELS + row] = ([share * k if k < kinds else 32768 - 4 * (16 - k) for k in range(16)], 2)
    k = 0
    while len(x) < n:
        if count > 16:
            k = coder.symbol(LEVELS + 16)
            k = 16 * k + coder.symbol(LEVELS + k)
        else:
            k = coder.symbol(LEVELS + k)
        x.append(wrap(x[-1] + keys[k]) if steps else keys[k])
    return x


def to_float(word: int) -> float:
    return float(struct.unpack("<d", struct.pack("<q", word))[0])


def to_word(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def single(value: float) -> float:
    """Nearest float32, infinite beyond."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def narrow(word: int) -> int:
    """float32 pattern (signed) of a float64 pattern."""
    if word >> 52 & 2047 == 2047:
        pattern = (word < 0) << 31 | 0x7F800000 | word >> 29 & 0x7FFFFF
        return pattern - (1 << 32 if pattern >> 31 else 0)
    return int(struct.unpack("<i", struct.pack("<f", single(to_float(word))))[0])


def widen(word: int) -> int:
    """float64 pattern (signed) of a float32 pattern."""
    if word >> 23 & 255 == 255:
        return wrap((word < 0) << 63 | 0x7FF0000000000000 | (word & 0x7FFFFF) << 29)
    return to_word(struct.unpack("<f", struct.pack("<i", word))[0])


def ordered(word: int, bits: int) -> int:
    """Own inverse; word and result are signed."""
    return word ^ ((1 << bits - 1) - 1) if word < 0 else word


def signed32(number: int) -> int:
    return (number + (1 << 31) & 0xFFFFFFFF) - (1 << 31)


def printed(value: float) -> float:
    """Shortest decimal of a float32, read as float64."""
    for e in range(23):
        y = value * 10.0**e
        if not abs(y) < 2.0**51:
            break
        near = float(round(Fraction(y))) / 10.0**e
        if single(near) == value:
            return near
    return value


def array(coder: Coder, part: int, kind: int, n: int, width: int = -64) -> list[int]:
    """Section 7.5: n words; kind 0 float64 patterns, 1 float32 patterns, 2 whole numbers. All signed."""
    if coder.bit(PLAIN):
        learned = coder.cells[PLAIN]
        coder.begin()
        coder.cells[PLAIN] = learned
        words = [coder.raw(abs(width)) for _ in range(n)]
        return [w - (w >> abs(width) - 1 << abs(width)) if width < 0 else w for w in words]
    mode, short, read, multiplier, exponent, offset, negative, corrected = 0, 0, 0, 1, 0, 0, 0, 0
    step = start = 0.0
    special: list[tuple[int, int]] = []
    if kind != 2:
        short = coder.bit(NARROW + kind)
        read = coder.bit(NARROW + 2) if short and kind == 0 else 0
        mode = coder.tree(MODE, 3)
        corrected = int(mode == 4)
        if mode == 5:
            step, start = to_float(wrap(coder.raw(64))), 0.0
            corrected, negative = coder.bit(FLAGS + 2), coder.bit(FLAGS)
        elif mode not in (0, 6):
            if mode == 3:
                exponent = coder.signed(GAP)
            else:
                exponent = coder.tree(EXPONENT, 5)
                if mode == 7 and exponent == 31:
                    step, start = to_float(wrap(coder.raw(64))), to_float(wrap(coder.raw(64)))
                elif mode != 1:
                    multiplier, offset = coder.number(COUNT), coder.signed(GAP)
                    step, start = multiplier / 10**exponent, offset / 10**exponent
                if mode == 7:
                    corrected = coder.bit(FLAGS + 2)
            negative = coder.bit(FLAGS)
            place = -1
            for _ in range(coder.number(COUNT) if coder.bit(FLAGS + 1) else 0):
                place += coder.number(GAP) + 1
                word = signed32(coder.raw(32)) if short or kind == 1 else wrap(coder.raw(64))
                special.append((place, word))
    factor, lattice, pitch, origin = 1, 0, 0.0, 0
    if n > 1:
        lattice = coder.bit(FLAGS + 3)
        if lattice:
            pitch, origin = to_float(wrap(coder.raw(64))), wrap(coder.signed(GAP))
        else:
            factor = coder.number(FACTOR)
    if factor == 0:
        x = [wrap(coder.signed(BASE + 64 * part))] * n
    else:
        rest = coder.number(COUNT) if factor != 1 else 0
        x = [wrap(v * factor + rest) for v in integers(coder, part, n)]
    u = integers(coder, ADJUST, n) if lattice or corrected else [0] * n
    if mode == 6:
        bits = 23 if short else 52
        x = [wrap(v << bits | coder.raw(bits)) for v in x]
    if lattice:
        x = [wrap(origin + d + round(Fraction(v * pitch))) for v, d in zip(x, u, strict=True)]
    if kind == 2:
        return x
    words = []
    for v, d in zip(x, u, strict=True):
        if mode in (0, 6):
            word = ordered(signed32(v), 32) if short else ordered(v, 64)
            words.append(widen(word) if short and kind == 0 else word)
            continue
        if mode == 3:
            value = float(v) * 2.0**-exponent
        elif mode == 5:
            value = float(v) * step
        elif mode == 7:
            value = float(v) * step + start
        elif mode == 2 or (mode == 4 and multiplier):
            value = float(v) * (float(multiplier) / 10.0**exponent) + float(offset)
        else:
            value = float(v) / 10.0**exponent
        word = to_word(single(value) if short and mode not in {3, 5} else value)
        if corrected:
            if short:
                word = widen(ordered(signed32(ordered(narrow(word), 32) + d), 32))
            else:
                word = ordered(wrap(ordered(word, 64) + d), 64)
        if negative and word == 0:
            word = -(1 << 63)
        words.append(narrow(word) if kind == 1 else word)
    for place, word in special:
        words[place] = widen(word) if short and kind == 0 else word
    return [to_word(printed(to_float(word))) for word in words] if read else words


def arrays_of(coder: Coder, part: int, n: int) -> list[int]:
    return array(coder, part, 2, n) if n else []


def values_of(coder: Coder, code: int, n: int) -> list[int] | list[bool] | list[str]:
    """Values of one column of type code, numbers as unsigned patterns."""
    if code == 10:
        return [bool(bit) for bit in arrays_of(coder, BITS, n)]
    if code == 11:
        size = coder.number(COUNT)
        lengths = arrays_of(coder, BITS, size)
        data = bytes(arrays_of(coder, BITS, sum(lengths)))
        ends = [sum(lengths[: k + 1]) for k in range(size)]
        table = [data[end - length : end].decode() for end, length in zip(ends, lengths, strict=True)]
        return [table[k] for k in arrays_of(coder, BITS, n)]
    width = WIDTH_BITS[code]
    words = array(coder, VALUES, min(code, 2), n, width if code >= 6 else -width) if n else []
    return [word & (1 << WIDTH_BITS[code]) - 1 for word in words]


def decode(data: bytes) -> list[PlainColumn]:
    """Columns of codec format 1."""
    coder = Coder(data)
    assert coder.bit(NEWER) == 0
    count, vectors = coder.number(COUNT), coder.number(COUNT)
    lengths = arrays_of(coder, BITS, vectors)
    origin = arrays_of(coder, TIMES, 1)[0] if any(lengths) else 0
    stamps = [[wrap(t + origin) for t in arrays_of(coder, TIMES, n)] for n in lengths]
    ids, places, codes, marks = (arrays_of(coder, BITS, count) for _ in range(4))
    columns: list[PlainColumn] = []
    for signal_id, place, code, mark in zip(ids, places, codes, marks, strict=True):
        n = lengths[place]
        quality = arrays_of(coder, BITS, n) if mark else None
        columns.append((signal_id, code, stamps[place], values_of(coder, code, n), quality))
    assert coder.length() == len(data)
    return columns
