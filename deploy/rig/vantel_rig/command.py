"""vantel replay: a campaign over recordings, before any van gets it.

Exit codes: 0 done, 1 a campaign is rejected or over its budget, 2 wrong usage, 65 a file cannot be used.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

EPILOG = "Example: vantel replay drive.log --dbc can0=van.dbc --campaign door.toml --plot door.svg"


def replay(
    recordings: Annotated[list[Path], typer.Argument(help="recordings: CAN logs, CSV, tegrastats; also .gz")],
    campaign: Annotated[list[Path], typer.Option(help="campaign file (TOML); can be repeated")],
    dbc: Annotated[list[str] | None, typer.Option(help="DBC file; CHANNEL=FILE for one channel")] = None,
    name: Annotated[list[str] | None, typer.Option("--map", help="LOCAL=CATALOG name of a signal")] = None,
    start_unix_s: Annotated[
        float | None, typer.Option(help="time of the first sample, for logs without a date")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="write a picture (SVG) of triggers and windows")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON for programs")] = False,
) -> None:
    """Say what a campaign would have triggered and sent: captures, bytes and CPU a day, by the code of the van."""
    from edge import log as logs
    from edge.settings import LogSection, RecordingSection
    from edge.sources.errors import RecordingError
    from vantel.campaign.text import campaign_of
    from vantel_rig import decode as decoding
    from vantel_rig.backtest import back_test
    from vantel_rig.backtest import plot as drawn

    logs.configure(LogSection(level="warning"))
    try:
        found = [campaign_of(path.read_text(encoding="utf-8")) for path in campaign]
        names = dict(item.split("=", 1) for item in name or [])
        sections = [
            RecordingSection(path=path, dbc=decoding.databases(dbc or []) if _is_can(path) else {}, map=names, start_unix_s=start_unix_s)
            for path in recordings
        ]  # fmt: skip
        done = back_test(sections, found)
    except RecordingError as cause:
        print(f"vantel replay: {cause.for_command()}", file=sys.stderr)
        raise typer.Exit(65) from None
    except (ValueError, OSError) as cause:
        print(f"vantel replay: {cause}", file=sys.stderr)
        raise typer.Exit(65) from None
    told = done.as_dict(found)
    if plot is not None:
        plot.write_text(drawn(done, found), encoding="utf-8")
    if as_json:
        print(json.dumps(told, indent=2))
    else:
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
    over = any(
        sum(capture.body_bytes for capture in done.of(item.name)) * 86_400 / done.seconds > item.bytes_per_day_max for item in found
    )  # fmt: skip
    raise typer.Exit(1 if done.rejected or over else 0)


def _is_can(path: Path) -> bool:
    plain = path.name.removesuffix(".gz")
    return not plain.endswith((".csv", ".tegrastats.log", ".txt"))
