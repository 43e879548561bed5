"""J1939 beyond single frames: the transport protocol, and trouble codes of DM1.

Transport.feed(): frames -> whole messages of up to 1785 bytes, from broadcasts (BAM) and from connections that others
hold (RTS and CTS; we only listen). TroubleCodes: DM1 messages -> lamps, number and list of active codes of the whole
bus. Source: SAE J1939-21 (transport) and J1939-73 (DM1). Pure; never fails on data: broken sessions are counted.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.sources.dbc_kernel import EXTENDED

SESSIONS_MAX = 256
MESSAGE_BYTES_MAX = 1785
PACKET_BYTES = 7
CONNECTION, DATA = 0xEC00, 0xEB00
_RTS, _BAM, _ABORT = 0x10, 0x20, 0xFF
_GROUP_BITS = np.uint32(0x03FF_0000)
DM1 = 0xFECA
LAMPS = ("ProtectLamp", "AmberWarningLamp", "RedStopLamp", "MalfunctionLamp")
"""Two bits each of the first byte of DM1, from the lowest."""


@dataclass(slots=True)
class _Session:
    group: int
    length: int
    packets: dict[int, bytes] = field(default_factory=dict)


class Transport:
    """Sessions of one bus, one for each pair of source and destination. counts: transport_broken. packets: frames of the protocol."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.packets = 0
        self._sessions: OrderedDict[int, _Session] = OrderedDict()

    def feed(
        self, ids: NDArray[np.uint32], lengths: NDArray[np.int64], payload: NDArray[np.uint8]
    ) -> Iterator[tuple[int, int, bytes]]:
        """(row, id with EXTENDED, data) of each message that its last packet, the frame at row, completes."""
        groups = ids & _GROUP_BITS
        rows = np.flatnonzero((ids >= EXTENDED) & ((groups == CONNECTION << 8) | (groups == DATA << 8)))
        self.packets += len(rows)
        for row in rows.tolist():
            key = int(ids[row])
            data = payload[row, : lengths[row]].tobytes()
            pair = key & 0xFFFF  # destination and source address
            if len(data) < 8:
                self.counts["transport_broken"] += 1
            elif (key >> 8) & 0x3FF00 == CONNECTION:
                self._control(pair, data)
            elif (whole := self._packet(pair, data)) is not None:
                group, message = whole
                destination = (pair >> 8) if group & 0xFF00 < 0xF000 else 0
                yield row, EXTENDED | 6 << 26 | (group | destination) << 8 | (pair & 0xFF), message

    @staticmethod
    def is_dm1(ids: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Which frames are a DM1 of one frame."""
        found: NDArray[np.bool_] = (ids & np.uint32(0x83FF_FF00)) == EXTENDED | DM1 << 8
        return found

    def _control(self, pair: int, data: bytes) -> None:
        kind, length = data[0], int.from_bytes(data[1:3], "little")
        if kind == _ABORT:
            self.counts["transport_broken"] += self._sessions.pop(pair, None) is not None
        elif kind in (_RTS, _BAM):
            self.counts["transport_broken"] += self._sessions.pop(pair, None) is not None
            if not 9 <= length <= MESSAGE_BYTES_MAX or data[3] != -(-length // PACKET_BYTES):
                self.counts["transport_broken"] += 1
                return
            self._sessions[pair] = _Session(int.from_bytes(data[5:8], "little") & 0x3FFFF, length)
            if len(self._sessions) > SESSIONS_MAX:
                self._sessions.popitem(last=False)
                self.counts["transport_broken"] += 1

    def _packet(self, pair: int, data: bytes) -> tuple[int, bytes] | None:
        session = self._sessions.get(pair)
        if session is None:
            return None
        wanted = -(-session.length // PACKET_BYTES)
        if not 1 <= data[0] <= wanted:
            self.counts["transport_broken"] += 1
            del self._sessions[pair]
            return None
        session.packets[data[0]] = data[1:8]  # a packet sent again replaces the first
        if len(session.packets) < wanted:
            return None
        del self._sessions[pair]
        whole = b"".join(session.packets[at] for at in range(1, wanted + 1))
        return session.group, whole[: session.length]


class TroubleCodes:
    """Active trouble codes of all control units of a bus. names: signals, in the order of values()."""

    names = (*LAMPS, "DTCCount", "DTCList")

    def __init__(self, code_of: Callable[[str], int]) -> None:
        """code_of: text to the code that travels as a sample."""
        self._code_of = code_of
        self._units: dict[int, tuple[int, list[str]]] = {}

    def take(self, key: int, data: bytes) -> list[float] | None:
        """Values after a message; None when it is no DM1."""
        if (key >> 8) & 0x3FFFF != DM1 or len(data) < 6:
            return None
        source = key & 0xFF
        codes = [
            code for at in range(2, len(data) - 3, 4) if (code := trouble_code(data[at : at + 4])) is not None
        ]
        self._units[source] = data[0], [f"{source:02X}:{code}" for code in codes]
        lamps = [float(any(lamp >> 2 * at & 3 == 1 for lamp, _ in self._units.values())) for at in range(4)]
        listed = [code for _, told in sorted(self._units.items()) for code in told[1]]
        return [*lamps, float(len(listed)), float(self._code_of(" ".join(listed)))]


def trouble_code(data: bytes) -> str | None:
    """SPN-FMI of four bytes; None for the padding and for "no code"."""
    number = data[0] | data[1] << 8 | (data[2] & 0xE0) << 11
    failure = data[2] & 0x1F
    if data == b"\xff\xff\xff\xff" or (number == 0 and failure == 0):
        return None
    return f"{number}-{failure}"
