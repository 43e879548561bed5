"""MQTT 5 for the bridge: deliveries in, PUBACKs and publishes out. The only file of the cloud side that imports paho.

One thread owns paho wholly: it connects, reconnects with full jitter, reads and writes; nobody else touches a client, so
nothing can be written twice or killed by a callback. What happens leaves as values, in lots, in the event loop; what is
to be sent comes in through a queue. Every connection has a number and a client of its own: a PUBACK for an old
connection cannot reach a reused packet id. After a connection the next one waits for release(), so that what one
connection brought is all that the bridge can hold. Messages are never acknowledged here on our own.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from cloud.bridge.happenings import (
    Connected,
    Delivery,
    Disconnected,
    Happening,
    Published,
    Subscribed,
)
from cloud.connection import optional_tls, password_of, tls_problem
from cloud.log import Seldom
from cloud.settings import MqttSection
from vantel.envelope import MESSAGE_BYTES_MAX

CONNECT_S_MAX = 5.0
STEADY_S = 10.0
"""A connection that lasted so long was good: the next back-off starts small again."""
PACKET_BYTES_MAX = MESSAGE_BYTES_MAX + 64 * 1024
"""The broker sends us nothing larger; what is between this and the message limit becomes a dead letter."""
IN_FLIGHT_BYTES_MAX = 512 * 1024 * 1024
PUBLISH_WINDOW_MAX = 200
LOST = "the connection was lost"

FIXES = {
    0x86: "check mqtt.username and mqtt.password_file",
    0x87: "let this client connect, read v1/+/+/up/+ and write v1/+/+/down/+ in the broker's access list",
    0x8E: "another bridge uses the same mqtt.client_id; every replica needs its own",
}
_log = structlog.get_logger("mqtt")


def receive_maximum_of(mqtt: MqttSection) -> int:
    """Messages that may be without PUBACK: as set, but never more than IN_FLIGHT_BYTES_MAX of the largest."""
    return min(mqtt.receive_maximum, IN_FLIGHT_BYTES_MAX // PACKET_BYTES_MAX)


class MqttLink:
    """The link to the broker; start() once, stop() once."""

    def __init__(
        self,
        mqtt: MqttSection,
        filters: Sequence[str],
        foreign_filters: Sequence[str],
        take: Callable[[list[Happening]], None],
    ) -> None:
        """take is called in the event loop. foreign_filters: left over from other settings, to be unsubscribed."""
        self._mqtt, self._filters, self._foreign, self._take = (
            mqtt,
            list(filters),
            list(foreign_filters),
            take,
        )
        self._tls = optional_tls("mqtt", mqtt.host, mqtt)
        self._password = password_of("mqtt", mqtt)
        self._receive_maximum = receive_maximum_of(mqtt)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._happened: deque[Happening] = deque()
        self._handed_over = threading.Lock()
        self._scheduled = False
        self._orders: deque[tuple[int, int, str, bytes, int, int, bool]] = deque()
        self._read_end, self._write_end = socket.socketpair()
        self._read_end.setblocking(False)
        self._write_end.setblocking(False)
        self._stop = threading.Event()
        self._released = threading.Event()
        self._released.set()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._number = 0
        self._unacked = 0
        self._end = ""
        self._accepted = False
        self._tags: dict[int, int] = {}
        self._seldom = Seldom()

    def start(self) -> None:
        """Connect and stay connected; call in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def puback(self, connection: int, mid: int) -> None:
        """Acknowledge a message of a connection; nothing happens when it is gone."""
        self._order(connection, mid, "", b"", 0, 0)

    def publish(
        self, connection: int, topic: str, payload: bytes, tag: int, expiry_s: int = 0, retain: bool = False
    ) -> None:
        """Send with QoS 1; Published comes with the tag unless the connection ends first.

        expiry_s: the broker drops the message when it could not deliver it for so long; 0 never. retain: whoever
        subscribes later gets it too.
        """
        self._order(connection, 0, topic, payload, tag, expiry_s, retain)

    def release(self) -> None:
        """The next connection may be made: nothing of the last one is held any more."""
        self._released.set()

    async def stop(self, timeout_s: float) -> None:
        """Write what was ordered, disconnect, end the thread."""
        self._stop.set()
        self._released.set()
        self._wake()
        give_up_s = time.monotonic() + timeout_s
        while self._thread.is_alive() and time.monotonic() < give_up_s:
            await asyncio.sleep(0.01)
        if not self._thread.is_alive():
            self._read_end.close()
            self._write_end.close()

    def _order(
        self,
        connection: int,
        mid: int,
        topic: str,
        payload: bytes,
        tag: int,
        expiry_s: int,
        retain: bool = False,
    ) -> None:
        wake = not self._orders
        self._orders.append((connection, mid, topic, payload, tag, expiry_s, retain))
        if wake:
            self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it wakes anyway
            self._write_end.send(b"w")

    # Everything below runs in the thread, but for _hand_over.

    def _tell(self, happening: Happening) -> None:
        self._happened.append(happening)
        with self._handed_over:
            if self._scheduled or self._loop is None:
                return
            self._scheduled = True
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._hand_over)

    def _hand_over(self) -> None:
        with self._handed_over:
            self._scheduled = False
        lot = [self._happened.popleft() for _ in range(len(self._happened))]
        self._take(lot)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            self._number += 1
            self._end, self._accepted, self._unacked = "", False, 0
            self._tags.clear()
            start_s = time.monotonic()
            try:
                self._connection()
            except (
                Exception
            ) as cause:  # a packet that paho cannot digest costs the connection, not the bridge
                self._end = self._end or _cause(cause)
            steady = self._accepted and time.monotonic() - start_s > STEADY_S
            if self._accepted:
                self._released.clear()
                if self._end == LOST and not steady:  # Mosquitto 2.0.11 does not say that it was a takeover
                    self._end += f"; if this repeats: {FIXES[0x8E]}"
            self._tell(Disconnected(self._number, self._end))
            if self._stop.is_set():
                break
            failures = 0 if steady else failures + 1
            held = self._seldom.allow(self._end)
            if held is not None:
                where = f"{self._mqtt.host}:{self._mqtt.port}"
                _log.warning("no MQTT connection, trying again", broker=where, cause=self._end, held=held)
            ceiling_s = min(self._mqtt.backoff_s_max, self._mqtt.backoff_s_min * 2.0 ** min(failures, 20))
            self._stop.wait(random.uniform(0.0, ceiling_s))
            self._released.wait()

    def _connection(self) -> None:
        """One connection from CONNECT to its end; the reason is in _end."""
        client = self._client()
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._mqtt.session_expiry_s
        properties.ReceiveMaximum = self._receive_maximum
        properties.MaximumPacketSize = PACKET_BYTES_MAX
        client.connect(
            self._mqtt.host, self._mqtt.port, self._mqtt.keepalive_s, clean_start=False, properties=properties
        )
        link = client.socket()
        if isinstance(link, socket.socket):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer_by_s = time.monotonic() + CONNECT_S_MAX
        while not self._end and not self._stop.is_set():
            if not self._accepted and time.monotonic() > answer_by_s:
                self._end = f"no answer for {CONNECT_S_MAX:.0f} s; is it an MQTT 5 broker?"
            self._step(client, 1.0 if self._accepted else 0.1)
            self._obey(client)
        leave_by_s = time.monotonic() + 1.0
        while self._accepted and not self._end and client.want_write() and time.monotonic() < leave_by_s:
            self._step(client, 0.05)
        client.disconnect()
        link = client.socket()
        if link is not None:
            link.close()

    def _client(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._mqtt.client_id,
            protocol=paho.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_S_MAX
        client.max_inflight_messages = client.max_queued_messages = PUBLISH_WINDOW_MAX + 1
        if self._tls is not None:
            client.tls_set_context(self._tls)
        if self._mqtt.username is not None:
            client.username_pw_set(self._mqtt.username, self._password)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    def _step(self, client: paho.Client, timeout_s: float) -> None:
        """Wait for the network or an order, then read and write what there is."""
        link = client.socket()
        if link is None:
            self._end = self._end or LOST
            return
        # Mosquitto 2.0.11 sends more than the receive maximum once PUBACKs flow (measured: 386 instead of 100): then the
        # rest waits in the socket. A broker that keeps to it is read on, so that its PINGRESP is seen in a long outage.
        full = self._unacked > self._receive_maximum
        pending = not full and isinstance(link, ssl.SSLSocket) and link.pending() > 0
        poll = select.poll()
        poll.register(link, (0 if full else select.POLLIN) | (select.POLLOUT if client.want_write() else 0))
        poll.register(self._read_end, select.POLLIN)
        ready = dict(poll.poll(0.0 if pending else timeout_s * 1000.0))
        if ready.pop(self._read_end.fileno(), 0):
            with contextlib.suppress(BlockingIOError):
                self._read_end.recv(4096)
        flags = next(iter(ready.values()), 0)
        if full and flags & (select.POLLHUP | select.POLLERR):
            self._end = LOST
        if pending or (flags & ~select.POLLOUT and not full):
            client.loop_read()
        if flags & select.POLLOUT:
            client.loop_write()
        client.loop_misc()

    def _obey(self, client: paho.Client) -> None:
        """Carry out the orders for this connection; those for older ones are dropped."""
        while self._orders and not self._end:
            connection, mid, topic, payload, tag, expiry_s, retain = self._orders.popleft()
            if connection != self._number:
                continue
            if mid:
                self._unacked -= 1
                client.ack(mid, 1)
                continue
            properties = None
            if expiry_s:
                properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
                properties.MessageExpiryInterval = expiry_s
            info = client.publish(topic, payload, qos=1, retain=retain, properties=properties)
            if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._tags[info.mid] = tag
            else:
                self._end = f"publish failed: {paho.error_string(info.rc)}"

    def _on_connect(
        self,
        client: paho.Client,
        _data: object,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        got: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._end = f"the broker refuses: {_reason(reason)}"
            return
        self._accepted = True
        window = min(PUBLISH_WINDOW_MAX, int(getattr(got, "ReceiveMaximum", PUBLISH_WINDOW_MAX)))
        self._tell(Connected(self._number, flags.session_present, window))
        if self._foreign and flags.session_present:
            client.unsubscribe(self._foreign)
        if not self._filters:
            self._tell(Subscribed(self._number))
            return
        options = SubscribeOptions(qos=1, retainHandling=1)
        client.subscribe([(topic, options) for topic in self._filters])

    def _on_disconnect(
        self,
        _client: object,
        _data: object,
        flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _got: object,
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            why = f"the broker closed it: {_reason(reason)}"
        elif self._accepted:
            why = LOST
        else:
            why = "the broker closed it without a word; does it want TLS, a certificate of ours, or another port?"
        self._end = self._end or why

    def _on_subscribe(
        self, _client: object, _data: object, _mid: int, reasons: list[ReasonCode], _got: object
    ) -> None:
        refused = [
            f"{name}: {_reason(code)}"
            for name, code in zip(self._filters, reasons, strict=False)
            if code.is_failure
        ]
        if refused:
            self._end = f"the broker refuses subscription {refused[0]}"
        else:
            self._tell(Subscribed(self._number))

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        now_unix_ns = time.time_ns()
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        if message.qos:
            self._unacked += 1
        mid = message.mid if message.qos else 0
        self._tell(Delivery(self._number, mid, topic, bytes(message.payload), now_unix_ns))

    def _on_publish(self, _client: object, _data: object, mid: int, reason: ReasonCode, _got: object) -> None:
        tag = self._tags.pop(mid, 0)
        self._tell(Published(self._number, tag, _reason(reason) if reason.is_failure else ""))


def _reason(reason: ReasonCode) -> str:
    """A reason code as text, with the fix where there is one."""
    fix = FIXES.get(reason.value)
    return f"{reason}; {fix}" if fix else str(reason)


def _cause(cause: Exception) -> str:
    """Why there is no connection, with what to look at."""
    if isinstance(cause, ssl.SSLError):
        return tls_problem(cause, "mqtt")
    if isinstance(cause, ConnectionRefusedError):
        return "nobody listens there; is the broker up, is mqtt.port right?"
    if isinstance(cause, OSError):
        return f"{cause.strerror or cause}; check mqtt.host and the network"
    return f"{type(cause).__name__}: {cause}"
