"""Commands to a van and their results, as plain values.

Command (live view, rebirth or resend) <-> bytes on down/command; CommandResult <-> payload of an envelope of P0. Decoding raises
EnvelopeError("malformed"). A command of a body that this release does not know decodes to body None.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from vantel.envelope import EnvelopeError
from vantel.identity import DeliveryClass, Epoch
from vantel.payloads import parse
from vantel.telemetry.v1 import downlink_pb2

COMMAND_ID_CHARS_MAX = 64
RESEND_ENVELOPES_MAX = 65_536
"""A van refuses a longer range: ask for its parts."""
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
class Command:
    """A request to a van. expires_unix_ns 0: no limit. body None: unknown to this release."""

    command_id: str
    body: LiveView | Rebirth | Resend | None
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
        return pb.SerializeToString()

    @classmethod
    def decode(cls, data: bytes) -> Command:
        """Inverse of encode."""
        pb = parse(downlink_pb2.Command, data)
        if not 0 < len(pb.command_id) <= COMMAND_ID_CHARS_MAX:
            raise EnvelopeError("malformed", f"a command id of {len(pb.command_id)} characters")
        body: LiveView | Rebirth | Resend | None = None
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
        return cls(pb.command_id, body, pb.expires_unix_ns)


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
