"""What each van shall have: sets of campaigns by van, changed by pushes and revocations. Pure.

The compacted topic vantel.campaign holds both ends: `set|VAN` is the signed set that lies retained at the broker,
`report|VAN` the van's last word. The full state goes down each time, so nothing depends on what a van had before.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from vantel.campaign.document import Campaign, CampaignSet, hash_of
from vantel.campaign.limits import CampaignError
from vantel.captures import CampaignReport, CampaignState
from vantel.crc32c import crc32c
from vantel.envelope import EnvelopeError
from vantel.telemetry.v1 import downlink_pb2

SET, REPORT = "set", "report"


@dataclass(slots=True)
class Desired:
    """Both ends by van."""

    sets: dict[str, CampaignSet] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    reports: dict[str, CampaignReport] = field(default_factory=dict)
    vans: set[str] = field(default_factory=set)
    """Every van that was ever heard of."""

    def take(self, key: str, value: bytes | None) -> None:
        """A record of vantel.campaign; what cannot be read is passed over."""
        kind, _, van = key.partition("|")
        try:
            if kind == SET and value is not None:
                whole = downlink_pb2.SignedCampaignSet.FromString(value).campaign_set
                self.sets[van], self.hashes[van] = CampaignSet.decode(whole), hash_of(whole)
            elif kind == REPORT and value is not None:
                self.reports[van] = CampaignReport.decode(value)
        except (DecodeError, CampaignError, EnvelopeError):
            return
        if van:
            self.vans.add(van)

    def with_campaign(self, van: str, campaign: Campaign, now_unix_ms: int) -> CampaignSet:
        """The van's next set, with this campaign in it. CampaignError when the van has a newer version of it."""
        before = self._campaigns(van)
        old = next((item for item in before if item.name == campaign.name), None)
        if old is not None and (
            old.version > campaign.version or (old.version == campaign.version and old != campaign)
        ):
            detail = (
                f"{van} has version {old.version} of {campaign.name}; raise the version in the file above it"
            )
            raise CampaignError("replayed", detail)
        rest = tuple(item for item in before if item.name != campaign.name)
        return CampaignSet(van, self._generation(van, now_unix_ms), (*rest, campaign))

    def without(self, van: str, name: str, now_unix_ms: int) -> CampaignSet:
        """The van's next set, without a campaign."""
        rest = tuple(item for item in self._campaigns(van) if item.name != name)
        return CampaignSet(van, self._generation(van, now_unix_ms), rest)

    def having(self, name: str) -> list[str]:
        """Vans whose set has a campaign."""
        return sorted(van for van, item in self.sets.items() if any(c.name == name for c in item.campaigns))

    def state(self, van: str, name: str) -> CampaignState | None:
        """What a van says about a campaign; None while it has not answered the present set."""
        report = self.reports.get(van)
        answered = report is not None and van in self.hashes and report.set_hash == self.hashes[van]
        if report is None or not answered:
            return None
        found = [item for item in report.campaigns if item.name == name]
        # a rejected version stands beside the older one that stays: the newest is what was asked for
        return max(found, key=lambda item: item.version) if found else None

    def refusal(self, van: str) -> str:
        """Why a van refused the present set as a whole; empty when it did not."""
        report, wanted = self.reports.get(van), self.sets.get(van)
        if report is None or wanted is None or not report.refused_reason:
            return ""
        return (
            f"{report.refused_reason}: {report.refused_detail}"
            if report.refused_generation in (0, wanted.generation)
            else ""
        )

    def _campaigns(self, van: str) -> Sequence[Campaign]:
        return self.sets[van].campaigns if van in self.sets else ()

    def _generation(self, van: str, now_unix_ms: int) -> int:
        """Above every one before, also when the record of those was lost: by the clock."""
        return max(now_unix_ms, self.sets[van].generation + 1 if van in self.sets else 0)


def chosen(
    vans: Iterable[str], patterns: Sequence[str], groups: Mapping[str, Sequence[str]], names: Sequence[str]
) -> list[str]:
    """Vans that fit a pattern or a pattern of a named group. ValueError for a group that there is not."""
    wanted = list(patterns)
    for name in names:
        if name not in groups:
            known = ", ".join(sorted(groups)) or "none"
            raise ValueError(f"no group {name!r} in [campaign.groups] of the settings; there are: {known}")
        wanted += groups[name]
    literal = {item for item in wanted if not set(item) & set("*?[")}
    fitting = {van for van in vans if any(fnmatch.fnmatchcase(van, pattern) for pattern in wanted)}
    return sorted(literal | fitting)


def share_of(vans: Sequence[str], name: str, percent: float) -> list[str]:
    """The same share of the vans each time, another for each campaign; at least one van. A larger share holds a smaller."""
    order = sorted(vans, key=lambda van: (crc32c(f"{name}|{van}".encode()), van))
    return order[: max(1, round(len(order) * percent / 100.0))] if order else []
