"""Numbers of codec format 1 (docs/format.md, section 7): header, type codes, limits.

Both directions import these; nothing here is computed at run time.
"""

from __future__ import annotations

import numpy as np

MAGIC = b"VC"
FORMAT = 1
METHOD_ZLIB = 1
HEADER_BYTES = 8
"""Magic (2), format (1), method (1), raw size (4, little-endian)."""

COLUMNS_MAX = 4096
SAMPLES_MAX = 1_000_000
"""All columns of one call together."""
RAW_BYTES_MAX = 16 * 1024 * 1024
STRING_BYTES_MAX = 65_535
"""One string in UTF-8."""
SIGNAL_ID_MAX = (1 << 32) - 1
VARINT_BYTES_MAX = 10

NUMBER_TYPES: dict[int, np.dtype[np.generic]] = {
    1: np.dtype("<f8"),
    2: np.dtype("<f4"),
    3: np.dtype("<i1"),
    4: np.dtype("<i2"),
    5: np.dtype("<i4"),
    6: np.dtype("<i8"),
    7: np.dtype("<u1"),
    8: np.dtype("<u2"),
    9: np.dtype("<u4"),
    10: np.dtype("<u8"),
}
NUMBER_CODES: dict[str, int] = {f"{kind.kind}{kind.itemsize}": code for code, kind in NUMBER_TYPES.items()}
"""Type code by kind and width in bytes, whatever the byte order."""
TYPE_BOOL = 11
TYPE_STRING = 12
TYPE_MASK = 0x3F
FLAG_QUALITY = 0x80
FLAG_PLAIN = 0x40
"""Numbers only: the values stand as they are, word by word, without residues and planes."""
PLAIN_DISTINCT_TENTHS_MAX = 9
"""The encoder leaves floats plain when at most so many tenths of them are distinct."""

TABLE_WIDTHS = ((256, np.dtype("<u1")), (65_536, np.dtype("<u2")), (SAMPLES_MAX, np.dtype("<u4")))
"""Width of a string code by the largest size of the table that it serves."""
