"""Which segments go when space is short. Pure: sizes and counts in, a list of decisions out.

Order: segments whose envelopes are all settled (oldest first, nothing is lost), then unsettled ones of the lowest
class, oldest first; P0 last. The same rule holds for bytes and for files (inodes): the limit is the quota, less when the
disk has less than keep_free left, but never below a floor, so that a disk that others fill does not stop collection. P1
and P2 together stay the P0 reserve below the limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vantel.identity import DeliveryClass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A closed segment. number: unique, ascending with age of creation. unsettled: envelopes neither acked nor evicted."""

    number: int
    delivery_class: DeliveryClass
    bytes: int
    unsettled: int


@dataclass(frozen=True, slots=True)
class Release:
    """A decision. reason: "" when all envelopes were settled, else why they are given up."""

    number: int
    delivery_class: DeliveryClass
    reason: str


UNBOUNDED = 1 << 62


@dataclass(frozen=True, slots=True)
class Bound:
    """What the spool may have of a resource (bytes or files). floor: may be used whatever the disk has left."""

    max: int
    p0_reserve: int
    keep_free: int
    floor: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What the spool may hold."""

    bytes: Bound
    files: Bound


@dataclass(frozen=True, slots=True)
class Use:
    """What the segments have of a resource, open ones too, and what the disk has left of it."""

    p0: int
    others: int
    free: int


def order(candidates: Iterable[Candidate], lowest: int) -> list[Candidate]:
    """Candidates in the order in which they go; classes above lowest are spared unless they are settled."""
    settled = sorted((c for c in candidates if not c.unsettled), key=lambda c: c.number)
    lost = sorted(
        (c for c in candidates if c.unsettled and c.delivery_class >= lowest),
        key=lambda c: (-c.delivery_class, c.number),
    )
    return settled + lost


class _Budget:
    """A resource while a plan is made: what is over, and why."""

    def __init__(self, use: Use, bound: Bound) -> None:
        by_disk = max(bound.floor, use.p0 + use.others + use.free - bound.keep_free)
        self._limit = min(bound.max, by_disk)
        self._reserve = min(bound.p0_reserve, self._limit)
        self._p0, self._others = use.p0, use.others
        self.reason = "quota" if bound.max <= by_disk else "disk_full"

    @property
    def over_all(self) -> bool:
        """P0 and the others together are above the limit."""
        return self._p0 + self._others > self._limit

    @property
    def over_others(self) -> bool:
        """P1 and P2 reach into the reserve of P0."""
        return self._others > self._limit - self._reserve

    def give(self, amount: int, is_p0: bool) -> None:
        """So much goes."""
        self._p0 -= amount if is_p0 else 0
        self._others -= 0 if is_p0 else amount


def plan(candidates: Sequence[Candidate], in_bytes: Use, in_files: Use, limits: Limits) -> list[Release]:
    """Releases that bring the spool within its limits."""
    size, files = _Budget(in_bytes, limits.bytes), _Budget(in_files, limits.files)
    releases: list[Release] = []
    for candidate in order(candidates, DeliveryClass.P0):
        is_p0 = candidate.delivery_class is DeliveryClass.P0
        over = [b for b in (size, files) if b.over_all or (b.over_others and not is_p0)]
        if not over:
            if not size.over_others and not files.over_others:
                break
            continue  # P0 makes no room in the share of the others
        size.give(candidate.bytes, is_p0)
        files.give(1, is_p0)
        reason = over[0].reason if candidate.unsettled else ""
        releases.append(Release(candidate.number, candidate.delivery_class, reason))
    return releases


def make_room(candidates: Sequence[Candidate], need_bytes: int, lowest: int) -> list[Release]:
    """Releases that free need_bytes at once, of no class above lowest, for a write that met a full disk."""
    releases: list[Release] = []
    for candidate in order(candidates, lowest):
        if need_bytes <= 0:
            break
        need_bytes -= candidate.bytes
        releases.append(
            Release(candidate.number, candidate.delivery_class, "disk_full" if candidate.unsettled else "")
        )
    return releases
