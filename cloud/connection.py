"""How the cloud side connects: TLS contexts, secrets from files, and the refusal of plaintext outside loopback.

Settings sections -> ssl contexts and passwords. Everything that makes a connection impossible before the first packet
(plaintext to a remote host, an unreadable certificate, a missing password file) raises ConnectionRefused, whose text
names the settings key and the fix. Nothing here opens a socket.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from cloud.settings import Plaintext, TlsFiles

SECRET_BYTES_MAX = 64 * 1024
X509_NOT_YET_VALID, X509_EXPIRED, X509_OTHER_NAME, X509_OTHER_ADDRESS = 9, 10, 62, 64
"""Codes of OpenSSL's verification (x509_vfy.h)."""


class ConnectionRefused(Exception):  # noqa: N818 - reads as what happened
    """A connection that the settings do not allow or do not make possible; the text names key, cause and fix."""


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only mean this machine. Names are not looked up."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def refuse_plaintext(section: str, hosts: Iterable[str], plaintext: Plaintext, fix: str) -> None:
    """ConnectionRefused when a host is not loopback and the settings do not name plaintext as allowed there."""
    for host in hosts:
        if plaintext != "anywhere" and not is_loopback(host):
            raise ConnectionRefused(
                f"connect {section} to {host}: plaintext outside loopback is refused; {fix}, "
                f'or set {section}.plaintext = "anywhere" if the network is trusted'
            )


def read_secret(path: Path, key: str) -> str:
    """Content of a password or token file without the line end; ConnectionRefused names the key."""
    try:
        data = path.read_bytes()
    except OSError as cause:
        raise ConnectionRefused(f"read {key} {path}: {cause.strerror}; give a readable file") from cause
    try:
        text = data[: SECRET_BYTES_MAX + 1].decode().rstrip("\r\n")
    except UnicodeDecodeError as cause:
        raise ConnectionRefused(f"read {key} {path}: it is not text; give a file with the secret") from cause
    if not text or len(data) > SECRET_BYTES_MAX:
        raise ConnectionRefused(f"read {key} {path}: it is empty or too large; give a file with the secret")
    return text


def password_of(section: str, files: TlsFiles) -> str | None:
    """The password of a section, None without a file."""
    if files.password_file is None:
        return None
    if files.username is None:
        raise ConnectionRefused(f"{section}.password_file is set without {section}.username; set both")
    return read_secret(files.password_file, f"{section}.password_file")


def tls_context(
    section: str, ca_file: Path | None, certificate_file: Path | None, key_file: Path | None
) -> ssl.SSLContext:
    """A client context that checks certificate and host name. Without a CA file, the CAs of the system are trusted."""
    if key_file is not None and certificate_file is None:
        raise ConnectionRefused(
            f"{section}.key_file is set without {section}.certificate_file; set both or none"
        )
    if ca_file is not None and not ca_file.is_file():
        raise ConnectionRefused(f"read {section}.ca_file {ca_file}: no such file; give a PEM file")
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as cause:
        raise ConnectionRefused(
            f"read {section}.ca_file {ca_file}: {cause}; give a PEM file with certificates"
        ) from cause
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate_file is not None:
        try:
            # a password callback that gives nothing: an encrypted key must fail, not ask on a terminal
            context.load_cert_chain(str(certificate_file), str(key_file) if key_file else None, lambda: b"")
        except (OSError, ssl.SSLError) as cause:
            raise ConnectionRefused(
                f"read {section}.certificate_file {certificate_file} and {section}.key_file {key_file}: {cause}; "
                "give PEM files that belong together, the key without a password"
            ) from cause
    return context


def tls_of_files(section: str, files: TlsFiles) -> ssl.SSLContext:
    """Context of a section that has TlsFiles."""
    return tls_context(section, files.ca_file, files.certificate_file, files.key_file)


def optional_tls(section: str, host: str, files: TlsFiles) -> ssl.SSLContext | None:
    """TLS where a CA or certificate file is given, else None after the check that plaintext is allowed to host."""
    if files.ca_file is not None or files.certificate_file is not None or files.key_file is not None:
        return tls_of_files(section, files)
    refuse_plaintext(section, [host], files.plaintext, f"set {section}.ca_file to use TLS")
    return None


def check_url(section: str, url: str, plaintext: Plaintext) -> bool:
    """Whether a URL means TLS (https). ConnectionRefused for other schemes than http and https, and for plaintext."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConnectionRefused(f"connect {section} to {url!r}: give a URL such as https://host:8086")
    if parts.scheme == "http":
        refuse_plaintext(section, [parts.hostname], plaintext, f"use https in {section}.url")
    return parts.scheme == "https"


def tls_problem(cause: ssl.SSLError, section: str) -> str:
    """Why a handshake failed, with what to look at in a section of the settings."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        host = {
            "mqtt": "mqtt.host",
            "kafka": "the name in kafka.bootstrap",
            "influx": "the host in influx.url",
        }[section]
        fix = {
            X509_NOT_YET_VALID: "check the clocks of this machine and of the server",
            X509_EXPIRED: "renew the certificate on the server (or mend this machine's clock)",
            X509_OTHER_NAME: f"give {host} as it stands in the server's certificate",
            X509_OTHER_ADDRESS: f"give {host} as it stands in the server's certificate",
        }.get(
            cause.verify_code,
            f"check {section}.ca_file: it must hold the CA that signed the server's certificate",
        )
        return f"certificate refused: {cause.verify_message.rstrip('.')}; {fix}"
    reason = cause.reason or ""
    if "_ALERT_" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        # a server with Java says "bad certificate" to none at all, too
        return (
            f"the server takes only certificates that it knows, and not ours ({reason}); set {section}.certificate_file and "
            f"{section}.key_file to one that its CA signed and that has not expired"
        )
    return f"TLS: {cause.reason or cause}; does the server speak TLS on this port and take {section}.certificate_file?"
