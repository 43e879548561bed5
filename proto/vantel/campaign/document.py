"""Campaigns as plain values: Campaign and CampaignSet <-> bytes, and the checks that need no van. Pure.

Seconds, bytes and Unix ns; 0 means "none" where a field says so. decode() checks every field: CampaignError names the
first wrong one. Whether the condition is one, and the signals are there, the van says (edge.campaign).
"""

from __future__ import annotations

import enum
import hashlib
import math
import re
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from vantel.campaign.limits import (
    AFTER_S_MAX,
    CONDITIONS_MAX,
    DOCUMENT_BYTES_MAX,
    HOLD_S_MAX,
    NAME_CHARS_MAX,
    PURPOSE_CHARS_MAX,
    SIGNALS_MAX,
    TEXT_CHARS_MAX,
    CampaignError,
)
from vantel.identity import VAN_ID
from vantel.telemetry.v1 import downlink_pb2

NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_PATTERN = re.compile(r"[!#-&(-\[\]-_a-~](?:[ !#-&(-\[\]-_a-~]{0,254}[!#-&(-\[\]-_a-~])?")
_U32, _U64 = 2**32 - 1, 2**64 - 1


class Network(enum.IntEnum):
    """Links on which the body of a capture may go up."""

    ANY = downlink_pb2.CAMPAIGN_NETWORK_ANY
    UNMETERED = downlink_pb2.CAMPAIGN_NETWORK_UNMETERED


@dataclass(frozen=True, slots=True)
class Collected:
    """What to collect of the signals whose names fit: name with * and ?. The finest rule of all that fit counts."""

    name: str
    period_s_min: float = 0.0
    deadband: float = 0.0
    silence_s_max: float = 0.0
    error_bound: float = 0.0


@dataclass(frozen=True, slots=True)
class Campaign:
    """What to collect, when, and how much of it.

    condition "": always, which needs repeat. before_s, after_s: the window round a trigger. repeat: again and again
    while the condition holds. start_unix_ns, end_unix_ns: 0 for none. bytes_per_day_max: of bodies, by Unix day.
    """

    name: str
    version: int
    signals: tuple[Collected, ...]
    condition: str
    before_s: float
    after_s: float
    bytes_per_day_max: int
    start_unix_ns: int = 0
    end_unix_ns: int = 0
    priority: int = 100
    repeat: bool = False
    quiet_s: float = 0.0
    network: Network = Network.ANY
    data_within_s: float = 0.0
    hold_s: float = 0.0
    purpose: str = ""

    def check(self) -> Campaign:
        """This campaign; CampaignError when a field is out of its range."""
        if not NAME.fullmatch(self.name) or len(self.name) > NAME_CHARS_MAX:
            raise CampaignError(
                "name", f"name {self.name[:80]!r}: small letters, digits and dashes, at most {NAME_CHARS_MAX}"
            )
        wrong = next((text for fine, text in self._rules() if not fine), None)
        if wrong is not None:
            raise CampaignError("range", f"{self.name}: {wrong}")
        if len(self.signals) > SIGNALS_MAX:
            raise CampaignError(
                "too_many", f"{self.name}: {len(self.signals)} entries in signals, at most {SIGNALS_MAX}"
            )
        for item in self.signals:
            numbers = (item.period_s_min, item.deadband, item.silence_s_max, item.error_bound)
            if not _PATTERN.fullmatch(item.name):
                raise CampaignError("range", f"{self.name}: {item.name[:80]!r} is no name of a signal")
            if not all(0 <= number <= 1e12 for number in numbers):
                raise CampaignError("range", f"{self.name}: {item.name}: a number below 0 or not finite")
        return self

    def _rules(self) -> list[tuple[bool, str]]:
        """(whether it holds, what is wrong otherwise)."""
        return [
            (0 < self.version <= _U32, f"version {self.version} is not within 1 and {_U32}"),
            (bool(self.signals), "signals is empty; ['*'] means all"),
            (len(self.condition) <= TEXT_CHARS_MAX, f"condition is longer than {TEXT_CHARS_MAX} characters"),
            (bool(self.condition.strip()) or self.repeat, "condition is empty; that needs repeat = true"),
            (
                0 <= self.before_s <= AFTER_S_MAX,
                f"before_s {self.before_s} is not within 0 and {AFTER_S_MAX}",
            ),
            (
                0 < self.after_s <= AFTER_S_MAX,
                f"after_s {self.after_s} is not above 0 and at most {AFTER_S_MAX}",
            ),
            (0 < self.bytes_per_day_max <= _U64, "bytes_per_day_max must be above 0"),
            (0 <= self.quiet_s <= 86_400, f"quiet_s {self.quiet_s} is not within 0 and 86400"),
            (0 <= self.data_within_s <= 1e9, f"data_within_s {self.data_within_s} is below 0 or not finite"),
            (0 <= self.hold_s <= HOLD_S_MAX, f"hold_s {self.hold_s} is not within 0 and {HOLD_S_MAX}"),
            (0 <= self.priority <= _U32, f"priority {self.priority} is not within 0 and {_U32}"),
            (not self.end_unix_ns or self.end_unix_ns > self.start_unix_ns, "it ends before it starts"),
            (
                len(self.purpose) <= PURPOSE_CHARS_MAX,
                f"purpose is longer than {PURPOSE_CHARS_MAX} characters",
            ),
            (not self.repeat or self.after_s >= 1.0, "repeat needs an after_s of at least 1 s"),
        ]

    def to_pb(self) -> downlink_pb2.Campaign:
        """As protobuf."""
        pb = downlink_pb2.Campaign(
            name=self.name, version=self.version, condition=self.condition, before_s=self.before_s,
            after_s=self.after_s, bytes_per_day_max=self.bytes_per_day_max, start_unix_ns=self.start_unix_ns,
            end_unix_ns=self.end_unix_ns, priority=self.priority, repeat=self.repeat, quiet_s=self.quiet_s,
            network=int(self.network), data_within_s=self.data_within_s, hold_s=self.hold_s, purpose=self.purpose,  # type: ignore[arg-type]
        )  # fmt: skip
        for item in self.signals:
            pb.signals.add(name=item.name, period_s_min=item.period_s_min, deadband=item.deadband,
                           silence_s_max=item.silence_s_max, error_bound=item.error_bound)  # fmt: skip
        return pb

    @classmethod
    def from_pb(cls, pb: downlink_pb2.Campaign) -> Campaign:
        """From protobuf, unchecked. An unknown network is taken as UNMETERED, the stricter one."""
        known = int(pb.network) in (0, int(Network.ANY))
        signals = tuple(
            Collected(item.name, item.period_s_min, item.deadband, item.silence_s_max, item.error_bound)
            for item in pb.signals
        )
        return cls(
            pb.name, pb.version, signals, pb.condition, pb.before_s, pb.after_s, pb.bytes_per_day_max,
            pb.start_unix_ns, pb.end_unix_ns, pb.priority, pb.repeat, pb.quiet_s,
            Network.ANY if known else Network.UNMETERED, pb.data_within_s, pb.hold_s, pb.purpose,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class CampaignSet:
    """All campaigns of one van: the full state. generation rises with each set."""

    van: str
    generation: int
    campaigns: tuple[Campaign, ...]

    def encode(self) -> bytes:
        """The bytes that are signed."""
        pb = downlink_pb2.CampaignSet(van=self.van, generation=self.generation)
        pb.campaigns.extend(campaign.to_pb() for campaign in self.campaigns)
        return pb.SerializeToString(deterministic=True)

    @classmethod
    def decode(cls, data: bytes) -> CampaignSet:
        """Inverse of encode; its campaigns are still unchecked, so that a bad one costs only itself."""
        if len(data) > DOCUMENT_BYTES_MAX:
            raise CampaignError("too_large", f"{len(data)} bytes, at most {DOCUMENT_BYTES_MAX}")
        try:
            pb = downlink_pb2.CampaignSet.FromString(data)
        except DecodeError as cause:
            raise CampaignError("malformed", f"{len(data)} bytes are no campaign set: {cause}") from None
        if not VAN_ID.fullmatch(pb.van) or not pb.generation:
            raise CampaignError("malformed", "a campaign set without van or generation")
        if len(pb.campaigns) > CONDITIONS_MAX:
            raise CampaignError("too_many", f"{len(pb.campaigns)} campaigns, at most {CONDITIONS_MAX}")
        campaigns = tuple(Campaign.from_pb(item) for item in pb.campaigns)
        names = [campaign.name for campaign in campaigns]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise CampaignError("duplicate", f"campaign {twice[:80]!r} stands in the set twice")
        return cls(pb.van, pb.generation, campaigns)


def hash_of(campaign_set: bytes) -> str:
    """Name of a set: first 8 bytes of the SHA-256 of its bytes, 16 hex digits."""
    return hashlib.sha256(campaign_set).hexdigest()[:16]


def bytes_a_day_least(campaign: Campaign, rate_hz: float) -> float:
    """What a repeating campaign sends a day at least, with so many samples a second in all and half a byte a sample."""
    return 0.5 * 86_400.0 * rate_hz if campaign.repeat and math.isfinite(rate_hz) else 0.0
