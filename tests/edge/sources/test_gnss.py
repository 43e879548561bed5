"""GNSS receivers: recordings of a ZED-F9P (NMEA) and a NEO-M8L (UBX), gpsd's JSON, damage, time.

Goal: what the agent has is what an independent reader says (pynmea2, pyubx2, the json module), byte by byte as in one piece;
garbage is counted by reason and gives no sample; a time that may not be believed is refused.
Method: recorded bytes through the parsers, the replay, and a whole agent on a pseudo-terminal and a TCP server.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import reduce
from pathlib import Path

import numpy as np
import pynmea2
import pytest
from pyubx2 import UBXMessage, UBXReader

from edge.births import catalog_of
from edge.clock import VanClock
from edge.clock.choice import Source
from edge.clock.gnss import GnssTime
from edge.model import SampleBlock, TextTable
from edge.settings import EdgeSettings, GnssSource
from edge.sources import build
from edge.sources.gnss import GnssReceiver
from edge.sources.gnss_decoding import ReceiverDecoder
from edge.sources.gnss_gpsd import GpsdReader
from edge.sources.gnss_report import SIGNALS, Report
from tests.edge.test_agent_process import NO_BROKER_PORT, samples_of
from vantel_rig.van import Van

LOCATION, RECEIVER = "Vehicle.CurrentLocation.", "Vehicle.Robovan.GNSS."
NOW_S = 1_790_000_000
S = 10**9
WAIT_S = 120.0


def raw(data: Path, name: str) -> bytes:
    return gzip.decompress((data / "gnss" / f"{name}.log.gz").read_bytes())


def reports(found: list[Report]) -> dict[str, list[float]]:
    values: dict[str, list[float]] = defaultdict(list)
    for report in found:
        for key, value in report.values.items():
            values[SIGNALS[key].name].append(value)
    return dict(values)


def nmea(body: str) -> bytes:
    return f"${body}*{reduce(int.__xor__, body.encode(), 0):02X}\r\n".encode()


def wanted_nmea(data: bytes) -> dict[str, list[float]]:
    """The values by pynmea2."""
    wanted: dict[str, list[float]] = defaultdict(list)
    in_view: dict[str, int] = {}
    for line in data.decode("ascii").splitlines():
        if not line.startswith("$"):
            continue
        said = pynmea2.parse(line)
        if isinstance(said, pynmea2.RMC):
            wanted[f"{LOCATION}Latitude"].append(said.latitude)
            wanted[f"{LOCATION}Longitude"].append(said.longitude)
            wanted[f"{RECEIVER}Speed"].append(said.spd_over_grnd * 1852 / 3600)
        elif isinstance(said, pynmea2.GGA):
            wanted[f"{LOCATION}Altitude"].append(said.altitude + float(said.geo_sep))
            wanted[f"{RECEIVER}SatellitesUsed"].append(int(said.num_sats))
            wanted[f"{RECEIVER}HDOP"].append(float(said.horizontal_dil))
            wanted[f"{LOCATION}GNSSReceiver.FixType"].append(5)
            if in_view:
                wanted[f"{RECEIVER}SatellitesVisible"].append(sum(in_view.values()))
            first_gsa, in_view = True, {}
        elif isinstance(said, pynmea2.GSA) and first_gsa:
            assert said.mode_fix_type == "3"
            wanted[f"{RECEIVER}PDOP"].append(float(said.pdop))
            first_gsa = False
        elif isinstance(said, pynmea2.GST):
            wanted[f"{LOCATION}HorizontalAccuracy"].append(
                math.hypot(said.std_dev_latitude, said.std_dev_longitude)
            )
            wanted[f"{LOCATION}VerticalAccuracy"].append(said.std_dev_altitude)
        elif isinstance(said, pynmea2.GSV):
            in_view[said.talker] = max(in_view.get(said.talker, 0), int(said.num_sv_in_view))
    return dict(wanted)


def wanted_ubx(data: bytes) -> dict[str, list[float]]:
    """The values by pyubx2."""
    wanted: dict[str, list[float]] = defaultdict(list)
    for _, said in UBXReader(io.BytesIO(data), protfilter=2, quitonerror=0):
        if said.identity == "NAV-PVT":
            for name, value in (
                (f"{LOCATION}Latitude", said.lat), (f"{LOCATION}Longitude", said.lon),
                (f"{LOCATION}Altitude", said.height / 1000), (f"{LOCATION}HorizontalAccuracy", said.hAcc / 1000),
                (f"{LOCATION}VerticalAccuracy", said.vAcc / 1000), (f"{RECEIVER}Speed", said.gSpeed / 1000),
                (f"{RECEIVER}Course", said.headMot % 360), (f"{RECEIVER}SatellitesUsed", said.numSV),
                (f"{RECEIVER}Velocity.North", said.velN / 1000), (f"{RECEIVER}Velocity.East", said.velE / 1000),
                (f"{RECEIVER}Velocity.Down", said.velD / 1000),
                (f"{LOCATION}GNSSReceiver.FixType", {2: 1, 3: 5, 4: 5}[said.fixType] + bool(said.diffSoln)),
            ):  # fmt: skip
                wanted[name].append(value)
            if said.headVehValid:
                wanted[f"{LOCATION}Heading"].append(said.headVeh % 360)
        elif said.identity == "NAV-DOP":
            wanted[f"{RECEIVER}PDOP"].append(said.pDOP)
            wanted[f"{RECEIVER}HDOP"].append(said.hDOP)
        elif said.identity == "NAV-SAT":
            wanted[f"{RECEIVER}SatellitesVisible"].append(said.numSvs)
    return dict(wanted)


READERS: dict[str, Callable[[bytes], dict[str, list[float]]]] = {
    "ublox-zed-f9p-nmea": wanted_nmea,
    "ublox-neo-m8l": wanted_ubx,
}


def same(found: dict[str, list[float]], wanted: dict[str, list[float]]) -> None:
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert len(found[name]) == len(values), name
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_a_recording_is_what_an_independent_reader_says(data: Path, name: str, piece: int) -> None:
    bytes_ = raw(data, name)
    decoder = ReceiverDecoder()
    found = [r for at in range(0, len(bytes_), piece) for r in decoder.feed(bytes_[at : at + piece])]
    same(reports(found), READERS[name](bytes_))
    assert not decoder.counts["sentence_damaged"]
    assert not decoder.counts["frame_damaged"]


@pytest.mark.parametrize("name", READERS)
def test_a_recording_goes_through_the_whole_agent(data: Path, tmp_path: Path, name: str) -> None:
    """Live on a pseudo-terminal, as a receiver on a serial port, with garbage between the epochs."""
    bytes_, random = raw(data, name), np.random.default_rng(1)
    ours, theirs = os.openpty()
    source = {"kind": "gnss", "protocol": "receiver", "address": os.ttyname(theirs), "baud": 115_200}
    other = {"kind": "probe", "rate_hz": 100.0}
    van = Van("gnss-1", tmp_path, NO_BROKER_PORT, [source, other])
    van.start()
    van.wait_ready()
    wait_until(
        lambda: van.status()["sources"]["gnss"].get("bytes_skipped", 0) > 0,
        lambda: os.write(ours, b"x" * 40 + b"\n"),
    )
    epochs = (
        bytes_.split(b"$GNRMC")
        if name.endswith("nmea")
        else [bytes_[at : at + 900] for at in range(0, len(bytes_), 900)]
    )
    for at, epoch in enumerate(epochs):
        text = b"$GNRMC" + epoch if name.endswith("nmea") and at else epoch
        os.write(ours, text)
        if name.endswith("nmea"):
            noise = bytes(b for b in random.integers(128, 180, 30, dtype=np.uint8).tolist())
            os.write(ours, noise + nmea("GNRMC,999999.00,A,9952.1,S,17030.0,E,0.1,,990419,,,A,V"))
        time.sleep(0.02)
    kind = "sentences" if name.endswith("nmea") else "frames"
    whole = ReceiverDecoder()
    list(whole.feed(bytes_))
    wait_until(lambda: van.status()["sources"]["gnss"].get(kind, 0) >= whole.counts[kind], lambda: None)
    time.sleep(0.5)
    counters = van.status()["sources"]["gnss"]
    assert van.stop() == 0, van.tail()
    os.close(ours)
    os.close(theirs)
    found = by_name(van, [source, other])
    probe = found.pop("Vehicle.Robovan.TestBench.Probe")
    assert len(probe) > 100
    same(found, READERS[name](bytes_))
    if name.endswith("nmea"):
        assert counters["sentence_odd"] == len(epochs)
        assert counters["bytes_skipped"] >= 30 * len(epochs)
    assert counters["time_implausible"] > 0, "a recording of years ago sets no clock"


def test_a_recording_replays_with_the_times_of_the_receiver(data: Path, play: Callable) -> None:
    for name, reader in READERS.items():
        bytes_ = raw(data, name)
        played = play([{"path": data / "gnss" / f"{name}.log.gz", "format": "gnss"}])
        found: dict[str, list[float]] = defaultdict(list)
        for signal, _, value in played.samples:
            found[signal].append(value)
        same(dict(found), reader(bytes_))
        times = [t for t, _ in played.of(f"{LOCATION}Latitude")]
        assert np.allclose(np.diff(times), S, rtol=0, atol=10**6)
        day = {"ublox-zed-f9p-nmea": "2019-04-12", "ublox-neo-m8l": "2024-01-30"}[name]
        assert time.strftime("%Y-%m-%d", time.gmtime(times[0] // S)) == day


GPSD_LINES = [
    {"class": "VERSION", "release": "3.25", "proto_major": 3, "proto_minor": 15},
    {"class": "TPV", "mode": 0},
    {"class": "TPV", "mode": 1, "time": "1999-08-22T00:00:00.000Z"},
    {"class": "TPV", "mode": 3, "status": 3, "time": "2026-09-21T14:13:20.000Z", "leapseconds": 18, "lat": 48.75,
     "lon": 9.25, "altHAE": 312.5, "altMSL": 264.1, "alt": 1.0, "eph": 1.5, "epv": 2.5, "speed": 3.25, "track": 271.5},
    {"class": "TPV", "mode": 3, "status": 3, "time": "2026-09-21T14:13:20.000Z", "leapseconds": 18, "lat": 48.75,
     "lon": 9.25, "velN": 0.5, "velE": -3.0, "velD": 0.25, "jam": 51},
    {"class": "SKY", "hdop": 0.8, "pdop": 1.5, "nSat": 21, "uSat": 14, "satellites": []},
    {"class": "TPV", "mode": 2, "status": 1, "time": "2026-09-21T14:13:21.000Z", "lat": 48.7501, "lon": 9.2501},
    {"class": "SKY", "satellites": [{"PRN": 1, "used": True}, {"PRN": 2, "used": False}]},
]  # fmt: skip
"""Made by hand after gpsd_json(5)."""


def wanted_gpsd() -> dict[str, list[float]]:
    return {
        f"{LOCATION}GNSSReceiver.FixType": [0, 7, 1], f"{LOCATION}Latitude": [48.75, 48.7501],
        f"{LOCATION}Longitude": [9.25, 9.2501], f"{LOCATION}Altitude": [312.5], f"{LOCATION}HorizontalAccuracy": [1.5],
        f"{LOCATION}VerticalAccuracy": [2.5], f"{RECEIVER}Speed": [3.25], f"{RECEIVER}Course": [271.5],
        f"{RECEIVER}Velocity.North": [0.5], f"{RECEIVER}Velocity.East": [-3.0], f"{RECEIVER}Velocity.Down": [0.25],
        f"{RECEIVER}JammingIndicator": [0.2], f"{RECEIVER}HDOP": [0.8], f"{RECEIVER}PDOP": [1.5],
        f"{RECEIVER}SatellitesVisible": [21, 2], f"{RECEIVER}SatellitesUsed": [14, 1],
    }  # fmt: skip


def test_gpsd_goes_through_the_whole_agent_and_is_found_again(tmp_path: Path) -> None:
    """The server closes in the middle of a line, sends garbage, comes back, then goes silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        source = {"kind": "gnss", "address": f"127.0.0.1:{port}", "silence_s_max": 1.5, "sets_time": False}
        van = Van("gnss-2", tmp_path, NO_BROKER_PORT, [source])
        van.start()
        server.settimeout(WAIT_S)
        first, _ = server.accept()
        assert first.recv(100).startswith(b"?WATCH={")
        first.sendall(b'{"class":"TPV","mode":3,"lat":1')
        first.close()
        second, _ = server.accept()
        assert second.recv(100).startswith(b"?WATCH={")
        second.sendall(b"\xff\xfe\n[1,2]\n{}\n" + b'{"class":"TPV","mode":3,"lat":"north"}\n')
        second.sendall(
            b'{"class":"TPV","mode":3,"lat":NaN,"lon":9.0}\n{"class":"TPV","mode":3,"lat":91.0,"lon":9}\n'
        )
        for line in GPSD_LINES:
            second.sendall(json.dumps(line).encode() + b"\n")
        third, _ = server.accept()  # second has gone silent
        counters = van.status()["sources"]["gnss"]
        assert van.stop() == 0, van.tail()
        second.close()
        third.close()
    found = by_name(van, [source])
    # the two lines with an odd latitude are fixes of other epochs
    found[f"{LOCATION}GNSSReceiver.FixType"] = found[f"{LOCATION}GNSSReceiver.FixType"][2:]
    same(found, wanted_gpsd())
    assert counters["line_damaged"] == 4
    assert counters["odd_latitude"] == 2
    assert counters["link_lost"] >= 1


def test_damage_is_counted_and_gives_no_sample() -> None:
    good = nmea("GNRMC,003956.00,A,4552.65403,S,17030.00668,E,0.025,,120426,,,A,V")
    decoder = ReceiverDecoder()
    cases = [
        good.replace(b"4552", b"4553"),  # checksum
        good[:20] + good,  # cut off by the next one
        b"$" + b"x" * 200 + b"\n",
        nmea("GNRMC,003956.00,A,9952.65403,S,17030.00668,E,0.025,,120426,,,A,V"),
        nmea("GNRMC,003956.00,A,0000.00000,N,00000.00000,E,0.025,,120426,,,A,V"),
        nmea("GNRMC,003956.00,A,4552.65403,S,17030.00668,E,1_0,,120426,,,A,V"),
        nmea("GNRMC"),
        b"\xb5b\x01\x07\x5c\x00" + bytes(94),
        b"\xb5b\x01\x07\xff\xff",
    ]
    found = reports([report for case in cases for report in decoder.feed(case + b"\n")])
    assert found[f"{LOCATION}Latitude"] == [pytest.approx(-45.877567, abs=1e-6)]
    assert decoder.counts == Counter(
        sentences=5, sentence_damaged=1, sentence_cut=1, sentence_too_long=1, sentence_odd=2, odd_latitude=1,
        odd_null_island=1, frame_damaged=1, frame_too_long=1, bytes_skipped=decoder.counts["bytes_skipped"],
    )  # fmt: skip


def test_a_fix_without_flags_gives_no_position() -> None:
    when = {"year": 2026, "month": 9, "day": 21, "hour": 14, "min": 13, "second": 20}
    pvt = when | {"lat": 48.75, "lon": 9.25, "hAcc": 1000}
    good = {"validDate": 1, "validTime": 1, "fullyResolved": 1, "fixType": 3, "gnssFixOk": 1}
    decoder = ReceiverDecoder()
    outcomes = []
    for change in ({}, {"gnssFixOk": 0}, {"fullyResolved": 0}, {"validDate": 0}, {"fixType": 5}):
        frame = UBXMessage("NAV", "NAV-PVT", 0, **pvt, **(good | change)).serialize()
        (report,) = decoder.feed(frame)
        outcomes.append(
            ("latitude" in report.values, report.values["fix_type"], report.clock_unix_ns is not None)
        )
    assert outcomes == [
        (True, 5, True),
        (False, 0, False),
        (True, 5, False),
        (True, 5, False),
        (True, 0, True),
    ]


def test_time_of_a_receiver_reaches_the_clock_of_the_van() -> None:
    section = GnssSource(kind="gnss", address="127.0.0.1:1", protocol="receiver")
    clock = VanClock(sources=NoTime())
    receiver = GnssReceiver(section, clock)
    blocks: list[SampleBlock] = []
    for at in range(4):
        (report,) = ReceiverDecoder().feed(nmea(rmc(NOW_S + at)))
        receiver._take(report, time.monotonic_ns() + at * S, blocks.append)
    clock.update()
    assert clock.mapping.source is Source.GNSS
    assert abs(clock.unix_ns() - NOW_S * S) < 2 * S
    assert [s.name for s in receiver.signals()][blocks[-1].slot[-1]] == f"{RECEIVER}ClockOffset"


@pytest.mark.parametrize(
    ("steps_s", "reason"),
    [
        ([0, 1, 2 - 1024 * 7 * 86_400], "implausible"),
        ([0, 1, 2 - 2], "leap_step"),
        ([0, 1, 2 + 100], "inconsistent"),
    ],
)
def test_week_rollover_and_late_leap_seconds_are_refused(steps_s: list[int], reason: str) -> None:
    gnss = GnssTime()
    for at, step in enumerate(steps_s):
        assert gnss.take((NOW_S + step) * S, at * S) is None
    assert gnss.refused == {reason: 1}


def test_midnight_without_a_new_date() -> None:
    reader = ReceiverDecoder()
    bodies = [
        rmc(NOW_S - NOW_S % 86_400 + 86_399),
        "GNGGA,000000.00,4552.65403,S,17030.00668,E,1,12,0.64,14.2,M,1.8,M,,",
    ]
    found = [report for body in bodies for report in reader.feed(nmea(body))]
    assert found[1].t_unix_ns - found[0].t_unix_ns == S  # type: ignore[operator]


def test_gpsd_time_needs_a_fix_and_known_leap_seconds() -> None:
    reader = GpsdReader()
    lines = [
        {"class": "TPV", "mode": 1, "time": "2026-09-21T14:13:20.000Z"},
        {"class": "TPV", "mode": 3, "time": "2026-09-21T14:13:21.000Z", "leapseconds": 0},
        {"class": "TPV", "mode": 3, "time": "2026-09-21T14:13:22.000Z", "leapseconds": 18},
    ]
    found = [r.clock_unix_ns for line in lines for r in reader.feed(json.dumps(line).encode() + b"\n")]
    assert found == [None, None, 1_789_999_999 * S + 3 * S]
    assert reader.counts["leap_seconds_unknown"] == 1


class NoTime:
    """A machine that does not know the time."""

    def wall(self):  # type: ignore[no-untyped-def]
        from edge.clock.choice import Reading

        return Reading(Source.NONE, -time.monotonic_ns(), 1, time.monotonic_ns())

    def poll(self):  # type: ignore[no-untyped-def]
        return []


def rmc(unix_s: int) -> str:
    moment = time.gmtime(unix_s)
    return f"GNRMC,{time.strftime('%H%M%S.00', moment)},A,4552.65403,S,17030.00668,E,0.025,,{time.strftime('%d%m%y', moment)},,,A,V"


def by_name(van: Van, sources: list[dict]) -> dict[str, list[float]]:
    settings = EdgeSettings.model_validate({"van": {"id": van.id}, "sources": sources})
    catalog, _ = catalog_of([build(section, VanClock(), TextTable(), 0) for section in settings.sources])
    names = {signal.id: signal.name for signal in catalog.signals}
    return {names[key]: [value for _, value in rows] for key, rows in samples_of(van).items()}


def wait_until(condition: Callable[[], bool], meanwhile: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        meanwhile()
        threading.Event().wait(0.1)
