"""How the records of a Linux IIO buffer lie in memory, and their values as numbers. Pure.

A record holds the enabled channels by index, each aligned to its own size, the whole padded to the largest (Documentation/iio/
iio_devbuf.rst and ABI/testing/sysfs-bus-iio of the kernel). Types are written as [be|le]:[s|u]bits/storage[Xrepeat]>>shift. A
repeated channel, as a quaternion that another program enabled, takes its place in the record, aligned as a whole; it is not decoded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TIMESTAMP = "in_timestamp"
RECORD_BYTES_MAX = 1024
_TYPE = re.compile(r"(be|le):([su])(\d{1,2})/(8|16|32|64)(?:X(\d{1,3}))?>>(\d{1,2})")
_FORM = "[be|le]:[s|u]bits/storage[Xrepeat]>>shift"


@dataclass(frozen=True, slots=True)
class Channel:
    """One enabled channel, as in_accel_x; kind is the text of its _type file."""

    name: str
    index: int
    kind: str


class LayoutError(ValueError):
    """Channels that make no record."""


class RecordLayout:
    """Where each channel lies in a record."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        """LayoutError for types that are none."""
        offset, largest = 0, 1
        self._parts: dict[str, tuple[bool, int, int]] = {}
        names, formats, offsets = [], [], []
        for channel in sorted(channels, key=lambda one: one.index):
            order, sign, bits, size, repeat, shift = _parsed(channel)
            bytes_all = size * repeat
            offset = -(-offset // bytes_all) * bytes_all
            if repeat == 1:
                names.append(channel.name)
                formats.append(f"{'>' if order == 'be' else '<'}u{size}")
                offsets.append(offset)
                self._parts[channel.name] = (sign == "s", bits, shift)
            offset, largest = offset + bytes_all, max(largest, bytes_all)
        self.bytes_each = -(-offset // largest) * largest
        if not names or self.bytes_each > RECORD_BYTES_MAX:
            raise LayoutError(f"{len(names)} channels of {self.bytes_each} bytes make no record")
        self._dtype = np.dtype(
            {"names": names, "formats": formats, "offsets": offsets, "itemsize": self.bytes_each}
        )

    def decode(self, data: bytes) -> dict[str, NDArray[np.int64]]:
        """int64[n] of each channel; data holds n whole records."""
        records = np.frombuffer(data, self._dtype)
        values = {}
        for name, (signed, bits, shift) in self._parts.items():
            raw = records[name].astype(np.uint64) >> np.uint64(shift)
            left = np.uint64(64 - bits)
            # shifting left, then right as a signed number extends the sign
            values[name] = (raw << left).view(np.int64) >> np.int64(left) if signed else _masked(raw, bits)
        return values


def _parsed(channel: Channel) -> tuple[str, str, int, int, int, int]:
    """Byte order, sign, bits, bytes of one element, elements, shift."""
    match = _TYPE.fullmatch(channel.kind)
    if match is None:
        raise LayoutError(f"{channel.name}: type {channel.kind!r} is not of the form {_FORM}")
    bits, storage, shift = int(match.group(3)), int(match.group(4)), int(match.group(6))
    if not 0 < bits + shift <= storage:
        raise LayoutError(f"{channel.name}: {bits} bits do not fit into {storage}, shifted by {shift}")
    repeat = int(match.group(5) or 1)
    if repeat < 1 or repeat & (repeat - 1):  # the kernel's ALIGN() is defined for powers of two alone
        raise LayoutError(
            f"{channel.name}: {repeat} elements (type {channel.kind!r}) are not supported, only 1, 2, 4, 8 and so on; "
            f"write 0 to {channel.name}_en"
        )
    return match.group(1), match.group(2), bits, storage // 8, repeat, shift


def _masked(raw: NDArray[np.uint64], bits: int) -> NDArray[np.int64]:
    return (raw & np.uint64((1 << min(bits, 63)) - 1)).astype(np.int64)
