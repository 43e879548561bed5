"""Goal: a reader sees a whole status or a clear word why there is none; a disk that fails does not stop the writer.

Method: real files; a reader that races a writer; a directory in the place of the file for the write error.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edge.status.file import STATUS_BYTES_MAX, STATUS_FILE, StatusError, is_fresh, read_status, write_status
from edge.status.screen import problems_of, table_of, text_of


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


def test_people_read_units_and_what_is_wrong_first() -> None:
    status = {"van": "v", "connected": False, "failure": "", "spool_degraded": "no space", "t_unix_s": 100.0}
    assert problems_of(status, 1.0, fresh=True) == [
        "the spool: no space",
        "no connection to the broker; vantel-edge check --broker says why",
    ]
    assert problems_of(status, 90.0, fresh=False)[0].endswith("its last word is 90 s old")
    assert is_fresh(status, 1.0, 105.9)
    assert not is_fresh(status, 1.0, 106.1)
    for name, value, text in (
        ("uplink.bytes_sent", 3_632_880.0, "3.6 MB"), ("spool.p1.bytes", 999, "999 bytes"), ("a.bytes_max", 2e11, "200.0 GB"),
        ("samples_produced", 3_644_445, "3,644,445"), ("x.seconds", 0.125, "0.125"), ("sources_finished", True, "yes"),
        ("clock_anchor_unix_ns", 1_800_000_000_000_000_000, "2027-01-15 08:00:00 UTC"), ("w", ["a", "b"], "a, b"),
    ):  # fmt: skip
        assert text_of(name, value) == text
    table = table_of("t", [*status.items(), ("uplink.refused", 0.0), ("waiting", []), ("signals", 3)])
    assert table.row_count == 1
    assert str(table.caption).startswith("and 2 ")
