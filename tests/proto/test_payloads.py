"""Payloads and durable acks.

Goal: what one side encodes the other decodes to an equal value; a newer peer's enum values do no harm; nonsense ends as
EnvelopeError. Method: hypothesis round trips, hand-made protobuf with foreign numbers, arbitrary bytes.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vantel.acks import ACK_BYTES_MAX, Ack
from vantel.catalog import Catalog, Signal, assemble
from vantel.envelope import EnvelopeError
from vantel.identity import VAN_ID, DeliveryClass, Epoch
from vantel.intervals import IntervalSet
from vantel.payloads import (
    REPEATED_MAX,
    Batch,
    Birth,
    ClassAccount,
    Death,
    Event,
    Eviction,
    Fidelity,
    Health,
    PowerLoss,
    Severity,
    Tombstone,
)
from vantel.telemetry.v1 import catalog_pb2, downlink_pb2, payload_pb2

I64 = st.integers(-(2**63), 2**63 - 1)
U64 = st.integers(0, 2**64 - 1)
U32 = st.integers(0, 2**32 - 1)
WORD = st.text(max_size=20)
FLOAT = st.floats(allow_nan=False)
CLASS = st.sampled_from(DeliveryClass)
EPOCH = st.builds(Epoch, U32, U64)
EVICTION = st.builds(lambda a, b, reason: Eviction(min(a, b), max(a, b), reason), U64, U64, WORD)
SHED = st.dictionaries(WORD, U64, max_size=4)
INTERVALS = st.lists(st.tuples(st.integers(0, 2**63), st.integers(0, 1000)), max_size=6).map(
    lambda spans: IntervalSet((first, first + span) for first, span in spans)
)

BATCH = st.builds(
    Batch, I64, I64, st.binary(max_size=50), U32, st.sampled_from(Fidelity), st.integers(0, 2), SHED
)
EVENT = st.builds(
    Event, U32, WORD, I64, FLOAT, FLOAT, FLOAT, FLOAT, st.sampled_from(Severity), WORD, WORD
)  # fmt: skip
TOMBSTONE = st.builds(Tombstone, EPOCH, CLASS, EVICTION, U64, U64)
POWER_LOSS = st.builds(PowerLoss, U64, U64, FLOAT, U64)
ACCOUNT = st.builds(
    ClassAccount,
    EPOCH,
    CLASS,
    U64,
    INTERVALS,
    st.lists(EVICTION, max_size=3).map(tuple),
    st.none() | POWER_LOSS,
)
HEALTH = st.builds(
    Health, I64, st.lists(ACCOUNT, max_size=3).map(tuple), U64, SHED, st.dictionaries(WORD, FLOAT, max_size=4)
)  # fmt: skip
DEATH = st.builds(Death, st.from_regex(VAN_ID, fullmatch=True), EPOCH, st.booleans())
ACK = st.builds(
    Ack,
    st.from_regex(VAN_ID, fullmatch=True),
    st.dictionaries(st.tuples(EPOCH, CLASS), INTERVALS, max_size=4),
    st.lists(U64, max_size=3).map(tuple),
)
KINDS: tuple[Any, ...] = (Batch, Event, Birth, Tombstone, Health, Death, Ack)


@settings(max_examples=300)
@given(st.one_of(BATCH, EVENT, TOMBSTONE, HEALTH, DEATH, ACK))
def test_every_payload_reads_back(payload: Any) -> None:
    encoded = payload.encode()
    assert type(payload).decode(encoded) == payload
    assert payload.encode() == encoded, "the same value gives the same bytes"


def test_a_nan_in_an_event_survives() -> None:
    nan = float("nan")
    event = Event.decode(Event(1, "range", 5, nan, nan, float("inf"), -0.0).encode())
    assert event.value != event.value
    assert event.threshold == float("inf")
    assert str(event.expected) == "-0.0"


def test_a_birth_carries_its_catalog_byte_for_byte() -> None:
    catalog = assemble([Signal("Vehicle.Speed"), Signal("can0.Brake.Pressure", unit="bar")])
    birth = Birth(catalog.encode(), catalog.hash, "0.1.0", 77, bytes(range(16)), ("replay", "system"))
    decoded = Birth.decode(birth.encode())
    assert decoded == birth
    assert Catalog.decode(decoded.catalog).hash == birth.catalog_hash


def test_a_birth_of_a_newer_van_keeps_its_catalog_hash() -> None:
    pb = catalog_pb2.Catalog.FromString(assemble([Signal("Vehicle.Speed"), Signal("x.y")]).encode())
    entries = [
        entry.SerializeToString() + bytes.fromhex("a206036e6577") for entry in pb.entries
    ]  # field 100: "new"
    newer = b"".join(b"\x0a" + bytes((len(entry),)) + entry for entry in entries)
    catalog = Catalog.decode(newer)
    birth = Birth(newer, catalog.hash, "9.0", 0, bytes(16))
    again = Catalog.decode(Birth.decode(birth.encode()).catalog)
    assert again.hash == catalog.hash
    assert again.encode() == newer
    assert [signal.name for signal in again] == ["Vehicle.Speed", "x.y"]


@settings(max_examples=300)
@given(st.sampled_from(KINDS), st.binary(max_size=60))
def test_arbitrary_bytes_end_as_envelope_error(kind: Any, data: bytes) -> None:
    reason = ""
    try:
        kind.decode(data)
    except EnvelopeError as error:
        reason = error.reason
    assert reason in ("", "malformed", "unsupported", "oversize")


def test_enum_values_of_a_newer_van() -> None:
    batch = payload_pb2.Batch(fidelity=9, coordinate_system=7, sample_count=1)  # type: ignore[arg-type]
    assert Batch.decode(batch.SerializeToString()).fidelity is Fidelity.ROLLUP
    assert Batch.decode(batch.SerializeToString()).coordinate_system == 7
    event = payload_pb2.Event(severity=9)  # type: ignore[arg-type]
    assert Event.decode(event.SerializeToString()).severity is Severity.WARNING
    for pb, kind in (
        (payload_pb2.Tombstone(delivery_class=9), Tombstone),  # type: ignore[arg-type]
        (payload_pb2.Health(accounts=[payload_pb2.ClassAccount(delivery_class=9)]), Health),  # type: ignore[arg-type]
    ):
        with pytest.raises(EnvelopeError, match="unsupported"):
            kind.decode(pb.SerializeToString())


def test_a_class_of_a_newer_cloud_is_left_out_of_an_ack() -> None:
    ack = Ack("van-1", {(Epoch(1, 2), DeliveryClass.P0): IntervalSet([(0, 9)])})
    pb = downlink_pb2.Ack.FromString(ack.encode())
    pb.classes.add(delivery_class=9)  # type: ignore[arg-type]
    assert Ack.decode(pb.SerializeToString()) == ack


def test_ranges_of_two_entries_of_one_class_must_not_be_lost() -> None:
    ack = Ack("van-1", {(Epoch(1, 2), DeliveryClass.P0): IntervalSet([(0, 9)])})
    twice = (
        ack.encode()
        + downlink_pb2.Ack(
            classes=downlink_pb2.Ack.FromString(
                Ack("van-1", {(Epoch(1, 2), DeliveryClass.P0): IntervalSet([(20, 29)])}).encode()
            ).classes
        ).SerializeToString()
    )
    assert Ack.decode(twice).durable == {(Epoch(1, 2), DeliveryClass.P0): IntervalSet([(0, 9), (20, 29)])}


def test_nonsense_ranges_are_refused() -> None:
    backwards = payload_pb2.Eviction(reason="quota")
    backwards.range.first = 5
    account = payload_pb2.ClassAccount(delivery_class=1, evicted=[backwards])  # type: ignore[arg-type]
    for kind, payload in (
        (Tombstone, payload_pb2.Tombstone(delivery_class=1, eviction=backwards)),  # type: ignore[arg-type]
        (Health, payload_pb2.Health(accounts=[account])),
    ):
        with pytest.raises(EnvelopeError, match="backwards"):
            kind.decode(payload.SerializeToString())
    pb = downlink_pb2.Ack(van="van-1")
    entry = pb.classes.add(delivery_class=1)  # type: ignore[arg-type]
    entry.ranges.add(first=9, last=3)
    with pytest.raises(EnvelopeError, match="malformed"):
        Ack.decode(pb.SerializeToString())
    with pytest.raises(EnvelopeError, match="oversize"):
        Ack.decode(bytes(ACK_BYTES_MAX + 1))
    many = payload_pb2.ClassAccount(delivery_class=1)  # type: ignore[arg-type]
    for _ in range(REPEATED_MAX + 1):
        many.acked.add()
    with pytest.raises(EnvelopeError, match="malformed"):
        Health.decode(payload_pb2.Health(accounts=[many]).SerializeToString())
