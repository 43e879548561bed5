"""The codec: columns <-> bytes (docs/format.md, section 7), and the same for one array alone.

Column times are monotonic ns, values in the unit of the signal. Exact to the bit, both ways, unless a bound of error is given. Decoding arbitrary bytes
gives columns or a CodecError, in bounded time and memory.
"""

from __future__ import annotations

from vantel.codec.bounded import within
from vantel.codec.decoding import decode, decode_times, decode_values
from vantel.codec.encoding import (
    encode,
    encode_times,
    encode_values,
    encode_values_with_plan,
    encode_with_plan,
)
from vantel.codec.errors import (
    CodecError,
    CorruptError,
    InvalidArgumentError,
    TruncatedError,
    UnsupportedError,
)
from vantel.codec.plan import Plan
from vantel.codec.simplify import lines

__all__ = [
    "CodecError",
    "CorruptError",
    "InvalidArgumentError",
    "Plan",
    "TruncatedError",
    "UnsupportedError",
    "decode",
    "decode_times",
    "decode_values",
    "encode",
    "encode_times",
    "encode_values",
    "encode_values_with_plan",
    "encode_with_plan",
    "lines",
    "within",
]
