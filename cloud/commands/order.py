"""vantel-cloud order: a command to one van, and its result. None actuates anything.

Exit codes: 0 done, 1 the van refused, 65 no answer or words that mean nothing, 78 settings.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from cloud.commands.resend import ResendError, order
from cloud.connection import ConnectionRefused
from cloud.kafka.clients import KafkaUnavailable
from cloud.settings import SettingsError, load
from vantel.captures import CAPTURE_ID_CHARS
from vantel.commands import Body, CommandStatus, Diagnostics, FetchCapture, FetchRange, HoldCapture, Rebirth
from vantel.identity import check_van_id
from vantel.instant import unix_ns

app = typer.Typer(help="Ask one van for something.", no_args_is_help=True, rich_markup_mode=None)
Van = Annotated[str, typer.Argument(help="which van")]
CaptureId = Annotated[str, typer.Argument(help="id of the capture")]
Config = Annotated[Path | None, typer.Option("--config", "-c", help="settings file (TOML)")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON for programs")]
Timeout = Annotated[
    float, typer.Option(min=1, help="how long to wait for the van's answer; the order expires then")
]


def _give(van: str, body: Body, config: Path | None, timeout_s: float, as_json: bool) -> None:
    from cloud import log

    try:
        settings = load(config)
        log.configure_for_command(settings.log)
        result = asyncio.run(order(settings, check_van_id(van), body, timeout_s))
    except SettingsError as cause:
        print(cause, file=sys.stderr)
        raise typer.Exit(78) from None
    except (ResendError, KafkaUnavailable, ConnectionRefused, ValueError) as cause:
        print(f"vantel-cloud order: {cause}", file=sys.stderr)
        raise typer.Exit(65) from None
    if as_json:
        print(json.dumps({"van": van, "status": result.status.name.lower(), "detail": result.detail}))
    else:
        print(f"{van}: {result.status.name.lower()}: {result.detail}")
    raise typer.Exit(0 if result.status is CommandStatus.DONE else 1)


def _capture(text: str) -> str:
    if len(text) != CAPTURE_ID_CHARS or not set(text) <= set("0123456789abcdef"):
        print(
            f"vantel-cloud order: {text!r} is no capture id: 16 hex digits, as the page prints them",
            file=sys.stderr,
        )
        raise typer.Exit(65)
    return text


@app.command(epilog="Example: vantel-cloud order fetch van-007 e2ecdb3327a2e162")
def fetch(
    van: Van, capture: CaptureId, config: Config = None, timeout_s: Timeout = 60.0, as_json: AsJson = False
) -> None:
    """Have the body of a capture sent again, or at all where it stayed on the van."""
    _give(van, FetchCapture(_capture(capture)), config, timeout_s, as_json)


@app.command(epilog="Example: vantel-cloud order hold van-007 e2ecdb3327a2e162 --days 30")
def hold(
    van: Van,
    capture: CaptureId,
    days: Annotated[float, typer.Option(min=0.01, help="keep it on the van for so long")] = 30.0,
    config: Config = None,
    timeout_s: Timeout = 60.0,
    as_json: AsJson = False,
) -> None:
    """Keep a capture on the van from eviction."""
    _give(van, HoldCapture(_capture(capture), days * 86_400.0), config, timeout_s, as_json)


@app.command(epilog="Example: vantel-cloud order release van-007 e2ecdb3327a2e162")
def release(
    van: Van, capture: CaptureId, config: Config = None, timeout_s: Timeout = 60.0, as_json: AsJson = False
) -> None:
    """End a hold."""
    _give(van, HoldCapture(_capture(capture), 0.0), config, timeout_s, as_json)


@app.command(
    "range", epilog="Example: vantel-cloud order range van-007 --start 2026-12-01T08:00:10Z --seconds 20"
)
def time_range(
    van: Van,
    start: Annotated[
        str, typer.Option(help="2026-12-01T08:00:10 (UTC), Unix seconds, or an age: 90s, 15m, 2h, 3d")
    ],
    seconds: Annotated[float, typer.Option(min=0.1, max=3600.0, help="how long")],
    signal: Annotated[list[str] | None, typer.Option(help="names with * and ?; default: all")] = None,
    config: Config = None,
    timeout_s: Timeout = 60.0,
    as_json: AsJson = False,
) -> None:
    """Have a time range sent as captures: every sample of the last minute, older ones from the van's disk as far as it
    still has them. The answer tells what is missing, and why."""
    try:
        start_ns = unix_ns(start, time.time())
    except ValueError as cause:
        print(f"vantel-cloud order: --start {cause}", file=sys.stderr)
        raise typer.Exit(65) from None
    _give(
        van,
        FetchRange(start_ns, start_ns + round(seconds * 1e9), tuple(signal or ())),
        config,
        timeout_s,
        as_json,
    )


@app.command(epilog="Example: vantel-cloud order rebirth van-007")
def rebirth(van: Van, config: Config = None, timeout_s: Timeout = 60.0, as_json: AsJson = False) -> None:
    """Have the birth with the whole catalog sent again."""
    _give(van, Rebirth(), config, timeout_s, as_json)


@app.command(epilog="Example: vantel-cloud order diagnostics van-007")
def diagnostics(van: Van, config: Config = None, timeout_s: Timeout = 60.0, as_json: AsJson = False) -> None:
    """Have status, settings, captures and the audit record sent, in P2; `vantel-cloud diagnostics show` reads them."""
    _give(van, Diagnostics(), config, timeout_s, as_json)
