"""Counters of each network interface, from sysfs (Documentation/ABI/testing/sysfs-class-net-statistics of the kernel)."""

from __future__ import annotations

from edge.sources.board_files import BoardFiles
from edge.sources.board_names import board_name

COUNT_MAX = 1 << 63
INTERFACES_MAX = 16
STATES = frozenset({"up", "down", "notpresent", "lowerlayerdown", "testing", "dormant"})
"""Of RFC 2863, as operstate has them."""
FILES = {
    "BytesReceived": "rx_bytes", "BytesSent": "tx_bytes", "ErrorsReceived": "rx_errors", "ErrorsSent": "tx_errors",
    "DropsReceived": "rx_dropped", "DropsSent": "tx_dropped",
}  # fmt: skip


def interfaces(files: BoardFiles, source: str) -> dict[str, float]:
    """Counters since the interface came up, of all but loopback; and whether its link is up."""
    found: dict[str, float] = {}
    for folder in files.glob("sys/class/net/*/statistics")[: INTERFACES_MAX + 1]:
        name = folder.parent.name
        if name == "lo":
            continue
        for what, file in FILES.items():
            if (count := files.number(folder / file, 0, COUNT_MAX)) is not None:
                found[board_name(source, f"Network.{name}.{what}")] = count
        state = files.text(folder.parent / "operstate")
        if state in STATES:
            found[board_name(source, f"Network.{name}.IsUp")] = float(state == "up")
        elif state not in (None, "unknown"):  # drivers without a link, as of tunnels, say unknown
            files.odd(folder.parent / "operstate")
    return found
