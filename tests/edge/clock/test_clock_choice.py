"""Which time a van believes.

Goal: the best source wins, a less trusted one only sharpens, noise moves nothing, contradictions and better bounds do,
nonsense is never believed. Method: tables of readings; properties over random ones.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock.choice import (
    EARLIEST_UNIX_NS,
    FRESH_NS,
    HOLDOVER_NS,
    WEEK_ROLLOVER_NS,
    Reading,
    Source,
    choose,
    contradicts,
    follow,
    numbered,
    plausible,
    waiting_classes,
)
from vantel.identity import DeliveryClass

S, MS = 10**9, 10**6
NOW = 5000 * S
TRUE = EARLIEST_UNIX_NS + 200 * 86_400 * S - NOW
P0, P1, P2 = DeliveryClass.P0, DeliveryClass.P1, DeliveryClass.P2


def reading(source: Source, error_ns: int = 10 * MS, off_ns: int = 0, age_ns: int = 0) -> Reading:
    return Reading(source, TRUE + off_ns, error_ns, NOW - age_ns)


GNSS, PTP, NTP = reading(Source.GNSS), reading(Source.PTP), reading(Source.NTP)
WALL = Reading(Source.NONE, TRUE - 10 * 365 * 86_400 * S, 0, NOW)


@pytest.mark.parametrize(
    ("readings", "winner"),
    [
        ([], None),
        ([WALL], None),
        ([NTP, WALL], NTP),
        ([NTP, PTP, GNSS], GNSS),
        ([reading(Source.GNSS, 500 * MS), NTP], NTP),  # inside the bounds of the satellite and sharper
        (
            [reading(Source.GNSS, 500 * MS), reading(Source.NTP, 1 * MS, 2 * S)],
            reading(Source.GNSS, 500 * MS),
        ),
        ([reading(Source.GNSS, age_ns=FRESH_NS + 1), NTP], NTP),
        ([reading(Source.GNSS, off_ns=-WEEK_ROLLOVER_NS), NTP], NTP),
        ([reading(Source.GNSS, off_ns=WEEK_ROLLOVER_NS)], None),
    ],
)
def test_the_best_of_the_trusted(readings: list[Reading], winner: Reading | None) -> None:
    for order in (readings, readings[::-1]):
        assert choose(order, NOW) == winner


def test_a_mapping_stays_until_something_is_clearly_better_or_contradicts_it() -> None:
    assert follow(WALL, None, WALL, NOW) is WALL
    assert follow(WALL, NTP, WALL, NOW) is NTP
    assert follow(NTP, None, WALL, NOW) is NTP, "what was known once is held, whatever the wall clock does"
    noisy = reading(Source.NTP, 9 * MS, 3 * MS)
    assert follow(NTP, noisy, WALL, NOW) is NTP
    sharp = reading(Source.GNSS, 1 * MS, 3 * MS)
    assert follow(NTP, sharp, WALL, NOW) is sharp
    assert follow(sharp, NTP, WALL, NOW) is sharp
    jumped = reading(Source.NTP, 10 * MS, -3600 * S)
    assert follow(NTP, jumped, WALL, NOW) is jumped


def test_an_old_mapping_gives_way_to_a_fresh_bound() -> None:
    old = reading(Source.NTP, 10 * MS, age_ns=60 * S)
    assert old.error_at(NOW) == 40 * MS
    fresh = reading(Source.NTP, 10 * MS, 5 * MS)
    assert follow(old, fresh, WALL, NOW) is fresh


def test_a_silent_satellite_is_held_against_the_network_for_an_hour() -> None:
    network = reading(Source.NTP, 1 * MS, 10 * S)
    assert follow(replace(GNSS, t_mono_ns=NOW - 100 * S), network, WALL, NOW).source is Source.GNSS
    assert follow(replace(GNSS, t_mono_ns=NOW - HOLDOVER_NS - S), network, WALL, NOW) is network


def test_a_wall_clock_that_nothing_disciplines_moves_the_mapping_by_steps_only() -> None:
    drifted = replace(WALL, offset_ns=WALL.offset_ns + 900 * MS)
    assert follow(WALL, None, drifted, NOW) is WALL
    set_by_hand = replace(WALL, offset_ns=TRUE)
    assert follow(WALL, None, set_by_hand, NOW) is set_by_hand


ANY = st.builds(
    Reading,
    st.sampled_from(Source),
    st.integers(-(10**19), 10**19),
    st.integers(0, 10**12),
    st.integers(0, NOW),
)


@given(st.lists(ANY, max_size=6), ANY, ANY)
def test_whatever_the_sources_say_the_choice_is_one_of_them(
    readings: list[Reading], current: Reading, wall: Reading
) -> None:
    best = choose(readings, NOW)
    assert best is None or (best in readings and plausible(best) and best.source is not Source.NONE)
    wall = replace(wall, source=Source.NONE)
    mapping = follow(current, best, wall, NOW)
    assert mapping in (current, best, wall)
    if current.source is not Source.NONE:
        assert mapping is not wall
    if best is not None and best.source >= current.source:
        assert not contradicts(mapping, best, NOW) or mapping is best


@given(ANY, st.integers(0, 10**6), st.integers(0, 10**6))
def test_numbered_mappings_keep_whole_microseconds_apart(reading: Reading, one: int, two: int) -> None:
    first, second = numbered(reading, one), numbered(reading, two)
    assert abs(first.offset_ns - reading.offset_ns) < 1000
    assert first.error_ns_max >= reading.error_ns_max + abs(first.offset_ns - reading.offset_ns)
    if (one - two) % 1000:
        assert (first.offset_ns - second.offset_ns) % 1000


def test_events_wait_shorter_than_the_rest_and_nothing_waits_once_the_time_is_known() -> None:
    assert waiting_classes(False, 0.0, 30.0, 600.0) == {P0, P1, P2}
    assert waiting_classes(False, 30.0, 30.0, 600.0) == {P1, P2}
    assert waiting_classes(False, 600.0, 30.0, 600.0) == frozenset()
    assert waiting_classes(True, 0.0, 30.0, 600.0) == frozenset()
    assert waiting_classes(False, 0.0, 0.0, 0.0) == frozenset()
