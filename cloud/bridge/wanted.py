"""Which catalogs the bridge knows, and which vans to ask for one. Pure.

known() for each catalog in Kafka, coming() for one that is on its way there; named() for each envelope that names a hash -> due()
gives the (van, hash) pairs to ask for now: at most one request a period for each pair, until the catalog is known or
asks_max requests were in vain (then the next envelope that names it starts again).
"""

from __future__ import annotations

from collections import OrderedDict

HASHES_MAX = 100_000
PAIRS_MAX = 50_000
ASKS_MAX = 20


class WantedCatalogs:
    """Known hashes and open requests, both bounded; the oldest go first."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._known: OrderedDict[int, None] = OrderedDict()
        self._coming: OrderedDict[int, None] = OrderedDict()
        self._open: OrderedDict[tuple[str, int], tuple[float, int]] = OrderedDict()

    def known(self, catalog_hash: int) -> None:
        """Kafka has a catalog; requests for it end."""
        self._coming.pop(catalog_hash, None)
        self._note(self._known, catalog_hash)

    def coming(self, catalog_hash: int) -> None:
        """A birth brought a catalog; requests for it end, but it is not yet in Kafka."""
        self._note(self._coming, catalog_hash)

    def is_known(self, catalog_hash: int) -> bool:
        """Whether Kafka has a catalog."""
        return catalog_hash in self._known

    def named(self, van: str, catalog_hash: int, now_s: float) -> None:
        """An envelope of this van names this hash; 0 stands for none and needs none."""
        if catalog_hash == 0 or catalog_hash in self._known or catalog_hash in self._coming:
            return
        if (van, catalog_hash) not in self._open:
            self._open[van, catalog_hash] = (now_s, 0)
            if len(self._open) > PAIRS_MAX:
                self._open.popitem(last=False)

    def _note(self, hashes: OrderedDict[int, None], catalog_hash: int) -> None:
        if catalog_hash in hashes:
            return
        hashes[catalog_hash] = None
        if len(hashes) > HASHES_MAX:
            hashes.popitem(last=False)
        for pair in [pair for pair in self._open if pair[1] == catalog_hash]:
            del self._open[pair]

    def due(self, now_s: float) -> list[tuple[str, int]]:
        """Pairs to ask for now; each is counted as asked."""
        asking = []
        for pair, (due_s, asks) in list(self._open.items()):
            if due_s > now_s:
                continue
            if asks >= ASKS_MAX:
                del self._open[pair]
            else:
                self._open[pair] = (now_s + self._period_s, asks + 1)
                asking.append(pair)
        return asking

    def __len__(self) -> int:
        """Open requests."""
        return len(self._open)
