"""What the uplink counts, for status and health reports.

Plain integers since the start of the process; written by the uplink thread, read by any.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Counters:
    """bytes_sent: whole PUBLISH packets (fixed header, topic, payload), without TCP and TLS.

    refused: PUBACKs that said not delivered. acked: envelopes freed by durable acks; acks: durable acks that came;
    acks_unsent: envelopes they named that had never been sent.
    """

    bytes_sent: int = 0
    messages_sent: int = 0
    resends: int = 0
    pubacks: int = 0
    refused: int = 0
    acked: int = 0
    acks: int = 0
    acks_foreign: int = 0
    acks_bad: int = 0
    acks_unsent: int = 0
    rebirths: int = 0
    commands: int = 0
    campaigns: int = 0
    callback_failures: int = 0
    oversize: int = 0
    unreadable: int = 0
    connects: int = 0
    reconnects: int = 0
    connect_failures: int = 0
    rebuilds: int = 0

    def as_floats(self) -> dict[str, float]:
        """All of them by name."""
        return {name: float(value) for name, value in asdict(self).items()}
