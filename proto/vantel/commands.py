"""Commands to a van and their results, as plain values.

Command (live view, rebirth, resend, captures, diagnostics) <-> bytes on down/command; CommandResult <-> payload of an envelope of P0. Decoding raises
EnvelopeError("malformed"). A command of a body that this release does not know decodes to body None.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from vantel.captures import CAPTURE_ID_CHARS
from vantel.envelope import EnvelopeError
from vantel.identity import DeliveryClass, Epoch
from vantel.payloads import parse
from vantel.telemetry.v1 import downlink_pb2

COMMAND_ID_CHARS_MAX = 64
RESEND_ENVELOPES_MAX = 65_536
"""A van refuses a longer range: ask for its parts."""
FETCH_SIGNALS_MAX = 256
LIVE_VIEW_S_MAX = 600.0
"""A van cuts a longer live view to this: whoever watches renews it."""


class CommandStatus(enum.IntEnum):
    """How a command ended."""

    DONE = downlink_pb2.COMMAND_STATUS_DONE
    REFUSED = downlink_pb2.COMMAND_STATUS_REFUSED
    EXPIRED = downlink_pb2.COMMAND_STATUS_EXPIRED
    UNSUPPORTED = downlink_pb2.COMMAND_STATUS_UNSUPPORTED


@dataclass(frozen=True, slots=True)
class LiveView:
    """Full rate for duration_s; 0 ends a live view. signal_ids empty: all signals."""

    duration_s: float
    signal_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rebirth:
    """Send the birth again."""


@dataclass(frozen=True, slots=True)
class Resend:
    """Send envelopes first..last (closed) of an epoch and class again, as far as the van still has them."""

    epoch: Epoch
    delivery_class: DeliveryClass
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class FetchCapture:
    """Send the body of a capture again."""

    capture_id: str


@dataclass(frozen=True, slots=True)
class HoldCapture:
    """Keep a capture on the van for duration_s; 0 releases it."""

    capture_id: str
    duration_s: float


@dataclass(frozen=True, slots=True)
class FetchRange:
    """Send what the rings hold of a time range, end exclusive, as a capture. signals: names with * and ?; empty: all."""

    start_unix_ns: int
    end_unix_ns: int
    signals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """Send status, settings, captures and the audit record."""


Body = LiveView | Rebirth | Resend | FetchCapture | HoldCapture | FetchRange | Diagnostics


@dataclass(frozen=True, slots=True)
class Command:
    """A request to a van. expires_unix_ns 0: no limit. body None: unknown to this release."""

    command_id: str
    body: Body | None
    expires_unix_ns: int = 0

    def encode(self) -> bytes:
        """Bytes for the topic down/command."""
        pb = downlink_pb2.Command(command_id=self.command_id, expires_unix_ns=self.expires_unix_ns)
        if isinstance(self.body, LiveView):
            pb.live_view.duration_s = self.body.duration_s
            pb.live_view.signal_ids.extend(self.body.signal_ids)
        elif isinstance(self.body, Rebirth):
            pb.rebirth.SetInParent()
        elif isinstance(self.body, Resend):
            pb.resend.epoch.counter, pb.resend.epoch.random = self.body.epoch
            pb.resend.delivery_class = int(self.body.delivery_class)  # type: ignore[assignment]
            pb.resend.range.first, pb.resend.range.last = self.body.first, self.body.last
        elif self.body is not None:
            _capture_body_to_pb(self.body, pb)
        return pb.SerializeToString()

    @classmethod
    def decode(cls, data: bytes) -> Command:
        """Inverse of encode."""
        pb = parse(downlink_pb2.Command, data)
        if not 0 < len(pb.command_id) <= COMMAND_ID_CHARS_MAX:
            raise EnvelopeError("malformed", f"a command id of {len(pb.command_id)} characters")
        body: Body | None = None
        kind = pb.WhichOneof("body")
        if kind == "live_view":
            duration_s = pb.live_view.duration_s
            if not math.isfinite(duration_s) or duration_s < 0:
                raise EnvelopeError("malformed", f"a live view of {duration_s} s")
            body = LiveView(duration_s, tuple(pb.live_view.signal_ids))
        elif kind == "rebirth":
            body = Rebirth()
        elif kind == "resend":
            body = _resend_from_pb(pb.resend)
        elif kind is not None:
            body = _capture_body_from_pb(kind, pb)
        return cls(pb.command_id, body, pb.expires_unix_ns)


def _capture_body_to_pb(body: Body, pb: downlink_pb2.Command) -> None:
    if isinstance(body, FetchCapture):
        pb.fetch_capture.capture_id = body.capture_id
    elif isinstance(body, HoldCapture):
        pb.hold_capture.capture_id, pb.hold_capture.duration_s = body.capture_id, body.duration_s
    elif isinstance(body, FetchRange):
        pb.fetch_range.start_unix_ns, pb.fetch_range.end_unix_ns = body.start_unix_ns, body.end_unix_ns
        pb.fetch_range.signals.extend(body.signals)
    elif isinstance(body, Diagnostics):
        pb.diagnostics.SetInParent()


def _capture_body_from_pb(kind: str, pb: downlink_pb2.Command) -> Body | None:
    if kind == "fetch_capture":
        return FetchCapture(_capture_id(pb.fetch_capture.capture_id))
    if kind == "hold_capture":
        duration_s = pb.hold_capture.duration_s
        if not math.isfinite(duration_s) or duration_s < 0:
            raise EnvelopeError("malformed", f"a hold of {duration_s} s")
        return HoldCapture(_capture_id(pb.hold_capture.capture_id), duration_s)
    if kind == "fetch_range":
        if len(pb.fetch_range.signals) > FETCH_SIGNALS_MAX:
            raise EnvelopeError(
                "malformed", f"{len(pb.fetch_range.signals)} names, at most {FETCH_SIGNALS_MAX}"
            )
        return FetchRange(
            pb.fetch_range.start_unix_ns, pb.fetch_range.end_unix_ns, tuple(pb.fetch_range.signals)
        )
    return Diagnostics() if kind == "diagnostics" else None


def _capture_id(text: str) -> str:
    if len(text) != CAPTURE_ID_CHARS or not set(text) <= set("0123456789abcdef"):
        raise EnvelopeError("malformed", f"{text[:40]!r} is no capture id")
    return text


def _resend_from_pb(pb: downlink_pb2.Resend) -> Resend:
    first, last = pb.range.first, pb.range.last
    if last < first:
        raise EnvelopeError("malformed", f"a resend of {first}..{last} runs backwards")
    try:
        delivery_class = DeliveryClass(pb.delivery_class)
    except ValueError as cause:
        raise EnvelopeError("malformed", str(cause)) from None
    return Resend(Epoch(pb.epoch.counter, pb.epoch.random), delivery_class, first, last)


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended; detail is for people."""

    command_id: str
    status: CommandStatus
    detail: str = ""

    def encode(self) -> bytes:
        """Payload bytes."""
        return downlink_pb2.CommandResult(
            command_id=self.command_id,
            status=int(self.status),  # type: ignore[arg-type]
            detail=self.detail,
        ).SerializeToString()

    @classmethod
    def decode(cls, data: bytes) -> CommandResult:
        """Inverse of encode. An unknown status is taken as UNSUPPORTED."""
        pb = parse(downlink_pb2.CommandResult, data)
        known = int(pb.status) in set(CommandStatus)
        return cls(pb.command_id, CommandStatus(pb.status) if known else CommandStatus.UNSUPPORTED, pb.detail)
