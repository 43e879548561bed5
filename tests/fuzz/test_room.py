"""The encoder stays within its room: a few thousand adversarial columns; 100,000 with python -m tests.fuzz.room.

Goal: no write behind the buffer, on any values of any type. Method: a guard behind it, random columns that models code
badly, and what hypothesis finds.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import room


def test_random_columns_and_messages_stay_within_their_room() -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        dtype = room.NUMBERS[rng.integers(len(room.NUMBERS))]
        room.array_bytes(room.numbers(rng, int(rng.choice(room.LENGTHS)), dtype), 1)
        assert room.message_share(room.columns(rng), 1) < 1.0


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(room.NUMBERS), st.binary(min_size=8, max_size=400), st.integers(1, 9))
def test_arbitrary_values_stay_within_their_room(
    dtype: np.dtype[np.generic], data: bytes, times: int
) -> None:
    values = np.frombuffer(data[: len(data) // 8 * 8] * times, dtype).copy()
    assert room.array_bytes(values, 1) <= 12 * len(values) + 256


def test_the_guard_sees_what_is_written_behind_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room.fmt, "BYTES_PER_VALUE_MAX", 0)
    noise = np.random.default_rng(4).integers(0, 1 << 62, 400)
    with pytest.raises(AssertionError, match="there was room for 256"):
        room.array_bytes(noise, 1)
