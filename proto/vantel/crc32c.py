"""CRC-32C (Castagnoli), the checksum of envelopes and spool records.

Polynomial 0x1EDC6F41, reflected, initial and final value all ones (RFC 3720, section 12.1 and appendix B.4 for the
test vectors). Slicing by 8 in Numba. masked() is the rotation plus constant of the LevelDB log format, so that a
checksum stored inside checked data, or a run of zeros, never looks valid.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from vantel.kernel import kernel

_POLYNOMIAL_REFLECTED = 0x82F63B78
_MASK_DELTA = 0xA282EAD8


def _slicing_tables() -> NDArray[np.uint32]:
    """Tables of slicing by 8: shape (8, 256), uint32."""
    tables = np.zeros((8, 256), dtype=np.uint32)
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL_REFLECTED if crc & 1 else 0)
        tables[0, byte] = crc
    for level in range(1, 8):
        previous = tables[level - 1]
        tables[level] = (previous >> np.uint32(8)) ^ tables[0][previous & np.uint32(0xFF)]
    return tables


_TABLES = _slicing_tables()


@kernel(
    numba.uint32(numba.types.Array(numba.uint8, 1, "C", readonly=True), numba.uint32[:, ::1], numba.uint32)
)
def _update(data, tables, crc):  # type: ignore[no-untyped-def]
    """Fold data uint8[n] into the running (inverted) crc; tables as _slicing_tables gives them."""
    n = data.shape[0]
    i = 0
    while i + 8 <= n:
        low = crc ^ (
            np.uint32(data[i])
            | (np.uint32(data[i + 1]) << np.uint32(8))
            | (np.uint32(data[i + 2]) << np.uint32(16))
            | (np.uint32(data[i + 3]) << np.uint32(24))
        )
        crc = (
            tables[7, low & np.uint32(0xFF)]
            ^ tables[6, (low >> np.uint32(8)) & np.uint32(0xFF)]
            ^ tables[5, (low >> np.uint32(16)) & np.uint32(0xFF)]
            ^ tables[4, low >> np.uint32(24)]
            ^ tables[3, data[i + 4]]
            ^ tables[2, data[i + 5]]
            ^ tables[1, data[i + 6]]
            ^ tables[0, data[i + 7]]
        )
        i += 8
    while i < n:
        crc = tables[0, (crc ^ np.uint32(data[i])) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
        i += 1
    return np.uint32(crc)


def crc32c(data: bytes | bytearray | memoryview, start: int = 0) -> int:
    """CRC-32C of data; start is the checksum of what came before, so that crc32c(b, crc32c(a)) == crc32c(a + b)."""
    view = np.frombuffer(data, dtype=np.uint8)
    view.flags.writeable = False
    return int(_update(view, _TABLES, np.uint32(start ^ 0xFFFFFFFF))) ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """Checksum in the form in which it is stored (LevelDB doc/log_format.md, util/crc32c.h)."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF
