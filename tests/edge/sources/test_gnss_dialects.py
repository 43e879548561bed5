"""What receivers and versions of gpsd say differently from those of the recordings.

Goal: each dialect gives its position and fix type, or is counted; nothing is made up.
Method: a table of sentences and lines made by hand; recorded UBX frames cut to the length of old receivers.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from pyubx2 import UBXReader

from edge.sources.gnss_decoding import ReceiverDecoder
from edge.sources.gnss_gpsd import GpsdReader
from tests.edge.sources.test_gnss import LOCATION, nmea, raw, reports, same

RMC = "RMC,003956.00,A,4552.65403,S,17030.00668,E,0.025,,120426,,,A"
FIX_TYPE = f"{LOCATION}GNSSReceiver.FixType"


def ubx(payload: bytes) -> bytes:
    """A NAV-PVT frame; the checksum is Fletcher's, of 8 bits."""
    body, a, b = b"\x01\x07" + len(payload).to_bytes(2, "little") + payload, 0, 0
    for byte in body:
        a = (a + byte) & 255
        b = (b + a) & 255
    return b"\xb5b" + body + bytes([a, b])


def test_the_short_fix_of_old_receivers_is_read(data: Path) -> None:
    """Recorded frames without their last 8 bytes, as before protocol version 15; other lengths are odd."""
    whole, short = ReceiverDecoder(), ReceiverDecoder()
    frames = [
        frame
        for frame, said in UBXReader(io.BytesIO(raw(data, "ublox-neo-m8l")), protfilter=2)
        if said.identity == "NAV-PVT"
    ]
    cut = {size: [ubx(frame[6 : 6 + size]) for frame in frames] for size in (80, 84, 88)}
    found = reports([report for frame in cut[84] for report in short.feed(frame)])
    wanted = reports([report for frame in frames for report in whole.feed(frame)])
    wanted.pop(f"{LOCATION}Heading")
    same(found, wanted)
    assert list(short.feed(cut[80][0] + cut[88][0])) == []
    assert short.counts["frame_odd"] == 2


@pytest.mark.parametrize(
    ("sent", "positions", "counted"),
    [
        *((nmea(talker + RMC), 1, "sentences") for talker in ("GP", "GN", "GL", "GA", "GB", "BD", "GQ")),
        (nmea("GN" + RMC)[:-4] + nmea("GN" + RMC)[-4:].lower(), 1, "sentences"),
        (nmea("GN" + RMC).replace(b"\r\n", b"\n"), 1, "sentences"),
        (f"$GN{RMC}\r\n".encode(), 0, "sentence_damaged"),
        (nmea("PUBX,00,081350.00,4717.113210,N,00833.915187,E,546.589,G3"), 0, "sentences"),
        (nmea(f"GN{RMC.replace('4552.65403', '4552.65403' + '0' * 7)},{'V' * 30}"), 1, "sentences"),
        (nmea("GN" + RMC + "V" * 128), 0, "sentence_too_long"),
    ],
)  # fmt: skip
def test_sentences_of_any_receiver(sent: bytes, positions: int, counted: str) -> None:
    decoder = ReceiverDecoder()
    found = reports([*decoder.feed(sent), *decoder.feed(b"\r\n")])
    assert len(found.get(f"{LOCATION}Latitude", [])) == positions
    assert decoder.counts[counted] == 1


@pytest.mark.parametrize(("quality", "fix_type"), [(1, 5), (2, 6), (4, 7), (6, 0), (7, 0), (8, 0)])
def test_dead_reckoning_and_simulators_are_no_fix(quality: int, fix_type: int) -> None:
    gga = f"GNGGA,003956.00,4552.65403,S,17030.00668,E,{quality},12,0.64,14.2,M,1.8,M,,"
    sent = nmea(gga) + nmea("GNGSA,A,3,01,,,,,,,,,,,,1.1,0.6,0.9")
    assert reports(list(ReceiverDecoder().feed(sent)))[FIX_TYPE] == [fix_type]


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        (  # gpsd 3.17: satellites without counts, alt without a datum, no eph
            [{"class": "TPV", "device": "/dev/ttyACM0", "mode": 3, "time": "2026-09-21T14:13:20.000Z", "ept": 0.005, "lat": 48.75,
              "lon": 9.25, "alt": 264.1, "epx": 2.1, "epy": 2.9, "epv": 6.4, "track": 10.5, "speed": 0.091, "climb": 0.0},
             {"class": "SKY", "xdop": 0.5, "hdop": 0.8, "pdop": 1.5, "satellites": [{"PRN": 5, "ss": 40, "used": True}]}],
            {FIX_TYPE: [5], f"{LOCATION}Latitude": [48.75], f"{LOCATION}VerticalAccuracy": [6.4]},
        ),
        (  # gpsd 3.25: a SKY without satellites, dead reckoning
            [{"class": "TPV", "mode": 3, "status": 5, "time": "2026-09-21T14:13:20.000Z", "leapseconds": 18, "lat": 48.75, "lon": 9.25},
             {"class": "SKY", "time": "2026-09-21T14:13:20.000Z", "gdop": 2.1, "hdop": 0.8, "nSat": 3, "uSat": 0}],
            {FIX_TYPE: [0], f"{LOCATION}Latitude": [48.75]},
        ),
    ],
)  # fmt: skip
def test_old_and_new_gpsd(lines: list[dict[str, Any]], wanted: dict[str, list[float]]) -> None:
    """After gpsd_json(5) of both."""
    reader = GpsdReader()
    found = reports([report for line in lines for report in reader.feed(json.dumps(line).encode() + b"\n")])
    assert {name: found[name] for name in wanted} == wanted
    assert f"{LOCATION}Altitude" not in found
    assert not reader.counts["line_damaged"]
