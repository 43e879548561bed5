"""A log full of garbage beside a good recording.

Goal: whatever damage a log has, the samples of the other recording come with the same values and times; the log gives what is
left of it, or is refused by its name before anything is played.
Method: a log of each format as python-can writes it, with noise over or between its bytes, played together with a CSV.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import can
import numpy as np
import pytest

from edge.sources.errors import RecordingError

DBC = 'VERSION ""\nBU_: A\nBO_ 291 Std: 8 A\n SG_ X : 0|64@1+ (1,0) [0|0] "" A\n'
START_S, FRAMES, ROWS, SEEDS = 1_700_000_000, 300, 400, 8
HEADER_BYTES = 400
"""Left alone where a format has a header: a log without one is refused at once, which shows nothing."""


def log_with_noise(path: Path, seed: int) -> None:
    """Frames for 3 s, then noise: lines of it in a text, bytes overwritten in a .blf."""
    random = np.random.default_rng(seed)
    with can.Logger(path) as writer:
        for at in range(FRAMES):
            writer(can.Message(timestamp=START_S + at / 100, arbitration_id=291, data=random.bytes(8), is_extended_id=False))  # fmt: skip
    data = bytearray(path.read_bytes())
    if path.suffix == ".blf":
        for at in random.integers(HEADER_BYTES, len(data), 3):
            data[at] ^= int(random.integers(1, 256))
    else:
        lines = bytes(data).split(b"\n")
        for at in random.integers(20, len(lines), 100):
            lines[at : at + 1] = [random.bytes(int(random.integers(0, 200))), lines[at][:-3]]
        data = bytearray(b"\n".join(lines))
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("suffix", "read_on"), [(".log", True), (".asc", True), (".trc", True), (".csv", False), (".blf", False)]
)
def test_noise_in_a_log_leaves_the_other_recording_alone(
    play: Any, tmp_path: Path, suffix: str, read_on: bool
) -> None:
    good, dbc = tmp_path / "good.csv", tmp_path / "bus.dbc"
    rows = [(START_S + at / 128, at * 0.5) for at in range(ROWS)]
    good.write_text("t,speed\n" + "".join(f"{t!r},{v!r}\n" for t, v in rows))
    dbc.write_text(DBC)
    alone = play([{"path": good, "name": "good"}], time="original").of("good.speed")
    assert [value for _, value in alone] == [value for _, value in rows]
    for seed in range(SEEDS):
        noisy = tmp_path / f"noisy{seed}{suffix}"
        log_with_noise(noisy, seed)
        recordings = [{"path": noisy, "format": "can", "dbc": [dbc]}, {"path": good, "name": "good"}]
        if not read_on:
            with pytest.raises(RecordingError, match=re.escape(noisy.name)):
                play(recordings, time="original")
            continue
        played = play(recordings, time="original")
        assert played.of("good.speed") == alone
        counters = played.source.counters
        assert 100 < counters["frames"] <= FRAMES
        assert suffix != ".log" or counters["lines_bad"] > 100
