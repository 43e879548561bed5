"""Goal: what the detector has learned outlives the agent, and a file that is damaged, foreign or old costs no more than that.

Method: detectors with made-up streams and real files; a reboot is another boot id and stamps that begin at 0; at last a
real agent, stopped and started again.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs

from edge.detector import Detector
from edge.detector_state import FILE, DetectorStore
from edge.model import SampleBlock
from edge.settings import DetectorSection, VanSection
from tests.edge.detector.test_van import MS, S, bits
from vantel.catalog import Catalog, Policy, Signal
from vantel_rig.van import Van

BOOT, NEXT_BOOT = b"b" * 16, b"c" * 16
WHEELS = [f"Test.Wheel{k}" for k in range(4)]
CATALOG = Catalog(
    [Signal(name, 70_000 + k, policy=Policy(silence_s_max=1.0)) for k, name in enumerate(WHEELS)]
)
SETTINGS = DetectorSection.model_validate({"peers": [WHEELS], "incidents_per_day_max": 10.0})
NO_BROKER_PORT = 9


def stream(seed: int, ticks: int, from_s: float) -> SampleBlock:
    """Four wheels that follow one speed, 10 Hz."""
    random = np.random.default_rng(seed)
    speed: NDArray[np.float64] = 50 + np.cumsum(random.normal(0, 0.2, ticks))
    value = speed[:, None] + random.normal(0, 0.1, (ticks, 4))
    t = round(from_s * S) + np.arange(ticks, dtype=np.int64) * 100 * MS
    return SampleBlock(np.tile(np.arange(4, dtype=np.int32), ticks), np.repeat(t, 4), value.ravel())


def learned(ticks: int = 6000) -> Detector:
    detector = Detector(CATALOG, SETTINGS)
    detector.step(stream(1, ticks, 1000.0))
    return detector


def store_of(folder: Path, van: str, boot_id: bytes) -> DetectorStore:
    return DetectorStore(VanSection(id=van, state_dir=folder), boot_id)


def keep(folder: Path, detector: Detector, van: str = "van-1") -> Path:
    store = store_of(folder, van, BOOT)
    store.offer(detector, last=True)
    store.write()
    return folder / FILE


def test_on_the_same_boot_it_goes_on_to_the_bit(tmp_path: Path) -> None:
    before, after = learned(), Detector(CATALOG, SETTINGS)
    keep(tmp_path, before)
    assert store_of(tmp_path, "van-1", BOOT).resume(after)
    more = stream(2, 600, 1600.5)
    more.value[1200] += 30.0
    expected = before.step(more)
    assert expected, "a case without an event shows nothing"
    assert bits(after.step(more)) == bits(expected)
    assert after.state() == before.state()


def test_time_without_an_agent_is_no_silence(tmp_path: Path) -> None:
    keep(tmp_path, learned())
    after = Detector(CATALOG, SETTINGS)
    store_of(tmp_path, "van-1", BOOT).resume(after)
    assert after.idle(1700 * S) == []
    after.step(stream(2, 1, 1701.0))
    assert {event.channel for event in after.idle(1710 * S)} == {"timeout"}


@pytest.mark.parametrize("boot", [NEXT_BOOT, bytes(16)])
def test_after_a_reboot_stamps_begin_anew_and_what_was_learned_stays(tmp_path: Path, boot: bytes) -> None:
    """Bias of one wheel within the first minute of a boot: known at once to whom has learned, unknown to a new one."""
    keep(tmp_path, learned())
    after, anew = Detector(CATALOG, SETTINGS), Detector(CATALOG, SETTINGS)
    assert store_of(tmp_path, "van-1", boot).resume(after)
    assert after.idle(5 * S) == []
    drive = stream(3, 600, 10.0)
    drive.value[1200::4] += 0.6
    told = after.step(drive) + after.idle(75 * S)
    # time-outs tell that the clock of the stream is that of the new boot
    assert {event.channel for event in told if event.t_mono_ns > 70 * S} == {"timeout"}
    first = told[0]
    assert first.signal_id == 70_000
    assert 40 * S <= first.t_mono_ns < 41 * S
    assert not [event for event in anew.step(drive) if event.t_mono_ns < 45 * S]


def damages() -> dict[str, object]:
    return {
        "empty": lambda _: b"",
        "cut": lambda data: data[: len(data) // 2],
        "one bit": lambda data: data[:5000] + bytes([data[5000] ^ 1]) + data[5001:],
        "boot changed": lambda data: data[:8] + NEXT_BOOT + data[24:],
        "other": lambda data: b"\0" * len(data),
        "longer": lambda data: data + b"x",
    }


@pytest.mark.parametrize("name", sorted(damages()))
def test_a_damaged_file_is_told_once_and_ignored(tmp_path: Path, name: str) -> None:
    path = keep(tmp_path, learned(100))
    path.write_bytes(damages()[name](path.read_bytes()))  # type: ignore[operator]
    detector = Detector(CATALOG, SETTINGS)
    nothing = detector.state()
    with capture_logs() as lines:
        assert not store_of(tmp_path, "van-1", BOOT).resume(detector)
    assert [line["event"] for line in lines] == ["detector learns anew"]
    assert detector.state() == nothing


def test_a_file_of_another_van_catalog_or_set_of_peers_is_ignored(tmp_path: Path) -> None:
    keep(tmp_path, learned(100))
    renamed = Catalog([Signal(name + "X", 70_000 + k) for k, name in enumerate(WHEELS)])
    pairs = [
        DetectorSection.model_validate({"peers": [[WHEELS[0], WHEELS[a]], [WHEELS[b], WHEELS[c]]]})
        for a, b, c in ((1, 2, 3), (2, 1, 3))
    ]
    cases = [
        ("van-2", Detector(CATALOG, SETTINGS)),
        ("van-1", Detector(renamed, DetectorSection.model_validate({}))),
        ("van-1", Detector(CATALOG, pairs[0])),
    ]
    for van, detector in cases:
        nothing = detector.state()
        assert not store_of(tmp_path, van, BOOT).resume(detector)
        assert detector.state() == nothing
    keep(tmp_path, Detector(CATALOG, pairs[0]))
    assert not store_of(tmp_path, "van-1", BOOT).resume(Detector(CATALOG, pairs[1])), "as many rows"


def test_no_file_says_nothing_and_a_disk_that_fails_says_it_once(tmp_path: Path) -> None:
    detector = Detector(CATALOG, SETTINGS)
    with capture_logs() as lines:
        assert not store_of(tmp_path, "van-1", BOOT).resume(detector)
    assert lines == []
    store = store_of(tmp_path / "nowhere", "van-1", BOOT)
    with capture_logs() as lines:
        for _ in range(3):
            store.offer(detector, last=True)
            store.write()
    assert [line["event"] for line in lines] == ["detector state not kept: a restart learns anew"]


def test_a_write_that_was_cut_leaves_the_old_file(tmp_path: Path) -> None:
    path = keep(tmp_path, learned(100))
    path.with_suffix(".tmp").write_bytes(b"half")
    assert store_of(tmp_path, "van-1", BOOT).resume(Detector(CATALOG, SETTINGS))


def running(van: Van) -> int:
    """How often the agent said that it runs."""
    return van.log_path.read_text(encoding="utf-8").count("] running") if van.log_path.exists() else 0


def test_an_agent_goes_on_after_a_stop(tmp_path: Path) -> None:
    van = Van("state-1", tmp_path, NO_BROKER_PORT, [{"kind": "synthetic", "rate_hz": 50.0}])
    for starts in (1, 2):
        van.start()
        deadline = time.monotonic() + 120.0
        while running(van) < starts and time.monotonic() < deadline:
            time.sleep(0.05)
        assert van.stop() == 0, van.tail()
        assert (tmp_path / "state" / FILE).exists()
    log = van.log_path.read_text(encoding="utf-8")
    assert log.count("detector goes on") == 1, log
    assert "same_boot=True" in log
    assert "learns anew" not in log


def test_a_replay_keeps_nothing(tmp_path: Path) -> None:
    store = DetectorStore(VanSection(id="van-1", state_dir=tmp_path), BOOT, kept=False)
    store.offer(learned(100), last=True)
    store.write()
    assert not (tmp_path / FILE).exists()
