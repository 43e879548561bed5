"""Bits a value of the two forms that a float column can take, on CSV recordings (docs/decisions/0002-first-codec.md).

CSV files with a header, the time in the first column -> a line a file: XOR and planes, plain words, the encoder's choice.
Values only, zlib level 6, windows of 10 s at the rate of the file. Run by hand:

    python tests/bench/codec_forms.py imu_104hz.csv gnss_ublox_10hz.csv
"""

from __future__ import annotations

import csv
import sys
import zlib
from pathlib import Path

import numpy as np

from vantel.codec import format as fmt
from vantel.codec.encoding import planes

WINDOW_S = 10.0


def residues(words: np.ndarray) -> bytes:
    """XOR with the word before, in planes."""
    folded = words.copy()
    folded[1:] ^= words[:-1]
    return planes(folded)


def plain(words: np.ndarray) -> bytes:
    """Words as they are."""
    return words.tobytes()


def chosen(words: np.ndarray) -> bytes:
    """What the encoder takes."""
    repeat = 10 * len(np.unique(words)) <= fmt.PLAIN_DISTINCT_TENTHS_MAX * len(words)
    return plain(words) if repeat else residues(words)


def main(paths: list[str]) -> None:
    """Measure each file."""
    for path in map(Path, paths):
        with path.open(newline="") as lines:
            table = np.array([[float(cell) for cell in row] for row in list(csv.reader(lines))[1:]])
        rate_hz = (len(table) - 1) / (table[-1, 0] - table[0, 0])
        window = 10 * round(rate_hz * WINDOW_S / 10)
        bits = dict.fromkeys((residues, plain, chosen), 0)
        values = 0
        for first in range(0, len(table) - window, window):
            columns = [np.ascontiguousarray(c).view(np.uint64) for c in table[first : first + window, 1:].T]
            values += window * len(columns)
            for form in bits:
                bits[form] += 8 * len(zlib.compress(b"".join(map(form, columns)), 6))
        shown = ", ".join(f"{form.__name__} {total / values:.1f}" for form, total in bits.items())
        sys.stdout.write(f"{path.name}: window {window}, bits a value: {shown}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
