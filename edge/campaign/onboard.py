"""Campaigns and captures of one agent, put together: what its threads call. Wiring; decides nothing.

put: uplink thread. obey, fetched: pipeline thread. stays, kept, upkeep: spool thread. ask: any thread.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import structlog

from edge import audit
from edge.campaign.desk import CampaignDesk, keys_of
from edge.campaign.judge import Limits
from edge.campaign.store import CampaignStore
from edge.capture.clips import Clips
from edge.capture.disk_range import DiskRange
from edge.capture.recorder import RECENT_NS, ended
from edge.commands import Order
from edge.pipeline import Pipeline
from edge.queues import Outgoing
from edge.settings import EdgeSettings
from edge.spool import Spool
from vantel.captures import CaptureState
from vantel.catalog import Catalog
from vantel.commands import (
    Command,
    CommandResult,
    CommandStatus,
    Diagnostics,
    FetchCapture,
    FetchRange,
    HoldCapture,
)
from vantel.envelope import ClockStamp
from vantel.identity import DeliveryClass, PayloadKind
from vantel.telemetry.v1 import capture_pb2

REQUESTS_MAX = 16
SAVE_PERIOD_S = 1.0
DIAGNOSTICS_BYTES_MAX = 160 * 1024
UNMETERED_BYTES_AHEAD = 128 * 1024
"""Bodies that waited for an unmetered link are spooled so far ahead of it: what a link that turns metered may find there."""

_log = structlog.get_logger("captures")


class Fetch(NamedTuple):
    """A time range that is to be read from the disk. text: what the rings gave of it, for the result."""

    command: Command
    wanted: FetchRange
    text: str


class Onboard:
    """boot: what stream times belong to; "" for a replay with its own stamps. ValueError for keys that are none."""

    def __init__(
        self, settings: EdgeSettings, catalog: Catalog, boot: str, spool: Spool,
        catalog_by: Callable[[int], Catalog | None],
    ) -> None:  # fmt: skip
        """catalog_by: catalogs that this van has had, by hash."""
        self._settings, self._catalog, self._replayed = settings, catalog, not boot
        self._spool, self._catalog_by = spool, catalog_by
        self._store = CampaignStore(settings.van.state_dir, settings.van.id, boot)
        self.ledger = self._store.load()
        limits = Limits(settings.van.id, settings.ring.seconds, keys_of(settings.campaign.keys_file))
        self._desk = CampaignDesk(catalog, limits, self.ledger.in_force)
        folder = settings.van.state_dir / "captures"
        self.clips = Clips(folder, settings.capture, catalog, self._campaign)
        self._requests: deque[Command] = deque(maxlen=REQUESTS_MAX)
        self._heard: deque[Order] = deque(maxlen=4 * REQUESTS_MAX)
        self._pipeline: Pipeline | None = None
        self._fetches: deque[Fetch] = deque(maxlen=REQUESTS_MAX)
        self._fetching: tuple[Fetch, DiskRange] | None = None
        self._saved_s = float("-inf")
        self.put = self._desk.put
        self.stays, self.kept = self.clips.stays, self.clips.keep
        self.status: Callable[[], dict[str, Any]] = dict
        self.unmetered: Callable[[], bool] = lambda: False

    def attach(self, pipeline: Pipeline, now_ns: int) -> list[Outgoing]:
        """Before the threads start: what a restart interrupted goes on, or is told to be over."""
        self._pipeline = pipeline
        clips = self.clips.clips
        recorder = pipeline.campaigns.recorder
        recorder.finished = {
            clip.summary.capture_id: clip.summary.end_mono_ns
            for clip in clips
            if clip.summary.state is CaptureState.COMPLETE
        }
        if self._replayed:
            return []  # the replay goes through them again
        told, known = [], []
        for clip in clips:
            summary = clip.summary
            here = self._store.same_boot and summary.start_mono_ns <= now_ns
            if summary.state is CaptureState.OPEN and not (here and now_ns < summary.end_mono_ns):
                summary = ended(summary, clip.covered_ns)
                told.append(
                    Outgoing(
                        DeliveryClass.P0, PayloadKind.CAPTURE_SUMMARY, summary.encode(), self._catalog.hash
                    )
                )
            if here and now_ns < summary.end_mono_ns + RECENT_NS:
                gaps = tuple(gap for gap in summary.gaps if gap.reason != "stop")
                known.append((replace(summary, gaps=gaps), clip.covered_ns))
        return [*told, *pipeline.campaigns.resume(known, now_ns)]

    def obey(self) -> list[Outgoing]:
        """Campaigns that came since the last call take effect."""
        verdict = self._desk.take()
        return [] if verdict is None or self._pipeline is None else self._pipeline.campaigns.adopt(verdict)

    def fetched(self, command: Command) -> list[Outgoing]:
        """What the rings hold of a time range. What is older comes from the disk by upkeep, which then tells the result."""
        wanted = command.body
        if self._pipeline is None or not isinstance(wanted, FetchRange):
            return []
        found = self._pipeline.campaigns.fetch(wanted.start_unix_ns, wanted.end_unix_ns, wanted.signals)
        if found.disk_end_unix_ns > wanted.start_unix_ns:
            older = replace(wanted, end_unix_ns=found.disk_end_unix_ns)
            self._fetches.append(Fetch(command, older, found.text))
            return found.payloads
        return [*found.payloads, self._result(command, found.problem, found.text)]

    def counts(self) -> dict[str, int]:
        """For the status: captures on the disk, and those whose body waits for an unmetered link. Any thread."""
        summaries = [clip.summary for clip in self.clips.clips]
        return {
            "kept": len(summaries),
            "waiting_for_unmetered_link": sum(summary.body_waits for summary in summaries),
        }

    def heard(self, order: Order) -> None:
        """A command whose result is known: into the audit record."""
        self._heard.append(order)

    def ask(self, command: Command) -> None:
        """A command about captures or diagnostics; its result follows by upkeep."""
        self._requests.append(command)

    def upkeep(self, stamp: ClockStamp) -> Iterator[Outgoing]:
        """Files brought up to date, commands carried out: what goes into the spool. stamp: the clock of now."""
        now_s = time.monotonic()
        if now_s - self._saved_s >= SAVE_PERIOD_S:
            self._saved_s = now_s
            self._store.save(self.ledger)
            if self._pipeline is not None:
                self._pipeline.campaigns.waiting = self.clips.waiting
        while self._heard:
            told = self._heard.popleft()
            result = told.result
            audit.note(self._settings.van.state_dir, result.command_id, told.asked, result.status.name.lower(), result.detail)  # fmt: skip
        while self._requests:
            command = self._requests.popleft()
            yield from self._carried_out(command, stamp)
        yield from self._from_disk(stamp)
        yield from self.clips.given_up()
        if self.unmetered() and self._spool.backlog()[DeliveryClass.P2][1] < UNMETERED_BYTES_AHEAD:
            try:
                yield from self.clips.released(UNMETERED_BYTES_AHEAD, stamp)
            except OSError as cause:
                _log.error("body of a capture not read", cause=str(cause), effect="it is tried again")

    def _from_disk(self, stamp: ClockStamp) -> Iterator[Outgoing]:
        """A step of the fetch that is being read from the disk."""
        if self._fetching is None and self._fetches:
            fetch = self._fetches.popleft()
            wanted = fetch.wanted
            looks = self._spool.recorded(DeliveryClass.P1, wanted.start_unix_ns, wanted.end_unix_ns - 1)
            self._fetching = fetch, DiskRange(
                fetch.command.command_id, wanted, looks, self._catalog, self._catalog_by, self._spool.missing,
                self._settings.capture.fetch_bytes_max,
            )  # fmt: skip
        if self._fetching is None:
            return
        fetch, disk = self._fetching
        for item in disk.step(stamp):
            yield item
            self.clips.keep(item, stamp)
        if disk.done:
            self._fetching = None
            words = [disk.text, fetch.text]
            if self._settings.sampler.rules:
                words.insert(1, "thinned by the rules of the sampler")
            problem = "" if disk.samples or fetch.text else f"nothing of that time is there; {disk.text}"
            yield self._result(fetch.command, problem, "; ".join(filter(None, words)))

    def _carried_out(self, command: Command, stamp: ClockStamp) -> Iterator[Outgoing]:
        problem, detail = "", "done"
        body = command.body
        try:
            if isinstance(body, HoldCapture):
                problem = self.clips.hold(body.capture_id, body.duration_s, time.time())
                detail = f"held for {body.duration_s:.0f} s" if body.duration_s else "released"
            elif isinstance(body, FetchCapture):
                payloads = list(self.clips.again(body.capture_id, stamp))
                problem = "" if payloads else f"this van has no capture {body.capture_id}"
                detail = f"{len(payloads)} payloads sent again"
                yield from payloads
            elif isinstance(body, Diagnostics):
                text = self._diagnostics()
                payload = capture_pb2.DiagnosticsText(
                    command_id=command.command_id, text=text
                ).SerializeToString()
                yield Outgoing(DeliveryClass.P2, PayloadKind.DIAGNOSTICS, payload, 0)
                van, asked = self._settings.van.id, command.command_id
                detail = (
                    f"{len(payload)} bytes follow in P2; then: vantel-cloud diagnostics show {van} {asked}"
                )
        except OSError as cause:
            problem = f"the disk does not take it: {cause.strerror or cause}"
        yield self._result(command, problem, detail)

    def _result(self, command: Command, problem: str, detail: str) -> Outgoing:
        """The result of a command, which is in the audit record besides."""
        status = CommandStatus.REFUSED if problem else CommandStatus.DONE
        text = problem or detail
        audit.note(self._settings.van.state_dir, command.command_id, repr(command.body), status.name.lower(), text)  # fmt: skip
        result = CommandResult(command.command_id, status, text)
        return Outgoing(DeliveryClass.P0, PayloadKind.COMMAND_RESULT, result.encode(), 0)

    def _diagnostics(self) -> str:
        """Status, settings (they hold no secret: those are in files), captures and the audit record; the oldest captures
        and commands are left out where the text would become too long."""
        captures = [
            {"id": clip.summary.capture_id, "bytes": clip.bytes, "state": clip.summary.state.name.lower(),
             "body_waits": clip.summary.body_waits}
            for clip in self.clips.clips
        ]  # fmt: skip
        commands = audit.lines(self._settings.van.state_dir, 100)
        while True:
            tree = {"status": self.status(), "settings": self._settings.model_dump(mode="json"),
                    "captures": captures, "commands": commands}  # fmt: skip
            text = json.dumps(tree)
            if len(text) <= DIAGNOSTICS_BYTES_MAX or not (captures or commands):
                return text
            captures, commands = (
                captures[(len(captures) + 1) // 2 :],
                commands[(len(commands) + 1) // 2 :],
            )

    def _campaign(self, name: str) -> Any:
        return None if self._pipeline is None else self._pipeline.campaigns.campaigns.get(name)
