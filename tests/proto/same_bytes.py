"""The digest of the codec's bytes on this processor, to be compared with that of another one.

    python tests/proto/same_bytes.py [FOLDER OF PACKAGES]
    NUMBA_CPU_NAME=generic NUMBA_CPU_FEATURES= python tests/proto/same_bytes.py
    tests/proto/arm64.sh        # here, here with generic features, and in an arm64 Debian under qemu-user

Encodes what the golden files hold, and made-up columns of every kind; each must come back bit for bit. Needs NumPy, Numba and
protobuf. The columns come from integers, sums and products alone, which IEEE 754 rounds the same everywhere.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [*sys.argv[1:2], str(ROOT / "proto")]

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from vantel import codec  # noqa: E402

ROUNDS = 150


def columns(random: np.random.Generator) -> Iterator[NDArray[Any]]:
    """Noise, walks, decimals, ramps, integers of every size, any bits at all, states, multiples of a step."""
    for _ in range(ROUNDS):
        n = int(random.integers(1, 400))
        noise = (
            random.integers(-(1 << 20), 1 << 20, (4, n)).sum(axis=0)
            * 1.9e-7
            * float(random.integers(1, 1 << 20))
        )
        yield noise
        yield noise.astype(np.float32)
        yield np.cumsum(noise)
        yield np.cumsum(noise).astype(np.float32)
        yield np.cumsum(random.integers(-100, 101, n)) / 10.0 ** float(random.integers(0, 5))
        yield np.arange(n) * (float(random.integers(1, 1 << 30)) * 1.1e-9)
        largest = 1 << int(random.integers(1, 63))
        yield random.integers(-largest, largest, n)
        yield np.frombuffer(random.bytes(8 * n), np.float64)
        yield random.integers(0, 4, n).astype(np.uint8)
        yield np.cumsum(random.integers(0, 1000, n)) * 0.01 + 3.0


def main() -> None:
    digest, count = hashlib.sha256(), 0
    for path in sorted((Path(__file__).parent / "golden" / "v1").glob("columns-*.bin")):
        digest.update(codec.encode(codec.decode(path.read_bytes())))
        count += 1
    random = np.random.default_rng(7)
    for values in columns(random):
        data = codec.encode_values(values)
        stamps = np.cumsum(random.integers(1, 10_000_000, len(values)))
        times = codec.encode_times(stamps)
        if (
            codec.decode_values(data).tobytes() != values.tobytes()
            or codec.decode_times(times).tobytes() != stamps.tobytes()
        ):
            sys.exit(f"column {count} does not come back on {platform.machine()}")
        digest.update(data + times)
        count += 1
    sys.stdout.write(f"{digest.hexdigest()} {count} columns, {platform.machine()}, NumPy {np.__version__}\n")


if __name__ == "__main__":
    main()
