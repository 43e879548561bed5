"""The codec: columns <-> bytes (docs/format.md, section 7). encode, decode and the errors are all that is public.

Column times are monotonic ns, values in the unit of the signal. Exact to the bit, both ways. decode of arbitrary bytes
gives columns or a CodecError, in bounded time and memory.
"""

from __future__ import annotations

from vantel.codec.decoding import decode
from vantel.codec.encoding import encode
from vantel.codec.errors import (
    CodecError,
    CorruptError,
    InvalidArgumentError,
    TruncatedError,
    UnsupportedError,
)

__all__ = [
    "CodecError",
    "CorruptError",
    "InvalidArgumentError",
    "TruncatedError",
    "UnsupportedError",
    "decode",
    "encode",
]
