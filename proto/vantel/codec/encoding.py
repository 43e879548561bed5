"""Columns to bytes, codec format 1 (docs/format.md, section 7).

list of Column (times in monotonic ns, values in the unit of the signal) -> one stream of the range coder. Exact to the
bit. Columns that the format cannot hold raise InvalidArgumentError with the signal and the reason. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vantel.codec import floats
from vantel.codec import format as fmt
from vantel.codec import layout as at
from vantel.codec.bounded import within
from vantel.codec.errors import InvalidArgumentError
from vantel.codec.kernels import NO_TYPE
from vantel.codec.plan import NOTHING_KNOWN, Plan
from vantel.codec.stream import KIND_AND_WIDTH, Line, Writer, line_of, one_array, words_of
from vantel.columns import Column

LEVEL_MAX = 1
_HEADER_NUMBERS = 8


def encode(
    columns: Sequence[Column],
    *,
    level: int = LEVEL_MAX,
    error_max: Mapping[int, float] | None = None,
    plan: Plan = NOTHING_KNOWN,
) -> bytes:
    """Coded columns, in the order given. level: 0 is faster, 1 smaller; both are decoded alike.

    error_max: by signal id, in its unit, how far a float may come back from what it was. plan: what the catalog or the
    call before knows of the floats; it shortens the search and is not needed to decode.
    """
    return encode_with_plan(columns, level=level, error_max=error_max, plan=plan)[0]


def encode_with_plan(
    columns: Sequence[Column],
    *,
    level: int = LEVEL_MAX,
    error_max: Mapping[int, float] | None = None,
    plan: Plan = NOTHING_KNOWN,
) -> tuple[bytes, Plan]:
    """As encode, and the plan for the next call: this one, with what was found for these columns."""
    _check_level(level)
    _check_plan(plan)
    if error_max:
        columns = [_bounded(column, error_max.get(column.signal_id, 0.0), level) for column in columns]
    if len(columns) > fmt.COLUMNS_MAX:
        raise InvalidArgumentError(
            f"encode: {len(columns)} columns, at most {fmt.COLUMNS_MAX} fit; split them"
        )
    vectors: dict[bytes, int] = {}
    stamps: list[NDArray[np.int64]] = []
    places: list[int] = []
    parts: list[_Part] = []
    seen: set[int] = set()
    samples = room = 0
    for column in columns:
        times = _stamps(column)
        if column.signal_id in seen:
            raise _invalid(column, "stands in two columns; join them")
        seen.add(column.signal_id)
        samples += len(times)
        if samples > fmt.SAMPLES_MAX:
            raise InvalidArgumentError(f"encode: more than {fmt.SAMPLES_MAX} samples; split the columns")
        place = vectors.setdefault(times.tobytes(), len(stamps))
        if place == len(stamps):
            stamps.append(times)
            room += len(times)
        places.append(place)
        parts.append(_Part(column, len(times)))
        room += parts[-1].room
    writer = Writer(room + 4 * len(columns) + _HEADER_NUMBERS, level)
    writer.number(len(columns))
    writer.number(len(stamps))
    writer.integers(at.BITS, np.array([len(times) for times in stamps], np.int64))
    origin = next((times[0] for times in stamps if len(times)), np.int64(0))
    if any(len(times) for times in stamps):
        writer.integers(at.TIMES, np.array([origin], np.int64))
    with np.errstate(over="ignore"):
        for times in stamps:
            writer.integers(at.TIMES, times - origin)
    writer.integers(at.BITS, np.array([column.signal_id for column in columns], np.int64))
    writer.integers(at.BITS, np.array(places, np.int64))
    writer.integers(at.BITS, np.array([part.code for part in parts], np.int64))
    writer.integers(at.BITS, np.array([part.quality is not None for part in parts], np.int64))
    lines = {part.signal_id: part.write(writer, plan.line(part.signal_id)) for part in parts}
    return writer.finish(), plan.with_lines(lines)


def encode_values(
    values: NDArray[Any], *, level: int = LEVEL_MAX, error_max: float = 0.0, plan: Plan = NOTHING_KNOWN
) -> bytes:
    """One array float64[n], float32[n], bool[n] or of any integer width, alone. InvalidArgumentError for other types.

    With error_max, in the unit of the values, floats may come back off by as much, where that makes them smaller.
    """
    return _alone(values, level, error_max, plan)[0]


def encode_values_with_plan(
    values: NDArray[Any], *, level: int = LEVEL_MAX, error_max: float = 0.0, plan: Plan = NOTHING_KNOWN
) -> tuple[bytes, Plan]:
    """As encode_values, and the plan for the next call. In a plan for values alone the id of the signal is 0."""
    data, state = _alone(values, level, error_max, plan)
    return data, plan.with_lines({0: line_of(state)}) if len(values) else plan


def _alone(values: NDArray[Any], level: int, error_max: float, plan: Plan) -> tuple[bytes, NDArray[np.int64]]:
    """A stream of these values alone, and the state that it leaves."""
    _check_level(level)
    _check_plan(plan)
    _check_bound(error_max)
    values = np.asarray(values)
    code = fmt.TYPE_BOOL if values.dtype.kind == "b" else fmt.NUMBER_CODES.get(values.dtype)
    if code is None or values.ndim != 1 or len(values) > fmt.SAMPLES_MAX:
        raise InvalidArgumentError(
            f"encode: {values.dtype}{list(values.shape)} is not one array of at most {fmt.SAMPLES_MAX} numbers"
        )
    known = plan.line(0)
    if code == fmt.TYPE_BOOL:
        return one_array(values.astype(np.int64), code, at.BITS, floats.WHOLE, -64, level, known)
    numbers = np.ascontiguousarray(values, fmt.NUMBER_TYPES[code])
    data, state = one_array(words_of(numbers), code, at.VALUES, *KIND_AND_WIDTH[numbers.dtype], level, known)
    if error_max and numbers.dtype.kind == "f":
        data = min(data, _alone(within(numbers, error_max), level, 0.0, NOTHING_KNOWN)[0], key=len)
    return data, state


def encode_times(t_ns: NDArray[np.int64], *, level: int = LEVEL_MAX) -> bytes:
    """Stamps int64[n], ns, in any order, alone."""
    _check_level(level)
    stamps = np.ascontiguousarray(t_ns, np.int64)
    if stamps.ndim != 1 or len(stamps) > fmt.SAMPLES_MAX or np.asarray(t_ns).dtype.kind != "i":
        raise InvalidArgumentError(f"encode: {np.asarray(t_ns).dtype}{list(np.shape(t_ns))} is not int64[n]")
    return one_array(stamps, NO_TYPE, at.TIMES, floats.WHOLE, -64, level)[0]


class _Part:
    """What one column adds to the stream: its type, its marks of quality, its numbers or texts."""

    def __init__(self, column: Column, n: int) -> None:
        values = np.asarray(column.values)
        self.signal_id = column.signal_id
        self.quality = _quality(column, n)
        self.table: list[bytes] = []
        if values.dtype.kind in "OU":
            self.code, self._values = fmt.TYPE_STRING, self._texts(column, values)
        elif values.dtype.kind == "b":
            self.code, self._values = fmt.TYPE_BOOL, values
        else:
            code = fmt.NUMBER_CODES.get(values.dtype)
            if code is None:
                raise _invalid(column, f"values of type {values.dtype} cannot be coded")
            self.code, self._values = code, values
        self.room = 2 * n + len(self.table) + sum(map(len, self.table)) + 2

    def write(self, writer: Writer, line: Line) -> Line:
        """Quality, then table, then values. line: what is known of them; what is known next time."""
        if self.quality is not None:
            writer.integers(at.BITS, self.quality.astype(np.int64))
        if self.code == fmt.TYPE_STRING:
            writer.number(len(self.table))
            writer.integers(at.BITS, np.array([len(text) for text in self.table], np.int64))
            writer.integers(at.BITS, np.frombuffer(b"".join(self.table), np.uint8).astype(np.int64))
            writer.integers(at.BITS, self._values)
        elif self.code == fmt.TYPE_BOOL:
            writer.integers(at.BITS, self._values.astype(np.int64))
        else:
            return writer.values(np.ascontiguousarray(self._values, fmt.NUMBER_TYPES[self.code]), line)
        return line

    def _texts(self, column: Column, values: NDArray[Any]) -> NDArray[np.int64]:
        """Codes of the texts; fills the table in the order of first use."""
        places: dict[str, int] = {}
        codes = np.empty(len(values), np.int64)
        for i, text in enumerate(values.tolist()):
            if not isinstance(text, str):
                raise _invalid(column, f"value {i} is {type(text).__name__}, not str")
            codes[i] = places.setdefault(text, len(places))
        for text in places:
            try:
                data = text.encode()
            except UnicodeEncodeError as cause:
                raise _invalid(column, f"text {text!r} has no UTF-8 form: {cause.reason}") from None
            if len(data) > fmt.STRING_BYTES_MAX:
                raise _invalid(column, f"a text of {len(data)} bytes, at most {fmt.STRING_BYTES_MAX} fit")
            self.table.append(data)
        if sum(map(len, self.table)) > fmt.TEXT_BYTES_MAX:
            raise _invalid(column, f"texts of more than {fmt.TEXT_BYTES_MAX} bytes together")
        return codes


def _bounded(column: Column, error_max: float, level: int) -> Column:
    """The column with values within the bound, where that is smaller."""
    _check_bound(error_max)
    values = np.asarray(column.values)
    if not error_max or values.dtype.kind != "f":
        return column
    near = within(values, error_max)
    if len(encode_values(near, level=level)) < len(encode_values(values, level=level)):
        return replace(column, values=near)
    return column


def _check_bound(error_max: float) -> None:
    if not 0.0 <= error_max < float("inf"):
        raise InvalidArgumentError(f"encode: error_max {error_max} is not 0 or a positive number")


def _check_plan(plan: Plan) -> None:
    if not isinstance(plan, Plan):
        raise InvalidArgumentError(
            f"encode: a plan of type {type(plan).__name__}; Plan comes from the last call"
        )


def _check_level(level: int) -> None:
    if not 0 <= level <= LEVEL_MAX:
        raise InvalidArgumentError(f"encode: level {level} is not within 0 to {LEVEL_MAX}")


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


def _quality(column: Column, n: int) -> NDArray[np.uint8] | None:
    """Marks of quality; None when all samples are good."""
    if column.quality is None:
        return None
    quality = np.asarray(column.quality)
    if quality.shape != (n,) or quality.dtype != np.uint8:
        raise _invalid(column, f"quality is {quality.dtype}{list(quality.shape)}, not uint8[{n}]")
    return quality if quality.any() else None
