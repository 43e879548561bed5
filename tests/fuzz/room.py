"""How much room the codec's encoder needs while it tries models: adversarial columns, with a guard behind the room.

The kernels have no check of bounds of their own; the buffer has format.BYTES_PER_VALUE_MAX a value. This watches how far
they write, array by array and column by column, on what models code worst.

    python -m tests.fuzz.room --executions 100000 [--seed N]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vantel import codec
from vantel.codec import arrays, encoding, kernels, stream
from vantel.codec import format as fmt
from vantel.codec import layout as at
from vantel.codec.coder import DECISIONS_ROOM
from vantel.columns import Column

GUARD = 65_536
_FILL = 0xAB
LENGTHS = (1, 2, 9, 64, 256, 400)
NUMBERS = tuple(fmt.NUMBER_TYPES.values())
_STEPS = (0.1, 0.25, 1 / 3, 1e-7, 9.80665 / 16384, np.pi / 14400, 100 / 255, 1e17, 5e-324, 1e300)
_ODD = (np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, 1.7976931348623157e308, 2.0**53 + 2, -1e-310)


class Guarded(encoding.Writer):
    """A Writer that knows how far its kernels wrote, and has a guard behind its room."""

    used = room = 0

    def __init__(self, values: int, level: int) -> None:
        super().__init__(values, level)
        self.room = len(self._out)
        self._out = np.concatenate([self._out, np.empty(GUARD, np.uint8)])
        self._out[:] = _FILL
        kernels.begin_stream(self._state, self._out, self._models)

    def finish(self) -> bytes:
        data = super().finish()
        used = int(np.flatnonzero(self._out != _FILL)[-1]) + 1
        assert used <= self.room, f"{used} bytes written, there was room for {self.room}"
        Guarded.used, Guarded.room = used, self.room
        return data


@contextmanager
def guarded() -> Iterator[None]:
    """encode() writes with Guarded."""
    plain = encoding.Writer
    encoding.Writer = Guarded  # type: ignore[misc]
    try:
        yield
    finally:
        encoding.Writer = plain  # type: ignore[misc]


def numbers(rng: np.random.Generator, n: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """n values on which models do badly: first something regular, for them to learn, then something else."""
    calm, wild = _calm(rng, n, dtype), _wild(rng, n, dtype)
    form = rng.integers(4)
    if form == 0:
        return wild
    if form == 1:  # alternating, so that no energy is ever right
        return np.where(np.arange(n) % int(rng.integers(2, 12)) == 0, wild, calm)
    if form == 2:  # rare
        return np.where(rng.random(n) < rng.choice([0.01, 0.12]), wild, calm)
    return np.where(np.arange(n) < rng.integers(n + 1), calm, wild)


def _calm(rng: np.random.Generator, n: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    walk = np.cumsum(rng.integers(-2, 3, n)) if rng.random() < 0.5 else np.zeros(n, np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        return (walk * rng.choice(_STEPS) if dtype.kind == "f" else walk).astype(dtype)


def _wild(rng: np.random.Generator, n: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    form = rng.integers(4)
    if dtype.kind == "f" and form == 0:
        with np.errstate(over="ignore"):
            return rng.choice(np.array(_ODD), n).astype(dtype)
    if dtype.kind == "f" and form == 1:  # multiples of a step, off by last places
        with np.errstate(over="ignore", invalid="ignore"):
            values = (_multiples(rng, n) * rng.choice(_STEPS)).astype(dtype)
        off = rng.integers(-15, 16, n).astype(f"i{dtype.itemsize}")
        return (values.view(off.dtype) + off).view(dtype)
    if dtype.itemsize == 8 and form == 1:  # the same in whole numbers
        return (
            (np.rint(_multiples(rng, n) * rng.uniform(3, 1e5)) + rng.integers(-3, 4, n))
            .astype(np.int64)
            .view(dtype)
        )
    if form == 2:  # few kinds, far apart: a table of levels
        return rng.choice(_bits(rng, int(rng.integers(1, 257)), dtype), n)
    return _bits(rng, n, dtype)


def _multiples(rng: np.random.Generator, n: int) -> NDArray[np.int64]:
    most = 1 << int(rng.integers(4, 41))
    return rng.integers(-most, most, n)


def _bits(rng: np.random.Generator, n: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    return rng.integers(0, 256, (n, dtype.itemsize), np.uint8).view(dtype).ravel()


def columns(rng: np.random.Generator) -> list[Column]:
    """A message, often of many short columns, with stamps and marks of quality that are no better."""
    found: list[Column] = []
    for k in range(int(rng.integers(1, 9))):
        n = int(rng.choice([0, 1, 2, 7, 33, 120]))
        stamps = np.unique(numbers(rng, n, np.dtype(np.int64)))
        n = len(stamps)
        ids = int(rng.integers(1 << 29)) * 8 + k
        quality = rng.integers(0, 256, n).astype(np.uint8) if rng.random() < 0.3 else None
        if rng.random() < 0.1:
            values = np.array([chr(int(c)) * int(c % 9) for c in rng.integers(32, 0xD7FF, n)], object)
        else:
            values = numbers(rng, n, NUMBERS[rng.integers(len(NUMBERS))])
        found.append(Column(ids, stamps, values, quality))
    return found


def message_share(columns: Sequence[Column], level: int) -> float:
    """The share of its room that a message took at the farthest; AssertionError where it took more."""
    with guarded():
        codec.encode(columns, level=level)
    return Guarded.used / Guarded.room


def array_bytes(values: NDArray[Any], level: int) -> int:
    """How far the encoder of one array alone wrote; AssertionError where that is beyond its room."""
    n, code = len(values), fmt.NUMBER_CODES[values.dtype]
    room = fmt.BYTES_PER_VALUE_MAX * n + 256
    out = np.full(room + GUARD, _FILL, np.uint8)
    models = np.empty(at.MODELS + DECISIONS_ROOM, np.int32)
    state = np.empty(5, np.int64)
    scratch = np.empty(arrays.SCRATCH_ARRAYS * n + arrays.SCRATCH_EXTRA, np.int64)
    kind, width = stream.KIND_AND_WIDTH[values.dtype]
    words = stream.words_of(values)
    known = stream.NO_LINE
    kernels.encode_array(state, out, models, code, at.VALUES, kind, width, level, words, scratch, *known)
    used = int(np.flatnonzero(out != _FILL)[-1]) + 1
    assert used <= room, f"{used} bytes written, there was room for {room}: {values.tolist()}"
    return used


def main() -> int:
    """Print the worst seen."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz.room", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )  # fmt: skip
    parser.add_argument("--executions", type=int, default=10_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    worst: dict[tuple[str, int], int] = {}
    share = 0.0
    for k in range(args.executions):
        level = int(k % 8 != 0)
        if k % 4 == 0:
            share = max(share, message_share(columns(rng), level))
            continue
        n, dtype = int(rng.choice(LENGTHS)), NUMBERS[rng.integers(len(NUMBERS))]
        key = dtype.name, n
        worst[key] = max(worst.get(key, 0), array_bytes(numbers(rng, n, dtype), level))
    sys.stdout.write(f"messages: at most {share:.3f} of their room\n")
    for name in dict.fromkeys(name for name, _ in worst):
        told = ", ".join(f"{n} values {worst[name, n] / n:.1f}" for n in LENGTHS if (name, n) in worst)
        sys.stdout.write(f"{name}: bytes a value at most: {told}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
