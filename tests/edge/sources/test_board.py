"""The board's files: Jetson AGX Orin, Orin NX, Thor and a plain PC, from trees made after the documented layouts.

Goal: the right signals with the right values and none invented; each file removed or unreadable or nonsense in turn costs its
own signals and a counter that names it; a probe that blocks costs its own readings only.
Method: trees written into a temporary folder, once as they are and once for each file and damage.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from edge.clock import VanClock
from edge.model import TextTable
from edge.settings import SystemSource as Section
from edge.sources import probing
from edge.sources.board_files import BoardFiles
from edge.sources.probing import Probe, ProbeRunner
from edge.sources.system import Rate, SystemSource, board_probes
from edge.sources.tegrastats import parse_line
from tests.edge.sources.test_gnss import by_name, wait_until
from tests.edge.test_agent_process import NO_BROKER_PORT
from vantel.catalog import assemble
from vantel_rig.van import Van

B, S = "Vehicle.Robovan.Board.", "system."
RESOURCES = "Vehicle.ControlUnit.Central.Health.Resources."


def rail(
    label: str, volts: float, amperes: float, warning: float, critical: float, over: float = 0.0
) -> dict[str, float]:
    known = label not in ("VDD_CPU_SOC_MSS",)
    return {
        f"{B if known else S}Rail.{label}.Power": volts * amperes,
        f"{S}Rail.{label}.Voltage": volts,
        f"{S}Rail.{label}.Current": amperes,
        f"{S}Rail.{label}.CurrentWarning": warning,
        f"{S}Rail.{label}.CurrentCritical": critical,
        f"{S}Rail.{label}.IsOverCurrent": over,
    }


def cores(count: int, kilohertz: int) -> dict[str, float]:
    return {f"{B}CPU{at}.Frequency": (kilohertz + at * 1000) * 1000.0 for at in range(count)}


WANTED: dict[str, dict[str, float | str]] = {
    "orin_agx": {
        **{f"{B}Temperature.{zone}": value for zone, value in (("CPU", 48.5), ("GPU", 44.062), ("SOC0", 45.312), ("SOC1", 45.031), ("SOC2", 44.156), ("TJ", 48.5))},
        f"{RESOURCES}Temperature": 48.5, f"{B}IsThrottling": 1.0, f"{B}Fan1.DutyCycle": 20.0, f"{B}Fan1.Speed": 1480.0,
        **rail("VDD_GPU_SOC", 19.88, 0.4, 32, 32), **rail("VDD_CPU_CV", 19.872, 0.2, 32, 32),
        **rail("VIN_SYS_5V0", 5.04, 0.88, 20, 20, 1.0), **rail("VDDQ_VDD2_1V8AO", 5.032, 0.16, 32.76, 32.76),
        f"{S}UnderVoltageEvents": 3.0, f"{S}AverageOverCurrentEvents": 0.0, f"{S}InstantaneousOverCurrentEvents": 17.0,
        **cores(12, 729_600), f"{B}GPU.Frequency": 612e6, f"{B}GPU.Utilization": 42.3, f"{B}VIC.Frequency": 729.6e6,
        f"{B}PowerMode": "MODE_30W", f"{B}Disk.LifeUsed": 20.0, f"{B}BootReason": "TEGRA_POWER_ON_RESET",
    },
    "orin_nx": {
        **{f"{B}Temperature.{zone}": value for zone, value in (("CPU", 47.937), ("GPU", 45.875), ("CV0", 45.812), ("SOC0", 46.968), ("SOC1", 48.875), ("SOC2", 46.093), ("TJ", 48.875))},
        f"{RESOURCES}Temperature": 48.875, f"{RESOURCES}Power": 5.024 * 1.056, f"{B}IsThrottling": 0.0,
        f"{B}Fan1.DutyCycle": 0.0, f"{B}Fan1.Speed": 0.0,
        **rail("VDD_IN", 5.024, 1.056, 3.52, 3.976), **rail("VDD_CPU_GPU_CV", 5.016, 0.152, 32.76, 32.76),
        **rail("VDD_SOC", 5.016, 0.288, 32.76, 32.76),
        f"{S}UnderVoltageEvents": 0.0, f"{S}AverageOverCurrentEvents": 0.0, f"{S}InstantaneousOverCurrentEvents": 0.0,
        **cores(8, 729_600), f"{B}GPU.Frequency": 611e6, f"{B}GPU.Utilization": 0.0, f"{B}PowerMode": "15W",
        f"{B}BootReason": "SW_MAIN",
    },
    "thor": {
        f"{B}Temperature.CPU": 41.25, f"{B}Temperature.GPU": 40.5, f"{S}Temperature.soc012": 41.0,
        f"{S}Temperature.soc345": 40.75, f"{B}Temperature.TJ": 41.25, f"{RESOURCES}Temperature": 41.25,
        f"{B}IsThrottling": 0.0, f"{B}Fan1.DutyCycle": 77 / 2.55, f"{B}Fan1.Speed": 1600.0,
        **rail("VDD_GPU", 11.96, 0.512, 40, 40), **rail("VDD_CPU_SOC_MSS", 11.952, 0.64, 40, 40),
        **rail("VIN_SYS_5V0", 5.032, 0.704, 20, 20),
        f"{S}Rail.INA238.Voltage": 20.096, f"{S}Rail.INA238.Current": 1.648, f"{S}Rail.INA238.Power": 33.118,
        **cores(14, 972_000), f"{B}GPU.Frequency": 315e6, f"{B}PowerMode": "120W",
    },
    "plain_pc": {
        f"{S}Temperature.acpitz": 27.8, f"{S}Temperature.x86_pkg_temp": 52.0, f"{RESOURCES}Temperature": 52.0,
        f"{B}IsThrottling": 0.0, f"{S}ThrottleCount": 6.0, f"{B}Fan1.Speed": 812.0, f"{B}Fan2.Speed": 1204.0,
        f"{B}Fan1.DutyCycle": 40.0, **cores(4, 1_800_000), f"{S}PowerSupply.BAT0.Voltage": 12.345,
        f"{S}PowerSupply.BAT0.Charge": 87.0, f"{S}Network.enp3s0.IsUp": 1.0,
        **{f"{S}Network.enp3s0.{what}": float(at) for at, what in enumerate(("BytesReceived", "BytesSent", "ErrorsReceived", "ErrorsSent", "DropsReceived", "DropsSent"), 1000)},
        f"{B}BootReason": "watchdog",
    },
}  # fmt: skip
NOT_READ = re.compile(
    r"pre_eol_info|in7_label|throt_en|AC/online|cooling_device\d+/cur_state|cooling_device\d+/type"
)
"""Files of the trees that are not read at all, or not for their type."""


def tree(data: Path, board: str) -> Iterator[tuple[str, str]]:
    for line in (data / "sysfs" / f"{board}.tree").read_text().splitlines():
        if not line.startswith("#"):
            path, _, content = line.partition(" = ")
            yield path, content.replace("\\n", "\n")


def plant(data: Path, board: str, root: Path) -> list[str]:
    for path, content in tree(data, board):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content + "\n")
    return [path for path, _ in tree(data, board)]


def readings(root: Path) -> tuple[dict[str, float | str], Counter[str]]:
    counts: Counter[str] = Counter()
    runner = ProbeRunner(board_probes(BoardFiles(root, counts), "system"), 10.0, counts)
    try:
        return runner.read(), counts
    finally:
        runner.close()


@pytest.mark.parametrize("board", WANTED)
def test_a_board_tells_what_its_tree_says_and_nothing_else(data: Path, tmp_path: Path, board: str) -> None:
    plant(data, board, tmp_path)
    found, counts = readings(tmp_path)
    assert found.keys() == WANTED[board].keys()
    for name, value in WANTED[board].items():
        assert found[name] == (value if isinstance(value, str) else pytest.approx(value, abs=1e-9)), name
    # what a Jetson keeps back is told: the cv0 sensor of the AGX is off
    odd = {key for key in counts if key.startswith("file_odd")}
    assert odd == ({"file_odd:sys/class/thermal/thermal_zone2/temp"} if board == "orin_agx" else set())
    assert not any(key.startswith(("file_unreadable", "probe_")) for key in counts)


@pytest.mark.parametrize("damage", ["absent", "unreadable", "odd"])
@pytest.mark.parametrize("board", WANTED)
def test_each_file_in_turn_costs_its_own_signals_and_is_named(
    data: Path, tmp_path: Path, board: str, damage: str
) -> None:
    paths = plant(data, board, tmp_path)
    whole, before = readings(tmp_path)
    for path in paths:
        file, kept = tmp_path / path, tmp_path / "kept"
        shutil.move(file, kept)
        if damage == "unreadable":
            file.mkdir()  # EISDIR for root too, whom no permission stops
        elif damage == "odd":
            file.write_bytes(b"\xff\xfe 1e999 nonsense\n")
        found, counts = readings(tmp_path)
        # a signal may lose its nicer name, no value may appear that was not there
        assert set(found) <= set(whole) | set(renamed(found, whole)), path
        for name in found.keys() & whole.keys():
            if not re.search(
                r"IsOverCurrent|IsThrottling|ThrottleCount|Fan|PowerMode|BootReason|Rail|Temperature", name
            ):
                assert found[name] == whole[name], (path, name)
        assert not any(key.startswith("probe_") for key in counts), (path, counts)
        new = counts - before
        lost = whole.keys() - found.keys()
        if lost and damage != "odd":
            globbed = damage == "absent"
            assert any(key == f"file_{damage}:{path}" for key in new) or globbed, (path, damage, lost, new)
        if damage == "unreadable":
            file.rmdir()
        shutil.move(kept, file)
    assert readings(tmp_path)[0] == whole


def renamed(found: dict[str, float | str], whole: dict[str, float | str]) -> list[str]:
    """Names that hold the label or type that the damage wrote."""
    return [name for name in found if name not in whole and ("nonsense" in name or "INA238" in name)]


def test_a_missing_file_of_a_chip_is_named(data: Path, tmp_path: Path) -> None:
    plant(data, "orin_nx", tmp_path)
    for path in (
        "sys/class/hwmon/hwmon4/curr1_input",
        "sys/class/thermal/thermal_zone0/temp",
        "sys/class/hwmon/hwmon1/oc1_event_cnt",
    ):
        (tmp_path / path).unlink()
        found, counts = readings(tmp_path)
        assert counts[f"file_absent:{path}"] == 1
    assert f"{B}Rail.VDD_IN.Power" not in found
    assert f"{RESOURCES}Power" not in found
    assert f"{S}UnderVoltageEvents" not in found


def test_a_probe_that_blocks_costs_its_own_readings(data: Path, tmp_path: Path) -> None:
    """Through a whole agent: a file that blocks for ten seconds, as a driver in trouble does."""
    root = tmp_path / "root"
    plant(data, "orin_nx", root)
    sources = [
        {"kind": "system", "root": str(root), "period_s": 0.2, "probe_s_max": 0.2},
        {"kind": "probe", "rate_hz": 50.0},
    ]
    van = Van("board-1", tmp_path / "van", NO_BROKER_PORT, sources)
    van.folder.mkdir()
    van.start()
    van.wait_ready()
    wait_until(lambda: van.status()["sources"]["system"].get("samples_emitted", 0) > 0, lambda: None)
    pipe = root / "sys/class/thermal/thermal_zone0/temp"
    pipe.unlink()
    os.mkfifo(pipe)
    wait_until(
        lambda: van.status()["sources"]["system"].get("probe_temperatures_blocked", 0) > 3, lambda: None
    )
    before, began = van.status(), time.monotonic()
    time.sleep(10.0)
    after, elapsed_s = van.status(), time.monotonic() - began
    system, probe = after["sources"]["system"], after["sources"]["probe"]
    gained = probe["samples_emitted"] - before["sources"]["probe"]["samples_emitted"]
    assert gained > 0.8 * 50 * (elapsed_s - 1.5), "the other source keeps its rate"
    rails = (system["samples_emitted"] - before["sources"]["system"]["samples_emitted"]) / 40
    assert rails > 10, "the other probes keep on"
    pipe_end = os.open(pipe, os.O_RDWR)  # the driver answers at last, with nothing
    os.write(pipe_end, b"47000\n")
    os.close(pipe_end)
    assert van.stop() == 0, van.tail()
    pipe.unlink()
    plant(data, "orin_nx", root)
    found = by_name(van, sources)
    assert found[f"{B}Rail.VDD_IN.Power"][-1] == pytest.approx(5.024 * 1.056)


def test_a_source_on_a_tree_declares_what_the_tree_has(data: Path, tmp_path: Path) -> None:
    plant(data, "orin_agx", tmp_path)
    source = SystemSource(Section(kind="system", root=tmp_path), VanClock(), TextTable())
    catalog = assemble(source.signals())
    assert {signal.name for signal in catalog.signals} == WANTED["orin_agx"].keys()
    assert catalog.by_name(f"{S}Rail.VDD_CPU_CV.Voltage").unit == "V"
    assert catalog.by_name(f"{B}PowerMode").type.name == "STRING"


def test_a_blocked_probe_is_asked_again_when_it_is_back() -> None:
    release, counts = threading.Event(), Counter[str]()
    runner = ProbeRunner(
        {"slow": lambda: {"slow": float(release.wait(60))}, "fast": lambda: {"fast": 1.0}}, 0.05, counts
    )
    assert [runner.read() for _ in range(3)] == [{"fast": 1.0}] * 3
    assert counts == {"probe_slow_blocked": 3}
    assert runner.blocked == ["slow"]
    release.set()
    wait_until(lambda: not runner.blocked, lambda: None)
    assert runner.read() == {"slow": 1.0, "fast": 1.0}
    runner.close()


def test_each_probe_has_its_own_time_and_all_are_one_hand_over(monkeypatch: pytest.MonkeyPatch) -> None:
    ran, counts = [], Counter[str]()
    asked = []
    ask = probing._Worker.ask

    def counted(
        worker: probing._Worker, probes: Sequence[Probe], seconds_max: float
    ) -> list[probing.Outcome]:
        asked.append(len(probes))
        return ask(worker, probes, seconds_max)

    monkeypatch.setattr(probing._Worker, "ask", counted)

    def steady(name: str) -> Probe:
        return lambda: ran.append(name) or time.sleep(0.2) or {name: 1.0}  # type: ignore[func-returns-value]

    def broken() -> dict[str, float]:
        raise OSError("gone")

    probes = {"a": steady("a"), "b": steady("b"), "broken": broken, "c": steady("c"), "d": steady("d")}
    runner = ProbeRunner(probes, 0.6, counts)  # of each; they take 0.8 s in all
    assert runner.read() == dict.fromkeys("abcd", 1.0)
    assert ran == [*"abcd"]
    assert asked == [5]
    assert counts == {"probe_broken_failed": 1}
    runner.close()


def test_rates_are_differences_and_never_negative() -> None:
    now = iter([0.0, 2.0, 3.0])
    rate = Rate(lambda: next(now))
    assert str(rate.of(10, 10)) == "[nan, nan]"
    assert rate.of(20, 10) == [5.0, 0.0]
    assert str(rate.of(5, 20)) == "[nan, 10.0]"


def test_tegrastats_goes_through_the_whole_agent(data: Path, tmp_path: Path) -> None:
    lines = (
        gzip.decompress((data / "jetson/agx_orin_maxn_part1.tegrastats.log.gz").read_bytes())
        .decode()
        .splitlines()[:60]
    )
    log = tmp_path / "board.log"
    log.write_text("\n".join([*lines[:30], "not a line of it", *lines[30:]]) + "\n")
    source = {"kind": "replay", "speed": 0, "recordings": [{"path": str(log), "format": "tegrastats"}]}
    van = Van("board-2", tmp_path, NO_BROKER_PORT, [source], batch={"fidelity": "full"})
    van.start()
    van.wait_ready()
    wait_until(lambda: bool(van.status()["sources_finished"]), lambda: None)
    assert van.stop() == 0, van.tail()
    found = by_name(van, [source])
    text = "\n".join(lines)
    assert found[f"{B}Memory.Used"] == [int(used) * 2**20 for used in re.findall(r"RAM (\d+)/", text)]
    assert found[f"{B}GPU.Utilization"] == [float(load) for load in re.findall(r"GR3D_FREQ (\d+)%", text)]
    assert found[f"{B}Temperature.TJ"] == [
        float(celsius) for celsius in re.findall(r"(?i) tj@([\d.]+)C", text)
    ]
    rails = re.findall(r"VDD_GPU_SOC (\d+)mW/", text)
    assert found[f"{B}Rail.VDD_GPU_SOC.Power"] == [int(milliwatts) / 1000 for milliwatts in rails]
    assert len(rails) == 60


TEGRASTATS = {
    "JetPack 5": "11-26-2026 13:00:00 RAM 6334/15388MB (lfb 1770x4MB) SWAP 491/7694MB (cached 0MB) CPU [6%@729,off] "
    "EMC_FREQ 0%@2133 GR3D_FREQ 5%@611 VIC_FREQ 729 APE 174 CPU@47.937C tj@48.875C VDD_IN 5299mW/5310mW",
    "JetPack 6": "11-26-2026 13:00:00 RAM 2448/62840MB (lfb 2x4MB) SWAP 0/31420MB (cached 0MB) CPU [3%@2201,0%@2201] "
    "GR3D_FREQ 7%@[305,305] cpu@42C tj@42C VDD_GPU_SOC 4940mW/4940mW VIN_SYS_5V0 4442mW/4442mW",
    "JetPack 7, Orin": "11-26-2026 13:00:00 RAM 2448/62840MB (lfb 2x4MB) SWAP 0/31420MB (cached 0MB) CPU [3%@2201,0%@2201] "
    "GR3D_FREQ 0%@[1300,1300] cpu@42C tj@42C VDD_GPU_SOC 4940mW/4940mW",
    "JetPack 7, Thor": "11-26-2026 13:00:00 RAM 4448/125840MB (lfb 2x4MB) SWAP 0/31420MB (cached 0MB) CPU [3%@972,1%@972] "
    "GR3D_FREQ @[315,315,315] cpu@41.25C tj@41.25C VDD_GPU 6123mW/6100mW VDD_CPU_SOC_MSS 7649mW/7600mW VIN 33118mW/33000mW",
}
"""Made after the forms that jetson_stats and the Jetson developer guides describe."""


@pytest.mark.parametrize("release", TEGRASTATS)
def test_tegrastats_of_each_jetpack(release: str) -> None:
    line = TEGRASTATS[release]
    found = {name: number for name, _, _, number in parse_line(line)}
    gpu = re.search(r"GR3D_FREQ (?:(\d+)%)?@?\[?(\d+)", line)
    assert gpu
    assert found.get("GPU.Utilization") == (None if gpu[1] is None else float(gpu[1]))
    assert found["GPU.Frequency"] == float(gpu[2])
    for zone, celsius in re.findall(r" ([a-zA-Z]+)@([\d.]+)C", line):
        assert found[f"Temperature.{zone}"] == float(celsius)
    for label, now in re.findall(r" (V\w+) (\d+)mW/", line):
        assert found[f"Rail.{label}.Power"] == float(now)
    for at, (load, clock) in enumerate(re.findall(r"(\d+)%@(\d+)[,\]]", re.search(r"CPU \[.*?\]", line)[0])):  # type: ignore[index]
        assert (found[f"CPU{at}.Utilization"], found[f"CPU{at}.Frequency"]) == (float(load), float(clock))
