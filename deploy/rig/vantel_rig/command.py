"""vantel replay: a campaign over recordings, before any van gets it; what each signal costs; which signals are peers.

Exit codes: 0 done, 1 a campaign is rejected or over its budget, 2 wrong usage, 65 a file cannot be used.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edge.settings import RecordingSection
    from vantel.campaign.document import Campaign
    from vantel_rig.backtest import BackTest
    from vantel_rig.peer_proposals import Proposal

EPILOG = (
    "Examples: vantel replay drive.log --dbc can0=van.dbc --campaign door.toml --plot door.svg; "
    "vantel replay drive.csv --bytes --budget-mb 50; vantel replay drive.log --dbc can0=van.dbc --peers"
)
SIGNALS_SHOWN_MAX = 40


def replay(
    recordings: Annotated[list[Path], typer.Argument(help="recordings: CAN logs, CSV, tegrastats; also .gz")],
    campaign: Annotated[list[Path] | None, typer.Option(help="campaign file (TOML); can be repeated")] = None,
    in_bytes: Annotated[bool, typer.Option("--bytes", help="say what each signal costs")] = False,
    peers: Annotated[
        bool, typer.Option("--peers", help="propose sets of signals for [detector] peers, with evidence")
    ] = False,
    budget_mb: Annotated[
        float | None,
        typer.Option(min=0.001, help="bytes a day that shares are of (MB); else all that is sent"),
    ] = None,
    fidelity: Annotated[str, typer.Option(help="for --bytes: full or rollup, as in [batch]")] = "full",
    window_s: Annotated[float, typer.Option(help="for --bytes: seconds of a batch, as in [batch]")] = 10.0,
    dbc: Annotated[list[str] | None, typer.Option(help="DBC file; CHANNEL=FILE for one channel")] = None,
    name: Annotated[list[str] | None, typer.Option("--map", help="LOCAL=CATALOG name of a signal")] = None,
    start_unix_s: Annotated[
        float | None, typer.Option(help="time of the first sample, for logs without a date")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="write a picture (SVG) of triggers and windows")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON for programs")] = False,
) -> None:
    """Say what a campaign would have triggered and sent, with --bytes what each signal costs, with --peers which move together."""
    from edge import log as logs
    from edge.settings import LogSection
    from edge.sources.errors import RecordingError
    from vantel.campaign.text import campaign_of
    from vantel_rig.backtest import back_test
    from vantel_rig.backtest import plot as drawn
    from vantel_rig.costs import costs_of
    from vantel_rig.peer_proposals import propose

    if in_bytes + peers + bool(campaign) != 1:
        print("vantel replay: give one of --campaign FILE, --bytes and --peers", file=sys.stderr)
        raise typer.Exit(2)
    logs.configure(LogSection(level="warning"))
    try:
        found = [campaign_of(path.read_text(encoding="utf-8")) for path in campaign or []]
        sections = _sections(recordings, dbc or [], name or [], start_unix_s)
        if in_bytes:
            told = costs_of(sections, fidelity, window_s).as_dict(budget_mb * 1e6 if budget_mb else None)
            print(json.dumps(told, indent=2)) if as_json else _show_costs(told)
            return
        if peers:
            _show_peers(propose(sections), as_json)
            return
        done = back_test(sections, found)
    except (ValueError, OSError) as cause:
        told_as = cause.for_command() if isinstance(cause, RecordingError) else cause
        print(f"vantel replay: {told_as}", file=sys.stderr)
        raise typer.Exit(65) from None
    told = done.as_dict(found)
    if plot is not None:
        plot.write_text(drawn(done, found), encoding="utf-8")
    if as_json:
        print(json.dumps(told, indent=2))
    else:
        _show_campaigns(done, found)
    within = all(item["within_budget"] for item in told["campaigns"].values())
    raise typer.Exit(1 if done.rejected or not within else 0)


def _sections(
    recordings: list[Path], dbc: list[str], names: list[str], start_unix_s: float | None
) -> list[RecordingSection]:
    """Settings of the recordings as a replay has them. ValueError for what is none."""
    from edge.settings import RecordingSection
    from vantel_rig import decode as decoding

    mapping = dict(item.split("=", 1) for item in names)
    return [
        RecordingSection(
            path=path,
            dbc=decoding.databases(dbc) if _is_can(path) else {},
            map=mapping,
            start_unix_s=start_unix_s,
        )
        for path in recordings
    ]


def _show_campaigns(done: BackTest, found: list[Campaign]) -> None:
    for state in done.rejected:
        where = f" at character {state.position}" if state.position >= 0 else ""
        print(f"{state.name}: rejected{where}: {state.reason}: {state.detail}")
    for item in found:
        captures = done.of(item.name)
        size = sum(capture.body_bytes for capture in captures)
        a_day = size * 86_400 / done.seconds
        print(f"{item.name}: {len(captures)} captures, {size} bytes in {done.seconds:.0f} s, {a_day / 1e6:.2f} MB a day of {item.bytes_per_day_max / 1e6:.0f}")  # fmt: skip
    print(
        f"CPU: {done.cpu_s * 86_400 / done.seconds:.0f} s a day, {100 * done.cpu_s / done.seconds:.3f} % of one core"
    )


def _show_costs(told: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    rows = list(told["signals"].items())
    of = "budget" if told["budget_bytes_a_day"] else "all"
    table = Table("signal", *(Column(name, justify="right") for name in ("samples", "bytes", "bits a sample", "MB a day")),
                  Column(f"share of {of}", no_wrap=True), title=f"{told['bytes']} bytes in {told['seconds']:.0f} s, {told['messages']} messages, "
                  f"{told['bytes_a_day'] / 1e6:.1f} MB a day")  # fmt: skip
    most = max((row["share_of_day"] for _, row in rows), default=0.0) or 1.0
    for name, row in rows[:SIGNALS_SHOWN_MAX]:
        bar = "█" * max(1, round(10 * row["share_of_day"] / most))
        table.add_row(name, str(row["samples"]), f"{row['bytes']:.0f}", f"{row['bits_a_sample']:.2f}",
                      f"{row['bytes_a_day'] / 1e6:.3f}", f"{bar} {100 * row['share_of_day']:.1f} %")  # fmt: skip
    console = Console()
    console.print(table)
    if len(rows) > SIGNALS_SHOWN_MAX:
        console.print(f"{len(rows) - SIGNALS_SHOWN_MAX} more signals cost less; --json has them all")


def _show_peers(found: list[Proposal], as_json: bool) -> None:
    from vantel_rig.peer_proposals import pasted

    if as_json:
        print(json.dumps([item.as_dict() for item in found], indent=2))
        return
    if not found:
        print("no signals move together in both halves of this drive")
        return
    for item in found:
        print(
            f"{'known' if item.known else 'new  '}  values r >= {item.r_value:.3f}, changes r >= {item.r_change:.3f}, "
            f"unexplained {item.rest:.2f} of a change: {', '.join(item.names)}"
        )
    if not all(item.known for item in found):
        print(f"\nJudge them: peers show one quantity or follow one cause. Then paste:\n\n{pasted(found)}")


def _is_can(path: Path) -> bool:
    plain = path.name.removesuffix(".gz")
    return not plain.endswith((".csv", ".tegrastats.log", ".txt"))
