"""What the uplink would be offered by a spool: every waiting envelope, P0 first, in append order."""

from __future__ import annotations

from collections.abc import Iterator

from edge.spool import Spool
from edge.spool.index import Entry
from vantel.identity import DeliveryClass


def offered(spool: Spool) -> Iterator[tuple[Entry, bytes]]:
    """Entries with their messages; each can be read."""
    for delivery_class in DeliveryClass:
        after = -1
        while (entry := spool.next_after(delivery_class, after)) is not None:
            after = entry.ordinal
            message = spool.load(entry)
            assert message is not None
            yield entry, message
