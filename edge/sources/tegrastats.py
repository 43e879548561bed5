"""tegrastats lines of NVIDIA Jetson boards (JetPack 4 to 7) as a recording.

From text to chunks: memory, swap, load and clock of each core, GPU, EMC, VIC, APE, temperatures, rails. Signals get
the overlay's names and units where it has them (bytes, Hz, W), else `<name>.<thing>` in tegrastats' own unit.
A line with a date is UTC; lines without one are 1 s apart from 0. A temperature of -256 is an absent sensor, "off" an
absent core. A line that is none is counted and skipped.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone

import numpy as np

from edge.settings import RecordingSection
from edge.sources.board_names import BOARD, board_names
from edge.sources.can_log import BadLines, read_lines
from edge.sources.chunks import Chunk, SlotTable, legal_group, legal_name
from edge.sources.decimal_time import NS_MAX
from edge.sources.errors import RecordingError

LINES_PER_CHUNK = 512
ABSENT_C = -256.0
MIB = 1024.0 * 1024.0
_DATE = re.compile(r"\s*(\d\d)-(\d\d)-(\d{4})\s+(\d\d):(\d\d):(\d\d)\s+")
_MEMORY = re.compile(r"\b(RAM|SWAP) (\d+)/(\d+)MB")
_CORES = re.compile(r"\bCPU \[([^\]]*)\]")
_CORE = re.compile(r"(?:(\d+)%)?@?\[?(\d+)?")
_UNIT_LOAD = re.compile(r"\b(GR3D|EMC|VIC)\d*_FREQ (?:(\d+)%)?@?(?:\[?(\d+)(?:,\d+)*\]?)?")
_APE = re.compile(r"\bAPE (\d+)\b")
_ZONE = re.compile(r"(?<!\S)([A-Za-z]\w*)@(-?\d+(?:\.\d+)?)C(?!\S)")
_RAIL = re.compile(r"(?<!\S)([A-Za-z]\w*) (\d+)(?:mW)?/(\d+)(?:mW)?(?!\S)")
_BLOCKS = {"GR3D": "GPU", "EMC": "EMC", "VIC": "VIC"}

Reading = tuple[str, str, float, float]
"""(name below the board, unit, factor to the overlay's unit, number as tegrastats prints it)."""


def parse_line(line: str) -> list[Reading]:
    """Readings of one line, in the order of the line's parts; empty when it is no tegrastats line."""
    readings: list[Reading] = []
    for what, used, total in _MEMORY.findall(line):
        part = "Memory" if what == "RAM" else "Swap"
        readings += [(f"{part}.Used", "MB", MIB, float(used)), (f"{part}.Total", "MB", MIB, float(total))]
    if not readings:
        return []
    cores = _CORES.search(line)
    for number, core in enumerate(cores.group(1).split(",") if cores else ()):
        match = _CORE.fullmatch(core.strip().rstrip("]"))
        if match:
            readings += _load(f"CPU{number}", match.group(1), match.group(2))
    for what, load, clock in _UNIT_LOAD.findall(line):
        # VIC_FREQ 729 and VIC_FREQ 0%@729 are both in use
        readings += _load(_BLOCKS[what], load, clock)
    if ape := _APE.search(line):
        readings.append(("APE.Frequency", "MHz", 1e6, float(ape.group(1))))
    for zone, degrees in _ZONE.findall(line):
        if float(degrees) > ABSENT_C:
            readings.append((f"Temperature.{zone}", "Celsius", 1.0, float(degrees)))
    for rail, now, _average in _RAIL.findall(line):
        readings.append((f"Rail.{rail}.Power", "mW", 1e-3, float(now)))
    return readings


def _load(part: str, load: str | None, clock: str | None) -> list[Reading]:
    readings: list[Reading] = []
    if load:
        readings.append((f"{part}.Utilization", "percent", 1.0, float(load)))
    if clock:
        readings.append((f"{part}.Frequency", "MHz", 1e6, float(clock)))
    return readings


class TegrastatsRecording:
    """One log of tegrastats."""

    def __init__(self, section: RecordingSection, name: str) -> None:
        self.path = section.path
        self.counts: Counter[str] = Counter()
        self.slots = SlotTable(section.path, section.map)
        self._name = name
        self._slot_of: dict[str, tuple[int, float]] = {}

    def chunks(self) -> Iterator[Chunk]:
        """Samples line by line."""
        self.counts.clear()
        bad = BadLines(self.path, self.counts)
        slots: list[int] = []
        t_ns: list[int] = []
        values: list[float] = []
        lines, dated = 0, False
        for number, raw in read_lines(self.path):
            line = raw.decode("utf-8", errors="replace").strip()
            if not line:
                continue
            stamp = _stamp(line)
            readings = parse_line(line)
            if not readings or (dated and stamp is None):
                bad.add(
                    number, raw, "not a line of tegrastats" if not readings else "no date, others have one"
                )
                continue
            dated = dated or stamp is not None
            at = stamp if stamp is not None else lines * 1_000_000_000
            lines += 1
            self.counts["lines"] += 1
            for thing, unit, factor, printed in readings:
                slot, scale = self._slot(thing, unit, factor)
                slots.append(slot)
                t_ns.append(at)
                values.append(printed / 1000.0 if scale == 1e-3 else printed * scale)
            if lines % LINES_PER_CHUNK == 0:
                yield self._chunk(slots, t_ns, values)
                slots, t_ns, values = [], [], []
        if slots:
            yield self._chunk(slots, t_ns, values)

    def finish(self) -> None:
        """No line of tegrastats at all: another format."""
        if not self.counts["lines"]:
            raise RecordingError(self.path, "no line of tegrastats in it", "set format = to what the file is")
        self.slots.check_map()

    def _chunk(self, slots: list[int], t_ns: list[int], values: list[float]) -> Chunk:
        slot = np.array(slots, dtype=np.int32)
        return Chunk(slot, np.array(t_ns, dtype=np.int64), self.slots.apply(slot, np.array(values)))

    def _slot(self, thing: str, unit: str, factor: float) -> tuple[int, float]:
        known = self._slot_of.get(thing)
        if known is None:
            local = f"{legal_name(self._name)}.{thing}"
            keys = (local, thing)
            overlay = board_names().get(f"{BOARD}{thing}".lower())
            name = local if overlay is None else overlay
            mapped = any(key in self.slots.mapping for key in keys)
            # a mapped thing stays in the unit of tegrastats: scale and offset of the map are written for that
            scale = 1.0 if mapped or overlay is None else factor
            shown = "" if overlay else unit
            known = self.slots.add(name, keys, unit=shown, group=legal_group(self._name)), scale
            self._slot_of[thing] = known
        return known


def _stamp(line: str) -> int | None:
    match = _DATE.match(line)
    if match is None:
        return None
    month, day, year, hour, minute, second = (int(part) for part in match.groups())
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:
        return None
    t_ns = int(moment.timestamp()) * 1_000_000_000
    return t_ns if abs(t_ns) <= NS_MAX else None
