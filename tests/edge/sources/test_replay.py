"""How a replay tells the time and where it goes on.

Goal: original and shifted time, loops, offsets, positions, resume, pacing and stop as the design says.
Method: small CSV recordings with known times; expected streams are written out by hand or computed from the rows here.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.clock import VanClock
from edge.model import SampleBlock, TextTable
from edge.settings import ReplaySource as ReplaySection
from edge.sources.errors import RecordingError
from edge.sources.replay import ReplaySource

S = 1_000_000_000


def write(path: Path, times: list[str], *, column: str = "v", first: int = 0) -> dict[str, Any]:
    path.write_text(f"t,{column}\n" + "".join(f"{t},{first + k}\n" for k, t in enumerate(times)))
    return {"path": path, "name": path.stem}


@pytest.fixture
def ten(tmp_path: Path) -> dict[str, Any]:
    """Ten samples 0.1 s apart, values 0 to 9."""
    return write(tmp_path / "ten.csv", [f"1700000000.{k}" for k in range(10)])


def build(
    recordings: list[dict[str, Any]], resume: int = 0, clock: VanClock | None = None, **more: Any
) -> ReplaySource:
    section = ReplaySection(kind="replay", recordings=recordings, **more)
    return ReplaySource(section, clock or VanClock(), TextTable(), resume)


def run_until(source: ReplaySource, samples: int) -> list[SampleBlock]:
    blocks: list[SampleBlock] = []
    stop = threading.Event()

    def emit(block: SampleBlock) -> None:
        blocks.append(block)
        if sum(map(len, blocks)) >= samples:
            stop.set()

    source.run(emit, stop)
    return blocks


def flat(blocks: list[SampleBlock]) -> tuple[list[int], list[float]]:
    return (
        np.concatenate([b.t_mono_ns for b in blocks]).tolist(),
        np.concatenate([b.value for b in blocks]).tolist(),
    )


def test_original_keeps_the_stamps_and_counts_positions(play: Any, ten: Any) -> None:
    played = play([ten])
    assert played.samples == [("ten.v", 1_700_000_000 * S + k * S // 10, float(k)) for k in range(10)]
    assert [block.position for block in played.blocks] == list(range(1, 11))
    assert played.source.finished
    assert played.source.counters["samples_emitted"] == 10


def test_shifted_begins_now_and_keeps_the_distances(ten: Any) -> None:
    clock = VanClock(50.0)
    before = clock.mono_ns()
    times, values = flat(run_until(build([ten], clock=clock, time="shifted", speed=50), 10))
    assert before <= times[0] <= clock.mono_ns()
    assert [t - times[0] for t in times] == [k * S // 10 for k in range(10)]
    assert values == [float(k) for k in range(10)]


def test_each_loop_adds_the_length_and_a_typical_gap(ten: Any) -> None:
    source = build([ten], clock=VanClock(100.0), time="shifted", speed=100, loop=True)
    blocks = run_until(source, 25)
    times, values = flat(blocks)
    assert values == [float(k % 10) for k in range(len(values))]
    assert [t - times[0] for t in times] == [k * S // 10 for k in range(len(times))]
    assert [block.position for block in blocks] == list(range(1, len(blocks) + 1))


def test_offset_rotates_a_loop_and_cuts_a_single_pass(play: Any, ten: Any) -> None:
    source = build([ten], clock=VanClock(100.0), time="shifted", speed=100, loop=True, start_offset_s=0.35)
    times, values = flat(run_until(source, 12))
    assert values[:12] == [4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5]
    assert [t - times[0] for t in times] == [k * S // 10 for k in range(len(times))]
    assert [v for _, _, v in play([ten], start_offset_s=0.35).samples] == [4, 5, 6, 7, 8, 9]
    with pytest.raises(RecordingError, match="start_offset_s"):
        play([ten], start_offset_s=2.0)
    # an offset beyond the length turns round more than once
    again = build([ten], clock=VanClock(100.0), time="shifted", speed=100, loop=True, start_offset_s=10.35)
    assert flat(run_until(again, 3))[1][:3] == [4, 5, 6]


@pytest.mark.parametrize("resume", [0, 1, 4, 7, 10])
def test_resume_repeats_what_was_spooled_in_blocks_that_end_there(
    play: Any, tmp_path: Path, resume: int
) -> None:
    """Ten samples within one block of 50 ms, so that the resume position cuts a block."""
    recording = write(tmp_path / "dense.csv", [f"1700000000.00{k}" for k in range(10)])
    whole, resumed = play([recording]), play([recording], resume=resume)
    assert whole.samples == resumed.samples
    positions = [block.position for block in resumed.blocks]
    assert positions == ([10] if resume in (0, 10) else [resume, 10])


def test_resume_of_a_shifted_replay_makes_the_first_new_sample_now(ten: Any) -> None:
    clock = VanClock(20.0)
    before = clock.mono_ns()
    blocks = run_until(build([ten], 26, clock, time="shifted", speed=20, loop=True), 14)
    times, values = flat(blocks)
    # the third loop, of which 6 samples were spooled, comes again from its beginning
    assert values[:14] == [float(k % 10) for k in range(14)]
    assert blocks[0].position == 21
    new = next(b for b in blocks if b.position > 26)
    assert before <= int(new.t_mono_ns[0]) <= clock.mono_ns()
    assert [t - times[0] for t in times] == [k * S // 10 for k in range(len(times))]


def test_speed_paces_the_stream(tmp_path: Path) -> None:
    long = write(tmp_path / "long.csv", ["0", "200"])
    for settings, clock in (
        ({"time": "original", "speed": 400}, VanClock()),
        ({"time": "shifted", "speed": 400}, VanClock(400.0)),
    ):
        began = time.monotonic()
        run_until(build([long], clock=clock, **settings), 2)
        assert 0.45 <= time.monotonic() - began < 100.0  # 200 s of recording at speed 400


def test_no_sample_comes_before_its_time(ten: Any) -> None:
    clock = VanClock(4.0)
    ahead: list[int] = []
    source = build([ten], clock=clock, time="shifted", speed=4)
    source.run(lambda block: ahead.append(int(block.t_mono_ns[-1]) - clock.mono_ns()), threading.Event())
    assert max(ahead) <= 0


def test_stop_is_heard_while_waiting(tmp_path: Path) -> None:
    source = build([write(tmp_path / "slow.csv", ["0", "100"])], time="original", speed=1)
    stop = threading.Event()
    thread = threading.Thread(target=source.run, args=(lambda _: None, stop))
    thread.start()
    time.sleep(0.1)
    stop.set()
    thread.join(60)
    assert not thread.is_alive(), "it slept until the next row, 100 s away"
    assert not source.finished


def test_recordings_of_one_drive_keep_their_distance_and_others_begin_together(
    play: Any, tmp_path: Path
) -> None:
    first = write(tmp_path / "a.csv", ["1000.0", "1002.0"])
    second = write(tmp_path / "b.csv", ["1001.0", "1003.0"], first=10)
    other = write(tmp_path / "c.csv", ["9000000.0", "9000001.5"], first=20)
    played = play([other, first, second], time="shifted", speed=100, clock=VanClock(100.0))
    start = played.samples[0][1]
    assert [(n, t - start, v) for n, t, v in played.samples] == [
        ("c.v", 0, 20.0), ("a.v", 0, 0.0), ("b.v", S, 10.0), ("c.v", 3 * S // 2, 21.0), ("a.v", 2 * S, 1.0), ("b.v", 3 * S, 11.0)
    ]  # fmt: skip
    original = play([other, first, second])
    assert [t for _, t, _ in original.samples] == [
        1000 * S,
        1001 * S,
        1002 * S,
        1003 * S,
        9_000_000 * S,
        9_000_001_500_000_000,
    ]


def test_start_unix_s_dates_a_recording_without_a_date(play: Any, tmp_path: Path) -> None:
    recording = {**write(tmp_path / "r.csv", ["5.25", "6.5"]), "start_unix_s": 1_700_000_000.5}
    assert [t for _, t, _ in play([recording]).samples] == [
        1_700_000_000_500_000_000,
        1_700_000_001_750_000_000,
    ]


@pytest.mark.parametrize("cached_bytes_max", [0, 1 << 26])
def test_samples_out_of_order_are_put_in_order(play: Any, tmp_path: Path, cached_bytes_max: int) -> None:
    recording = write(tmp_path / "mixed.csv", ["3.0", "1.5", "2.0", "3.5", "3.5", "3.4"])
    samples = play([recording], cached_bytes_max=cached_bytes_max).samples
    assert [(t // 10**8, v) for _, t, v in samples] == [(15, 1), (20, 2), (30, 0), (34, 5), (35, 3), (35, 4)]


def test_two_files_of_one_bus_are_one_signal(play: Any, tmp_path: Path) -> None:
    one, two = write(tmp_path / "p1.csv", ["1", "2"]), write(tmp_path / "p2.csv", ["3", "4"], first=2)
    played = play([{**one, "name": "imu"}, {**two, "name": "imu"}])
    assert [s.name for s in played.source.signals()] == ["imu.v"]
    assert played.of("imu.v") == [(k * S, float(k - 1)) for k in range(1, 5)]


def test_large_blocks_are_cut(play: Any, tmp_path: Path) -> None:
    recording = write(tmp_path / "burst.csv", ["7.0"] * 10_000)
    assert [len(block) for block in play([recording]).blocks] == [4096, 4096, 1808]


@pytest.mark.parametrize("cached_bytes_max", [0, 1 << 26])
def test_loop_of_a_recording_read_from_disk_equals_the_cached_one(ten: Any, cached_bytes_max: int) -> None:
    section = ReplaySection(
        kind="replay", recordings=[ten], time="shifted", speed=100, loop=True, start_offset_s=0.5
    )
    source = ReplaySource(section, VanClock(100.0), TextTable(), 0, cached_bytes_max=cached_bytes_max)
    times, values = flat(run_until(source, 30))
    assert values[:30] == [float((k + 5) % 10) for k in range(30)]
    assert [t - times[0] for t in times] == [k * S // 10 for k in range(len(times))]
