"""vantel-cloud: the command line of the cloud side. The only place of it that reads settings and builds objects.

Exit codes: 0 done, 1 the van did not, 2 wrong usage, 65 a check failed, 70 an unexpected error, 75 stalled, 78 settings or access refused.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from cloud.campaigns.command import app as campaign_app
from cloud.commands.diagnostics import app as diagnostics_app
from cloud.commands.order import app as order_app
from cloud.settings import CloudSettings, SettingsError, load, tomllib
from vantel.commands import CommandStatus

EXIT_CHECK_FAILED = 65
EXIT_SETTINGS = 78

app = typer.Typer(
    help="Cloud side of Vantel: bridge, worker and their tools.", no_args_is_help=True, add_completion=False,
    rich_markup_mode=None,
)  # fmt: skip
app.add_typer(campaign_app, name="campaign")
app.add_typer(order_app, name="order")
app.add_typer(diagnostics_app, name="diagnostics")
Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="settings file (TOML); default: environment only")
]


def _load(config: Path | None) -> CloudSettings:
    try:
        return load(config)
    except SettingsError as cause:
        print(cause, file=sys.stderr)
        raise typer.Exit(EXIT_SETTINGS) from None


def _serve(
    name: str,
    settings: CloudSettings,
    run: Callable[[CloudSettings, asyncio.Event], Coroutine[Any, Any, None]],
) -> None:
    """Run one of our asyncio programs until SIGTERM or Ctrl-C; a connection that is refused ends with its reason."""
    from cloud import log
    from cloud.connection import ConnectionRefused

    log.configure(settings.log)

    async def body() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await run(settings, stop)

    try:
        asyncio.run(body())
    except ConnectionRefused as cause:
        print(f"vantel-cloud {name}: {cause}", file=sys.stderr)
        raise typer.Exit(EXIT_SETTINGS) from None


@app.command(epilog="Example: vantel-cloud bridge --config cloud.toml")
def bridge(config: Config = None) -> None:
    """Move messages from MQTT into Kafka and send durable acks, until SIGTERM."""
    settings = _load(config)
    from cloud.bridge import run_bridge

    _serve("bridge", settings, run_bridge)


@app.command(epilog="Example: vantel-cloud worker --config cloud.toml")
def worker(config: Config = None) -> None:
    """Open, check, decode and write what is in Kafka to InfluxDB, until SIGTERM."""
    settings = _load(config)
    from cloud import log
    from cloud.connection import ConnectionRefused
    from cloud.worker.worker import run_worker

    log.configure(settings.log)
    try:
        code = run_worker(settings)
    except ConnectionRefused as cause:
        print(f"vantel-cloud worker: {cause}", file=sys.stderr)
        raise typer.Exit(EXIT_SETTINGS) from None
    raise typer.Exit(code)


@app.command(epilog="Example: vantel-cloud web --config cloud.toml")
def web(config: Config = None) -> None:
    """Show the fleet on a page, on loopback and without a login, until SIGTERM."""
    settings = _load(config)
    from cloud.web import run_web

    _serve("web", settings, run_web)


@app.command(epilog="Example: vantel-cloud provision --config cloud.toml")
def provision(config: Config = None) -> None:
    """Create the Kafka topics; run again at will."""
    settings = _load(config)
    from cloud.connection import ConnectionRefused
    from cloud.kafka.clients import KafkaUnavailable
    from cloud.kafka.provision import ProvisionError, provision_topics

    try:
        created = asyncio.run(provision_topics(settings))
    except (ProvisionError, KafkaUnavailable, ConnectionRefused) as cause:
        print(f"vantel-cloud provision: {cause}", file=sys.stderr)
        raise typer.Exit(EXIT_CHECK_FAILED) from None
    print("created: " + ", ".join(created) if created else "all topics exist")


@app.command(epilog="Example: vantel-cloud check --config cloud.toml --json")
def check(
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON for programs")] = False,
) -> None:
    """Try MQTT, Kafka and InfluxDB with these settings; say what is wrong and how to mend it."""
    settings = _load(config)
    from cloud import log
    from cloud.check import check as try_all

    log.configure_for_command(settings.log)
    trials = asyncio.run(try_all(settings))
    fine = all(trial.fine for trial in trials)
    if as_json:
        print(json.dumps({"fine": fine, "connections": [trial.as_dict() for trial in trials]}, indent=2))
    else:
        for trial in trials:
            print(f"{trial.name} {trial.target}: {', '.join(trial.good) or 'nothing worked'}")
            for problem in trial.problems:
                print(f"wrong: {problem}", file=sys.stderr)
    raise typer.Exit(0 if fine else EXIT_CHECK_FAILED)


@app.command(epilog="Example: vantel-cloud redrive --reason catalog_unknown --van van-007")
def redrive(
    config: Config = None,
    reason: Annotated[str | None, typer.Option(help="only dead letters with this reason")] = None,
    van: Annotated[str | None, typer.Option(help="only dead letters of this van")] = None,
) -> None:
    """Drive dead letters in again; what is still bad becomes a dead letter again."""
    settings = _load(config)
    from cloud.commands.redrive import redrive as drive
    from cloud.kafka.clients import KafkaUnavailable

    try:
        print(json.dumps(asyncio.run(drive(settings, reason=reason, van=van))))
    except KafkaUnavailable as cause:
        print(f"vantel-cloud redrive: {cause}", file=sys.stderr)
        raise typer.Exit(EXIT_CHECK_FAILED) from None


@app.command(epilog="Example, with every worker stopped: vantel-cloud rewind --since 2026-12-01T03:00")
def rewind(
    since: Annotated[str, typer.Option(help="a time (UTC), or an age such as 6h")],
    config: Config = None,
) -> None:
    """Have the workers take from Kafka again what came since a time, for a database restored from an older copy."""
    settings = _load(config)
    from cloud import log
    from cloud.commands.rewind import RewindError
    from cloud.commands.rewind import rewind as move
    from cloud.connection import ConnectionRefused
    from cloud.kafka.clients import KafkaUnavailable
    from vantel.instant import unix_ns

    log.configure_for_command(settings.log)
    try:
        since_unix_ns = unix_ns(since, time.time())
        print(json.dumps({"records": asyncio.run(move(settings, since_unix_ns))}))
    except (RewindError, KafkaUnavailable, ConnectionRefused, ValueError) as cause:
        print(f"vantel-cloud rewind: {cause}", file=sys.stderr)
        raise typer.Exit(EXIT_CHECK_FAILED) from None


@app.command(
    epilog="Example: vantel-cloud resend --van van-007 --epoch 12-9f3c1b2a --class p1 --first 40 --last 99"
)
def resend(
    van: Annotated[str, typer.Option(help="which van")],
    epoch: Annotated[str, typer.Option(help="as `vantel ledger` prints it")],
    delivery_class: Annotated[str, typer.Option("--class", help="p0, p1 or p2")],
    first: Annotated[int, typer.Option(min=0, help="first sequence number")],
    last: Annotated[int, typer.Option(min=0, help="last sequence number")],
    config: Config = None,
    timeout_s: Annotated[float, typer.Option(min=1, help="how long to wait for the van's answer")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON for programs")] = False,
) -> None:
    """Have a van send envelopes again that it still has; what is gone is told. Exits 1 when it sends none of them."""
    settings = _load(config)
    from cloud import log
    from cloud.commands.resend import ResendError, order, wanted
    from cloud.connection import ConnectionRefused
    from cloud.kafka.clients import KafkaUnavailable

    log.configure(settings.log.model_copy(update={"level": "error"}))
    try:
        body = wanted(van, epoch, delivery_class, first, last)
        result = asyncio.run(order(settings, van, body, timeout_s))
    except (ResendError, KafkaUnavailable, ConnectionRefused) as cause:
        print(f"vantel-cloud resend: {cause}", file=sys.stderr)
        raise typer.Exit(EXIT_CHECK_FAILED) from None
    if as_json:
        print(json.dumps({"van": van, "status": result.status.name.lower(), "detail": result.detail}))
    else:
        print(f"{van}: {result.status.name.lower()}: {result.detail}")
    raise typer.Exit(0 if result.status is CommandStatus.DONE else 1)


@app.command(epilog="Example: vantel-cloud settings --config cloud.toml --json")
def settings(
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON for programs")] = False,
) -> None:
    """Print every effective value and where it comes from (default, file, environment)."""
    tree = _load(config).model_dump(mode="json")
    in_file = tomllib.loads(config.read_text(encoding="utf-8")) if config else {}
    rows = [
        (f"{s}.{k}", value, _origin(config, in_file, s, k))
        for s, part in tree.items()
        for k, value in part.items()
    ]
    if as_json:
        print(json.dumps({"settings": tree, "origins": {key: origin for key, _, origin in rows}}, indent=2))
        return
    for key, value, origin in rows:
        print(f"{key} = {json.dumps(value)}  # {origin}")


def _origin(config: Path | None, in_file: dict[str, Any], section: str, key: str) -> str:
    """Where a value comes from."""
    name = f"VANTEL_CLOUD__{section}__{key}".upper()
    if name in os.environ:
        return f"environment {name}"
    return str(config) if key in in_file.get(section, {}) else "default"


if __name__ == "__main__":
    app()
