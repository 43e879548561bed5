"""Campaigns for the fuzzer: the document, its signature, and conditions from text to a step of the evaluator."""

from __future__ import annotations

import numpy as np

from tests.fuzz.campaign import Decoder
from vantel.campaign.document import Campaign, CampaignSet, Collected
from vantel.campaign.evaluator import TICK_NS, Evaluator, Happened
from vantel.campaign.limits import CampaignError
from vantel.campaign.program import compile_conditions
from vantel.campaign.signature import new_key, public_keys, sign, verified
from vantel.campaign.text import campaign_of
from vantel.catalog import Signal, SignalType, assemble

CATALOG = assemble([
    Signal("Van.A"), Signal("Van.B"), Signal("Van.Door", type=SignalType.BOOL), Signal("Vehicle.Robovan.Drive.Mode"),
])  # fmt: skip
CONDITIONS = (
    "Van.A > 1 and not (Van.B <= -2.5e3 or Van.Door)", "max(abs(Van.A), 300 ms) > 4 or event('rate', Van.B)",
    "held(mode('MANUAL') and missing(Van.A, 1 s), 2 min)", "rising(mean(Van.A, 1 s) / min(Van.B, 20 ms) > 2)",
    "changed(Vehicle.Robovan.Drive.Mode) or falling(Van.Door == true)", "rate(\"Van.A\" * -1 + 2, 5 s) != 0",
)  # fmt: skip
TOML = """name = "door"
version = 3
signals = ["Van.*", { name = "Van.A", period_s_min = 0.1, deadband = 0.5 }]
condition = "Van.Door and Van.A > 1"
before_s = 10
after_s = 5.0
bytes_per_day_max = 1000000
end = 2030-01-01T00:00:00Z
"""


def campaigns() -> list[Decoder]:
    """The decoders of this file."""
    private, public = new_key()
    campaign = Campaign(
        "door", 3, (Collected("Van.*", 0.1),), CONDITIONS[0], 10.0, 5.0, 10**6, purpose="doors"
    )
    whole = CampaignSet("van-1", 7, (campaign,)).encode()
    keys = public_keys(public)
    return [
        Decoder("condition", [text.encode() for text in CONDITIONS], _evaluate, (CampaignError,)),
        Decoder("campaign-set", [whole], _check, (CampaignError,)),
        Decoder(
            "campaign-signed", [sign(whole, private)], lambda data: verified(data, keys), (CampaignError,)
        ),
        Decoder(
            "campaign-toml", [TOML.encode()], lambda d: campaign_of(d.decode("latin-1")), (CampaignError,)
        ),
    ]


def _check(data: bytes) -> None:
    for campaign in CampaignSet.decode(data).campaigns:
        campaign.check()


def _evaluate(data: bytes) -> None:
    """Compile, then run on a stream that has all that streams have: the text itself gives its values and its pauses."""
    program = compile_conditions([data.decode("latin-1")], CATALOG, TICK_NS)
    evaluator = Evaluator(program, len(CATALOG), [1.0], [0.0])
    raw = np.frombuffer(data[:64].ljust(64, b"\0"), np.uint8).astype(np.int64)
    value = np.where(raw == 0, np.nan, np.where(raw == 255, np.inf, raw - 64.0))
    slot = (raw % (len(CATALOG) + 1) - 1).astype(np.int32)
    t = 10**12 + np.cumsum(raw * 10**6)
    triggers = evaluator.step(slot, t, value, [Happened("rate", int(raw[0]), int(t[5]))], int(t[-1]) + 10**9)
    truth = evaluator.values()
    assert np.isnan(truth).all() or set(truth.tolist()) <= {0.0, 1.0}
    assert all(t[0] < trigger.t_mono_ns <= t[-1] + 10**9 for trigger in triggers)
