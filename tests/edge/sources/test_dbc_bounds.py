"""DBC files that would take more memory or time than any van has.

Goal: they are refused by file, line and fix before cantools reads them.
Method: a file longer than the bound that cannot be read without a failure, messages and signals of which cantools would note every bit.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.sources.dbc_file import load_database
from edge.sources.errors import RecordingError


def test_a_database_beyond_its_bound_is_refused_before_it_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is sparse and costs no disk; one of exactly 12 MiB is read."""
    path = tmp_path / "huge.dbc"
    with path.open("wb") as file:
        file.truncate(12 * 1024 * 1024 + 1)

    def read(self: Path) -> bytes:
        raise AssertionError(f"{self} was read")

    monkeypatch.setattr(Path, "read_bytes", read)
    with pytest.raises(
        RecordingError, match=r"huge\.dbc: the DBC has more than 12 MiB; leave out the messages"
    ):
        load_database(path)
    with path.open("r+b") as file:
        file.truncate(12 * 1024 * 1024)
    with pytest.raises(AssertionError, match="was read"):
        load_database(path)


@pytest.mark.parametrize("place", ["35353535|12", "3|35353535", "3|" + "9" * 5000, "99999|8"])
def test_a_signal_far_beyond_any_message_is_refused_before_memory_is_taken(
    tmp_path: Path, place: str
) -> None:
    path = tmp_path / "far.dbc"
    path.write_text(f'VERSION ""\nBU_: A\nBO_ 37 STEER: 8 A\n SG_ RATE m1 : {place}@0- (1,0) [0|0] "" A\n')
    with pytest.raises(
        RecordingError, match=r"far\.dbc, line 4: signal RATE begins or ends beyond bit 32768"
    ):
        load_database(path)


@pytest.mark.parametrize("length", ["35353535", "9" * 5000, "4097"])
def test_a_message_longer_than_any_is_refused_before_memory_is_taken(tmp_path: Path, length: str) -> None:
    path = tmp_path / "long.dbc"
    path.write_text(f'VERSION ""\nBU_: A\nBO_ 37 STEER: {length} A\n SG_ RATE : 3|12@0- (1,0) [0|0] "" A\n')
    with pytest.raises(RecordingError, match=r"long\.dbc, line 3: message STEER is longer than 4096 bytes"):
        load_database(path)


def test_the_longest_message_is_read(tmp_path: Path) -> None:
    path = tmp_path / "longest.dbc"
    path.write_text('VERSION ""\nBU_: A\nBO_ 37 STEER: 4096 A\n SG_ RATE : 32760|8@1- (1,0) [0|0] "" A\n')
    assert load_database(path).messages[0].signals[0].start == 32760
