"""A campaign over recordings: what it would have triggered, sent and cost. The same code as on the van, without a van.

Recordings -> the source of a replay -> Pipeline with the campaigns, as fast as it goes. Bytes are those of the payloads
(sealing adds about 80 bytes each); CPU is that of conditions and captures, not of the rest of the agent.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from edge.campaign.judge import InForce, Limits, judge
from edge.campaign.run import Ledger
from edge.model import SampleBlock
from edge.pipeline import Pipeline
from edge.queues import Outgoing
from edge.settings import RecordingSection
from vantel.campaign.document import Campaign, CampaignSet
from vantel.campaign.signature import new_key, public_keys, sign
from vantel.captures import CampaignState, CaptureState, CaptureSummary
from vantel.identity import PayloadKind
from vantel_rig.offline import VAN, drive, replaying

DAY_S = 86_400.0


@dataclass(slots=True)
class BackTest:
    """What came of it. captures: finished ones; start_ns and end_ns of the recording, Unix; cpu_s of the campaigns."""

    captures: list[CaptureSummary] = field(default_factory=list)
    rejected: list[CampaignState] = field(default_factory=list)
    start_ns: int = 0
    end_ns: int = 0
    samples: int = 0
    bytes: int = 0
    cpu_s: float = 0.0

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return max(1e-9, (self.end_ns - self.start_ns) / 1e9)

    def of(self, campaign: str) -> list[CaptureSummary]:
        """Captures that a campaign triggered, alone or with others."""
        return [item for item in self.captures if any(t.campaign == campaign for t in item.triggers)]

    def as_dict(self, campaigns: Sequence[Campaign]) -> dict[str, Any]:
        """For programs; a day is the recording's length made one day long."""
        days = DAY_S / self.seconds
        return {
            "seconds": round(self.seconds, 3),
            "bytes": self.bytes,
            "bytes_a_day": round(self.bytes * days),
            "cpu_s_a_day": round(self.cpu_s * days, 1),
            "cpu_share": self.cpu_s / self.seconds,
            "rejected": [
                {"campaign": s.name, "reason": s.reason, "detail": s.detail, "position": s.position} for s in self.rejected
            ],
            "campaigns": {
                campaign.name: {
                    "captures": len(self.of(campaign.name)),
                    "captures_a_day": round(len(self.of(campaign.name)) * days, 1),
                    "bytes": sum(item.body_bytes for item in self.of(campaign.name)),
                    "within_budget": sum(i.body_bytes for i in self.of(campaign.name)) * days <= campaign.bytes_per_day_max,
                }
                for campaign in campaigns
            },
            "captures": [
                {
                    "id": item.capture_id,
                    "at_s": (item.triggers[0].t_mono_ns - self.start_ns) / 1e9,
                    "campaigns": sorted({trigger.campaign for trigger in item.triggers}),
                    "seconds": (item.end_mono_ns - item.start_mono_ns) / 1e9,
                    "samples": item.samples,
                    "bytes": item.body_bytes,
                    "state": item.state.name.lower(),
                }
                for item in self.captures
            ],
        }  # fmt: skip


def back_test(recordings: Sequence[RecordingSection], campaigns: Sequence[Campaign]) -> BackTest:
    """Run campaigns over recordings. RecordingError, a ValueError, for files that are none."""
    with replaying(recordings) as (source, catalog, rows, texts, settings):
        private, public = new_key()
        limits = Limits(VAN, settings.ring.seconds, public_keys(public))
        signed = sign(CampaignSet(VAN, 1, tuple(campaigns)).encode(), private)
        force = judge(signed, InForce(), catalog, limits) or InForce()
        if force.refused[1]:
            raise ValueError(f"{force.refused[1]}: {force.refused[2]}")
        done = BackTest(rejected=list(force.rejected))
        pipeline = Pipeline(catalog, settings, texts, 0, 0, Ledger(force))
        step = pipeline.campaigns.step

        def timed(block: SampleBlock, events: Sequence[object]) -> list[Outgoing]:
            started = time.thread_time()
            out = step(block, events)  # type: ignore[arg-type]
            done.cpu_s += time.thread_time() - started
            return out

        pipeline.campaigns.step = timed  # type: ignore[method-assign, assignment]

        def note(block: SampleBlock) -> None:
            done.start_ns = done.start_ns or int(block.t_mono_ns[0])
            done.end_ns, done.samples = int(block.t_mono_ns[-1]), done.samples + len(block)

        drive(source, rows, pipeline, note, lambda out: _take(done, out))
        return done


def _take(done: BackTest, out: Sequence[object]) -> None:
    for item in out:
        if isinstance(item, Outgoing) and item.kind is PayloadKind.CAPTURE_PART:
            done.bytes += len(item.payload)
        elif isinstance(item, Outgoing) and item.kind is PayloadKind.CAPTURE_SUMMARY:
            summary = CaptureSummary.decode(item.payload)
            done.bytes += len(item.payload)
            if summary.state is not CaptureState.OPEN:
                done.captures.append(summary)


def plot(done: BackTest, campaigns: Sequence[Campaign]) -> str:
    """An SVG: a row for each campaign, a bar for each window, a mark for each trigger."""
    width, row, left = 960, 28, 220
    scale = (width - left - 20) / done.seconds
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{row * (len(campaigns) + 2)}" '
        'font-family="sans-serif" font-size="12">'
    ]
    for at, campaign in enumerate(campaigns):
        y = row * (at + 1)
        parts.append(f'<text x="8" y="{y}">{campaign.name}</text>')
        parts.append(f'<line x1="{left}" x2="{width - 20}" y1="{y - 4}" y2="{y - 4}" stroke="#bbb"/>')
        for item in done.of(campaign.name):
            x, length = (
                (item.start_mono_ns - done.start_ns) / 1e9,
                (item.end_mono_ns - item.start_mono_ns) / 1e9,
            )
            parts.append(
                f'<rect x="{left + x * scale:.1f}" y="{y - 12}" width="{max(1.0, length * scale):.1f}" height="16" '
                f'fill="#3b7dd8" fill-opacity="0.4"><title>{item.capture_id}: {item.body_bytes} bytes</title></rect>'
            )
            for trigger in item.triggers:
                if trigger.campaign == campaign.name:
                    mark = left + (trigger.t_mono_ns - done.start_ns) / 1e9 * scale
                    parts.append(
                        f'<line x1="{mark:.1f}" x2="{mark:.1f}" y1="{y - 14}" y2="{y + 6}" stroke="#c22"/>'
                    )
    parts.append(f'<text x="{left}" y="{row * (len(campaigns) + 1)}">0 to {done.seconds:.0f} s</text></svg>')
    return "\n".join(parts)
