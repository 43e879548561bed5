"""Goal: each step judges rightly and never raises on data; a rollup is a function of the batch alone.

Method: messages of a bench van go through the core; every reason of refusal has its own message. Rollups are compared
with a plain Python reference that shares no code.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.sink.lines import encode_columns
from cloud.worker.core import CHANNELS, Digest, digest, event_time_ns
from cloud.worker.outcome import ACCEPT, Reject, Retry
from cloud.worker.steps.open import BUNDLE_MESSAGES_MAX, Incoming, open_bundle, pack
from cloud.worker.steps.rollup import fields_of
from cloud.worker.steps.validate import CatalogBook
from vantel.catalog import Signal, SignalType, assemble
from vantel.columns import Column
from vantel.identity import DeliveryClass, PayloadKind
from vantel.intervals import IntervalSet
from vantel.payloads import ClassAccount, Eviction, Fidelity, Health, Tombstone

VAN = "van-1"
FIXTURE = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100
)


def book(bench: Any, wait_s_max: float = 60.0) -> CatalogBook:
    catalogs = CatalogBook(wait_s_max)
    catalogs.learn(bench.catalog.encode())
    return catalogs


def judged(
    bench: Any, message: bytes, delivery_class: DeliveryClass = DeliveryClass.P1, van: str = VAN
) -> Digest:
    return digest(Incoming(f"vantel.{delivery_class.label}", van, message, 1), book(bench), 0.0)


def t(n: int) -> Any:
    return np.arange(n, dtype=np.int64) * 10**6


def reasons(bench: Any) -> dict[str, tuple[bytes, DeliveryClass, str]]:
    p1, p0 = DeliveryClass.P1, DeliveryClass.P0
    good = bench.speeds(VAN, 1)
    speed = bench.id("can0.Motion.Speed")
    wrong_type = bench.batch([Column(speed, t(2), np.array(["a", "b"], object))])
    stranger = bench.batch([Column(70_000, t(2), np.zeros(2))])
    return {
        "corrupt": (good[:-1] + b"\0", p1, VAN),
        "truncated": (b"abc", p1, VAN),
        "oversize": (bytes(300_000), p1, VAN),
        "van_mismatch": (good, p1, "van-2"),
        "class_mismatch": (good, DeliveryClass.P2, VAN),
        "catalog_missing": (bench.speeds(VAN, 1, catalog_hash=0), p1, VAN),
        "codec": (
            bench.message(VAN, 1, PayloadKind.BATCH, b"\x2a\x03abc"),
            p1,
            VAN,
        ),
        "malformed": (bench.message(VAN, 1, PayloadKind.BATCH, b"\xff\xff\xff"), p1, VAN),
        "time_range": (bench.speeds(VAN, 1, offset_ns=1 << 62), p1, VAN),
        "signal_unknown": (bench.message(VAN, 1, PayloadKind.BATCH, stranger), p1, VAN),
        "signal_unknown ": (bench.message(VAN, 1, PayloadKind.BATCH, wrong_type), p1, VAN),
        "catalog_invalid": (bench.birth(VAN, 0, claimed=5), p0, VAN),
        "unsupported": (bench.message(VAN, 1, 99, b"of a newer release"), p1, VAN),
    }


@pytest.mark.parametrize("reason", [
    "corrupt", "truncated", "oversize", "van_mismatch", "class_mismatch", "catalog_missing", "codec", "malformed",
    "time_range", "signal_unknown", "signal_unknown ", "catalog_invalid",
    "unsupported",
])  # fmt: skip
def test_each_kind_of_bad_message_is_refused_with_its_reason(bench: Any, reason: str) -> None:
    message, delivery_class, van = reasons(bench)[reason]
    found = judged(bench, message, delivery_class, van)
    assert isinstance(found.outcome, Reject)
    assert found.outcome.reason == reason.strip()
    assert found.outcome.detail
    assert found.lines == ()
    trusted = reason not in {"corrupt", "truncated", "oversize", "van_mismatch"}
    assert (found.stream is not None) is trusted


@FIXTURE
@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_never_raised(bench: Any, data: bytes) -> None:
    assert isinstance(judged(bench, data).outcome, Reject)
    opened = open_bundle("vantel.p1", data)
    assert isinstance(opened, Reject | list)


@FIXTURE
@given(data=st.binary(max_size=60), kind=st.sampled_from(PayloadKind))
def test_arbitrary_payloads_in_sound_envelopes_never_raise(
    bench: Any, data: bytes, kind: PayloadKind
) -> None:
    found = judged(bench, bench.message(VAN, 1, kind, data, catalog_hash=bench.catalog.hash))
    assert found.outcome == ACCEPT or isinstance(found.outcome, Reject)


def test_a_bundle_is_packed_and_opened_unchanged() -> None:
    messages = [Incoming("vantel.p1", f"v{at}", bytes([at]), at) for at in range(5)]
    assert open_bundle("vantel.p1", pack(7, messages)) == messages
    for nothing in (None, b"", pack(7, [])):
        refused = open_bundle("vantel.p1", nothing)
        assert isinstance(refused, Reject)
        assert refused.reason == "bundle"
    assert isinstance(open_bundle("t", pack(7, messages[:1] * (BUNDLE_MESSAGES_MAX + 1))), Reject)


def test_an_unknown_catalog_is_waited_for_and_then_refused_at_once(bench: Any) -> None:
    catalogs = CatalogBook(60.0)
    incoming = Incoming("vantel.p1", VAN, bench.speeds(VAN, 1), 1)
    assert isinstance(digest(incoming, catalogs, 100.0).outcome, Retry)
    assert isinstance(digest(incoming, catalogs, 159.9).outcome, Retry)
    late = digest(incoming, catalogs, 160.0)
    assert isinstance(late.outcome, Reject)
    assert (late.outcome.reason, late.catalog_hash) == ("catalog_unknown", bench.catalog.hash)
    other = Incoming("vantel.p1", VAN, bench.speeds(VAN, 2), 1)
    assert isinstance(digest(other, catalogs, 161.0).outcome, Reject)
    catalogs.learn(bench.catalog.encode())
    assert digest(incoming, catalogs, 162.0).outcome == ACCEPT


def test_a_bad_column_is_refused_alone(bench: Any, reader: Any) -> None:
    payload = bench.batch(
        [
            Column(70_000, t(3), np.zeros(3)),
            Column(bench.id("can0.Motion.Speed"), t(2), np.array([1.0, 2.0])),
            Column(bench.id("can0.Doors.Open"), t(2), np.array([1.0, 2.0])),
        ]
    )
    found = judged(bench, bench.message(VAN, 1, PayloadKind.BATCH, payload))
    assert found.outcome == ACCEPT
    assert len(found.columns_refused) == 2
    assert (found.points, found.samples) == (2, 2)
    settled = found.settled(0, 0, False)
    assert settled is not None
    assert (settled.lines_refused, settled.points, settled.rejected) == (2, 2, "")


def test_epoch_and_seq_stand_in_no_point(bench: Any) -> None:
    speed = bench.id("can0.Motion.Speed")
    payload = bench.batch([Column(speed, t(4), np.arange(4.0))])
    one = judged(bench, bench.message(VAN, 1, PayloadKind.BATCH, payload))
    other = judged(
        bench, bench.message(VAN, 99, PayloadKind.BATCH, payload, epoch=bench.epoch._replace(counter=9))
    )
    assert one.lines == other.lines
    assert one.points == 4


def test_full_fidelity_keeps_every_sample_at_its_time(bench: Any, reader: Any) -> None:
    names = [
        "can0.Motion.Speed",
        "can0.Motion.Gear",
        "can0.Doors.Open",
        "can0.Text, odd=name",
        "can0.Motion.Count",
    ]
    values = [
        np.array([1.5, math.nan, 3.25]), np.array([0, 2, 9], np.uint16), np.array([True, True, False]),
        np.array(["a", 'q"\\', "c,d e"], object), np.array([1, 2, 2**63], np.uint64),
    ]  # fmt: skip
    columns = [Column(bench.id(name), t(3), value) for name, value in zip(names, values, strict=True)]
    found = judged(bench, bench.message(VAN, 1, PayloadKind.BATCH, bench.batch(columns)))
    stored: dict[str, list[Any]] = {}
    for line in found.lines:
        _, tags, fields, t_ns = reader(line.text)
        assert tags["van"] == VAN
        for name, value in fields.items():
            stored.setdefault(name, []).append((t_ns - bench.offset_ns, value))
    assert stored["can0.Motion.Speed"] == [(0, 1.5), (2_000_000, 3.25)]
    assert stored["can0.Motion.Gear"] == [(0, "P"), (1_000_000, "D"), (2_000_000, "9")]
    assert stored["can0.Doors.Open"] == [(0, True), (1_000_000, True), (2_000_000, False)]
    assert [v for _, v in stored["can0.Text, odd=name"]] == ["a", 'q"\\', "c,d e"]
    assert [v for _, v in stored["can0.Motion.Count"]] == [1.0, 2.0, 2.0**63]
    assert (found.points, found.values_unrepresentable, found.samples) == (14, 1, 15)


def reference(signal: Signal, column: Column, offset_ns: int) -> dict[tuple[str, int], Any]:
    """What a rollup keeps, the slow way."""
    points: dict[tuple[str, int], Any] = {}
    samples = list(zip(column.t_ns.tolist(), column.values.tolist(), strict=True))
    if signal.type is SignalType.FLOAT64:
        numbers = [(at, value) for at, value in samples if math.isfinite(value)]
        if numbers:
            last_t, last = numbers[-1]
            for suffix, value in (
                ("", last),
                (".min", min(v for _, v in numbers)),
                (".max", max(v for _, v in numbers)),
            ):
                points[signal.name + suffix, last_t + offset_ns] = value
        return points
    before: Any = None
    for at, value in samples:
        if value != before:
            points[signal.name, at + offset_ns] = value
        before = value
    return points


SIGNALS = [
    Signal("a.b.Number", id=65_536, group="g"),
    Signal("a.b.Other", id=65_537, group="h"),
    Signal("a.b.Flag", id=65_538, group="g", type=SignalType.BOOL),
    Signal("a.b.Text", id=65_539, group="g", type=SignalType.STRING),
]


@st.composite
def batches(draw: Any) -> list[tuple[Signal, Column]]:
    columns = []
    for signal in draw(st.lists(st.sampled_from(SIGNALS), unique=True)):
        stamps = sorted(draw(st.sets(st.integers(0, 50), min_size=1, max_size=12)))
        kind = {SignalType.BOOL: st.booleans(), SignalType.STRING: st.sampled_from(["x", "y"])}.get(
            signal.type, st.floats()
        )
        values = [draw(kind) for _ in stamps]
        dtype = {SignalType.BOOL: np.bool_, SignalType.STRING: object}.get(signal.type, np.float64)
        columns.append((signal, Column(signal.id, np.array(stamps, np.int64), np.array(values, dtype))))
    return columns


@FIXTURE
@given(columns=batches(), seed=st.integers(0, 99))
def test_a_rollup_equals_the_slow_way_in_any_order_of_columns(
    reader: Any, columns: list[tuple[Signal, Column]], seed: int
) -> None:
    shuffled = random.Random(seed).sample(columns, len(columns))
    fields, left_out = fields_of(shuffled, Fidelity.ROLLUP, 1000)
    found = {
        (name, t_ns): value
        for line in encode_columns("telemetry", VAN, fields).lines
        for _, _, parts, t_ns in [reader(line.text)]
        for name, value in parts.items()
    }
    expected: dict[tuple[str, int], Any] = {}
    for signal, column in columns:
        expected |= reference(signal, column, 1000)
    assert found == expected
    assert left_out == sum(
        int((~np.isfinite(column.values)).sum())
        for signal, column in columns
        if signal.type is SignalType.FLOAT64
    )


def test_an_event_is_one_line_at_its_microsecond(bench: Any, reader: Any) -> None:
    found = judged(bench, bench.event(VAN, 0), DeliveryClass.P0)
    assert len(found.lines) == 1
    measurement, tags, fields, t_ns = reader(found.lines[0].text)
    assert (measurement, tags) == ("events", {"van": VAN, "group": "can0"})
    assert fields == {
        "channel": "range", "signal": "can0.Motion.Speed", "value": 99.5, "score": 3.0, "threshold": 2.0,
        "expected": 1.0, "severity": "warning", "injected": "mark",
    }  # fmt: skip
    assert t_ns // 1000 == (bench.offset_ns + 5_000_123) // 1000
    assert found.points == 8


def test_events_of_one_instant_do_not_overwrite_one_another() -> None:
    silent = {event_time_ns(7_000, signal_id, "timeout") for signal_id in range(65_536, 65_536 + 1000)}
    assert len(silent) == 1000
    mixed = {event_time_ns(7_000, 65_540 + at, channel) for at in range(160) for channel in CHANNELS}
    assert len(mixed) == 160 * len(CHANNELS)
    assert all(value // 1000 == 7 for value in silent | mixed)
    assert event_time_ns(-1, 5, "range") // 1000 == -1


def test_health_gives_gauges_and_the_account_of_the_van(bench: Any, reader: Any) -> None:
    account = ClassAccount(
        bench.epoch, DeliveryClass.P1, 9, IntervalSet([(0, 3)]), (Eviction(4, 5, "quota"),)
    )
    health = Health(5, (account,), 77, {"queue_full": 2}, {"cpu_percent": 3.5, "bad": math.nan})
    found = judged(bench, bench.message(VAN, 1, PayloadKind.HEALTH, health.encode()))
    measurement, _, fields, t_ns = reader(found.lines[0].text)
    assert (measurement, t_ns) == ("agent", bench.offset_ns + 5)
    assert fields == {"cpu_percent": 3.5, "samples_produced": 77.0, "shed_queue_full": 2.0}
    assert found.points == 0
    assert found.report is not None
    assert list(found.report.streams.values()) == [account]


def test_a_tombstone_reports_an_eviction(bench: Any) -> None:
    tombstone = Tombstone(bench.epoch, DeliveryClass.P2, Eviction(3, 8, "quota"))
    message = bench.message(VAN, 1, PayloadKind.TOMBSTONE, tombstone.encode(), DeliveryClass.P0)
    found = judged(bench, message, DeliveryClass.P0)
    assert found.report is not None
    assert found.report.streams[bench.epoch, DeliveryClass.P2].evicted == (Eviction(3, 8, "quota"),)


def test_a_birth_teaches_its_catalog(bench: Any) -> None:
    other = assemble([replace(bench.catalog.signals[0], id=0)])
    found = judged(bench, bench.birth(VAN, 0, catalog=other), DeliveryClass.P0)
    assert (found.outcome, found.catalog) == (ACCEPT, other.encode())
