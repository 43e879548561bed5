"""Every decoder on a few thousand damaged inputs; a million each with python -m tests.fuzz.

Goal: arbitrary bytes end as data or as a declared error, in bounded time and memory.
Method: valid samples mutated by seed, checksums made right again in half of them, and noise.
"""

from __future__ import annotations

import contextlib

import pytest

from tests.fuzz import campaign
from tests.fuzz.campaign import Decoder, Failure, input_of, run
from tests.fuzz.decoders import decoders

EXECUTIONS = 2_000


@pytest.mark.once
@pytest.mark.parametrize("decoder", decoders(), ids=lambda decoder: decoder.name)
def test_damaged_inputs_end_as_data_or_as_a_declared_error(decoder: Decoder) -> None:
    tally = run(decoder, EXECUTIONS)
    assert tally.executions == EXECUTIONS


def test_an_undeclared_error_is_a_failure_that_its_number_repeats() -> None:
    def brittle(data: bytes) -> None:
        if data[:1] != b"a":
            raise IndexError("not declared")

    decoder = Decoder("brittle", [b"abc"], brittle)
    with pytest.raises(Failure, match="execution") as caught:
        run(decoder, 1000)
    number = int(str(caught.value).split("execution ")[1].split(",")[0])
    assert input_of(decoder, 0, number)[:1] != b"a"


def test_an_execution_without_end_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def patient(data: bytes) -> None:
        while data != b"abc":
            with contextlib.suppress(Exception):
                bytes(data)

    monkeypatch.setattr(campaign, "CPU_S_MAX", 0.2)
    with pytest.raises(Failure, match="no end after"):
        run(Decoder("patient", [b"abc"], patient), 100)


def test_memory_that_is_taken_is_seen() -> None:
    def greedy(data: bytes) -> None:
        if data != b"abc":
            bytearray(400 << 20)[::4096] = b"x" * (400 << 20 >> 12)

    with pytest.raises(Failure, match="MiB more"):
        run(Decoder("greedy", [b"abc"], greedy), 100)
