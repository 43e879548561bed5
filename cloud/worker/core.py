"""The worker's core: one message of a bundle to its outcome, lines and account changes. No framework, no I/O.

Incoming -> Digest: Accept with the lines to write, Reject(reason), or Retry(after) while its catalog may still come.
A point is a pure function of the message and its catalog: epoch and sequence number stand in no line. Times in: mono ns
and the message's clock stamp; out: Unix ns. Nothing here raises on data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from cloud.last_values import GAUGES_MAX, MS, Last, News, newest_of
from cloud.ledger.accounts import EpochSamples, Settled, VanAccount, van_account_of
from cloud.sink.lines import Encoded, Line, encode_columns, encode_point
from cloud.worker.outcome import ACCEPT, SIGNAL_UNKNOWN, Outcome, Reject, Retry
from cloud.worker.steps.decode import decode_batch
from cloud.worker.steps.open import Incoming, open_incoming
from cloud.worker.steps.rollup import fields_of
from cloud.worker.steps.validate import CatalogBook, check_birth, check_origin, in_time_range
from vantel.captures import CampaignReport, CapturePart, CaptureSummary
from vantel.catalog import Catalog, CatalogError
from vantel.crc32c import crc32c
from vantel.envelope import ClockStamp, Envelope, EnvelopeError
from vantel.identity import PayloadKind, StreamKey
from vantel.payloads import BATCH_SAMPLES_MAX, Birth, Event, Fidelity, Health, Tombstone
from vantel.window import Window, window_of

TELEMETRY, EVENTS, AGENT, CAPTURES = "telemetry", "events", "agent", "captures"
CHANNELS = ("range", "rate", "stuck", "timeout", "robust_z")
CHANNEL_STEP = 167
CAPTURE_SIGNALS_TOLD_MAX = 256
"""Signals that the line of a capture names; it counts all."""
CAPTURE_GAPS_TOLD_MAX = 8
"""Gaps that it names."""
US = 1000


@dataclass(frozen=True, slots=True)
class Digest:
    """What became of one message. stream is None when its identity cannot be trusted: then it is in no account."""

    incoming: Incoming
    outcome: Outcome
    stream: StreamKey | None = None
    seq: int = 0
    catalog_hash: int = 0
    lines: tuple[Line, ...] = ()
    samples: int = 0
    values_unrepresentable: int = 0
    columns_refused: tuple[str, ...] = ()
    report: VanAccount | None = None
    catalog: bytes = b""
    news: News | None = None
    window: Window | None = None
    shed: tuple[str, ...] = ()
    tombstone: Tombstone | None = None
    campaigns: bytes = b""
    """What the van says about its campaigns: payload of a CampaignReport."""

    @property
    def points(self) -> int:
        """Field values of signals and events in its lines."""
        return sum(line.fields for line in self.lines)

    def settled(self, lines_refused: int, points_refused: int, all_refused: bool) -> Settled | None:
        """Its entry in the account after the write; None when it has none."""
        if self.stream is None or isinstance(self.outcome, Retry):
            return None
        if isinstance(self.outcome, Reject):
            return Settled(
                self.stream, self.seq, rejected=self.outcome.reason, window=self.window, shed=self.shed
            )
        refused = lines_refused + len(self.columns_refused)
        if all_refused:
            return Settled(
                self.stream, self.seq, rejected="line_refused", lines_refused=refused,
                window=self.window, shed=self.shed,
            )  # fmt: skip
        return Settled(
            self.stream, self.seq, "", self.points - points_refused, self.samples, refused,
            self.values_unrepresentable, self.window, self.shed,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Content:
    """What the payload of an accepted envelope adds to its digest."""

    lines: tuple[Line, ...] = ()
    samples: int = 0
    values_unrepresentable: int = 0
    columns_refused: tuple[str, ...] = ()
    report: VanAccount | None = None
    catalog: bytes = b""
    full: bool | None = None
    datum: int = 0
    values: tuple[tuple[int, Last], ...] = ()
    gauges: dict[str, float] | None = None
    t_gauges_unix_ms: int = 0
    shed: tuple[str, ...] = ()
    tombstone: Tombstone | None = None
    campaigns: bytes = b""


def digest(incoming: Incoming, catalogs: CatalogBook, now_s: float) -> Digest:
    """Judge one message and make its lines. now_s: monotonic seconds, for the wait for catalogs only."""
    opened = open_incoming(incoming)
    if isinstance(opened, Reject):
        return Digest(incoming, opened)
    envelope, clock = opened
    stray = check_origin(envelope, clock, incoming.topic, incoming.van)
    if stray is not None and stray.reason == "van_mismatch":
        return Digest(incoming, stray)
    content: _Content | Reject | Retry
    try:
        content = stray or _content(envelope, clock, catalogs, now_s)
    except EnvelopeError as cause:
        content = Reject(cause.reason, cause.detail)
    except CatalogError as cause:
        content = Reject(SIGNAL_UNKNOWN, str(cause))
    window = window_of(envelope, clock)
    if not isinstance(content, _Content):
        return Digest(
            incoming, content, envelope.stream, envelope.seq, envelope.catalog_hash, window=window
        )  # fmt: skip
    return Digest(
        incoming, ACCEPT, envelope.stream, envelope.seq, envelope.catalog_hash, content.lines, content.samples,
        content.values_unrepresentable, content.columns_refused, content.report, content.catalog,
        _news(incoming, envelope, clock, content), window, content.shed, content.tombstone, content.campaigns,
    )  # fmt: skip


def _news(incoming: Incoming, envelope: Envelope, clock: ClockStamp, content: _Content) -> News:
    """What the message says about its van now."""
    return News(
        envelope.van, incoming.received_unix_ns, envelope.epoch.text, len(incoming.message), envelope.catalog_hash,
        envelope.replayed, envelope.simulated, clock.source, clock.error_ns_max, content.full, content.datum,
        content.values, content.gauges, content.t_gauges_unix_ms,
    )  # fmt: skip


def _content(
    envelope: Envelope, clock: ClockStamp, catalogs: CatalogBook, now_s: float
) -> _Content | Reject | Retry:
    kind = envelope.kind
    if not isinstance(kind, PayloadKind):
        return Reject("unsupported", f"payload of kind {kind}; a newer van may need a newer cloud")
    if kind is PayloadKind.BIRTH:
        birth = Birth.decode(envelope.payload)
        return check_birth(birth.catalog, birth.catalog_hash) or _Content(catalog=birth.catalog)
    if kind is PayloadKind.HEALTH:
        return _health(envelope, clock)
    if kind is PayloadKind.TOMBSTONE:
        tombstone = Tombstone.decode(envelope.payload)
        return _Content(report=van_account_of(envelope.van, 0, tombstone), tombstone=tombstone)
    if kind in (PayloadKind.COMMAND_RESULT, PayloadKind.DIAGNOSTICS):
        return _Content()
    if kind is PayloadKind.CAMPAIGN_REPORT:
        CampaignReport.decode(envelope.payload)
        return _Content(campaigns=envelope.payload)
    if kind is PayloadKind.CAPTURE_SUMMARY:
        return _capture(envelope, clock)
    catalog = catalogs.find(envelope, now_s)
    if not isinstance(catalog, Catalog):
        return catalog
    if kind is PayloadKind.EVENT:
        return _event(envelope, clock, catalog)
    if kind is PayloadKind.CAPTURE_PART:
        body = CapturePart.decode(envelope.payload).batch.encode()
        content = _batch(replace(envelope, payload=body), clock, catalog)
        if isinstance(content, Reject):
            return content
        # its samples are those of batches too: as points they would count twice
        return replace(content, lines=tuple(line._replace(fields=0) for line in content.lines), samples=0)
    return _batch(envelope, clock, catalog)


def _batch(envelope: Envelope, clock: ClockStamp, catalog: Catalog) -> _Content | Reject:
    """Lines of the signals; the whole batch is refused when one of its stamps cannot be stored."""
    decoded = decode_batch(envelope.payload, catalog)
    if isinstance(decoded, Reject):
        return decoded
    if decoded.refused and not decoded.columns:
        return Reject(SIGNAL_UNKNOWN, "; ".join(decoded.refused))
    if decoded.samples > BATCH_SAMPLES_MAX:
        return Reject("oversize", f"{decoded.samples} samples, at most {BATCH_SAMPLES_MAX} are allowed")
    for _, column in decoded.columns:
        for t_mono_ns in column.t_ns[[0, -1]].tolist() if len(column.t_ns) else ():
            if not in_time_range(t_mono_ns + clock.offset_ns):
                return Reject("time_range", f"stamp {t_mono_ns} ns with offset {clock.offset_ns} ns")
    fields, left_out = fields_of(decoded.columns, decoded.batch.fidelity, clock.offset_ns)
    encoded = encode_columns(TELEMETRY, envelope.van, fields)
    return _Content(
        tuple(encoded.lines), decoded.samples, encoded.unrepresentable + left_out, decoded.refused,
        full=decoded.batch.fidelity is Fidelity.FULL, datum=decoded.batch.coordinate_system,
        values=newest_of(decoded.columns, clock.offset_ns), shed=tuple(sorted(decoded.batch.shed)),
    )  # fmt: skip


def _event(envelope: Envelope, clock: ClockStamp, catalog: Catalog) -> _Content | Reject:
    """One line for the event."""
    event = Event.decode(envelope.payload)
    signal = catalog.by_id(event.signal_id)
    t_unix_ns = event.t_mono_ns + clock.offset_ns
    if not in_time_range(t_unix_ns):
        return Reject("time_range", f"stamp {event.t_mono_ns} ns with offset {clock.offset_ns} ns")
    fields: dict[str, float | bool | str] = {
        "channel": event.channel,
        "signal": signal.name,
        "value": event.value,
        "score": event.score,
        "threshold": event.threshold,
        "expected": event.expected,
        "severity": event.severity.name.lower(),
    }
    fields |= {
        name: text for name, text in (("injected", event.injected), ("detector", event.detector)) if text
    }
    t_ns = event_time_ns(t_unix_ns, event.signal_id, event.channel)
    encoded = encode_point(EVENTS, envelope.van, signal.group, fields, t_ns)
    return _Content(tuple(encoded.lines), 0, encoded.unrepresentable)


def _capture(envelope: Envelope, clock: ClockStamp) -> _Content | Reject:
    """One line for the state of a capture, at the time of its first trigger: its end overwrites its start."""
    summary = CaptureSummary.decode(envelope.payload)
    t_mono_ns = summary.triggers[0].t_mono_ns if summary.triggers else summary.start_mono_ns
    t_unix_ns = t_mono_ns + clock.offset_ns
    if not in_time_range(t_unix_ns):
        return Reject("time_range", f"stamp {t_mono_ns} ns with offset {clock.offset_ns} ns")
    fields: dict[str, float | bool | str] = {
        "capture": summary.capture_id,
        "campaign": summary.triggers[0].campaign if summary.triggers else "",
        "state": summary.state.name.lower(),
        "waits": summary.body_waits,
        "gaps": ", ".join(
            f"{(gap.end_mono_ns - gap.start_mono_ns) / 1e9:.1f} s {gap.reason}"
            for gap in summary.gaps[:CAPTURE_GAPS_TOLD_MAX]
        ),
        "before_s": (t_mono_ns - summary.start_mono_ns) / 1e9,
        "seconds": (summary.end_mono_ns - summary.start_mono_ns) / 1e9,
        "signals": " ".join(map(str, summary.signal_ids[:CAPTURE_SIGNALS_TOLD_MAX])),
        "signal_count": float(len(summary.signal_ids)),
        "catalog": f"{envelope.catalog_hash:016x}",
        "samples": float(summary.samples),
        "bytes": float(summary.body_bytes),
    }
    encoded = encode_point(CAPTURES, envelope.van, "", fields, t_unix_ns, counted=False)
    return _Content(tuple(encoded.lines), 0, encoded.unrepresentable)


def event_time_ns(t_unix_ns: int, signal_id: int, channel: str) -> int:
    """Time of an event's point: its microsecond, and below it a place that differs for what happens at once.

    Events of one van and group at one microsecond would overwrite one another. The place is a function of signal and
    channel: neighbours in the catalog never share one (docs/decisions/0004-event-time.md).
    """
    known = CHANNELS.index(channel) * CHANNEL_STEP if channel in CHANNELS else crc32c(channel.encode())
    return t_unix_ns // US * US + (signal_id + known) % US


def _health(envelope: Envelope, clock: ClockStamp) -> _Content | Reject:
    """The gauges of the agent as one line, and the van's own account."""
    health = Health.decode(envelope.payload)
    t_unix_ns = health.t_mono_ns + clock.offset_ns
    if not in_time_range(t_unix_ns):
        return Reject("time_range", f"stamp {health.t_mono_ns} ns with offset {clock.offset_ns} ns")
    gauges: dict[str, float | bool | str] = {
        name: float(value) for name, value in health.gauges.items() if name.isprintable() and name
    }
    gauges["samples_produced"] = float(health.samples_produced)
    gauges |= {
        f"shed_{reason}": float(count) for reason, count in health.shed.items() if reason.isidentifier()
    }
    encoded: Encoded = encode_point(AGENT, envelope.van, "", gauges, t_unix_ns, counted=False)
    streams = {(account.epoch, account.delivery_class): account for account in health.accounts}
    samples = {envelope.epoch: EpochSamples(health.samples_produced, health.shed)}
    finite = {
        name: value for name, value in gauges.items() if isinstance(value, float) and math.isfinite(value)
    }
    return _Content(
        tuple(encoded.lines), report=VanAccount(envelope.van, t_unix_ns, streams, samples),
        gauges=dict(list(finite.items())[:GAUGES_MAX]), t_gauges_unix_ms=t_unix_ns // MS,
    )  # fmt: skip
