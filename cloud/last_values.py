"""The newest value of every signal of a van: what the worker keeps and publishes to vantel.last, and what the page reads.

News of one stored message -> LastValues of its van -> JSON record (key: van). Of two values of a signal the one with
the later stamp stays, so a backlog never hides what is newer, and merging records in any order gives the same. Signal
ids are those of the catalog that the record names; another catalog starts anew. Values: float, bool or str; None is a
number that JSON cannot hold. Stamps are Unix ns, in the record Unix ms. What is no record is a ValueError.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vantel.catalog import Signal, SignalType
from vantel.columns import Column
from vantel.identity import VAN_ID

RECORD_VERSION = 1
VALUES_MAX = 8_000
TEXT_CHARS_MAX = 200
GAUGES_MAX = 200
MS = 1_000_000
DAY_S = 86_400

Value = float | bool | str | None


class Last(NamedTuple):
    """One value. quality: as in vantel.columns (0 good, 1 suspect, 2 injected)."""

    t_unix_ms: int
    value: Value
    quality: int


@dataclass(frozen=True, slots=True)
class News:
    """What one stored message says about its van now. full: None for a message that is no batch."""

    van: str
    received_unix_ns: int
    epoch: str
    message_bytes: int
    catalog_hash: int = 0
    replayed: bool = False
    simulated: bool = False
    clock_source: int = 0
    clock_error_ns: int = 0
    full: bool | None = None
    datum: int = 0
    values: tuple[tuple[int, Last], ...] = ()
    gauges: dict[str, float] | None = None
    t_gauges_unix_ms: int = 0


@dataclass(slots=True)
class LastValues:
    """State of one van as the cloud last heard it."""

    van: str
    t_received_unix_ms: int = 0
    epoch: str = ""
    catalog_hash: int = 0
    replayed: bool = False
    simulated: bool = False
    clock_source: int = 0
    clock_error_ns: int = 0
    full: bool = False
    datum: int = 0
    values: dict[int, Last] = field(default_factory=dict)
    gauges: dict[str, float] = field(default_factory=dict)
    t_gauges_unix_ms: int = 0
    day: int = 0
    day_bytes: int = 0

    def take(self, news: News) -> None:
        """Take in what a message says."""
        t_ms = news.received_unix_ns // MS
        if t_ms >= self.t_received_unix_ms:
            self.t_received_unix_ms, self.epoch = t_ms, news.epoch
            self.replayed, self.simulated = news.replayed, news.simulated
            self.clock_source, self.clock_error_ns = news.clock_source, news.clock_error_ns
            if news.full is not None:
                self.full, self.datum = news.full, news.datum or self.datum
        day = t_ms // 1000 // DAY_S
        if day >= self.day:
            self.day_bytes = news.message_bytes + (self.day_bytes if day == self.day else 0)
            self.day = day
        if news.gauges is not None and news.t_gauges_unix_ms >= self.t_gauges_unix_ms:
            self.gauges, self.t_gauges_unix_ms = news.gauges, news.t_gauges_unix_ms
        if news.values:
            self._take_values(news.catalog_hash, news.values)

    def merge(self, other: LastValues) -> None:
        """Take in another record of the same van."""
        if other.t_received_unix_ms >= self.t_received_unix_ms:
            for name in ("t_received_unix_ms", "epoch", "replayed", "simulated", "clock_source",
                         "clock_error_ns", "full", "datum"):  # fmt: skip
                setattr(self, name, getattr(other, name))
            self._take_values(other.catalog_hash, other.values.items())
        elif other.catalog_hash == self.catalog_hash:
            self._take_values(other.catalog_hash, other.values.items())
        if other.t_gauges_unix_ms >= self.t_gauges_unix_ms:
            self.gauges, self.t_gauges_unix_ms = other.gauges, other.t_gauges_unix_ms
        self.day, self.day_bytes = max((self.day, self.day_bytes), (other.day, other.day_bytes))

    def _take_values(self, catalog_hash: int, values: Iterable[tuple[int, Last]]) -> None:
        if catalog_hash != self.catalog_hash:
            self.catalog_hash = catalog_hash
            self.values = {}
        for signal_id, last in values:
            mine = self.values.get(signal_id)
            if (mine is None and len(self.values) < VALUES_MAX) or (
                mine is not None and last.t_unix_ms >= mine.t_unix_ms
            ):
                self.values[signal_id] = last

    def encode(self) -> bytes:
        """Value of the record."""
        tree: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        tree |= {"v": RECORD_VERSION, "catalog": f"{self.catalog_hash:016x}", "values": self.values}
        return json.dumps(tree, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def decode(cls, data: bytes) -> LastValues:
        """Inverse of encode; ValueError for anything else. Unknown keys of a newer record are passed over."""
        try:
            tree = json.loads(data)
            known = {name: type(default)(tree[name]) for name, default in _PLAIN.items() if name in tree}
            values = {
                int(key): Last(int(t_ms), _checked(value), int(quality))
                for key, (t_ms, value, quality) in tree["values"].items()
            }
            gauges = {str(name): float(value) for name, value in known.pop("gauges", {}).items()}
            last = cls(**known, catalog_hash=int(tree["catalog"], 16), values=values, gauges=gauges)
        except (KeyError, TypeError, AttributeError, UnicodeDecodeError) as cause:
            raise ValueError(f"no record of last values: {cause!r}") from cause
        if not VAN_ID.fullmatch(last.van):
            raise ValueError("a record of last values without a legal van")
        return last


_PLAIN: dict[str, Any] = {
    "van": "", "t_received_unix_ms": 0, "epoch": "", "replayed": False, "simulated": False, "clock_source": 0,
    "clock_error_ns": 0, "full": False, "datum": 0, "gauges": {}, "t_gauges_unix_ms": 0, "day": 0, "day_bytes": 0,
}  # fmt: skip
"""Fields that stand in the record under their own names, each with a value of its type."""


def _checked(value: object) -> Value:
    if value is None or isinstance(value, bool | float | str):
        return value
    if isinstance(value, int):
        return float(value)
    raise ValueError(f"a value of type {type(value).__name__}")


def newest_of(columns: Iterable[tuple[Signal, Column]], offset_ns: int) -> tuple[tuple[int, Last], ...]:
    """The last sample of every column, by signal id."""
    found = []
    for signal, column in columns:
        if len(column.t_ns):
            quality = 0 if column.quality is None else int(column.quality[-1])
            t_unix_ms = (int(column.t_ns[-1]) + offset_ns) // MS
            found.append((signal.id, Last(t_unix_ms, plain_value(signal, column.values[-1]), quality)))
    return tuple(found)


def plain_value(signal: Signal, value: Any) -> Value:
    """A sample as a plain value: states of an ENUM by label, numbers as float, None for what JSON cannot hold."""
    if signal.type is SignalType.BOOL:
        return bool(value)
    if signal.type is SignalType.STRING:
        return str(value)[:TEXT_CHARS_MAX]
    if signal.type is SignalType.ENUM:
        code = int(value)
        return signal.labels[code] if 0 <= code < len(signal.labels) else str(code)
    number = float(value)
    return number if math.isfinite(number) else None


class LastBoard:
    """The worker's last values of all its vans, and which of them changed since they were published."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._vans: dict[str, LastValues] = {}
        self._dirty: dict[str, None] = {}
        self._published_s: dict[str, float] = {}

    def absorb(self, key: str, value: bytes | None) -> None:
        """Go on from a record that an earlier worker wrote; what is none (a presence, say) is passed over."""
        if value is None or "|" in key:
            return
        try:
            last = LastValues.decode(value)
        except ValueError:
            return
        mine = self._vans.setdefault(last.van, last)
        if mine is not last:
            mine.merge(last)

    def take(self, news: News) -> None:
        """What a stored message says."""
        self._vans.setdefault(news.van, LastValues(news.van)).take(news)
        self._dirty[news.van] = None

    def due(self, bytes_max: int, now_s: float | None = None) -> list[tuple[str, bytes]]:
        """Records to publish now: at most one a period for each van, longest waiting first, bytes_max together."""
        now_s = time.monotonic() if now_s is None else now_s
        records: list[tuple[str, bytes]] = []
        size = 0
        for van in list(self._dirty):
            if now_s - self._published_s.get(van, float("-inf")) < self._period_s:
                continue
            record = self._vans[van].encode()
            if records and size + len(record) > bytes_max:
                break
            records.append((van, record))
            size += len(record)
            del self._dirty[van]
            self._published_s[van] = now_s
        return records
