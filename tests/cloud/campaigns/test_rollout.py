"""Rollout of a campaign over many vans.

Goal: a ramp begins with canaries and stops by itself when one goes over its budget, and what was sent is taken back.
Method: three hundred simulated vans, each with the agent's own judge and campaigns on a stream of its own; one of the
three canaries has a signal that triggers all the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cloud.campaigns.command import app
from cloud.campaigns.desired import Desired, chosen, share_of
from cloud.campaigns.ramp import percents_of, problem_of, roll_out, shown, stages
from edge.campaign.judge import InForce, Limits, judge
from edge.campaign.run import Ledger
from edge.model import SampleBlock, TextTable
from edge.pipeline import Pipeline
from edge.queues import Outgoing
from edge.settings import EdgeSettings
from vantel.campaign.document import Campaign, Collected
from vantel.campaign.limits import CampaignError
from vantel.campaign.signature import new_key, public_keys, sign
from vantel.captures import CampaignState, CampaignStatus
from vantel.catalog import Signal, assemble
from vantel.identity import PayloadKind

VANS = [f"van-{number:03d}" for number in range(300)]
CATALOG = assemble([Signal("Van.A")])
NOISY = Campaign("noisy", 1, (Collected("Van.A"),), "Van.A > 1", 1.0, 1.0, 3000)
PRIVATE, PUBLIC = new_key()
START_NS = 1_700_000_000_000_000_000


class SimulatedVan:
    """The agent's campaigns on a stream; noisy: its signal crosses the threshold every other second."""

    def __init__(self, van: str, folder: Path, noisy: bool) -> None:
        settings = EdgeSettings(van={"id": van, "state_dir": folder}, sources=[{"kind": "probe"}])  # type: ignore[arg-type]
        self._limits = Limits(van, 60.0, public_keys(PUBLIC))
        self._pipeline = Pipeline(CATALOG, settings, TextTable(), 0, 0, Ledger())
        self._noisy = noisy
        self._steps = 0

    def receive(self, data: bytes) -> list[Outgoing]:
        now = self._pipeline.campaigns.ledger.in_force
        verdict = judge(data, now, CATALOG, self._limits)
        return self._pipeline.campaigns.adopt(verdict) if verdict is not None else []

    def live(self, seconds: int) -> list[Outgoing]:
        at = np.arange(self._steps, self._steps + seconds * 50, dtype=np.int64)
        self._steps += seconds * 50
        value = np.where(at // 50 % 4 == 3, 5.0, 0.0) if self._noisy else np.zeros(len(at))
        value += np.random.default_rng(1).normal(0, 0.01, len(at))
        block = SampleBlock(np.zeros(len(at), np.int32), START_NS + at * 20_000_000, value)
        return [item for item in self._pipeline.step(block) if isinstance(item, Outgoing)]


class SimulatedFleet:
    """Vans, and what the record of both ends knows of them."""

    def __init__(self, folder: Path, noisy: str) -> None:
        self.desired = Desired(vans=set(VANS))
        self.vans = {van: SimulatedVan(van, folder, van == noisy) for van in VANS}
        self.sent: list[str] = []

    async def send(self, part: Sequence[str]) -> None:
        for van in part:
            self.sent.append(van)
            self._down(van, sign(self.desired.with_campaign(van, NOISY, 1).encode(), PRIVATE))

    def take_back(self, part: Sequence[str]) -> None:
        for van in part:
            self._down(van, sign(self.desired.without(van, NOISY.name, 1).encode(), PRIVATE))

    def _down(self, van: str, signed: bytes) -> None:
        self.desired.take(f"set|{van}", signed)
        self._up(van, self.vans[van].receive(signed))

    def _up(self, van: str, out: Sequence[Outgoing]) -> None:
        for item in out:
            if item.kind is PayloadKind.CAMPAIGN_REPORT:
                self.desired.take(f"report|{van}", item.payload)

    async def pass_time(self, _: float) -> None:
        for van in self.sent:
            self._up(van, self.vans[van].live(1))
        self.now_s += 1.0

    now_s = 0.0

    def look(self, vans: Sequence[str]) -> dict[str, CampaignState | str | None]:
        return {van: self.desired.refusal(van) or self.desired.state(van, NOISY.name) for van in vans}


def roll(fleet: SimulatedFleet) -> object:
    parts = stages(VANS, NOISY.name, [1, 10, 100])
    assert [len(part) for part in parts] == [3, 27, 270]
    return asyncio.run(
        roll_out(parts, fleet.send, fleet.look, 60.0, 30.0, lambda: fleet.now_s, fleet.pass_time)
    )


def test_a_canary_over_its_budget_stops_the_rollout_and_it_is_taken_back(tmp_path: Path) -> None:
    canaries = stages(VANS, NOISY.name, [1, 10, 100])[0]
    fleet = SimulatedFleet(tmp_path, noisy=canaries[1])
    outcome = roll(fleet)
    assert sorted(fleet.sent) == sorted(canaries)
    assert "over_budget" in outcome.stopped  # type: ignore[attr-defined]
    assert canaries[1] in outcome.stopped  # type: ignore[attr-defined]
    fleet.take_back(fleet.sent)
    assert fleet.desired.having(NOISY.name) == []
    assert all(not fleet.desired.reports[van].campaigns for van in canaries)


def test_without_a_bad_van_all_of_them_get_it(tmp_path: Path) -> None:
    fleet = SimulatedFleet(tmp_path, noisy="")
    outcome = roll(fleet)
    assert outcome.stopped == ""  # type: ignore[attr-defined]
    assert set(outcome.states.values()) == {"active"}  # type: ignore[attr-defined]
    assert len(fleet.sent) == 300
    assert fleet.now_s >= 120


def test_a_rejection_stops_it_too_with_its_place() -> None:
    rejected = CampaignState("x", 1, CampaignStatus.REJECTED, "syntax", "two in a row", 7)
    assert "rejected: syntax at character 7" in problem_of({"a": None, "b": rejected})
    assert problem_of({"a": None, "b": CampaignState("x", 1, CampaignStatus.ACTIVE)}) == ""
    assert "signature" in problem_of({"a": "signature: none of this van's keys signed it"})
    assert shown(None) == "no answer"


def test_shares_are_stable_and_hold_one_another() -> None:
    assert set(share_of(VANS, "a", 1)) < set(share_of(VANS, "a", 10)) < set(share_of(VANS, "a", 100))
    assert share_of(VANS, "a", 1) != share_of(VANS, "b", 1)
    assert len(share_of(VANS, "a", 0.01)) == 1


def test_vans_are_chosen_by_name_pattern_and_group() -> None:
    groups = {"north": ["van-00*"], "pair": ["van-100", "van-101"]}
    assert chosen(VANS, ["van-29?"], {}, []) == [f"van-29{n}" for n in range(10)]
    assert chosen(VANS, [], groups, ["pair"]) == ["van-100", "van-101"]
    assert chosen(VANS, ["never-heard-of"], groups, []) == ["never-heard-of"]
    with pytest.raises(ValueError, match="no group 'south'"):
        chosen(VANS, [], groups, ["south"])


def test_generations_rise_and_a_version_is_never_reused() -> None:
    desired = Desired()
    first = desired.with_campaign("van-1", NOISY, 1000)
    desired.take("set|van-1", sign(first.encode(), PRIVATE))
    again = desired.with_campaign("van-1", NOISY, 500)
    assert again.generation == 1001
    with pytest.raises(CampaignError, match="raise the version"):
        desired.with_campaign("van-1", replace(NOISY, condition="Van.A > 2"), 2000)
    assert (
        desired.with_campaign("van-1", replace(NOISY, version=2, condition="Van.A > 2"), 2000)
        .campaigns[0]
        .version
        == 2
    )
    desired.take("set|van-1", b"rubbish")
    desired.take("report|van-1", b"\xff")
    assert desired.sets["van-1"] == first
    assert InForce().generation == 0


@pytest.mark.parametrize("ramp", ["0", "0,100", "-5", "50,10", "10,10", "1,101", "nan", "inf", "", "1,x"])
def test_a_ramp_that_means_nothing_reaches_no_van(ramp: str) -> None:
    with pytest.raises(ValueError, match=r"percent|convert|could not"):
        percents_of(ramp, 100.0)


def test_shares_are_of_the_chosen_percentage_and_none_of_them_is_nobody() -> None:
    assert percents_of("1,10,100", 50.0) == [0.5, 5.0, 50.0]
    with pytest.raises(ValueError, match="above 0"):
        percents_of("100", 0.0)


def test_the_command_refuses_a_ramp_before_it_looks_for_servers(tmp_path: Path) -> None:
    campaign = Path(__file__).parents[3] / "deploy" / "campaigns" / "collision.toml"
    words = ["push", str(campaign), "--key", str(tmp_path / "no.key"), "--ramp", "0,50"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "nothing was sent" in done.output


def test_a_key_that_cannot_be_written_is_told_in_a_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["key", str(tmp_path / "none" / "operator")])
    assert done.exit_code == 65
    assert "No such file" in done.output
