"""Databases of CAN messages compiled to tables: fields, conversions and the multiplexing tree of each message.

From cantools messages to arrays that dbc_kernel.extract reads. Messages of a rare shape (overlapping or oversized
fields, containers, fields wider than 64 bits, float multiplexers) keep decode = None and go through cantools itself.
Source: docs/decisions/0003-dbc-and-stamps.md.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cantools
import numpy as np
from cantools.database.can import Message, Signal
from cantools.database.conversion import (
    BaseConversion,
    IdentityConversion,
    LinearConversion,
    LinearIntegerConversion,
)
from cantools.database.errors import Error as CantoolsError
from numpy.typing import NDArray

from edge.sources.dbc_kernel import PAYLOAD_BYTES
from edge.sources.errors import RecordingError

EXTENDED = 0x8000_0000
"""Set in an id when the frame is a 29-bit one, as in cantools and in SocketCAN."""

# One line for each message that is defined twice; which one counts is written in docs/decisions/0003-dbc-and-stamps.md.
logging.getLogger("cantools").setLevel(logging.ERROR)

_FLOAT_BITS = (16, 32, 64)
_FLOAT_TYPES = {16: np.float16, 32: np.float32, 64: np.float64}
_UINT_TYPES = {16: np.uint16, 32: np.uint32, 64: np.uint64}
_INT64_BITS = 63


@dataclass(frozen=True, slots=True)
class Field:
    """One signal of a message: how its raw bits become the number that cantools gives."""

    bits: int
    signed: bool
    is_float: bool
    scale: int | float
    offset: int | float
    kind: str

    def scaled(self, raw: NDArray[np.uint64]) -> NDArray[np.float64]:
        """raw uint64[n] to float64[n] by the same operations, in the same order, as cantools in Python."""
        if self.is_float:
            value = raw.astype(_UINT_TYPES[self.bits]).view(_FLOAT_TYPES[self.bits]).astype(np.float64)
            return value if self.kind == "identity" else value * float(self.scale) + float(self.offset)
        integers: NDArray[Any] = raw
        if self.signed:
            shift = np.uint64(64 - self.bits)
            integers = (raw << shift).view(np.int64) >> np.int64(64 - self.bits)
        if self.kind == "identity":
            return integers.astype(np.float64)
        if isinstance(self.scale, float):
            return integers.astype(np.float64) * self.scale + float(self.offset)
        if self.bits + abs(self.scale).bit_length() + 1 < _INT64_BITS and abs(self.offset) < 1 << 61:
            product = integers.astype(np.int64) * self.scale
            if self.kind == "integer":
                return (product + int(self.offset)).astype(np.float64)
            return product.astype(np.float64) + float(self.offset)
        # Python integers do not overflow; numpy's would. Fields this wide and scaled are rare enough for a plain loop.
        return np.array([float(int(x) * self.scale + self.offset) for x in integers], dtype=np.float64)


@dataclass(slots=True)
class Node:
    """Fields that share a multiplexer value (or none), and the nodes below each multiplexer."""

    slots: NDArray[np.int32]
    orders: NDArray[np.int64]
    start: NDArray[np.int32]
    length: NDArray[np.int32]
    big: NDArray[np.uint8]
    bits_needed: NDArray[np.int64]
    fields: list[Field]
    multiplexers: list[tuple[int, dict[int, Node]]] = field(default_factory=list)


@dataclass(slots=True)
class CompiledMessage:
    """A message with the first slot of its signals; root is None when cantools has to decode it."""

    message: Message
    slot_of: dict[str, int]
    root: Node | None = None
    length_bytes: int = 0
    source: Path = Path()


def load_database(path: Path) -> cantools.database.can.Database:
    """Read a DBC (or KCD, SYM, ARXML) file; UTF-8, else the code page of Windows, in which DBC files are written."""
    try:
        data = path.read_bytes()
    except OSError as cause:
        raise RecordingError(
            path, f"cannot read the DBC: {cause.strerror}", "correct dbc = in the settings"
        ) from cause
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    suffix = path.suffix.lower().removeprefix(".")
    kind = suffix if suffix in ("dbc", "kcd", "sym", "arxml") else None
    try:
        database = cantools.database.load_string(text, kind, strict=False)
    except (CantoolsError, ValueError, KeyError, IndexError, TypeError) as cause:
        raise RecordingError(
            path, f"not a usable DBC: {cause}", "repair it or name another in dbc ="
        ) from cause
    if not isinstance(database, cantools.database.can.Database) or not database.messages:
        raise RecordingError(path, "the DBC defines no CAN message", "name another file in dbc =")
    return database


def frame_key(message: Message) -> int:
    """Id of the message with the flag of 29-bit frames, as frames carry it."""
    return int(message.frame_id) | (EXTENDED if message.is_extended_frame else 0)


def compile_message(message: Message, slot_first: int, source: Path) -> CompiledMessage:
    """Tables of one message; its signals take slots from slot_first in the order of the database."""
    slot_of = {signal.name: slot_first + at for at, signal in enumerate(message.signals)}
    compiled = CompiledMessage(message, slot_of, None, int(message.length), source)
    if _is_plain(message):
        by_name = {signal.name: signal for signal in message.signals}
        compiled.root, _ = _node(message.signal_tree, by_name, slot_of, 0)
    return compiled


def _is_plain(message: Message) -> bool:
    """Whether the kernel decodes the message; everything else is left to cantools, bit for bit."""
    if message.is_container:
        return False
    try:
        message.refresh(strict=True)
    except CantoolsError:
        message.refresh(strict=False)
        return False
    return all(
        _is_plain_signal(signal) and _bits_needed(signal) <= 8 * PAYLOAD_BYTES for signal in message.signals
    )


def _is_plain_signal(signal: Signal) -> bool:
    if not 1 <= signal.length <= 64:
        return False
    if signal.is_float and (signal.length not in _FLOAT_BITS or signal.is_multiplexer):
        return False
    plain = (IdentityConversion, LinearIntegerConversion, LinearConversion)
    return isinstance(_conversion(signal), plain)


def _conversion(signal: Signal) -> BaseConversion:
    """Conversion without the table of names: names stay beside the number."""
    conversion = signal.conversion
    if conversion.choices is None:
        return conversion
    return BaseConversion.factory(conversion.scale, conversion.offset, None, conversion.is_float)


def _first_bit(signal: Signal) -> int:
    if signal.byte_order == "big_endian":
        return 8 * (signal.start // 8) + (7 - signal.start % 8)
    return int(signal.start)


def _bits_needed(signal: Signal) -> int:
    """Bits a payload must have for cantools to keep the signal of a truncated frame."""
    return _first_bit(signal) + int(signal.length)


def _field(signal: Signal) -> Field:
    conversion = _conversion(signal)
    kind = {IdentityConversion: "identity", LinearIntegerConversion: "integer"}.get(
        type(conversion), "linear"
    )
    return Field(int(signal.length), bool(signal.is_signed), bool(signal.is_float), conversion.scale,
                 conversion.offset, kind)  # fmt: skip


def _node(tree: Any, by_name: dict[str, Signal], slot_of: dict[str, int], order: int) -> tuple[Node, int]:
    """Node of a signal tree of cantools; orders number the signals in the sequence in which cantools lists them."""
    names = [next(iter(item)) if isinstance(item, dict) else item for item in tree]
    signals = [by_name[name] for name in names]
    node = Node(
        slots=np.array([slot_of[name] for name in names], dtype=np.int32),
        orders=np.arange(order, order + len(names), dtype=np.int64),
        start=np.array([_first_bit(s) for s in signals], dtype=np.int32),
        length=np.array([s.length for s in signals], dtype=np.int32),
        big=np.array([s.byte_order == "big_endian" for s in signals], dtype=np.uint8),
        bits_needed=np.array([_bits_needed(s) for s in signals], dtype=np.int64),
        fields=[_field(s) for s in signals],
    )
    order += len(names)
    for at, item in enumerate(tree):
        if isinstance(item, dict):
            branches: dict[int, Node] = {}
            for value, subtree in next(iter(item.values())).items():
                branches[int(value)], order = _node(subtree, by_name, slot_of, order)
            node.multiplexers.append((at, branches))
    return node, order
