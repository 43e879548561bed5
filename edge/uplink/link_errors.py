"""Why a connection to the broker fails, in words: cause and fix in one line.

From MQTT 5 reason codes and from the exceptions of sockets, name lookup and TLS to the text of a LinkError.
"""

from __future__ import annotations

import os
import re
import socket
import ssl

KEEP_ALIVE_TIMEOUT = 0x8D
CLOSED_SILENTLY = (
    "closed without a word by the broker or the network; if that goes on and on, "
    "look for another agent with this van.id"
)
"""Mosquitto 2.0.11 says nothing when a second client takes the session over."""

REFUSED_SILENTLY = "closed without an answer to CONNECT; is it an MQTT 5 broker, with TLS as set here?"
REFUSED_SILENTLY_TLS = (
    "TLS stands, but it was closed without an answer to CONNECT; "
    "does the broker take mqtt.certificate_file, and does it speak MQTT 5?"
)
"""With TLS 1.3 a server judges the client's certificate after the handshake has ended for the client."""

FIXES = {
    0x84: "the broker must speak MQTT 5; update it",
    0x85: "the broker does not take this van id as client id; allow van.id there",
    0x86: "check mqtt.username and mqtt.password_file",
    0x87: "allow this van in the broker's access list, or check its certificate and password",
    0x88: "the broker is up but not serving; look at its log",
    0x89: "the broker is overloaded; it is tried again",
    0x8A: "the broker has banned this van; lift the ban there",
    0x8C: "the broker wants another way of authentication than password or certificate",
    0x8D: "the broker heard nothing for 1.5 keep-alives; if it happens often, raise mqtt.keepalive_s",
    0x8E: "another agent connects with this van.id; every van needs its own",
    0x95: "the broker's maximum packet size is below what it told; raise it to 300000",
    0x9D: "the broker sends its clients elsewhere; set mqtt.host to the new address",
    0x9F: "the broker limits the rate of connections; it is tried again",
}
"""What to do about a reason code of CONNACK or DISCONNECT (MQTT 5.0, 2.4)."""

ALERTS = {
    "TLSV1_ALERT_UNKNOWN_CA": (
        "the broker does not know the CA that signed mqtt.certificate_file; take one of the broker's CA"
    ),
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": (
        "the broker says that mqtt.certificate_file has expired or is not valid yet; renew it, or set the clocks"
    ),
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "the broker says that mqtt.certificate_file was revoked; renew it",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the broker does not take mqtt.certificate_file; renew it",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": (
        "mqtt.certificate_file is not made for clients; take one with extendedKeyUsage clientAuth"
    ),
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the broker wants a certificate of this van; set mqtt.certificate_file",
}
"""What a TLS alert of the broker says about our certificate, by OpenSSL's name of it."""


class LinkError(Exception):
    """A connection that could not be made or was lost; one line with operation, cause and fix."""


def reason_text(code: int, name: str) -> str:
    """Reason code as text, with what to do about it where that is known."""
    fix = FIXES.get(code)
    return f"{name} (0x{code:02x})" + (f"; {fix}" if fix else "")


def alert_text(said: str) -> str:
    """Cause and fix of a TLS alert named in an error text of OpenSSL; "" when there is none."""
    found = re.search(r"\[SSL: (\w+)\]", said)
    return f"TLS: {ALERTS[found[1]]}" if found and found[1] in ALERTS else ""


def cause_text(cause: Exception) -> str:
    """An exception as cause and fix."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"{cause.verify_message}; check mqtt.ca_file, mqtt.host against the certificate, and this van's clock"
    if isinstance(cause, ssl.SSLError):
        why = cause.reason or cause
        return (
            alert_text(str(cause))
            or f"TLS: {why}; does the broker speak TLS on this port and take our certificate?"
        )
    if isinstance(cause, socket.gaierror):
        return f"{cause.strerror}; check mqtt.host and the name service"
    if isinstance(cause, TimeoutError):
        return "timed out; check the network and firewalls"
    if isinstance(cause, ConnectionRefusedError):
        return "nobody listens there; is the broker running, is mqtt.port right?"
    if isinstance(cause, OSError):
        return os.strerror(cause.errno) if cause.errno else str(cause)
    return f"{type(cause).__name__}: {cause}"
