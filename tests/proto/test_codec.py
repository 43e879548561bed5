"""The codec.

Goal: columns come back exact to the bit; arbitrary bytes end as columns or a CodecError, in bounded time and memory.
Method: hypothesis over every type with NaN payloads, extreme stamps and quality; the independent decoder of
reference.py; recorded shapes of signals; every prefix; every flipped bit; streams with hostile counts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from vantel import codec
from vantel.codec import format as fmt
from vantel.columns import Column

Plain = Callable[[list[Column]], list[tuple[object, ...]]]
INT64 = np.iinfo(np.int64)
NUMBERS = ["f8", "f4", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]
NAMES = {code: kind.name for code, kind in fmt.NUMBER_TYPES.items()} | {
    fmt.TYPE_BOOL: "bool",
    fmt.TYPE_STRING: "str",
}


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
@given(columns=column_lists(), level=st.integers(0, 1))
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
    for place, kind in enumerate(NUMBERS[2:]):
        limits = np.iinfo(kind)
        ends = np.array([limits.max, limits.min, limits.max, 0, limits.min], kind)
        columns.append(Column(20 + place, stamps, ends))
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


RNG = np.random.default_rng(3)
WALK = np.cumsum(RNG.normal(size=300))
SHAPES = {
    "constant": np.full(300, 3.3),
    "decimal": WALK.round(2),
    "decimal with NaN and infinity": np.where(
        RNG.random(300) < 0.02, np.nan, np.where(RNG.random(300) < 0.02, -np.inf, WALK.round(2))
    ),
    "one negative zero": np.where(np.arange(300) == 7, -0.0, WALK.round(0)),
    "negative zeros only": np.where(RNG.random(300) < 0.5, -0.0, WALK.round(1)),
    "raw times scale": RNG.integers(0, 999, 300) * 0.01,
    "raw times odd scale": RNG.integers(0, 255, 300) * 0.392156862745098,
    "raw with offset": RNG.integers(0, 999, 300) * 0.1 - 40,
    "raw with unknown offset": RNG.integers(0, 999, 300) * 0.1 + 17.35,
    "radians of degrees": RNG.integers(0, 9999, 300) * (np.pi / 180 / 80),
    "binary fraction": np.floor(WALK * 64) / 64,
    "float32 in float64": WALK.astype(np.float32).astype(np.float64),
    "printed float32": np.array([float(str(v)) for v in WALK.astype(np.float32)]),
    "printed float32 lattice": np.array(
        [float(str(v)) for v in (RNG.integers(-999, 999, 300) * 0.002394).astype(np.float32)]
    ),
    "noise": RNG.normal(size=300),
    "huge and tiny": WALK * 10.0 ** RNG.integers(-300, 300, 300),
    "sine": 3.7 * np.sin(np.arange(300) * 0.01),
    "float32 sine": (3.7 * np.sin(np.arange(300) * 0.01)).astype(np.float32),
    "sine in integers": np.rint(1e6 * np.sin(np.arange(300) * 0.01)).astype(np.int64),
    "sine with a jump": np.sin(np.arange(300) * 0.01) + (np.arange(300) > 150),
    "float32 walk": WALK.astype(np.float32),
    "subnormal": RNG.integers(0, 99, 300) * 5e-324,
    "float32 decimals": WALK.round(2).astype(np.float32),
    "float32 noise": RNG.normal(size=300).astype(np.float32),
    "few levels": RNG.choice([0.0, 12.5, 1000.0], 300),
    "many levels": RNG.choice(RNG.normal(size=60), 300),
    "lattice of integers": np.rint(RNG.integers(0, 300, 300) * 157.3 + RNG.integers(-1, 2, 300)).astype(
        np.int64
    ),
    "integers far apart": RNG.integers(-(2**63), 2**63 - 1, 300),
    "long rest": np.isin(np.arange(20_000), [3, 9_000, 19_998]) * 5,
    "steps": np.repeat(RNG.integers(0, 9, 30), 10),
}


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("values", SHAPES.values(), ids=SHAPES.keys())
def test_shapes_of_signals_come_back_and_the_second_decoder_agrees(
    values: np.ndarray, level: int, as_plain: Plain, reference: ModuleType
) -> None:
    stamps = np.arange(len(values)) * 10_000_000
    for n in (len(values), 40, 9, 2, 1):
        column = Column(1, stamps[:n], values[:n])
        data = codec.encode([column], level=level)
        expected = as_plain([column])
        assert as_plain(codec.decode(data)) == expected
        assert [c[3] for c in reference.decode(data)] == [expected[0][3]]
        alone = codec.decode_values(codec.encode_values(column.values, level=level))
        assert as_plain([Column(1, column.t_ns, alone)]) == expected


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([*NUMBERS, "bool"]), st.data())
def test_single_arrays_come_back(kind: str, data: st.DataObject) -> None:
    dtype = np.dtype(kind)
    unsigned = np.dtype("bool") if kind == "bool" else np.dtype(f"u{dtype.itemsize}")
    values = data.draw(npst.arrays(unsigned, st.integers(0, 70))).view(dtype)
    decoded = codec.decode_values(codec.encode_values(values))
    assert decoded.dtype == dtype
    assert decoded.tobytes() == values.tobytes()


@settings(max_examples=200, deadline=None)
@given(npst.arrays(np.int64, st.integers(0, 70)))
def test_single_times_come_back_in_any_order(stamps: np.ndarray) -> None:
    assert np.array_equal(codec.decode_times(codec.encode_times(stamps)), stamps)


@pytest.mark.parametrize("far", [2**50, 2**51 - 1, 2**51, 2**52, 2**62])
def test_distances_that_a_float_cannot_round_come_back(far: int) -> None:
    """A lattice is found by float64 arithmetic, which rounds whole numbers below 2**51 only."""
    stamps = np.array([-1, far, 0, far, 0] + [far] * 27)
    assert np.array_equal(codec.decode_times(codec.encode_times(stamps)), stamps)


def test_a_column_costs_little_more_than_its_raw_values() -> None:
    for values in SHAPES.values():
        for n in (1, 2, 9, 64, 300):
            assert len(codec.encode_values(values[:n])) <= n * values.itemsize + 4


def test_full_mantissas_cost_no_more_than_what_is_new_in_them() -> None:
    bits = {"sine": 18, "float32 sine": 9, "sine in integers": 4, "float32 walk": 27, "noise": 58}
    for name, most in bits.items():
        assert 8 * len(codec.encode_values(SHAPES[name])) < most * len(SHAPES[name]), name


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
        ([Column(1, np.arange(300), np.array([f"{i:060000d}" for i in range(300)], object))], "16777216"),
    ],
    ids=range(20),
)
def test_what_the_format_cannot_hold_is_refused(columns: list[Column], cause: str) -> None:
    with pytest.raises(codec.InvalidArgumentError, match=cause):
        codec.encode(columns)


def test_a_bad_level_is_refused() -> None:
    with pytest.raises(codec.InvalidArgumentError, match="level"):
        codec.encode([], level=2)


@pytest.mark.parametrize("kind", NUMBERS)
def test_arrays_that_may_not_be_written_or_are_not_aligned(kind: str) -> None:
    values = np.arange(40).astype(kind)
    unaligned = np.frombuffer(b"-" + values.tobytes(), kind, offset=1)
    assert codec.encode_values(unaligned) == codec.encode_values(values)
    t_ns = np.frombuffer(b"-" + np.arange(40).tobytes(), np.int64, offset=1)
    assert codec.encode_times(t_ns) == codec.encode_times(np.arange(40))
    columns = [Column(1, t_ns, unaligned, np.frombuffer(bytes(39) + b"1", np.uint8))]
    assert codec.decode(codec.encode(columns))[0].values.tobytes() == values.tobytes()


def test_the_first_array_of_a_thread_may_be_empty() -> None:
    """Each thread has memory of its own, made with its first array."""
    results: list[bytes] = []
    thread = threading.Thread(target=lambda: results.append(codec.encode_values(np.zeros(0))))
    thread.start()
    thread.join()
    assert len(codec.decode_values(results[0])) == 0
