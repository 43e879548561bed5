"""Goal: against a real Mosquitto nothing is lost and nothing is silently dropped: delivery, resend, broker death, no
bridge, bounds, refusals, TLS, foreign and damaged acks, a callback that raises, goodbye and will.

Method: the agent's Uplink on the tests' outbox in memory; a tiny bridge (plain paho) that notes what it gets and sends
durable acks; hand-made listeners where a broker must misbehave.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge import connection
from edge.mqtt import Waker, publish_bytes
from edge.settings import MqttSection, SettingsError, SpoolSection, UplinkSection
from edge.spool import Spool
from edge.spool.index import Entry
from edge.uplink_thread import Uplink
from tests.edge.memory_outbox import MemoryOutbox
from vantel import topics
from vantel.acks import Ack
from vantel.envelope import ClockStamp, open_message
from vantel.identity import DeliveryClass, Epoch, PayloadKind
from vantel.intervals import IntervalSet
from vantel.payloads import Death
from vantel_rig.ports import HeldPort
from vantel_rig.process import Process
from vantel_rig.servers.mosquitto import Mosquitto

P0, P1, P2 = DeliveryClass
VAN = "van-1"
EPOCH = Epoch(3, 4)
FAST = UplinkSection(
    inflight_max=8,
    resend_after_s=0.3,
    resend_after_s_max=2,
    backoff_s_min=0.05,
    backoff_s_max=0.2,
    stable_after_s=5,
)

pytestmark = pytest.mark.servers


class Broker:
    """A Mosquitto with our own lines in its configuration."""

    def __init__(self, folder: Path) -> None:
        self.server = Mosquitto(folder)
        self.process: Process | None = None

    def start(self, extra: Sequence[str] = (), replace: tuple[str, str] = ("", "")) -> Broker:
        self.process = self.server.configure()
        config = self.server.folder / "mosquitto.conf"
        text = config.read_text().replace(*replace) if replace[0] else config.read_text()
        config.write_text(text + "\n".join(extra) + "\n")
        self.process.start()
        self.process.wait_ready(self.ready, 15.0)
        return self

    def ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0):
                return True
        except OSError:
            return False

    @property
    def port(self) -> int:
        return self.server.port

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()

    def restart(self) -> None:
        assert self.process is not None
        self.process.start()
        self.process.wait_ready(self.ready, 15.0)

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "mosquitto")
    try:
        yield broker
    finally:
        broker.stop()


class Bridge:
    """Notes what it gets; sends a durable ack for it at once while acking is on."""

    def __init__(self, port: int, client_id: str = "bridge") -> None:
        self.got: list[tuple[str, bytes]] = []
        self.acking = True
        self.subscribed = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe("v1/+/+/up/+", qos=1)
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = self._on_message
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 300
        self.client.connect("127.0.0.1", port, clean_start=False, properties=properties)
        self.client.loop_start()
        assert self.subscribed.wait(5.0)

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        self.got.append((message.topic.rsplit("/", 1)[1], bytes(message.payload)))
        if self.acking and not message.topic.endswith("/death"):
            label, seq = message.payload.decode().split("/")[:2]
            self.ack(DeliveryClass.from_label(label), int(seq))

    def ack(
        self, delivery_class: DeliveryClass, *seqs: int, van: str = VAN, rebirth: tuple[int, ...] = ()
    ) -> None:
        durable = {(EPOCH, delivery_class): IntervalSet((s, s) for s in seqs)} if seqs else {}
        self.down("ack", Ack(van, durable, rebirth).encode())

    def down(self, leaf: str, payload: bytes) -> None:
        self.client.publish(topics.down(VAN, leaf), payload, qos=1)

    def names(self) -> list[str]:
        return ["/".join(p.decode().split("/")[:2]) for leaf, p in list(self.got) if leaf != "death"]

    def deaths(self) -> list[Death]:
        return [Death.decode(payload) for leaf, payload in list(self.got) if leaf == "death"]

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Rig:
    """An uplink in its thread, and its outbox."""

    def __init__(
        self, mqtt: MqttSection, settings: UplinkSection = FAST, **hooks: Callable[..., None]
    ) -> None:
        self.outbox = MemoryOutbox(VAN, EPOCH)
        self.rebirths: list[int] = []
        self.commands: list[bytes] = []
        keys = {"on_rebirth": self.rebirths.extend, "on_command": self.commands.append, **hooks}
        self.uplink = Uplink(VAN, EPOCH, mqtt, settings, self.outbox, **keys)  # type: ignore[arg-type]
        self.stop_event = threading.Event()
        self.thread = threading.Thread(target=self.uplink.run, args=(self.stop_event,), daemon=True)

    def start(self) -> Rig:
        self.thread.start()
        return self

    def add(
        self, delivery_class: DeliveryClass, count: int = 1, size: int = 0, t_mono_s: float | None = None
    ) -> None:
        for _ in range(count):
            self.outbox.append(delivery_class, size=size, t_mono_s=t_mono_s)
        self.uplink.wake()

    def stop(self) -> None:
        self.stop_event.set()
        self.thread.join(5.0)
        assert not self.thread.is_alive()

    def __getitem__(self, counter: str) -> int:
        return int(self.uplink.counters()[counter])


@pytest.fixture
def start() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(port: int, settings: UplinkSection = FAST, **keys: object) -> Rig:
        mqtt = {k: keys.pop(k) for k in list(keys) if k in MqttSection.model_fields}
        rig = Rig(MqttSection(port=port, **mqtt), settings, **keys)  # type: ignore[arg-type]
        rigs.append(rig)
        return rig

    yield make
    for rig in rigs:
        if rig.thread.is_alive():
            rig.stop()


@pytest.fixture
def bridge(broker: Broker) -> Iterator[Callable[[], Bridge]]:
    bridges: list[Bridge] = []

    def make() -> Bridge:
        bridges.append(Bridge(broker.port))
        return bridges[-1]

    yield make
    for item in bridges:
        item.stop()


def until(condition: Callable[[], object], what: str, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.01)


def test_everything_arrives_once_and_is_freed(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start()
    cloud = bridge()
    rig = start(broker.port).start()
    until(lambda: rig.uplink.connected, "connected")
    rig.add(P1, 200, size=2000)
    rig.add(P0, 5)
    rig.add(P2, 20, size=250_000)
    until(lambda: rig.outbox.empty, "all acked", 20)
    assert sorted(cloud.names()) == sorted(
        [f"p1/{n}" for n in range(200)] + [f"p0/{n}" for n in range(5)] + [f"p2/{n}" for n in range(20)]
    )
    payloads = {p for leaf, p in cloud.got}
    assert payloads == set(rig.outbox.messages.values()), "bytes differ from what was spooled"
    assert (rig["messages_sent"], rig["acked"], rig["resends"]) == (225, 225, 0)
    assert rig["bytes_sent"] == sum(
        publish_bytes(topics.up(VAN, c), m) for (c, _), m in rig.outbox.messages.items()
    )
    until(lambda: rig["pubacks"] == 225 and rig["in_flight"] == 0, "all answered")
    assert rig["waiting"] == 0
    rig.stop()
    assert not rig.uplink.connected


def test_missing_durable_ack_is_sent_again(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start()
    cloud = bridge()
    cloud.acking = False
    rig = start(broker.port).start()
    rig.add(P1, 3)
    until(lambda: cloud.names().count("p1/2") >= 3, "sent three times")
    assert rig.outbox.backlog()[P1][0] == 3, "a PUBACK freed spool space"
    cloud.ack(P1, 0, 1, 2)
    until(lambda: rig.outbox.empty, "acked")
    time.sleep(0.3)
    sent = rig["messages_sent"]
    time.sleep(1.3)
    assert rig["messages_sent"] == sent, "sent again after the durable ack"


def test_broker_killed_without_persistence_loses_nothing(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start()
    cloud = bridge()
    rig = start(broker.port).start()
    stop = threading.Event()

    def produce() -> None:
        while not stop.wait(0.005):
            rig.add(P1, 2, size=5000)

    producer = threading.Thread(target=produce)
    producer.start()
    for _ in range(2):
        wanted = len(cloud.got) + 50
        until(lambda n=wanted: len(cloud.got) > n, "flowing", 20)
        broker.kill()
        until(lambda: not rig.uplink.connected, "noticed")
        time.sleep(0.3)
        broker.restart()
    until(lambda: rig.uplink.connected, "connected again")
    stop.set()
    producer.join()
    until(lambda: rig.outbox.empty, "all acked", 30)
    assert set(cloud.names()) == {f"p1/{n}" for n in range(len(rig.outbox.entries[P1]))}
    assert rig["reconnects"] == 2


def test_the_spool_itself_over_a_killed_broker_and_a_restarted_agent(
    broker: Broker, bridge: Callable[[], Bridge], tmp_path: Path
) -> None:
    """As above with the real spool: two starts of the agent, acks by (epoch, class, seq) of what was received."""
    broker.start()
    cloud = bridge()
    cloud.acking = False
    sections = SpoolSection(bytes_max=64 * 1024 * 1024, p0_reserve_bytes=0, keep_free_bytes=0)
    produced = set()
    for run in range(2):
        spool = Spool.open(tmp_path / "spool", VAN, sections)
        uplink = Uplink(
            VAN, spool.epoch, MqttSection(port=broker.port), FAST, spool, lambda _: None, lambda _: None
        )
        stop = threading.Event()
        thread = threading.Thread(target=uplink.run, args=(stop,))
        thread.start()
        for n in range(60):
            delivery_class = P0 if n % 10 == 0 else P1
            seq = spool.append(delivery_class, PayloadKind.BATCH, bytes(3000), ClockStamp(b"b" * 16, 0, 0))
            produced.add((spool.epoch, delivery_class, seq))
            uplink.wake()
            spool.maintain()
        if run == 0:
            until(lambda: len(cloud.got) > 20, "flowing")
            broker.kill()
            broker.restart()
        else:
            got: set[tuple[Epoch, DeliveryClass, int]] = set()

            def ack_all(got: set[tuple[Epoch, DeliveryClass, int]] = got, spool: Spool = spool) -> bool:
                durable: dict[tuple[Epoch, DeliveryClass], IntervalSet] = {}
                for leaf, payload in list(cloud.got):
                    if leaf != "death":
                        envelope, _ = open_message(payload)
                        got.add((envelope.epoch, envelope.delivery_class, envelope.seq))
                        stream = (envelope.epoch, envelope.delivery_class)
                        durable.setdefault(stream, IntervalSet()).add(envelope.seq)
                cloud.down("ack", Ack(VAN, durable).encode())
                time.sleep(0.1)
                return not any(n for n, _ in spool.backlog().values())

            until(ack_all, "all acked", 20)
            assert got == produced
        stop.set()
        thread.join(5.0)
        spool.close()


def test_nobody_subscribed_is_not_delivered(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start()
    rig = start(broker.port).start()
    with structlog.testing.capture_logs() as logs:
        rig.add(P1, 50)
        until(lambda: rig["refused"] > 10, "refused a few times")
    assert rig["pubacks"] == 0
    assert rig["messages_sent"] < 100, "went on at full rate although nobody listens"
    assert [log["cause"] for log in logs if log["event"] == "message refused"] == [
        "the broker did not deliver: No matching subscribers (0x10); is the bridge running?"
    ]
    cloud = bridge()
    until(lambda: rig.outbox.empty, "delivered once a bridge is there")
    assert set(cloud.names()) == {f"p1/{n}" for n in range(50)}


def test_window_is_never_exceeded(start: Callable[..., Rig]) -> None:
    """A hand-made broker that reads everything and answers no PUBLISH sees how many are sent without an answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        rig = start(listener.getsockname()[1], keepalive_s=1200).start()
        rig.add(P1, 100)
        link, _ = listener.accept()
        with link:
            packets = Packets(link)
            kind, _ = packets.next()
            assert kind == 1
            link.sendall(bytes.fromhex("2006000003210005"))  # CONNACK, Receive Maximum 5
            kind, body = packets.next()
            assert kind == 8
            link.sendall(b"\x90" + bytes([2 + 1 + 3]) + body[:2] + b"\x00\x01\x01\x01")
            mids = [packets.publish_mid() for _ in range(4)]
            assert packets.silent(0.5), "P1 took the slot that is kept for P0"
            rig.add(P0, 3)
            mids.append(packets.publish_mid())
            assert packets.silent(0.5), "more than Receive Maximum without an answer"
            assert len(set(mids)) == 5
            link.sendall(b"\x40\x02" + mids[4].to_bytes(2, "big"))
            assert packets.publish_mid(), "a PUBACK frees a slot"
            assert packets.silent(0.3)
            assert rig["in_flight"] == 5
            rig.stop_event.set()  # a broker that no longer answers must not keep the agent
            started_s = time.monotonic()
            rig.thread.join(5.0)
            assert time.monotonic() - started_s < 2.0
    assert rig["messages_sent"] == 6


class Packets:
    """Reads MQTT packets off a socket."""

    def __init__(self, link: socket.socket) -> None:
        self.link, self.data = link, b""

    def next(self, timeout_s: float = 5.0) -> tuple[int, bytes]:
        while True:
            if len(self.data) >= 2:
                length, shift, at = 0, 0, 1
                while at < len(self.data):
                    length |= (self.data[at] & 127) << shift
                    shift, at = shift + 7, at + 1
                    if not self.data[at - 1] & 128:
                        if len(self.data) >= at + length:
                            packet = (self.data[0] >> 4, self.data[at : at + length])
                            self.data = self.data[at + length :]
                            return packet
                        break
            self.link.settimeout(timeout_s)
            data = self.link.recv(65536)
            if not data:
                raise EOFError
            self.data += data

    def publish_mid(self) -> int:
        kind, body = self.next()
        assert kind == 3, f"packet type {kind}"
        topic = int.from_bytes(body[:2], "big")
        return int.from_bytes(body[2 + topic : 4 + topic], "big")

    def silent(self, seconds: float) -> bool:
        try:
            self.next(seconds)
        except TimeoutError:
            return True
        return False


def test_p0_overtakes_a_backlog(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start()
    cloud = bridge()
    rig = start(broker.port)
    rig.add(P1, 300, size=20_000, t_mono_s=float("-inf"))
    rig.start()
    until(lambda: len(cloud.got) > 20, "backlog under way")
    rig.add(P0, 1)
    until(lambda: rig.outbox.empty, "all acked", 30)
    at = cloud.names().index("p0/0")
    assert at < 250, f"P0 was number {at}: behind the backlog"


def test_refused_credentials_are_one_clear_line_and_are_tried_again(
    broker: Broker, start: Callable[..., Rig], tmp_path: Path
) -> None:
    password_file = tmp_path / "password"
    password_file.write_text("wrong\n")
    accounts = tmp_path / "accounts"
    accounts.write_text(mosquitto_account("van-1", "right"))
    broker.start([f"password_file {accounts}"], replace=("allow_anonymous true", "allow_anonymous false"))
    with structlog.testing.capture_logs() as logs:
        rig = start(broker.port, username="van-1", password_file=password_file).start()
        until(lambda: rig["connect_failures"] >= 4, "tried again")
    lines = [log["cause"] for log in logs if log["event"] == "not connected"]
    assert len(lines) == 1, "one line for one reason"
    assert f"127.0.0.1:{broker.port}" in lines[0]
    assert "Not authorized" in lines[0] or "Bad user name or password" in lines[0]
    assert "password" in lines[0]
    assert rig.uplink.last_error == lines[0]
    assert rig["connects"] == 0
    password_file.write_text("right\n")  # a mended password is used without a restart
    until(lambda: rig.uplink.connected, "connected with the right password")


def mosquitto_account(user: str, password: str) -> str:
    """A line of Mosquitto's password file (PBKDF2-SHA512, as mosquitto_passwd writes it)."""
    salt = b"0123456789ab"
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"{user}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"


def test_a_broker_that_is_not_there_or_not_a_broker(start: Callable[..., Rig]) -> None:
    held = HeldPort()
    port = held.release()
    rig = start(port).start()
    until(lambda: rig["connect_failures"] >= 2, "tried again")
    assert "nobody listens there" in rig.uplink.last_error
    with socket.create_server(("127.0.0.1", port), reuse_port=False) as listener:
        for answer in (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"\x20\x03\x00\x00\x7f",
            b"\x20\xff\xff\xff\xff\x01",
            b"",
        ):
            failures = rig["connect_failures"]
            link, _ = listener.accept()
            link.sendall(answer)
            link.close()
            until(lambda n=failures: rig["connect_failures"] > n, "the failure was seen")
        assert rig.thread.is_alive()
        assert not rig.uplink.connected


def test_goodbye_is_graceful_and_a_lost_van_is_reported_by_its_will(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start()
    cloud = bridge()
    rig = start(broker.port).start()
    until(lambda: rig.uplink.connected, "connected")
    rig.uplink.goodbye()
    rig.thread.join(3.0)
    assert not rig.thread.is_alive()
    until(cloud.deaths, "death")
    time.sleep(0.3)
    assert cloud.deaths() == [Death(VAN, EPOCH, graceful=True)], "the will came although the van said goodbye"
    with Wire(broker.port) as wire:
        lost = start(wire.port).start()
        until(lambda: lost.uplink.connected, "connected")
        wire.cut()
        until(lambda: len(cloud.deaths()) >= 2, "will")
    assert cloud.deaths()[1] == Death(VAN, EPOCH, graceful=False)


def test_two_agents_with_one_id_are_named(broker: Broker, start: Callable[..., Rig]) -> None:
    broker.start()
    one, two = start(broker.port).start(), start(broker.port).start()
    until(lambda: one["connects"] + two["connects"] >= 4, "they take the session from each other")
    assert "van.id" in one.uplink.last_error + two.uplink.last_error


class Wire:
    """One TCP connection carried to a port, until it is cut."""

    def __init__(self, port: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ends: list[socket.socket] = []
        self.threads = [threading.Thread(target=self._accept, args=(port,), daemon=True)]
        self.threads[0].start()

    def _accept(self, port: int) -> None:
        near, _ = self.listener.accept()
        far = socket.create_connection(("127.0.0.1", port))
        self.ends = [near, far]
        for source, sink in ((near, far), (far, near)):
            thread = threading.Thread(target=self._carry, args=(source, sink), daemon=True)
            thread.start()
            self.threads.append(thread)

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        while data := source.recv(65536):
            sink.sendall(data)

    def cut(self) -> None:
        for end in self.ends:
            end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        for end in (self.listener, *self.ends):
            end.close()
        for thread in self.threads:
            thread.join(2.0)


def test_downlink_acks_rebirths_and_commands(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start()
    cloud = bridge()
    cloud.acking = False
    campaigns: list[bytes] = []
    rig = start(broker.port, on_campaign=campaigns.append).start()
    rig.add(P1, 1)
    until(cloud.names, "sent")
    cloud.ack(P1, 0, van="van-2")
    cloud.down("ack", b"\xff\xff garbage")
    cloud.ack(P1, rebirth=(7, 8))
    cloud.down("command", b"\x01do")
    cloud.down("campaign", b"collect")
    until(lambda: campaigns, "campaign")
    until(lambda: rig.commands, "command")
    assert (rig.rebirths, rig.commands, campaigns) == ([7, 8], [b"\x01do"], [b"collect"])
    assert (rig["acks_foreign"], rig["acks_bad"], rig["acked"]) == (1, 1, 0)
    assert not rig.outbox.empty, "an ack for another van freed space"
    cloud.ack(P1, 0)
    until(lambda: rig.outbox.empty, "acked")


def test_what_was_sent_down_while_the_van_was_away_arrives(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start()
    cloud = bridge()
    first = start(broker.port).start()
    until(lambda: first.uplink.connected, "connected")
    first.stop()
    until(cloud.deaths, "gone")
    cloud.down("command", b"while away")
    time.sleep(0.2)
    second = start(broker.port).start()  # a new process of the agent: the session must outlive it
    until(lambda: second.commands, "the broker kept it for this van")
    assert second.commands == [b"while away"]


def test_a_callback_that_raises_costs_nothing(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    def explode(_data: object) -> None:
        raise RuntimeError("boom")

    broker.start()
    cloud = bridge()
    rig = start(broker.port, on_command=explode, on_rebirth=explode).start()
    until(lambda: rig.uplink.connected, "connected")
    cloud.down("command", b"x")
    cloud.ack(P1, rebirth=(1,))
    until(lambda: rig["callback_failures"] == 2, "both failed")
    rig.add(P1, 10)
    until(lambda: rig.outbox.empty, "goes on")
    assert rig["connects"] == 1


def test_an_envelope_larger_than_the_broker_takes_is_reported(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start(replace=("max_packet_size 300000", "max_packet_size 20000"))
    cloud = bridge()
    told: list[Entry] = []
    rig = start(broker.port, on_oversize=told.append)
    rig.add(P1, 1, size=30_000)
    rig.add(P1, 3)
    rig.start()
    until(lambda: rig.outbox.backlog()[P1][0] == 1, "the others went")
    assert {entry.seq for entry in told} == {0}
    assert sorted(cloud.names()) == ["p1/1", "p1/2", "p1/3"]
    assert rig["connects"] == 1, "the broker was made to drop us"


def test_no_durable_ack_builds_the_connection_anew(
    broker: Broker, bridge: Callable[[], Bridge], start: Callable[..., Rig]
) -> None:
    broker.start()
    cloud = bridge()
    cloud.acking = False
    rig = start(broker.port, FAST.model_copy(update={"stalled_after_s": 0.2})).start()
    rig.add(P1)
    until(lambda: rig["rebuilds"] >= 2, "built anew")
    assert cloud.deaths() == [], "the van told its death although it lives"
    assert not rig.uplink.stalled, "an outage of the cloud must not restart the agent"
    cloud.acking = True
    until(lambda: rig.outbox.empty, "acked")


@pytest.mark.parametrize(
    ("host", "keys", "said"),
    [
        ("broker.example.org", {}, "mqtt.ca_file"),
        ("10.0.0.1", {}, 'mqtt.plaintext = "anywhere"'),
        ("10.0.0.1", {"ca_file": "/nowhere/ca.pem"}, "mqtt.ca_file /nowhere/ca.pem: No such file"),
        ("127.0.0.1", {"certificate_file": "/nowhere/van.pem"}, "mqtt.certificate_file"),
        ("127.0.0.1", {"key_file": "/nowhere/key.pem"}, "mqtt.certificate_file"),
        (
            "127.0.0.1",
            {"password_file": "/nowhere/password"},
            "mqtt.password_file /nowhere/password: No such file",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(host: str, keys: dict[str, Path], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Rig(MqttSection(host=host, **keys))  # type: ignore[arg-type]
    assert said in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_plaintext_stays_on_this_machine(host: str) -> None:
    assert connection.tls_context(MqttSection(host=host)) is None
    assert connection.tls_context(MqttSection(host="10.0.0.1", plaintext="anywhere")) is None


def test_tls_with_certificates(broker: Broker, start: Callable[..., Rig], tmp_path: Path) -> None:
    ca, other_ca = Authority(tmp_path, "ca"), Authority(tmp_path, "other")
    certificate, key = ca.issue("server", "127.0.0.1")
    van_certificate, van_key = ca.issue("van-1", "van-1")
    broker.start(
        [f"cafile {ca.certificate}", f"certfile {certificate}", f"keyfile {key}", "require_certificate true",
         "use_identity_as_username true"],
        replace=("allow_anonymous true", "allow_anonymous false"),
    )  # fmt: skip
    mine = {"certificate_file": van_certificate, "key_file": van_key}
    rig = start(broker.port, ca_file=ca.certificate, **mine).start()
    rig.add(P1, 1, size=100_000)
    until(lambda: rig.uplink.connected, "connected by TLS")
    until(
        lambda: rig["refused"] > 0, "a large message went through and was answered"
    )  # nobody subscribes here
    for keys, said in (
        ({"ca_file": other_ca.certificate, **mine}, "mqtt.ca_file"),
        ({"ca_file": ca.certificate, "host": "localhost", **mine}, "mqtt.host"),
        ({"ca_file": ca.certificate}, "TLS"),
    ):
        bad = start(broker.port, **keys).start()
        until(lambda bad=bad: bad["connect_failures"] >= 1, "refused")
        assert said in bad.uplink.last_error
        assert not bad.uplink.connected
        bad.stop()
    assert (
        connection.tls_context(MqttSection(ca_file=ca.certificate)).minimum_version >= ssl.TLSVersion.TLSv1_2
    )  # type: ignore[union-attr]


class Authority:
    """A throw-away certificate authority by openssl."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.certificate, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.certificate,
        )  # fmt: skip

    def issue(self, name: str, host: str) -> tuple[Path, Path]:
        certificate, key, request = (self.folder / f"{name}.{end}" for end in ("crt", "prv", "csr"))
        _openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", key, "-out", request,
        )  # fmt: skip
        extension = self.folder / f"{name}.ext"
        kind = "IP" if host[0].isdigit() else "DNS"
        extension.write_text(f"subjectAltName={kind}:{host}\n")
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
            "-days", "2", "-extfile", extension, "-out", certificate,
        )  # fmt: skip
        return certificate, key


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def test_waker_takes_any_number_of_calls_and_survives_its_close() -> None:
    waker = Waker()
    for _ in range(100_000):
        waker.wake()
    waker.clear()
    waker.close()
    waker.wake()


@pytest.mark.parametrize("size", [0, 80, 90, 100, 127, 128, 16_000, 16_400, 2_097_100, 2_097_200])
def test_publish_bytes_is_what_goes_over_the_wire(size: int) -> None:
    topic, payload = "v1/7/van-1/up/p1", b"x" * size
    near, far = socket.socketpair()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    with near, far:
        client._sock = near
        counted: list[int] = []

        def count() -> None:
            total = 0
            while data := far.recv(1 << 20):
                total += len(data)
            counted.append(total)

        reader = threading.Thread(target=count)
        reader.start()
        client.publish(topic, payload, qos=1)
        near.shutdown(socket.SHUT_WR)
        reader.join(10.0)
        client._sock = None
    assert counted == [publish_bytes(topic, payload)]
