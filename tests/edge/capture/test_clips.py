"""Clips: captures on the van's disk.

Goal: a clip survives a torn end and is written on behind it; it comes again byte by byte, at the times it had; holds,
eviction and bodies that wait for an unmetered link do what they say, and what is given up is told; a clip becomes MCAP.
Method: what the pipeline makes of synthetic streams, kept in clips, read again.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from mcap.reader import make_reader
from typer.testing import CliRunner

from edge.__main__ import app
from edge.capture import clip_file
from edge.capture.clips import Clips, read_holds
from edge.settings import CaptureSection
from tests.edge.capture.test_captures import CATALOG, DOOR, NOW, cut, kept, run, samples, stream, summaries
from vantel.campaign.document import Network
from vantel.captures import CaptureState
from vantel.catalog import Catalog
from vantel.envelope import ClockStamp
from vantel.identity import PayloadKind


def test_a_body_waits_for_an_unmetered_link_and_is_told(tmp_path: Path) -> None:
    home = replace(DOOR, network=Network.UNMETERED)
    out = [i for i in run(tmp_path, [home], cut(stream(60, doors=[15, 45]), 100)) if i.kind is not PayloadKind.CAMPAIGN_REPORT]  # fmt: skip
    assert all(item.body_waits for item in summaries(out))
    clips = Clips(tmp_path / "captures", CaptureSection(), CATALOG, lambda _: None)
    spooled = [item for item in out if not clips.stays(item, NOW) and clips.keep(item, NOW)]
    assert {item.kind for item in spooled} == {PayloadKind.CAPTURE_SUMMARY}, "bodies stay"
    assert clips.waiting == {"door": 2}
    parts = [item.payload for item in out if item.kind is PayloadKind.CAPTURE_PART]
    sent = [item for _ in range(3) for item in clips.released(1, NOW)]
    for age, clip in enumerate(clips.clips):
        os.utime(clip.path, (1e9 - age, 1e9 - age))  # whichever was written last
    clips = Clips(tmp_path / "captures", CaptureSection(), CATALOG, lambda _: None)  # a restart in the middle
    while lot := list(clips.released(1, NOW)):
        sent += lot
    assert [item.payload for item in sent if item.kind is PayloadKind.CAPTURE_PART] == parts, (
        "each once, in order"
    )
    assert [item.body_waits for item in summaries(sent)] == [False, False]
    assert clips.waiting == {}


def test_what_waits_is_evicted_last_and_that_is_told(tmp_path: Path) -> None:
    home = replace(DOOR, network=Network.UNMETERED)
    out = run(tmp_path, [home], cut(stream(130, doors=[15, 45, 75, 105]), 500))
    clips = kept(tmp_path / "captures", out, clips_max=3)
    (lost,) = summaries(list(clips.given_up()))
    assert (lost.capture_id, lost.body_waits) == (summaries(out)[0].capture_id, False)
    assert [(gap.start_mono_ns, gap.end_mono_ns, gap.reason) for gap in lost.gaps] == [
        (lost.start_mono_ns, lost.end_mono_ns, "evicted")
    ]


def test_a_clip_of_another_boot_comes_again_at_the_times_it_had(tmp_path: Path) -> None:
    out = run(tmp_path, [DOOR], cut(stream(30, doors=[15]), 100))
    clips = Clips(tmp_path / "captures", CaptureSection(), CATALOG, lambda _: None)
    for item in out:
        clips.keep(item, replace(NOW, offset_ns=1000))
    capture_id = clips.clips[0].summary.capture_id
    again = list(clips.again(capture_id, ClockStamp(b"c" * 16, 400, 1)))
    assert samples(again, capture_id) == [(n, t + 600, v) for n, t, v in samples(out, capture_id)]
    assert summaries(again)[0].start_mono_ns == summaries(out)[0].start_mono_ns + 600


def test_a_clip_with_a_torn_end_can_be_written_on(tmp_path: Path) -> None:
    out = [i for i in run(tmp_path, [DOOR], cut(stream(30, doors=[15]), 100)) if i.kind is not PayloadKind.CAMPAIGN_REPORT]  # fmt: skip
    path = kept(tmp_path / "captures", out[:8]).clips[0].path
    path.write_bytes(path.read_bytes()[:-3])
    clips = Clips(tmp_path / "captures", CaptureSection(), CATALOG, lambda _: None)
    assert clips.clips[0].summary.parts == 6, "as many as are whole in the file"
    for item in out[8:]:
        clips.keep(item, NOW)
    again = [i.payload for i in clips.again(clips.clips[0].summary.capture_id, NOW)]
    assert again[:-1] == [i.payload for i in out[1:7] + out[8:-1]]


def test_a_clip_is_whole_up_to_a_torn_end_and_comes_again_byte_by_byte(tmp_path: Path) -> None:
    out = [i for i in run(tmp_path, [DOOR], cut(stream(30, doors=[15]), 100)) if i.kind in (PayloadKind.CAPTURE_PART, PayloadKind.CAPTURE_SUMMARY)]  # fmt: skip
    clips = kept(tmp_path / "captures", out)
    clip = clips.clips[0]
    assert clip.summary.state is CaptureState.COMPLETE
    parts = [item.payload for item in out if item.kind is PayloadKind.CAPTURE_PART]
    again = list(clips.again(clip.summary.capture_id, NOW))
    assert [item.payload for item in again[:-1]] == parts
    assert Catalog.decode(next(iter(clip_file.read(clip.path))).payload) == CATALOG
    whole = clip.path.read_bytes()
    records = list(clip_file.read(clip.path))
    for size in range(len(whole) - 200, len(whole)):
        clip.path.write_bytes(whole[:size])
        read = list(clip_file.read(clip.path))
        assert read == records[: len(read)]
        assert len(read) >= 5


def test_a_hold_keeps_a_clip_that_would_be_evicted(tmp_path: Path) -> None:
    doors = [15, 45, 75, 105]
    out = run(tmp_path, [DOOR], cut(stream(120, doors=doors), 500))
    clips = kept(tmp_path / "captures", out[: len(out) // 4], clips_max=2, holds_max=1)
    held = clips.clips[0].summary.capture_id
    assert clips.hold(held, 3600.0, 0.0) == ""
    assert "at most 1" in clips.hold(clips.clips[-1].summary.capture_id, 60.0, 0.0) or len(clips.clips) == 1
    assert "no capture" in clips.hold("0" * 16, 60.0, 0.0)
    clips = Clips(tmp_path / "captures", CaptureSection(clips_max=2, holds_max=2), CATALOG, lambda _: None)
    assert clips.hold(held, 3600.0, 4e9) == ""
    for item in out[len(out) // 4 :]:
        clips.keep(item, NOW)
    assert held in [clip.summary.capture_id for clip in clips.clips]
    assert len(clips.clips) <= 2


def test_a_clip_becomes_mcap_with_all_that_is_needed_to_read_it(tmp_path: Path) -> None:
    out = run(tmp_path, [DOOR], cut(stream(30, doors=[15]), 100))
    clips = Clips(
        tmp_path / "state" / "captures",
        CaptureSection(),
        CATALOG,
        lambda name: DOOR if name == "door" else None,
    )
    for item in out:
        clips.keep(item, replace(NOW, offset_ns=5))
    capture_id = clips.clips[0].summary.capture_id
    (tmp_path / "van.dbc").write_text('VERSION "1"')
    (tmp_path / "drive.csv").write_text("t,a\n0,1\n")
    config = tmp_path / "edge.toml"
    config.write_text(
        f'[van]\nid = "van-1"\nstate_dir = "{tmp_path / "state"}"\n[[sources]]\nkind = "can"\ndbc = ["{tmp_path / "van.dbc"}"]\n'
    )
    runner = CliRunner()
    listed = json.loads(runner.invoke(app, ["capture", "list", "--config", str(config), "--json"]).stdout)
    assert [row["id"] for row in listed] == [capture_id]
    assert runner.invoke(app, ["capture", "hold", capture_id, "--config", str(config)]).exit_code == 0
    assert capture_id in read_holds(tmp_path / "state" / "captures")
    assert runner.invoke(app, ["capture", "release", capture_id, "--config", str(config)]).exit_code == 0
    assert read_holds(tmp_path / "state" / "captures") == {}
    assert (
        runner.invoke(
            app, ["capture", "export", "0" * 16, "-o", str(tmp_path / "x"), "--config", str(config)]
        ).exit_code
        == 65
    )
    done = runner.invoke(
        app, ["capture", "export", capture_id, "-o", str(tmp_path / "clip.mcap"), "--config", str(config)]
    )
    assert done.exit_code == 0, done.output
    with (tmp_path / "clip.mcap").open("rb") as file:
        reader = make_reader(file)
        messages = [(m.log_time, json.loads(m.data)) for _, _, m in reader.iter_messages()]
        attached = {item.name: item.data for item in reader.iter_attachments()}
        told = next(iter(reader.iter_metadata()))
    assert set(attached) == {"catalog.json", "campaign-door.json", "van.dbc"}
    assert json.loads(attached["campaign-door.json"])["condition"] == "Van.Door"
    assert told.metadata["capture"] == capture_id
    fast = sorted((t - 5, values["Fast"]) for t, values in messages if "Fast" in values)
    body = [
        (t, v)
        for name, t, v in samples(out, capture_id) + samples(out, capture_id, last_values=True)
        if name == "Van.Fast"
    ]
    assert fast == sorted(body)
