"""Goal: line protocol says exactly what it was given, and never breaks, whatever names and values are in it.

Method: hypothesis makes fields; an independent reader of the grammar (conftest) reads the lines back.
"""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.sink.lines import TEXT_BYTES_MAX, FieldColumn, encode_columns, encode_point, field_text
from vantel.catalog import SIGNAL_NAME

FIXTURE = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150
)
NAMES = st.from_regex(SIGNAL_NAME, fullmatch=True).filter(lambda name: len(name) < 60)
FLOATS = st.lists(st.floats(), min_size=1, max_size=30)
TEXTS = st.lists(st.text(max_size=20), min_size=1, max_size=30)
BOOLS = st.lists(st.booleans(), min_size=1, max_size=30)
COLUMNS = st.dictionaries(
    NAMES, st.tuples(st.sampled_from(["can0", "body", ""]), st.one_of(FLOATS, TEXTS, BOOLS)), max_size=5
)


def column(group: str, name: str, values: list[Any], step: int) -> FieldColumn:
    return FieldColumn(group, name, np.arange(len(values), dtype=np.int64) * step - 5, values)


def same(read: Any, given_value: Any) -> bool:
    """Equal to the last bit, and of one type."""
    if isinstance(given_value, float):
        return (
            isinstance(read, float)
            and math.copysign(1, read) == math.copysign(1, given_value)
            and read == given_value
        )
    return type(read) is type(given_value) and read == given_value


@FIXTURE
@given(columns=COLUMNS)
def test_what_is_read_back_is_what_was_given(reader: Any, columns: dict[str, tuple[str, list[Any]]]) -> None:
    given_columns = [column(g, n, v, 10 + i % 2) for i, (n, (g, v)) in enumerate(columns.items())]
    encoded = encode_columns("telemetry", "van-1", given_columns)
    expected = {
        (item.group, item.name, int(t)): value
        for item in given_columns
        for t, value in zip(item.t_ns, item.values, strict=True)
    }
    unrepresentable = [v for v in expected.values() if isinstance(v, float) and not math.isfinite(v)]
    found: dict[tuple[str, str, int], Any] = {}
    for line in encoded.lines:
        measurement, tags, fields, t_ns = reader(line.text)
        assert (measurement, tags["van"]) == ("telemetry", "van-1")
        assert line.fields == len(fields)
        for name, value in fields.items():
            key = (tags.get("group", ""), name, t_ns)
            assert key not in found, "one stamp of a group is one line"
            found[key] = value
    assert encoded.unrepresentable == len(unrepresentable)
    assert len(found) == len(expected) - len(unrepresentable)
    for key, value in found.items():
        wanted = expected[key]
        if isinstance(wanted, str):
            wanted = wanted.encode("utf-8", "replace").decode()
        assert same(value, wanted), key


@FIXTURE
@given(columns=COLUMNS, seed=st.integers(0, 99))
def test_lines_do_not_depend_on_the_order_of_columns(
    columns: dict[str, tuple[str, list[Any]]], seed: int
) -> None:
    given_columns = [column(g, n, v, 10) for n, (g, v) in columns.items()]
    shuffled = random.Random(seed).sample(given_columns, len(given_columns))
    assert encode_columns("m", "v", given_columns) == encode_columns("m", "v", shuffled)


def test_numbers_are_always_floats_and_numbers_without_text_are_left_out() -> None:
    assert field_text(3.0) == "3.0"
    assert field_text(-0.0) == "-0.0"
    assert field_text(1e300) == "1e+300"
    assert [field_text(v) for v in (math.nan, math.inf, -math.inf)] == [None] * 3
    assert field_text("x" * (TEXT_BYTES_MAX + 1)) is None


def test_a_point_without_any_field_is_no_line() -> None:
    encoded = encode_point("events", "v", "g", {"value": math.nan}, 5)
    assert (encoded.lines, encoded.unrepresentable) == ([], 1)


def test_fields_that_are_not_points_are_not_counted(reader: Any) -> None:
    encoded = encode_point("agent", "v", "", {"cpu_percent": 1.5}, 5, counted=False)
    assert [line.fields for line in encoded.lines] == [0]
    assert reader(encoded.lines[0].text) == ("agent", {"van": "v"}, {"cpu_percent": 1.5}, 5)
