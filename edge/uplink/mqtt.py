"""One MQTT 5 connection of a van, from CONNECT to its end. The only file of the agent that knows paho.

From topic and bytes to packet ids; back come PUBACKs, messages and the reason of the end, as values in a list. One
Link is one paho client and one TCP connection, driven by the thread that owns it: paho starts no thread, so none can
die, and its callbacks only note what came. A lost connection takes its client with it, so paho's queue never holds a
message for later. QoS 1 only. LinkError says what was tried, why it failed and what to do. Sources: MQTT 5.0; paho
2.x client.py (its publish() keeps a message for later when there is no connection, and sets is_published for a refusal).
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.settings import MqttSection, SettingsError
from edge.uplink import connection
from edge.uplink.link_errors import (
    CLOSED_SILENTLY,
    KEEP_ALIVE_TIMEOUT,
    REFUSED_SILENTLY,
    REFUSED_SILENTLY_TLS,
    LinkError,
    alert_text,
    cause_text,
    reason_text,
)
from vantel import topics
from vantel.identity import Epoch
from vantel.payloads import Death

CONNECT_S_MAX = 10.0
VERDICT_S_MAX = 2.0
DOWNLINK_BYTES_MAX = 300_000
DOWNLINK_INFLIGHT_MAX = 64
RECEIVE_MAX_DEFAULT = 65_535  # MQTT 5.0, 3.2.2.3.3
DOWN_LEAVES = ("ack", "command", "campaign")


class Answered(NamedTuple):
    """A PUBACK."""

    mid: int
    reason: int  # reason code
    text: str

    @property
    def delivered(self) -> bool:
        """The broker passed it on. 0x10 means that nobody subscribed: thrown away."""
        return self.reason < 0x80 and self.reason != 0x10


class Received(NamedTuple):
    """A message to this van."""

    leaf: str  # ack, command or campaign
    payload: bytes


class Waker:
    """Ends a Link.step early, from any thread."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)

    def fileno(self) -> int:
        """For poll()."""
        return self._read.fileno()

    def wake(self) -> None:
        """End the present or the next step."""
        with contextlib.suppress(OSError):  # full: it wakes anyway; closed: nobody sleeps
            self._write.send(b"w")

    def clear(self) -> None:
        """Take the wake-ups that came."""
        with contextlib.suppress(BlockingIOError):
            while self._read.recv(4096):
                pass

    def close(self) -> None:
        """Give the sockets back."""
        self._read.close()
        self._write.close()


def publish_bytes(topic: str, payload: bytes) -> int:
    """Size of a QoS 1 PUBLISH packet without properties (MQTT 5.0, 3.3): what bytes_sent and size limits count."""
    remaining = 2 + len(topic.encode()) + 2 + 1 + len(payload)
    length_bytes = 1 if remaining < 1 << 7 else 2 if remaining < 1 << 14 else 3 if remaining < 1 << 21 else 4
    return 1 + length_bytes + remaining


class Link:
    """One connection; open() first, then step() often, close() last. All calls from one thread."""

    def __init__(self, van: str, epoch: Epoch, mqtt: MqttSection, inflight_max: int, waker: Waker) -> None:
        self._mqtt = mqtt
        self._waker = waker
        self._leaf_of = {topics.down(van, leaf): leaf for leaf in DOWN_LEAVES}
        self._connected = False
        self._end = ""
        self._events: deque[Answered | Received] = deque()  # bounded: a step reads a window of packets
        self.receive_max = RECEIVE_MAX_DEFAULT
        self.packet_bytes_max: int | None = None
        self.session_present = False
        self.keepalive_s = mqtt.keepalive_s
        self.refused_topics: list[str] = []
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=van, protocol=paho.MQTTv5, reconnect_on_failure=False
        )
        client.max_inflight_messages = inflight_max + 1  # the goodbye goes beside a full window
        client.max_queued_messages = inflight_max + 1
        client.connect_timeout = CONNECT_S_MAX
        client.will_set(topics.death(van), Death(van, epoch, graceful=False).encode(), qos=1, retain=False)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        self._client = client

    @property
    def up(self) -> bool:
        """The broker accepted us and our subscriptions, and the connection stands."""
        return self._connected and not self._end

    @property
    def end(self) -> str:
        """Why the connection ended; "" while it stands."""
        return self._end

    def look_only(self) -> None:
        """Before open(): what is delivered stays unacknowledged, so that the agent gets it at its next connection."""
        self._client.manual_ack_set(True)

    def open(self, cancelled: Callable[[], bool]) -> None:
        """Connect and wait for the broker's word, CONNECT_S_MAX each. LinkError when there will be no connection."""
        where = f"connect to the broker at {self._mqtt.host}:{self._mqtt.port}"
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = self._mqtt.session_expiry_s
        properties.ReceiveMaximum = DOWNLINK_INFLIGHT_MAX
        properties.MaximumPacketSize = DOWNLINK_BYTES_MAX
        try:
            context = connection.tls_context(self._mqtt)
            if context is not None:
                self._client.tls_set_context(context)
            secret = connection.password(self._mqtt)
            if self._mqtt.username is not None or secret is not None:
                self._client.username_pw_set(self._mqtt.username, secret)  # type: ignore[arg-type]  # bytes are taken
            self._client.connect(
                self._mqtt.host,
                self._mqtt.port,
                self._mqtt.keepalive_s,
                clean_start=False,
                properties=properties,
            )
            self._tune()
        except SettingsError as cause:
            raise LinkError(f"{where}: {cause}") from cause
        except Exception as cause:  # OSError, ValueError, ssl errors: whatever it is, no connection
            raise LinkError(f"{where}: {cause_text(cause)}") from cause
        give_up_s = time.monotonic() + CONNECT_S_MAX
        while not self._connected and not self._end:
            left_s = give_up_s - time.monotonic()
            if cancelled():
                raise LinkError(f"{where}: given up, the agent leaves")
            if left_s <= 0:
                raise LinkError(f"{where}: no answer for {CONNECT_S_MAX:.0f} s; is it an MQTT broker?")
            self.step(min(0.2, left_s))
        if self._end == CLOSED_SILENTLY:
            self._end = REFUSED_SILENTLY if context is None else _verdict(self._mqtt, context)
        if self._end:
            raise LinkError(f"{where}: {self._end}")

    def publish(self, topic: str, payload: bytes) -> int | None:
        """Hand over a QoS 1 message; its packet id, or None when the connection is at its end."""
        try:
            info = self._client.publish(topic, payload, qos=1)
        except Exception as cause:
            self._fail(f"publish failed: {cause_text(cause)}")
            return None
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._fail(f"publish failed: {paho.error_string(info.rc)}")
            return None
        return info.mid

    def step(self, timeout_s: float) -> None:
        """Wait for the network or a wake-up, at most timeout_s, and do what there is to do."""
        link = self._client.socket()
        if link is None:
            self._fail("the connection was closed")
            return
        if isinstance(link, ssl.SSLSocket) and link.pending():
            timeout_s = 0.0
        poll = select.poll()
        poll.register(link, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        poll.register(self._waker.fileno(), select.POLLIN)
        try:
            ready = dict(poll.poll(timeout_s * 1000.0))
            if ready.pop(self._waker.fileno(), 0):
                self._waker.clear()
            flags = next(iter(ready.values()), 0)
            if flags & ~select.POLLOUT or timeout_s == 0.0:
                self._client.loop_read()
            if flags & select.POLLOUT:
                self._client.loop_write()
            self._client.loop_misc()
        except Exception as cause:  # what paho cannot digest costs the connection, not the thread
            self._fail(f"not understood: {cause_text(cause)}")

    def take(self) -> list[Answered | Received]:
        """What came since the last call."""
        taken = list(self._events)
        self._events.clear()
        return taken

    def leave(self) -> None:
        """Normal DISCONNECT: the broker drops the will."""
        with contextlib.suppress(OSError, ValueError):
            self._client.disconnect()
        self.close()

    def close(self) -> None:
        """Close the socket, without a word to the broker if leave() did not say one. Safe to call twice."""
        self._connected = False
        self._end = self._end or "closed"
        link = self._client.socket()
        if link is not None:
            with contextlib.suppress(OSError):
                link.close()

    def _tune(self) -> None:
        """Send at once, and give up on a peer that stopped to acknowledge bytes."""
        link = self._client.socket()
        if link is not None:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self.keepalive_s * 1500)

    def _fail(self, why: str) -> None:
        self._end = self._end or why

    def _on_connect(
        self,
        client: paho.Client,
        _data: object,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        got: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._fail(f"refused: {reason_text(reason.value, str(reason))}")
            return
        self.receive_max = int(getattr(got, "ReceiveMaximum", RECEIVE_MAX_DEFAULT))
        self.packet_bytes_max = getattr(got, "MaximumPacketSize", None)
        self.session_present = flags.session_present
        told_s = getattr(got, "ServerKeepAlive", None)
        if (
            told_s is not None
        ):  # the client must use it instead of its own (MQTT 5.0, 3.2.2.3.14); paho pings by it
            self.keepalive_s = int(told_s)
            self._tune()
        if getattr(got, "MaximumQoS", 1) < 1:
            self._fail("refused: the broker takes QoS 0 only; allow QoS 1 there")
            return
        # Not up before the SUBACK: what is sent down until then would find no subscriber in a new session.
        client.subscribe([(topic, paho.SubscribeOptions(qos=1)) for topic in self._leaf_of])

    def _on_disconnect(
        self, _client: object, _data: object, flags: paho.DisconnectFlags, reason: ReasonCode, _got: object
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._fail(f"the broker closed it: {reason_text(reason.value, str(reason))}")
        elif reason.value == KEEP_ALIVE_TIMEOUT:
            self._fail("the broker did not answer a ping; check the network")
        else:
            self._fail(CLOSED_SILENTLY)

    def _on_publish(self, _client: object, _data: object, mid: int, reason: ReasonCode, _got: object) -> None:
        self._events.append(Answered(mid, reason.value, str(reason)))

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        leaf = self._leaf_of.get(message.topic)
        if leaf is not None:
            self._events.append(Received(leaf, bytes(message.payload)))

    def _on_subscribe(
        self, _client: object, _data: object, _mid: int, reasons: list[ReasonCode], _got: object
    ) -> None:
        refused = zip(self._leaf_of, reasons, strict=False)
        self.refused_topics += [f"{topic}: {reason}" for topic, reason in refused if reason.is_failure]
        self._connected = True


def _verdict(mqtt: MqttSection, context: ssl.SSLContext) -> str:
    """Why a broker ended a TLS connection without a word of MQTT.

    With TLS 1.3 it judges our certificate after the handshake, and a CONNECT already on its way can destroy the alert
    that says so. So it is asked once more, without a CONNECT.
    """
    try:
        with (
            socket.create_connection((mqtt.host, mqtt.port), timeout=VERDICT_S_MAX) as plain,
            context.wrap_socket(plain, server_hostname=mqtt.host) as link,
        ):
            link.recv(1)
    except OSError as cause:
        return alert_text(str(cause)) or REFUSED_SILENTLY_TLS
    return REFUSED_SILENTLY_TLS
