"""Sizes of published float codecs that no package has: Gorilla, Chimp128, ALP. Own short ports, size in bits only.

Gorilla: Pelkonen et al., VLDB 2015, section 4.1.2. Chimp128: Liakos et al., VLDB 2022, section 5. ALP: Afroozeh, Kuffo and
Boncz, SIGMOD 2024 (doi 10.1145/3626717); exponents are searched in full instead of by samples and the better of ALP and
ALP-RD is taken for each vector, both in favour of ALP. Words are uint64[n]; width is 64 or 32 bits of a value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_ALP_HEADER_BITS = 8 + 8 + 8 + 64 + 16
"""Exponent, factor, bit width, base, number of exceptions."""
_ALP_RD_HEADER_BITS = 8 + 8 + 8 * 16 + 16


@njit(cache=True)
def _length(word):  # type: ignore[no-untyped-def]
    bits = 0
    while word:
        bits += 1
        word >>= np.uint64(1)
    return bits


@njit(cache=True)
def _trailing(word, width):  # type: ignore[no-untyped-def]
    if word == 0:
        return width
    zeros = 0
    while not word & np.uint64(1):
        zeros += 1
        word >>= np.uint64(1)
    return zeros


@njit(cache=True)
def gorilla_bits(words, width):  # type: ignore[no-untyped-def]
    """XOR with the value before; window of meaningful bits kept while it fits."""
    bits, lead, trail = width, -1, 0
    for i in range(1, len(words)):
        x = words[i] ^ words[i - 1]
        if x == 0:
            bits += 1
            continue
        now_lead, now_trail = min(width - _length(x), 31), _trailing(x, width)
        if lead >= 0 and now_lead >= lead and now_trail >= trail:
            bits += 2 + width - lead - trail
        else:
            lead, trail = now_lead, now_trail
            bits += 2 + 5 + (6 if width == 64 else 5) + width - lead - trail
    return bits


@njit(cache=True)
def chimp128_bits(words, width):  # type: ignore[no-untyped-def]
    """XOR with the one of the last 128 values that shares the low bits, else with the value before."""
    log, count_bits = 7, (6 if width == 64 else 5)
    threshold = count_bits + log
    mask = np.uint64((1 << (threshold + 1)) - 1)
    last = np.full(1 << (threshold + 1), -1000, np.int64)
    bits, stored = width, 65
    last[words[0] & mask] = 0
    for i in range(1, len(words)):
        key = words[i] & mask
        at, trail = last[key], 0
        x = words[i] ^ words[i - 1]
        if i - at < 128:
            near = words[i] ^ words[at]
            trail = _trailing(near, width)
            if trail > threshold:
                x = near
        lead = width - _length(x)
        # eight lengths have a code: 0, 8, 12, 16, 18, 20, 22, 24
        lead = min(24, lead // 2 * 2) if lead >= 16 else 12 if lead >= 12 else lead // 8 * 8
        if x == 0:
            bits += 2 + log
            stored = 65
        elif trail > threshold:
            bits += 2 + log + 3 + count_bits + width - lead - trail
            stored = 65
        elif lead == stored:
            bits += 2 + width - lead
        else:
            bits += 5 + width - lead
            stored = lead
        last[key] = i
    return bits


@njit(cache=True)
def _alp_decimal_bits(values, words, width, power, inverse):  # type: ignore[no-untyped-def]
    best, n = np.int64(1) << 60, len(values)
    for e in range(len(power)):
        for f in range(e + 1):
            low, high, exceptions = np.int64(2**62), np.int64(-(2**62)), 0
            for i in range(n):
                scaled = values[i] * power[e] * inverse[f]
                fits = abs(scaled) < 2.0**51
                if fits:
                    d = np.int64(np.rint(scaled))
                    back = np.float64(d) * power[f] * inverse[e]
                    fits = back == values[i] and (d != 0 or words[i] == 0)
                    if fits:
                        low, high = min(low, d), max(high, d)
                if not fits:
                    exceptions += 1
            packed = _length(np.uint64(high - low)) if high >= low else 0
            best = min(best, n * packed + exceptions * (width + 16))
    return best + _ALP_HEADER_BITS


def _alp_rd_bits(words: NDArray[np.uint64], width: int) -> int:
    best = 1 << 60
    for left in range(1, 17):
        _, counts = np.unique(words >> np.uint64(width - left), return_counts=True)
        kept = np.sort(counts)[::-1][:8]
        index_bits = max(1, int(len(kept) - 1).bit_length())
        exceptions = len(words) - int(kept.sum())
        best = min(best, len(words) * (width - left + index_bits) + exceptions * 32)
    return best + _ALP_RD_HEADER_BITS


def alp_bits(values: NDArray[Any]) -> int:
    """The better of ALP and ALP-RD for one vector of float64 or float32 (whose powers of ten are in float64 here)."""
    words, width = words_of(values)
    power = 10.0 ** np.arange(19 if width == 64 else 11)
    wide = values.astype(np.float64)
    return min(int(_alp_decimal_bits(wide, words, width, power, 1.0 / power)), _alp_rd_bits(words, width))


def words_of(values: NDArray[Any]) -> tuple[NDArray[np.uint64], int]:
    """Bit patterns as uint64[n], and the width of a value in bits."""
    width = 8 * values.dtype.itemsize
    unsigned = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")
    return unsigned.astype(np.uint64), width
