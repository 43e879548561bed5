"""The audit record of the van: every command that came, what it asked and how it ended, a JSON line each. Rim.

Bounded: a full file becomes FILE.1, and the one before it goes. Not synced: the result in P0 is the durable record.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import structlog

AUDIT_FILE = "commands.jsonl"
AUDIT_BYTES_MAX = 1024 * 1024
_log = structlog.get_logger("commands")


def note(state_dir: Path, command_id: str, asked: str, status: str, detail: str) -> None:
    """Append a line; a disk that does not take it is told."""
    path = state_dir / AUDIT_FILE
    line = json.dumps({"t_unix_s": round(time.time(), 3), "id": command_id, "asked": asked, "status": status, "detail": detail})  # fmt: skip
    try:
        if path.exists() and path.stat().st_size >= AUDIT_BYTES_MAX:
            path.replace(path.with_suffix(".jsonl.1"))
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as cause:
        _log.warning("command not in the audit record", id=command_id, cause=cause.strerror)


def lines(state_dir: Path, count: int) -> list[str]:
    """The newest lines."""
    try:
        return (state_dir / AUDIT_FILE).read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    except OSError:
        return []
