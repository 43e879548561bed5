"""What the page knows: last values, events, acknowledgements, sessions, ledger.

Goal: a newer value is never hidden by an older one, merging in any order gives the same, what is unknown stays unknown,
an event found twice is one, an acknowledgement may come before its event, an end of a session counts only until the van
is heard again, and a live view is asked for, renewed and ended.
Method: records as worker and bridge write them, straight into Fleet, LastBoard and LiveViews; orders by hypothesis.
"""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from cloud.last_values import Last, LastBoard, LastValues, News
from cloud.ledger.accounts import CloudAccount, Settled, VanAccount
from cloud.ledger.keys import van_key
from cloud.web.events import EventBook, ack_record
from cloud.web.fleet import LATITUDE, LONGITUDE, SPEED, Fleet
from cloud.web.live_views import LiveViews
from cloud.worker.steps.open import Incoming, pack
from vantel.catalog import Signal, assemble, builtin
from vantel.commands import Command, CommandResult, CommandStatus
from vantel.envelope import ClockStamp, Envelope, compose_message, seal
from vantel.identity import DeliveryClass, Epoch, PayloadKind, StreamKey
from vantel.intervals import IntervalSet
from vantel.payloads import ClassAccount, Death, Event
from vantel.window import Window

CATALOG = assemble(
    [builtin().by_name(name) for name in (LATITUDE, LONGITUDE, SPEED)] + [Signal("a.B.C", group="a")]
)
EPOCH = Epoch(1, 7)
P0 = "vantel.p0"


def news(
    t_ms: int, values: dict[int, float], received_ms: int | None = None, catalog_hash: int = CATALOG.hash
) -> News:
    pairs = tuple((key, Last(t_ms, value, 0)) for key, value in values.items())
    received = t_ms if received_ms is None else received_ms
    return News("van-1", received * 10**6, EPOCH.text, 100, catalog_hash, values=pairs, full=False)


def p0(kind: PayloadKind, payload: bytes, seq: int = 0) -> bytes:
    envelope = Envelope("van-1", EPOCH, DeliveryClass.P0, seq, kind, payload, CATALOG.hash)
    message = compose_message(seal(envelope), ClockStamp(b"b" * 16, 10**18, 2))
    return pack(0, [Incoming(P0, "van-1", message, 10**18)])


def event(t_mono_ns: int = 5_000_000, value: float = 99.0) -> bytes:
    return Event(CATALOG.by_name("a.B.C").id, "range", t_mono_ns, value, 3.0, 2.0, 1.0).encode()


def fleet() -> Fleet:
    known = Fleet(EventBook(100))
    known.take_catalog("x", CATALOG.encode())
    return known


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 4), st.floats(-9, 9)), max_size=12), st.randoms()
)
def test_values_merge_to_the_newest_in_any_order(items: list[tuple[int, int, float]], random: object) -> None:
    def state(order: list[tuple[int, int, float]]) -> dict[int, int]:
        last = LastValues("van-1")
        for t_ms, key, value in order:
            other = LastValues("van-1")
            other.take(news(t_ms, {key: value}))
            last.merge(LastValues.decode(other.encode()))
        return {key: value.t_unix_ms for key, value in last.values.items()}

    shuffled = list(items)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert state(items) == state(shuffled)


def test_a_backlog_does_not_hide_what_is_newer_and_another_catalog_starts_anew() -> None:
    last = LastValues("van-1")
    last.take(news(2000, {1: 2.0}))
    last.take(news(1000, {1: 1.0, 2: 5.0}, received_ms=3000))
    assert last.values == {1: Last(2000, 2.0, 0), 2: Last(1000, 5.0, 0)}
    last.take(news(4000, {2: 6.0}, catalog_hash=99))
    assert last.values == {2: Last(4000, 6.0, 0)}


def test_the_board_publishes_a_van_once_a_period_and_goes_on_from_what_was_there() -> None:
    board = LastBoard(1.0)
    board.take(news(1000, {1: 1.0}))
    assert [van for van, _ in board.due(10**6, 10.0)] == ["van-1"]
    board.take(news(1100, {1: 2.0}))
    assert board.due(10**6, 10.5) == []
    [(_, record)] = board.due(10**6, 11.1)
    fresh = LastBoard(1.0)
    fresh.absorb("van-1", record)
    fresh.absorb("van-1|presence", b"x")
    fresh.absorb("van-2", b"rubbish")
    fresh.take(news(1200, {2: 3.0}))
    [(_, again)] = fresh.due(10**6, 0.0)
    assert LastValues.decode(again).values == {1: Last(1100, 2.0, 0), 2: Last(1200, 3.0, 0)}


def test_unknown_is_none_and_known_comes_with_its_time() -> None:
    known = fleet()
    known.take_p0(P0, p0(PayloadKind.EVENT, event()))
    assert known.row("van-1")[:8] == ["van-1", None, "", 1, 2, None, None, None]
    board = LastBoard(1.0)
    board.take(news(2000, {CATALOG.by_name(LATITUDE).id: 48.5}))
    known.take_last("van-1", board.due(10**6, 0.0)[0][1], 0)
    row = known.row("van-1")
    assert (row[1], row[2], row[5], row[6], row[7], row[10]) == (2000, "up", 48.5, None, None, 2000)


def test_a_session_ends_until_the_van_is_heard_again() -> None:
    known = fleet()
    values = LastValues("van-1")
    values.take(news(2000, {}))
    known.put(values)
    for graceful, word in ((False, "lost"), (True, "left")):
        known.take_last("van-1|presence", Death("van-1", EPOCH, graceful).encode(), 2500)
        assert known.row("van-1")[2] == word
    values.take(news(3000, {}))
    assert known.row("van-1")[2] == "up"
    known.take_last("van-1|presence", b"\xff", 9000)
    assert known.row("van-1")[2] == "up"


def test_an_event_is_one_and_an_acknowledgement_holds_whenever_it_comes() -> None:
    known = fleet()
    known.take_p0(P0, p0(PayloadKind.EVENT, event(), 0))
    known.take_p0(P0, p0(PayloadKind.EVENT, event(), 1))
    assert known.events.version == 1
    known.take_p0(P0, b"rubbish")
    [found] = known.events.newest(10)
    assert found.as_dict(CATALOG, None)["signal"] == "a.B.C"
    assert known.row("van-1")[3] == 1
    known.take_ack(found.id, ack_record(123, "van-1"))
    assert known.row("van-1")[3] == 0
    assert known.events.acked_unix_ms(found.id) == 123
    later = fleet()
    later.take_ack(found.id, ack_record(123, "van-1"))
    later.take_ack("other", b"rubbish")
    later.take_p0(P0, p0(PayloadKind.EVENT, event()))
    assert later.row("van-1")[3:5] == [0, 0]
    assert later.events.newest(10, open_only=True) == []


def test_events_are_bounded_and_numbers_that_are_none_are_null() -> None:
    known = fleet()
    for number in range(150):
        known.take_p0(P0, p0(PayloadKind.EVENT, event(number, float("nan")), number))
    assert len(known.events) == 100
    assert known.row("van-1")[3] == 100
    text = json.dumps(known.events.newest(1)[0].as_dict(CATALOG, None), allow_nan=False)
    assert '"value": null' in text
    version = known.events.version
    assert known.events.changed_since(version) == []
    assert len(known.events.changed_since(version - 3)) == 3


def test_changes_are_asked_for_by_version() -> None:
    known = fleet()
    for number in range(5):
        known.put(LastValues(f"van-{number}"))
    version = known.version
    known.put(LastValues("van-3"))
    assert [row[0] for row in known.rows_since(version)] == ["van-3"]
    assert len(known.rows_since(0)) == 5


def test_a_live_view_is_asked_for_renewed_and_ended() -> None:
    sent: list[tuple[str, Command, int]] = []
    results: dict[str, CommandResult] = {}
    up = [False]

    def send(van: str, data: bytes, expiry_s: int) -> bool:
        if up[0]:
            sent.append((van, Command.decode(data), expiry_s))
        return up[0]

    views = LiveViews(send, results, 30.0)
    views.join("van-1", 0.0)
    assert views.state("van-1", 0.0)["state"] == "no_link"
    up[0] = True
    views.renew(1.5)
    assert len(sent) == 1
    assert sent[0][1].body.duration_s == 30.0
    assert sent[0][2] == 30
    assert views.state("van-1", 2.0)["state"] == "asked"
    assert views.state("van-1", 20.0)["state"] == "silent"
    results[sent[0][1].command_id] = CommandResult(sent[0][1].command_id, CommandStatus.DONE, "yes")
    assert views.state("van-1", 3.0)["state"] == "on"
    views.join("van-1", 3.0)
    views.renew(5.0)
    assert len(sent) == 1
    views.renew(12.0)
    assert len(sent) == 2
    assert views.state("van-1", 12.1)["state"] == "on"
    views.leave("van-1")
    assert len(sent) == 2
    views.leave("van-1")
    assert sent[-1][1].body.duration_s == 0.0  # type: ignore[union-attr]
    views.leave("van-1")
    views.renew(99.0)
    assert len(sent) == 3


def test_a_gap_of_the_history_is_silence_waiting_or_loss() -> None:
    known, t_s = fleet(), 1_800_000_000
    stream = StreamKey("van-1", EPOCH, DeliveryClass.P1)
    account = CloudAccount(stream)
    fates = [
        "",
        "codec",
        "",
        "waiting",
        "",
    ]  # of envelopes of 10 s each: stored, refused, stored, still on the van, stored
    for seq, fate in enumerate(fates):
        window = Window((t_s + seq * 10) * 10**9, (t_s + seq * 10 + 10) * 10**9 - 1, True)
        if fate != "waiting":
            account.settle(Settled(stream, seq, rejected=fate, points=1, window=window))
    known.take_ledger(stream.text, account.encode())
    produced = ClassAccount(EPOCH, DeliveryClass.P1, len(fates), IntervalSet([(0, 2), (4, 4)]))
    report = VanAccount("van-1", (t_s + 90) * 10**9, {(EPOCH, DeliveryClass.P1): produced})
    known.take_ledger(van_key("van-1"), report.encode())
    gaps = known.gaps("van-1", (t_s - 10) * 1000, (t_s + 99) * 1000)
    told = [(gap["from"] // 1000 - t_s, gap["to"] // 1000 - t_s, gap["kind"]) for gap in gaps]
    assert (10, 20, "loss") in told
    assert any(first <= 30 and last >= 40 and kind == "waiting" for first, last, kind in told)
    assert told[0] == (-10, 0, "silence"), "before the van's first word"
    stored = [at_s for at_s in (5, 25, 45) if any(first <= at_s < last for first, last, _ in told)]
    assert stored == [], "what is stored is no gap"
    assert "codec" in next(gap["text"] for gap in gaps if gap["kind"] == "loss")
    assert known.gaps("van-2", 0, 1000)[0]["kind"] == "silence", "of a van that the ledger does not know"
