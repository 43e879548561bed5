"""MDF 4 logs.

Goal: whatever is in the file, and whatever the packages that read it do then, the caller gets all messages or one error with a
cause, and no process is left behind.
Method: a log as python-can writes it, whole, packed, cut and with bytes changed (memory that asammdf corrupts ends its process:
seen with such files); a child that is killed, and one that asks for more memory than it may have, by small stand-ins
for python-can's reader in the child's own path.
"""

from __future__ import annotations

import gzip
from collections import Counter
from contextlib import suppress
from pathlib import Path

import can
import numpy as np
import psutil
import pytest

from edge.sources.can_log import read_frames
from edge.sources.errors import RecordingError
from edge.sources.mf4_reader import Mf4Error, read_messages

FRAMES, SEEDS = 200, 6


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("asammdf", reason="the extra mf4 is not installed")
    path = tmp_path_factory.mktemp("mf4") / "drive.mf4"
    with can.Logger(path) as writer:
        for at in range(FRAMES):
            writer(
                can.Message(
                    timestamp=1_700_000_000 + at / 100,
                    arbitration_id=0x18FECA01 if at % 3 else 0x123,
                    is_extended_id=at % 3 > 0,
                    is_fd=at % 5 == 0,
                    data=bytes([at] * (12 if at % 5 == 0 else 8)),
                    channel=at % 2,
                    is_remote_frame=False,
                )
            )
    return path


def frames(path: Path) -> list[tuple[int, int, bytes]]:
    return [
        (int(t), int(key), payload[:length].tobytes())
        for chunk in read_frames(path, Counter(), False)
        for t, key, payload, length in zip(chunk.t_ns, chunk.ids, chunk.payload, chunk.lengths, strict=True)
    ]


def readers() -> int:
    """Children that read a log."""
    found = 0
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            found += "edge.sources.mf4_reader" in child.cmdline()
    return found


def test_every_frame_arrives_also_from_a_packed_log(log: Path, tmp_path: Path) -> None:
    packed = tmp_path / "drive.MF4.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    found = frames(log)
    assert len(found) == FRAMES
    assert [data[0] for _, _, data in found] == list(range(FRAMES))
    assert [key for _, key, _ in found[:3]] == [0x123, 0x98FECA01, 0x98FECA01]
    assert [len(data) for _, _, data in found[:6]] == [12, 8, 8, 8, 8, 12]
    assert {round((t - found[0][0]) / 1e7) for t, _, _ in found} == set(range(FRAMES))
    assert frames(packed) == found


def test_damage_ends_as_one_error_or_changes_frames_alone(log: Path, tmp_path: Path) -> None:
    data, told = log.read_bytes(), list[str]()
    for seed in range(SEEDS):
        random = np.random.default_rng(seed)
        damaged = bytearray(data[: random.integers(1, len(data))] if seed % 3 == 0 else data)
        for at in random.integers(0, len(damaged), 6):
            damaged[at] ^= int(random.integers(1, 256))
        path = tmp_path / f"{seed}.mf4"
        path.write_bytes(damaged)
        try:
            left = frames(path)
        except RecordingError as cause:
            told.append(str(cause))
        else:
            assert len(left) <= FRAMES
    assert len(told) > SEEDS // 3
    assert [text for text in told if ".mf4: cannot read it as .mf4: " not in text] == []
    assert readers() == 0


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> Path:
    """Have the child find a function of this body where python-can's reader was; a file for it."""
    text = f"import can\n\ndef reader(*_):\n    {body}\n\ncan.MF4Reader = reader\n"
    (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
    root = Path(__file__).parents[3]
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{root}:{root / 'proto'}")
    path = folder / "any.mf4"
    path.write_bytes(b"MDF     4.10")
    return path


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("bytearray(6 << 30)", "MemoryError"),
        ("raise KeyError('group')", "KeyError: 'group'"),
    ],
)
def test_what_becomes_of_the_reader_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, words: str
) -> None:
    path = stand_in(tmp_path, monkeypatch, body)
    with pytest.raises(Mf4Error, match=words):
        list(read_messages(path))


def test_who_reads_no_further_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = (
        "import itertools; return (can.Message(timestamp=float(at), data=b'1') for at in itertools.count())"
    )
    messages = read_messages(stand_in(tmp_path, monkeypatch, endless))
    next(messages)
    assert readers() == 1
    messages.close()  # type: ignore[attr-defined]
    assert readers() == 0
