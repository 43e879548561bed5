"""vantel replay: a campaign over recordings, before any van gets it; what each signal costs; which signals are peers.

Exit codes: 0 done, 1 a campaign is rejected or over its budget, 2 wrong usage, 65 a file cannot be used.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

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
    recordings: Annotated[
        list[Path],
        typer.Argument(
            help="recordings: CAN logs, CSV, NMEA, tegrastats, also .gz; or an edge .toml, for those that it replays"
        ),
    ],
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
    dbc: Annotated[
        list[str] | None, typer.Option(help="DBC file; CHANNEL=FILE for one channel; can be repeated")
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option("--map", help="LOCAL=CATALOG name of a signal; can be repeated")
    ] = None,
    start_unix_s: Annotated[
        float | None, typer.Option(help="time of the first sample, for logs without a date")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="write a picture (SVG) of triggers and windows")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON for programs")] = False,
) -> None:
    """Say what a campaign would have triggered and sent, with --bytes what each signal costs, with --peers which move together."""
    if in_bytes + peers + bool(campaign) != 1:
        _refuse("give one of --campaign FILE, --bytes and --peers")
    if plot is not None and not campaign:
        _refuse("--plot shows triggers; it goes with --campaign")
    with _told():
        found = [_campaign(path) for path in campaign or []]
        sections = _sections(recordings, dbc or [], name or [], start_unix_s)
        if in_bytes:
            _costs(sections, fidelity, window_s, budget_mb, as_json)
        elif peers:
            _peers(sections, as_json)
        else:
            raise typer.Exit(_back_test(sections, found, plot, as_json))


@contextmanager
def _told() -> Iterator[None]:
    """What cannot be used is one line and exit code 65; while it works a terminal shows that it does."""
    from edge import log as logs
    from edge.settings import LogSection, SettingsError
    from edge.sources.errors import RecordingError

    logs.configure(LogSection(level="warning"))
    try:
        with Console(stderr=True).status("reading the recordings"):
            yield
    except (ValueError, OSError, SettingsError) as cause:
        told = cause.for_command() if isinstance(cause, RecordingError) else cause
        print(f"vantel replay: {told}", file=sys.stderr)
        raise typer.Exit(65) from None


def _costs(
    sections: list[RecordingSection], fidelity: str, window_s: float, budget_mb: float | None, as_json: bool
) -> None:
    from vantel_rig.costs import costs_of

    told = costs_of(sections, fidelity, window_s).as_dict(budget_mb * 1e6 if budget_mb else None)
    print(json.dumps(told, indent=2)) if as_json else _show_costs(told)


def _peers(sections: list[RecordingSection], as_json: bool) -> None:
    from vantel_rig.peer_proposals import propose

    _show_peers(propose(sections), as_json)


def _back_test(
    sections: list[RecordingSection], found: list[Campaign], plot: Path | None, as_json: bool
) -> int:
    """The exit code."""
    from vantel_rig.backtest import back_test
    from vantel_rig.backtest import plot as drawn

    done = back_test(sections, found)
    told = done.as_dict(found)
    if plot is not None:
        plot.write_text(drawn(done, found), encoding="utf-8")
    print(json.dumps(told, indent=2)) if as_json else _show_campaigns(done, found)
    within = all(item["within_budget"] for item in told["campaigns"].values())
    return 1 if done.rejected or not within else 0


def _refuse(why: str) -> None:
    print(f"vantel replay: {why}", file=sys.stderr)
    raise typer.Exit(2)


def _campaign(path: Path) -> Campaign:
    from vantel.campaign.text import campaign_of

    try:
        return campaign_of(path.read_text(encoding="utf-8"))
    except ValueError as cause:
        raise ValueError(f"{path}: {cause}") from None


def _sections(
    recordings: list[Path], dbc: list[str], names: list[str], start_unix_s: float | None
) -> list[RecordingSection]:
    """Settings of the recordings as a replay has them. ValueError for what is none."""
    if wrong := [item for item in names if "=" not in item]:
        raise ValueError(f"--map {wrong[0]}: give LOCAL=CATALOG, as can0.SPEED.SPEED=Vehicle.Speed")
    mapping = dict(item.split("=", 1) for item in names)
    sections: list[RecordingSection] = []
    for path in recordings:
        if path.suffix != ".toml":
            sections.append(_section(path, dbc, mapping, start_unix_s))
        elif dbc or names or start_unix_s is not None:
            raise ValueError(
                f"{path}: --dbc, --map and --start-unix-s are for recordings; set them in this file"
            )
        else:
            sections += _replayed(path)
    return sections


def _section(
    path: Path, dbc: list[str], mapping: dict[str, str], start_unix_s: float | None
) -> RecordingSection:
    from edge.settings import RecordingSection
    from edge.sources.recordings import format_of
    from vantel_rig.decode import databases

    section = RecordingSection(path=path, dbc=databases(dbc), map=mapping, start_unix_s=start_unix_s)
    return section if format_of(section) == "can" else section.model_copy(update={"dbc": []})


def _replayed(path: Path) -> list[RecordingSection]:
    """The recordings of an agent's settings, with all their keys."""
    from edge.settings import ReplaySource, load

    found = [
        r for source in load(path).sources if isinstance(source, ReplaySource) for r in source.recordings
    ]
    if not found:
        raise ValueError(f'{path}: it replays nothing; give recordings, or [[sources]] with kind = "replay"')
    return found


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
    from rich.table import Column, Table

    rows = list(told["signals"].items())
    of = "budget" if told["budget_bytes_a_day"] else "all"
    table = Table(Column("signal", overflow="fold"), *(Column(name, justify="right") for name in ("samples", "bytes", "bits a sample", "MB a day")),
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
