"""The status file: what the running agent says about itself, for `vantel-edge status` and rigs.

A JSON object in state_dir/status.json, replaced whole by rename: a reader sees the old or the new one, never a torn
one. It is a report, not state: it is not synced, and nothing depends on it. A disk that cannot be written is logged
once and does not stop the agent. Values are plain JSON, units in the names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

STATUS_FILE = "status.json"
STATUS_BYTES_MAX = 1024 * 1024

FRESH_S_MAX = 5.0
"""A status that is older than this and a period was written by an agent that no longer runs, or hangs."""

_log = structlog.get_logger("status")
_unwritable: dict[Path, str] = {}
"""Directories whose last write failed, with the cause: one log line for each change, not one each second."""


class StatusError(Exception):
    """There is no status to read; the text says why and what to do."""


def write_status(state_dir: Path, status: Mapping[str, object]) -> bool:
    """Replace the status file; False (and one log line for each new cause) when the disk does not take it."""
    path = state_dir / STATUS_FILE
    temporary = path.with_suffix(".tmp")
    try:
        temporary.write_text(json.dumps(status, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as cause:
        text = cause.strerror or str(cause)
        if _unwritable.get(state_dir) != text:
            _unwritable[state_dir] = text
            _log.warning(
                "status not written", path=str(path), cause=text, fix="check space and owner of van.state_dir"
            )
        return False
    _unwritable.pop(state_dir, None)
    return True


def read_status(state_dir: Path) -> dict[str, Any]:
    """The last status; StatusError when there is none or it is not one."""
    path = state_dir / STATUS_FILE
    try:
        with path.open("rb") as file:
            data = file.read(STATUS_BYTES_MAX + 1)
    except FileNotFoundError:
        raise StatusError(
            f"no status at {path}: the agent has not run with this van.state_dir; start it or name the right settings"
        ) from None
    except OSError as cause:
        raise StatusError(
            f"cannot read {path}: {cause.strerror}; run this as the agent's user, for example with sudo"
        ) from None
    if len(data) > STATUS_BYTES_MAX:
        raise StatusError(
            f"{path} is larger than {STATUS_BYTES_MAX} bytes: not a status of this agent; delete it"
        )
    try:
        status = json.loads(data)
    except ValueError as cause:
        raise StatusError(
            f"{path} is not JSON: {cause}; delete it, the running agent writes it again"
        ) from None
    if not isinstance(status, dict):
        raise StatusError(f"{path} is not a JSON object; delete it, the running agent writes it again")
    return status


def is_fresh(status: Mapping[str, Any], period_s: float, now_unix_s: float) -> bool:
    """Whether the agent that wrote a status each period_s still does."""
    return abs(now_unix_s - float(status.get("t_unix_s", 0.0))) < FRESH_S_MAX + period_s
