"""Two mistakes that many DBC files in use have and cantools refuses, put right before it reads them.

Text -> text with the same lines, and a sentence for each repair. A frame id above 11 bits without the flag of 29-bit ids
can only be a 29-bit id, and names or float types (VAL_, SIG_VALTYPE_) of a signal that the file does not define say nothing. Pure.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from edge.sources.dbc_kernel import EXTENDED

STANDARD_ID_MAX, EXTENDED_ID_MAX = 0x7FF, 0x1FFF_FFFF
_DEFINITION = re.compile(r"^\s*(?:BO_\s+(\d+)\s+(\w+)\s*:|SG_\s+(\w+))")
_OF_MESSAGE = re.compile(
    r"""^(\s*(?:BO_|BO_TX_BU_|SIG_GROUP_|SIG_VALTYPE_|SG_MUL_VAL_|VAL_|CM_\s+(?:BO_|SG_)|BA_\s+"[^"]*"\s+(?:BO_|SG_))\s+)(\d+)\b""",
    re.MULTILINE,
)
_OF_SIGNAL = re.compile(
    r"""^[ \t]*(VAL_|SIG_VALTYPE_)\s+(\d+)\s+(\w+)(?:\s*:\s*\d+|(?:\s+-?\d+(?:\.\d+)?\s+"[^"]*")*)\s*;""",
    re.MULTILINE,
)


class Repair(NamedTuple):
    """What was put right: line from 1, and what stands there."""

    line: int
    sentence: str


def repaired(text: str) -> tuple[str, list[Repair]]:
    """The text as cantools takes it; text itself and nothing for a file without these mistakes."""
    repairs: list[Repair] = []
    short: set[int] = set()
    signals: set[tuple[int, str]] = set()
    frame_id = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not (found := _DEFINITION.match(line)):
            continue
        if found[3]:
            signals.add((frame_id, found[3]))
            continue
        frame_id = int(found[1])
        if STANDARD_ID_MAX < frame_id <= EXTENDED_ID_MAX:
            short.add(frame_id)
            repairs.append(Repair(number, f"id 0x{frame_id:X} of {found[2]} has more than 11 bits and lacks the flag of 29-bit ids; "
                                  f"it is taken as one; write BO_ {frame_id | EXTENDED}"))  # fmt: skip

    def without_signal(found: re.Match[str]) -> str:
        if (int(found[2]), found[3]) in signals:
            return found[0]
        line = text.count("\n", 0, found.start()) + 1
        repairs.append(Repair(line, f"{found[1]} names signal {found[3]}, which message {found[2]} does not have; "
                              "it is passed over; remove it"))  # fmt: skip
        return "\n" * found[0].count("\n")

    def with_flag(found: re.Match[str]) -> str:
        frame_id = int(found[2])
        return f"{found[1]}{frame_id | EXTENDED}" if frame_id in short else found[0]

    kept = _OF_SIGNAL.sub(without_signal, text)
    return (_OF_MESSAGE.sub(with_flag, kept) if short else kept), sorted(repairs)
