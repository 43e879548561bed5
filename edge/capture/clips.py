"""All captures on the van's disk: kept beside the spool, listed, held, sent again, and evicted oldest first. Rim.

Used by the spool thread; bounded in bytes and files. A held clip is not evicted until its hold ends; holds are bounded
in count and time. When held clips alone fill the bound, a new capture is not kept here (it still goes up) and that is
told. The body of a capture whose campaigns want an unmetered link stays here alone until there is one, or until it is
fetched; it is evicted after all others, and that is told. Nothing here touches the spool.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from edge.capture import clip_file
from edge.capture.clip_file import ClipRecord
from edge.capture.rebase import distance_ns, moved_part, moved_summary
from edge.queues import Outgoing
from edge.settings import CaptureSection
from vantel.campaign.document import Campaign
from vantel.captures import CaptureGap, CapturePart, CaptureState, CaptureSummary
from vantel.catalog import Catalog
from vantel.envelope import ClockStamp
from vantel.identity import DeliveryClass, PayloadKind

HOLDS_FILE = "holds.json"
KINDS = (PayloadKind.CAPTURE_SUMMARY, PayloadKind.CAPTURE_PART)
_log = structlog.get_logger("captures")


@dataclass(slots=True)
class Clip:
    """One file. covered_ns: up to where the body is there. sent: pieces of a body that waited and are in the spool."""

    path: Path
    summary: CaptureSummary
    bytes: int
    clock: ClockStamp | None = None
    covered_ns: int = 0
    sent: int = 0

    @property
    def start_unix_ns(self) -> int:
        """By the clock of its last record. Its age: the time of the file is that of the last word on it."""
        return self.summary.start_mono_ns + (self.clock.offset_ns if self.clock else 0)


class Clips:
    """The folder of the clips. campaign_of: the campaign of a name, for its hold and its document."""

    def __init__(
        self,
        folder: Path,
        settings: CaptureSection,
        catalog: Catalog,
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
        self._reading: tuple[str, Iterator[tuple[int, Outgoing]]] | None = None
        self._given_up: list[Outgoing] = []
        clips = []
        for path in folder.glob("*.clip") if folder.exists() else ():
            found = clip_file.state_of(path)
            if found is None:
                path.unlink(missing_ok=True)
                continue
            if found.bytes < path.stat().st_size:  # what is appended behind a torn end could never be read
                os.truncate(path, found.bytes)
            clips.append(Clip(path, found.summary, found.bytes, found.clock, found.covered_ns, found.sent))
        for clip in sorted(clips, key=lambda clip: clip.start_unix_ns):
            self._clips[clip.path.stem] = clip

    @property
    def clips(self) -> list[Clip]:
        """Oldest first."""
        return list(self._clips.values())

    @property
    def waiting(self) -> dict[str, int]:
        """Captures whose body waits for an unmetered link, by campaign."""
        names = [name for clip in self.clips if clip.summary.body_waits for name in _campaigns(clip.summary)]
        return {name: names.count(name) for name in names}

    def stays(self, item: Outgoing, stamp: ClockStamp) -> bool:
        """Keep a piece whose body waits for an unmetered link: True when it is here, and must not go into the spool.

        stamp: the clock by which its times count.
        """
        if item.kind is not PayloadKind.CAPTURE_PART:
            return False
        clip = self._clips.get(CapturePart.decode(item.payload).capture_id)
        return clip is not None and clip.summary.body_waits and self.keep(item, stamp)

    def keep(self, item: Outgoing, stamp: ClockStamp) -> bool:
        """A summary or piece of a capture; other payloads are no concern. False, and told, when the disk takes it not."""
        if item.kind not in KINDS:
            return False
        record = ClipRecord(int(item.kind), item.payload)
        try:
            if item.kind is PayloadKind.CAPTURE_SUMMARY:
                self._summary(CaptureSummary.decode(item.payload), record, stamp)
            else:
                clip = self._clips.get(CapturePart.decode(item.payload).capture_id)
                if clip is not None:
                    self._append(clip, [record], stamp)
            self._problem = ""
        except OSError as cause:
            if str(cause) != self._problem:
                self._problem = str(cause)
                _log.error("capture not kept on the van", cause=str(cause), effect="it goes up all the same")
            return False
        return True

    def hold(self, capture_id: str, duration_s: float, now_unix_s: float) -> str:
        """Keep a clip for so long, 0 releases it; "" or why not."""
        if capture_id not in self._clips:
            return f"this van has no capture {capture_id}"
        return hold_clip(self._folder, capture_id, duration_s, now_unix_s, self._settings)

    def again(self, capture_id: str, now: ClockStamp) -> Iterator[Outgoing]:
        """All payloads of a clip for the spool, at the Unix times that they had, so that no point is written beside itself."""
        clip = self._clips.get(capture_id)
        if clip is None:
            return
        for _, payload in self._bodies(clip, now):
            yield payload
        if clip.summary.body_waits and clip.summary.state is not CaptureState.OPEN:
            self._wait_no_more(clip)
        yield self._summary_again(clip, now)

    def given_up(self) -> Iterator[Outgoing]:
        """Summaries of captures that were evicted before their bodies were sent; each once."""
        while self._given_up:
            yield self._given_up.pop(0)

    def released(self, bytes_max: int, now: ClockStamp) -> Iterator[Outgoing]:
        """The link is unmetered: the next pieces, about so many bytes, of the oldest body that waits and is finished."""
        due = (
            item
            for item in self._clips.items()
            if item[1].summary.body_waits and item[1].summary.state is not CaptureState.OPEN
        )
        capture_id, clip = next(due, ("", None))
        if clip is None:
            return
        if self._reading is None or self._reading[0] != capture_id:
            self._reading = capture_id, self._bodies(clip, now)
        size = 0
        for at, payload in self._reading[1]:
            if at < clip.sent:
                continue
            yield payload
            clip.sent, size = at + 1, size + len(payload.payload)
            if size >= bytes_max:
                self._append(clip, [clip_file.sent(clip.sent)], None)
                return
        self._reading = None
        self._wait_no_more(clip)
        yield self._summary_again(clip, now)

    def _bodies(self, clip: Clip, now: ClockStamp) -> Iterator[tuple[int, Outgoing]]:
        """Pieces of a clip and their places, by the clock of now and under the catalog of the clip."""
        stamp, catalog_hash, at = None, self._catalog.hash, 0
        for kind, payload in clip_file.read(clip.path):
            if kind == clip_file.CATALOG:
                catalog_hash = Catalog.decode(payload).hash
            elif kind == clip_file.CLOCK:
                stamp = clip_file.clock_of(payload)
            elif kind == PayloadKind.CAPTURE_PART:
                by_ns = distance_ns(stamp, now)
                data = moved_part(CapturePart.decode(payload), by_ns).encode() if by_ns else payload
                yield at, Outgoing(DeliveryClass.P2, PayloadKind.CAPTURE_PART, data, catalog_hash)
                at += 1

    def _summary_again(self, clip: Clip, now: ClockStamp) -> Outgoing:
        summary = moved_summary(clip.summary, distance_ns(clip.clock, now))
        heads = (payload for kind, payload in clip_file.read(clip.path) if kind == clip_file.CATALOG)
        catalog = next(heads, None)
        catalog_hash = self._catalog.hash if catalog is None else Catalog.decode(catalog).hash
        return Outgoing(DeliveryClass.P0, PayloadKind.CAPTURE_SUMMARY, summary.encode(), catalog_hash)

    def _wait_no_more(self, clip: Clip) -> None:
        clip.summary = replace(clip.summary, body_waits=False)
        self._append(clip, [ClipRecord(int(PayloadKind.CAPTURE_SUMMARY), clip.summary.encode())], None)

    def _append(self, clip: Clip, records: list[ClipRecord], stamp: ClockStamp | None) -> None:
        """stamp None: as before."""
        if stamp is not None and (clean := replace(stamp, error_ns_max=0)) != clip.clock:
            records = [clip_file.clock(clean), *records]
            clip.clock = clean
        clip.bytes = clip_file.append(clip.path, records, new=False)

    def _summary(self, summary: CaptureSummary, record: ClipRecord, stamp: ClockStamp) -> None:
        clip = self._clips.get(summary.capture_id)
        known = {}
        if clip is not None and (summary.parts or summary.state is not CaptureState.OPEN):
            known = _campaigns(clip.summary)
        else:
            self._evict(stamp)
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{summary.capture_id}.clip"
            size = clip_file.append(path, [ClipRecord(clip_file.CATALOG, self._catalog.encode())], new=True)
            clip = self._clips[summary.capture_id] = Clip(path, summary, size)
        campaigns = [
            found
            for name in _campaigns(summary)
            if name not in known and (found := self._campaign_of(name)) is not None
        ]
        documents = [
            ClipRecord(clip_file.CAMPAIGN, campaign.to_pb().SerializeToString()) for campaign in campaigns
        ]
        clip.summary = summary
        self._append(clip, [*documents, record], stamp)
        hold_s = max((campaign.hold_s for campaign in campaigns), default=0.0)
        if hold_s and (problem := self.hold(summary.capture_id, hold_s, time.time())):
            _log.warning("capture not held", id=summary.capture_id, cause=problem)

    def _evict(self, stamp: ClockStamp) -> None:
        """Make room for a new clip: the oldest first, and those whose body is nowhere else last."""
        now, holds = time.time(), read_holds(self._folder)
        for waits in (False, True):
            for capture_id, clip in list(self._clips.items()):
                if not self._full():
                    return
                kept = holds.get(capture_id, 0.0) > now or clip.summary.state is CaptureState.OPEN
                if not kept and clip.summary.body_waits is waits:
                    if waits:
                        clip.summary = _given_up(clip.summary)
                        self._given_up.append(self._summary_again(clip, stamp))
                    clip.path.unlink(missing_ok=True)
                    del self._clips[capture_id]
        if self._full():
            raise OSError(
                f"held captures fill the {self._settings.bytes_max} bytes of capture.bytes_max; release some"
            )

    def _full(self) -> bool:
        total = sum(item.bytes for item in self._clips.values())
        return total >= self._settings.bytes_max or len(self._clips) >= self._settings.clips_max


def _campaigns(summary: CaptureSummary) -> dict[str, None]:
    """Names of its campaigns, each once, in order."""
    return {trigger.campaign: None for trigger in summary.triggers}


def _given_up(summary: CaptureSummary) -> CaptureSummary:
    """A capture whose body was evicted before it was sent."""
    gap = CaptureGap(summary.start_mono_ns, summary.end_mono_ns, "evicted")
    return replace(summary, state=CaptureState.INTERRUPTED, gaps=(gap,), body_waits=False)


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
