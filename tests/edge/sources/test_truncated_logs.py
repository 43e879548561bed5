"""Logs that break off, as a logger leaves them when the power goes.

Goal: what stands before the break is read, or the log is refused with its name; nothing else is raised, and no frame
comes out that was not recorded.
Method: a log of each format as python-can writes it, cut at many places, plain and packed.
"""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import can
import numpy as np
import pytest

from edge.sources.can_log import read_frames
from edge.sources.errors import RecordingError

FRAMES, CUTS = 300, 60


def recorded(path: Path) -> list[tuple[int, bytes]]:
    """Write a log; what was written."""
    random = np.random.default_rng(1)
    rows = [(int(random.integers(1, 0x7FF)), random.bytes(8)) for _ in range(FRAMES)]
    with can.Logger(path) as writer:
        for at, (key, data) in enumerate(rows):
            writer(
                can.Message(timestamp=1.7e9 + at / 100, arbitration_id=key, data=data, is_extended_id=False)
            )
    return rows


def read(path: Path) -> list[tuple[int, bytes]] | None:
    """Frames of a log; None when it is refused by its name."""
    rows = []
    try:
        for chunk in read_frames(path, Counter(), True):
            for at, key in enumerate(chunk.ids.tolist()):
                rows.append((key, chunk.payload[at, : chunk.lengths[at]].tobytes()))
    except RecordingError as cause:
        if str(path) not in str(cause):
            raise
        return None
    return rows


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("suffix", [".log", ".asc", ".blf", ".trc", ".csv"])
def test_a_log_that_breaks_off_gives_what_it_has_or_is_refused(
    tmp_path: Path, suffix: str, packed: bool
) -> None:
    path = tmp_path / f"whole{suffix}"
    wanted = recorded(path)
    data = gzip.compress(path.read_bytes(), 1) if packed else path.read_bytes()
    cut = tmp_path / f"cut{suffix}{'.gz' if packed else ''}"
    cut.write_bytes(data)
    assert read(cut) == wanted
    given = 0
    for size in np.linspace(1, len(data) - 1, CUTS).astype(int).tolist():
        cut.write_bytes(data[:size])
        rows = read(cut)
        if rows:
            given += 1
            whole = rows[:-1]  # the last may have lost its end
            assert whole == wanted[: len(whole)]
            key, body = rows[-1]
            assert wanted[len(whole)][1].startswith(body) or key != wanted[len(whole)][0]
    if not packed and suffix != ".blf":
        assert given > CUTS / 2


def test_a_blf_that_breaks_off_says_so(tmp_path: Path) -> None:
    """python-can gives what stands before the break without a word."""
    path = tmp_path / "whole.blf"
    wanted = recorded(path)
    data, counts = path.read_bytes(), Counter[str]()
    assert sum(len(chunk.ids) for chunk in read_frames(path, counts, True)) == len(wanted)
    assert counts["frames_cut"] == 0
    cut = tmp_path / "cut.blf"
    for size in (150, 170, 200, len(data) // 2, len(data) - 200):
        cut.write_bytes(data[:size])
        counts = Counter()
        found = sum(len(chunk.ids) for chunk in read_frames(cut, counts, True))
        assert found < len(wanted), size
        assert counts["frames_cut"] == 1, size
