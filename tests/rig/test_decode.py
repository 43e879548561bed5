"""vantel decode.

Goal: a log of any format becomes a table with exactly the values and times that cantools and python-can give; what
cannot be decoded is told by exit code and text, and leaves no half file.
Method: a piece of a recorded drive, written by python-can in every format it writes; the tables are read back by
pyarrow, csv and mcap.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timezone
from pathlib import Path

import can
import cantools
import pyarrow.parquet as pq
import pytest
from cantools.database.errors import DecodeError
from mcap.reader import make_reader

CAN = Path(__file__).parents[1] / "data" / "can"
DBC = CAN / "rav4_2016" / "toyota_new_mc_pt_generated.dbc"
FRAMES = 3000
FORMATS = (".asc", ".blf", ".csv", ".log", ".trc", ".mf4")
Row = tuple[int, str, float]


def vantel(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vantel_rig", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def messages() -> list[can.Message]:
    found = []
    for message in can.LogReader(CAN / "rav4_2016" / "rav4_can.log.gz"):
        if message.channel == "can0":
            message.channel = 0
            found.append(message)
            if len(found) == FRAMES:
                break
    return found


@pytest.fixture(scope="module")
def wanted(messages: list[can.Message]) -> list[Row]:
    database = cantools.database.load_file(DBC, strict=False)
    rows: list[Row] = []
    for message in messages:
        try:
            decoded = database.decode_message(message.arbitration_id, message.data, decode_choices=False)
        except (KeyError, DecodeError):
            continue
        name = database.get_message_by_frame_id(message.arbitration_id).name
        t_ns = round(message.timestamp * 1e6) * 1000
        rows += [(t_ns, f"{name}.{signal}", float(value)) for signal, value in decoded.items()]
    return rows


def local(rows: Iterator[tuple[int, str, float]]) -> list[Row]:
    return [(t, name.partition(".")[2], value) for t, name, value in rows]


def csv_rows(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return local((int(r["t_unix_s"].replace(".", "")), r["signal"], float(r["value"])) for r in rows)


@pytest.mark.once
@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_gives_the_values_of_cantools(
    tmp_path: Path, messages: list[can.Message], wanted: list[Row], ending: str
) -> None:
    if ending == ".mf4":
        pytest.importorskip("asammdf", reason="the extra mf4 is not installed")
    log, out = tmp_path / f"drive{ending}", tmp_path / "drive.csv"
    with can.Logger(log) as logger:
        for message in messages:
            logger(message)
    result = vantel("decode", log, "--dbc", DBC, "-o", out)
    assert result.returncode == 0, result.stderr
    rows = csv_rows(out)
    assert [(name, value) for _, name, value in rows] == [(name, value) for _, name, value in wanted]
    if ending in (".blf", ".csv", ".log"):
        assert [t for t, _, _ in rows] == [t for t, _, _ in wanted]
    else:  # times since the start, of which the date is rounded in the header
        assert [t - rows[0][0] for t, _, _ in rows] == pytest.approx(
            [t - wanted[0][0] for t, _, _ in wanted], abs=200_000
        )


def test_parquet_and_mcap_hold_the_same(
    tmp_path: Path, messages: list[can.Message], wanted: list[Row]
) -> None:
    log = tmp_path / "drive.log"
    with can.Logger(log) as logger:
        for message in messages:
            logger(message)
    for ending in ("parquet", "mcap"):
        assert vantel("decode", log, "--dbc", f"can0={DBC}", "-o", tmp_path / f"d.{ending}").returncode == 0
    table = pq.read_table(tmp_path / "d.parquet")
    assert table.schema.field("t").type.tz == str(timezone.utc)
    rows = zip(
        table["t"].cast("int64").to_pylist(),
        table["signal"].to_pylist(),
        table["value"].to_pylist(),
        strict=True,
    )
    assert local(rows) == wanted
    assert table["text"].null_count == len(wanted)
    found: list[Row] = []
    with (tmp_path / "d.mcap").open("rb") as file:
        for _, channel, message in make_reader(file).iter_messages():
            found += [
                (message.log_time, f"{channel.topic.rpartition('.')[2]}.{name}", value)
                for name, value in json.loads(message.data).items()
            ]
    assert sorted(found) == sorted(wanted)


def test_signals_are_chosen_and_the_summary_is_for_programs(tmp_path: Path) -> None:
    out = tmp_path / "speeds.csv"
    ev6 = CAN / "ev6_uds_2023"
    result = vantel("decode", ev6 / "ev6_uds_gnss.log.gz", "--dbc", ev6 / "gnss.dbc", "--answers", ev6 / "ev6.answers.toml",
                    "--signals", "can1.Battery.*", "--signals", "gnss_speed.Speed", "-o", out, "--json")  # fmt: skip
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    names = {name for _, name, _ in csv_rows(out)}
    assert names == {"gnss_speed.Speed"} | {n for n in names if n.startswith("Battery.")}
    assert (told["signals"], told["rows"]) == (len(names), len(csv_rows(out)))
    assert told["left_out"]["answers_unknown"] > 0


@pytest.mark.once
@pytest.mark.parametrize(
    ("out", "extra", "told"),
    [
        (
            "x.parquet",
            ["--dbc", "nowhere.dbc"],
            "nowhere.dbc: cannot read the DBC: No such file or directory; correct --dbc",
        ),
        ("x.parquet", [], "needs a DBC to be decoded; give the DBC of this bus by --dbc"),
        ("x.csv", ["--dbc", str(DBC.with_name("toyota_adas.dbc"))], "give the DBC of this bus by --dbc"),
        ("x.csv", ["--answers", "nowhere.toml"], "correct --answers"),
        ("x.csv", ["--dbc", str(DBC), "--overlay", "nowhere.vspec"], "correct --overlay"),
        ("x.xlsx", ["--dbc", str(DBC)], "write .parquet, .csv or .mcap"),
        ("x.csv", ["--dbc", str(DBC), "--signals", "Nothing.*"], "no signal of the log fits"),
        ("x.csv", ["--dbc", str(DBC), "--dbc", f"can1={DBC}"], "give every --dbc a channel"),
    ],
)
def test_what_cannot_be_done_is_told_and_leaves_no_half_file(
    tmp_path: Path, out: str, extra: list[str], told: str
) -> None:
    log = tmp_path / "drive.log"
    log.write_text("(1.0) can0 0B4#0000000000000000\n")
    result = vantel("decode", log, "-o", tmp_path / out, *extra)
    assert result.returncode == 65
    assert told in re.sub(r"\s+", " ", result.stderr)
    assert "settings" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["drive.log"]
