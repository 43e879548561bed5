"""Numbers of codec format 1 (docs/format.md, section 7): types and limits. Cells and ids of the models are in layout.py."""

from __future__ import annotations

import numpy as np

COLUMNS_MAX = 4096
SAMPLES_MAX = 1_000_000
"""All columns of one call together."""
STRING_BYTES_MAX = 65_535
"""One string in UTF-8."""
TEXT_BYTES_MAX = 16 * 1024 * 1024
"""All texts of one column's table together."""
SIGNAL_ID_MAX = (1 << 32) - 1
BYTES_PER_VALUE_MAX = 32
"""Room of the output buffer while models are tried: two symbols, a length and 64 bits of a value, and of its correction."""

NUMBER_TYPES: dict[int, np.dtype[np.generic]] = {
    0: np.dtype("<f8"),
    1: np.dtype("<f4"),
    2: np.dtype("<i8"),
    3: np.dtype("<i4"),
    4: np.dtype("<i2"),
    5: np.dtype("<i1"),
    6: np.dtype("<u8"),
    7: np.dtype("<u4"),
    8: np.dtype("<u2"),
    9: np.dtype("<u1"),
}
NUMBER_CODES: dict[np.dtype[np.generic], int] = {
    either: code for code, kind in NUMBER_TYPES.items() for either in (kind, kind.newbyteorder("S"))
}
"""Type code by type, in either byte order."""
TYPE_BOOL = 10
TYPE_STRING = 11
