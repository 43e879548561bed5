"""CRC-32C and its mask.

Goal: the kernel equals the published checksum for every length, alignment and split.
Method: vectors of RFC 3720 appendix B.4 and the "123456789" check value; a bit-by-bit reference on random bytes.
"""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vantel.crc32c import crc32c, masked

ISCSI_READ_10 = bytes.fromhex(
    "01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018 28000000 00000000 02000000 00000000"
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (ISCSI_READ_10, 0xD9963A56),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_published_vectors(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


def test_every_short_length_equals_the_reference(reference: ModuleType) -> None:
    data = bytes((i * 197 + 31) & 0xFF for i in range(80))
    for start in range(9):
        for end in range(start, len(data)):
            assert crc32c(memoryview(data)[start:end]) == reference.crc32c(data[start:end])


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_a_running_checksum_equals_one_over_all(first: bytes, second: bytes) -> None:
    assert crc32c(second, crc32c(first)) == crc32c(first + second)
    assert crc32c(bytearray(first)) == crc32c(first)


@given(st.integers(0, 0xFFFFFFFF))
def test_the_mask_can_be_taken_off(crc: int) -> None:
    rotated = (masked(crc) - 0xA282EAD8) & 0xFFFFFFFF
    assert ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF == crc


def test_zeros_do_not_carry_a_valid_checksum() -> None:
    for length in range(64):
        assert masked(crc32c(bytes(length))) != 0
