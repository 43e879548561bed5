"""Rig only: faults added while the agent runs, as JSON lines appended to a file.

One object a line, with the keys of [[faults]] in the settings -> FaultSection. Read from where the last read ended; the
offset is kept beside the file, so that a restarted agent does not repeat what it has had. A file that is not there has
no faults yet; one that has become shorter is read from its start. Wrong lines are counted and logged, never fatal.
Bounds: READ_BYTES_MAX a call, LINE_BYTES_MAX a line.
"""

from __future__ import annotations

from pathlib import Path

import structlog
from pydantic import ValidationError

from edge.settings import FaultSection

READ_BYTES_MAX = 64 * 1024
LINE_BYTES_MAX = 4096

_log = structlog.get_logger("fault_file")


class FaultFile:
    """Reads what was appended since the last call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset_path = path.with_name(path.name + ".offset")
        self._offset = self._saved_offset()
        self.lines_bad = 0

    def new(self) -> list[FaultSection]:
        """Faults of the whole lines that are new."""
        try:
            size = self._path.stat().st_size
            if size < self._offset:
                self._offset = 0
            if size == self._offset:
                return []
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(READ_BYTES_MAX)
        except FileNotFoundError:
            return []
        except OSError as cause:
            _log.warning(
                "cannot read faults", path=str(self._path), cause=cause.strerror, fix="check faults_file"
            )
            return []
        whole = data.rfind(b"\n") + 1
        if not whole and len(data) > LINE_BYTES_MAX:
            whole = len(data)  # a line without end is passed over, in pieces
        if not whole:
            return []
        self._offset += whole
        self._save_offset()
        faults = [self._parsed(line) for line in data[:whole].split(b"\n") if line.strip()]
        return [fault for fault in faults if fault is not None]

    def _parsed(self, line: bytes) -> FaultSection | None:
        """The fault of a line, or None for a wrong one."""
        try:
            if len(line) > LINE_BYTES_MAX:
                raise ValueError(f"{len(line)} bytes, at most {LINE_BYTES_MAX} are allowed")
            return FaultSection.model_validate_json(line)
        except ValidationError as cause:
            reason = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'line'}: {e['msg']}" for e in cause.errors()
            )
        except ValueError as cause:
            reason = str(cause)
        self.lines_bad += 1
        _log.warning(
            "fault line ignored",
            path=str(self._path),
            line=line[:200].decode("utf-8", "replace"),
            cause=reason,
        )
        return None

    def _saved_offset(self) -> int:
        try:
            return max(0, int(self._offset_path.read_text(encoding="ascii")))
        except (OSError, ValueError):
            return 0

    def _save_offset(self) -> None:
        try:
            self._offset_path.write_text(str(self._offset), encoding="ascii")
        except OSError as cause:
            _log.warning(
                "faults may repeat after a restart", path=str(self._offset_path), cause=cause.strerror
            )
