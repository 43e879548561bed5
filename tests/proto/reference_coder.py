"""The range decoder of codec format 1 with its models, written from docs/format.md, sections 7.2 and 7.3, alone.

Slow and plain on purpose; reference.py reads columns with it. Only for bytes that are legal.
"""

from __future__ import annotations

from pathlib import Path

RATES = [int(65536 / (n + 1.5)) for n in range(128)]
MODE, NARROW, EXPONENT, PREDICTOR = 0, 8, 12, 44
START = PREDICTOR + 4 * 16
FLAGS = START + 4 * 64
PLAIN = FLAGS + 4
BASE = FLAGS + 8
STEP = BASE + 4 * 64
FACTOR = STEP + 4 * 64
GAP, COUNT, KIND, NEWER = FACTOR + 64, FACTOR + 128, FACTOR + 192, FACTOR + 208
RUN, REGION_ROWS, LEVELS = 22, 23, 4 * 23
_DOCUMENT = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
START_ROWS = [
    [int(share) for share in line.split()]
    for line in _DOCUMENT.partition("```rows\n")[2].partition("```")[0].splitlines()
]
"""The rows of a region when a stream begins, as the document lists them."""


class Coder:
    """The range decoder with its models (docs/format.md, section 7.2)."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.begin()
        self.code, self.range, self.place = 0, 1 << 48, 0
        for _ in range(6):
            self.read()

    def begin(self) -> None:
        """All models new."""
        self.cells = {NEWER: (65536 - 24, 126)}
        self.rows = [(list(row), 10) for _ in range(4) for row in START_ROWS] + [([0] * 16, 0)] * 17

    def read(self) -> None:
        byte = self.data[self.place] if self.place < len(self.data) else 0
        self.place += 1
        self.code = self.code << 8 | byte

    def renew(self) -> None:
        if self.range < 1 << 32:
            self.read()
            self.read()
            self.range <<= 16

    def length(self) -> int:
        """Bytes of the stream, if it ends here."""
        return self.place - 6 + (1 if self.range >= 1 << 42 else 2 if self.range >= 1 << 34 else 3)

    def bit(self, cell: int) -> int:
        p, seen = self.cells.get(cell, (32768, 0))
        bound = (self.range >> 16) * p
        bit = int(self.code >= bound)
        if bit:
            self.code -= bound
            self.range -= bound
            p += (24 - p) * RATES[seen] >> 16
        else:
            self.range = bound
            p += (65512 - p) * RATES[seen] >> 16
        self.cells[cell] = (p, min(seen + 1, 126))
        self.renew()
        return bit

    def raw(self, width: int) -> int:
        number = 0
        while width:
            step = min(width, 16)
            width -= step
            self.range >>= step
            part = self.code // self.range
            assert part < 1 << step
            self.code -= part * self.range
            number = number << step | part
            self.renew()
        return number

    def symbol(self, row: int) -> int:
        shares, seen = self.rows[row]
        self.range >>= 15
        share = min(self.code // self.range, 32767)
        symbol = max(k for k in range(16) if shares[k] <= share)
        upper = shares[symbol + 1] if symbol < 15 else 32768
        self.code -= self.range * shares[symbol]
        self.range *= upper - shares[symbol]
        goals = [32768 - 4 * (16 - k) if k > symbol else 4 * k for k in range(16)]
        moved = [
            share + ((goal - share) * RATES[seen] >> 16) for share, goal in zip(shares, goals, strict=True)
        ]
        self.rows[row] = (moved, min(seen + 1, 126))
        self.renew()
        return symbol

    def tree(self, cell: int, width: int) -> int:
        node = 1
        for _ in range(width):
            node = 2 * node + self.bit(cell + node)
        return node - (1 << width)

    def number(self, cell: int) -> int:
        length = self.tree(cell, 6)
        if length == 63:
            return self.raw(64)
        return self.raw(length - 1) | 1 << (length - 1) if length else 0

    def signed(self, cell: int) -> int:
        folded = self.number(cell)
        return folded >> 1 if folded % 2 == 0 else -(folded + 1 >> 1)
