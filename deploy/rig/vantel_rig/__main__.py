"""vantel: the command for people who want to see the whole pipe: demo, ledger, top.

Exit codes: 0 done and balanced, 1 the ledger does not balance or points are missing, 2 wrong usage, 65 Kafka is
away, 78 settings.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    help="Vantel on a desk: demo, ledger, top.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    """Keep `demo` a subcommand."""


@app.command(epilog="Example: ./demo --seconds 30 --vans 3 --headless --report report.json --speed 10")
def demo(
    seconds: Annotated[
        float | None, typer.Option(min=5.0, help="run this long; default: until Ctrl-C")
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


@app.command(epilog="Example: vantel ledger --config cloud.toml --van van-007 --van-dir /var/lib/vantel")
def ledger(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="cloud settings")] = None,
    van: Annotated[str | None, typer.Option(help="only this van")] = None,
    van_dir: Annotated[
        list[Path] | None,
        typer.Option(help="state directory of a van on this machine: exact, instead of its last report"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON for programs")] = False,
) -> None:
    """Join both ends of the account: what was produced, and where every envelope is now."""
    from cloud.settings import SettingsError, load
    from vantel_rig.report import join_ledger, print_ledger

    try:
        settings = load(config)
    except SettingsError as cause:
        print(cause, file=sys.stderr)
        raise typer.Exit(78) from None
    joined = join_ledger(settings, van_dir or [], van)
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
    import time

    from cloud.connection import ConnectionRefused
    from cloud.kafka import KafkaUnavailable
    from cloud.settings import SettingsError, load
    from vantel_rig import top as fleet

    try:
        settings = load(config)
        if as_json:
            print(json.dumps(fleet.as_json(asyncio.run(fleet.read_once(settings)), time.time()), indent=2))
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


if __name__ == "__main__":
    app()
