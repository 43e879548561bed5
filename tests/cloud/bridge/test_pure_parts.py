"""Goal: the parts of the bridge that decide (bundles, PUBACK order, ack book, wanted catalogs, intake) keep their
promises for every order of events.

Method: hypothesis drives each against a plain model; times are numbers, nothing is waited for.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.bridge import ack_book, wanted
from cloud.bridge.ack_book import AckBook
from cloud.bridge.bundling import ENTRY_OVERHEAD_BYTES_MAX, Bundler, Lane
from cloud.bridge.intake import Forward, Presence, Refuse, judge
from cloud.bridge.puback_order import PubackOrder
from cloud.bridge.wanted import WantedCatalogs
from vantel import topics
from vantel.acks import ACK_BYTES_MAX, Ack
from vantel.catalog import Catalog, Signal
from vantel.envelope import MESSAGE_BYTES_MAX, ClockStamp, Envelope, compose_message, seal
from vantel.identity import DeliveryClass, Epoch, PayloadKind, StreamKey
from vantel.intervals import IntervalSet
from vantel.payloads import Birth, Death
from vantel.telemetry.v1 import envelope_pb2

P0, P1 = DeliveryClass.P0, DeliveryClass.P1
EPOCH = Epoch(1, 2)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), st.sampled_from(list(DeliveryClass)), st.binary(max_size=400), st.floats(0, 30)
        ),
        max_size=120,
    )
)
def test_every_message_is_in_one_bundle_in_order_and_bounds_hold(
    arrivals: list[tuple[int, DeliveryClass, bytes, float]],
) -> None:
    bundler: Bundler[int] = Bundler(window_s=20.0, messages_max=5, bytes_max=1000)
    closed = []
    now_s = 0.0
    for ticket, (shard, delivery_class, message, pause_s) in enumerate(arrivals):
        now_s += pause_s
        closed += bundler.due(now_s)
        due_s = bundler.next_due_s()
        assert due_s is None or now_s < due_s <= now_s + 20.0
        closed += bundler.add(Lane(shard, delivery_class), "van", message, ticket, ticket, now_s)
    closed += bundler.flush()
    assert bundler.next_due_s() is None
    assert sorted(t for bundle in closed for t in bundle.tickets) == list(range(len(arrivals)))
    for bundle in closed:
        assert 1 <= len(bundle.messages) <= 5
        assert bundle.size_bytes <= 1000 or len(bundle.messages) == 1
        read = envelope_pb2.Bundle.FromString(bundle.encode())
        assert read.shard == bundle.lane.shard
        assert [item.message for item in read.messages] == [arrivals[t][2] for t in bundle.tickets]
        assert len(bundle.encode()) <= bundle.size_bytes + ENTRY_OVERHEAD_BYTES_MAX
    for shard in range(3):
        for delivery_class in DeliveryClass:
            of_lane = [t for b in closed if b.lane == (shard, delivery_class) for t in b.tickets]
            assert of_lane == sorted(of_lane)


def test_a_message_larger_than_the_bound_goes_alone() -> None:
    bundler: Bundler[int] = Bundler(1.0, 50, 1000)
    lane = Lane(1, P1)
    assert bundler.add(lane, "van", b"small", 0, 0, 0.0) == []
    closed = bundler.add(lane, "van", bytes(5000), 0, 1, 0.0)
    assert [bundle.tickets for bundle in closed] == [[0], [1]]


@given(st.lists(st.integers(1, 12), unique=True, max_size=12), st.randoms(use_true_random=False))
def test_pubacks_leave_in_order_of_receipt_once_each(mids: list[int], random: object) -> None:
    order = PubackOrder()
    order.connected(3)
    for mid in mids:
        order.receive(3, mid)
    finishing = mids.copy()
    random.shuffle(finishing)  # type: ignore[attr-defined]
    sent: list[int] = []
    done: set[int] = set()
    for mid in finishing:
        done.add(mid)
        sent += order.finish(3, mid)
        expected = next((at for at, m in enumerate(mids) if m not in done), len(mids))
        assert sent == mids[:expected]
        assert order.finish(3, mid) == [] or mid not in sent
    assert sent == mids
    assert len(order) == 0


def test_a_stale_connection_acknowledges_nothing() -> None:
    order = PubackOrder()
    order.connected(1)
    order.receive(1, 7)
    order.connected(2)
    order.receive(2, 7)
    assert order.finish(1, 7) == []
    assert order.finish(2, 7) == [7]
    order.receive(1, 8)
    assert len(order) == 0


def stream(van: str = "van", epoch: Epoch = EPOCH, delivery_class: DeliveryClass = P1) -> StreamKey:
    return StreamKey(van, epoch, delivery_class)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]), st.sampled_from([P0, P1]), st.integers(0, 300), st.floats(0, 3)
        ),
        max_size=200,
    )
)
@settings(max_examples=60)
def test_acks_are_in_time_cumulative_and_complete(
    events: list[tuple[str, DeliveryClass, int, float]],
) -> None:
    book = AckBook(p0_s_max=0.2, s_max=5.0, envelopes_max=8)
    told: dict[tuple[str, DeliveryClass], set[int]] = {}
    waiting: dict[tuple[str, DeliveryClass, int], float] = {}
    truth: dict[tuple[str, DeliveryClass], set[int]] = {}
    now_s = 0.0

    def send(van: str) -> None:
        ack = Ack.decode(book.take(van).encode())
        for (_, delivery_class), intervals in ack.durable.items():
            told[van, delivery_class] = {n for first, last in intervals for n in range(first, last + 1)}
        for key in [key for key in waiting if key[0] == van]:
            assert key[2] in told[van, key[1]]
            del waiting[key]

    for van, delivery_class, seq, pause_s in events:
        until_s = now_s + pause_s
        while (due_s := book.next_due_s()) is not None and due_s <= until_s:
            now_s = max(now_s, due_s)
            for name in book.due(now_s, 10):
                send(name)
        now_s = until_s
        for (_, cls, _), since_s in waiting.items():
            assert now_s - since_s <= (0.2 if cls is P0 else 5.0) + 1e-9
        book.add(stream(van, EPOCH, delivery_class), seq, now_s)
        truth.setdefault((van, delivery_class), set()).add(seq)
        waiting.setdefault((van, delivery_class, seq), now_s)
        fresh = len([key for key in waiting if key[0] == van])
        if fresh >= 8:
            due_s = book.next_due_s()
            assert due_s is not None
            assert due_s <= now_s
    for van in book.dirty():
        send(van)
    assert told == truth
    assert book.next_due_s() is None


def test_a_low_number_is_told_even_when_the_page_is_full_of_gaps() -> None:
    book = AckBook(0.2, 5.0, 64)
    for seq in range(1000, 3000, 2):
        book.add(stream(), seq, 0.0)
    book.take("van")
    book.add(stream(), 5, 1.0)
    intervals = book.take("van").durable[EPOCH, P1]
    assert 5 in intervals
    assert len(intervals) <= ack_book.RANGES_PER_STREAM_MAX + 1
    assert 2998 in intervals


def test_the_book_is_bounded_and_its_largest_ack_fits() -> None:
    book = AckBook(0.2, 5.0, 64, vans_max=10)
    for number in range(50):
        book.add(stream(f"v{number}"), 0, 0.0)
    assert len(book) == 10
    assert [van for van in book.due(10.0, 100) if van in {f"v{n}" for n in range(40)}] == []
    for counter in range(100):
        for seq in range(2**40, 2**40 + 800, 2):
            book.add(stream("wide", Epoch(counter, 2**63)), seq, 0.0)
        book.take("wide")
    book.add(stream("wide", Epoch(0, 2**63)), 1, 0.0)
    ack = book.take("wide")
    assert len(ack.durable) <= ack_book.STREAMS_PER_VAN_MAX
    assert (Epoch(0, 2**63), P1) in ack.durable
    assert (Epoch(99, 2**63), P1) in ack.durable
    assert len(ack.encode()) < ACK_BYTES_MAX


def test_a_lost_ack_is_said_again() -> None:
    book = AckBook(0.2, 5.0, 64)
    book.add(stream(), 4, 0.0)
    book.take("van")
    assert book.next_due_s() is None
    book.repeat("van", 10.0)
    book.repeat("nobody", 10.0)
    assert book.due(10.3, 10) == ["van"]
    assert book.take("van").durable == {(EPOCH, P1): IntervalSet([(4, 4)])}


def test_a_rebirth_request_needs_no_envelope_and_is_said_once() -> None:
    book = AckBook(0.2, 5.0, 64)
    book.ask_rebirth("van", 99, 1.0)
    assert book.due(1.2, 10) == ["van"]
    assert book.take("van").rebirth_catalog_hashes == (99,)
    book.add(stream(), 1, 2.0)
    assert book.take("van").rebirth_catalog_hashes == ()


def test_catalogs_are_asked_for_at_the_pace_until_known_or_in_vain() -> None:
    catalogs = WantedCatalogs(period_s=5.0)
    catalogs.named("a", 0, 0.0)
    assert catalogs.due(0.0) == []
    catalogs.named("a", 7, 0.0)
    catalogs.named("b", 7, 0.0)
    assert catalogs.due(0.0) == [("a", 7), ("b", 7)]
    catalogs.named("a", 7, 1.0)
    assert catalogs.due(4.9) == []
    assert catalogs.due(5.0) == [("a", 7), ("b", 7)]
    catalogs.coming(7)
    catalogs.named("a", 7, 6.0)
    assert catalogs.due(20.0) == []
    assert not catalogs.is_known(7)
    catalogs.known(7)
    assert catalogs.is_known(7)
    catalogs.named("a", 8, 100.0)
    asked = sum(len(catalogs.due(100.0 + step * 5.0)) for step in range(100))
    assert asked == wanted.ASKS_MAX
    assert len(catalogs) == 0


def message(van: str = "van-1", **fields: object) -> bytes:
    values = {"kind": PayloadKind.BATCH, "payload": b"x", "delivery_class": P1, "seq": 3, **fields}
    return compose_message(seal(Envelope(van=van, epoch=EPOCH, **values)), ClockStamp(bytes(16), 5, 2))  # type: ignore[arg-type]


def test_intake_names_what_it_forwards() -> None:
    shard = topics.shard_of("van-1")
    catalog = Catalog([Signal("Bus.A", id=70_000)])
    birth = Birth(catalog.encode(), catalog.hash, "1", 0, bytes(16), ()).encode()
    wrong = Birth(catalog.encode(), 5, "1", 0, bytes(16), ()).encode()
    up_p1, up_p0 = topics.up("van-1", P1), topics.up("van-1", P0)
    assert judge(up_p1, message(catalog_hash=9)) == Forward(shard, P1, stream("van-1"), 3, 9)
    assert judge(up_p0, message()) == Forward(shard, P0, stream("van-1"), 3, 0)
    assert judge(up_p1, message(kind=99)) == Forward(shard, P1, stream("van-1"), 3, 0), (
        "a newer van is acked, too"
    )
    born = message(kind=PayloadKind.BIRTH, payload=birth, catalog_hash=catalog.hash)
    assert judge(up_p0, born) == Forward(shard, P0, stream("van-1"), 3, 0, catalog)
    for payload in (wrong, b"\xff", b""):
        verdict = judge(up_p0, message(kind=PayloadKind.BIRTH, payload=payload, catalog_hash=5))
        assert isinstance(verdict, Forward)
        assert verdict.born is None
    assert judge(topics.death("van-1"), Death("van-1", EPOCH, True).encode()) == Presence("van-1")
    huge = judge(topics.death("van-1"), bytes(MESSAGE_BYTES_MAX + 1))
    assert isinstance(huge, Refuse)
    assert huge.reason == "oversize"


@given(st.text(max_size=60), st.binary(max_size=200))
def test_any_topic_and_bytes_get_a_verdict(topic: str, payload: bytes) -> None:
    assert isinstance(judge(topic, payload), Refuse)


@given(st.sampled_from(["p0", "p1", "p2", "death"]), st.binary(max_size=300), st.integers(0, 10_000))
def test_damaged_messages_are_refused_whole(leaf: str, noise: bytes, at: int) -> None:
    topic = f"v1/{topics.shard_of('van-1')}/van-1/up/{leaf}"
    good = message()
    verdict = judge(topic, noise)
    assert isinstance(verdict, Refuse)
    assert verdict.van == "van-1"
    flipped = bytearray(good)
    flipped[at % len(good)] ^= 1 << (at % 8)
    assert isinstance(judge(topic, bytes(flipped)), Refuse)
    assert isinstance(judge(topic, good[: at % len(good)]), Refuse)
