"""vantel: the command for people who want to see the whole pipe: demo, ledger, top, decode, sim, catalog.

Exit codes: 0 done and balanced, 1 the ledger does not balance, points are missing or a promise is broken, 2 wrong usage,
65 an end of the account cannot be read, 78 settings.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vantel_rig.catalog_command import app as catalog_app
from vantel_rig.command import EPILOG, replay

app = typer.Typer(
    help="Vantel on a desk: demo, ledger, top, sim, catalog.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.command(epilog=EPILOG)(replay)
app.add_typer(catalog_app, name="catalog")


@app.command(epilog="Example: ./demo --seconds 30 --vans 3 --headless --report report.json --speed 10")
def demo(
    seconds: Annotated[
        float | None, typer.Option(min=10.0, help="run this long; default: until Ctrl-C")
    ] = None,
    vans: Annotated[int, typer.Option(min=1, max=50, help="number of vans")] = 3,
    headless: Annotated[bool, typer.Option("--headless", help="plain lines, no terminal control")] = False,
    report: Annotated[Path | None, typer.Option(help="write the ledger, counts and rates as JSON")] = None,
    speed: Annotated[float, typer.Option(min=0.1, max=100.0, help="replay this many times as fast")] = 1.0,
    folder: Annotated[
        Path | None, typer.Option(help="files and logs of this run; default: .local/demo")
    ] = None,
) -> None:
    """Run the whole pipe on this machine: servers, bridge, worker, and vans that replay recorded drives."""
    from vantel_rig.demo import Demo, DemoOptions

    raise typer.Exit(Demo(DemoOptions(seconds, vans, headless, report, speed, folder)).run())


@app.command(
    epilog="Example: vantel ledger --config cloud.toml --van van-007 --since 2h --until 2026-11-26T09:30"
)
def ledger(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="cloud settings")] = None,
    van: Annotated[str | None, typer.Option(help="only this van")] = None,
    van_dir: Annotated[
        list[Path] | None,
        typer.Option(help="state directory of a van on this machine: exact, instead of its last report"),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="tell gaps from this time on: 2026-11-26T08:00 (UTC), Unix seconds, or an age: 15m, 2h, 3d"
        ),
    ] = None,
    until: Annotated[str | None, typer.Option(help="tell gaps up to this time; default: now")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON for programs")] = False,
) -> None:
    """Join both ends of the account: where every envelope is now, and for every gap in time if it is silence or loss."""
    import time

    from cloud import log as logs
    from cloud.connection import ConnectionRefused
    from cloud.kafka.clients import KafkaUnavailable
    from cloud.settings import SettingsError, load
    from vantel_rig.gaps import period_of
    from vantel_rig.report import join_ledger, print_ledger

    try:
        period = period_of(since, until, time.time())
    except ValueError as cause:
        print(f"vantel ledger: {cause}", file=sys.stderr)
        raise typer.Exit(2) from None
    try:
        settings = load(config)
    except SettingsError as cause:
        print(cause, file=sys.stderr)
        raise typer.Exit(78) from None
    logs.configure_for_command(settings.log)
    try:
        joined = join_ledger(settings, van_dir or [], van, period)
    except (KafkaUnavailable, ConnectionRefused, ValueError) as cause:
        print(f"vantel ledger: {cause}", file=sys.stderr)
        raise typer.Exit(65) from None
    if as_json:
        print(json.dumps(joined, indent=2))
        raise typer.Exit(int(joined["ledger"]["residual"] != 0))
    raise typer.Exit(print_ledger(Console(), joined))


@app.command(epilog="Example: vantel top --config cloud.toml --json")
def top(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="cloud settings")] = None,
    rows: Annotated[int, typer.Option(min=1, max=10_000, help="show so many vans, silent ones first")] = 40,
    seconds: Annotated[
        float | None, typer.Option(min=0.0, help="end after so long; default: at Ctrl-C")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON once, for programs")] = False,
) -> None:
    """Watch the fleet: state of each van, age of its last report, where its envelopes are."""
    import asyncio

    from cloud import log as logs
    from cloud.connection import ConnectionRefused
    from cloud.kafka.clients import KafkaUnavailable
    from cloud.settings import SettingsError, load
    from vantel_rig import top as fleet

    try:
        settings = load(config)
        logs.configure_for_command(settings.log)
        if as_json:
            print(json.dumps(asyncio.run(fleet.read_once(settings)), indent=2))
        else:
            asyncio.run(fleet.watch(settings, Console(), rows, seconds))
    except (SettingsError, ConnectionRefused) as cause:
        print(cause, file=sys.stderr)
        raise typer.Exit(78) from None
    except KafkaUnavailable as cause:
        print(cause, file=sys.stderr)
        raise typer.Exit(65) from None
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


@app.command(
    epilog="Example: vantel decode drive.log --dbc can0=van.dbc --signals 'WHEEL_*' -o drive.parquet"
)
def decode(
    log: Annotated[Path, typer.Argument(help="CAN log: candump, .asc, .blf, .trc, .csv, .mf4; also .gz")],
    out: Annotated[Path, typer.Option("--out", "-o", help="file to write: .parquet, .csv or .mcap")],
    dbc: Annotated[
        list[str] | None, typer.Option(help="DBC file; CHANNEL=FILE for one channel; can be repeated")
    ] = None,
    signals: Annotated[
        list[str] | None, typer.Option(help="only these, with * and ?: can0.Message.Signal or Message.Signal")
    ] = None,
    j1939: Annotated[
        bool, typer.Option("--j1939", help="ids by parameter group, transport protocol, DM1")
    ] = False,
    answers: Annotated[Path | None, typer.Option(help="file of UDS and OBD-II answers")] = None,
    overlay: Annotated[Path | None, typer.Option(help="VSS overlay (.vspec) of bus signals")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print what came of it as JSON")] = False,
) -> None:
    """Decode a CAN log to physical values, by the same code that decodes on the van."""
    from rich.progress import Progress

    from edge import log as logs
    from edge.settings import LogSection, RecordingSection
    from edge.sources.errors import RecordingError
    from vantel_rig import decode as decoding

    logs.configure(LogSection(level="warning"))
    try:
        section = RecordingSection(
            path=log,
            format="can",
            dbc=decoding.databases(dbc or []),
            j1939=j1939,
            answers=answers,
            overlay=overlay,
        )
        with Progress(
            console=Console(stderr=True), transient=True, disable=as_json or not sys.stderr.isatty()
        ) as progress:
            task = progress.add_task(log.name, total=log.stat().st_size if log.exists() else None)
            done = decoding.decode(
                section, out, signals or [], lambda at: progress.update(task, completed=at)
            )
    except RecordingError as cause:
        print(f"vantel decode: {cause.for_command()}", file=sys.stderr)
        raise typer.Exit(65) from None
    except (ValueError, OSError) as cause:
        print(f"vantel decode: {cause}", file=sys.stderr)
        raise typer.Exit(65) from None
    if as_json:
        print(
            json.dumps(
                {"out": str(out), "rows": done.rows, "signals": done.signals, "left_out": done.left_out}
            )
        )
        return
    left = ", ".join(f"{reason} {number}" for reason, number in sorted(done.left_out.items()) if number)
    print(f"{out}: {done.rows} samples of {done.signals} signals" + (f"; left out: {left}" if left else ""))


@app.command(
    epilog="Example: vantel sim --seed 7 --hours 24 --vans 500; vantel sim --seeds 0-9999 --state sim.jsonl"
)
def sim(
    seed: Annotated[int | None, typer.Option(min=0, help="one seed")] = None,
    seeds: Annotated[str | None, typer.Option(help="several, as 0-999 or 1,5,10-20")] = None,
    hours: Annotated[float, typer.Option(min=0.01, max=1000.0, help="virtual hours under faults")] = 0.08,
    vans: Annotated[int, typer.Option(min=1, max=5000, help="vans in each world")] = 2,
    period: Annotated[
        float | None,
        typer.Option(
            min=1.0, help="virtual seconds between two batches of a van [default: 8, longer in large worlds]"
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=256, help="seeds at a time [default: one a processor]")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="keep results here (JSON lines) and go on from them")
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="do not stop at the first broken promise")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON for programs")] = False,
) -> None:
    """Simulate the whole pipe under faults drawn from a seed; exit 1 and show where when a promise is broken."""
    from vantel_rig.sim.command import fitting_period_s, parse_seeds, run_command
    from vantel_rig.sim.run import Plan

    try:
        chosen = parse_seeds(seeds) if seeds is not None else [seed if seed is not None else 0]
    except ValueError as cause:
        print(f"vantel sim: --seeds: {cause}", file=sys.stderr)
        raise typer.Exit(2) from None
    plans = [Plan(number, hours, vans, period or fitting_period_s(hours, vans)) for number in chosen]
    raise typer.Exit(run_command(plans, jobs or os.cpu_count() or 1, state, as_json, keep_going))


if __name__ == "__main__":
    app()
