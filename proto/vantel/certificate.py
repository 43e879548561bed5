"""When a certificate ends: PEM text -> Unix seconds. Pure.

Both sides tell it as a gauge, so that an alert comes weeks before a van or a bridge is locked out. Only the way to
notAfter is walked (X.509, RFC 5280 4.1; DER, X.690): the standard library shows it for peers alone, not for files.
Of several certificates in one file the first counts, which is the one that is presented. ValueError for anything else.
"""

from __future__ import annotations

import ssl
from datetime import datetime, timezone

PEM_CHARS_MAX = 64 * 1024
_SEQUENCE, _INTEGER, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0x02, 0xA0, 0x17, 0x18
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def expiry_unix_s(pem: str) -> float:
    """The notAfter of the first certificate of a PEM text."""
    start = pem[:PEM_CHARS_MAX].find(_BEGIN)
    end = pem[:PEM_CHARS_MAX].find(_END, start)
    if start < 0 or end < 0:
        raise ValueError("no certificate in PEM form")
    der = ssl.PEM_cert_to_DER_cert(pem[start : end + len(_END)])
    signed, _ = _inside(der, 0, (_SEQUENCE,))
    body, _ = _inside(signed, 0, (_SEQUENCE,))
    at = 0
    if body[:1] == bytes([_VERSION]):
        _, at = _inside(body, at, (_VERSION,))
    for tag in (_INTEGER, _SEQUENCE, _SEQUENCE):  # serial number, algorithm, issuer
        _, at = _inside(body, at, (tag,))
    validity, _ = _inside(body, at, (_SEQUENCE,))
    _, at = _inside(validity, 0, (_UTC_TIME, _GENERALIZED_TIME))
    tag = validity[at] if at < len(validity) else 0
    text = _inside(validity, at, (_UTC_TIME, _GENERALIZED_TIME))[0].decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year: 50 and above are of the last century
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()


def _inside(der: bytes, at: int, tags: tuple[int, ...]) -> tuple[bytes, int]:
    """Content of the element at a place, and the place after it."""
    if at + 2 > len(der) or der[at] not in tags:
        raise ValueError(f"no certificate: element {tags} missing at byte {at}")
    length, first = der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or first + count > len(der):
            raise ValueError(f"no certificate: bad length at byte {at}")
        length, first = int.from_bytes(der[first : first + count], "big"), first + count
    if first + length > len(der):
        raise ValueError(f"no certificate: cut at byte {at}")
    return der[first : first + length], first + length
