"""Inputs that are nearly right: a sample of a corpus with a few changes, a function of the random numbers alone. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence

INPUT_BYTES_MAX = 1 << 16
_EDGES = (0, 1, 0x7F, 0x80, 0xFF)
_LENGTHS = (1, 2, 4, 8)


def mutated(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """One input: one in 32 is noise, the others are a sample with 1 to 8 changes."""
    if not rng.randrange(32):
        return rng.randbytes(rng.randrange(300))
    data = bytearray(rng.choice(corpus))
    for _ in range(1 + int(rng.random() ** 3 * 8)):
        _change(rng, data, corpus)
    return bytes(data[:INPUT_BYTES_MAX])


def _change(rng: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    kind, at = rng.randrange(9), rng.randrange(len(data) + 1)
    length = rng.choice(_LENGTHS)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1 and at < len(data):
        data[at] = rng.choice(_EDGES)
    elif kind == 2:
        data[at:at] = rng.randbytes(length)
    elif kind == 3:
        del data[at : at + length]
    elif kind == 4:
        del data[at:]
    elif kind == 5:  # a length or a count of extreme size
        data[at : at + length] = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * length
    elif kind == 6:  # a piece of another sample
        other = rng.choice(corpus)
        first = rng.randrange(len(other) + 1)
        data[at : at + rng.randrange(40)] = other[first : first + rng.randrange(40)]
    elif kind == 7:  # a piece again
        data[at:at] = data[at : at + rng.randrange(64)] * rng.randrange(4)
    elif at < len(data):
        data[at] = (data[at] + rng.choice((-1, 1))) & 0xFF
