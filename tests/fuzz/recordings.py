"""Readers of whole files: CAN logs, DBC, CSV, tegrastats logs, descriptions of answers, overlays."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import can

from edge.model import TextTable
from edge.settings import SettingsError, load
from edge.settings.sources import RecordingSection
from edge.sources.answer_file import load_answers
from edge.sources.can_log import read_frames
from edge.sources.csv_log import CsvRecording
from edge.sources.dbc_file import load_database
from edge.sources.errors import RecordingError
from edge.sources.tegrastats import TegrastatsRecording
from edge.sources.vss_overlay import load_overlay
from tests.fuzz.campaign import Decoder

CANDUMP = b"""(1533226480.000100) can0 25#0008FFFA78000095
(1533226480.000200) can1 180#00AA55
(1533226480.010300) can0 18FECA01#0000FFFF00000000
(1533226480.020300) can0 123##1AABBCCDD
"""
ASC = b"""date Thu Aug 2 04:14:40.000 pm 2018
base hex  timestamps absolute
internal events logged
Begin Triggerblock Thu Aug 2 04:14:40.000 pm 2018
 0.000000 Start of measurement
 0.000100 1  25              Rx   d 8 00 08 FF FA 78 00 00 95
 0.010200 2  18FECA01x       Rx   d 8 00 00 FF FF 00 00 00 00
 0.020000 CANFD   1 Rx        123                                   1 0 9 12 AA BB CC DD 00 00 00 00 00 00 00 00
End TriggerBlock
"""
TRC = b""";$FILEVERSION=2.1
;$STARTTIME=43314.6768518519
;$COLUMNS=N,O,T,B,I,d,R,L,D
      1       0.100 DT 1 0025 Rx -  8    00 08 FF FA 78 00 00 95
      2      10.200 DT 1 18FECA01 Rx -  8    00 00 FF FF 00 00 00 00
"""
CAN_CSV = b"""timestamp,arbitration_id,extended,remote,error,dlc,data
1533226480.1,0x25,0,0,0,8,AAj/+ngAAJU=
1533226480.2,0x18FECA01,1,0,0,8,AAD//wAAAAA=
"""
SETTINGS = b"""[van]
id = "van-1"
[mqtt]
host = "127.0.0.1"
[[sources]]
kind = "can"
channel = "can0"
interface = "virtual"
answers = "a.toml"
  [sources.poll]
    [[sources.poll.requests]]
    pid = 0x0C
    period_s = 0.5
"""
DBC = b"""VERSION "1"

BU_: ECU GATEWAY

BO_ 37 STEER: 8 ECU
 SG_ ANGLE : 3|12@0- (1.5,0) [-500|500] "deg" GATEWAY
 SG_ MODE M : 19|4@0+ (1,0) [0|15] "" GATEWAY
 SG_ RATE m1 : 35|12@0- (1,0) [-2000|2000] "deg/s" GATEWAY

VAL_ 37 MODE 0 "off" 1 "on" ;
"""
CSV = b"t_unix,speed,state\n1533226480.1,12.5,on\n1533226480.2,12.75,off\n1533226480.3,,on\n"
ANSWERS = b"""[[answers]]
name = "Tyres"
response = 0x7A8
did = 0xC00B

  [[answers.signals]]
  name = "PressureFL"
  byte = 4
  scale = 0.2
  unit = "psi"
"""
OVERLAY = b"""Vehicle.Speed:
  dbc:
    signal: STEER.ANGLE
    scale: 0.5
    offset: 1
"""
TEGRASTATS = b"11-26-2026 10:00:00 RAM 2500/7772MB (lfb 4x4MB) CPU [2%@345,off] GR3D_FREQ 9% CPU@45.5C VDD_IN 4000mW/4000mW\n"


def recordings() -> list[Decoder]:
    """Each reader once; a file that is refused must be refused as RecordingError."""
    return [
        _file("candump", CANDUMP, "fuzz.log", lambda path: list(read_frames(path, Counter(), False))),
        _file("asc", ASC, "fuzz.asc", lambda path: list(read_frames(path, Counter(), True))),
        _file("trc", TRC, "fuzz.trc", lambda path: list(read_frames(path, Counter(), True))),
        _file("can_csv", CAN_CSV, "fuzz.csv", lambda path: list(read_frames(path, Counter(), True))),
        _file("blf", _blf(), "fuzz.blf", lambda path: list(read_frames(path, Counter(), True))),
        _file("settings", SETTINGS, "fuzz.toml", load, (SettingsError,)),
        _file("dbc", DBC, "fuzz.dbc", load_database),
        _file("csv", CSV, "fuzz.csv", _csv),
        _file("tegrastats_log", TEGRASTATS * 3, "fuzz.log", _tegrastats),
        _file("answers", ANSWERS, "fuzz.toml", load_answers),
        _file("overlay", OVERLAY, "fuzz.yaml", load_overlay),
    ]


def _blf() -> bytes:
    """A log of two frames as python-can writes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.blf"
        with can.BLFWriter(path) as writer:
            for at in range(2):
                writer.on_message_received(
                    can.Message(timestamp=1533226480.1 + at, arbitration_id=0x25 + at, data=bytes(8))
                )
        return path.read_bytes()


def _file(
    name: str,
    sample: bytes,
    file_name: str,
    read: Callable[[Path], object],
    declared: tuple[type[Exception], ...] = (RecordingError,),
) -> Decoder:
    def run(data: bytes) -> None:
        path = _folder() / file_name
        path.write_bytes(data)
        read(path)

    return Decoder(name, [sample], run, declared)


@functools.cache
def _folder() -> Path:
    """In memory, and one for all executions: making and removing one for each took as long as the readers."""
    folder = tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _csv(path: Path) -> None:
    section = RecordingSection(path=path, text_columns=["state"])
    for _ in CsvRecording(section, "fuzz", TextTable()).chunks():
        pass


def _tegrastats(path: Path) -> None:
    for _ in TegrastatsRecording(RecordingSection(path=path), "fuzz").chunks():
        pass
