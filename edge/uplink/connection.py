"""What the MQTT connection of a van is allowed to be: TLS or plaintext, and its password.

From the settings section to an ssl.SSLContext (None: plaintext) and password bytes. Files are read at each call, so
that a renewed certificate or password is used from the next connection on. SettingsError names key, cause and fix.
Plaintext leaves the machine only if the settings name it (design: Connections).
"""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path

from edge.settings import MqttSection, SettingsError

PASSWORD_BYTES_MAX = 65_535  # MQTT 5, 3.1.3.6: binary data with a two-byte length


def uses_tls(mqtt: MqttSection) -> bool:
    """TLS is on as soon as one of its files is named."""
    return any((mqtt.ca_file, mqtt.certificate_file, mqtt.key_file))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its name alone; a name that only resolves to loopback does not count."""
    if host.lower() in ("localhost", "ip6-localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def tls_context(mqtt: MqttSection) -> ssl.SSLContext | None:
    """Client context, TLS 1.2 or newer with the host name checked; None for plaintext that is allowed."""
    if not uses_tls(mqtt):
        if mqtt.plaintext == "anywhere" or is_loopback(mqtt.host):
            return None
        raise SettingsError(
            f"mqtt.host {mqtt.host}: plaintext outside this machine is refused; set mqtt.ca_file for TLS, "
            'or name the risk with mqtt.plaintext = "anywhere"'
        )
    if mqtt.key_file and not mqtt.certificate_file:
        raise SettingsError(
            f"mqtt.key_file {mqtt.key_file}: set mqtt.certificate_file, which belongs to it, too"
        )
    context = _trusting(mqtt.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if mqtt.certificate_file:
        key_file = mqtt.key_file or mqtt.certificate_file
        try:
            context.load_cert_chain(mqtt.certificate_file, key_file, password="")
        except (OSError, ValueError) as cause:
            raise SettingsError(
                f"mqtt.certificate_file {mqtt.certificate_file} with key {key_file}: {_text(cause)}; "
                "both must be readable PEM files, belong together and have no passphrase"
            ) from cause
    return context


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    """Context that trusts one CA file, or what the system trusts."""
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ValueError) as cause:
        raise SettingsError(
            f"mqtt.ca_file {ca_file}: {_text(cause)}; it must be a readable PEM file with the broker's CA"
        ) from cause


def password(mqtt: MqttSection) -> bytes | None:
    """The password without the newline that editors add; None when no file is named."""
    if mqtt.password_file is None:
        return None
    try:
        found = mqtt.password_file.read_bytes()
    except OSError as cause:
        raise SettingsError(
            f"mqtt.password_file {mqtt.password_file}: {_text(cause)}; make it readable for the agent's user"
        ) from cause
    found = found.rstrip(b"\r\n")
    if not 0 < len(found) <= PASSWORD_BYTES_MAX:
        raise SettingsError(
            f"mqtt.password_file {mqtt.password_file}: {len(found)} bytes; put 1 to {PASSWORD_BYTES_MAX} into it"
        )
    return found


def _text(cause: Exception) -> str:
    return (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
