"""The codec.

Goal: columns come back exact to the bit; arbitrary bytes end as columns or a CodecError, in bounded time and memory.
Method: hypothesis over every type with NaN payloads, extreme stamps and quality; the independent decoder of
reference.py; every prefix; random damage before and after compression; hand-made hostile blocks.
"""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from vantel import codec
from vantel.codec import format as fmt
from vantel.codec.encoding import varint
from vantel.columns import Column

Plain = Callable[[list[Column]], list[tuple[object, ...]]]
INT64 = np.iinfo(np.int64)
NUMBERS = ["f8", "f4", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]
NAMES = {code: kind.name for code, kind in fmt.NUMBER_TYPES.items()} | {
    fmt.TYPE_BOOL: "bool",
    fmt.TYPE_STRING: "str",
}


def wrapped(raw: bytes, declared: int | None = None) -> bytes:
    """A coded block around raw bytes of the test's own making."""
    size = len(raw) if declared is None else declared
    return b"VC\x01\x01" + size.to_bytes(4, "little") + zlib.compress(raw)


@st.composite
def stamp_arrays(draw: st.DrawFn) -> np.ndarray:
    stamps = draw(st.lists(st.integers(INT64.min, INT64.max), unique=True, max_size=20))
    if draw(st.booleans()):
        stamps = [10**15 + s % 10**9 for s in stamps]
    return np.array(sorted(set(stamps)), dtype=np.int64)


@st.composite
def column_lists(draw: st.DrawFn) -> list[Column]:
    vectors = draw(st.lists(stamp_arrays(), min_size=1, max_size=3))
    ids = draw(st.lists(st.integers(0, 2**32 - 1), unique=True, max_size=6))
    columns = []
    for signal_id in ids:
        stamps = draw(st.sampled_from(vectors))
        n = len(stamps)
        kind = draw(st.sampled_from([*NUMBERS, "bool", "str"]))
        if kind == "str":
            texts = draw(st.lists(st.text(max_size=8), min_size=n, max_size=n))
            values = np.array(texts, dtype=object)
        elif kind == "bool":
            values = draw(npst.arrays(np.bool_, n))
        else:  # from bit patterns, so that every NaN payload and both zeros occur
            dtype = np.dtype(kind)
            values = draw(npst.arrays(np.dtype(f"u{dtype.itemsize}"), n)).view(dtype)
        quality = draw(st.none() | npst.arrays(np.uint8, n, elements=st.integers(0, 3)))
        columns.append(Column(signal_id, stamps, values, quality))
    return columns


@settings(max_examples=200, deadline=None)
@given(columns=column_lists(), level=st.integers(0, 9))
def test_columns_come_back_exact_to_the_bit(
    columns: list[Column], level: int, as_plain: Plain, reference: ModuleType
) -> None:
    data = codec.encode(columns, level=level)
    assert as_plain(codec.decode(data)) == as_plain(columns)
    independent = [(c[0], NAMES[c[1]], c[2], c[3], c[4]) for c in reference.decode(data)]
    assert independent == as_plain(columns)


def test_the_named_hard_cases(as_plain: Plain) -> None:
    stamps = np.array([INT64.min, -1, 0, 1, INT64.max])
    payloads = np.array([0x7FF8000000000001, 0xFFF0000000000001, 1 << 63, 1, 0x7FEFFFFFFFFFFFFF], np.uint64)
    narrow = np.array([0x7FC00001, 0xFF800001, 1 << 31, 1, 0x7F7FFFFF], np.uint32)
    columns = [
        Column(1, stamps, payloads.view(np.float64), np.array([0, 0, 2, 1, 1], np.uint8)),
        Column(2, stamps, narrow.view(np.float32)),
        Column(3, stamps[:0], np.array([], np.float64)),
        Column(4, stamps[:0], np.array([], dtype=object)),
        Column(5, stamps[:0], np.array([], np.bool_)),
        Column(6, stamps[:1], np.array(["x" * fmt.STRING_BYTES_MAX], dtype=object)),
        Column(7, stamps, np.array(["", "\0", "ü", "日本", ""], dtype=object), np.zeros(5, np.uint8)),
        Column(8, stamps, np.array([True, False, True, True, False])),
    ]
    for at, kind in enumerate(NUMBERS[2:]):
        limits = np.iinfo(kind)
        ends = np.array([limits.max, limits.min, limits.max, 0, limits.min], kind)
        columns.append(Column(20 + at, stamps, ends))
    decoded = codec.decode(codec.encode(columns))
    assert as_plain(decoded) == as_plain(columns)
    assert decoded[6].quality is None, "all good is stored as nothing"


def test_no_column_and_the_largest_counts(as_plain: Plain) -> None:
    assert codec.decode(codec.encode([])) == []
    one = np.array([5])
    many = [Column(i, one, np.array([float(i)])) for i in range(fmt.COLUMNS_MAX)]
    assert as_plain(codec.decode(codec.encode(many, level=1))) == as_plain(many)
    long = Column(1, np.arange(fmt.SAMPLES_MAX) * 7, np.arange(fmt.SAMPLES_MAX, dtype=np.uint32))
    (decoded,) = codec.decode(codec.encode([long], level=1))
    assert np.array_equal(decoded.t_ns, long.t_ns)
    assert np.array_equal(decoded.values, long.values)


def test_any_memory_layout_is_taken(as_plain: Plain) -> None:
    stamps = np.arange(20)[::2]
    swapped = Column(1, stamps, np.arange(10, dtype=">f8"))
    strided = Column(2, stamps, np.arange(30, dtype=np.int32)[::3], np.arange(20, dtype=np.uint8)[::2])
    text = Column(3, stamps, np.array([f"text {i % 3}" for i in range(10)]))
    frozen = np.arange(10)
    frozen.flags.writeable = False
    columns = [swapped, strided, text, Column(4, frozen, np.arange(10.0))]
    decoded = codec.decode(codec.encode(columns))
    assert as_plain(decoded) == as_plain(columns)
    assert all(column.values.dtype.isnative for column in decoded)


def test_equal_time_vectors_are_stored_and_decoded_once() -> None:
    stamps = np.cumsum(np.random.default_rng(1).integers(1, 10**9, 500))
    one = codec.encode([Column(0, stamps, np.zeros(500))])
    ten = codec.encode([Column(i, stamps.copy(), np.zeros(500)) for i in range(10)])
    assert len(ten) < len(one) + 300
    decoded = codec.decode(ten)
    assert all(column.t_ns is decoded[0].t_ns for column in decoded)
    assert not decoded[0].t_ns.flags.writeable, "columns share it"
    assert decoded[0].values.flags.writeable


def test_floats_that_repeat_stand_plain_and_others_as_residues(
    as_plain: Plain, reference: ModuleType
) -> None:
    stamps = np.arange(1_000) * 10_000_000
    rng = np.random.default_rng(3)
    steps = Column(1, stamps, rng.integers(0, 50, 1_000) * 0.1)
    smooth = Column(2, stamps, 50.0 + np.cumsum(rng.normal(0, 1e-7, 1_000)))
    data = codec.encode([steps, smooth])
    assert as_plain(codec.decode(data)) == as_plain([steps, smooth])
    assert [c[3] for c in reference.decode(data)] == [c[3] for c in as_plain([steps, smooth])]
    raw = zlib.decompress(data[8:])
    assert steps.values.tobytes() in raw
    assert smooth.values.tobytes() not in raw
    assert all(column.values.flags.writeable for column in codec.decode(data))


def test_plain_integers_are_read_though_never_written() -> None:
    (column,) = codec.decode(wrapped(ONE_VECTOR + varint(7) + varint(0) + b"\x44\xff\xff\x05\x00"))
    assert column.values.dtype == np.int16
    assert column.values.tolist() == [-1, 5]


T3 = np.array([1, 2, 3])


@pytest.mark.parametrize(
    ("columns", "cause"),
    [
        ([Column(1, np.array([1, 1]), np.zeros(2))], "ascend"),
        ([Column(1, np.array([2, 1]), np.zeros(2))], "ascend"),
        ([Column(1, np.array([INT64.max, INT64.min]), np.zeros(2))], "ascend"),
        ([Column(1, T3, np.zeros(2))], "3 times"),
        ([Column(1, T3, np.zeros((3, 1)))], "3 times"),
        ([Column(1, T3.astype(np.float64), np.zeros(3))], "int64"),  # type: ignore[arg-type]
        ([Column(1, T3.reshape(3, 1), np.zeros((3, 1)))], "int64"),
        ([Column(-1, T3, np.zeros(3))], "id"),
        ([Column(2**32, T3, np.zeros(3))], "id"),
        ([Column(1, T3, np.zeros(3)), Column(1, T3, np.zeros(3))], "two columns"),
        ([Column(1, T3, np.zeros(3, np.complex128))], "complex"),
        ([Column(1, T3, np.zeros(3, np.float16))], "float16"),
        ([Column(1, T3, np.array(["a", 1, None], dtype=object))], "not str"),
        ([Column(1, T3, np.array(["a", "\ud800", "b"], dtype=object))], "UTF-8"),
        ([Column(1, T3, np.array(["a", "b", "x" * 65_536], dtype=object))], "65535"),
        ([Column(1, T3, np.zeros(3), np.zeros(2, np.uint8))], "quality"),
        ([Column(1, T3, np.zeros(3), np.zeros(3, np.int64))], "quality"),  # type: ignore[arg-type]
        ([Column(i, T3, np.zeros(3)) for i in range(fmt.COLUMNS_MAX + 1)], "4096"),
        ([Column(i, np.arange(500_001), np.zeros(500_001, np.uint8)) for i in range(2)], "1000000"),
        ([Column(1, np.arange(1_000), np.array([f"{i:060000d}" for i in range(1_000)], object))], "16777216"),
    ],
    ids=range(20),
)
def test_what_the_format_cannot_hold_is_refused(columns: list[Column], cause: str) -> None:
    with pytest.raises(codec.InvalidArgumentError, match=cause):
        codec.encode(columns)


def test_a_bad_level_is_refused() -> None:
    with pytest.raises(codec.InvalidArgumentError, match="level"):
        codec.encode([], level=10)


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


def test_every_prefix_of_the_raw_block_is_corrupt() -> None:
    raw = zlib.decompress(codec.encode(sample())[8:])
    for length in range(len(raw)):
        with pytest.raises(codec.CorruptError):
            codec.decode(wrapped(raw[:length]))
    with pytest.raises(codec.CorruptError):
        codec.decode(wrapped(raw + b"\0"))


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


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=100), st.sampled_from([b"", b"VC", b"VC\x01\x01", b"VC\x01\x01\x40\0\0\0"]))
def test_arbitrary_bytes(data: bytes, head: bytes) -> None:
    columns_or_codec_error(head + data)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60))
def test_arbitrary_raw_blocks(raw: bytes) -> None:
    columns_or_codec_error(wrapped(raw))


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_damaged_raw_blocks(data: st.DataObject) -> None:
    raw = bytearray(zlib.decompress(codec.encode(sample())[8:]))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    columns_or_codec_error(wrapped(bytes(raw)))


def test_every_flipped_bit_of_coded_bytes_is_caught() -> None:
    good = codec.encode(sample())
    for bit in range(8 * len(good)):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << (bit % 8)
        columns_or_codec_error(bytes(flipped))


BIG = varint(2**40)
ONE_VECTOR = varint(1) + varint(1) + varint(2) + b"\x02\x02"  # one column, two stamps: 1, 2
HOSTILE = {
    "too many columns": varint(0) + varint(fmt.COLUMNS_MAX + 1),
    "more vectors than columns": varint(2) + varint(1),
    "huge column count": varint(1) + BIG,
    "huge stamp count": varint(1) + varint(1) + BIG,
    "stamp count without bytes": varint(1) + varint(1) + varint(999_999),
    "stamps descend": varint(1) + varint(1) + varint(2) + b"\x02\x01",
    "stamps wrap around": varint(1) + varint(1) + varint(2) + varint(2**64 - 2) + b"\x02",
    "varint of 11 bytes": b"\xff" * 10 + b"\x01",
    "varint above 64 bits": b"\xff" * 9 + b"\x02",
    "stamp above 64 bits": b"\x01\x01\x01" + b"\xff" * 9 + b"\x02" + varint(7) + varint(0) + b"\x07\0",
    "stamp of 11 bytes": b"\x01\x01\x01" + b"\x80" * 10 + b"\x00" + varint(7) + varint(0) + b"\x07\0",
    "unused vector": varint(1) + varint(0) + varint(0),
    "vector out of range": ONE_VECTOR + varint(7) + varint(1) + b"\x07\0\0",
    "signal id too large": ONE_VECTOR + varint(2**32) + varint(0) + b"\x07\0\0",
    "huge table": ONE_VECTOR + varint(7) + varint(0) + b"\x0c" + BIG,
    "huge text": ONE_VECTOR + varint(7) + varint(0) + b"\x0c" + varint(1) + BIG,
    "text code outside": ONE_VECTOR + varint(7) + varint(0) + b"\x0c" + varint(1) + varint(1) + b"a\x00\x01",
    "text codes without table": ONE_VECTOR + varint(7) + varint(0) + b"\x0c" + varint(0) + b"\x00\x00",
    "text is not UTF-8": ONE_VECTOR + varint(7) + varint(0) + b"\x0c" + varint(1) + varint(1) + b"\xff\0\0",
    "huge quality run": ONE_VECTOR + varint(7) + varint(0) + b"\x87" + varint(1) + BIG + b"\x01\0\0",
    "no quality run": ONE_VECTOR + varint(7) + varint(0) + b"\x87" + varint(0) + b"\0\0",
    "quality run of none": ONE_VECTOR + varint(7) + varint(0) + b"\x87\x02\x00\x01\x02\x01\0\0",
    "quality too short": ONE_VECTOR + varint(7) + varint(0) + b"\x87\x01\x01\x01\0\0",
    "bits behind the last": ONE_VECTOR + varint(7) + varint(0) + b"\x0b\x07",
    "signal twice": b"\x01\x02\x01\x02" + 2 * (varint(7) + varint(0) + b"\x07\0"),
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_blocks_are_corrupt_and_cheap(raw: bytes) -> None:
    codec.decode(codec.encode(sample()))  # the first call of a kernel takes memory of its own
    tracemalloc.start()
    with pytest.raises(codec.CorruptError):
        codec.decode(wrapped(raw))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 4_000_000, "a million stamps that are not there would take 8 MB"


def test_many_columns_of_one_long_vector_are_refused() -> None:
    stamps = codec.encode([Column(0, np.arange(10_000), np.zeros(10_000, np.bool_))])
    vector = zlib.decompress(stamps[8:])[2 : 2 + 2 + 10_000]
    columns = b"".join(varint(i) + varint(0) + b"\x0b" + bytes(1_250) for i in range(200))
    with pytest.raises(codec.CorruptError, match="samples"):
        codec.decode(wrapped(varint(1) + varint(200) + vector + columns))


def test_a_bomb_is_never_unpacked() -> None:
    bomb = zlib.compress(bytes(200_000_000), 9)
    for declared in (16, fmt.RAW_BYTES_MAX, fmt.RAW_BYTES_MAX + 1, 2**32 - 1):
        tracemalloc.start()
        with pytest.raises(codec.CorruptError):
            codec.decode(b"VC\x01\x01" + declared.to_bytes(4, "little") + bomb)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak_bytes < 3 * fmt.RAW_BYTES_MAX


@pytest.mark.parametrize("declared", [0, 3, 10_000])
def test_a_wrong_raw_size_is_corrupt(declared: int) -> None:
    raw = zlib.decompress(codec.encode(sample())[8:])
    with pytest.raises(codec.CorruptError):
        codec.decode(wrapped(raw, declared))


@pytest.mark.parametrize(
    "data",
    [
        b"VC\x02\x01" + bytes(20),
        b"VC\x01\x02" + bytes(20),
        wrapped(ONE_VECTOR + varint(7) + varint(0) + b"\x3f\0\0"),
        wrapped(ONE_VECTOR + varint(7) + varint(0) + b"\x00\0\0"),
        wrapped(ONE_VECTOR + varint(7) + varint(0) + b"\x4b\0\0"),
        wrapped(ONE_VECTOR + varint(7) + varint(0) + b"\x4c\0\0"),
    ],
    ids=["format", "method", "type", "type 0", "plain truth", "plain text"],
)
def test_what_a_newer_encoder_made_is_unsupported(data: bytes) -> None:
    with pytest.raises(codec.UnsupportedError):
        codec.decode(data)
