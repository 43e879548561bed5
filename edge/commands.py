"""Commands from the cloud: what each one means for this van, and the result that goes back. None actuates anything.

Bytes of down/command and the van's Unix time -> Order: the result to spool (P0), and what to do: watch for so many
seconds (0 ends it), send the birth, send envelopes again (the spool then knows the result). A command that came too late, twice or unknown changes nothing. Bytes that are no
command are told to the log and answered by nothing: there is no id to answer to.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import structlog

from edge.queues import Outgoing
from edge.spool import Resent
from vantel.commands import (
    LIVE_VIEW_S_MAX,
    RESEND_ENVELOPES_MAX,
    Command,
    CommandResult,
    CommandStatus,
    Diagnostics,
    FetchCapture,
    FetchRange,
    HoldCapture,
    LiveView,
    Rebirth,
    Resend,
)
from vantel.envelope import EnvelopeError
from vantel.identity import DeliveryClass, PayloadKind

IDS_MAX = 256
WAITING_MAX = 64
"""Commands that wait for the pipeline; more are dropped, since whoever watches renews."""
_log = structlog.get_logger("commands")


@dataclass(frozen=True, slots=True)
class Order:
    """What a command comes to. watch_s None: nothing to watch. resend: the result is that of the spool."""

    result: CommandResult
    watch_s: float | None = None
    rebirth: bool = False
    resend: Resend | None = None
    onboard: Command | None = None
    """Captures or diagnostics: the spool thread carries it out and tells the result."""
    fetch: Command | None = None
    """A time range: rings and disk give what they have, and tell the result."""
    asked: str = ""
    """The command in words, for the audit record."""

    @property
    def outgoing(self) -> Outgoing:
        """The result on its way into the spool."""
        return Outgoing(DeliveryClass.P0, PayloadKind.COMMAND_RESULT, self.result.encode(), 0)


class Commands:
    """Judges commands; remembers the last IDS_MAX, because QoS 1 may bring one twice."""

    def __init__(self, watchable: bool) -> None:
        """watchable: False for a replay with stamps of the past, whose clock is not that of the watcher."""
        self._watchable = watchable
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._waiting: deque[bytes] = deque()

    def put(self, data: bytes) -> None:
        """Take a command; from any thread."""
        if len(self._waiting) >= WAITING_MAX:
            _log.warning(
                "command dropped", waiting=WAITING_MAX, fix="send fewer; live views are renewed anyway"
            )
        else:
            self._waiting.append(data)

    def take(self, now_unix_ns: int) -> Iterator[Order]:
        """The orders of the commands that came; in the thread that carries them out."""
        while self._waiting:
            data = self._waiting.popleft()
            try:
                order = self.judge(data, now_unix_ns)
            except EnvelopeError as cause:
                _log.warning("command not understood", bytes=len(data), cause=str(cause))
                continue
            if order is not None:
                order = replace(order, asked=repr(Command.decode(data).body))
                result = order.result
                _log.info("command", id=result.command_id, status=result.status.name, detail=result.detail)
                yield order

    def judge(self, data: bytes, now_unix_ns: int) -> Order | None:
        """None for a command that came before. EnvelopeError for bytes that are no command.

        now_unix_ns 0: the van does not know the time; then only the broker's message expiry keeps old commands away.
        """
        command = Command.decode(data)
        if command.command_id in self._seen:
            return None
        self._seen[command.command_id] = None
        while len(self._seen) > IDS_MAX:
            self._seen.popitem(last=False)
        if command.expires_unix_ns and now_unix_ns >= command.expires_unix_ns:
            late_s = (now_unix_ns - command.expires_unix_ns) / 1e9
            return _order(command, CommandStatus.EXPIRED, f"came {late_s:.1f} s too late by the van's clock")
        if isinstance(command.body, Rebirth):
            return _order(command, CommandStatus.DONE, "the birth is sent again", rebirth=True)
        if isinstance(command.body, Resend):
            return self._resend(command, command.body)
        if isinstance(command.body, FetchCapture | HoldCapture | Diagnostics):
            return replace(_order(command, CommandStatus.DONE, "handed on"), onboard=command)
        if isinstance(command.body, FetchRange):
            return replace(_order(command, CommandStatus.DONE, "handed on"), fetch=command)
        if not isinstance(command.body, LiveView):
            return _order(command, CommandStatus.UNSUPPORTED, "this agent does not know such a command")
        return self._live_view(command, command.body)

    def _resend(self, command: Command, resend: Resend) -> Order:
        envelopes = resend.last - resend.first + 1
        if envelopes > RESEND_ENVELOPES_MAX:
            detail = f"{envelopes} envelopes asked for, at most {RESEND_ENVELOPES_MAX} at a time"
            return _order(command, CommandStatus.REFUSED, detail)
        order = _order(command, CommandStatus.DONE, "handed to the spool")
        return replace(order, resend=resend)

    def _live_view(self, command: Command, view: LiveView) -> Order:
        if not self._watchable:
            detail = "this van replays a recording with its own stamps; there is no now to watch"
            return _order(command, CommandStatus.REFUSED, detail)
        if view.duration_s == 0:
            return _order(command, CommandStatus.DONE, "live view ended", watch_s=0.0)
        duration_s = min(view.duration_s, LIVE_VIEW_S_MAX)
        return _order(
            command,
            CommandStatus.DONE,
            f"all signals at full rate for {duration_s:.0f} s",
            watch_s=duration_s,
        )


def resent_outgoing(command_id: str, resent: Resent) -> Outgoing:
    """Result of a resend on its way into the spool: done if anything goes or will go."""
    status = CommandStatus.DONE if resent.again or resent.waiting else CommandStatus.REFUSED
    _log.info("resend", id=command_id, status=status.name, detail=resent.text)
    return Order(CommandResult(command_id, status, resent.text)).outgoing


def _order(
    command: Command, status: CommandStatus, detail: str, watch_s: float | None = None, rebirth: bool = False
) -> Order:
    return Order(CommandResult(command.command_id, status, detail), watch_s, rebirth)
