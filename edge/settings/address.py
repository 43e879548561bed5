"""Addresses in settings: host:port."""

from __future__ import annotations


def host_and_port(address: str) -> tuple[str, int] | None:
    """Parts of host:port, also of [::1]:port; None for anything else."""
    host, colon, port = address.rpartition(":")
    if address.startswith("/") or not colon or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        return None
    return host.strip("[]"), int(port)
