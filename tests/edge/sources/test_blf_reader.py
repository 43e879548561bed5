"""BLF logs with a damaged size: refused in time, where python-can's own reader never ends or leaves frames out.

Method: a log as python-can writes it, its container unpacked, one number changed, and packed again.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from itertools import islice
from pathlib import Path

import can
import pytest

from edge.sources.can_log import read_frames
from edge.sources.errors import RecordingError

FRAMES = 5
HEAD_BYTES, CONTAINER_HEAD_BYTES = 144, 32
VERSION_AT, SIZE_AT = 6, 8
"""Within the header of an object."""


def log(path: Path) -> bytearray:
    with can.BLFWriter(path) as writer:
        for at in range(FRAMES):
            writer.on_message_received(
                can.Message(timestamp=1.5e9 + at, arbitration_id=at, is_extended_id=False, data=bytes(8))
            )
    return bytearray(path.read_bytes())


def with_objects_changed(whole: bytearray, number: int, size: int, version: int | None) -> bytes:
    """Object `number` of the container says that it has size bytes."""
    begins = HEAD_BYTES + CONTAINER_HEAD_BYTES
    objects = bytearray(zlib.decompress(whole[begins:]))
    at = -1
    for _ in range(number + 1):
        at = objects.index(b"LOBJ", at + 1)
    struct.pack_into("<L", objects, at + SIZE_AT, size)
    if version is not None:
        struct.pack_into("<H", objects, at + VERSION_AT, version)
    packed = zlib.compress(bytes(objects))
    struct.pack_into("<L", whole, HEAD_BYTES + SIZE_AT, CONTAINER_HEAD_BYTES + len(packed))
    return bytes(whole[:begins]) + packed


@pytest.mark.parametrize("size", [0, 1, 15])
@pytest.mark.parametrize("version", [None, 77])
@pytest.mark.parametrize("number", [0, FRAMES - 1])
def test_an_object_shorter_than_its_header_is_refused(
    tmp_path: Path, size: int, version: int | None, number: int
) -> None:
    path = tmp_path / "drive.blf"
    path.write_bytes(with_objects_changed(log(path), number, size, version))
    with pytest.raises(RecordingError, match=r"drive\.blf.*shorter than its own header"):
        list(islice(read_frames(path, Counter(), True), 3))  # what never ends fills chunks first


@pytest.mark.parametrize("size", [0, 15])
def test_a_container_shorter_than_its_header_does_not_hide_the_rest(tmp_path: Path, size: int) -> None:
    path = tmp_path / "drive.blf"
    whole = log(path)
    struct.pack_into("<L", whole, HEAD_BYTES + SIZE_AT, size)
    path.write_bytes(whole)
    with pytest.raises(RecordingError, match="shorter than its own header"):
        list(read_frames(path, Counter(), True))


def test_a_sound_log_gives_every_frame(tmp_path: Path) -> None:
    log(tmp_path / "drive.blf")
    (chunk,) = read_frames(tmp_path / "drive.blf", Counter(), True)
    assert chunk.ids.tolist() == list(range(FRAMES))
