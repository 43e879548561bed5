"""An operator asks a van for envelopes again: a command by MQTT, its result by Kafka.

What comes again is an ordinary backlog: the same bytes, the same points. The result is looked for from the time of the
command on in vantel.p0. Refused settings and a broker or van that does not answer end as errors that name the fix.
"""

from __future__ import annotations

import asyncio
import secrets
import time

from cloud.bridge.happenings import Connected, Disconnected, Happening, Published
from cloud.kafka.compacted import CompactedTopic
from cloud.kafka.topics import BY_CLASS
from cloud.mqtt import MqttLink
from cloud.settings import CloudSettings
from cloud.worker.steps.open import readable
from vantel import topics
from vantel.commands import RESEND_ENVELOPES_MAX, Body, Command, CommandResult, Resend
from vantel.envelope import EnvelopeError
from vantel.identity import DeliveryClass, Epoch, PayloadKind, check_van_id

CLIENT_ID = "vantel-operator"
"""The name that the broker's access list knows (deploy/broker/acl)."""
CLOCK_SLACK_MS = 60_000
LEAVE_S_MAX = 1.0
P0_TOPIC = BY_CLASS[DeliveryClass.P0]


class ResendError(RuntimeError):
    """The command cannot be given, or nobody answers; the text says what to do."""


def wanted(van: str, epoch: str, delivery_class: str, first: int, last: int) -> Resend:
    """The command of an operator's words. ResendError for words that mean nothing."""
    try:
        check_van_id(van)
        body = Resend(Epoch.from_text(epoch), DeliveryClass.from_label(delivery_class), first, last)
    except ValueError as cause:
        raise ResendError(f"{cause}; take van, epoch and class as `vantel ledger` prints them") from None
    if last < first:
        raise ResendError(f"first {first} lies behind last {last}")
    if last - first >= RESEND_ENVELOPES_MAX:
        raise ResendError(f"at most {RESEND_ENVELOPES_MAX} envelopes at a time; ask for parts")
    return body


class _Sender:
    """Publishes one command, again on each new connection until the broker has it."""

    def __init__(self, settings: CloudSettings, topic: str, payload: bytes, expiry_s: int) -> None:
        mqtt = settings.mqtt.model_copy(update={"client_id": CLIENT_ID, "session_expiry_s": 0})
        self._topic, self._payload, self._expiry_s = topic, payload, expiry_s
        self.link = MqttLink(mqtt, [], [], self._happened)
        self.problem = "no connection to the broker yet"
        self.refused = ""
        self.sent = False

    def _happened(self, lot: list[Happening]) -> None:
        for item in lot:
            if isinstance(item, Connected) and not self.sent:
                self.problem = "the broker does not take the command"
                self.link.publish(item.connection, self._topic, self._payload, 1, self._expiry_s)
            elif isinstance(item, Published):
                self.sent = True
                self.refused = item.failed
                self.problem = "the van does not answer; is it connected?"
            elif isinstance(item, Disconnected):
                self.problem = item.why if not self.sent else self.problem
                self.link.release()


async def order(settings: CloudSettings, van: str, body: Body, timeout_s: float) -> CommandResult:
    """Give the command and wait for its result. ResendError, KafkaUnavailable, ConnectionRefused."""
    command_id, start_ms = secrets.token_hex(8), int(time.time() * 1000)
    found: list[CommandResult] = []

    def take(_: str, value: bytes | None) -> None:
        found.extend(r for r in results_of(value, van) if r.command_id == command_id)

    reader = CompactedTopic(settings.kafka, P0_TOPIC, take, start_ms - CLOCK_SLACK_MS)
    expires_ns = time.time_ns() + int(timeout_s * 1e9)
    command = Command(command_id, body, expires_ns).encode()
    sender = _Sender(settings, topics.down(van, "command"), command, max(1, int(timeout_s)))
    stop = asyncio.Event()
    try:
        await reader.catch_up()
        sender.link.start()
        tail = asyncio.create_task(reader.tail(stop))
        give_up_s = time.monotonic() + timeout_s
        while not found and not sender.refused and time.monotonic() < give_up_s:
            await asyncio.sleep(0.1)
        stop.set()
        await tail
    finally:
        await sender.link.stop(LEAVE_S_MAX)
        await reader.close()
    if found:
        return found[0]
    raise ResendError(f"{van} gave no result in {timeout_s:.0f} s: {sender.refused or sender.problem}")


def results_of(value: bytes | None, van: str) -> list[CommandResult]:
    """Results of commands of a van in a record of vantel.p0; what cannot be read is passed over."""
    results: list[CommandResult] = []
    for _incoming, envelope, _clock in readable(P0_TOPIC, value):
        if envelope.van == van and envelope.kind is PayloadKind.COMMAND_RESULT:
            try:
                results.append(CommandResult.decode(envelope.payload))
            except EnvelopeError:
                continue
    return results
