"""Which segments go when space is short. Pure: sizes and counts in, a list of decisions out.

Order: segments whose envelopes are all settled (oldest first, nothing is lost), then unsettled ones of the lowest
class, oldest first; P0 last. The limit is bytes_max, less when the disk has less than keep_free_bytes left, but never
below a floor (three segments and the P0 reserve), so that a disk that others fill does not stop collection. P1 and P2
together stay p0_reserve_bytes below the limit. Bytes everywhere.
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


@dataclass(frozen=True, slots=True)
class Limits:
    """What the spool may hold."""

    bytes_max: int
    p0_reserve_bytes: int
    keep_free_bytes: int
    floor_bytes: int
    files_max: int


def order(candidates: Iterable[Candidate], lowest: DeliveryClass) -> list[Candidate]:
    """Candidates in the order in which they go; classes above lowest are spared unless they are settled."""
    settled = sorted((c for c in candidates if not c.unsettled), key=lambda c: c.number)
    lost = sorted(
        (c for c in candidates if c.unsettled and c.delivery_class >= lowest),
        key=lambda c: (-c.delivery_class, c.number),
    )
    return settled + lost


def plan(
    candidates: Sequence[Candidate],
    p0_bytes: int,
    other_bytes: int,
    free_bytes: int,
    files: int,
    limits: Limits,
) -> list[Release]:
    """Releases that bring the spool within its limits. p0_bytes, other_bytes, files: all segments, open ones too."""
    used = p0_bytes + other_bytes
    by_disk = max(limits.floor_bytes, used + free_bytes - limits.keep_free_bytes)
    limit = min(limits.bytes_max, by_disk)
    reason = "quota" if limits.bytes_max <= by_disk else "disk_full"
    releases: list[Release] = []
    for candidate in order(candidates, DeliveryClass.P0):
        over_all = used > limit or files > limits.files_max
        over_others = other_bytes > limit - limits.p0_reserve_bytes
        is_p0 = candidate.delivery_class is DeliveryClass.P0
        if not over_all and not over_others:
            break
        if is_p0 and not over_all:
            continue
        used, files = used - candidate.bytes, files - 1
        other_bytes -= 0 if is_p0 else candidate.bytes
        releases.append(
            Release(candidate.number, candidate.delivery_class, reason if candidate.unsettled else "")
        )
    return releases


def make_room(candidates: Sequence[Candidate], need_bytes: int, lowest: DeliveryClass) -> list[Release]:
    """Releases that free need_bytes at once, for a write of class lowest that met a full disk."""
    releases: list[Release] = []
    for candidate in order(candidates, lowest):
        if need_bytes <= 0:
            break
        need_bytes -= candidate.bytes
        releases.append(
            Release(candidate.number, candidate.delivery_class, "disk_full" if candidate.unsettled else "")
        )
    return releases
