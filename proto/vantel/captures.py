"""Captures and the state of campaigns as they travel up: plain values <-> payload bytes.

Decoding raises EnvelopeError("malformed"). Times in monotonic ns unless a name says otherwise.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from vantel.envelope import EnvelopeError
from vantel.payloads import Batch, parse
from vantel.telemetry.v1 import capture_pb2, payload_pb2

CAPTURE_ID_CHARS = 16
TRIGGERS_MAX = 64
"""Triggers that a capture names; what merges later only makes it longer."""
GAPS_MAX = 256
"""Gaps that a summary names, the first ones."""


class CaptureState(enum.IntEnum):
    """Whether more of a capture will come."""

    OPEN = capture_pb2.CAPTURE_STATE_OPEN
    COMPLETE = capture_pb2.CAPTURE_STATE_COMPLETE
    INTERRUPTED = capture_pb2.CAPTURE_STATE_INTERRUPTED


class CampaignStatus(enum.IntEnum):
    """How a campaign stands on a van."""

    ACTIVE = capture_pb2.CAMPAIGN_STATUS_ACTIVE
    REJECTED = capture_pb2.CAMPAIGN_STATUS_REJECTED
    EXPIRED = capture_pb2.CAMPAIGN_STATUS_EXPIRED
    OVER_BUDGET = capture_pb2.CAMPAIGN_STATUS_OVER_BUDGET
    WAITING = capture_pb2.CAMPAIGN_STATUS_WAITING
    SILENT = capture_pb2.CAMPAIGN_STATUS_SILENT


@dataclass(frozen=True, slots=True)
class CaptureTrigger:
    """campaign "": asked for by a command."""

    campaign: str
    version: int
    t_mono_ns: int


@dataclass(frozen=True, slots=True)
class CaptureGap:
    """A stretch of the window, end exclusive, of which the body lacks samples. reason: one word, docs/campaigns.md."""

    start_mono_ns: int
    end_mono_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class CaptureSummary:
    """What a capture is; sent when it opens and when it ends. The window ends before end_mono_ns.

    body_waits: the body stays on the van until its link is unmetered, or until somebody fetches it.
    """

    capture_id: str
    state: CaptureState
    triggers: tuple[CaptureTrigger, ...]
    start_mono_ns: int
    end_mono_ns: int
    signal_ids: tuple[int, ...]
    parts: int = 0
    samples: int = 0
    body_bytes: int = 0
    gaps: tuple[CaptureGap, ...] = ()
    body_waits: bool = False

    def encode(self) -> bytes:
        """Payload bytes."""
        pb = capture_pb2.CaptureSummary(
            capture_id=self.capture_id, state=int(self.state), start_mono_ns=self.start_mono_ns,  # type: ignore[arg-type]
            end_mono_ns=self.end_mono_ns, parts=self.parts, samples=self.samples, bytes=self.body_bytes,
            signal_ids=self.signal_ids, body_waits=self.body_waits,
        )  # fmt: skip
        for item in self.triggers:
            pb.triggers.add(campaign=item.campaign, version=item.version, t_mono_ns=item.t_mono_ns)
        for gap in self.gaps[:GAPS_MAX]:
            pb.gaps.add(start_mono_ns=gap.start_mono_ns, end_mono_ns=gap.end_mono_ns, reason=gap.reason)
        return pb.SerializeToString()

    @classmethod
    def decode(cls, data: bytes) -> CaptureSummary:
        """Inverse of encode. An unknown state is taken as OPEN."""
        pb = parse(capture_pb2.CaptureSummary, data)
        state = CaptureState(pb.state) if int(pb.state) in set(CaptureState) else CaptureState.OPEN
        triggers = tuple(CaptureTrigger(item.campaign, item.version, item.t_mono_ns) for item in pb.triggers)
        gaps = tuple(CaptureGap(gap.start_mono_ns, gap.end_mono_ns, gap.reason) for gap in pb.gaps)
        return cls(
            _checked(pb.capture_id), state, triggers, pb.start_mono_ns, pb.end_mono_ns, tuple(pb.signal_ids),
            pb.parts, pb.samples, pb.bytes, gaps, pb.body_waits,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class CapturePart:
    """A piece of the body. last_values: of slow and static signals before the window, each at its own time."""

    capture_id: str
    part: int
    batch: Batch
    last_values: bool = False

    def encode(self) -> bytes:
        """Payload bytes."""
        pb = capture_pb2.CapturePart(capture_id=self.capture_id, part=self.part, last_values=self.last_values)
        pb.batch.CopyFrom(payload_pb2.Batch.FromString(self.batch.encode()))
        return pb.SerializeToString()

    @classmethod
    def decode(cls, data: bytes) -> CapturePart:
        """Inverse of encode."""
        pb = parse(capture_pb2.CapturePart, data)
        batch = Batch.decode(pb.batch.SerializeToString())
        return cls(_checked(pb.capture_id), pb.part, batch, pb.last_values)


@dataclass(frozen=True, slots=True)
class CampaignState:
    """One campaign on a van. position: place in its condition, -1 for none. bodies_waiting: captures whose body waits
    on the van for an unmetered link."""

    name: str
    version: int
    status: CampaignStatus
    reason: str = ""
    detail: str = ""
    position: int = -1
    captures: int = 0
    bytes_today: int = 0
    first_data_unix_ns: int = 0
    bodies_waiting: int = 0


@dataclass(frozen=True, slots=True)
class CampaignReport:
    """All campaigns of a van. refused_*: a set that was refused as a whole; the one before it stays."""

    generation: int
    set_hash: str
    campaigns: tuple[CampaignState, ...]
    refused_generation: int = 0
    refused_reason: str = ""
    refused_detail: str = ""

    def encode(self) -> bytes:
        """Payload bytes."""
        pb = capture_pb2.CampaignReport(
            generation=self.generation, set_hash=self.set_hash, refused_generation=self.refused_generation,
            refused_reason=self.refused_reason, refused_detail=self.refused_detail,
        )  # fmt: skip
        for item in self.campaigns:
            pb.campaigns.add(
                name=item.name, version=item.version, status=int(item.status), reason=item.reason,
                detail=item.detail, position=item.position, captures=item.captures, bytes_today=item.bytes_today,
                first_data_unix_ns=item.first_data_unix_ns, bodies_waiting=item.bodies_waiting,
            )  # fmt: skip
        return pb.SerializeToString()

    @classmethod
    def decode(cls, data: bytes) -> CampaignReport:
        """Inverse of encode. An unknown status is taken as REJECTED."""
        pb = parse(capture_pb2.CampaignReport, data)
        known = set(CampaignStatus)
        campaigns = tuple(
            CampaignState(
                item.name, item.version,
                CampaignStatus(item.status) if int(item.status) in known else CampaignStatus.REJECTED,
                item.reason, item.detail, item.position, item.captures, item.bytes_today, item.first_data_unix_ns,
                item.bodies_waiting,
            )
            for item in pb.campaigns
        )  # fmt: skip
        return cls(
            pb.generation, pb.set_hash, campaigns, pb.refused_generation, pb.refused_reason, pb.refused_detail
        )


def _checked(capture_id: str) -> str:
    if len(capture_id) != CAPTURE_ID_CHARS or not set(capture_id) <= set("0123456789abcdef"):
        raise EnvelopeError("malformed", f"{capture_id[:40]!r} is no capture id")
    return capture_id
