"""Topics, shards and identity.

Goal: what one side writes the other reads back, wrong topics are refused with a reason, shards never move.
Method: round trips over legal van ids, fixed shards of a few ids, a table of bad topics.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vantel import topics
from vantel.identity import VAN_ID, DeliveryClass, Epoch, StreamKey, check_van_id

VAN = st.from_regex(VAN_ID, fullmatch=True).filter(str.isascii)


@given(VAN, st.sampled_from(DeliveryClass))
def test_a_topic_reads_back(van: str, delivery_class: DeliveryClass) -> None:
    topic = topics.up(van, delivery_class)
    assert topics.parse_up(topic) == (topics.shard_of(van), van, delivery_class.label)
    assert topics.parse_up(topics.death(van)).leaf == "death"
    assert topics.down(van, "ack") == f"v1/{topics.shard_of(van)}/{van}/down/ack"
    assert 0 <= topics.shard_of(van) < 64


def test_shards_never_move() -> None:
    known = {"van-1": 31, "van-2": 43, "demo-003": 23, "A": 46, "0123456789abcdef0123456789abcdef": 25}
    assert {van: topics.shard_of(van) for van in known} == known


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "v1",
        "v2/47/van-1/up/p0",
        "v1/31/van-1/up/p3",
        "v1/31/van-1/down/ack",
        "v1/30/van-1/up/p0",
        "v1/031/van-1/up/p0",
        "v1/31/van-1/up/p0/x",
        "v1/x/van-1/up/p0",
        "v1/0/-van/up/p0",
        "v1/0/van 1/up/p0",
        f"v1/0/{'v' * 33}/up/p0",
        "v1/0//up/p0",
        "v1/31/van-1\n/up/p0",
    ],
)
def test_a_bad_topic_is_refused_by_name(topic: str) -> None:
    with pytest.raises(ValueError, match="topic"):
        topics.parse_up(topic)


@given(st.text())
def test_any_text_parses_or_is_a_value_error(topic: str) -> None:
    try:
        assert topics.parse_up(topic).van
    except ValueError:
        assert True


def test_shard_settings() -> None:
    assert topics.parse_shards("0-63") == tuple(range(64))
    assert topics.parse_shards("3, 1,8-10,9") == (1, 3, 8, 9, 10)
    for bad in ("", "64", "5-3", "-1", "a", "1-", "0-64", "1;2"):
        with pytest.raises(ValueError, match="shards"):
            topics.parse_shards(bad)


def test_identity_texts_read_back() -> None:
    for epoch in (Epoch(12, 0x9F3C1B2A), Epoch(0, 2**64 - 1), Epoch.fresh(7), Epoch.fresh(0)):
        assert Epoch.from_text(epoch.text) == epoch
    assert Epoch(12, 0x9F3C1B2A).text == "12-9f3c1b2a"
    assert Epoch(3, 0x1B).text == "3-0000001b"
    assert StreamKey("van-1", Epoch(12, 0x9F3C1B2A), DeliveryClass.P1).text == "van-1|12-9f3c1b2a|p1"
    assert [DeliveryClass.from_label(c.label) for c in DeliveryClass] == list(DeliveryClass)
    with pytest.raises(ValueError, match="p9"):
        DeliveryClass.from_label("p9")
    for bad in ("", "-a", "a_b", "a" * 33, "a b", "ä", "a\n"):
        with pytest.raises(ValueError, match="van id"):
            check_van_id(bad)


@given(st.integers(1, 2**32 - 1))
def test_a_fresh_epoch_keeps_its_counter_and_32_bits(counter: int) -> None:
    epoch = Epoch.fresh(counter)
    assert epoch.counter == counter
    assert epoch.random < 2**32
