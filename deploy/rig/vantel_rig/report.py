"""The report of a run: ledger, points written and read back, bytes, by van. And the ledger as a table for people."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from cloud.ledger.sheet import SUMS, LedgerReport, VanReport, read_ends
from cloud.query import InfluxQuery
from cloud.settings import CloudSettings
from edge.spool import Spool
from edge.status.file import StatusError, read_status
from vantel_rig.cloud_side import CloudSide
from vantel_rig.gaps import Period, gap_lines, timelines
from vantel_rig.van import Van

SAMPLE_BYTES = 16
"""A sample as it would be stored without any thought: value and time, 8 bytes each."""


def join_ledger(
    settings: CloudSettings, state_dirs: Sequence[Path], van: str | None = None, period: Period | None = None
) -> dict[str, Any]:
    """The joined ledger; state_dirs: vans whose end is read from their disk rather than from their last report.

    period: the range of time of the gaps to tell, under "timeline"; None leaves them out.
    """
    reports = {}
    for folder in state_dirs:
        spool = Spool.inspect(folder / "spool")
        reports[_van_of(folder)] = VanReport(spool.accounts, spool.spooled)
    ends = asyncio.run(read_ends(settings))
    joined = ends.joined(reports)
    tree = _only(joined, van) if van else joined.as_dict()
    if period is not None:
        tree["timeline"] = timelines(ends, reports, period, tree["vans"])
    return tree


def _van_of(folder: Path) -> str:
    """Van id of a state directory, from its status."""
    try:
        return str(read_status(folder)["van"])
    except StatusError as cause:
        raise ValueError(f"whose state directory is {folder}? {cause}") from cause


def _only(joined: LedgerReport, van: str) -> dict[str, Any]:
    """The sheet of one van."""
    tree = joined.as_dict()
    part = tree["vans"].get(van)
    if part is None:
        raise ValueError(f"the ledger has no van {van!r}; it has {', '.join(sorted(tree['vans'])) or 'none'}")
    by_stream = {
        name: {stream: told for stream, told in tree[name].items() if stream.startswith(f"{van}|")}
        for name in ("residual_at", "power_losses")
    }
    return {"ledger": {k: v for k, v in part.items() if k != "classes"}, "vans": {van: part}, **by_stream}


def build_report(cloud: CloudSide, vans: Sequence[Van], timeout_s: float) -> dict[str, Any]:
    """Wait for Kafka to drain, then read both ends and the database."""
    try:
        cloud.wait_drained(timeout_s)
        drained = True
    except TimeoutError:
        drained = False
    statuses = {van.id: van.status() for van in vans}
    tree = join_ledger(cloud.settings, [van.folder / "state" for van in vans])
    in_database = InfluxQuery(cloud.settings.influx).count_points_by_van()
    by_van = {}
    for van in vans:
        status, row = statuses[van.id], tree["vans"].get(van.id, {})
        by_van[van.id] = {
            **{name: row.get(name, 0) for name in SUMS},
            "samples_produced": int(status.get("samples_produced", 0)),
            "samples_shed": sum(status.get("samples_shed", {}).values()),
            "events_produced": int(status.get("events_produced", 0)),
            "bytes_uplink": int(status.get("uplink", {}).get("bytes_sent", 0)),
            "points_stored": row.get("points", 0),
            "points_in_influxdb": in_database.get(van.id, 0),
        }
    return {
        "ledger": tree["ledger"],
        "samples_produced": sum(part["samples_produced"] for part in by_van.values()),
        "points_stored": tree["ledger"]["points"],
        "points_in_influxdb": sum(in_database.values()),
        "bytes_uplink": sum(part["bytes_uplink"] for part in by_van.values()),
        "bytes_raw": SAMPLE_BYTES * sum(part["samples_produced"] for part in by_van.values()),
        "event_latency_ms": {"n": 0, "p50": 0.0, "p99": 0.0},
        "drained": drained,
        "vans": by_van,
        "residual_at": tree["residual_at"],
        "power_losses": tree["power_losses"],
    }


def problems_of(report: dict[str, Any]) -> list[str]:
    """Why a run is not fine; empty when it is."""
    ledger = report["ledger"]
    problems = []
    if ledger["residual"]:
        problems.append(f"{ledger['residual']} envelopes are nowhere: {report['residual_at']}")
    if ledger["produced"] != sum(ledger[name] for name in SUMS[1:]):
        problems.append("the ledger does not add up")
    if not ledger["produced"]:
        problems.append("nothing was produced")
    if report.get("points_stored") != report.get("points_in_influxdb"):
        problems.append(
            f"{report['points_stored']} points written, {report['points_in_influxdb']} in InfluxDB"
        )
    if ledger["spooled"] or ledger["in_kafka"]:
        problems.append(f"not drained: {ledger['spooled']} envelopes spooled, {ledger['in_kafka']} in Kafka")
    return problems


def print_ledger(console: Console, report: dict[str, Any]) -> int:
    """Print the ledger as a table and one line; 0 when it is fine, 1 when not."""
    table = Table("van", *SUMS, title="ledger, envelopes", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for van, row in sorted(report["vans"].items()):
        table.add_row(van, *(str(row[name]) for name in SUMS))
    table.add_row("all", *(str(report["ledger"][name]) for name in SUMS), style="bold")
    console.print(table)
    if "points_in_influxdb" in report:
        ratio = report["bytes_uplink"] / max(report["bytes_raw"], 1)
        latency = report["event_latency_ms"]
        console.print(
            f"{report['samples_produced']} samples, {report['points_stored']} points written, "
            f"{report['points_in_influxdb']} read back; uplink {report['bytes_uplink']} bytes, {100 * ratio:.1f} % of raw; "
            f"{latency['n']} marked faults, latency p50 {latency['p50']:.0f} ms, p99 {latency['p99']:.0f} ms",
            highlight=False,
        )
        problems = problems_of(report)
    else:
        problems = [f"residual at {report['residual_at']}"] if report["ledger"]["residual"] else []
    shed = report["ledger"].get("shed_by_reason", {})
    if shed:
        told = ", ".join(f"{reason} {samples}" for reason, samples in sorted(shed.items()))
        console.print(f"shed before sealing, in samples: {told}", highlight=False, markup=False)
    for line in gap_lines(report.get("timeline", {}), time.time()):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for stream, loss in report.get("power_losses", {}).items():
        console.print(
            f"lost(power): {stream} from envelope {loss['first']} on, at most {loss['bytes_max']} bytes "
            f"of {loss['seconds_max']:g} s; what the cloud has of them is stored",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    for problem in problems:
        console.print(f"wrong: {problem}", highlight=False, markup=False)
    ledger = report["ledger"]
    sums = " + ".join(f"{name} {ledger[name]}" for name in SUMS[1:-1])
    console.print(
        f"ledger: produced {ledger['produced']} = {sums}; residual {ledger['residual']}",
        highlight=False,
        soft_wrap=True,
    )
    return int(bool(problems))
