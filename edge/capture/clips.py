"""All captures on the van's disk: kept beside the spool, listed, held, sent again, and evicted oldest first. Rim.

Used by the spool thread; bounded in bytes and files. A held clip is not evicted until its hold ends; holds are bounded
in count and time. When held clips alone fill the bound, a new capture is not kept here (it still goes up) and that is
told. Nothing here touches the spool.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from edge.capture import clip_file
from edge.capture.clip_file import ClipRecord
from edge.queues import Outgoing
from edge.settings import CaptureSection
from vantel.campaign.document import Campaign
from vantel.captures import CapturePart, CaptureState, CaptureSummary
from vantel.identity import DeliveryClass, PayloadKind

HOLDS_FILE = "holds.json"
KINDS = (PayloadKind.CAPTURE_SUMMARY, PayloadKind.CAPTURE_PART)
_log = structlog.get_logger("captures")


@dataclass(slots=True)
class Clip:
    """One file."""

    path: Path
    summary: CaptureSummary
    bytes: int


class Clips:
    """The folder of the clips. campaign_of: the campaign of a name, for its hold and its document."""

    def __init__(
        self,
        folder: Path,
        settings: CaptureSection,
        catalog: bytes,
        campaign_of: Callable[[str], Campaign | None],
    ) -> None:
        self._folder, self._settings, self._catalog, self._campaign_of = (
            folder,
            settings,
            catalog,
            campaign_of,
        )
        self._clips: dict[str, Clip] = {}
        self._problem = ""
        paths = (
            sorted(folder.glob("*.clip"), key=lambda path: path.stat().st_mtime) if folder.exists() else []
        )
        for path in paths:
            summary = clip_file.summary_of(path)
            if summary is None:
                path.unlink(missing_ok=True)
                continue
            self._clips[path.stem] = Clip(path, summary, path.stat().st_size)

    @property
    def clips(self) -> list[Clip]:
        """Oldest first."""
        return list(self._clips.values())

    def keep(self, item: Outgoing, offset_ns: int = 0) -> None:
        """A summary or piece on its way into the spool; other payloads are no concern. offset_ns: to Unix time."""
        if item.kind not in KINDS:
            return
        record = ClipRecord(int(item.kind), item.payload)
        try:
            if item.kind is PayloadKind.CAPTURE_SUMMARY:
                self._summary(CaptureSummary.decode(item.payload), record, offset_ns)
            else:
                clip = self._clips.get(CapturePart.decode(item.payload).capture_id)
                if clip is not None:
                    clip.bytes = clip_file.append(clip.path, [record], new=False)
            self._problem = ""
        except OSError as cause:
            if str(cause) != self._problem:
                self._problem = str(cause)
                _log.error("capture not kept on the van", cause=str(cause), effect="it goes up all the same")

    def hold(self, capture_id: str, duration_s: float, now_unix_s: float) -> str:
        """Keep a clip for so long, 0 releases it; "" or why not."""
        if capture_id not in self._clips:
            return f"this van has no capture {capture_id}"
        return hold_clip(self._folder, capture_id, duration_s, now_unix_s, self._settings)

    def again(self, capture_id: str, catalog_hash: int) -> Iterator[Outgoing]:
        """All payloads of a clip for the spool: the same bytes, so that nothing is counted twice as a point."""
        clip = self._clips.get(capture_id)
        for kind, payload in clip_file.read(clip.path) if clip is not None else ():
            if kind == PayloadKind.CAPTURE_PART:
                yield Outgoing(DeliveryClass.P2, PayloadKind.CAPTURE_PART, payload, catalog_hash)
        if clip is not None:
            yield Outgoing(DeliveryClass.P0, PayloadKind.CAPTURE_SUMMARY, clip.summary.encode(), catalog_hash)

    def _summary(self, summary: CaptureSummary, record: ClipRecord, offset_ns: int) -> None:
        clip = self._clips.get(summary.capture_id)
        if clip is not None and summary.state is not CaptureState.OPEN:
            clip.summary, clip.bytes = summary, clip_file.append(clip.path, [record], new=False)
            return
        self._evict()
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{summary.capture_id}.clip"
        campaigns = [
            found for name in {t.campaign: 1 for t in summary.triggers} if (found := self._campaign_of(name))
        ]
        heads = [
            ClipRecord(clip_file.CATALOG, self._catalog),
            ClipRecord(clip_file.CLOCK, struct.pack("<q", offset_ns)),
        ]
        heads += [
            ClipRecord(clip_file.CAMPAIGN, campaign.to_pb().SerializeToString()) for campaign in campaigns
        ]
        size = clip_file.append(path, [*heads, record], new=True)
        self._clips[summary.capture_id] = Clip(path, summary, size)
        hold_s = max((campaign.hold_s for campaign in campaigns), default=0.0)
        if hold_s and (problem := self.hold(summary.capture_id, hold_s, time.time())):
            _log.warning("capture not held", id=summary.capture_id, cause=problem)

    def _evict(self) -> None:
        """Make room for a new clip."""
        now, holds = time.time(), read_holds(self._folder)
        for capture_id, clip in list(self._clips.items()):
            total = sum(item.bytes for item in self._clips.values())
            if total < self._settings.bytes_max and len(self._clips) < self._settings.clips_max:
                return
            if holds.get(capture_id, 0.0) <= now and clip.summary.state is not CaptureState.OPEN:
                clip.path.unlink(missing_ok=True)
                del self._clips[capture_id]
        total = sum(item.bytes for item in self._clips.values())
        if total >= self._settings.bytes_max or len(self._clips) >= self._settings.clips_max:
            raise OSError(
                f"held captures fill the {self._settings.bytes_max} bytes of capture.bytes_max; release some"
            )


def read_holds(folder: Path) -> dict[str, float]:
    """Unix seconds until which clips are held, by id; empty when nobody ever held one."""
    try:
        tree = json.loads((folder / HOLDS_FILE).read_text(encoding="utf-8"))
        return {str(key): float(value) for key, value in tree.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def hold_clip(
    folder: Path, capture_id: str, duration_s: float, now_unix_s: float, bounds: CaptureSection
) -> str:
    """Hold a clip for so long, 0 releases it; "" or why not. The file is the truth, for the agent and the command."""
    holds = {
        key: until for key, until in read_holds(folder).items() if until > now_unix_s and key != capture_id
    }
    if duration_s and len(holds) >= bounds.holds_max:
        return f"{len(holds)} captures are held, at most {bounds.holds_max}; release one first"
    if duration_s:
        holds[capture_id] = now_unix_s + min(duration_s, bounds.hold_days_max * 86_400.0)
    temporary = folder / f"{HOLDS_FILE}.tmp"
    temporary.write_text(json.dumps(holds), encoding="utf-8")
    temporary.replace(folder / HOLDS_FILE)
    return ""
