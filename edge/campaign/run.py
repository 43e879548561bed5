"""Campaigns at work beside the detector: samples and events in, captures and reports out. Pure.

Owned by the pipeline thread. Order of a step: conditions, captures, budgets, states. A change of the campaigns
touches neither batches nor spool; conditions start again on what the rings hold, so that windows are full at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.campaign.judge import InForce, program_of
from edge.capture.gather import NOT_WANTED, gather
from edge.capture.recorder import Recorder
from edge.capture.rules import Rules
from edge.model import SampleBlock
from edge.queues import Outgoing
from edge.rings import Rings
from vantel.campaign.document import Campaign, Collected, Network
from vantel.campaign.evaluator import Evaluator, Happened
from vantel.captures import CampaignReport, CampaignState, CampaignStatus, CaptureSummary, CaptureTrigger
from vantel.catalog import Catalog
from vantel.identity import DeliveryClass, PayloadKind
from vantel.payloads import Event

DAY_NS = 86_400_000_000_000
LOOK_NS = 1_000_000_000
"""States are looked at once a second of the stream."""
WARM_NS = 60_000_000_000
FETCH_NS_MAX = 3_600_000_000_000
AHEAD_NS = 60_000_000_000


@dataclass(slots=True)
class Usage:
    """What a campaign has done; kept over restarts. since_ns: stream time from which it counts."""

    since_ns: int
    day: int = 0
    bytes_today: int = 0
    captures: int = 0
    first_data_unix_ns: int = 0
    last_data_ns: int = 0


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the rings gave of a time range. problem: why nothing; text: for people. disk_end_unix_ns: up to where the
    range is for the disk, 0 for none of it."""

    problem: str = ""
    text: str = ""
    payloads: list[Outgoing] = field(default_factory=list)
    disk_end_unix_ns: int = 0


@dataclass(slots=True)
class _Active:
    campaign: Campaign
    rules: list[Collected]
    usage: Usage
    status: CampaignStatus = CampaignStatus.WAITING


@dataclass(slots=True)
class Ledger:
    """Durable part: what is in force and the usage by "name version"."""

    in_force: InForce = field(default_factory=InForce)
    usage: dict[str, Usage] = field(default_factory=dict)


class CampaignRun:
    """All campaigns of one stream."""

    def __init__(
        self, catalog: Catalog, rings: Rings, recorder: Recorder, ledger: Ledger, offset_ns: int
    ) -> None:
        """offset_ns: from stream time to Unix time. ledger: from before the restart; changed in place."""
        self._catalog, self._rings, self.recorder, self.ledger = catalog, rings, recorder, ledger
        self.offset_ns = offset_ns
        self._clock = self._looked = self._begun = Rings.NEVER
        self._active: list[_Active] = []
        self._evaluator: Evaluator | None = None
        self._dropped = 0  # by evaluators before this one
        self.waiting: Mapping[str, int] = {}
        """Captures whose body waits for an unmetered link, by campaign: replaced whole by the thread that knows."""
        self._waiting_told: Mapping[str, int] = {}
        self._take_on()

    @property
    def campaigns(self) -> dict[str, Campaign]:
        """In force, by name."""
        return {item.campaign.name: item.campaign for item in self._active}

    @property
    def gauges(self) -> dict[str, float]:
        """Campaigns that are active for longer than data_within_s without a capture, and ticks whose triggers found no
        room in their block. Any thread may ask."""
        silent = sum(item.status is CampaignStatus.SILENT for item in self._active)
        evaluator = self._evaluator
        dropped = self._dropped + (evaluator.triggers_dropped if evaluator is not None else 0)
        return {"silent": float(silent), "triggers_dropped": float(dropped)}

    def adopt(self, in_force: InForce) -> list[Outgoing]:
        """Other campaigns are in force from now on; the answer to the cloud."""
        changed = in_force.campaigns != self.ledger.in_force.campaigns
        self.ledger.in_force = in_force
        if changed:
            self._take_on()
        self._look()
        return [self._report()]

    def step(self, block: SampleBlock, events: Sequence[Event]) -> list[Outgoing]:
        """Take a block that is in the rings already, and the events of the detector in it."""
        if len(block):
            self._clock = max(self._clock, int(block.t_mono_ns.max()))
        out: list[Outgoing] = []
        if self._evaluator is not None:
            told = [Happened(event.channel, event.signal_id, event.t_mono_ns) for event in events]
            found = self._evaluator.step(block.slot, block.t_mono_ns, block.value, told)
            out += [item for trigger in found for item in self._triggered(*trigger)]
        return [*out, *self._go_on()]

    def idle(self, t_mono_ns: int) -> list[Outgoing]:
        """Nothing came until this stream time."""
        out: list[Outgoing] = []
        if self._evaluator is not None and t_mono_ns > self._clock:
            none = np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0)
            out = [
                item
                for found in self._evaluator.step(*none, until_ns=t_mono_ns)
                for item in self._triggered(*found)
            ]
        self._clock = max(self._clock, t_mono_ns)
        return [*out, *self._go_on()]

    def close(self) -> list[Outgoing]:
        """The stream has ended."""
        out = self.recorder.close(self._clock)
        self._charge()
        return out

    def fetch(self, start_unix_ns: int, end_unix_ns: int, signals: Sequence[str]) -> Fetched:
        """A range as a capture, as far as the rings hold it; what is older is for the disk."""
        start, end = start_unix_ns - self.offset_ns, end_unix_ns - self.offset_ns
        rules = Rules(self._catalog, [Collected(name) for name in signals or ("*",)])
        if not rules.wanted.any():
            return Fetched(f"no signal is called {', '.join(signals)}")
        if not 0 < end - start <= FETCH_NS_MAX:
            return Fetched(
                f"a range of {(end - start) / 1e9:.0f} s; ask for at most {FETCH_NS_MAX // 10**9} s"
            )
        if end > self._clock + AHEAD_NS:
            return Fetched(f"the range ends more than {AHEAD_NS // 10**9} s from now")
        held = min(max(start, self._rings.whole_since()), end)
        if held >= end:
            return Fetched(disk_end_unix_ns=end_unix_ns)
        cause = CaptureTrigger("", 0, held)
        out = self.recorder.trigger(cause, 0, end - held, rules, self._clock)
        capture_id = self.recorder.id_of(cause)
        text = f"capture {capture_id}: every sample of {(end - held) / 1e9:.1f} s from the rings"
        if not capture_id:
            text = "too many captures are open for what the rings hold: ask again for that"
        problem = "" if capture_id else text
        return Fetched(problem, text, [*out, *self._go_on()], held + self.offset_ns if held > start else 0)

    def resume(self, captures: Sequence[tuple[CaptureSummary, int]], now_ns: int) -> list[Outgoing]:
        """Captures of before a restart, each with the time up to which its body is there: windows that may go on, and
        those that have passed and may be overlapped."""
        out: list[Outgoing] = []
        for summary, covered_ns in captures:
            ids = set(summary.signal_ids)
            names = [Collected(s.name) for s in self._catalog.signals if s.id in ids]
            out += self.recorder.adopt(summary, covered_ns, now_ns, Rules(self._catalog, names))
        return out

    def _take_on(self) -> None:
        """Compile what is in force and run it over the rings, without triggers."""
        fitting, program = program_of(self.ledger.in_force.campaigns, self._catalog)
        usage, self.ledger.usage = self.ledger.usage, {}
        self._active = []
        for campaign in fitting:
            key = f"{campaign.name} {campaign.version}"
            self.ledger.usage[key] = usage.get(key) or Usage(self._clock)
            self._active.append(_Active(campaign, list(campaign.signals), self.ledger.usage[key]))
        if self._evaluator is not None:
            self._dropped += self._evaluator.triggers_dropped
        self._evaluator = None
        if fitting:
            repeat = [max(item.after_s, item.quiet_s) if item.repeat else 0.0 for item in fitting]
            self._evaluator = Evaluator(
                program, len(self._catalog), repeat, [item.quiet_s for item in fitting]
            )
            if self._clock != Rings.NEVER:
                since = np.full(len(self._catalog), NOT_WANTED, np.int64)
                since[list(self._evaluator.wanted)] = self._clock - WARM_NS
                self._evaluator.step(*gather(self._rings, since, self._clock + 1))

    def _triggered(self, condition: int, t_mono_ns: int) -> list[Outgoing]:
        item = self._active[condition]
        item.status = self._status(item, t_mono_ns)
        if t_mono_ns <= item.usage.since_ns or item.status not in (
            CampaignStatus.ACTIVE,
            CampaignStatus.SILENT,
        ):
            return []
        campaign = item.campaign
        out = self.recorder.step(t_mono_ns)  # pieces end at the same places however blocks are cut
        cause = CaptureTrigger(campaign.name, campaign.version, t_mono_ns)
        before_ns, after_ns = round(campaign.before_s * 1e9), round(campaign.after_s * 1e9)
        rules, waits = Rules(self._catalog, item.rules), campaign.network is Network.UNMETERED
        out += self.recorder.trigger(cause, before_ns, after_ns, rules, t_mono_ns, waits)
        item.usage.captures += 1
        item.usage.last_data_ns = t_mono_ns
        item.usage.first_data_unix_ns = item.usage.first_data_unix_ns or t_mono_ns + self.offset_ns
        self._charge()
        return out

    def _go_on(self) -> list[Outgoing]:
        out = self.recorder.step(self._clock) if self.recorder.open else []
        self._charge()
        if self._clock - self._looked >= LOOK_NS and self._clock != Rings.NEVER and self._look():
            out.append(self._report())
        return out

    def _charge(self) -> None:
        day = (self._clock + self.offset_ns) // DAY_NS
        for item in self._active:
            spent = self.recorder.spent.pop(item.campaign.name, 0)
            if item.usage.day != day:
                item.usage.day, item.usage.bytes_today = day, 0
            item.usage.bytes_today += spent
        self.recorder.spent.clear()

    def _look(self) -> bool:
        """Bring all states up to date; whether one changed."""
        self._looked = self._clock
        if self._begun == Rings.NEVER:
            self._begun = self._clock
        before = [item.status for item in self._active]
        for item in self._active:
            item.status = self._status(item, self._clock)
        waiting, self._waiting_told = self._waiting_told, self.waiting
        return before != [item.status for item in self._active] or waiting != self._waiting_told

    def _status(self, item: _Active, t_mono_ns: int) -> CampaignStatus:
        campaign, usage = item.campaign, item.usage
        now_unix_ns = t_mono_ns + self.offset_ns
        if campaign.end_unix_ns and now_unix_ns >= campaign.end_unix_ns:
            return CampaignStatus.EXPIRED
        if campaign.start_unix_ns and now_unix_ns < campaign.start_unix_ns:
            return CampaignStatus.WAITING
        if now_unix_ns // DAY_NS == usage.day and usage.bytes_today >= campaign.bytes_per_day_max:
            return CampaignStatus.OVER_BUDGET
        last = max(usage.last_data_ns, usage.since_ns)
        last = last if last > 0 else self._begun  # in force before the first sample came
        if campaign.data_within_s and last > 0 and t_mono_ns - last > campaign.data_within_s * 1e9:
            return CampaignStatus.SILENT
        return CampaignStatus.ACTIVE

    def _report(self) -> Outgoing:
        force = self.ledger.in_force
        states = [
            CampaignState(
                item.campaign.name, item.campaign.version, item.status, captures=item.usage.captures,
                bytes_today=item.usage.bytes_today, first_data_unix_ns=max(0, item.usage.first_data_unix_ns),
                bodies_waiting=self._waiting_told.get(item.campaign.name, 0),
            )
            for item in self._active
        ]  # fmt: skip
        report = CampaignReport(force.generation, force.set_hash, (*states, *force.rejected), *force.refused)
        return Outgoing(DeliveryClass.P0, PayloadKind.CAMPAIGN_REPORT, report.encode(), 0)
