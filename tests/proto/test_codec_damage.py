"""Bytes that no encoder made, or that were cut, flipped or extended.

Goal: they end as columns of the declared shape or as a CodecError that names the remedy, in bounded time and memory.
Method: every prefix; every flipped bit; hypothesis; streams with hostile counts, measured with tracemalloc.
"""

from __future__ import annotations

import contextlib
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vantel import codec
from vantel.codec import format as fmt
from vantel.codec import layout as at
from vantel.codec.stream import Writer
from vantel.columns import Column

KINDS = ["f8", "f4", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "bool"]
RNG = np.random.default_rng(3)


def sample() -> list[Column]:
    stamps = np.array([10, 20, 31, 45])
    return [
        Column(3, stamps, np.array([1.5, np.nan, -0.0, 2.0]), np.array([0, 0, 1, 1], np.uint8)),
        Column(9, stamps, np.array(["on", "off", "on", "on"], dtype=object)),
        Column(5, stamps[1:], np.array([True, False, True])),
        Column(6, stamps, np.array([-3, 4, 4, 900], np.int16)),
    ]


def test_every_prefix_is_truncated() -> None:
    data = codec.encode(sample())
    for length in range(len(data)):
        with pytest.raises(codec.TruncatedError):
            codec.decode(data[:length])
    with pytest.raises(codec.CorruptError):
        codec.decode(data + b"\0")


def columns_or_codec_error(data: bytes) -> None:
    try:
        columns = codec.decode(data)
    except codec.CodecError:
        return
    assert sum(len(c.t_ns) for c in columns) <= fmt.SAMPLES_MAX
    for column in columns:
        assert len(column.t_ns) == len(column.values)
        assert bool((np.diff(column.t_ns.astype(object)) > 0).all())
        assert column.quality is None or len(column.quality) == len(column.t_ns)
    codec.encode(columns)


@settings(max_examples=1_000, deadline=None)
@given(st.binary(max_size=100))
def test_arbitrary_bytes(data: bytes) -> None:
    columns_or_codec_error(data)
    for read in (codec.decode_values, codec.decode_times):
        with contextlib.suppress(codec.CodecError):
            assert len(read(data)) <= fmt.SAMPLES_MAX


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_damaged_bytes(data: st.DataObject) -> None:
    damaged = bytearray(codec.encode(sample()))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    columns_or_codec_error(bytes(damaged))


def test_every_flipped_bit_gives_columns_or_a_codec_error() -> None:
    good = codec.encode(sample())
    for bit in range(8 * len(good)):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << (bit % 8)
        columns_or_codec_error(bytes(flipped))


@pytest.mark.parametrize("kind", KINDS)
def test_every_prefix_of_an_array_is_truncated(kind: str) -> None:
    data = codec.encode_values((np.cumsum(RNG.normal(size=80)) * 3).astype(kind))
    for length in range(len(data)):
        with pytest.raises(codec.TruncatedError):
            codec.decode_values(data[:length])
    with pytest.raises(codec.CorruptError):
        codec.decode_values(data + b"\0")


def hostile(*numbers: int) -> bytes:
    """A stream that begins with these counts."""
    writer = Writer(100, 1)
    for number in numbers:
        writer.number(number)
    writer.integers(at.BITS, np.array([10**6] * 40))
    return writer.finish() + bytes(50)


@pytest.mark.parametrize(
    "data",
    [
        hostile(fmt.COLUMNS_MAX + 1, 0),
        hostile(2, 3),
        hostile(2**62, 1),
        hostile(40, 40),
    ],
    ids=["too many columns", "more vectors than columns", "huge column count", "too many samples"],
)
def test_hostile_counts_are_corrupt_and_cheap(data: bytes) -> None:
    codec.decode(codec.encode(sample()))  # the first call of a kernel takes memory of its own
    tracemalloc.start()
    with pytest.raises(codec.CorruptError):
        codec.decode(data)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 4_000_000, "a million stamps that are not there would take 8 MB"


def test_a_declared_count_is_checked_before_memory_is_taken() -> None:
    bomb = codec.encode_values(np.zeros(fmt.SAMPLES_MAX))
    assert len(bomb) < 20
    tracemalloc.start()
    with pytest.raises(codec.CodecError):
        codec.decode_values(bomb, count_max=1_000)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1_000_000
    assert len(codec.decode_values(bomb)) == fmt.SAMPLES_MAX


def test_what_a_newer_encoder_made_is_unsupported() -> None:
    with pytest.raises(codec.UnsupportedError):
        codec.decode(b"\xff" * 20)
