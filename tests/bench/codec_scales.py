"""What a bus signal costs: with the step and offset found from its numbers, and with those of the catalog.

Every pair of scale and offset in the DBC files of a folder, on made-up raw values of the signal's width -> bits a value of
the raw values themselves, of the physical values with and without a plan from the catalog, and of pcodec. Each batch is
checked bit by bit. Run by hand:

    python tests/bench/codec_scales.py [FOLDER]      # default: tests/data
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cantools
import numpy as np
from codec_peers import pcodec
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from vantel.codec import Plan, decode_values, encode_values

SIZES = (64, 256, 1024)


def scales(root: Path) -> Iterator[tuple[float, float, int]]:
    """(scale, offset, bits) of signals of at least 8 bits, each pair once; those without either are left out."""
    seen = {(1.0, 0.0)}
    for path in sorted(root.rglob("*.dbc")):
        for message in cantools.database.load_file(path, strict=False).messages:
            for signal in message.signals:
                pair = float(signal.scale), float(signal.offset)
                if signal.length >= 8 and pair not in seen and pair[0] != 0.0:
                    seen.add(pair)
                    yield *pair, min(signal.length, 32)


def raw_values(rng: np.random.Generator, bits: int, n: int) -> NDArray[np.float64]:
    """A walk with noise, whole numbers within the width, spread over a part of it that differs from signal to signal."""
    span = 2.0 ** rng.uniform(4, min(bits, 16))
    middle = rng.uniform(span, 2.0**bits - span) if 2.0**bits > 2 * span else 2.0 ** (bits - 1)
    walk = np.cumsum(rng.normal(size=n)) * span / 100 + rng.normal(size=n) * span / 500
    return np.clip(np.rint(middle + walk), 0, 2.0**bits - 1)


def main() -> None:
    """Print the table."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "data"
    found = list(scales(root))
    peer, rng = pcodec(), np.random.default_rng(8)
    table = Table("values", "raw", "from the numbers", "with the catalog", "pcodec", "batches that the catalog makes smaller",
                  title=f"{len(found)} scales and offsets, bits a value")  # fmt: skip
    for n in SIZES:
        totals: dict[str, Any] = dict.fromkeys(("raw", "alone", "told", "peer"), 0)
        smaller = 0
        for scale, offset, bits in found:
            raw = raw_values(rng, bits, n)
            values = raw * scale + offset
            plan = Plan.of_scales({0: (scale, offset)})
            alone, told = encode_values(values), encode_values(values, plan=plan)
            for data in (alone, told):
                assert decode_values(data).tobytes() == values.tobytes()
            totals["raw"] += len(encode_values(raw.astype(np.int64)))
            totals["alone"] += len(alone)
            totals["told"] += len(told)
            totals["peer"] += peer.size(peer.encode(values))
            smaller += len(told) < len(alone) - 2
        shown = [f"{8 * total / (n * len(found)):.2f}" for total in totals.values()]
        table.add_row(str(n), *shown, f"{smaller} of {len(found)}")
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
