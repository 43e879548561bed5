"""A simulated MQTT broker and the links to it.

Fair faults, as real brokers and networks have them: a link takes time, loses everything in flight when it ends, and may
end at any time; the broker acknowledges a message and then drops it when the queue of the bridge is full (Mosquitto
does), says 0x10 when nobody subscribed, delivers a message again after a reconnect and at times without one, changes
the order between messages, and forgets all sessions and queues at a restart without persistence. Unfair, and never
done: a changed byte, a message on another topic, a PUBACK for another packet id.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from cloud.bridge.happenings import Connected, Delivery, Disconnected, Happening, Published, Subscribed
from edge.uplink.link_errors import LinkError
from edge.uplink.mqtt import Answered, Received
from vantel_rig.sim.processes import ProcessLoop, current
from vantel_rig.sim.world import EPOCH_UNIX_NS, START_NS, World

QUEUED_MAX = 100
RECEIVE_MAX = 20
BRIDGE_WINDOW = 20
RECONNECT_S = 1.0


@dataclass
class Weather:
    """How bad links and broker are just now."""

    up: bool = True
    links_up: bool = True
    latency_s: float = 0.05
    duplicate: float = 0.0
    reorder_s: float = 0.0
    refuse: float = 0.0
    cut: float = 0.0


class VanLink:
    """One connection of a van, as edge.uplink.mqtt.Link is one."""

    def __init__(self, broker: Broker, van: str, wake: Callable[[], None]) -> None:
        self._broker, self.van, self._wake = broker, van, wake
        self.receive_max, self.packet_bytes_max = RECEIVE_MAX, None
        self.session_present = False
        self.refused_topics: list[str] = []
        self.end = ""
        self._open = False
        self._mid = 0
        self._events: deque[Answered | Received] = deque()

    @property
    def up(self) -> bool:
        """The connection stands."""
        return self._open and not self.end

    def open(self, _cancelled: Callable[[], bool]) -> None:
        """Connect, or LinkError."""
        if not (self._broker.weather.up and self._broker.weather.links_up):
            raise LinkError("no route to the broker")
        self._open = True
        self.session_present = self._broker.van_connected(self)

    def publish(self, topic: str, payload: bytes) -> int | None:
        """Hand a message to the network."""
        if not self.up:
            return None
        self._mid = self._mid % 65_535 + 1
        self._broker.from_van(self, self._mid, topic, payload)
        return self._mid

    def step(self, _timeout_s: float) -> None:
        """The world turns by itself."""

    def take(self) -> list[Answered | Received]:
        """What came."""
        taken = list(self._events)
        self._events.clear()
        return taken

    def leave(self) -> None:
        """Goodbye."""
        self.close()

    def close(self) -> None:
        """The connection ends on this side."""
        self.end = self.end or "closed"
        self._open = False
        self._broker.van_gone(self)

    def cut(self, why: str) -> None:
        """The connection ended on the way."""
        if self.up:
            self.end = why
            self._broker.van_gone(self)
            self._wake()

    def arrive(self, event: Answered | Received) -> None:
        """Something for the van."""
        if self.up:
            self._events.append(event)
            self._wake()


class BridgeLink:
    """The bridge's connections, as cloud.mqtt.MqttLink makes them."""

    def __init__(self, broker: Broker, take: Callable[[list[Happening]], None]) -> None:
        self._broker, self._take = broker, take
        self.process: ProcessLoop = current()
        self.connection = 0
        self.connected = False
        self._stopped = False
        self._released = True
        self._dialling = False

    def start(self) -> None:
        """Connect and stay connected."""
        self._dial(0.1)

    async def stop(self, _timeout_s: float) -> None:
        """Disconnect."""
        self._stopped = True
        self._broker.bridge_gone(self)

    def release(self) -> None:
        """The next connection may be made."""
        self._released = True
        if not self.connected:
            self._dial(RECONNECT_S)

    def puback(self, connection: int, mid: int) -> None:
        """Acknowledge a message."""
        self.process.step("puback")
        if connection == self.connection and self.connected:
            self._broker.bridge_puback(self, mid)

    def publish(self, connection: int, topic: str, payload: bytes, tag: int, expiry_s: int = 0) -> None:  # noqa: ARG002
        """Send to a van."""
        self.process.step("publish ack")
        if connection == self.connection and self.connected:
            self._broker.from_bridge(self, topic, payload, tag)

    def tell(self, *lot: Happening) -> None:
        """Into the event loop of the bridge."""
        if not self.process.dead:
            self.process.call_soon(self._take, list(lot))

    def cut(self, why: str) -> None:
        """The connection ended."""
        if self.connected:
            self.connected = False
            self._released = False
            self.tell(Disconnected(self.connection, why))

    def _dial(self, delay_s: float) -> None:
        if not self._dialling:
            self._dialling = True
            self._broker.world.at(delay_s, self._try)

    def _try(self) -> None:
        self._dialling = False
        if self.process.dead or self._stopped or self.connected or not self._released:
            return
        if not self._broker.weather.up or self.process.paused:
            self._dial(RECONNECT_S)
            return
        self.connection += 1
        self.connected = True
        present = self._broker.bridge_connected(self)
        self.tell(Connected(self.connection, present, BRIDGE_WINDOW), Subscribed(self.connection))


@dataclass
class _BridgeSession:
    """What the broker keeps for the bridge: messages in flight by packet id, and the queue behind them."""

    inflight: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    queue: deque[tuple[str, bytes]] = field(default_factory=deque)
    mid: int = 0


class Broker:
    """See the module. receive_maximum: how much the bridge takes without PUBACK."""

    def __init__(self, world: World, receive_maximum: int, persistent: bool) -> None:
        self.world, self.persistent = world, persistent
        self.weather = Weather()
        self._receive_maximum = receive_maximum
        self._rng = world.stream("broker")
        self._vans: dict[str, VanLink] = {}
        self._van_queues: dict[str, deque[tuple[str, bytes]]] = {}
        self._bridge: BridgeLink | None = None
        self._session: _BridgeSession | None = None
        self.seen: Callable[[str, bytes], None] = lambda _topic, _payload: None

    # vans

    def van_connected(self, link: VanLink) -> bool:
        """A van is there; whether its session was known."""
        old = self._vans.pop(link.van, None)
        if old is not None:
            old.cut("taken over")
        self._vans[link.van] = link
        present = link.van in self._van_queues
        queue = self._van_queues.setdefault(link.van, deque())
        while queue:
            topic, payload = queue.popleft()
            self._to_van(link, topic, payload)
        return present

    def van_gone(self, link: VanLink) -> None:
        """A van's connection ended."""
        if self._vans.get(link.van) is link:
            del self._vans[link.van]

    def from_van(self, link: VanLink, mid: int, topic: str, payload: bytes) -> None:
        """A PUBLISH on its way to the broker."""
        self.seen(topic, payload)
        if self._rng.random() < self.weather.cut:
            self.world.at(self._delay(), link.cut, "the network lost it")
            self.world.count("link cut in a message")
            if self._rng.random() < 0.5:
                return  # lost with the connection; else it arrives and only its PUBACK is lost
        self.world.at(self._delay(), self._arrived, link, mid, topic, payload)

    def _arrived(self, link: VanLink, mid: int, topic: str, payload: bytes) -> None:
        if not self.weather.up:
            return
        if self._rng.random() < self.weather.refuse:
            self.world.count("puback quota exceeded")
            self.world.at(self._delay(), link.arrive, Answered(mid, 0x97, "quota exceeded"))
            return
        if self._session is None:
            self.world.count("puback nobody subscribed")
            self.world.at(self._delay(), link.arrive, Answered(mid, 0x10, "no matching subscribers"))
            return
        copies = 1 + (self._rng.random() < self.weather.duplicate) * self._rng.randint(1, 3)
        if copies > 1:
            self.world.count("duplicate delivery", copies - 1)
        for _ in range(copies):
            self.world.at(self._rng.uniform(0.0, self.weather.reorder_s), self._to_bridge, topic, payload)
        self.world.at(self._delay(), link.arrive, Answered(mid, 0, "success"))

    def _to_van(self, link: VanLink, topic: str, payload: bytes) -> None:
        event = Received(topic.rpartition("/")[2], payload)
        self.world.at(self._delay(), link.arrive, event)

    # bridge

    def bridge_connected(self, link: BridgeLink) -> bool:
        """The bridge is there; unacknowledged messages go out again."""
        self._bridge = link
        present = self._session is not None
        session = self._session = self._session or _BridgeSession()
        again = list(session.inflight.values())
        session.inflight.clear()
        session.queue.extendleft(reversed(again))
        self._pump()
        return present

    def bridge_gone(self, link: BridgeLink) -> None:
        """The bridge's connection ended."""
        if self._bridge is link:
            self._bridge = None
        link.connected = False

    def _to_bridge(self, topic: str, payload: bytes) -> None:
        session = self._session
        if session is None:
            self.world.count("message dropped after its puback")
            return
        if len(session.queue) >= QUEUED_MAX:
            self.world.count("message dropped after its puback")
            return
        session.queue.append((topic, payload))
        self._pump()

    def _pump(self) -> None:
        session, link = self._session, self._bridge
        if session is None or link is None or not link.connected:
            return
        if link.process.dead:
            return
        while session.queue and len(session.inflight) < self._receive_maximum:
            topic, payload = session.queue.popleft()
            session.mid = session.mid % 65_535 + 1
            session.inflight[session.mid] = (topic, payload)
            now_ns = EPOCH_UNIX_NS + self.world.now_ns - START_NS
            delivery = Delivery(link.connection, session.mid, topic, payload, now_ns)
            self.world.at(0.001, self._deliver, link, delivery)

    def _deliver(self, link: BridgeLink, delivery: Delivery) -> None:
        if link.connected and link.connection == delivery.connection:
            link.tell(delivery)

    def bridge_puback(self, link: BridgeLink, mid: int) -> None:
        """The bridge has a message."""
        if self._session is not None and self._bridge is link:
            self._session.inflight.pop(mid, None)
            self.world.at(0.001, self._pump)

    def from_bridge(self, link: BridgeLink, topic: str, payload: bytes, tag: int) -> None:
        """A message to a van."""
        self.world.at(0.002, self._down, link, link.connection, topic, payload, tag)

    def _down(self, link: BridgeLink, connection: int, topic: str, payload: bytes, tag: int) -> None:
        if not self.weather.up or link.connection != connection or not link.connected:
            return
        van = topic.split("/")[2]
        van_link = self._vans.get(van)
        if van_link is not None:
            self._to_van(van_link, topic, payload)
        elif van in self._van_queues and len(self._van_queues[van]) < QUEUED_MAX:
            self._van_queues[van].append((topic, payload))
        link.tell(Published(connection, tag, ""))

    # faults

    def bridge_died(self) -> None:
        """The process behind the bridge's connection is gone."""
        if self._bridge is not None:
            self._bridge.connected = False
            self._bridge = None

    def cut_all(self, why: str, bridge: bool) -> None:
        """All connections of vans end, and the bridge's if so."""
        for van in sorted(self._vans):
            self._vans[van].cut(why)
        if bridge and self._bridge is not None:
            link, self._bridge = self._bridge, None
            link.cut(why)

    def stop(self) -> None:
        """The broker goes down; without persistence it forgets everything."""
        self.weather.up = False
        self.cut_all("the broker went down", bridge=True)
        if not self.persistent:
            self._van_queues.clear()
            self._session = None

    def _delay(self) -> float:
        return self.weather.latency_s * self._rng.uniform(0.5, 1.5)


def reset(weather: Weather) -> None:
    """The weather of a healed world."""
    weather.up = weather.links_up = True
    weather.latency_s = 0.05
    weather.duplicate = weather.reorder_s = weather.refuse = weather.cut = 0.0
