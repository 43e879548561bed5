"""A reader of InfluxDB's line protocol, written from its reference, and the round trip through our writer.

parse(encode(x)) == x for field names, texts and numbers that are made from arbitrary bytes (names as the catalog allows
them: printable ASCII without quotes and backslash).
"""

from __future__ import annotations

import math
import struct

from cloud.sink.lines import encode_point

_SPECIAL = "\"'`\\"


def parse(line: str) -> tuple[str, dict[str, str], dict[str, float | bool | str], int]:
    """(measurement, tags, fields, stamp in ns) of one line; ValueError when it is none."""
    head, at = _token(line, 0, ", ")
    tags: dict[str, str] = {}
    while line[at] == ",":
        key, at = _token(line, at + 1, "=")
        tags[key], at = _token(line, at + 1, ", ")
    fields: dict[str, float | bool | str] = {}
    while not fields or line[at] == ",":
        key, at = _token(line, at + 1, "=")
        fields[key], at = _value(line, at + 1)
    return head, tags, fields, int(line[at + 1 :])


def _token(line: str, at: int, ends: str) -> tuple[str, int]:
    out = []
    while line[at] not in ends:
        if line[at] == "\\" and line[at + 1] in ",= ":
            at += 1
        out.append(line[at])
        at += 1
    return "".join(out), at


def _value(line: str, at: int) -> tuple[float | bool | str, int]:
    if line[at] != '"':
        text, at = _token(line, at, ", ")
        return (text == "true" if text in ("true", "false") else float(text)), at
    out, at = [], at + 1
    while line[at] != '"':
        at += line[at] == "\\" and line[at + 1] in '"\\'
        out.append(line[at])
        at += 1
    return "".join(out), at + 1


def round_trip(data: bytes) -> None:
    """Names and values from bytes, through the writer and back."""
    name, _, rest = data.partition(b"\0")
    legal = "".join(c for c in name.decode("latin-1") if " " <= c <= "~" and c not in _SPECIAL).strip() or "n"
    number = struct.unpack("<d", rest[:8].ljust(8, b"\0"))[0]
    fields: dict[str, float | bool | str] = {
        f"{legal}.text": rest.decode("utf-8", "replace")[:2000],
        legal: bool(number),
    }
    fields[f"{legal}.number"] = number
    encoded = encode_point("signals", "van-1", legal, fields, 5)
    if not math.isfinite(number):
        del fields[f"{legal}.number"]
        assert encoded.unrepresentable == 1
    found = parse(encoded.lines[0].text.decode())
    assert found == ("signals", {"group": legal, "van": "van-1"}, fields, 5), found
