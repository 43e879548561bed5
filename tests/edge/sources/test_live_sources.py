"""Probe and system source; the synthetic van has a file of its own.

Goal: rates, reproducibility, declared signals; a probe that is absent or fails costs its signal and nothing else.
Method: each source runs for a moment on a fast clock; probes of the system source are plain functions, and thermal
zones are files in a temporary folder.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.clock import VanClock
from edge.model import SampleBlock, Source, TextTable
from edge.settings import ProbeSource, ReplaySource, SyntheticSource, SystemSource
from edge.sources import build
from edge.sources import system as system_source
from edge.sources.board_files import BoardFiles
from edge.sources.board_thermal import temperatures
from vantel.catalog import assemble


def collect(source: Source, samples: int) -> list[SampleBlock]:
    blocks: list[SampleBlock] = []
    stop = threading.Event()

    def emit(block: SampleBlock) -> None:
        blocks.append(block)
        if sum(map(len, blocks)) >= samples:
            stop.set()

    thread = threading.Thread(target=source.run, args=(emit, stop))
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    return blocks


def flat(blocks: list[SampleBlock]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return tuple(
        np.concatenate([getattr(b, part) for b in blocks]) for part in ("slot", "t_mono_ns", "value")
    )  # type: ignore[return-value]


def test_probe_is_steady_noise_at_its_rate() -> None:
    made = [
        build(ProbeSource(kind="probe", seed=3, rate_hz=20), VanClock(100.0), TextTable(), 0)
        for _ in range(2)
    ]
    runs = [flat(collect(source, 400)) for source in made]
    _, times, values = runs[0]
    assert set(np.diff(times).tolist()) == {50_000_000}
    assert abs(values.mean() - 20.0) < 0.02
    assert 0.03 < values.std() < 0.07
    assert values[:400].tolist() == runs[1][2][:400].tolist()
    assert [s.name for s in made[0].signals()] == ["Vehicle.Robovan.TestBench.Probe"]


def test_system_source_tells_of_this_machine() -> None:
    source = build(SystemSource(kind="system", period_s=0.05), VanClock(), TextTable(), 0)
    catalog = assemble(source.signals())
    assert "Vehicle.Robovan.Board.Memory.Total" in catalog
    slot, _, value = flat(collect(source, 3 * len(source.signals())))
    names = [signal.name for signal in source.signals()]
    memory = value[slot == names.index("Vehicle.Robovan.Board.Memory.Total")]
    text = Path("/proc/meminfo").read_text().split()
    assert memory[0] == int(text[text.index("MemTotal:") + 1]) * 1024


def test_absent_and_failing_probes_cost_only_their_signal() -> None:
    calls = {"n": 0}

    def absent() -> Mapping[str, float]:
        raise FileNotFoundError("no such sensor")

    def flaky() -> Mapping[str, float]:
        calls["n"] += 1
        if calls["n"] > 1:
            raise OSError("gone")
        return {"x.flaky": 1.0}

    probes: dict[str, Any] = {"absent": absent, "flaky": flaky, "good": lambda: {"x.good": 7.0}}
    source = system_source.SystemSource(
        SystemSource(kind="system", period_s=0.01), VanClock(), TextTable(), probes
    )
    assert [s.name for s in source.signals()] == ["x.flaky", "x.good"]
    slot, _, value = flat(collect(source, 5))
    assert set(slot.tolist()) == {1}
    assert set(value.tolist()) == {7.0}
    assert source.counters["probe_absent_failed"] > 1
    assert source.counters["probe_flaky_failed"] > 1


def test_thermal_zones_by_type(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    for number, (kind, temp) in enumerate([("cpu-thermal", "45500"), ("CV0-therm", "-256000"), ("acpitz", "30000"),
                                           ("acpitz", "31000"), ("gpu-thermal", "nonsense")]):  # fmt: skip
        zone = tmp_path / f"sys/class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(kind + "\n")
        (zone / "temp").write_text(temp + "\n")
    assert temperatures(BoardFiles(tmp_path, counts), "system") == {
        "Vehicle.Robovan.Board.Temperature.CPU": 45.5,
        "system.Temperature.acpitz": 30.0,
        "system.Temperature.acpitz_2": 31.0,
    }


@pytest.mark.parametrize(
    "section",
    [
        ProbeSource(kind="probe", rate_hz=0.001),
        SyntheticSource(kind="synthetic", rate_hz=0.001),
        SystemSource(kind="system", period_s=1000.0),
    ],
)
def test_live_sources_stop_at_once(section: Any) -> None:
    source = build(section, VanClock(), TextTable(), 0)
    stop = threading.Event()
    thread = threading.Thread(target=source.run, args=(lambda _: None, stop))
    thread.start()
    time.sleep(0.1)
    stop.set()
    thread.join(60)
    assert not thread.is_alive(), "it slept on"


def test_build_makes_a_replay(data: Path) -> None:
    section = ReplaySource(
        kind="replay", recordings=[{"path": data / "imu_gnss/rav4_2016/gnss_qcom_0.5hz.csv.gz"}], speed=0
    )
    source = build(section, VanClock(), TextTable(), 0)
    assert source.replayed
    assert not source.simulated
    assert next(s.name for s in source.signals()) == "gnss_qcom_0.5hz.lat_deg"
