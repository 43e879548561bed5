"""vantel-edge: the command line of the agent. The only place of the edge side that reads settings and builds objects.

Exit codes: 0 done, 1 the agent failed, 2 wrong usage, 65 a check failed, 78 the settings cannot be used.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from edge.capture.command import app as capture_app
from edge.settings import EdgeSettings, SettingsError, load

EXIT_CHECK_FAILED = 65
EXIT_LOCKED = 75
EXIT_SETTINGS = 78

app = typer.Typer(
    help="Onboard telemetry agent of a van.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.add_typer(capture_app, name="capture")
Config = Annotated[Path, typer.Option("--config", "-c", help="settings file (TOML)", show_default=True)]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON for programs")]
DEFAULT_CONFIG = Path("/etc/vantel/edge.toml")
_out = Console()


def _load(config: Path) -> EdgeSettings:
    try:
        return load(config)
    except SettingsError as cause:
        print(cause, file=sys.stderr)
        raise typer.Exit(EXIT_SETTINGS) from None


@app.command(epilog="Example: vantel-edge run --config edge.toml")
def run(config: Config = DEFAULT_CONFIG) -> None:
    """Collect, spool and send until SIGTERM or Ctrl-C; SIGUSR1 stops collecting and leaves once all is delivered."""
    settings = _load(config)
    from edge import log

    log.configure(settings.log)
    stop, drain = threading.Event(), threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: drain.set())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    from edge.agent import Agent
    from edge.spool import SpoolLockedError
    from edge.warm import forget_compiling, warm_kernels

    list(warm_kernels())
    try:
        agent = Agent(settings)
    except SpoolLockedError as cause:
        print(f"vantel-edge: {cause}", file=sys.stderr)
        raise typer.Exit(EXIT_LOCKED) from None
    except (SettingsError, ValueError, OSError) as cause:
        print(f"vantel-edge: {cause}", file=sys.stderr)
        raise typer.Exit(EXIT_SETTINGS) from None
    forget_compiling()
    code = agent.run(stop, drain)
    if agent.starts_anew and not code and not stop.is_set():
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - the same process, as it was started
    raise typer.Exit(code)


@app.command(epilog="Example: vantel-edge check --config edge.toml --broker")
def check(
    config: Config = DEFAULT_CONFIG,
    broker: Annotated[
        bool, typer.Option("--broker", help="also connect to the broker as the agent does")
    ] = False,
) -> None:
    """Check settings, recordings, DBC files and the state directory; say what is wrong and how to mend it."""
    settings = _load(config)
    problems = [*_check_state_dir(settings), *_check_sources(settings)]
    if broker:
        problems += _check_broker(settings)
    for problem in problems:
        print(f"wrong: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(EXIT_CHECK_FAILED)
    print(f"{config}: fine")


def _check_state_dir(settings: EdgeSettings) -> list[str]:
    folder = settings.van.state_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return []
    except OSError as cause:
        return [f"van.state_dir {folder}: {cause.strerror}; make it writable for this user or name another"]


def _check_sources(settings: EdgeSettings) -> list[str]:
    from edge import sources
    from edge.births import catalog_of
    from edge.clock import VanClock
    from edge.faults import FaultInjector
    from edge.model import TextTable
    from edge.unmatched import unmatched

    problems: list[str] = []
    built = []
    for section in settings.sources:
        try:
            source = sources.build(section, VanClock(), TextTable(), 0)
            print(f"source {section.name}: {len(source.signals())} signals")
            for note in getattr(source, "notes", ()):
                print(f"note: {note}")
            built.append(source)
        except (ValueError, OSError) as cause:
            problems.append(f"source {section.name}: {cause}")
    try:
        catalog, _ = catalog_of(built)
        if not problems:
            FaultInjector(list(settings.faults), catalog)
            for line in unmatched(settings, catalog):
                print(f"note: {line}")
    except ValueError as cause:
        problems.append(str(cause))
    return problems


def _check_broker(settings: EdgeSettings) -> list[str]:
    from edge.uplink.broker_check import try_broker

    done, problems = try_broker(settings)
    for line in done:
        print(f"broker {settings.mqtt.host}:{settings.mqtt.port}: {line}")
    return problems


@app.command(epilog="Example: vantel-edge settings --config edge.toml --json")
def settings(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Print every effective value and where it comes from (default, file, environment)."""
    effective = _load(config)
    origins = _origins(config)
    tree = effective.model_dump(mode="json")
    if as_json:
        print(json.dumps({"settings": tree, "origins": origins}, indent=2))
        return
    for key, value in _flatten(tree):
        origin = next((origins[k] for k in _prefixes(key) if k in origins), "default")
        print(f"{key} = {json.dumps(value)}  # {origin}")


def _origins(config: Path) -> dict[str, str]:
    from edge.settings.tree import tomllib

    in_file = _flatten(tomllib.loads(config.read_text(encoding="utf-8")))
    found = {key: str(config) for key, value in in_file if value != {}}
    prefix = "VANTEL_EDGE__"
    for name in os.environ:
        if name.startswith(prefix):
            found[name.removeprefix(prefix).lower().replace("__", ".")] = f"environment {name}"
    return found


def _flatten(tree: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(tree, dict) and tree:
        return [
            item
            for key, value in tree.items()
            for item in _flatten(value, f"{prefix}.{key}" if prefix else key)
        ]
    if isinstance(tree, list) and any(isinstance(value, dict) for value in tree):
        return [item for at, value in enumerate(tree) for item in _flatten(value, f"{prefix}.{at}")]
    return [(prefix, tree)]


def _prefixes(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[:n]) for n in range(len(parts), 0, -1)]


@app.command(epilog="Example: vantel-edge status --config edge.toml --json")
def status(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show what the running agent last said about itself; exit code 65 when its last word is old."""
    from edge.status.file import StatusError, is_fresh, read_status
    from edge.status.screen import problems_of, table_of

    settings = _load(config)
    try:
        report = read_status(settings.van.state_dir)
    except StatusError as cause:
        print(cause, file=sys.stderr)
        raise typer.Exit(EXIT_CHECK_FAILED) from None
    age_s = time.time() - float(report.get("t_unix_s", 0.0))
    fresh = is_fresh(report, settings.health.status_period_s, time.time())
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        link = "connected" if report.get("connected") else "not connected"
        _out.print(table_of(f"van {report['van']}: {link}, {age_s:.1f} s ago", _flatten(report)))
    for problem in problems_of(report, age_s, fresh):
        print(problem, file=sys.stderr)
    if not fresh:
        raise typer.Exit(EXIT_CHECK_FAILED)


@app.command(epilog="Example: vantel-edge tail 'Vehicle.Speed' 'imu.*' --config edge.toml")
def tail(
    signals: Annotated[
        list[str], typer.Argument(help="names of signals; * and ? stand for any text and any letter")
    ],
    config: Config = DEFAULT_CONFIG,
    period: Annotated[float, typer.Option(min=0.1, max=60.0, help="seconds between two values")] = 0.5,
    seconds: Annotated[
        float | None, typer.Option(min=0.0, help="end after so long; default: at Ctrl-C")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show live values of the running agent, with their course; --json prints a line for each look."""
    from edge.tail.screen import show
    from edge.tail.service import TailError, look

    settings = _load(config)
    try:
        found, lines = look(settings.van.state_dir, signals)
        show(_out, found, lines, period_s=period, seconds=seconds, for_programs=as_json)
    except TailError as cause:
        print(cause, file=sys.stderr)
        raise typer.Exit(EXIT_CHECK_FAILED) from None
    except (KeyboardInterrupt, BrokenPipeError):
        raise typer.Exit(0) from None


@app.command(epilog="Example: NUMBA_CACHE_DIR=/var/cache/vantel vantel-edge warm")
def warm() -> None:
    """Compile all kernels into NUMBA_CACHE_DIR, so that nothing compiles while the agent runs."""
    from edge.warm import warm_kernels

    for name, seconds in warm_kernels():
        print(f"{name}: {seconds:.2f} s")


@app.command(epilog="Example: vantel-edge spool --config edge.toml --json")
def spool(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show the account of every epoch and class in the spool, read-only, also while the agent runs."""
    from edge.spool import Spool

    report = Spool.inspect(_load(config).van.state_dir / "spool")
    rows = [
        {
            "epoch": account.epoch.text,
            "class": account.delivery_class.label,
            "produced": account.produced,
            "acked": account.acked.count(),
            "evicted": sum(e.last - e.first + 1 for e in account.evicted),
            "spooled": spooled.count()
            if (spooled := report.spooled.get((account.epoch, account.delivery_class)))
            else 0,
        }
        for account in report.accounts
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("epoch", "class", "produced", "acked", "evicted", "spooled", title="spool, envelopes")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    _out.print(table)


if __name__ == "__main__":
    app()
