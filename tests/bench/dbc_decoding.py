"""Cost of decoding a minute of two buses: our tables against cantools frame by frame (docs/decisions/0003).

tests/data/can/rav4_2016 -> seconds of processor time for each, decoding alone and the whole replay. Run by hand:

    python tests/bench/dbc_decoding.py
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from pathlib import Path

from cantools.database.errors import DecodeError

from edge.clock import VanClock
from edge.model import TextTable
from edge.settings import ReplaySource as ReplaySection
from edge.sources.can_log import read_frames
from edge.sources.dbc import BusDecoder
from edge.sources.dbc_tables import EXTENDED, load_database
from edge.sources.replay import ReplaySource

FOLDER = Path(__file__).parents[1] / "data" / "can" / "rav4_2016"
LOG = FOLDER / "rav4_can.log.gz"
DBC = {"can0": FOLDER / "toyota_new_mc_pt_generated.dbc", "can1": FOLDER / "toyota_adas.dbc"}


def main() -> None:
    began = time.process_time()
    chunks = list(read_frames(LOG, Counter(), False))
    reading_s = time.process_time() - began
    databases = {channel: load_database(path) for channel, path in DBC.items()}
    decoders = {channel: BusDecoder([(DBC[channel], database)]) for channel, database in databases.items()}
    began = time.process_time()
    for chunk in chunks:
        for index, name in enumerate(chunk.names):
            rows = chunk.channel == index
            decoders[name].decode(chunk.ids[rows], chunk.lengths[rows], chunk.payload[rows])
    ours_s = time.process_time() - began
    began, frames = time.process_time(), 0
    for chunk in chunks:
        for at in range(len(chunk.ids)):
            frames += 1
            key = int(chunk.ids[at])
            data = chunk.payload[at, : chunk.lengths[at]].tobytes()
            try:
                databases[chunk.names[chunk.channel[at]]].decode_message(
                    key & ~EXTENDED, data, decode_choices=False, allow_truncated=True
                )
            except (KeyError, DecodeError):
                continue
    cantools_s = time.process_time() - began
    began = time.process_time()
    section = ReplaySection.model_validate(
        {"kind": "replay", "recordings": [{"path": LOG, "dbc": DBC}], "speed": 0}
    )
    ReplaySource(section, VanClock(), TextTable()).run(lambda _: None, threading.Event())
    replay_s = time.process_time() - began
    sys.stdout.write(
        f"{frames} frames: reading {reading_s:.2f} s, our decoding {ours_s:.3f} s, cantools {cantools_s:.2f} s, "
        f"whole replay {replay_s:.2f} s\n"
    )


if __name__ == "__main__":
    main()
