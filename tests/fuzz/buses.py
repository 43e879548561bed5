"""Frames of a bus through all that reads them, requests while answers come, and the codec's single arrays."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np

from edge.settings.sources import PollRequest, PollSection
from edge.sources.can_channel import CanChannel
from edge.sources.chunks import SlotTable
from edge.sources.dbc_file import load_database
from edge.sources.dbc_kernel import EXTENDED
from edge.sources.polling import Poller
from tests.fuzz.campaign import Decoder
from tests.fuzz.recordings import DBC
from vantel.codec import CodecError, decode_times, decode_values, encode_times, encode_values

FRAMES = bytes(rank for at in range(12) for rank in (at % 3, 8, 0x10 if at < 2 else 0x20 | at, 20, *range(6)))


def buses() -> list[Decoder]:
    """Each once."""
    return [
        Decoder("polling", [FRAMES], _polling),
        Decoder("can_frames", [FRAMES], _can_frames),
        Decoder(
            "values", [encode_values(v) for v in _arrays()], lambda d: len(decode_values(d)), (CodecError,)
        ),
        Decoder("times", [encode_times(t) for t in _stamps()], lambda d: len(decode_times(d)), (CodecError,)),
    ]


def frames_of(data: bytes, ids: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ten bytes a frame: which id, length, payload of eight."""
    rows = np.frombuffer(data[: len(data) // 10 * 10], np.uint8).reshape(-1, 10)
    payload = np.zeros((len(rows), 64), np.uint8)
    payload[:, :8] = rows[:, 2:]
    return np.array(ids, np.uint32)[rows[:, 0] % len(ids)], (rows[:, 1] % 9).astype(np.int64), payload


def _arrays() -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    walk = np.round(np.cumsum(rng.normal(size=300)), 2)
    return [walk, walk.astype(np.float32), (walk * 100).astype(np.int16), rng.random(40), walk > 0, walk[:0]]


def _stamps() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    even = 10**12 + np.arange(300, dtype=np.int64) * 10**7
    return [even, even + rng.integers(0, 10**5, 300), rng.integers(-(2**62), 2**62, 20), even[:0]]


def _polling(data: bytes) -> None:
    """Frames of answers while a request is open: eight bytes out each time, never for a stranger."""
    poller = Poller(PollSection(requests=[PollRequest(pid=0), PollRequest(did=0x1400, request=0x7E0)]), 0.0)
    ids, lengths, payload = frames_of(data, (0x7E8, 0x7E9, 0x123))
    for row in range(min(len(ids), 200)):
        sent = poller.tick(row / 10)
        sent += poller.hear(row / 10, ids[row : row + 1], lengths[row : row + 1], payload[row : row + 1])
        assert all(len(frame.data) == 8 and frame.key in (0x7DF, 0x7E0, 0x7E1) for frame in sent)


def _can_frames(data: bytes) -> None:
    """Any frames on a bus with a DBC, J1939 and all."""
    ids, lengths, payload = frames_of(
        data, (37, 38, EXTENDED | 0x18ECFF01, EXTENDED | 0x18EBFF01, EXTENDED | 37)
    )
    found = _channel().decode(ids, lengths, payload)
    assert (np.diff(found.label) >= 0).all()
    assert len(found.slot) == len(found.value)


@functools.cache
def _channel() -> CanChannel:
    with tempfile.NamedTemporaryFile(suffix=".dbc") as file:
        file.write(DBC)
        file.flush()
        path = Path(file.name)
        return CanChannel("fuzz", (), [(path, load_database(path))], SlotTable(path, {}), j1939=True)
