"""Vans whose clocks are wrong, as far as InfluxDB.

Goal: ten years back, ten years ahead, 1970 at boot with the time found later, steps of an hour forth and back, a restart in
between: every envelope is accounted for, every point that was written can be read back (none overwrote another), and the
van that found the time stands on the right axis. Method: the whole agent in this process, on its live source and with its
time sources set by hand, against real servers; each drains before it leaves.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cloud.query import InfluxQuery
from edge.agent import Agent
from edge.clock_choice import Reading, Source
from edge.clock_sources import wall_reading
from edge.settings import EdgeSettings
from vantel_rig.cloud_side import CloudSide
from vantel_rig.report import join_ledger
from vantel_rig.stack import Stack

pytestmark = [pytest.mark.servers, pytest.mark.e2e]

S = 10**9
YEAR_NS = 365 * 86_400 * S
RUN_S = 3.0


class SetTime:
    """Time sources set by hand."""

    def __init__(self, wall_off_ns: int) -> None:
        self.wall_off_ns = wall_off_ns
        self.known_off_ns: int | None = None

    def wall(self) -> Reading:
        real = wall_reading()
        return Reading(Source.NONE, real.offset_ns + self.wall_off_ns, real.error_ns_max, real.t_mono_ns)

    def poll(self) -> Sequence[Reading]:
        if self.known_off_ns is None:
            return []
        real = wall_reading()
        return [Reading(Source.NTP, real.offset_ns + self.known_off_ns, 10**6, real.t_mono_ns)]


def drive(van: str, folder: Path, port: int, sources: SetTime, during: Callable[[Agent], None]) -> None:
    """Run the agent, do something, and drain."""
    settings = EdgeSettings(
        van={"id": van, "state_dir": folder},
        mqtt={"port": port},
        sources=[{"kind": "system", "period_s": 0.05}],
        batch={"window_s": 0.5, "window_live_s": 0.5, "fidelity": "full"},
        clock={"p0_wait_s": 0.5, "wait_s": RUN_S},
        uplink={"backoff_s_min": 0.1, "backoff_s_max": 0.5, "resend_after_s": 5.0},
    )  # type: ignore[arg-type]
    agent = Agent(settings, sources)
    drain, codes = threading.Event(), []
    thread = threading.Thread(target=lambda: codes.append(agent.run(threading.Event(), drain)))
    thread.start()
    time.sleep(RUN_S / 2)
    during(agent)
    time.sleep(RUN_S / 2)
    drain.set()
    thread.join(90)
    assert codes == [0], "the agent did not drain"


def judge(cloud: CloudSide, van: str, folder: Path) -> tuple[int, int]:
    """Nothing lost, nothing overwritten; first and last Unix ns of the van's points."""
    cloud.wait_drained(60)
    ledger = join_ledger(cloud.settings, [folder], van)["ledger"]
    assert ledger["residual"] == 0
    assert ledger["produced"] == ledger["stored"] > 0
    query = InfluxQuery(cloud.settings.influx)
    assert query.count_points_by_van(van)[van] == ledger["points"] > 0
    spans = [
        next(iter(series.rows()))["time"]
        for order in ("ASC", "DESC")
        for series in query.query(
            f"SELECT * FROM telemetry WHERE van = '{van}' ORDER BY time {order} LIMIT 1"
        )
    ]
    return min(spans), max(spans)


def nothing(_: Agent) -> None:
    """Let it run."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("name", "off_ns"), [("behind", -10 * YEAR_NS), ("ahead", 10 * YEAR_NS)])
def test_ten_years_off(
    vantel_stack: Stack, vantel_cloud: CloudSide, tmp_path: Path, name: str, off_ns: int
) -> None:
    van = f"clock-{name}"
    drive(van, tmp_path, vantel_stack.mqtt_port, SetTime(off_ns), nothing)
    first_ns, last_ns = judge(vantel_cloud, van, tmp_path)
    assert abs(first_ns - off_ns - time.time_ns()) < 600 * S
    assert last_ns >= first_ns


@pytest.mark.timeout(300)
def test_1970_at_boot_stands_on_the_right_axis(
    vantel_stack: Stack, vantel_cloud: CloudSide, tmp_path: Path
) -> None:
    began_ns = time.time_ns()
    sources = SetTime(20 * S - began_ns)

    def find(agent: Agent) -> None:
        sources.known_off_ns = 0
        agent._clock.update()

    drive("clock-1970", tmp_path, vantel_stack.mqtt_port, sources, find)
    first_ns, last_ns = judge(vantel_cloud, "clock-1970", tmp_path)
    assert began_ns - S < first_ns <= last_ns < time.time_ns() + S


@pytest.mark.timeout(300)
def test_steps_and_restarts_overwrite_nothing(
    vantel_stack: Stack, vantel_cloud: CloudSide, tmp_path: Path
) -> None:
    def step(agent: Agent) -> None:
        for off_ns in (3600 * S, -3600 * S, 0):
            sources.known_off_ns = off_ns
            agent._clock.update()
            time.sleep(1.0)

    for _ in range(2):
        sources = SetTime(0)
        sources.known_off_ns = 0
        drive("clock-steps", tmp_path, vantel_stack.mqtt_port, sources, step)
    judge(vantel_cloud, "clock-steps", tmp_path)
