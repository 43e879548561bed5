"""What becomes of a campaign set that comes down: who signed it, for whom, which of its campaigns this van takes. Pure.

Bytes of down/campaign and what is in force -> Verdict. A set that is refused as a whole changes nothing; a campaign that
is rejected leaves an older version of itself in force. Limits that all share go to the low priorities first.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from vantel.campaign.document import Campaign, CampaignSet, bytes_a_day_least, hash_of
from vantel.campaign.evaluator import TICK_NS
from vantel.campaign.limits import CampaignError
from vantel.campaign.program import Compiler, Program
from vantel.campaign.signature import verified
from vantel.captures import CampaignState, CampaignStatus
from vantel.catalog import Catalog

RING_MARGIN_S = 5.0
"""A trigger is seen up to so much after its sample: before_s must leave that of what the rings hold."""
RATE_ASSUMED_HZ = 10.0
"""Of a signal that a repeating campaign wants at full rate, for the least that it sends."""


@dataclass(frozen=True, slots=True)
class InForce:
    """What a van has: campaigns by name, generation and hash of the set they came in."""

    campaigns: tuple[Campaign, ...] = ()
    rejected: tuple[CampaignState, ...] = ()
    generation: int = 0
    set_hash: str = ""
    refused: tuple[int, str, str] = (0, "", "")
    """Generation, reason and detail of the last set that was refused as a whole."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of this van."""

    van: str
    ring_s: float
    keys: Sequence[Ed25519PublicKey]


def judge(data: bytes, now: InForce, catalog: Catalog, limits: Limits) -> InForce | None:
    """What is in force after a set came; None when it changes nothing (the set in force once more)."""
    generation = 0
    try:
        whole = verified(data, limits.keys)
        came = CampaignSet.decode(whole)
        generation = came.generation
        if hash_of(whole) == now.set_hash:
            return None
        if came.van != limits.van:
            raise CampaignError("wrong_van", f"the set is for {came.van}")
        if came.generation <= now.generation:
            detail = f"generation {came.generation} is not above {now.generation}, which this van has seen"
            raise CampaignError("replayed", detail)
    except CampaignError as cause:
        refused = (generation, cause.reason, cause.detail)
        return None if refused == now.refused else replace(now, refused=refused)
    taken, rejected = _sorted_out(came, now, catalog, limits)
    return InForce(tuple(taken), tuple(rejected), came.generation, hash_of(whole))


def _sorted_out(
    came: CampaignSet, now: InForce, catalog: Catalog, limits: Limits
) -> tuple[list[Campaign], list[CampaignState]]:
    compiler = Compiler(catalog, TICK_NS)
    before = {campaign.name: campaign for campaign in now.campaigns}
    taken: list[Campaign] = []
    rejected: list[CampaignState] = []
    for campaign in sorted(came.campaigns, key=lambda item: (item.priority, item.name)):
        old = before.get(campaign.name)
        try:
            if old is not None and campaign.version < old.version:
                raise CampaignError(
                    "replayed", f"version {campaign.version} is below {old.version}, which is in force"
                )
            _check(campaign, catalog, limits)
            compiler.add(campaign.condition)
            taken.append(campaign)
        except CampaignError as cause:
            rejected.append(_rejection(campaign, cause))
            if old is not None and _fits(compiler, old):
                taken.append(old)
    return taken, rejected


def _check(campaign: Campaign, catalog: Catalog, limits: Limits) -> None:
    campaign.check()
    if campaign.before_s > limits.ring_s - RING_MARGIN_S:
        detail = f"before_s {campaign.before_s} is more than {limits.ring_s - RING_MARGIN_S:.0f} s, which the rings hold"
        raise CampaignError("window", detail)
    rate_hz = 0.0
    for item in campaign.signals:
        fitting = sum(fnmatch.fnmatchcase(signal.name, item.name) for signal in catalog.signals)
        if not fitting:
            raise CampaignError("unknown_signal", f"no signal of this van is called {item.name!r}")
        if not item.deadband:
            rate_hz += fitting / item.period_s_min if item.period_s_min else fitting * RATE_ASSUMED_HZ
    least = bytes_a_day_least(campaign, rate_hz)
    if least > campaign.bytes_per_day_max:
        detail = f"about {rate_hz:.0f} samples a second are at least {least:.0f} bytes a day, more than bytes_per_day_max"
        raise CampaignError("budget", detail)


def _fits(compiler: Compiler, campaign: Campaign) -> bool:
    try:
        compiler.add(campaign.condition)
    except CampaignError:
        return False
    return True


def _rejection(campaign: Campaign, cause: CampaignError) -> CampaignState:
    return CampaignState(
        campaign.name[:64],
        campaign.version,
        CampaignStatus.REJECTED,
        cause.reason,
        cause.detail[:512],
        cause.position,
    )


def program_of(campaigns: Sequence[Campaign], catalog: Catalog) -> tuple[list[Campaign], Program]:
    """The campaigns that compile on this catalog, and their program: after a restart the catalog may be another."""
    compiler = Compiler(catalog, TICK_NS)
    fitting = [campaign for campaign in campaigns if _fits(compiler, campaign)]
    return fitting, compiler.program()
