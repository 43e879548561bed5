"""The signal catalog: which signals there are, with numeric id, name, unit, type, group and policy.

Signals -> Catalog (checked, immutable, hashed) -> bytes of a serialised catalog_pb2.Catalog, as a birth carries them.
builtin() holds VSS 6.0 and the Robovan overlay, whose ids below 65,536 never change; assemble() makes the catalog in
use on one van, with local ids from 65,536. Units are spelled as VSS spells them; policies are in the unit of the
signal and in seconds. Everything that is no legal catalog raises CatalogError (docs/format.md, section 6).
"""

from __future__ import annotations

import csv
import difflib
import enum
import functools
import hashlib
import io
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from importlib import resources

from google.protobuf.message import DecodeError

from vantel.telemetry.v1 import catalog_pb2

LOCAL_ID_FIRST = 65_536
"""First id that is valid only together with the hash of its catalog."""
ENTRIES_MAX = 20_000
CATALOG_BYTES_MAX = 256 * 1024
"""A catalog in use travels in one birth, and a birth in one message."""
LABELS_MAX = 4096
LABEL_CHARS_MAX = 128
UNIT_CHARS_MAX = 32
SIGNAL_NAME = re.compile(r"[!#-&(-\[\]-_a-~](?:[ !#-&(-\[\]-_a-~]{0,254}[!#-&(-\[\]-_a-~])?")
"""1 to 256 printable ASCII characters without quotes and backslash, no space at either end."""
GROUP_NAME = re.compile(r"[a-z0-9_]{1,64}")
_ID_END = 1 << 32


class CatalogError(ValueError):
    """Signals that make no legal catalog, bytes that are none, or a signal that a catalog does not have."""


class SignalType(enum.IntEnum):
    """Type of the values of a signal."""

    FLOAT64 = catalog_pb2.SIGNAL_TYPE_FLOAT64
    FLOAT32 = catalog_pb2.SIGNAL_TYPE_FLOAT32
    INT64 = catalog_pb2.SIGNAL_TYPE_INT64
    UINT64 = catalog_pb2.SIGNAL_TYPE_UINT64
    BOOL = catalog_pb2.SIGNAL_TYPE_BOOL
    ENUM = catalog_pb2.SIGNAL_TYPE_ENUM
    STRING = catalog_pb2.SIGNAL_TYPE_STRING


@dataclass(frozen=True, slots=True)
class Policy:
    """How a signal is watched on the van; None means not watched for that. In the unit of the signal and in seconds."""

    min: float | None = None
    max: float | None = None
    rate_per_s_max: float | None = None
    stuck_s_max: float | None = None
    silence_s_max: float | None = None

    def over(self, base: Policy) -> Policy:
        """This policy, with what it leaves open taken from base."""
        mine = {name: getattr(self, name) for name in _POLICY_FIELDS}
        return replace(base, **{name: value for name, value in mine.items() if value is not None})


_POLICY_FIELDS = tuple(item.name for item in fields(Policy))


@dataclass(frozen=True, slots=True)
class Signal:
    """One entry of a catalog. id 0 asks assemble() for an id. Physical value = raw * scale + offset at the source."""

    name: str
    id: int = 0
    unit: str = ""
    type: SignalType = SignalType.FLOAT64
    group: str = ""
    scale: float = 1.0
    offset: float = 0.0
    labels: tuple[str, ...] = ()
    policy: Policy = Policy()
    simulated: bool = False


class Catalog:
    """Immutable set of signals with unique ids and names, in ascending order of id."""

    __slots__ = ("_by_id", "_by_name", "_encoded", "_hash", "_signals")

    def __init__(self, signals: Iterable[Signal]) -> None:
        self._signals = tuple(sorted(signals, key=lambda signal: signal.id))
        _check(self._signals)
        self._encoded = _to_pb(self._signals).SerializeToString(deterministic=True)
        self._index()

    def _index(self) -> None:
        self._by_id = {signal.id: signal for signal in self._signals}
        self._by_name = {signal.name: signal for signal in self._signals}
        # 0 stands for "no catalog" in an envelope; a digest that begins with eight zero bytes is given 1 instead
        self._hash = int.from_bytes(hashlib.sha256(self._encoded).digest()[:8], "big") or 1

    @property
    def signals(self) -> tuple[Signal, ...]:
        """All signals, ascending by id."""
        return self._signals

    @property
    def hash(self) -> int:
        """First 8 bytes, big-endian, of the SHA-256 of encode(); never 0."""
        return self._hash

    def by_id(self, signal_id: int) -> Signal:
        """The signal with this id; CatalogError when there is none."""
        try:
            return self._by_id[signal_id]
        except KeyError:
            raise CatalogError(f"catalog {self._hash:016x} has no signal with id {signal_id}") from None

    def by_name(self, name: str) -> Signal:
        """The signal with this name; CatalogError, naming the nearest one, when there is none."""
        try:
            return self._by_name[name]
        except KeyError:
            raise CatalogError(f"catalog has no signal {name!r}{_nearest(name, self._by_name)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __len__(self) -> int:
        return len(self._signals)

    def __iter__(self) -> Iterator[Signal]:
        return iter(self._signals)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Catalog) and self._encoded == other._encoded

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Catalog({len(self._signals)} signals, hash {self._hash:016x})"

    def encode(self) -> bytes:
        """Bytes of the serialised catalog, the same for the same signals."""
        return self._encoded

    @classmethod
    def decode(cls, data: bytes) -> Catalog:
        """Inverse of encode, checking everything; CatalogError for anything else.

        The bytes themselves are kept and hashed, so that fields which a newer van added do not change the hash. A type
        that a newer van added reads as FLOAT64: the codec names the stored type of each column anyway.
        """
        try:
            pb = catalog_pb2.Catalog.FromString(data)
        except DecodeError as cause:
            raise CatalogError(f"decode catalog: {len(data)} bytes are no catalog: {cause}") from None
        if len(pb.entries) > ENTRIES_MAX:
            raise CatalogError(
                f"decode catalog: {len(pb.entries)} entries, at most {ENTRIES_MAX} are allowed"
            )
        catalog = cls.__new__(cls)
        catalog._signals = tuple(_from_pb(entry) for entry in pb.entries)
        if any(a.id > b.id for a, b in zip(catalog._signals, catalog._signals[1:], strict=False)):
            raise CatalogError("decode catalog: the entries are not in ascending order of id")
        _check(catalog._signals)
        catalog._encoded = bytes(data)
        catalog._index()
        return catalog


@functools.lru_cache(maxsize=1)
def builtin() -> Catalog:
    """VSS 6.0 and the Robovan overlay, as committed in vantel/vss/catalog.csv."""
    text = resources.files("vantel").joinpath("vss/catalog.csv").read_text(encoding="utf-8")
    return Catalog(signal_of_row(row) for row in csv.DictReader(io.StringIO(text)))


@functools.lru_cache(maxsize=1)
def builtin_peers() -> tuple[tuple[str, ...], ...]:
    """Names of builtin signals that show one quantity or follow one cause, in sets of 2 to 8 (vantel/vss/peers.csv)."""
    text = resources.files("vantel").joinpath("vss/peers.csv").read_text(encoding="utf-8")
    return tuple(tuple(row["signals"].split("|")) for row in csv.DictReader(io.StringIO(text)))


def signal_of_row(row: dict[str, str]) -> Signal:
    """A row of catalog.csv as a signal; CatalogError names the row that is none."""
    try:
        limits = {name: float(row[name]) if row[name] else None for name in _POLICY_FIELDS}
        return Signal(
            name=row["name"],
            id=int(row["id"]),
            unit=row["unit"],
            type=SignalType[row["type"]],
            group=row["group"],
            labels=tuple(row["labels"].split("|")) if row["labels"] else (),
            policy=Policy(**limits),
        )
    except (KeyError, TypeError, ValueError) as cause:
        raise CatalogError(
            f"read catalog.csv: row {row.get('name')!r}: {cause}; run make_catalog.py"
        ) from None


def assemble(signals: Iterable[Signal]) -> Catalog:
    """The catalog in use on a van: ids from builtin() where it knows the name, else local ids in the order of names.

    A known signal takes id, unit, type, labels and group of the builtin one; fields of its own policy override the
    builtin policy, and scale, offset and simulated are its own. CatalogError for a builtin id under another name.
    """
    known = builtin()
    chosen: list[Signal] = []
    local: list[Signal] = []
    for signal in signals:
        if signal.name in known:
            base = known.by_name(signal.name)
            chosen.append(
                replace(
                    base,
                    scale=signal.scale,
                    offset=signal.offset,
                    policy=signal.policy.over(base.policy),
                    simulated=signal.simulated,
                )
            )
        else:
            local.append(signal)
        if 0 < signal.id < LOCAL_ID_FIRST and (signal.name not in known or base.id != signal.id):
            raise CatalogError(
                f"assemble catalog: signal {signal.name!r} claims id {signal.id}, which is not its builtin id; "
                "leave the id 0"
            )
    local.sort(key=lambda signal: signal.name)
    chosen.extend(replace(signal, id=LOCAL_ID_FIRST + at) for at, signal in enumerate(local))
    catalog = Catalog(chosen)
    if len(catalog.encode()) > CATALOG_BYTES_MAX:
        raise CatalogError(
            f"assemble catalog: {len(catalog)} signals make {len(catalog.encode())} bytes, a birth holds at most "
            f"{CATALOG_BYTES_MAX}; let the sources declare fewer signals"
        )
    return catalog


def _nearest(name: str, names: Iterable[str]) -> str:
    """What to append to a message about an unknown name: the nearest known one, or nothing."""
    lower = {known.lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    return f"; did you mean {lower[near[0]]}?" if near else ""


def _check(signals: tuple[Signal, ...]) -> None:
    """Raise CatalogError for the first thing that is wrong with signals sorted by id."""
    if len(signals) > ENTRIES_MAX:
        raise CatalogError(f"catalog of {len(signals)} signals, at most {ENTRIES_MAX} are allowed")
    ids: dict[int, str] = {}
    names: dict[str, str] = {}
    for signal in signals:
        wrong = _wrong(signal)
        if wrong:
            raise CatalogError(f"catalog: signal {signal.name!r} (id {signal.id}): {wrong}")
        if signal.id in ids:
            raise CatalogError(f"catalog: id {signal.id} is both {ids[signal.id]!r} and {signal.name!r}")
        folded = signal.name.lower()
        if folded in names:
            raise CatalogError(
                f"catalog: {names[folded]!r} and {signal.name!r} are one name but for case; map one of them"
            )
        ids[signal.id] = names[folded] = signal.name


def _wrong(signal: Signal) -> str:
    """What is wrong with one signal; empty when nothing is."""
    policy = signal.policy
    limits = [getattr(policy, name) for name in _POLICY_FIELDS]
    numbers = [signal.scale, signal.offset, *(limit for limit in limits if limit is not None)]
    if not 0 < signal.id < _ID_END:
        return "the id must lie between 1 and 2**32 - 1"
    if not SIGNAL_NAME.fullmatch(signal.name):
        return "a name is 1 to 256 printable ASCII characters without quotes or backslash"
    if not GROUP_NAME.fullmatch(signal.group or "_"):
        return f"group {signal.group!r} is not made of a-z, 0-9 and _"
    if len(signal.unit) > UNIT_CHARS_MAX or not signal.unit.isprintable():
        return f"the unit has more than {UNIT_CHARS_MAX} characters or control characters"
    if signal.labels and signal.type is not SignalType.ENUM:
        return f"labels belong to ENUM, not to {signal.type.name}"
    if len(signal.labels) > LABELS_MAX:
        return f"{len(signal.labels)} labels, at most {LABELS_MAX} are allowed"
    if any(len(label) > LABEL_CHARS_MAX or not label.isprintable() for label in signal.labels):
        return f"a label has more than {LABEL_CHARS_MAX} characters or control characters"
    if not all(math.isfinite(number) for number in numbers):
        return "scale, offset and policy must be finite numbers"
    if policy.min is not None and policy.max is not None and policy.min > policy.max:
        return f"its smallest plausible value {policy.min} is above the largest, {policy.max}"
    if any(limit is not None and limit < 0 for limit in limits[2:]):
        return "a rate or duration of the policy is negative"
    return ""


def _to_pb(signals: Iterable[Signal]) -> catalog_pb2.Catalog:
    """Signals as protobuf."""
    pb = catalog_pb2.Catalog()
    for signal in signals:
        entry = pb.entries.add(
            id=signal.id,
            name=signal.name,
            unit=signal.unit,
            type=int(signal.type),
            scale=signal.scale,
            offset=signal.offset,
            group=signal.group,
            labels=signal.labels,
            simulated=signal.simulated,
        )
        for name in _POLICY_FIELDS:
            limit = getattr(signal.policy, name)
            if limit is not None:
                setattr(entry.policy, name, limit)
    return pb


def _from_pb(entry: catalog_pb2.CatalogEntry) -> Signal:
    """One entry of a serialised catalog, still unchecked."""
    policy = entry.policy
    limits = {name: getattr(policy, name) if policy.HasField(name) else None for name in _POLICY_FIELDS}
    if entry.type == catalog_pb2.SIGNAL_TYPE_UNSPECIFIED:
        raise CatalogError(f"decode catalog: signal {entry.name!r} has no type")
    known = entry.type in _SIGNAL_TYPES
    return Signal(
        name=entry.name,
        id=entry.id,
        unit=entry.unit,
        type=SignalType(entry.type) if known else SignalType.FLOAT64,
        group=entry.group,
        scale=entry.scale,
        offset=entry.offset,
        labels=tuple(entry.labels) if known else (),
        policy=Policy(**limits),
        simulated=entry.simulated,
    )


_SIGNAL_TYPES = frozenset(int(item) for item in SignalType)
