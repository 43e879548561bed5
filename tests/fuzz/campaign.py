"""Runs a decoder on many inputs: counted, bounded in time and memory, the same for the same seed.

Execution i of a decoder is a function of (seed, i), so that a run goes on where it stopped and a failure is repeated by
its number. An execution may end as data or as an error that the decoder declares; anything else is a Failure.
"""

from __future__ import annotations

import random
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from tests.fuzz.mutation import mutated

CPU_S_MAX = 5.0
"""Of one execution: far above what the largest input takes, so that a busy machine does not matter."""
GROWTH_BYTES_MAX = 64 << 20
"""By which the highest memory use of the process may rise during one execution."""


@dataclass(frozen=True)
class Decoder:
    """run raises one of declared, or nothing; seal makes checksums right again, which is done for half of the inputs."""

    name: str
    corpus: Sequence[bytes]
    run: Callable[[bytes], object]
    declared: tuple[type[Exception], ...] = ()
    seal: Callable[[bytes], bytes] | None = None


@dataclass
class Tally:
    """What a campaign has seen so far; ends: accepted or the declared error -> executions."""

    executions: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    cpu_s_max: float = 0.0


class Failure(AssertionError):  # noqa: N818 - the word of the field
    """A decoder broke its promise; the text has the number of the execution and the input."""


class _EndlessError(BaseException):
    """An execution took too long; no decoder may take it for an error of its input."""


def input_of(decoder: Decoder, seed: int, number: int) -> bytes:
    """The input of one execution."""
    rng = random.Random(seed << 40 | number)
    data = mutated(rng, decoder.corpus)
    return decoder.seal(data) if decoder.seal is not None and rng.random() < 0.5 else data


def execute(decoder: Decoder, data: bytes) -> str:
    """How it ended: accepted, or the name of a declared error."""
    try:
        decoder.run(data)
    except decoder.declared as error:
        return type(error).__name__
    return "accepted"


def run(decoder: Decoder, until: int, seed: int = 0, tally: Tally | None = None) -> Tally:
    """Executions from where the tally stands up to a number."""
    tally = tally or Tally()
    for sample in decoder.corpus:
        # compiles kernels and fills caches; and a corpus that is refused would test the first check alone
        if execute(decoder, sample) != "accepted":
            raise Failure(f"{decoder.name}: a sample of the corpus is refused: {sample[:80].hex()}")
    highest = _highest_bytes()
    while tally.executions < until:
        data = input_of(decoder, seed, tally.executions)
        start = time.thread_time()
        try:
            with _interrupted():
                end = execute(decoder, data)
        except _EndlessError:
            raise Failure(f"{_place(decoder, seed, tally, data)}: no end after {CPU_S_MAX:.0f} s") from None
        except Exception as error:
            raise Failure(f"{_place(decoder, seed, tally, data)}: {type(error).__name__}: {error}") from error
        took, before, highest = time.thread_time() - start, highest, _highest_bytes()
        if took > CPU_S_MAX:
            raise Failure(f"{_place(decoder, seed, tally, data)}: {took:.1f} s")
        if highest - before > GROWTH_BYTES_MAX:
            raise Failure(f"{_place(decoder, seed, tally, data)}: {(highest - before) >> 20} MiB more")
        tally.ends[end] += 1
        tally.cpu_s_max = max(tally.cpu_s_max, took)
        tally.executions += 1
    return tally


@contextmanager
def _interrupted() -> Iterator[None]:
    """An execution without end is ended after CPU_S_MAX of the process; one within a kernel, when the kernel returns."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise _EndlessError

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, CPU_S_MAX)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


def _place(decoder: Decoder, seed: int, tally: Tally, data: bytes) -> str:
    return f"{decoder.name}, seed {seed}, execution {tally.executions}, input {data[:400].hex()}"


def _highest_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
