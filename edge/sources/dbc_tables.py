"""Messages of cantools compiled to the tables of dbc_kernel: fields, conversions, multiplexing trees, ids.

A Builder takes messages one by one and gives Tables. Messages of a rare shape (overlapping or oversized signals,
containers, fields over 64 bits, 16-bit floats, float or very wide multiplexers, products over 63 bits) get no root and
go through cantools itself, frame by frame. Source: docs/decisions/0003-dbc-and-stamps.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cantools.database.can import Message, Signal
from cantools.database.conversion import (
    BaseConversion,
    IdentityConversion,
    LinearConversion,
    LinearIntegerConversion,
)
from numpy.typing import NDArray

from edge.sources import dbc_kernel as kernel
from edge.sources.dbc_file import odd
from edge.sources.dbc_kernel import EXTENDED

EXACT_BITS = 53
"""Whole numbers below 2**53 are exact in float64, so float arithmetic on them is that of Python's integers."""
WHOLE_BITS = 62
BRANCHES_MAX = 65_536
BYTES_MAX = 1792
"""Longest payload: 1785 bytes of the J1939 transport protocol, in words."""
GROUP_MASK = 0x3FFFF
_NEVER_ERROR = np.iinfo(np.int64).max
_LINEAR = {
    kernel.FLOAT32: kernel.FLOAT32_LINEAR,
    kernel.FLOAT64: kernel.FLOAT64_LINEAR,
}


@dataclass(frozen=True, slots=True)
class Tables:
    """Arrays for dbc_kernel, in the order of its arguments; message k of the builder is row k of messages."""

    keys: NDArray[np.uint32]
    values: NDArray[np.int32]
    groups: NDArray[np.uint32]
    group_values: NDArray[np.int32]
    messages: NDArray[np.int32]
    nodes: NDArray[np.int32]
    fields: NDArray[np.int32]
    linear: NDArray[np.float64]
    whole: NDArray[np.int64]
    muxes: NDArray[np.int32]
    branches: NDArray[np.int32]
    stack: NDArray[np.int32]


@dataclass(slots=True)
class Builder:
    """Grows the tables."""

    messages: list[tuple[int, int, int, int]] = field(default_factory=list)
    nodes: list[tuple[int, int, int, int]] = field(default_factory=list)
    fields: list[tuple[int, ...]] = field(default_factory=list)
    linear: list[tuple[float, float]] = field(default_factory=list)
    whole: list[tuple[int, int, int, int]] = field(default_factory=list)
    muxes: list[tuple[int, int, int, int]] = field(default_factory=list)
    branches: list[int] = field(default_factory=list)
    ids: dict[int, int] = field(default_factory=dict)
    groups: dict[int, int] = field(default_factory=dict)

    def add(self, message: Message, slot_first: int, *, j1939: bool = False) -> int:
        """Compile a message whose signals take slots from slot_first; returns its number. A later twin of an id wins.

        j1939: match its parameter group, and leave out the values by which J1939 says error or not available.
        """
        root = -1
        if is_plain(message):
            slot_of = {signal.name: slot_first + at for at, signal in enumerate(message.signals)}
            by_name = {signal.name: signal for signal in message.signals}
            root = self._node(message.signal_tree, by_name, slot_of)
        number = len(self.messages)
        self.messages.append((root, 8 * int(message.length), len(message.signals), int(j1939)))
        if j1939:
            self.groups[parameter_group(int(message.frame_id))] = number
        else:
            self.ids[frame_key(message)] = number
        return number

    def tables(self) -> Tables:
        """What was added so far."""
        muxes_of_a_message = len(self.muxes) + 1
        return Tables(
            *_hashed(self.ids),
            *_hashed(self.groups),
            np.array(self.messages, np.int32).reshape(-1, 4),
            np.array(self.nodes, np.int32).reshape(-1, 4),
            np.array(self.fields, np.int32).reshape(-1, 8),
            np.array(self.linear, np.float64).reshape(-1, 2),
            np.array(self.whole, np.int64).reshape(-1, 4),
            np.array(self.muxes, np.int32).reshape(-1, 4),
            np.array(self.branches, np.int32),
            np.empty(muxes_of_a_message, np.int32),
        )

    def _node(self, tree: Any, by_name: dict[str, Signal], slot_of: dict[str, int]) -> int:
        """Node of a signal tree of cantools: its fields in a row, then the nodes below each multiplexer."""
        names = [next(iter(item)) if isinstance(item, dict) else item for item in tree]
        first = len(self.fields)
        for name in names:
            self._field(by_name[name], slot_of[name])
        number = len(self.nodes)
        self.nodes.append((0, 0, 0, 0))
        found: list[tuple[int, int, list[int]]] = []
        for at, item in enumerate(tree):
            if isinstance(item, dict):
                below = {
                    int(v): self._node(t, by_name, slot_of) for v, t in next(iter(item.values())).items()
                }
                least, most = min(below), max(below)
                found.append((first + at, least, [below.get(v, -1) for v in range(least, most + 1)]))
        mux_first = len(self.muxes)
        for field_at, least, row in found:
            begin = len(self.branches)
            self.branches += row
            self.muxes.append((field_at, least, begin, len(self.branches)))
        self.nodes[number] = (first, first + len(names), mux_first, len(self.muxes))
        return number

    def _field(self, signal: Signal, slot: int) -> None:
        bits, first = int(signal.length), first_bit(signal)
        word, within = first // 64, first % 64
        big = signal.byte_order == "big_endian"
        straddles = within + bits > 64
        left = within if big or straddles else 64 - within - bits
        conversion = _conversion(signal)
        scale, offset = conversion.scale, conversion.offset
        self.fields.append(
            (word, int(big), left, 64 - bits, _kind(signal, conversion), slot, first + bits, int(straddles))
        )
        self.linear.append((float(scale), float(offset)))
        plain = isinstance(scale, int) and isinstance(offset, int) and not signal.is_float
        error, missing = j1939_limits(signal)
        self.whole.append((int(scale), int(offset), error, missing) if plain else (1, 0, error, missing))


def is_plain(message: Message) -> bool:
    """Whether the kernel decodes the message; everything else is left to cantools, bit for bit."""
    if message.is_container or odd(message) is not None:
        return False
    return all(_is_plain_signal(signal) for signal in message.signals) and _narrow(message.signal_tree)


def _narrow(tree: Any) -> bool:
    """Whether the values of each multiplexer lie close enough together for a table."""
    for item in tree:
        if isinstance(item, dict):
            below = next(iter(item.values()))
            if max(below) - min(below) >= BRANCHES_MAX or not all(_narrow(t) for t in below.values()):
                return False
    return True


def _is_plain_signal(signal: Signal) -> bool:
    if not 1 <= signal.length <= 64 or first_bit(signal) + signal.length > 8 * BYTES_MAX:
        return False
    conversion = _conversion(signal)
    if not isinstance(conversion, IdentityConversion | LinearIntegerConversion | LinearConversion):
        return False
    if signal.is_float:
        return signal.length in (32, 64) and not signal.is_multiplexer
    return _kind(signal, conversion) >= 0


def _kind(signal: Signal, conversion: BaseConversion) -> int:
    """How the kernel scales the signal; -1 when it cannot do so exactly."""
    if signal.is_float:
        kind = kernel.FLOAT32 if signal.length == 32 else kernel.FLOAT64
        return kind if isinstance(conversion, IdentityConversion) else _LINEAR[kind]
    scale, offset, bits = conversion.scale, conversion.offset, int(signal.length)
    signed = bool(signal.is_signed)
    by_float = kernel.SIGNED if signed else kernel.UNSIGNED if bits < 64 else kernel.UNSIGNED_64
    if isinstance(conversion, IdentityConversion) or isinstance(scale, float):
        return by_float
    product_bits = bits + abs(int(scale)).bit_length()
    offset_bits = abs(int(offset)).bit_length() if isinstance(offset, int) else 0
    if max(product_bits, offset_bits) < EXACT_BITS:
        return by_float
    if isinstance(offset, int) and max(product_bits, offset_bits) < WHOLE_BITS:
        return kernel.WHOLE_SIGNED if signed else kernel.WHOLE_UNSIGNED
    return -1


def _conversion(signal: Signal) -> BaseConversion:
    """Conversion without the table of names: names stay beside the number."""
    conversion = signal.conversion
    if conversion.choices is None:
        return conversion
    return BaseConversion.factory(conversion.scale, conversion.offset, None, conversion.is_float)


def frame_key(message: Message) -> int:
    """Id of the message with the flag of 29-bit frames, as frames carry it."""
    return int(message.frame_id) | (EXTENDED if message.is_extended_frame else 0)


def parameter_group(frame_id: int) -> int:
    """J1939 parameter group of a 29-bit id (SAE J1939-21): below 0xF000 the low byte is a destination, not a part of it."""
    group = (frame_id >> 8) & GROUP_MASK
    return group & 0x3FF00 if group & 0xFF00 < 0xF000 else group


def j1939_limits(signal: Signal) -> tuple[int, int]:
    """Raw values from which J1939 means error, and from which not available (SAE J1939-71, table of ranges).

    Whole bytes: the topmost byte 0xFE and 0xFF. Two bits: 2 and 3. Other widths: all ones is not available.
    """
    bits = int(signal.length)
    if signal.is_float or signal.is_signed or bits < 2 or bits > 62:
        return _NEVER_ERROR, _NEVER_ERROR
    if bits % 8 == 0:
        return 0xFE << (bits - 8), 0xFF << (bits - 8)
    missing = (1 << bits) - 1
    return (2, 3) if bits == 2 else (missing, missing)


def first_bit(signal: Signal) -> int:
    """First bit of the field; big-endian ones in network numbers, 0 = most significant bit of byte 0."""
    if signal.byte_order == "big_endian":
        return 8 * (signal.start // 8) + (7 - signal.start % 8)
    return int(signal.start)


def _hashed(number_of: dict[int, int]) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """Open hash table of dbc_kernel, at most a quarter full."""
    places = 1 << max(4, (4 * len(number_of)).bit_length())
    keys = np.full(places, kernel.EMPTY, np.uint32)
    values = np.full(places, -1, np.int32)
    for key, number in number_of.items():
        at = (((key ^ (key >> 15)) * 2654435761 & 0xFFFF_FFFF) >> 7) & (places - 1)
        while keys[at] != kernel.EMPTY:
            at = (at + 1) & (places - 1)
        keys[at], values[at] = key, number
    return keys, values
