"""vantel-cloud diagnostics: the bundles that vans have sent, out of vantel.p2, as far back as Kafka keeps it.

Exit codes: 0 done, 65 there is none or Kafka does not answer, 78 settings.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from google.protobuf.message import DecodeError

from cloud.connection import ConnectionRefused
from cloud.kafka.clients import KafkaUnavailable
from cloud.kafka.compacted import CompactedTopic
from cloud.kafka.topics import BY_CLASS
from cloud.settings import CloudSettings, SettingsError, load
from cloud.worker.steps.open import readable
from vantel.identity import DeliveryClass, PayloadKind
from vantel.instant import unix_ns
from vantel.telemetry.v1 import capture_pb2

TOPIC = BY_CLASS[DeliveryClass.P2]
BUNDLES_MAX = 1000
"""Newest ones that are held while reading."""

app = typer.Typer(help="Read the diagnostics bundles of vans.", no_args_is_help=True, rich_markup_mode=None)
Config = Annotated[Path | None, typer.Option("--config", "-c", help="settings file (TOML)")]
Since = Annotated[
    str, typer.Option(help="how far back to look: an age (1h, 7d), or a time as 2026-11-26T08:00 (UTC)")
]


class Bundle(NamedTuple):
    """One answer to a diagnostics command. t_unix_ms: when Kafka had it."""

    van: str
    command_id: str
    t_unix_ms: int
    text: str


def bundles_of(value: bytes | None, t_unix_ms: int) -> list[Bundle]:
    """Bundles in a record of vantel.p2; what cannot be read is passed over."""
    found = []
    for _incoming, envelope, _clock in readable(TOPIC, value):
        if envelope.kind is PayloadKind.DIAGNOSTICS:
            try:
                pb = capture_pb2.DiagnosticsText.FromString(envelope.payload)
            except DecodeError:
                continue
            found.append(Bundle(envelope.van, pb.command_id, t_unix_ms, pb.text))
    return found


async def read(settings: CloudSettings, since_unix_ms: int, van: str | None) -> list[Bundle]:
    """Oldest first, each command once. KafkaUnavailable, ConnectionRefused."""
    found: dict[tuple[str, str], Bundle] = {}

    def take(_: str, value: bytes | None) -> None:
        for bundle in bundles_of(value, reader.stamp_unix_ms):
            if van in (None, bundle.van):
                found[bundle.van, bundle.command_id] = bundle
        while len(found) > BUNDLES_MAX:
            del found[next(iter(found))]

    reader = CompactedTopic(settings.kafka, TOPIC, take, since_unix_ms)
    try:
        await reader.catch_up()
    finally:
        await reader.close()
    return sorted(found.values(), key=lambda bundle: bundle.t_unix_ms)


def _found(config: Path | None, since: str, van: str | None) -> list[Bundle]:
    from cloud import log

    try:
        settings = load(config)
        log.configure_for_command(settings.log)
        return asyncio.run(read(settings, unix_ns(since, time.time()) // 1_000_000, van))
    except SettingsError as cause:
        print(cause, file=sys.stderr)
        raise typer.Exit(78) from None
    except (KafkaUnavailable, ConnectionRefused, ValueError) as cause:
        print(f"vantel-cloud diagnostics: {cause}", file=sys.stderr)
        raise typer.Exit(65) from None


@app.command("list", epilog="Example: vantel-cloud diagnostics list --van van-007 --since 7d")
def list_all(
    van: Annotated[str | None, typer.Option(help="only this van")] = None,
    since: Since = "1d",
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON for programs")] = False,
) -> None:
    """Bundles that came, oldest first: when, from which van, for which command."""
    rows: list[dict[str, Any]] = [
        {"van": bundle.van, "command": bundle.command_id, "t_unix_ms": bundle.t_unix_ms, "bytes": len(bundle.text.encode())}
        for bundle in _found(config, since, van)
    ]  # fmt: skip
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        when = datetime.fromtimestamp(row["t_unix_ms"] / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        print(f"{when} {row['van']} {row['command']} {row['bytes']} bytes")
    if not rows:
        print(f"none since {since}; ask for one: vantel-cloud order diagnostics VAN")


@app.command(epilog="Example: vantel-cloud diagnostics show van-007 -o van-007.json")
def show(
    van: Annotated[str, typer.Argument(help="which van")],
    command: Annotated[
        str | None, typer.Argument(help="id of the command, as `list` prints it; default: the newest")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="write it to this file")] = None,
    since: Since = "1d",
    config: Config = None,
) -> None:
    """Print a bundle as JSON, or save it."""
    fitting = [bundle for bundle in _found(config, since, van) if command in (None, bundle.command_id)]
    if not fitting:
        which = "" if command is None else f" for command {command}"
        print(
            f"vantel-cloud diagnostics: no bundle of {van}{which} since {since}; look further back with --since, "
            f"or ask for one: vantel-cloud order diagnostics {van}",
            file=sys.stderr,
        )
        raise typer.Exit(65)
    text = _indented(fitting[-1].text)
    try:
        out.write_text(text + "\n", encoding="utf-8") if out is not None else print(text)
    except OSError as cause:
        print(f"vantel-cloud diagnostics: {out}: {cause.strerror}", file=sys.stderr)
        raise typer.Exit(65) from None


def _indented(text: str) -> str:
    """JSON for people; a text that is none as it is."""
    try:
        return json.dumps(json.loads(text), indent=2)
    except ValueError:
        return text
