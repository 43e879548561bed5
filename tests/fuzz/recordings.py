"""Readers of whole files: CAN logs, DBC, CSV, tegrastats logs, descriptions of answers, overlays."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from edge.model import TextTable
from edge.source_settings import RecordingSection
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
        _file("dbc", DBC, "fuzz.dbc", load_database),
        _file("csv", CSV, "fuzz.csv", _csv),
        _file("tegrastats_log", TEGRASTATS * 3, "fuzz.log", _tegrastats),
        _file("answers", ANSWERS, "fuzz.toml", load_answers),
        _file("overlay", OVERLAY, "fuzz.yaml", load_overlay),
    ]


def _file(name: str, sample: bytes, file_name: str, read: Callable[[Path], object]) -> Decoder:
    def run(data: bytes) -> None:
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
            path = Path(folder) / file_name
            path.write_bytes(data)
            read(path)

    return Decoder(name, [sample], run, (RecordingError,))


def _csv(path: Path) -> None:
    section = RecordingSection(path=path, text_columns=["state"])
    for _ in CsvRecording(section, "fuzz", TextTable()).chunks():
        pass


def _tegrastats(path: Path) -> None:
    for _ in TegrastatsRecording(RecordingSection(path=path), "fuzz").chunks():
        pass
