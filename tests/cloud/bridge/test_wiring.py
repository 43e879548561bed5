"""Goal: nothing is acknowledged, to the broker or to the van, before everything that came of a message is durable; what
one connection brings bounds what the bridge holds; a bug ends the process.

Method: the real Bridge without servers: what it hands to Kafka and to the broker is caught at the two rims, and the test
plays Kafka's answers in the order it likes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cloud.bridge.bridge import Bridge
from cloud.bridge.happenings import Connected, Delivery, Disconnected, Subscribed
from cloud.bridge.sender import Record
from cloud.settings import BridgeSection, CloudSettings, MqttSection
from vantel import topics
from vantel.catalog import Catalog, Signal
from vantel.envelope import ClockStamp, Envelope, compose_message, seal
from vantel.identity import DeliveryClass, Epoch, PayloadKind
from vantel.payloads import Birth, Death
from vantel.telemetry.v1 import account_pb2

P0, P1 = DeliveryClass.P0, DeliveryClass.P1
VAN = "van-1"


class Caught:
    """A bridge whose records, PUBACKs and releases are caught instead of sent."""

    def __init__(self, **mqtt: Any) -> None:
        settings = CloudSettings(
            mqtt=MqttSection(**mqtt), bridge=BridgeSection(bundle_messages_max=1, bundle_window_s=0.01)
        )
        self.bridge = Bridge(settings)
        self.records: list[Record] = []
        self.pubacks: list[tuple[int, int]] = []
        self.releases = 0
        self.bridge._sender.submit = self.records.append  # type: ignore[method-assign]
        self.bridge._link.puback = lambda *what: self.pubacks.append(what)  # type: ignore[method-assign]
        self.bridge._link.release = self._released  # type: ignore[method-assign]
        self.happen(Connected(1, False, 20), Subscribed(1))

    def _released(self) -> None:
        self.releases += 1

    def happen(self, *items: Any) -> None:
        self.bridge._happened(list(items))

    def deliver(self, mid: int, payload: bytes, topic: str = "", connection: int = 1) -> list[Record]:
        """One delivery; the records that came of it."""
        before = len(self.records)
        self.happen(Delivery(connection, mid, topic or topics.up(VAN, P1), payload, 1))
        return self.records[before:]

    def acked(self) -> list[str]:
        return self.bridge._acks.book.dirty()


@pytest.fixture
def caught() -> Iterator[Callable[..., Caught]]:
    """Bridges are made inside a running loop, as in the process."""
    with asyncio.Runner() if hasattr(asyncio, "Runner") else _OldRunner() as runner:

        def make(**mqtt: Any) -> Caught:
            async def body() -> Caught:
                return Caught(**mqtt)

            return runner.run(body())

        yield make


class _OldRunner:
    """asyncio.Runner of Python 3.11, as much of it as is needed on 3.10."""

    def __enter__(self) -> _OldRunner:
        self._loop = asyncio.new_event_loop()
        return self

    def run(self, body: Any) -> Any:
        return self._loop.run_until_complete(body)

    def __exit__(self, *_: object) -> None:
        self._loop.close()


def message(seq: int, **fields: Any) -> bytes:
    values = {"kind": PayloadKind.BATCH, "payload": b"x", "delivery_class": P1, **fields}
    return compose_message(
        seal(Envelope(van=VAN, epoch=Epoch(1, 2), seq=seq, **values)), ClockStamp(bytes(16), 5, 2)
    )


def test_puback_and_ack_wait_for_kafka_and_pubacks_keep_their_order(caught: Callable[..., Caught]) -> None:
    it = caught()
    first, second = it.deliver(11, message(0)), it.deliver(12, message(1))
    assert (it.pubacks, it.acked()) == ([], [])
    second[0].done()
    assert it.pubacks == []
    assert it.acked() == [VAN]
    first[0].done()
    assert it.pubacks == [(1, 11), (1, 12)]


def test_a_birth_is_acked_only_when_its_catalog_is_durable_too(caught: Callable[..., Caught]) -> None:
    it = caught()
    catalog = Catalog([Signal("Bus.A", id=70_000)])
    birth = Birth(catalog.encode(), catalog.hash, "1", 0, bytes(16), ()).encode()
    sent = message(0, kind=PayloadKind.BIRTH, payload=birth, delivery_class=P0, catalog_hash=catalog.hash)
    kept, bundle = it.deliver(11, sent, topics.up(VAN, P0))
    assert (kept.topic, kept.key, kept.value) == (
        "vantel.catalog",
        f"{catalog.hash:016x}".encode(),
        catalog.encode(),
    )
    bundle.done()
    assert (it.pubacks, it.acked()) == ([], [])
    kept.done()
    assert it.pubacks == [(1, 11)]
    assert it.acked() == [VAN]


def test_a_dead_letter_is_durable_before_its_puback_and_acks_no_envelope(
    caught: Callable[..., Caught],
) -> None:
    it = caught()
    (record,) = it.deliver(11, b"garbage")
    letter = account_pb2.DeadLetter.FromString(record.value)
    assert (record.topic, record.key, letter.reason, letter.message) == (
        "vantel.deadletter",
        VAN.encode(),
        "corrupt",
        b"garbage",
    )
    assert it.pubacks == []
    record.done()
    assert it.pubacks == [(1, 11)]
    assert it.acked() == []


def test_a_death_is_kept_before_its_puback(caught: Callable[..., Caught]) -> None:
    it = caught()
    (record,) = it.deliver(11, Death(VAN, Epoch(1, 2), False).encode(), topics.death(VAN))
    assert (record.topic, record.key) == ("vantel.last", b"van-1|presence")
    assert it.pubacks == []
    record.done()
    assert it.pubacks == [(1, 11)]


def test_what_an_old_connection_brought_is_acked_to_the_van_but_not_to_the_new_connection(
    caught: Callable[..., Caught],
) -> None:
    it = caught()
    (old,) = it.deliver(11, message(0))
    it.happen(Disconnected(1, "gone"))
    assert it.releases == 0, "a new connection would bring everything again on top of what is held"
    old.done()
    assert it.releases == 1
    assert it.pubacks == []
    assert it.acked() == [VAN]
    it.happen(Connected(2, True, 20), Subscribed(2))
    (again,) = it.deliver(11, message(0), connection=2)
    again.done()
    assert it.pubacks == [(2, 11)]


def test_a_connection_that_left_nothing_behind_is_followed_at_once(caught: Callable[..., Caught]) -> None:
    it = caught()
    it.happen(Disconnected(1, "gone"))
    assert it.releases == 1
    assert any("gone" in problem for problem in it.bridge.health().problems)


def test_qos_0_is_taken_within_the_bound_and_counted_beyond(caught: Callable[..., Caught]) -> None:
    it = caught(receive_maximum=3)
    taken = [it.deliver(0, message(seq)) for seq in range(5)]
    assert [len(records) for records in taken] == [1, 1, 1, 0, 0]
    assert it.bridge._metrics.dropped_qos0._value.get() == 2
    taken[0][0].done()
    assert it.pubacks == []
    assert len(it.deliver(0, message(9))) == 1


def test_an_unanswered_ack_is_said_again_on_the_next_connection(caught: Callable[..., Caught]) -> None:
    it = caught()
    said: list[tuple[Any, ...]] = []
    it.bridge._link.publish = lambda *what: said.append(what)  # type: ignore[method-assign]
    it.deliver(11, message(0))[0].done()
    it.bridge._acks._send(VAN)
    assert [what[:2] for what in said] == [(1, topics.down(VAN, "ack"))]
    assert it.acked() == []
    it.happen(Disconnected(1, "gone"))
    assert it.acked() == [VAN]


def test_a_bug_ends_the_bridge_with_its_exception(caught: Callable[..., Caught]) -> None:
    it = caught()
    loop = asyncio.new_event_loop()
    it.bridge._crashed = loop.create_future()

    def bug(_: list[Any]) -> None:
        raise ZeroDivisionError

    it.bridge._guarded(bug)([])
    with pytest.raises(ZeroDivisionError):
        loop.run_until_complete(it.bridge._crashed)
    loop.close()
