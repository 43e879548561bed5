"""The bytes of a receiver's port, cut into NMEA 0183 sentences and UBX frames, which may follow one another in any order.

Bytes in, in pieces of any size; complete messages with right checksums out. What is neither is skipped and counted. Holds
at most one message. Layouts: NMEA 0183 section 5.3; u-blox protocol specification, "UBX frame structure".
"""

from __future__ import annotations

from collections import Counter
from functools import reduce

SENTENCE_BYTES_MAX = 128
"""NMEA allows 82; receivers with fine positions send more."""
PAYLOAD_BYTES_MAX = 4096
"""UBX allows 65,535; a longer length is more likely damage than a message a vehicle needs."""
UBX_SYNC = b"\xb5b"

Message = str | tuple[int, int, bytes]
"""A sentence without "$" and checksum, or (class, id, payload) of a UBX frame."""


def sentence_body(line: bytes) -> str | None:
    """The sentence between "$" and "*", None when the checksum does not match or it is no plain ASCII."""
    body, star, check = line.rstrip(b"\r\n").removeprefix(b"$").partition(b"*")
    try:
        if not star or len(check) != 2 or int(check, 16) != reduce(int.__xor__, body, 0):
            return None
        text = body.decode("ascii")
    except ValueError:
        return None
    return text if text.isprintable() else None


def ubx_checksum(data: bytes) -> bytes:
    """Fletcher's 8-bit sums over class, id, length and payload."""
    first = second = 0
    for byte in data:
        first = (first + byte) & 0xFF
        second = (second + first) & 0xFF
    return bytes((first, second))


class ReceiverStream:
    """State of one port. counts: messages by kind, what was skipped, by reason."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Messages that data completes."""
        found: list[Message] = []
        for at in range(0, len(data), SENTENCE_BYTES_MAX):
            self._buffer += data[at : at + SENTENCE_BYTES_MAX]
            while (size := self._next(found)) > 0:
                del self._buffer[:size]
        return found

    def _next(self, found: list[Message]) -> int:
        """Bytes that are done with at the front of the buffer; 0 when more must come first."""
        buffer = self._buffer
        if not buffer:
            return 0
        if buffer[:2] == UBX_SYNC or buffer == UBX_SYNC[:1]:
            return self._ubx(found)
        if buffer[0] == ord("$"):
            return self._sentence(found)
        starts = [at for at in (buffer.find(b"$"), buffer.find(UBX_SYNC[:1], 1)) if at > 0]
        size = min(starts, default=len(buffer))
        if bytes(buffer[:size]).strip():
            self.counts["bytes_skipped"] += size
        return size

    def _sentence(self, found: list[Message]) -> int:
        end = self._buffer.find(b"\n", 0, SENTENCE_BYTES_MAX)
        if end < 0:
            if len(self._buffer) < SENTENCE_BYTES_MAX:
                return 0
            self.counts["sentence_too_long"] += 1
            return 1
        # a sentence cut off in the middle ends where the next one begins
        again = self._buffer.find(b"$", 1, end)
        if again > 0:
            self.counts["sentence_cut"] += 1
            return again
        body = sentence_body(bytes(self._buffer[: end + 1]))
        if body is None:
            self.counts["sentence_damaged"] += 1
        else:
            self.counts["sentences"] += 1
            found.append(body)
        return end + 1

    def _ubx(self, found: list[Message]) -> int:
        if len(self._buffer) < 6:
            return 0
        length = int.from_bytes(self._buffer[4:6], "little")
        if length > PAYLOAD_BYTES_MAX:
            self.counts["frame_too_long"] += 1
            return 2
        if len(self._buffer) < length + 8:
            return 0
        if ubx_checksum(self._buffer[2 : 6 + length]) != self._buffer[6 + length : 8 + length]:
            self.counts["frame_damaged"] += 1
            return 2
        self.counts["frames"] += 1
        found.append((self._buffer[2], self._buffer[3], bytes(self._buffer[6 : 6 + length])))
        return length + 8
