"""The ready campaigns of deploy/campaigns/.

Goal: each fires on what it is for, once, and not on an ordinary delivery round.
Method: the synthetic van, with the fault and without, through the pipeline; the capture must hold the signal that says why.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.campaign.judge import InForce
from edge.campaign.run import Ledger
from edge.model import SampleBlock, TextTable
from edge.pipeline import Pipeline
from edge.queues import Outgoing
from edge.settings import EdgeSettings, SyntheticSource
from edge.sources.synthetic import SyntheticVan, blocks
from vantel.campaign.text import campaign_of
from vantel.captures import CaptureState, CaptureSummary
from vantel.catalog import assemble
from vantel.identity import PayloadKind

FOLDER = Path(__file__).parents[2] / "deploy" / "campaigns"
CASES = {
    "autonomy-lost": ("autonomy_lost", "Vehicle.ADAS.ActiveAutonomyLevel"),
    "minimal-risk-stop": ("minimal_risk_stop", "Vehicle.Robovan.MinimalRisk.State"),
    "remote-assistance": ("remote_session", "Vehicle.Robovan.RemoteAssistance.State"),
    "emergency-stop": ("emergency_stop", "Vehicle.Robovan.EmergencyStop.Source"),
    "door-open-moving": ("door_open_while_moving", "Vehicle.Robovan.Cargo.Door.Left.IsOpen"),
    "collision": ("collision", "Vehicle.Acceleration.Longitudinal"),
    "board-over-temperature": (
        "over_temperature",
        "Vehicle.ControlUnit.Central.Health.Resources.Temperature",
    ),
}


def captured(
    name: str, faults: list[dict[str, object]], seconds: float, folder: Path
) -> tuple[list[CaptureSummary], set[str]]:
    """Finished captures of a campaign on the synthetic van, and the signals of the first."""
    source = SyntheticSource.model_validate({"kind": "synthetic", "seed": 4, "rate_hz": 20, "faults": faults})
    signals = SyntheticVan(source).signals
    catalog = assemble(signals)
    row = {signal.name: at for at, signal in enumerate(catalog.signals)}
    rows = [row[signal.name] for signal in signals]
    settings = EdgeSettings(van={"id": "van-1", "state_dir": folder}, sources=[{"kind": "probe"}])  # type: ignore[arg-type]
    campaign = campaign_of((FOLDER / f"{name}.toml").read_text())
    pipeline = Pipeline(catalog, settings, TextTable(), 0, 0, Ledger(InForce((campaign,), generation=1)))
    assert pipeline.campaigns.campaigns, f"{name} does not compile on the synthetic van"
    out: list[object] = []
    for block in blocks(source, seconds, 1_700_000_000_000_000_000):
        slots = block.slot.copy()
        slots[:] = [rows[slot] for slot in block.slot]
        out += pipeline.step(SampleBlock(slots, block.t_mono_ns, block.value))
    out += pipeline.close()
    ends = [
        summary
        for item in out
        if isinstance(item, Outgoing) and item.kind is PayloadKind.CAPTURE_SUMMARY
        and (summary := CaptureSummary.decode(item.payload)).state is CaptureState.COMPLETE
    ]  # fmt: skip
    return ends, {catalog.by_id(signal_id).name for signal_id in ends[0].signal_ids} if ends else set()


def test_there_is_a_test_for_each_of_them() -> None:
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(CASES)


@pytest.mark.once
@pytest.mark.parametrize("name", list(CASES))
def test_it_fires_on_what_it_is_for(name: str, tmp_path: Path) -> None:
    fault, evidence = CASES[name]
    ends, signals = captured(
        name,
        [{"kind": fault, "at_s": 60, "for_s": 120 if fault == "over_temperature" else 10}],
        420,
        tmp_path,
    )
    assert ends, f"{name} did not fire on {fault}"
    assert ends[0].triggers[0].campaign == name
    assert evidence in signals
    assert ends[0].samples > 100


@pytest.mark.once
@pytest.mark.parametrize("name", list(CASES))
def test_it_stays_quiet_on_an_ordinary_round(name: str, tmp_path: Path) -> None:
    ends, _ = captured(name, [], 420, tmp_path)
    if name == "remote-assistance" and ends:
        return  # the model asks for help now and then: an ordinary thing, and what this campaign is for
    assert ends == []
