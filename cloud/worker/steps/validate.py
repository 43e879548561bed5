"""Second step: is an opened message what its topic says, and do we know its catalog? Pure, time is passed in.

(Envelope, ClockStamp, van and class of the topic) -> Reject or None; CatalogBook: hash -> Catalog, Retry while it may
still come (wait_s_max after the hash was first seen), then Reject at once. Times in Unix ns, waits in monotonic s.
"""

from __future__ import annotations

from collections import OrderedDict

from cloud.kafka.topics import BY_CLASS
from cloud.worker.outcome import CATALOG_UNKNOWN, Reject, Retry
from vantel.catalog import Catalog, CatalogError
from vantel.envelope import ClockStamp, Envelope
from vantel.identity import PayloadKind

T_UNIX_NS_LIMIT = 1 << 62
"""Stamps lie within years 1823 to 2116, well inside what the database holds."""
BOOT_ID_BYTES_MAX = 16
HASHES_WAITED_MAX = 10_000
CATALOGS_MAX = 5_000
"""Parsed catalogs kept in memory; further ones are parsed again from their bytes when they are asked for."""
RETRY_AFTER_S = 0.1


def check_origin(envelope: Envelope, clock: ClockStamp, topic: str, topic_van: str) -> Reject | None:
    """Reject a message that claims another van or class than its topic, or whose clock stamp is nonsense."""
    if envelope.van != topic_van:
        return Reject("van_mismatch", f"the envelope says van {envelope.van}, its topic says {topic_van!r}")
    if BY_CLASS[envelope.delivery_class] != topic:
        return Reject(
            "class_mismatch", f"the envelope is of class {envelope.delivery_class.label}, it came on {topic}"
        )
    if len(clock.boot_id) > BOOT_ID_BYTES_MAX:
        return Reject("malformed", f"the boot id has {len(clock.boot_id)} bytes")
    if not -T_UNIX_NS_LIMIT <= clock.offset_ns <= T_UNIX_NS_LIMIT:
        return Reject("time_range", f"the clock offset of {clock.offset_ns} ns is out of range")
    return None


def in_time_range(t_unix_ns: int) -> bool:
    """Whether a stamp can be stored."""
    return -T_UNIX_NS_LIMIT <= t_unix_ns <= T_UNIX_NS_LIMIT


class CatalogBook:
    """All catalogs that the cloud has heard of, by hash, and since when unknown ones are awaited."""

    def __init__(self, wait_s_max: float) -> None:
        self._wait_s_max = wait_s_max
        self._encoded: dict[int, bytes] = {}
        self._parsed: OrderedDict[int, Catalog] = OrderedDict()
        self._first_seen_s: OrderedDict[int, float] = OrderedDict()

    def __contains__(self, catalog_hash: object) -> bool:
        return catalog_hash in self._encoded

    def __len__(self) -> int:
        return len(self._encoded)

    def learn(self, encoded: bytes) -> int:
        """Take a catalog; its hash. CatalogError when the bytes are none."""
        catalog = Catalog.decode(encoded)
        self._encoded[catalog.hash] = encoded
        self._keep(catalog)
        self._first_seen_s.pop(catalog.hash, None)
        return catalog.hash

    def get(self, catalog_hash: int) -> Catalog | None:
        """A catalog by its hash; None while it is unknown."""
        parsed = self._parsed.get(catalog_hash)
        if parsed is not None:
            return parsed
        encoded = self._encoded.get(catalog_hash)
        return None if encoded is None else self._keep(Catalog.decode(encoded))

    def find(self, envelope: Envelope, now_s: float) -> Catalog | Reject | Retry:
        """The catalog that an envelope names."""
        wanted = envelope.catalog_hash
        if wanted == 0:
            return Reject("catalog_missing", f"a {PayloadKind(envelope.kind).name} names no catalog")
        known = self.get(wanted)
        if known is not None:
            return known
        first_s = self._first_seen_s.setdefault(wanted, now_s)
        while len(self._first_seen_s) > HASHES_WAITED_MAX:
            self._first_seen_s.popitem(last=False)
        if now_s - first_s < self._wait_s_max:
            return Retry(RETRY_AFTER_S)
        return Reject(CATALOG_UNKNOWN, f"catalog {wanted:016x} did not come within {self._wait_s_max:.0f} s")

    def _keep(self, catalog: Catalog) -> Catalog:
        self._parsed[catalog.hash] = catalog
        while len(self._parsed) > CATALOGS_MAX:
            self._parsed.popitem(last=False)
        return catalog


def check_birth(encoded: bytes, claimed_hash: int) -> Reject | None:
    """Reject a birth whose catalog is none, or has another hash than it claims."""
    try:
        catalog = Catalog.decode(encoded)
    except CatalogError as cause:
        return Reject("catalog_invalid", str(cause))
    if catalog.hash != claimed_hash:
        return Reject(
            "catalog_invalid", f"the catalog has hash {catalog.hash:016x}, the birth says {claimed_hash:016x}"
        )
    return None
