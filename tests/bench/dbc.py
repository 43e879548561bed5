"""CAN frames a second a core: our DBC kernel beside cantools, in one run, on each recording and on a made database.

    python tests/bench/dbc.py [--json FILE] [--seconds 3]

Per case: frames of one channel with its DBC files as the agent decodes them, in chunks of 8,192 frames, against
Database.decode_message frame by frame. Both are asked for numbers (decode_choices=False) and both skip unknown ids. Our
values are compared with those of cantools, bit for bit, before anything is measured. Processor time of one thread.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cantools
import numpy as np
from cantools.database.can import Database
from cantools.database.errors import DecodeError

from edge.sources.can_log import FRAMES_PER_CHUNK, read_frames
from edge.sources.dbc import BusDecoder
from edge.sources.dbc_file import load_database
from edge.sources.dbc_kernel import EXTENDED

CAN = Path(__file__).parents[1] / "data" / "can"
RECORDINGS = (
    ("rav4 can0", "rav4_2016/rav4_can.log.gz", "can0", "rav4_2016/toyota_new_mc_pt_generated.dbc"),
    ("rav4 can1", "rav4_2016/rav4_can.log.gz", "can1", "rav4_2016/toyota_adas.dbc"),
    (
        "obd_gnss can9",
        "obd_gnss_2024/obd_gnss_imu_10min.blf",
        "can9",
        "obd_gnss_2024/canedge-internal-can9.dbc",
    ),
    ("obd_gnss can1", "obd_gnss_2024/obd_gnss_imu_10min.blf", "can1", "obd_gnss_2024/OBD-v4.4.dbc"),
    ("ev6 can2", "ev6_uds_2023/ev6_uds_gnss.log.gz", "can2", "ev6_uds_2023/gnss.dbc"),
)
PEER_FRAMES_MAX = 40_000


@dataclass(frozen=True)
class Frames:
    ids: np.ndarray
    lengths: np.ndarray
    payload: np.ndarray


@dataclass(frozen=True)
class Row:
    case: str
    frames: int
    samples_a_frame: float
    ours_frames_per_s: float
    cantools_frames_per_s: float
    times: float


def recorded(path: Path, channel: str) -> Frames:
    parts = []
    for chunk in read_frames(path, Counter(), False):
        if channel in chunk.names:
            rows = chunk.channel == chunk.names.index(channel)
            parts.append((chunk.ids[rows], chunk.lengths[rows], chunk.payload[rows]))
    return Frames(*(np.concatenate([part[at] for part in parts]) for at in range(3)))


def made(messages: int = 200, frames: int = 100_000) -> tuple[Database, Frames]:
    """A database of seeded messages as a van's main bus has them: 2 to 8 signals of 1 to 32 bits, both byte orders, a
    tenth with a multiplexer; and frames of random payloads."""
    random = np.random.default_rng(5)
    lines = ['VERSION ""', "NS_ :", "BS_:", "BU_: A"]
    for at in range(messages):
        lines.append(f"BO_ {100 + at} M{at}: 8 A")
        bit = 0
        if at % 10 == 0:
            lines.append(' SG_ Mux M : 0|2@1+ (1,0) [0|0] "" A')
            lines += [f' SG_ Part{k} m{k} : 8|16@1+ (0.01,0) [0|0] "" A' for k in range(4)]
            bit = 24
        for k in range(int(random.integers(2, 9))):
            width = int(random.choice([1, 2, 4, 8, 12, 16, 32], p=[0.2, 0.1, 0.1, 0.25, 0.1, 0.2, 0.05]))
            if bit + width > 64:
                break
            sign = random.choice(["+", "-"]) if width > 2 else "+"
            scale = random.choice(["1", "0.1", "0.0625", "0.01"]) if width > 4 else "1"
            if bit % 8 == 0 and random.random() < 0.5:
                lines.append(f' SG_ S{k} : {bit + 7}|{width}@0{sign} ({scale},0) [0|0] "" A')
                bit += -(-width // 8) * 8
            else:
                lines.append(f' SG_ S{k} : {bit}|{width}@1{sign} ({scale},-40) [0|0] "" A')
                bit += width
        lines.append("")
    database = cantools.database.load_string("\n".join(lines), "dbc")
    payload = np.zeros((frames, 64), np.uint8)
    payload[:, :8] = random.integers(0, 256, (frames, 8), dtype=np.uint8)
    ids = random.integers(100, 100 + messages, frames).astype(np.uint32)
    return database, Frames(ids, np.full(frames, 8, np.int64), payload)


def by_cantools(database: Database, frames: Frames, stop: int) -> list[dict[str, float] | None]:
    out: list[dict[str, float] | None] = []
    ids, lengths, payload = frames.ids[:stop].tolist(), frames.lengths[:stop].tolist(), frames.payload[:stop]
    rows = [payload[at, :length].tobytes() for at, length in enumerate(lengths)]
    for key, data in zip(ids, rows, strict=True):
        try:
            out.append(
                database.decode_message(key & ~EXTENDED, data, decode_choices=False, allow_truncated=True)
            )
        except (KeyError, DecodeError):
            out.append(None)
    return out


def by_us(decoder: BusDecoder, frames: Frames) -> int:
    samples = 0
    for at in range(0, len(frames.ids), FRAMES_PER_CHUNK):
        part = slice(at, at + FRAMES_PER_CHUNK)
        samples += len(decoder.decode(frames.ids[part], frames.lengths[part], frames.payload[part]).value)
    return samples


def check(database: Database, decoder: BusDecoder, frames: Frames, stop: int) -> None:
    """SystemExit unless every value is that of cantools."""
    decoded = decoder.decode(frames.ids[:stop], frames.lengths[:stop], frames.payload[:stop])
    ours: list[list[tuple[str, float]]] = [[] for _ in range(stop)]
    for slot, row, value in zip(
        decoded.slot.tolist(), decoded.frame.tolist(), decoded.value.tolist(), strict=True
    ):
        ours[row].append((decoder.signals[slot].name, value))
    for row, theirs in enumerate(by_cantools(database, frames, stop)):
        wanted = [(name, float(value)) for name, value in (theirs or {}).items()]
        if ours[row] != wanted:
            raise SystemExit(f"frame {row} differs: {ours[row]} is not {wanted}")


def seconds_a_run(work: Callable[[], object], seconds: float) -> float:
    """Least processor seconds of a run, over runs that last for some seconds together."""
    best, spent = float("inf"), 0.0
    while spent < seconds:
        began = time.thread_time()
        work()
        took = time.thread_time() - began
        best, spent = min(best, took), spent + took
    return best


def measure(case: str, database: Database, path: Path, frames: Frames, seconds: float) -> Row:
    stop = min(len(frames.ids), PEER_FRAMES_MAX)
    decoder = BusDecoder([(path, database)])
    check(database, decoder, frames, stop)
    repeats = -(-100_000 // len(frames.ids))  # a short recording is repeated, so that a run takes a while
    many = Frames(
        *(np.concatenate([part] * repeats) for part in (frames.ids, frames.lengths, frames.payload))
    )
    samples = by_us(decoder, many)
    ours = len(many.ids) / seconds_a_run(lambda: by_us(decoder, many), seconds)
    peer = stop / seconds_a_run(lambda: by_cantools(database, frames, stop), seconds)
    return Row(case, len(frames.ids), samples / len(many.ids), ours, peer, ours / peer)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--seconds", type=float, default=2.0, help="processor seconds for each figure")
    options = parser.parse_args()
    rows = []
    sys.stdout.write(
        f"{'case':16}{'frames':>9}{'samples/f':>11}{'ours, 1/s':>14}{'cantools, 1/s':>15}{'times':>8}\n"
    )
    for case, log, channel, dbc in RECORDINGS:
        path = CAN / dbc
        rows.append(measure(case, load_database(path), path, recorded(CAN / log, channel), options.seconds))
        show(rows[-1])
    database, frames = made()
    rows.append(measure("200 messages", database, Path("made.dbc"), frames, options.seconds))
    show(rows[-1])
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


def show(row: Row) -> None:
    sys.stdout.write(
        f"{row.case:16}{row.frames:9,}{row.samples_a_frame:11.2f}{row.ours_frames_per_s:14,.0f}"
        f"{row.cantools_frames_per_s:15,.0f}{row.times:8.1f}\n"
    )


if __name__ == "__main__":
    main()
