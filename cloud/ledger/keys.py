"""Keys of the ledger topic: one for each account and writer, so that nobody overwrites what another one wrote.

Compaction keeps the newest record of a key. When a partition changes hands, the worker that lost it may still wait for the
database and then write the account of its last batch as it knew it. Under one key for both, that late record took the place of
the new owner's: what the new owner had settled and committed was known to itself only, and to nobody once it was killed. So
a writer, which is one assignment of one process, has keys of its own, and readers merge all records of an account.

What a writer publishes holds all that it has read of the account, so the records of the writers before it say nothing more and are
deleted, if they are MARGIN_S older than its assignment. Whoever does not know yet that it lost its partitions deletes
nothing that counts: the records of its successors are younger. And whoever still writes after it lost them cannot commit what it
knows; that comes again. Pure.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable

VAN = "van"
MARGIN_S = 600.0
"""By how much the clocks of two machines in the cloud may differ, many times over."""


def van_key(van: str) -> str:
    """Name of a van's own account; no stream has it, for an epoch is no word."""
    return f"{van}|{VAN}"


def account_of(key: str) -> str:
    """The account of a key: the stream's text, or van_key of a van. Its writer, the last part, may be missing."""
    parts = key.split("|")
    return "|".join(parts[: 2 if parts[1:2] == [VAN] else 3])


class LedgerKeys:
    """Keys of one process, and those of others that its records make superfluous. As large as the ledger topic has keys."""

    def __init__(self) -> None:
        self._others: dict[str, dict[str, int]] = {}  # account -> key -> when Kafka got it, Unix ms
        self.begin()

    def begin(self) -> None:
        """Partitions were assigned: from now on this is another writer."""
        self._writer = f"{secrets.randbits(48):012x}"
        self._before_unix_ms = int((time.time() - MARGIN_S) * 1000)

    def mine(self, account: str) -> str:
        """Key under which this writer publishes an account."""
        return f"{account}|{self._writer}"

    def note(self, key: str, stamp_unix_ms: int, deleted: bool = False) -> None:
        """A record was read that Kafka stamped with this time."""
        account = account_of(key)
        if deleted:
            self._others.get(account, {}).pop(key, None)
        elif key != self.mine(account):
            self._others.setdefault(account, {})[key] = stamp_unix_ms

    def superseded(self, accounts: Iterable[str]) -> list[str]:
        """Keys of earlier writers that say no more than what is being published of these accounts; each is told once."""
        old = []
        for account in accounts:
            others = self._others.get(account, {})
            gone = [key for key, stamp in others.items() if stamp < self._before_unix_ms]
            for key in gone:
                del others[key]
            old += gone
            if not others:
                self._others.pop(account, None)
        return old
