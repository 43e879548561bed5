"""vantel-edge capture: list, hold, release, export. On the van, also while the agent runs.

Exit codes: 0 done, 65 there is no such capture or it cannot be written, 78 the settings cannot be used.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.capture import clip_file
from edge.capture.clips import hold_clip, read_holds
from edge.settings import EdgeSettings, SettingsError, load

app = typer.Typer(help="Captures on this van's disk.", no_args_is_help=True, rich_markup_mode=None)
Config = Annotated[Path, typer.Option("--config", "-c", help="settings file (TOML)")]
CaptureId = Annotated[str, typer.Argument(help="id of the capture, as `list` prints it")]
DEFAULT_CONFIG = Path("/etc/vantel/edge.toml")


def _settings(config: Path) -> EdgeSettings:
    try:
        return load(config)
    except SettingsError as cause:
        print(cause, file=sys.stderr)
        raise typer.Exit(78) from None


def _clip(settings: EdgeSettings, capture_id: str) -> Path:
    path = settings.van.state_dir / "captures" / f"{Path(capture_id).name}.clip"
    if not path.exists():
        print(f"vantel-edge capture: no capture {capture_id} in {path.parent}; see `vantel-edge capture list`", file=sys.stderr)  # fmt: skip
        raise typer.Exit(65)
    return path


@app.command("list", epilog="Example: vantel-edge capture list --config edge.toml --json")
def list_all(
    config: Config = DEFAULT_CONFIG, as_json: Annotated[bool, typer.Option("--json")] = False
) -> None:
    """All captures: when, why, how large, whether held."""
    folder = _settings(config).van.state_dir / "captures"
    holds, rows = read_holds(folder), list[dict[str, Any]]()
    for path in sorted(folder.glob("*.clip"), key=lambda item: item.stat().st_mtime):
        summary = clip_file.summary_of(path)
        if summary is not None:
            rows.append({
                "id": summary.capture_id, "state": summary.state.name.lower(),
                "campaigns": sorted({trigger.campaign for trigger in summary.triggers}),
                "seconds": (summary.end_mono_ns - summary.start_mono_ns) / 1e9, "samples": summary.samples,
                "file_bytes": path.stat().st_size, "written_unix_s": path.stat().st_mtime,
                "held_until_unix_s": holds.get(summary.capture_id, 0.0), "body_waits": summary.body_waits,
                "gaps": [
                    {"reason": gap.reason, "seconds": (gap.end_mono_ns - gap.start_mono_ns) / 1e9} for gap in summary.gaps
                ],
            })  # fmt: skip
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        held = " held" if row["held_until_unix_s"] > time.time() else ""
        waits = " waits for an unmetered link," if row["body_waits"] else ""
        lacks = "".join(f" lacks {gap['seconds']:.1f} s ({gap['reason']})" for gap in row["gaps"])
        written = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(row["written_unix_s"]))
        causes = ", ".join(name or "command" for name in row["campaigns"])
        print(f"{row['id']} {written} UTC {row['state']}{held} {row['seconds']:.1f} s{lacks}{waits} {row['file_bytes']} bytes {causes}")  # fmt: skip


def _hold(config: Path, capture_id: str, seconds: float) -> None:
    settings = _settings(config)
    path = _clip(settings, capture_id)
    problem = hold_clip(path.parent, capture_id, seconds, time.time(), settings.capture)
    if problem:
        print(f"vantel-edge capture: {problem}", file=sys.stderr)
        raise typer.Exit(65)


@app.command(epilog="Example: vantel-edge capture hold e2ecdb3327a2e162 --days 30")
def hold(
    capture_id: CaptureId,
    days: Annotated[float, typer.Option(min=0.0, help="keep it for so long")] = 30.0,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Keep a capture from eviction."""
    _hold(config, capture_id, days * 86_400.0)


@app.command(epilog="Example: vantel-edge capture release e2ecdb3327a2e162")
def release(capture_id: CaptureId, config: Config = DEFAULT_CONFIG) -> None:
    """End a hold."""
    _hold(config, capture_id, 0.0)


@app.command(epilog="Example: vantel-edge capture export e2ecdb3327a2e162 -o crash.mcap")
def export(
    capture_id: CaptureId,
    out: Annotated[Path, typer.Option("--out", "-o", help="file to write, .mcap")],
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Write a capture as MCAP with catalog, campaigns and DBC files inside; Foxglove opens it."""
    from edge.capture.mcap_file import export as write

    settings = _settings(config)
    path = _clip(settings, capture_id)
    try:
        messages = write(path, out, settings.van.id, sorted(set(_dbc_files(settings.model_dump()))))
    except (ValueError, OSError) as cause:
        print(f"vantel-edge capture: {cause}", file=sys.stderr)
        raise typer.Exit(65) from None
    print(f"{out}: {messages} messages")


def _dbc_files(tree: Any, under_dbc: bool = False) -> Iterator[Path]:
    """DBC files that the sources name, wherever they stand in the settings."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _dbc_files(value, under_dbc or key == "dbc")
    elif isinstance(tree, list):
        for value in tree:
            yield from _dbc_files(value, under_dbc)
    elif under_dbc and isinstance(tree, Path):
        yield tree
