"""Goal: a reader sees a whole status or a clear word why there is none; a disk that fails does not stop the writer.

Method: real files; a reader that races a writer; a directory in the place of the file for the write error.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edge.status import STATUS_BYTES_MAX, STATUS_FILE, StatusError, read_status, write_status


def test_round_trip(tmp_path: Path) -> None:
    assert write_status(tmp_path, {"van": "van-1", "connected": True, "uplink": {"bytes_sent": 1.0}})
    assert read_status(tmp_path) == {"van": "van-1", "connected": True, "uplink": {"bytes_sent": 1.0}}
    assert [p.name for p in tmp_path.iterdir()] == [STATUS_FILE]


def test_a_reader_never_sees_a_torn_status(tmp_path: Path) -> None:
    write_status(tmp_path, {"n": 0, "fill": ""})
    done = threading.Event()

    def write() -> None:
        for n in range(400):
            write_status(tmp_path, {"n": n, "fill": "x" * (n * 97 % 20_000)})
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not done.is_set():
        status = read_status(tmp_path)
        assert len(status["fill"]) == status["n"] * 97 % 20_000
        reads += 1
    writer.join()
    assert reads > 10


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "has not run"),
        (b'{"van": "v', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b" " * (STATUS_BYTES_MAX + 1), "larger"),
    ],
)
def test_no_status_says_why(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / STATUS_FILE).write_bytes(content)
    with pytest.raises(StatusError, match=said):
        read_status(tmp_path)


def test_unwritable_is_false_until_it_is_mended(tmp_path: Path) -> None:
    obstacle = tmp_path / STATUS_FILE
    obstacle.mkdir()
    assert not write_status(tmp_path, {"n": 1})
    assert not write_status(tmp_path, {"n": 1})
    with pytest.raises(StatusError, match="cannot read"):
        read_status(tmp_path)
    obstacle.rmdir()
    assert write_status(tmp_path, {"n": 2})
    assert not write_status(tmp_path / "missing", {"n": 1})
