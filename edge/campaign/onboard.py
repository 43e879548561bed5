"""Campaigns and captures of one agent, put together: what its threads call. Wiring; decides nothing.

put: uplink thread. obey, resume: pipeline thread. kept, upkeep: spool thread. ask: any thread.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from edge import audit
from edge.campaign.desk import CampaignDesk, keys_of
from edge.campaign.judge import Limits
from edge.campaign.store import CampaignStore
from edge.capture.clips import Clips
from edge.capture.recorder import ended
from edge.commands import Order
from edge.pipeline import Pipeline
from edge.queues import Outgoing
from edge.settings import EdgeSettings
from vantel.captures import CaptureState
from vantel.catalog import Catalog
from vantel.commands import Command, CommandResult, CommandStatus, Diagnostics, FetchCapture, HoldCapture
from vantel.identity import DeliveryClass, PayloadKind
from vantel.telemetry.v1 import capture_pb2

REQUESTS_MAX = 16
SAVE_PERIOD_S = 1.0
DIAGNOSTICS_BYTES_MAX = 160 * 1024


class Onboard:
    """boot: what stream times belong to; "" for a replay with its own stamps. ValueError for keys that are none."""

    def __init__(self, settings: EdgeSettings, catalog: Catalog, boot: str) -> None:
        self._settings, self._catalog, self._replayed = settings, catalog, not boot
        self._store = CampaignStore(settings.van.state_dir, settings.van.id, boot)
        self.ledger = self._store.load()
        limits = Limits(settings.van.id, settings.ring.seconds, keys_of(settings.campaign.keys_file))
        self._desk = CampaignDesk(catalog, limits, self.ledger.in_force)
        folder = settings.van.state_dir / "captures"
        self.clips = Clips(folder, settings.capture, catalog.encode(), self._campaign)
        self._requests: deque[Command] = deque(maxlen=REQUESTS_MAX)
        self._heard: deque[Order] = deque(maxlen=4 * REQUESTS_MAX)
        self._pipeline: Pipeline | None = None
        self._saved_s = float("-inf")
        self.put = self._desk.put
        self.kept = self.clips.keep
        self.status: Callable[[], dict[str, Any]] = dict

    def attach(self, pipeline: Pipeline, now_ns: int) -> list[Outgoing]:
        """Before the threads start: what a restart interrupted goes on, or is told to be over."""
        self._pipeline = pipeline
        summaries = [clip.summary for clip in self.clips.clips]
        pipeline.campaigns.recorder.finished = {
            summary.capture_id for summary in summaries if summary.state is CaptureState.COMPLETE
        }
        if self._replayed:
            return []  # the replay goes through them again
        unfinished = [summary for summary in summaries if summary.state is CaptureState.OPEN]
        going_on = [
            summary
            for summary in unfinished
            if self._store.same_boot and summary.start_mono_ns <= now_ns < summary.end_mono_ns
        ]
        over = [ended(summary) for summary in unfinished if summary not in going_on]
        told = [
            Outgoing(DeliveryClass.P0, PayloadKind.CAPTURE_SUMMARY, summary.encode(), self._catalog.hash)
            for summary in over
        ]
        return [*told, *pipeline.campaigns.resume(going_on, now_ns)]

    def obey(self) -> list[Outgoing]:
        """Campaigns that came since the last call take effect."""
        verdict = self._desk.take()
        return [] if verdict is None or self._pipeline is None else self._pipeline.campaigns.adopt(verdict)

    def fetched(self, order: Order) -> list[Outgoing]:
        """A range out of the rings, and the result of the command that asked for it."""
        if self._pipeline is None or order.fetch is None:
            return []
        wanted = order.fetch
        problem, out = self._pipeline.campaigns.fetch(
            wanted.start_unix_ns, wanted.end_unix_ns, wanted.signals
        )
        if problem:
            result = CommandResult(order.result.command_id, CommandStatus.REFUSED, problem)
            return [Outgoing(DeliveryClass.P0, PayloadKind.COMMAND_RESULT, result.encode(), 0)]
        return [order.outgoing, *out]

    def heard(self, order: Order) -> None:
        """A command whose result is known: into the audit record."""
        self._heard.append(order)

    def ask(self, command: Command) -> None:
        """A command about captures or diagnostics; its result follows by upkeep."""
        self._requests.append(command)

    def upkeep(self) -> Iterator[Outgoing]:
        """Files brought up to date, commands carried out: what goes into the spool."""
        now_s = time.monotonic()
        if now_s - self._saved_s >= SAVE_PERIOD_S:
            self._saved_s = now_s
            self._store.save(self.ledger)
        while self._heard:
            told = self._heard.popleft()
            result = told.result
            audit.note(self._settings.van.state_dir, result.command_id, told.asked, result.status.name.lower(), result.detail)  # fmt: skip
        while self._requests:
            command = self._requests.popleft()
            yield from self._carried_out(command)

    def _carried_out(self, command: Command) -> Iterator[Outgoing]:
        problem, detail = "", "done"
        body = command.body
        try:
            if isinstance(body, HoldCapture):
                problem = self.clips.hold(body.capture_id, body.duration_s, time.time())
                detail = f"held for {body.duration_s:.0f} s" if body.duration_s else "released"
            elif isinstance(body, FetchCapture):
                payloads = list(self.clips.again(body.capture_id, self._catalog.hash))
                problem = "" if payloads else f"this van has no capture {body.capture_id}"
                detail = f"{len(payloads)} payloads sent again"
                yield from payloads
            elif isinstance(body, Diagnostics):
                text = self._diagnostics()
                payload = capture_pb2.DiagnosticsText(
                    command_id=command.command_id, text=text
                ).SerializeToString()
                yield Outgoing(DeliveryClass.P2, PayloadKind.DIAGNOSTICS, payload, 0)
                detail = f"{len(payload)} bytes"
        except OSError as cause:
            problem = f"the disk does not take it: {cause.strerror or cause}"
        status = CommandStatus.REFUSED if problem else CommandStatus.DONE
        audit.note(
            self._settings.van.state_dir,
            command.command_id,
            repr(body),
            status.name.lower(),
            problem or detail,
        )
        result = CommandResult(command.command_id, status, problem or detail)
        yield Outgoing(DeliveryClass.P0, PayloadKind.COMMAND_RESULT, result.encode(), 0)

    def _diagnostics(self) -> str:
        """Status, settings (they hold no secret: those are in files), captures and the audit record."""
        tree = {
            "status": self.status(),
            "settings": self._settings.model_dump(mode="json"),
            "captures": [
                {"id": clip.summary.capture_id, "bytes": clip.bytes, "state": clip.summary.state.name.lower()}
                for clip in self.clips.clips
            ],
            "commands": audit.lines(self._settings.van.state_dir, 100),
        }
        return json.dumps(tree)[:DIAGNOSTICS_BYTES_MAX]

    def _campaign(self, name: str) -> Any:
        return None if self._pipeline is None else self._pipeline.campaigns.campaigns.get(name)
