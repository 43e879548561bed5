"""Goal: a class never sends more than its bytes of a day, over restarts, wrong clocks and failing disks; P0 always goes.

Method: the pure budget with a clock of its own, the files of Meter, and the uplink on the real Mosquitto.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from edge.settings import UplinkSection
from edge.uplink.budget import DAY_S, RESERVE_BYTES, Budget, DayBooks
from edge.uplink.lanes import Schedule
from edge.uplink.meter import BOOKS_FILE, METERED_FILE, Meter
from tests.edge.uplink.mqtt_rig import FAST, Bridge, Broker, Rig, until
from tests.edge.uplink.uplink_bench import Bench, name
from vantel.identity import DeliveryClass

P0, P1, P2 = DeliveryClass
NOON_S = 20_000 * DAY_S + DAY_S / 2
MIB = 1024 * 1024


def budget(books: DayBooks | None = None, p1: int | None = 1000, metered_p1: int | None = 0) -> Budget:
    books = books or DayBooks()
    made = Budget({"p1": p1, "p1_metered": metered_p1}, books, lambda _: None)
    made.look(False, NOON_S, 0.0)
    return made


def test_a_class_stops_at_its_bytes_and_goes_on_the_next_day() -> None:
    it = budget()
    it.spent(P1, 900)
    assert it.allows(P1, 100)
    assert not it.allows(P1, 101) and it.held == {P1}
    assert it.allows(P0, MIB) and it.allows(P2, MIB), "no book, no bound"
    it.look(False, NOON_S + DAY_S / 2, 43_200.0)
    assert it.allows(P1, 1000) and it.held == set()


def test_metered_link_has_a_book_of_its_own_beside_the_days() -> None:
    it = budget(p1=1000, metered_p1=300)
    it.look(True, NOON_S, 1.0)
    it.spent(P1, 250)
    assert not it.allows(P1, 60)
    it.look(False, NOON_S, 2.0)
    assert it.held == set() and it.allows(P1, 750) and not it.allows(P1, 751), (
        "metered bytes count for the day too"
    )


def test_a_restart_never_gains_and_loses_a_reserve_at_most() -> None:
    stored: list[DayBooks] = []
    limit = 10 * RESERVE_BYTES
    rng, books, spent = Random(1), DayBooks(), 0
    for _ in range(4):
        it = Budget(
            {"p1": limit},
            books,
            lambda b: stored.append(DayBooks(b.day, dict(b.granted))),
        )
        it.look(False, NOON_S, 0.0)
        for _ in range(rng.randint(1, 40)):
            size = rng.randint(1, 20_000)
            if it.allows(P1, size):
                it.spent(P1, size)
                spent += size
        books = DayBooks(stored[-1].day, dict(stored[-1].granted))  # killed here
    assert spent <= limit
    assert books.granted["p1"] <= spent + 4 * RESERVE_BYTES


@pytest.mark.parametrize("wrong_s", [0.0, NOON_S - 10 * DAY_S])
def test_a_clock_before_the_books_opens_no_new_day_until_a_day_has_run(wrong_s: float) -> None:
    it = budget(DayBooks(20_000, {"p1": 1000}))
    it.look(False, wrong_s, 10.0)
    assert not it.allows(P1, 1)
    it.look(False, wrong_s, DAY_S)
    assert it.allows(P1, 1000)


@pytest.mark.parametrize("wrong_s", [NOON_S + 7000 * DAY_S, 0.0], ids=["once in the future", "always 1970"])
def test_a_van_that_starts_each_day_is_held_for_a_day_of_running_time_whatever_its_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong_s: float
) -> None:
    unix_s = wrong_s
    monkeypatch.setattr("edge.uplink.meter.time.time", lambda: unix_s)
    settings = UplinkSection(p1_day_bytes_max=1000)
    meter = Meter(settings, tmp_path)
    meter.look(0.0)
    meter.budget.spent(P1, 1000)
    hours = 0
    while not meter.budget.allows(P1, 1000):  # eight hours a day, then the power is cut
        assert hours < 100
        unix_s = NOON_S + hours // 8 * DAY_S if wrong_s else 0.0
        meter = Meter(settings, tmp_path)
        for minute in range(8 * 60):
            meter.look(60.0 * minute)
        hours += 8
    assert 24 <= hours <= 32


def test_a_clock_that_is_a_little_slow_gets_one_day_and_not_two() -> None:
    it = budget(p1=1000)
    it.look(False, 20_001 * DAY_S, 43_200.0)  # midnight
    it.spent(P1, 1000)
    for second in range(-600, 1):
        it.look(False, 20_002 * DAY_S + second - 60, 43_200.0 + DAY_S + second)  # a minute slow
        assert not it.allows(P1, 1)


def test_the_schedule_holds_the_class_and_p0_goes_on() -> None:
    bench = Bench()
    it = budget(p1=20, metered_p1=0)
    bench.schedule = Schedule(bench.outbox, UplinkSection(inflight_max=4), Random(0), it)
    bench.add(P1, 9)
    bench.add(P2)
    bench.connect()
    went = bench.send_all()
    assert went[:-1] == [f"p1/{n}" for n in range(len(went) - 1)] and went[-1] == "p2/0"
    assert 0 < len(went) - 1 < 9, "p1 stopped at 20 bytes"
    bench.add(P0, 3)
    assert [name(entry) for entry in iter(bench.send, None)] == ["p0/0", "p0/1", "p0/2"]
    it.look(False, NOON_S + DAY_S, DAY_S)
    bench.open.clear()


def test_books_are_on_the_disk_before_the_bytes_are_spent(tmp_path: Path) -> None:
    settings = UplinkSection(p1_day_bytes_max=1 * MIB)
    meter = Meter(settings, tmp_path)
    meter.look(0.0)
    meter.budget.spent(P1, 600_000)
    assert json.loads((tmp_path / BOOKS_FILE).read_text())["granted"]["p1"] >= 600_000
    again = Meter(settings, tmp_path)
    again.look(0.0)
    assert not again.budget.allows(P1, 500_000) and again.budget.allows(P1, 300_000)


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"day": "x", "granted": {}}', '{"day": 1, "granted": [1]}', "\x00" * 9]
)
def test_books_that_are_none_start_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / BOOKS_FILE).write_text(content)
    meter = Meter(UplinkSection(p1_day_bytes_max=10), tmp_path)
    assert meter.budget.allows(P1, 10)


def test_a_disk_that_cannot_be_written_costs_no_message(tmp_path: Path) -> None:
    meter = Meter(UplinkSection(p1_day_bytes_max=10), tmp_path / "gone")
    meter.look(0.0)
    meter.budget.spent(P1, 10)
    assert not meter.budget.allows(P1, 1) and meter.budget.allows(P0, 1)


@pytest.mark.parametrize(("setting", "before", "after"), [("never", 0, 0), ("file", 0, 1), ("always", 1, 1)])
def test_the_metered_switch(tmp_path: Path, setting: str, before: int, after: int) -> None:
    meter = Meter(UplinkSection(metered=setting), tmp_path)  # type: ignore[arg-type]
    meter.look(0.0)
    assert meter.budget.metered == before
    (tmp_path / METERED_FILE).touch()
    meter.look(0.5)
    assert meter.budget.metered == before, "not looked at more often than once a second"
    meter.look(1.5)
    assert meter.budget.metered == after


@pytest.mark.servers
def test_on_a_metered_link_only_p0_goes_until_the_file_is_gone(
    broker: Broker, start: Callable[..., Rig], bridge: Callable[[], Bridge], tmp_path: Path
) -> None:
    broker.start()
    cloud = bridge()
    (tmp_path / METERED_FILE).touch()
    settings = FAST.model_copy(update={"stalled_after_s": 0.5})
    rig = start(broker.port, settings, meter=Meter(settings, tmp_path)).start()
    rig.add(P1, 5)
    rig.add(P2, 5)
    until(lambda: rig["held_classes"] == 2, "both are held")
    rig.add(P0, 3)
    until(lambda: len(cloud.names()) == 3, "P0 went")
    until(lambda: rig.outbox.settled == {(P0, n) for n in range(3)}, "and was acked")
    assert rig["metered"] == 1
    (tmp_path / METERED_FILE).unlink()
    until(lambda: rig.outbox.empty, "all is gone")
    assert rig["rebuilds"] == 0, "what is held back on purpose is no stall"
    assert len(cloud.names()) == len(set(cloud.names())) == 13
