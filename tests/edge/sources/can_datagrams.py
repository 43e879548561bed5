"""Datagrams of struct can_frame and canfd_frame, by which a bus on loopback UDP is fed."""

from __future__ import annotations

import socket
import struct


def classic(can_id: int, data: bytes) -> bytes:
    return struct.pack("<IB3x8s", can_id, len(data), data)


def fd(can_id: int, data: bytes) -> bytes:
    return struct.pack("<IB3x64s", can_id, len(data), data)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
