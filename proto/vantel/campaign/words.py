"""Words of a condition: text -> tokens with their places. Pure.

number (with a unit of time: 2 s, 300 ms, 1 min), name (Vehicle.Speed, or any name in double quotes), label in single
quotes, operator. CampaignError("syntax") names the first character that begins no word.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from vantel.campaign.limits import TEXT_CHARS_MAX, CampaignError

KEYWORDS = frozenset({"and", "or", "not", "true", "false"})
UNITS_S = {"ms": 1e-3, "s": 1.0, "min": 60.0}
_WORD = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)(?:[ ]?(?P<unit>ms|min|s)(?![A-Za-z0-9_.]))?"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*)"
    r'|"(?P<quoted>[^"\r\n]{1,256})"'
    r"|'(?P<label>[^'\r\n]{0,128})'"
    r"|(?P<operator><=|>=|==|!=|[<>+\-*/(),])",
    re.ASCII,
)


class Word(NamedTuple):
    """kind: number, duration (value in s), name, quoted, label, operator, keyword, end. at: its first character."""

    kind: str
    text: str
    at: int
    value: float = 0.0


def words_of(text: str) -> list[Word]:
    """All words and one of kind end."""
    if len(text) > TEXT_CHARS_MAX:
        raise CampaignError(
            "too_many", f"a condition of {len(text)} characters, at most {TEXT_CHARS_MAX}", TEXT_CHARS_MAX
        )
    words: list[Word] = []
    at = 0
    while at < len(text):
        found = _WORD.match(text, at)
        if found is None:
            raise CampaignError("syntax", _stray(text, at), at)
        kind = str(found.lastgroup)
        if kind in ("number", "unit"):
            words.append(_number(found, at))
        elif kind == "name" and found["name"] in KEYWORDS:
            words.append(Word("keyword", found["name"], at))
        elif kind != "space":
            words.append(Word(kind, found[kind], at))
        at = found.end()
    words.append(Word("end", "", len(text)))
    return words


def _number(found: re.Match[str], at: int) -> Word:
    value = float(found["number"])
    if not math.isfinite(value):
        raise CampaignError("syntax", f"{found['number']} is too large for a number", at)
    if found["unit"] is None:
        return Word("number", found["number"], at, value)
    return Word("duration", found[0], at, value * UNITS_S[found["unit"]])


def _stray(text: str, at: int) -> str:
    if text[at] in "\"'":
        return f"the {text[at]} here is never closed, or nothing stands in it"
    if text[at] in "=!&|":
        return f"{text[at]!r} alone means nothing; write ==, !=, and, or, not"
    return f"{text[at]!r} begins no number, name or operator"
