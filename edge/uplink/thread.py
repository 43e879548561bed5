"""The uplink thread: moves envelopes from the spool to the broker and durable acks back. Decides nothing about order.

From an Outbox to MQTT topics `v1/{shard}/{van}/up/{class}`; from `down/ack` to Outbox.ack. Connects by itself, for
ever, with full jitter; one log line for each new reason of failure. What to send is edge.uplink.lanes, how is edge.uplink.mqtt.
run() is the body of the one thread that touches both; wake(), goodbye(), counters() and the flags are for any thread.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random, SystemRandom

import structlog

from edge.settings import MqttSection, UplinkSection
from edge.spool.index import Entry
from edge.uplink.backoff import Backoff
from edge.uplink.budget import unlimited
from edge.uplink.connection import password, tls_context
from edge.uplink.counters import Counters
from edge.uplink.lanes import Choice, Schedule
from edge.uplink.link_errors import LinkError
from edge.uplink.meter import Meter
from edge.uplink.mqtt import Answered, Link, Received, Waker, publish_bytes
from edge.uplink.outbox import Outbox
from edge.uplink.progress import Progress
from edge.uplink.sent_books import SentBooks
from vantel import topics
from vantel.acks import Ack
from vantel.envelope import EnvelopeError
from vantel.identity import DeliveryClass, Epoch
from vantel.payloads import Death

STEP_S_MAX = 0.2
"""Longest sleep: a stop or a due resend is seen this late."""

GOODBYE_S_MAX = 1.0

REFUSED_FIXES = {
    0x10: "is the bridge running?",
    0x87: "it does not let this certificate or user send as this van.id; use the van's own, or check its access list",
    0x95: "raise its max_packet_size to 300000",
    0x97: "it is full; the message is sent again",
}
"""What to do about a PUBACK that is no delivery (MQTT 5.0, 3.4.2.1)."""

BEAT_S_MAX = 60.0
"""Longest time between two signs of life, plus one keep-alive: name lookup, connection, TLS, a disk that stalls."""

_log = structlog.get_logger("uplink")


class Uplink:
    """The van's side of the link to the cloud. SettingsError from the constructor for a link that is not allowed."""

    def __init__(
        self,
        van: str,
        epoch: Epoch,
        mqtt: MqttSection,
        settings: UplinkSection,
        spool: Outbox,
        on_rebirth: Callable[[Sequence[int]], None],
        on_command: Callable[[bytes], None],
        *,
        on_campaign: Callable[[bytes], None] | None = None,
        on_oversize: Callable[[Entry], None] | None = None,
        meter: Meter | None = None,
        rng: Random | None = None,
    ) -> None:
        """Callbacks run in the uplink thread and must return soon; what they raise is logged and counted.

        on_oversize: the broker takes no packet as large as this envelope needs. meter: byte budgets; without, none.
        """
        tls_context(mqtt)  # a wrong setting stops the start, not the tenth connection
        password(mqtt)
        self._van, self._epoch, self._mqtt, self._settings, self._spool = van, epoch, mqtt, settings, spool
        self._on_rebirth, self._on_command = on_rebirth, on_command
        self._on_campaign, self._on_oversize = on_campaign, on_oversize
        rng = rng or SystemRandom()
        self._meter, self._budget = meter, meter.budget if meter else unlimited()
        self._schedule = Schedule(spool, settings, rng, self._budget)
        self._backoff = Backoff(settings.backoff_s_min, settings.backoff_s_max, settings.stable_after_s, rng)
        self._progress = Progress(settings.stalled_after_s, BEAT_S_MAX + mqtt.keepalive_s, rng)
        self._topics = {c: topics.up(van, c) for c in DeliveryClass}
        self._waker = Waker()
        self._leaving = threading.Event()
        self._count = Counters()
        self._sent = SentBooks(epoch)
        self._connected = False
        self._last_error = ""
        self._said = ""

    @property
    def connected(self) -> bool:
        """The broker accepted us and the connection stands."""
        return self._connected

    @property
    def unmetered(self) -> bool:
        """Connected over a link that does not cost by the byte."""
        return self._connected and not self._budget.metered

    @property
    def last_error(self) -> str:
        """Why the last attempt or connection ended; kept while connected."""
        return self._last_error

    @property
    def stalled(self) -> bool:
        """The thread is stuck or new connections bring no answer: the watchdog of the agent must not be fed."""
        return self._progress.stalled(time.monotonic())

    def wake(self) -> None:
        """Something was appended to the spool."""
        self._waker.wake()

    def goodbye(self) -> None:
        """Say a graceful Death, disconnect and let run() return, as at its stop."""
        self._leaving.set()
        self._waker.wake()

    def counters(self) -> dict[str, float]:
        """Counters since the start, and gauges: connected (0 or 1), in_flight, waiting (for the durable ack),
        metered (0 or 1), held_classes (whose byte budget is spent)."""
        values = self._count.as_floats()
        values["connected"] = float(self._connected)
        values["in_flight"] = float(self._schedule.in_flight)
        values["waiting"] = float(self._schedule.tracked)
        values["metered"] = float(self._budget.metered)
        values["held_classes"] = float(len(self._budget.held))
        return values

    def run(self, stop: threading.Event) -> None:
        """Body of the uplink thread; returns soon after stop is set or goodbye() is called."""
        try:
            while not self._over(stop):
                self._one_connection(stop)
        finally:
            self._waker.close()

    def _over(self, stop: threading.Event) -> bool:
        return stop.is_set() or self._leaving.is_set()

    def _one_connection(self, stop: threading.Event) -> None:
        """Connect, serve until it ends, wait before the next one."""
        link = Link(self._van, self._epoch, self._mqtt, self._settings.inflight_max, self._waker)
        self._progress.beat(time.monotonic())
        try:
            link.open(lambda: self._over(stop))
        except LinkError as cause:
            self._count.connect_failures += 1
            self._complain(str(cause), "not connected")
        else:
            self.welcome(link)
            self._serve(link, stop)
            if self._over(stop):
                self._farewell(link)
        finally:
            pause_s = self.part(link)
        self._pause(pause_s, stop)

    def part(self, link: Link) -> float:
        """The end of a connection, or of the attempt at one: seconds to wait before the next."""
        now_s = time.monotonic()
        link.close()
        if self._connected:
            self._connected = False
            self._schedule.disconnected(now_s)
        return self._backoff.failed(now_s)

    def _pause(self, seconds: float, stop: threading.Event) -> None:
        """Wait before the next attempt, with the watchdog fed."""
        until_s = time.monotonic() + seconds
        while not self._over(stop) and (left_s := until_s - time.monotonic()) > 0:
            self._progress.beat(time.monotonic())
            stop.wait(min(STEP_S_MAX, left_s))

    def welcome(self, link: Link) -> None:
        """A connection stands."""
        now_s = time.monotonic()
        self._count.connects += 1
        self._count.reconnects += self._count.connects > 1
        self._backoff.connected(now_s)
        self._schedule.connected(link.receive_max, link.session_present, now_s)
        self._progress.connected(now_s)
        if self._meter is not None:
            self._meter.look(now_s)  # before anybody may ask whether this link is unmetered
        self._connected = True
        self._said = ""
        _log.info("connected", host=self._mqtt.host, port=self._mqtt.port, session_present=link.session_present,
                  window=self._schedule.window)  # fmt: skip

    def _serve(self, link: Link, stop: threading.Event) -> None:
        """Send and listen until the connection ends, the agent leaves or nothing gets through."""
        while link.up and not self._over(stop):
            if not self.turn(link):
                return
        self._take(link)  # what came with the last bytes
        if not self._over(stop):
            self._complain(link.end, "connection lost")

    def turn(self, link: Link) -> bool:
        """Send what may go, wait for the network, take what came; False: this connection gets nothing through."""
        if self._meter is not None:
            self._meter.look(time.monotonic())
        self._fill(link)
        link.step(STEP_S_MAX)
        self._take(link)
        free = [
            c for c in DeliveryClass if c not in self._budget.held
        ]  # what is held back on purpose is no stall
        waiting = any(self._spool.next_after(c, -1) is not None for c in free)
        if not self._progress.must_rebuild(time.monotonic(), waiting, self._schedule.in_flight):
            return True
        self._count.rebuilds += 1
        link.leave()  # in order: the van is not dead
        self._complain(self._progress.text, "connection built anew")
        return False

    def _fill(self, link: Link) -> None:
        """Send what the window allows."""
        while link.up and (choice := self._schedule.choose(time.monotonic())) is not None:
            message = self._spool.load(choice.entry)
            if message is None:
                self._count.unreadable += 1
                self._schedule.postpone(choice, time.monotonic())
                continue
            topic = self._topics[choice.entry.stream[1]]
            size = publish_bytes(topic, message)
            if link.packet_bytes_max is not None and size > link.packet_bytes_max:
                self._too_large(choice, size, link.packet_bytes_max)
                continue
            mid = link.publish(topic, message)
            if mid is None:
                return
            self._sent.sent(choice.entry)
            self._count.resends += self._schedule.sent(choice, mid)
            self._count.messages_sent += 1
            self._count.bytes_sent += size

    def _too_large(self, choice: Choice, size: int, limit: int) -> None:
        self._count.oversize += 1
        _log.error("envelope larger than the broker takes", packet_bytes=size, packet_bytes_max=limit,
                   seq=choice.entry.seq, fix="raise the broker's max_packet_size to 300000")  # fmt: skip
        self._schedule.skip(choice)
        if self._on_oversize is not None:
            self._call("on_oversize", functools.partial(self._on_oversize, choice.entry))

    def _take(self, link: Link) -> set[int]:
        """PUBACKs to the schedule, messages to where they belong; the packet ids that were answered."""
        for topic in link.refused_topics:
            self._complain(f"subscribe to {topic}; allow it to this van at the broker", "acks will not come")
        link.refused_topics.clear()
        answered = set()
        for event in link.take():
            if isinstance(event, Answered):
                answered.add(event.mid)
                self._answered(event)
            else:
                self._received(event)
        return answered

    def _answered(self, answer: Answered) -> None:
        now_s = time.monotonic()
        self._progress.answered()
        if answer.delivered:
            self._count.pubacks += self._schedule.confirmed(answer.mid, now_s)
        elif self._schedule.refused(answer.mid, now_s):
            self._count.refused += 1
            fix = REFUSED_FIXES.get(answer.reason, "check the broker's log")
            why = f"the broker did not deliver: {answer.text} (0x{answer.reason:02x}); {fix}"
            self._complain(why, "message refused")

    def _received(self, message: Received) -> None:
        if message.leaf == "ack":
            self._acked(message.payload)
        elif message.leaf == "command":
            self._count.commands += 1
            self._call("on_command", functools.partial(self._on_command, message.payload))
        else:
            self._count.campaigns += 1
            if self._on_campaign is not None:
                self._call("on_campaign", functools.partial(self._on_campaign, message.payload))

    def _acked(self, payload: bytes) -> None:
        """A durable ack: the one thing that frees spool space."""
        try:
            ack = Ack.decode(payload)
        except EnvelopeError as cause:
            self._count.acks_bad += 1
            _log.warning("ack not understood", cause=str(cause), bytes=len(payload))
            return
        if ack.van != self._van:
            self._count.acks_foreign += 1
            _log.warning("ack for another van ignored", van=ack.van)
            return
        self._count.acks += 1
        durable, unsent = self._sent.believable(ack.durable)
        if unsent:
            if not self._count.acks_unsent:
                _log.error("durable acks for envelopes that were never sent; they free nothing", envelopes=unsent,
                           fix="only the bridge may write to down/ack: check the broker's access list")  # fmt: skip
            self._count.acks_unsent += unsent
        newly = self._spool.ack(replace(ack, durable=durable))
        self._schedule.acked(durable)
        if newly:
            self._count.acked += newly
            self._progress.acked(time.monotonic())
        if ack.rebirth_catalog_hashes:
            self._count.rebirths += 1
            self._call("on_rebirth", functools.partial(self._on_rebirth, ack.rebirth_catalog_hashes))

    def _farewell(self, link: Link) -> None:
        """Graceful Death, its PUBACK (at most GOODBYE_S_MAX), normal DISCONNECT. A dead link just ends."""
        give_up_s = time.monotonic() + GOODBYE_S_MAX
        self._listen(link, give_up_s, lambda _: self._schedule.in_flight < link.receive_max)
        if not link.up or self._schedule.in_flight >= link.receive_max:
            return  # one message more than the broker takes would be an error of ours; the will says that we are gone
        mid = link.publish(topics.death(self._van), Death(self._van, self._epoch, graceful=True).encode())
        if mid is not None:
            self._listen(link, give_up_s, lambda answered: mid in answered)
        link.leave()

    def _listen(self, link: Link, until_s: float, enough: Callable[[set[int]], bool]) -> None:
        """Take what comes until enough packet ids are answered, or until a time, or the end of the connection."""
        answered: set[int] = set()
        while link.up and not enough(answered) and (left_s := until_s - time.monotonic()) > 0:
            link.step(min(STEP_S_MAX, left_s))
            answered |= self._take(link)

    def _call(self, name: str, call: Callable[[], None]) -> None:
        """Run a callback of the agent; its failure must not cost the connection."""
        try:
            call()
        except Exception as cause:  # the border to code that is not ours
            self._count.callback_failures += 1
            _log.error("callback failed", callback=name, cause=str(cause), exc_info=cause)

    def _complain(self, text: str, event: str) -> None:
        """Note an error; log it once until another reason comes up."""
        self._last_error = text
        if text != self._said:
            self._said = text
            _log.warning(event, cause=text)
