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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cloud.query import InfluxQuery
from edge.agent import Agent
from edge.clock.choice import Reading, Source
from edge.clock.machine import wall_reading
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


def drive(
    van: str,
    folder: Path,
    port: int,
    sources: SetTime,
    during: Callable[[Agent, SetTime], None],
    wait_s: float = RUN_S,
) -> None:
    """Run the agent, do something, and drain."""
    settings = EdgeSettings(
        van={"id": van, "state_dir": folder},
        mqtt={"port": port},
        sources=[{"kind": "system", "period_s": 0.05}],
        batch={"window_s": 0.5, "window_live_s": 0.5, "fidelity": "full"},
        clock={"p0_wait_s": 0.5, "wait_s": wait_s},
        uplink={"backoff_s_min": 0.1, "backoff_s_max": 0.5, "resend_after_s": 5.0},
    )  # type: ignore[arg-type]
    agent = Agent(settings, sources)
    drain, codes = threading.Event(), []
    thread = threading.Thread(target=lambda: codes.append(agent.run(threading.Event(), drain)))
    thread.start()
    time.sleep(RUN_S / 2)
    during(agent, sources)
    time.sleep(RUN_S / 2)
    drain.set()
    thread.join(240)
    assert codes == [0], "the agent did not drain"


def judge(cloud: CloudSide, van: str, folder: Path) -> tuple[int, int]:
    """Nothing lost, nothing overwritten; first and last Unix ns of the van's points."""
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


def nothing(_: Agent, __: SetTime) -> None:
    """Let it run."""


def find_the_time(agent: Agent, sources: SetTime) -> None:
    """NTP comes up."""
    sources.known_off_ns = 0
    agent._clock.update()


def step(agent: Agent, sources: SetTime) -> None:
    """An hour ahead, an hour back, right again."""
    for off_ns in (3600 * S, -3600 * S, 0):
        sources.known_off_ns = off_ns
        agent._clock.update()
        time.sleep(1.0)


def test_no_wrong_clock_loses_or_overwrites_anything(
    vantel_stack: Stack, vantel_cloud: CloudSide, tmp_path: Path
) -> None:
    began_ns = time.time_ns()

    def once(
        van: str, sources: SetTime, during: Callable[[Agent, SetTime], None], wait_s: float = RUN_S
    ) -> None:
        drive(van, tmp_path / van, vantel_stack.mqtt_port, sources, during, wait_s)

    def twice(van: str, sources: SetTime) -> None:
        sources.known_off_ns = 0
        for _ in range(2):
            once(van, sources, step)

    with ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(once, "clock-behind", SetTime(-10 * YEAR_NS), nothing),
            pool.submit(once, "clock-ahead", SetTime(10 * YEAR_NS), nothing),
            pool.submit(once, "clock-1970", SetTime(20 * S - began_ns), find_the_time, 600.0),
            pool.submit(twice, "clock-steps", SetTime(0)),
        ]
    for run in runs:
        run.result()
    vantel_cloud.wait_drained(240)
    for van, off_ns in (("clock-behind", -10 * YEAR_NS), ("clock-ahead", 10 * YEAR_NS)):
        first_ns, _ = judge(vantel_cloud, van, tmp_path / van)
        assert abs(first_ns - off_ns - began_ns) < 600 * S
    first_ns, last_ns = judge(vantel_cloud, "clock-1970", tmp_path / "clock-1970")
    assert began_ns - S < first_ns <= last_ns < time.time_ns() + S, "the right axis"
    judge(vantel_cloud, "clock-steps", tmp_path / "clock-steps")
