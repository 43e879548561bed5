"""The van's clock and its sources: kernel, chrony, PTP, recorded GNSS fixes.

Goal: what the programs of this field print is read right and nonsense is no reading; the clock follows its sources, keeps
what an earlier agent of the same boot knew, and gives each mapping another number. Method: outputs with the fields of the
manual pages, sentences with checksums of their own, a clock whose sources are set by hand, the real kernel.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import pytest

from edge.clock import VanClock
from edge.clock.choice import EARLIEST_UNIX_NS, WEEK_ROLLOVER_NS, Reading, Source
from edge.clock.gnss import GnssTime, sentence_time_ns
from edge.clock.machine import chrony_error_ns, kernel_error_ns, ptp_reading, ptp_state, wall_reading
from edge.clock.watch import FixFile
from vantel.envelope import ClockStamp

S, MS = 10**9, 10**6
YEAR_NS = 365 * 86_400 * S


class SetTime:
    """Sources set by hand: a wall clock that is off, and readings."""

    def __init__(self, wall_off_ns: int = 0) -> None:
        self.wall_off_ns = wall_off_ns
        self.readings: list[Reading] = []

    def wall(self) -> Reading:
        real = wall_reading()
        return Reading(Source.NONE, real.offset_ns + self.wall_off_ns, real.error_ns_max, real.t_mono_ns)

    def poll(self) -> Sequence[Reading]:
        return self.readings

    def know(self, source: Source, off_ns: int = 0, error_ns: int = MS) -> None:
        real = wall_reading()
        self.readings = [Reading(source, real.offset_ns + off_ns, error_ns, real.t_mono_ns)]


def sentence(body: str) -> str:
    return f"${body}*{reduce(int.__xor__, body.encode(), 0):02X}"


def test_the_wall_clock_is_read_between_two_looks_at_the_monotonic_one() -> None:
    reading = wall_reading()
    assert abs(reading.t_mono_ns + reading.offset_ns - time.time_ns()) < S
    assert 0 < reading.error_ns_max < S


def test_the_kernel_says_whether_something_disciplines_it() -> None:
    error_ns = kernel_error_ns()
    assert error_ns is None or 0 <= error_ns <= 16 * S + S  # it gives itself up at 16 s


def test_chrony() -> None:
    good = "C0A80101,ntp.example.org,3,1700000000.123,0.000012,-0.000003,0.000100,1.5,0.01,0.2,0.020,0.005,64.2,Normal"
    assert chrony_error_ns(good) == 15_012_001
    assert chrony_error_ns(good.replace("Normal", "Not synchronised")) is None
    assert chrony_error_ns(good.replace(",3,", ",0,")) is None
    assert chrony_error_ns("506 Cannot talk to daemon") is None
    assert chrony_error_ns("") is None


PTP_ANSWERS = """sending: GET TIME_STATUS_NP
\t112233.fffe.445566-0 seq 0 RESPONSE MANAGEMENT TIME_STATUS_NP
\t\tmaster_offset              -120
\t\tingress_time               1700000000000000000
\t\tgmPresent                  true
sending: GET TIME_PROPERTIES_DATA_SET
\t\tcurrentUtcOffset      37
\t\tcurrentUtcOffsetValid 1
sending: GET CURRENT_DATA_SET
\t\toffsetFromMaster -120.0
\t\tmeanPathDelay    830.5
"""


def test_ptp4l() -> None:
    assert ptp_state(PTP_ANSWERS) == (37, 951)
    assert ptp_state(PTP_ANSWERS.replace("true", "false")) is None
    assert ptp_state(PTP_ANSWERS.replace("Valid 1", "Valid 0")) is None
    assert ptp_state("") is None
    assert ptp_reading(Path("/dev/no-such-clock")) is None


@pytest.mark.parametrize(
    ("body", "t_unix_ns"),
    [
        ("GPRMC,123519.25,A,4807.038,N,01131.000,E,022.4,084.4,230726,003.1,W", 1_784_810_119_250_000_000),
        ("GNZDA,123519,23,07,2026,00,00", 1_784_810_119_000_000_000),
        ("GPRMC,123519,V,,,,,,,230726,,", None),
        ("GNZDA,,,,,,", None),
        ("GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,", None),
    ],
)
def test_sentences(body: str, t_unix_ns: int | None) -> None:
    assert sentence_time_ns(sentence(body)) == t_unix_ns


@pytest.mark.parametrize(
    "line",
    [
        "",
        "$GPRMC,1*00",
        "garbage",
        sentence("GPRMC,999999,A,,,,,,,999926,,"),
        sentence("GPRMC"),
        "$" + "A" * 500,
    ],
)
def test_damaged_sentences_are_refused(line: str) -> None:
    gnss = GnssTime()
    assert gnss.feed(line, 0) is None
    assert gnss.refused["damaged"] == 1


def zda(t_unix_ns: int) -> str:
    at = time.gmtime(t_unix_ns // S)
    return sentence(f"GNZDA,{time.strftime('%H%M%S', at)}.00,{time.strftime('%d,%m,%Y', at)},00,00")


def test_fixes_count_once_three_in_a_row_agree() -> None:
    gnss, start = GnssTime(), EARLIEST_UNIX_NS + 86_400 * S
    assert gnss.feed(zda(start), 100 * S) is None
    assert gnss.feed(zda(start + S), 101 * S) is None
    reading = gnss.feed(zda(start + 2 * S), 102 * S)
    assert reading == Reading(Source.GNSS, start - 100 * S + S // 2, S // 2, 102 * S)
    assert gnss.feed(zda(start + 60 * S), 103 * S) is None, "a receiver that jumps is not believed at once"
    assert gnss.refused == {"inconsistent": 1}


def test_a_receiver_that_lost_count_of_the_weeks_is_not_believed() -> None:
    gnss, start = GnssTime(), EARLIEST_UNIX_NS + 86_400 * S - WEEK_ROLLOVER_NS
    assert all(gnss.feed(zda(start + n * S), n * S) is None for n in range(10))
    assert gnss.refused == {"implausible": 10}


def test_recorded_fixes_come_in_at_their_time(tmp_path: Path) -> None:
    start = EARLIEST_UNIX_NS + 86_400 * S
    path = tmp_path / "fixes.nmea"
    path.write_text("".join(f"{n / 10} {zda(start)}\n" for n in range(4)) + f"3600 {zda(start)}\n")
    fixes, found = FixFile(path), []
    until_s = time.monotonic() + 120
    while not found and time.monotonic() < until_s:
        found = fixes.poll()
        time.sleep(0.02)
    assert found[0].source is Source.GNSS


def test_the_clock_follows_its_sources_and_numbers_each_mapping() -> None:
    sources = SetTime(-10 * YEAR_NS)
    clock = VanClock(1.0, sources)
    clock.resume(7, None, 0)
    assert not clock.known
    first = clock.stamp()
    assert (first.source, first.error_ns_max) == (int(Source.NONE), 0)
    assert first.offset_ns % 1000 == 7 * 16
    sources.know(Source.NTP)
    clock.update()
    second = clock.stamp()
    assert clock.known
    assert abs(second.offset_ns - first.offset_ns - 10 * YEAR_NS) < S
    assert second.offset_ns % 1000 == 7 * 16 + 1
    assert second.error_ns_max >= MS
    clock.offer(Reading(Source.GNSS, second.offset_ns, 1000, time.monotonic_ns()))
    clock.update()
    assert clock.mapping.source is Source.GNSS
    assert abs(clock.unix_ns() - time.time_ns()) < 2 * S


def test_a_new_agent_of_the_same_boot_keeps_the_mapping() -> None:
    clock = VanClock(1.0, SetTime(-10 * YEAR_NS))
    known = ClockStamp(clock.boot_id, 1_784_000_000 * S + 17, int(Source.GNSS), 5 * MS)
    clock.resume(9, known, time.monotonic_ns() - 100 * S)
    assert clock.stamp().offset_ns == known.offset_ns
    assert clock.stamp().source == int(Source.GNSS)
    assert clock.stamp().error_ns_max >= 5 * MS + 50 * MS, "its bound has aged"
