"""Goal: the end of a certificate is read as openssl says it, and bytes that are none end in ValueError.

Method: certificates made by openssl with ends before and after 2050; cuts and flips of one of them.
"""

from __future__ import annotations

import base64
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import pytest

from vantel.certificate import expiry_unix_s


def make(folder: Path, days: int, kind: str = "ec") -> str:
    """A self-signed certificate."""
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", str(days), "-subj", f"/CN={kind}", "-keyout", str(folder / "key"), "-out", str(folder / "pem")]  # fmt: skip
    subprocess.run(argv, check=True, capture_output=True)
    return (folder / "pem").read_text()


@pytest.mark.parametrize("days", [1, 3650, 20_000])
def test_as_openssl_says_it(tmp_path: Path, days: int) -> None:
    pem = make(tmp_path, days)
    argv = ["openssl", "x509", "-in", str(tmp_path / "pem"), "-noout", "-enddate"]
    said = (
        subprocess.run(argv, check=True, capture_output=True, text=True)
        .stdout.strip()
        .removeprefix("notAfter=")
    )
    wanted = datetime.strptime(said, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=timezone.utc)
    assert expiry_unix_s(pem) == wanted.timestamp()
    assert expiry_unix_s("words before\n" + pem + "another:\n" + "rubbish") == wanted.timestamp()


def test_no_certificate_is_a_value_error(tmp_path: Path) -> None:
    pem = make(tmp_path, 5)
    der = base64.b64decode("".join(pem.splitlines()[1:-1]))
    for cut in range(len(der)):
        text = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der[:cut]).decode()}-----END CERTIFICATE-----\n"
        with pytest.raises(ValueError, match=r"."):
            expiry_unix_s(text)
    for at in range(200):
        flipped = der[:at] + bytes([der[at] ^ 0xFF]) + der[at + 1 :]
        text = (
            f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(flipped).decode()}-----END CERTIFICATE-----\n"
        )
        try:
            assert expiry_unix_s(text) > 0
        except ValueError:
            continue
    for text in ("", "-----BEGIN CERTIFICATE-----", pem[:100], (tmp_path / "key").read_text()):
        with pytest.raises(ValueError, match=r"."):
            expiry_unix_s(text)
